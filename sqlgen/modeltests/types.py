"""Columns of a model's inputs, and their types: plain values of tests are cast to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
from msgspec import Struct, field

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan, Scope, SourceLayout
from sqlgen.compile.statements import KERNEL_ROWS
from sqlgen.errors import SqlgenError
from sqlgen.lake.partitions import NULL_FOLDER
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.published import states
from sqlgen.sources.schemas import columns_of
from sqlgen.stream.pipe import Pipe
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import exact_path

Types = Mapping[str, str]
"""Column -> SQL type."""
ROWS_FORMAT = "ndjson"
"""Layout of the files to which inline rows of a source are written."""


class TypeBook(Struct):
    """Columns of inputs, cached."""

    project: Project
    connection: duckdb.DuckDBPyConnection
    folder: Path
    """Folder for empty files, over which SQL is described."""
    _sources: dict[str, Types] = field(default_factory=dict)
    _tables: dict[str, Types] = field(default_factory=dict)

    def of(self, model: Model, entry: ModelInput) -> Types:
        """The columns of an input's files."""
        if entry.source is None:
            return self.table(entry.ref)
        key = f"{entry.ref} {model.adapter_options[entry.name]}"
        if key not in self._sources:
            self._sources[key] = self._read_by_adapter(model, entry)
        return self._sources[key]

    def _read_by_adapter(self, model: Model, entry: ModelInput) -> Types:
        try:
            return Compiler(self.project).raw_form(model, entry, SourceLayout(hive_keys=())).known_columns
        except SqlgenError:
            return {}

    def table(self, name: str) -> Types:
        """The columns of a model's table; none if its SQL cannot be described without files."""
        if name not in self._tables:
            try:
                self._tables[name] = self._described(self.project.models[name])
            except (duckdb.Error, SqlgenError):
                self._tables[name] = {}
        return self._tables[name]

    def _described(self, model: Model) -> Types:
        compiler = Compiler(self.project)
        scope = Scope({entry.name: self._empty(model, entry) for entry in model.inputs})
        with self.connection.cursor() as cursor:
            if model.pipeline is not None:
                with self.connection.cursor() as feed:
                    rows = feed.sql(compiler.feed(model, scope)).to_arrow_reader()
                    pipe = Pipe(model.pipeline, states.Snapshot(model.pipeline.start()), rows, None)
                    cursor.register(KERNEL_ROWS, pipe.reader().read_all())
            found = columns_of(cursor, compiler.select(model, scope))
        # DuckDB makes a column of few words an enumeration of them; here there are none.
        return {name: "VARCHAR" if kind.startswith("ENUM") else kind for name, kind in found.items()}

    def _empty(self, model: Model, entry: ModelInput) -> Scan:
        """A file without rows in the layout of the input."""
        path = self.folder / f"{len(list(self.folder.iterdir()))}.{entry.ref}"
        if entry.source is not None:
            path.touch()
            return Scan((exact_path(path),), ROWS_FORMAT, hive_keys=())
        upstream, types = self.project.models[entry.ref], self.table(entry.ref)
        keys = upstream.output.partition_by
        empty = query("no_rows", types={name: kind for name, kind in types.items() if name not in keys})
        file = path.joinpath(*(f"{key}={NULL_FOLDER}" for key in keys), "rows.parquet")
        file.parent.mkdir(parents=True)
        self.connection.execute(query("to_parquet", select=empty, target=str(file)))
        return Scan((exact_path(file),), types={key: types[key] for key in upstream.inner_keys if key in types})
