"""Source files of one task that DuckDB reads as they are, or as Parquet files that are made of them meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from sqlgen.compile.adapters import KeysInRows, advice
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan
from sqlgen.errors import TemplateError
from sqlgen.lake.partitions import Partition, partition_of
from sqlgen.lake.storage import FileInfo
from sqlgen.project.keys import path_keys
from sqlgen.project.model import Model, ModelInput
from sqlgen.sources.decode import Decoded, Decoder
from sqlgen.sources.onemarket import check_one_market
from sqlgen.sources.schemas import check_parquet, misleading, sql_schema
from sqlgen.sources.sourcefiles import SourceFiles
from sqlgen.templating.quoting import exact_path
from sqlgen.templating.templates import CsvFormat


@dataclass(frozen=True)
class StagedInput:
    """Files of one source as they can be scanned."""

    paths: tuple[str, ...]
    format: str
    hive_keys: tuple[str, ...]
    decoded: str = ""
    """The format they were decoded from."""

    def scan(self, single: bool = False, predicate: str | None = None, survey: bool = False) -> Scan:
        """A scan of these files; see :class:`Scan`."""
        files = tuple(map(exact_path, self.paths))
        alone = len(files) == 1
        return Scan(files, self.format, self.hive_keys, single, alone, predicate, self.decoded, survey)


@dataclass
class InputStager:
    """Decodes what is not Parquet, into a folder that goes when the task ends."""

    compiler: Compiler
    lake: Path
    folder: Path
    connection: duckdb.DuckDBPyConnection
    decoded: dict[str, dict[FileInfo, Decoded]] = field(default_factory=dict)
    """Source -> what each of its decoded files held: sources may read other columns of the same files."""
    _places: dict[tuple[str, FileInfo], Path] = field(default_factory=dict)
    _one_key: set[tuple[str | FileInfo, ...]] = field(default_factory=set)
    """Files of each source of which it is known that their rows name one market."""
    _misleading: set[str] = field(default_factory=set)
    """Sources whose Parquet files DuckDB would not read as they are."""
    _checked: set[tuple[str, FileInfo]] = field(default_factory=set)
    """Parquet files of each source whose columns are known to be there."""

    def stage(
        self, model: Model, entry: ModelInput, source_files: SourceFiles, files: Sequence[FileInfo]
    ) -> StagedInput:
        """Files of a source, ready to be scanned; each is decoded once."""
        layout = source_files.layout
        assert entry.source is not None
        library = self.compiler.project.library
        hint = advice(library, entry.source)
        scan = Scan(("",), layout.format, layout.hive_keys)
        if layout.format == "parquet" and not self._are_misleading(model, entry, scan, files, hint):
            return StagedInput(tuple(str(self.lake / file.path) for file in files), layout.format, layout.hive_keys)
        columns = self.compiler.raw_columns(model, entry, scan)
        original_names = self.compiler.original_names(model, entry, scan)
        csv = self.compiler.csv(model, entry)
        extra = _extra(self.compiler.keys_in_rows(model, entry, scan), columns, layout.format, csv)
        times, unit = self.compiler.times(model, entry, scan)
        decoder = Decoder(
            library, layout.format, columns, csv, self.connection, hint, extra, original_names, times, unit
        )
        known = self.decoded.setdefault(entry.ref, {})
        keys: tuple[str, ...] = ()
        for number, file in enumerate(files):
            placed = dict(_placed(path_keys(entry.source, file.path) or {}))
            keys = tuple(placed)
            if file not in known:
                folders = (Partition(((key, value),)).path for key, value in placed.items())
                place = self.folder.joinpath(entry.ref, *folders, f"{number:06}", f"{Path(file.path).name}.parquet")
                known[file] = decoder.decode(self.lake / file.path, place)
                self._places[entry.ref, file] = place
        paths = tuple(str(self._places[entry.ref, file]) for file in files)
        return StagedInput(paths, "parquet", keys, layout.format)

    def _are_misleading(
        self, model: Model, entry: ModelInput, scan: Scan, files: Sequence[FileInfo], hint: str
    ) -> bool:
        """Check the columns of Parquet files; true where DuckDB would not read them as they are."""
        try:
            columns = self.compiler.raw_columns(model, entry, scan)
            original_names = self.compiler.original_names(model, entry, scan)
        except TemplateError:  # an adapter that reads Parquet in its own way names no columns
            return False
        new = [file for file in files if (entry.ref, file) not in self._checked]
        paths = [self.lake / file.path for file in new]
        expected = [field.with_name(original_names.get(field.name, field.name)) for field in sql_schema(columns)]
        check_parquet(paths, pa.schema(expected), hint)
        self._checked.update((entry.ref, file) for file in new)
        if original_names or misleading(paths, columns):
            self._misleading.add(entry.ref)
        return entry.ref in self._misleading

    def check_keys(self, model: Model, entry: ModelInput, source_files: SourceFiles, files: Sequence[FileInfo]) -> None:
        """:class:`TaskError` where rows name several symbols, and paths or models.yaml say one for all of them."""
        assert entry.source is not None
        layout = source_files.layout
        keys_in_rows = self.compiler.keys_in_rows(model, entry, Scan(("",), layout.format, layout.hive_keys))
        by_market: dict[tuple[str, ...], list[FileInfo]] = {}
        for file in files:
            keys = path_keys(entry.source, file.path) or {}
            by_market.setdefault(tuple(keys.get(key, "") for key in ("exchange", "symbol")), []).append(file)
        for group in by_market.values():
            if (entry.ref, *group) not in self._one_key:
                places = {str(self._places.get((entry.ref, file), self.lake / file.path)): file.path for file in group}
                check_one_market(self.compiler.project.library, self.connection, entry, keys_in_rows, places)
                self._one_key.add((entry.ref, *group))

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _extra(keys: KeysInRows, columns: Mapping[str, str], fmt: str, csv: CsvFormat) -> tuple[str, ...]:
    """Columns that are decoded for what they say of the keys, where files name their columns."""
    taken = {name.lower() for name in columns}
    names = [name for name in keys.columns.values() if name.lower() not in taken]
    if fmt == "dbn":
        return tuple(name for name in names if name == "symbol")
    if fmt == "ndjson":
        return () if "JSON" in columns.values() else tuple(names)
    return tuple(names) if csv.header is True and not csv.lines else ()


def _placed(keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The keys of a file by which the rows made of it are filed: year, month and day as a date."""
    for key in ("exchange", "symbol"):
        if key in keys:
            yield key, keys[key]
    whole = partition_of({"exchange": "any", "symbol": "any", **keys})
    if whole is not None:
        yield "date", whole["date"]
    if "hour" in keys:
        yield "hour", keys["hour"]
