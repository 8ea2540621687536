"""Binding of models' SQL over empty tables, in dependency order."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, field, structs

from sqlgen.compile import checksql
from sqlgen.compile.checksql import CheckedRows
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan, Scope, SourceLayout, StagedInput
from sqlgen.compile.statements import KERNEL_ROWS
from sqlgen.compile.unitsql import everything, narrowed
from sqlgen.errors import SqlgenError, TaskError, TemplateError, nearest
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.project.keys import configured_keys, path_keys
from sqlgen.project.model import Model, ModelInput, adapter_template
from sqlgen.project.project import Project
from sqlgen.project.rowchecks import Check, unknown_columns
from sqlgen.published.states import Snapshot
from sqlgen.run.binding import decoded_keys, distinct, is_packaged, named, said, time_faults
from sqlgen.sources.schemas import sql_schema
from sqlgen.sources.sourcefiles import SourceFiles
from sqlgen.stream.pipe import Pipe
from sqlgen.templating.connection import select_of
from sqlgen.templating.queries import query
from sqlgen.templating.secrets import hidden
from sqlgen.templating.sqllines import template_line
from sqlgen.templating.yamlfile import KeyPath

_UNIT = {"exchange": "x", "symbol": "x", "date": "2000-01-01"}
_FOLDERS = {**_UNIT, "year": "2000", "month": "1", "day": "1", "hour": "0"}
TYPOS = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.SyntaxException)
"""Errors of the SQL itself. Others come from the data, or from files beside those of a source."""
_PIVOT = re.compile(r"\b(un)?pivot\b", re.IGNORECASE)
Columns = dict[str, str]
"""Name -> SQL type."""


class BindError(SqlgenError):
    """The SQL of a model cannot run on any data."""


class _UnboundError(Exception):
    """A source or model with unknown columns."""


class Binder(Struct):
    """Binds the SQL of models, each after its inputs."""

    project: Project
    compiler: Compiler
    source_files: Mapping[str, SourceFiles]
    folder: Path
    """Folder for empty files."""
    connection: duckdb.DuckDBPyConnection
    problems: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _wanted: set[str] = field(default_factory=set)
    _selects: dict[str, str] = field(default_factory=dict)
    """Model -> its SELECT; empty where it cannot be bound."""
    _tables: dict[str, str] = field(default_factory=dict)
    """Model, or SELECT of a source -> SELECT over an empty table with its columns."""

    def bind(self, models: Iterable[str]) -> None:
        """Bind models; :class:`BindError` with every problem found."""
        self._wanted = {*models}
        for name in self.project.order:
            if name in self._wanted:
                try:
                    self._model(name)
                except (_UnboundError, duckdb.Error):
                    continue
                except TaskError as error:  # no SELECT
                    self.problems.append(f"model '{name}': {error}")
        if self.problems:
            raise BindError(hidden("\n".join(dict.fromkeys(self.problems))))

    def columns(self, name: str) -> Columns:
        """Columns of a model's table; none if they depend on the data, or its inputs cannot be read without files."""
        try:
            return self._columns(self.project.models[name], self._model(name))
        except _UnboundError:
            return {}

    def _read(self, name: str) -> str:
        """SELECT over an empty table with the columns of a model, for its readers."""
        if name not in self._tables:
            self._tables[name] = ""
            before = len(self.problems)
            try:
                self._tables[name] = self._table(select_of(self.connection, self._model(name)))
            finally:
                if name not in self._wanted:
                    del self.problems[before:]
        if not self._tables[name]:
            raise _UnboundError
        return self._tables[name]

    def _model(self, name: str) -> str:
        """The SELECT of a model, bound; raises if it cannot be bound."""
        if name not in self._selects:
            self._selects[name] = ""
            self._selects[name] = self._bound(self.project.models[name])
        if not self._selects[name]:
            raise _UnboundError
        return self._selects[name]

    def _bound(self, model: Model) -> str:
        inputs = {}
        for entry in model.inputs:
            if not (entry.spec.optional and entry.ref in self.compiler.empty):
                inputs[entry.name] = self._read(entry.ref) if entry.source is None else self._source(model, entry)
        rows = f"{KERNEL_ROWS}_{next(self._numbers)}"
        feed, select = self._over(model, inputs, everything(rows))
        if _PIVOT.search(f"{feed} {select}"):
            raise _UnboundError  # the columns depend on the data
        if feed is not None:
            self._kernel_rows(model, feed, rows)
        columns = self._columns(model, select)
        self._keys(model, columns)
        selected = self._narrowed(model, select, columns)
        self._checks(
            ("models", model.name, "checks"),
            self.compiler.checked(model, selected),
            dict(enumerate(model.config.checks)),
        )
        return selected

    def _over(self, model: Model, inputs: Mapping[str, str], kernels: str) -> tuple[str | None, str]:
        """SELECTs of a model over the given inputs: the kernels' input, if any, and the table."""
        scope = Scope({entry.name: Scan(("",)) if entry.name in inputs else None for entry in model.inputs})
        over = model.header.kernels_over
        if model.pipeline is None:
            return None, self.compiler.template(model, scope, inputs)
        if over is None:
            return self.compiler.template(model, scope, inputs), kernels
        return inputs[over], self.compiler.template(model, scope, {**inputs, over: kernels})

    def _source(self, model: Model, entry: ModelInput) -> str:
        """SELECT over an empty table with the canonical columns of a source."""
        try:
            select = self.compiler.input_select(model, entry, self._scan(model, entry))
        except TemplateError:  # an adapter that depends on file names
            raise _UnboundError from None
        if select not in self._tables:
            self._tables[select] = ""
            assert entry.source is not None
            for name, fault in time_faults(self.connection, entry.source.options):
                at = ("sources", entry.ref, "options", name)
                self.problems.append(str(self.project.document.problem(at, fault)))
            try:
                self._tables[select] = self._table(distinct(self.connection, select))
            except TYPOS as error:
                self._tell(f"source '{entry.ref}'", adapter_template(entry.source.adapter), error, select)
                raise _UnboundError from None
            checks = {number: check for number, check in enumerate(entry.source.checks) if not check.is_sign_audit}
            self._checks(
                ("sources", entry.ref, "checks"),
                CheckedRows(entry.ref, self._tables[select], tuple(checks.values())),
                checks,
            )
        if not self._tables[select]:
            raise _UnboundError
        return self._tables[select]

    def _scan(self, model: Model, entry: ModelInput) -> Scan:
        """A scan of an empty file in the path layout of the source."""
        assert entry.source is not None
        source_files = self.source_files.get(entry.ref)
        layout = self.compiler.layouts.get(entry.ref) or SourceLayout()
        files = (
            [file for found in source_files.partitions.values() for file in found] if source_files is not None else []
        )
        if layout.format == "parquet":
            keys = layout.hive_keys
        elif files:
            keys = decoded_keys(path_keys(entry.source, files[0].path) or {})
        else:
            keys = decoded_keys({*layout.hive_keys, *configured_keys(entry.source)})
        decoded = "" if layout.format == "parquet" else layout.format
        form = self.compiler.raw_form(model, entry, layout)
        if form.columns is None:
            if not files or decoded:
                raise _UnboundError
            return StagedInput.of(self.project.lake / files[0].path, keys).scan()
        path = self.folder.joinpath(str(next(self._numbers)), *(f"{key}={_FOLDERS[key]}" for key in keys), "x.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        names = {} if decoded else form.original_names
        # DuckDB does not write names that differ in case only.
        table = pa.Table.from_batches([], schema=sql_schema(form.columns))
        pq.write_table(table.rename_columns([names.get(name, name) for name in form.columns]), path)
        return StagedInput((str(path),), "parquet", keys, decoded).scan()

    def _table(self, rows: duckdb.DuckDBPyRelation) -> str:
        """SELECT over a table made of an empty result."""
        table = f"bound_{next(self._numbers)}"
        rows.limit(0).create(table)
        return everything(table)

    def _convert(self, over: Callable[[str], str], rows: str) -> None:
        """Run a statement over a row of NULLs: a constant that cannot be converted fails in every partition."""
        table = f"nulls_{next(self._numbers)}"
        select_of(self.connection, query("row_of_nulls", rows=rows)).create(table)
        select_of(self.connection, over(everything(table))).fetchall()

    def _kernel_rows(self, model: Model, feed: str, name: str) -> None:
        """Make an empty table ``name`` with the output columns of a model's kernels."""
        assert model.pipeline is not None
        unit = Partition.of(**_UNIT)
        try:
            rows = distinct(self.connection, feed).limit(0).to_arrow_reader()
            pipe = Pipe(model.pipeline, Snapshot({}), rows, None, {key: unit.typed(key) for key in KEYS})
        except TYPOS as error:
            self._tell(f"model '{model.name}'", model.config.sql, error, feed)
            raise _UnboundError from None
        except TaskError as error:
            self.problems.append(f"model '{model.name}': {error}")
            raise _UnboundError from None
        self.connection.register(name, pa.Table.from_batches([], schema=pipe.schema()))

    def _columns(self, model: Model, select: str) -> Columns:
        # A packaged template may rely on DuckDB's numbers: a grid of a grid has two times of original rows.
        bound = select_of if is_packaged(self.project.library, model.config.sql) else distinct
        try:
            rows = bound(self.connection, select)
            return dict(zip(rows.columns, map(str, rows.types), strict=True))
        except TYPOS as error:
            self._tell(f"model '{model.name}'", model.config.sql, error, select)
            raise _UnboundError from None

    def _keys(self, model: Model, columns: Columns) -> None:
        known = {name.lower() for name in columns}
        before = len(self.problems)
        file = self.project.library.source_text(model.config.sql)[1]
        for name in model.header.order_by:
            if name.lower() not in known:
                has = f"{nearest(name, columns)} The rows have: {', '.join(columns)}"
                self.problems.append(f"model '{model.name}': {file}: order_by of its header: no column '{name}'.{has}")
        for path, names in named(model).items():
            for name in names:
                if name.lower() not in known:
                    has = f"The rows have: {', '.join(columns)}"
                    self._tell_key(model, path, f"no column '{name}'.{nearest(name, columns)} {has}")
        if len(self.problems) > before:
            raise _UnboundError

    def _narrowed(self, model: Model, select: str, columns: Columns) -> str:
        """The rows of a model with its ``columns`` and ``filter``."""
        selected = narrowed(select, model, None)
        if selected == select:
            return select
        try:
            select_of(self.connection, selected)
            if model.config.filter:
                self._convert(lambda row: narrowed(row, model, None), select)
        except (*TYPOS, duckdb.ConversionException) as error:
            self._tell_key(model, ("filter",), f"{said(error)}. The rows have: {', '.join(columns)}")
            raise _UnboundError from None
        return selected

    def _checks(self, at: KeyPath, checked: CheckedRows, checks: Mapping[int, Check]) -> None:
        """Bind each check of the rows by itself."""
        columns = select_of(self.connection, checked.rows).columns if checks else []
        for number, check in checks.items():
            for problem in self._problems(checked, check, columns):
                message = f"check '{check.title}' of '{checked.of}'{problem} Its rows have: {', '.join(columns)}"
                self.problems.append(str(self.project.document.problem((*at, number), message)))

    def _problems(self, checked: CheckedRows, check: Check, columns: list[str]) -> list[str]:
        missing = [f": {problem}" for problem in unknown_columns(check, columns)]
        if missing:
            return missing
        alone = structs.replace(checked, checks=(check,), predicate="false", names=(*columns,))
        counts = functools.partial(checksql.counts, self.project.library)
        try:
            select_of(self.connection, counts(alone))
            self._convert(lambda row: counts(structs.replace(alone, rows=row, predicate=None)), checked.rows)
        except (*TYPOS, duckdb.ConversionException) as error:
            return [f" cannot be run: {said(error)}."]
        return []

    def _tell_key(self, model: Model, path: tuple[str, ...], message: str) -> None:
        self.problems.append(str(self.project.document.problem(("models", model.name, *path), message)))

    def _tell(self, whose: str, template: str, error: duckdb.Error, sql: str) -> None:
        text, file = self.project.library.source_text(template)
        line = template_line(text, sql, str(error))
        self.problems.append(f"{whose}: {file}{f':{line}' if line else ''}: {said(error)}")
