"""Staging of a task's source files: as they are, or decoded into temporary Parquet files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from msgspec import Struct, field

from sqlgen.compile.adapters import RawForm
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import SourceLayout, StagedInput
from sqlgen.compile.sourcespec import Evaluated
from sqlgen.errors import TaskError, first_line
from sqlgen.lake.partitions import Partition, partition_of
from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import FileInfo
from sqlgen.project.keys import path_keys
from sqlgen.project.model import Model, ModelInput
from sqlgen.sources.onemarket import check_one_market
from sqlgen.sources.schemas import check_parquet, misleading, parquet_rows
from sqlgen.sources.survey import first_row
from sqlgen.templating.connection import confined, folders_of, one
from sqlgen.templating.queries import query
from sqlgen.templating.templates import Library

if TYPE_CHECKING:
    from sqlgen.sources.decode import Decoded


class InputStager(Struct):
    """Stages source files; decodes other formats than Parquet into a temporary folder of the task."""

    library: Library
    lake: Path
    folder: Path
    connection: duckdb.DuckDBPyConnection
    decoded: dict[str, dict[FileInfo, Decoded]] = field(default_factory=dict)
    """Source -> outcome per decoded file: sources may read different columns of the same files."""
    _evaluated: dict[str, Evaluated] = field(default_factory=dict)
    """Source -> what its files were decoded with."""
    _places: dict[tuple[str, FileInfo], Path] = field(default_factory=dict)
    _one_key: set[tuple[str | FileInfo, ...]] = field(default_factory=set)
    """Groups of files whose rows are known to name one market."""
    _misleading: set[str] = field(default_factory=set)
    """Sources whose Parquet files DuckDB would misread, or which lack an optional column."""
    _checked: set[tuple[str, FileInfo]] = field(default_factory=set)
    """Parquet files of each source whose columns have been checked."""

    def stage(self, form: RawForm, layout: SourceLayout, files: Sequence[FileInfo]) -> StagedInput:
        """Files of a source, ready to be scanned; each is decoded once."""
        mounts.fetch(self.lake / file.path for file in files)
        if layout.format == "parquet" and not self._are_misleading(form, files):
            return StagedInput(tuple(f"{self.lake}/{file.path}" for file in files), layout.format, layout.hive_keys)
        from sqlgen.sources.decode import Decoder  # loads what reads the formats of vendors

        evaluated = self._evaluated.setdefault(form.source, form.evaluated)
        decoder = Decoder(
            self.library,
            layout.format,
            form.known_columns,
            form.csv,
            self.connection,
            form.hint,
            _extra(form),
            form.original_names,
            form.times,
            form.time_unit,
            evaluated.columns,
            evaluated.steps,
        )
        known = self.decoded.setdefault(form.source, {})
        keys: tuple[str, ...] = ()
        for file in files:
            placed = dict(_folder_keys(path_keys(form.settings, file.path) or {}))
            keys = tuple(placed)
            if file not in known:
                folders = (Partition(((key, value),)).path for key, value in placed.items())
                place = self.folder.joinpath(
                    form.source, *folders, f"{len(known):06}", f"{Path(file.path).name}.parquet"
                )
                known[file] = decoder.decode(self.lake / file.path, place)
                self._places[form.source, file] = place
        paths = tuple(str(self._places[form.source, file]) for file in files)
        return StagedInput(paths, "parquet", keys, layout.format, tuple(evaluated.columns.items()))

    def _are_misleading(self, form: RawForm, files: Sequence[FileInfo]) -> bool:
        """Check the columns of Parquet files; true if DuckDB would misread them."""
        if form.columns is None:
            return False
        new = [file for file in files if (form.source, file) not in self._checked]
        paths = [f"{self.lake}/{file.path}" for file in new]
        expected = {form.original_names.get(name, name): kind for name, kind in form.columns.items()}
        lacking = check_parquet(self.connection, paths, expected, form.hint, form.csv.optional)
        self._checked.update((form.source, file) for file in new)
        if lacking or form.original_names or misleading(self.connection, paths, form.columns):
            self._misleading.add(form.source)
        return form.source in self._misleading

    def check_keys(self, form: RawForm, files: Sequence[FileInfo]) -> None:
        """:class:`TaskError` if rows name several symbols although paths or models.yaml name one."""
        by_market: dict[tuple[str, ...], list[FileInfo]] = {}
        for file in files:
            keys = path_keys(form.settings, file.path) or {}
            by_market.setdefault(tuple(keys.get(key, "") for key in ("exchange", "symbol")), []).append(file)
        for group in by_market.values():
            if (form.source, *group) not in self._one_key:
                places = {
                    str(self._places.get((form.source, file), f"{self.lake}/{file.path}")): file.path for file in group
                }
                check_one_market(self.library, self.connection, form, places)
                self._one_key.add((form.source, *group))

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _extra(form: RawForm) -> tuple[str, ...]:
    """Additional columns to decode for checks of the keys, in formats with named columns."""
    columns, csv = form.known_columns, form.csv
    taken = {name.lower() for name in columns}
    names = [name for name in form.keys_in_rows.columns.values() if name.lower() not in taken]
    if form.format == "dbn":
        return tuple(name for name in names if name == "symbol")
    if form.format == "ndjson":
        return () if "JSON" in columns.values() else tuple(names)
    return tuple(names) if csv.header is True and not csv.lines else ()


def _folder_keys(keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Keys of a file for the folders of its decoded rows; year, month and day as a date."""
    for key in ("exchange", "symbol"):
        if key in keys:
            yield key, keys[key]
    whole = partition_of({"exchange": "any", "symbol": "any", **keys})
    if whole is not None:
        yield "date", whole["date"]
    if "hour" in keys:
        yield "hour", keys["hour"]


def _confined(folder: str, compiler: Compiler, file: FileInfo) -> duckdb.DuckDBPyConnection:
    return confined([Path(folder), *folders_of(compiler.project.lake, [file.path])])


def keys_of_file(
    compiler: Compiler, model: Model, entry: ModelInput, file: FileInfo, layout: SourceLayout
) -> tuple[list[tuple[Any, ...]], str]:
    """Keys in the rows of one file, as a model reads it, and the reason why a file with rows gives none.

    A tuple is exchange, symbol, date and the number of rows. Raises :class:`TaskError` if the file cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder, _confined(folder, compiler, file) as connection:
        stager = InputStager(compiler.project.library, compiler.project.lake, Path(folder), connection)
        try:
            staged = stager.stage(compiler.raw_form(model, entry, layout), layout, [file])
            select = compiler.input_select(model, entry, staged.scan())
            rows = connection.execute(one(connection, query("partitions", select=select))).fetchall()
            count = parquet_rows(connection, [staged.paths[0]]) if not rows else 0
            shown = first_row(connection, staged.paths[0]) if count else ""
        except duckdb.Error as error:
            raise TaskError(first_line(error)) from error
    return rows, f"none of its {count} rows has a time that can be read. {shown}" if count else ""
