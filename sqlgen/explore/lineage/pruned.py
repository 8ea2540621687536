"""The SQL that leads to one column, for a DuckDB shell: stages and columns that it does not need are left out."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlgen.compile.compiledfile import KERNEL_INPUT, KERNEL_TRADES
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scope
from sqlgen.compile.statements import KERNEL_ROWS
from sqlgen.explore import extras
from sqlgen.explore.columns import known_column, known_columns
from sqlgen.explore.lineage.selects import DIALECT, ORIGINAL, qualified
from sqlgen.lake.partitions import KEYS
from sqlgen.project.model import Model
from sqlgen.run.engine import Engine
from sqlgen.templating.quoting import comment
from sqlgen.templating.secrets import hidden
from udfs import Kernel

if TYPE_CHECKING:
    from sqlglot import exp

_WIDTH = 118
_ROW_KEYS = ("ts", "seq", "bar_seconds", "bar_id", "bar_start")
"""Columns that usually tell rows of a partition apart."""


@dataclass
class ModelQueries:
    """Queries of one model whose columns are known; inputs that are models stand in them as tables."""

    model: Model
    compiler: Compiler
    tables: dict[str, list[str]] = field(default_factory=dict)
    """Table of an input -> its columns."""
    selects: dict[str, str] = field(default_factory=dict)
    """Table of an input -> the SELECT of its rows."""
    scope: Scope = field(init=False)

    def __post_init__(self) -> None:
        scans = dict(self.compiler.whole_lake(self.model).inputs)
        refs = {entry.ref for entry in self.model.inputs if entry.source is None}
        columns = known_columns(self.compiler.project, self.compiler, refs)
        for entry in self.model.inputs:
            scan = scans[entry.name]
            if scan is not None and entry.ref in columns:
                table = f"{entry.ref} published"
                self.tables[table] = [*columns[entry.ref]]
                self.selects[table] = self.compiler.published_select(entry.ref, scan)
                scans[entry.name] = dataclasses.replace(scan, files=(table,), format="table")
        self.scope = Scope(scans)

    def query(self, sql: str, tables: Mapping[str, Sequence[str]] | None = None) -> exp.Query:
        return qualified(sql, {**self.tables, **(tables or {})}, f"model {self.model.name}")

    def text(self, query: exp.Query, columns: Iterable[str]) -> str:
        """A query with these columns alone, as SQL."""
        kept = pruned(query, [*dict.fromkeys(column.lower() for column in columns)])
        return f"{_text(kept, self.selects)};"


def column_sql(engine: Engine, name: str, column: str) -> str:
    """SELECT of the keys of a model's rows and one column; for columns of kernels, of what the kernels read.

    Raises:
        UsageError: there is no such column, or the SQL cannot be read.
    """
    model = engine.project.models[name]
    compiler = engine.compiler([name])
    queries = ModelQueries(model, compiler)
    if model.pipeline is not None:
        return _with_kernels(queries, model.pipeline.kernels, column)
    query = queries.query(compiler.select(model, queries.scope))
    wanted = known_column(name, column, [select.alias_or_name for select in query.selects])
    return _file(queries, wanted, [queries.text(query, [*_keys(model, query), wanted])])


def _with_kernels(queries: ModelQueries, kernels: Sequence[Kernel], column: str) -> str:
    model, compiler, scope = queries.model, queries.compiler, queries.scope
    feed = queries.query(compiler.feed(model, scope))
    given = [select.alias_or_name.lower() for select in feed.selects]
    outputs = [one.name for kernel in kernels for one in kernel.outputs() if not one.hidden]
    table = None
    if model.header.kernels_over is not None:
        table = queries.query(compiler.select(model, scope), {KERNEL_ROWS: [*KEYS, *outputs]})
    names = [select.alias_or_name for select in table.selects] if table is not None else [*given, *outputs]
    wanted = known_column(model.name, column, names)
    if table is None and wanted.lower() in given:
        return _file(queries, wanted, [queries.text(feed, [*_keys(model, feed), wanted])])
    leading = _leading(kernels, [wanted] if table is None else outputs)
    made = {one.name for kernel in leading for one in kernel.outputs()} if table is None else set[str]()
    inputs = [one for kernel in leading for one in kernel.inputs() if one not in made]
    keys = [key for key in (*KEYS, "ts", "seq") if key in given]
    head = comment(f"{KERNEL_INPUT}: rows that the kernels read, in time order")
    parts = [head, queries.text(feed, [*keys, *inputs])]
    trades = compiler.trades(model, scope) if any(kernel.reads_trades for kernel in leading) else None
    if trades is not None:
        parts += ["", comment(f"{KERNEL_TRADES}: trades that the kernels read beside the rows"), f"{trades};"]
    parts += ["", *map(_of_kernel, leading)]
    if table is not None:
        rows = f"The column is made of the rows that they give, {KERNEL_ROWS}:"
        parts += ["", comment("\n".join([rows, queries.text(table, [*_keys(model, table), wanted])]))]
    return _file(queries, wanted, parts)


def _keys(model: Model, query: exp.Query) -> list[str]:
    """Columns that tell a row of a model from the others."""
    names = {select.alias_or_name.lower() for select in query.selects}
    usual = (name for name in _ROW_KEYS if name in names)
    return [*dict.fromkeys((*model.output.partition_by, *model.file_order, *model.output.key, *usual))]


def _leading(kernels: Sequence[Kernel], columns: Iterable[str]) -> list[Kernel]:
    """The kernels that lead to columns, in the order in which they run."""
    wanted = {*columns}
    found = []
    for kernel in reversed(kernels):
        if wanted & {one.name for one in kernel.outputs()}:
            found.append(kernel)
            wanted |= {*kernel.inputs()}
    return found[::-1]


def _of_kernel(kernel: Kernel) -> str:
    reads = ", ".join(("ts", *kernel.inputs(), *([KERNEL_TRADES] if kernel.reads_trades else [])))
    gives = ", ".join(one.name for one in kernel.outputs())
    lines = [f"kernel {kernel.name}, version {kernel.version}: {kernel.doc}"]
    for text in (f"reads {reads}", f"gives {gives}"):
        lines += textwrap.wrap(text, _WIDTH - 8, initial_indent="  ", subsequent_indent="        ")
    return comment("\n".join(lines))


def _file(queries: ModelQueries, column: str, parts: Sequence[str]) -> str:
    model = queries.model
    meaning = queries.compiler.compile(model.name).descriptions.get(column, "")
    head = [f"{model.name}.{column}{': ' if meaning else ''}{meaning}"]
    head.append("The SQL that leads to this column, run from the folder of models.yaml, in a DuckDB shell.")
    if model.pipeline is not None and (model.config.filter or model.config.checks):
        head.append("Rows that the model's filter or checks leave out are among these.")
    text: str = hidden("\n".join([comment("\n".join(head)), "", *parts]) + "\n")
    return text


def pruned(query: exp.Query, columns: Sequence[str]) -> exp.Query:
    """A query with only these columns, and what they need."""
    import sqlglot
    from sqlglot import exp

    prune = extras.load("sqlglot.optimizer.pushdown_projections", "lineage", "compile --column").pushdown_projections
    drop = extras.load("sqlglot.optimizer.eliminate_ctes", "lineage", "compile --column").eliminate_ctes
    found: exp.Query
    # Columns that only the files know, or that nothing names.
    if any(select.is_star for select in query.find_all(exp.Select)) or query.find(exp.Columns, exp.Pivot):
        original = sqlglot.parse_one(query.meta[ORIGINAL], dialect=DIALECT)
        assert isinstance(original, exp.Query)
        found = exp.select(*map(exp.column, columns)).from_(original.subquery("rows"))
        return found
    found = query.copy()
    places = [place for place, made in enumerate(found.selects) if made.alias_or_name.lower() in columns]
    parts = _parts(found)
    if not any(_needs_all(part) for part in parts):
        for part in parts:
            part.set("expressions", [part.selects[place] for place in places])
    whole = [(select, select.args.get("distinct")) for select in found.find_all(exp.Select) if _needs_all(select)]
    for select, _ in whole:
        select.set("distinct", exp.Distinct())  # sqlglot keeps all columns of a DISTINCT
    found = prune(found)
    for select in found.find_all(exp.Select):
        _drop_windows(select)
    found = drop(prune(found))
    for select, distinct in whole:
        select.set("distinct", distinct)
    return found


def _text(query: exp.Query, selects: Mapping[str, str]) -> str:
    """A query as SQL, with the SELECTs of inputs for their tables."""
    import sqlglot
    from sqlglot import exp

    for select in query.find_all(exp.Select):
        _shorten(select)
    for table in [*query.find_all(exp.Table)]:
        if table.name in selects:
            rows = sqlglot.parse_one(selects[table.name], dialect=DIALECT)
            assert isinstance(rows, exp.Query)
            table.replace(rows.subquery(table.alias_or_name))
        elif table.alias == table.name:
            table.set("alias", None)
    text: str = query.sql(DIALECT, pretty=True, max_text_width=100)
    return text


def _parts(query: exp.Query) -> list[exp.Select]:
    """The SELECTs of a UNION ALL by position; another SELECT itself. None of what tells rows apart by all columns."""
    from sqlglot import exp

    if isinstance(query, exp.Select):
        return [query]
    if isinstance(query, exp.Union) and not query.args.get("distinct") and not query.args.get("by_name"):
        left, right = _parts(query.left), _parts(query.right)
        return [*left, *right] if left and right else []
    return []


def _needs_all(select: exp.Select) -> bool:
    """True if the rows of a SELECT depend on columns that nobody may read."""
    from sqlglot import exp

    group = select.args.get("group")
    if select.args.get("distinct") or (group is not None and group.args.get("all")):
        return True
    makes_rows = any(select_.find(exp.Unnest, exp.Explode) for select_ in select.selects)
    one_row = group is None and any(_aggregates(select_) for select_ in select.selects)
    return makes_rows or one_row


def _aggregates(select: exp.Expr) -> bool:
    from sqlglot import exp

    found = (part.find_ancestor(exp.Window, exp.Select) for part in select.find_all(exp.AggFunc))
    return any(not isinstance(above, exp.Window) for above in found)


def _shorten(select: exp.Select) -> None:
    """Write ``stage.name AS name`` as ``name`` where there is one stage."""
    from sqlglot import exp

    if select.args.get("joins") or select.args.get("laterals"):
        return
    for made in select.selects:
        column = made.this if isinstance(made, exp.Alias) else None
        if isinstance(column, exp.Column) and column.table and column.name == made.alias:
            column.set("table", None)
            column.comments = [*(column.comments or []), *(made.comments or [])]
            made.replace(column)


def _drop_windows(select: exp.Select) -> None:
    """Leave out the windows that no column names."""
    from sqlglot import exp

    windows = select.args.get("windows") or []
    while True:
        parts = [*select.selects, *windows, *(select.args[key] for key in ("qualify", "order") if select.args.get(key))]
        named = {str(w.args.get("alias") or "").lower() for part in parts for w in part.find_all(exp.Window)}
        kept = [window for window in windows if window.name.lower() in named]
        if len(kept) == len(windows):
            break
        windows = kept
    select.set("windows", windows or None)
