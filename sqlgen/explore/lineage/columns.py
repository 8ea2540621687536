"""Column lineage of a project: each column of a table, down to the columns of the source files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal

from msgspec import Struct, field

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan, Scope
from sqlgen.compile.statements import KERNEL_ROWS
from sqlgen.compile.unitsql import everything, narrowed
from sqlgen.errors import UsageError
from sqlgen.explore.columns import TableColumns, columns_of, known_column
from sqlgen.explore.lineage.selects import Origin, SelectLineage, TableColumn, qualified
from sqlgen.lake.partitions import KEYS
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.selectors import check_name
from sqlgen.run.engine import Engine
from sqlgen.templating.quoting import ident
from udfs import Kernel

Kind = Literal["model", "kernel", "source", "files"]
_TAPE = ("price", "amount", "side")
"""Columns of the trades that kernels read beside the rows."""


class ColumnNode(Struct, frozen=True):
    """One column, and those that it is made of."""

    kind: Kind
    """``kernel``: a column that a kernel of the dataset gives. ``files``: a column in the files of the source."""
    dataset: str
    """Name of the model or source."""
    column: str
    made: str = ""
    """Expression or kernel that makes it; empty if it is taken over as it is."""
    inputs: tuple[ColumnNode, ...] = ()
    """Columns of its values."""
    by: tuple[ColumnNode, ...] = ()
    """Columns that partition, order and bound the windows of its values, and times of the rows that a kernel reads."""

    def __str__(self) -> str:
        return f"{self.dataset}.{self.column}"

    def nearest(self) -> Iterator[ColumnNode]:
        """The columns of other models, of sources and of files that it is made of, past kernels."""
        for node in self.inputs:
            if node.kind == "kernel":
                yield from node.nearest()
            else:
                yield node


class ModelSelects(Struct, frozen=True):
    """Lineage of the SQL of one model, over its inputs by their names."""

    table: SelectLineage
    feed: SelectLineage | None
    """Rows that go into its kernels; ``None`` without kernels."""
    feed_of: str = ""
    """The input itself, if kernels read its rows as they are."""


class ProjectLineage(Struct, dict=True):
    """Lineage of all columns of one project."""

    engine: Engine
    tables: Mapping[str, TableColumns]
    """Model -> its columns, of every model."""
    _nodes: dict[tuple[str, str], ColumnNode] = field(default_factory=dict)
    _models: dict[str, ModelSelects] = field(default_factory=dict)
    _sources: dict[str, SelectLineage] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine) -> ProjectLineage:
        return cls(engine, {table.model: table for table in columns_of(engine, engine.project.order)})

    @cached_property
    def _compiler(self) -> Compiler:
        return self.engine.compiler(self.engine.project.order)

    def columns(self, name: str) -> list[str]:
        """Names of the columns of a model or source; :class:`UsageError` if they are not known."""
        found = self._names(check_name(self.engine.project, name))
        if not found:
            raise UsageError(f"{name}: its columns depend on the data, or on files of a source that has none yet")
        return found

    def column(self, name: str, column: str) -> ColumnNode:
        """The lineage of one column of a model or source; :class:`UsageError` if there is no such column."""
        return self._node(name, known_column(name, column, self.columns(name)))

    def reads(self, model: str) -> dict[str, list[str]]:
        """Input of a model -> the columns of it that the model's columns are made of, windows included."""
        found: dict[str, dict[str, None]] = {entry.ref: {} for entry in self.engine.project.models[model].inputs}
        todo = [one for column in self._names(model) for one in _above(self._node(model, column))]
        seen = set[int]()
        while todo:
            node = todo.pop()
            if node.kind != "kernel":
                found[node.dataset][node.column] = None
            elif id(node) not in seen:
                seen.add(id(node))
                todo += _above(node)
        return {ref: [name for name in self._names(ref) if name in columns] for ref, columns in found.items()}

    def users(self, name: str, column: str) -> list[ColumnNode]:
        """Columns of models that are made of a column, directly or not, windows left out."""
        target = self.column(name, column)
        made = {id(target): True}

        def is_made(node: ColumnNode) -> bool:
            if id(node) not in made:
                made[id(node)] = False
                made[id(node)] = any(is_made(one) for one in node.inputs)
            return made[id(node)]

        models = [(model, one) for model in self.engine.project.order for one in self._names(model)]
        nodes = (self._node(model, one) for model, one in models)
        return [node for node in nodes if node is not target and is_made(node)]

    def _names(self, name: str) -> list[str]:
        """Columns of a model or source, as far as they are known."""
        if name in self.engine.project.models:
            return [column.name for column in self.tables[name].columns]
        return [column for column in self._source(name).names if column != "*"]

    def _node(self, name: str, column: str) -> ColumnNode:
        key = (name, column.lower())
        if key not in self._nodes:
            is_model = name in self.engine.project.models
            self._nodes[key] = self._of_model(name, column) if is_model else self._of_source(name, column)
        return self._nodes[key]

    def _of_model(self, name: str, column: str) -> ColumnNode:
        model = self.engine.project.models[name]
        spelled = {known.name.lower(): known.name for known in self.tables[name].columns}
        selects = self._model(name)
        origin = selects.table.origin(column)
        if selects.feed is not None and origin == _passed_on(column) and not _is_made(model, column):
            origin = selects.feed.origin(column)
        inputs, by = self._below(model, origin.columns), self._below(model, origin.by)
        made = origin.sql
        if not made and len(inputs) == 1 and inputs[0].kind == "kernel":  # the kernel's column is the model's
            made, inputs, by = inputs[0].made, inputs[0].inputs, inputs[0].by
        return ColumnNode("model", name, spelled.get(column.lower(), column), made, inputs, by)

    def _below(self, model: Model, columns: Iterable[TableColumn]) -> tuple[ColumnNode, ...]:
        """Columns of inputs and kernels of a model."""
        found: dict[ColumnNode, None] = {}
        for table, column in sorted(columns):
            if table == KERNEL_ROWS:
                assert model.pipeline is not None
                found |= dict.fromkeys(self._of_kernels(model, column, model.pipeline.kernels))
            elif entry := next((entry for entry in model.inputs if _table(entry) == table), None):
                found[self._node(entry.ref, column)] = None
        return tuple(found)

    def _of_kernels(self, model: Model, column: str, kernels: Sequence[Kernel]) -> tuple[ColumnNode, ...]:
        """A column that one of the kernels gives, or of the rows that go into them."""
        given = [{one.name.lower() for one in kernel.outputs()} for kernel in kernels]
        place = next((number for number, names in enumerate(given) if column in names), None)
        if place is None:
            return self._of_feed(model, column)
        kernel = kernels[place]
        reads = [one for name in kernel.inputs() for one in self._of_kernels(model, name.lower(), kernels[:place])]
        by = self._of_feed(model, "ts")
        if kernel.reads_trades and model.trades is not None:
            reads += [self._node(model.trades.ref, name) for name in _TAPE]
            by += (self._node(model.trades.ref, "ts"),)
        made = f"kernel {kernel.name} {kernel.version}"
        inputs = tuple(dict.fromkeys(reads)) or by
        return (ColumnNode("kernel", model.name, column, made, inputs, tuple(dict.fromkeys(by))),)

    def _of_feed(self, model: Model, column: str) -> tuple[ColumnNode, ...]:
        """Columns of a column of the rows that go into the kernels of a model."""
        selects = self._model(model.name)
        if selects.feed is None:
            return (self._node(selects.feed_of, column),)
        origin = selects.feed.origin(column)
        return self._below(model, origin.columns | origin.by)

    def _of_source(self, name: str, column: str) -> ColumnNode:
        origin = self._source(name).origin(column)
        values, by = (
            tuple(ColumnNode("files", name, raw) for _, raw in sorted(found)) for found in (origin.columns, origin.by)
        )
        return ColumnNode("source", name, column, origin.sql, values, by)

    def _source(self, name: str) -> SelectLineage:
        if name not in self._sources:
            reader = self.engine.reader(name)
            if reader is None:
                raise UsageError(f"source {name}: no model reads it, so that it has no SQL")
            model, entry = reader
            scan = self._compiler.whole_lake(model).inputs[entry.name] or Scan(("",))
            select = self._compiler.input_select(model, entry, scan)
            self._sources[name] = SelectLineage(qualified(select, {}, f"source {name}"))
        return self._sources[name]

    def _model(self, name: str) -> ModelSelects:
        if name not in self._models:
            self._models[name] = self._selects(self.engine.project.models[name])
        return self._models[name]

    def _selects(self, model: Model) -> ModelSelects:
        compiler, whose = self._compiler, f"model {model.name}"
        scope = compiler.whole_lake(model)
        scope = Scope({name: scan or Scan(("",)) for name, scan in scope.inputs.items()})
        tables = {_table(entry): self._names(entry.ref) for entry in model.inputs}
        given = {entry.name: everything(ident(_table(entry))) for entry in model.inputs}
        over = model.header.kernels_over
        if model.pipeline is None:
            table = narrowed(compiler.template(model, scope, given), model, None)
            return ModelSelects(SelectLineage(qualified(table, tables, whose)), None)
        outputs = [column.name for column in model.pipeline.outputs]
        rows = everything(KERNEL_ROWS)
        if over is not None:
            entry = next(entry for entry in model.inputs if entry.name == over)
            carried = KEYS if model.pipeline.replaces_rows else tables[_table(entry)]
            known = {**tables, KERNEL_ROWS: [*carried, *outputs]}
            table = narrowed(compiler.template(model, scope, {**given, over: rows}), model, None)
            return ModelSelects(SelectLineage(qualified(table, known, whose)), None, entry.ref)
        feed = SelectLineage(qualified(compiler.template(model, scope, given), tables, whose))
        carried = KEYS if model.pipeline.replaces_rows else feed.names
        known = {KERNEL_ROWS: [*carried, *outputs]}
        return ModelSelects(SelectLineage(qualified(narrowed(rows, model, None), known, whose)), feed)


def _table(entry: ModelInput) -> str:
    """Name of an input as a table, that no stage of a template has."""
    return f"input of {entry.name}".lower()


def _passed_on(column: str) -> Origin:
    """Origin of a column that comes out of the kernels and is taken over as it is."""
    return Origin(frozenset({(KERNEL_ROWS, column.lower())}))


def _is_made(model: Model, column: str) -> bool:
    """True if a kernel gives the column."""
    return model.pipeline is not None and column.lower() in (one.name.lower() for one in model.pipeline.outputs)


def _above(node: ColumnNode) -> tuple[ColumnNode, ...]:
    return (*node.inputs, *node.by)
