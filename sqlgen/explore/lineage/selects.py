"""Columns of a SELECT, each with the columns of tables that it is made of. The SQL is read by sqlglot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from sqlgen.errors import UsageError, first_line
from sqlgen.explore import extras

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

DIALECT = "duckdb"
ORIGINAL = "original"
"""Key of the SQL that a query was made from, in its ``meta``."""
TableColumn = tuple[str, str]
"""Name of a table that the SELECT reads (empty for files), and of a column of it."""
_LONGEST = 400
"""Characters of an expression that are shown."""


class Origin(Struct, frozen=True):
    """Columns that a column of a SELECT is made of."""

    columns: frozenset[TableColumn] = frozenset()
    """Columns of its values."""
    by: frozenset[TableColumn] = frozenset()
    """Columns that partition, order and bound the windows of its values."""
    sql: str = ""
    """The expression that makes it; empty if it is taken over as it is."""

    def __or__(self, other: Origin) -> Origin:
        return Origin(self.columns | other.columns, self.by | other.by, self.sql or other.sql)

    @property
    def as_window(self) -> Origin:
        """These columns as those of a window."""
        return Origin(frozenset(), self.columns | self.by)


def qualified(sql: str, tables: Mapping[str, Sequence[str]], whose: str) -> exp.Query:
    """A SELECT with every column under the name of its table, and without ``*`` as far as columns are known.

    Args:
        sql: the SELECT.
        tables: table that it reads -> its columns.
        whose: name of the model or source, for messages.
    """
    sqlglot = extras.load("sqlglot", "lineage", "lineage of columns")
    qualify = extras.load("sqlglot.optimizer.qualify", "lineage", "lineage of columns").qualify
    schema = {name.lower(): {column.lower(): "TEXT" for column in columns} for name, columns in tables.items()}
    try:
        parsed = sqlglot.parse_one(sql, dialect=DIALECT)
        found: exp.Query = qualify(
            parsed, dialect=DIALECT, schema=schema, validate_qualify_columns=False, quote_identifiers=False
        )
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise UsageError(f"{whose}: its SQL cannot be read for lineage: {first_line(error)}") from error
    found.meta[ORIGINAL] = sql
    return found


class SelectLineage(Struct, dict=True):
    """Lineage of the columns of one SELECT."""

    query: exp.Query
    """Result of :func:`qualified`."""
    _known: dict[tuple[int, str], Origin] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._root: Scope = extras.load("sqlglot.optimizer.scope", "lineage", "lineage").build_scope(self.query)
        self._scopes = {id(scope.expression): scope for scope in self._root.traverse()}

    @property
    def names(self) -> list[str]:
        """Names of the columns, in lower case; ``*`` for those that are not known."""
        return [select.alias_or_name.lower() for select in self.query.selects]

    def origin(self, column: str) -> Origin:
        """Origin of a column."""
        return self._of_scope(self._root, column.lower())

    def _of_scope(self, scope: Scope, column: str) -> Origin:
        key = (id(scope), column)
        if key not in self._known:
            self._known[key] = Origin()  # a stage that reads itself
            self._known[key] = self._trace(scope, column)
        return self._known[key]

    def _trace(self, scope: Scope, column: str) -> Origin:
        from sqlglot import exp

        if scope.set_operation_scopes:
            parts = ((part, self._same_place(scope, part, column)) for part in scope.set_operation_scopes)
            return _united(self._of_scope(part, name) for part, name in parts)
        selects = _selects_of(scope)
        made = next((select for select in selects if select.alias_or_name.lower() == column), None)
        if made is not None:
            return self._of_expression(scope, made)
        if not selects or any(select.is_star or select.find(exp.Columns) for select in selects):
            return _united(self._of_source(source, column) for source in _selected(scope).values())
        return Origin()

    @staticmethod
    def _same_place(union: Scope, part: Scope, column: str) -> str:
        """Name of a column of a UNION in one of its parts: the names are those of the first part."""
        names = [select.alias_or_name.lower() for select in _selects_of(union)]
        own = [select.alias_or_name.lower() for select in _selects_of(part)]
        if union.expression.args.get("by_name") or column not in names or names.index(column) >= len(own):
            return column
        return own[names.index(column)]

    def _of_expression(self, scope: Scope, made: exp.Expr) -> Origin:
        from sqlglot import exp

        inner = made.this if isinstance(made, exp.Alias) else made
        found = _united(
            self._of_column(scope, column) for column in inner.find_all(exp.Column) if not _in_window(column)
        )
        found |= _united(self._of_column(scope, column).as_window for column in _windows(scope, inner))
        return (
            found if isinstance(inner, exp.Column) else Origin(found.columns, found.by - found.columns, _shown(inner))
        )

    def _of_column(self, scope: Scope, column: exp.Column) -> Origin:
        name, table, at = column.name.lower(), column.table.lower(), self._scope_of(column, scope)
        while True:
            sources = _selected(at)
            if table in sources:
                return self._of_source(sources[table], name)
            if not table and (found := _only_table(sources)) is not None:
                return self._of_source(found, name)
            if at.parent is None:
                return Origin()  # a parameter of a lambda
            at = at.parent

    def _scope_of(self, column: exp.Column, scope: Scope) -> Scope:
        """The scope of the innermost SELECT around a column."""
        above = column.parent
        while above is not None and id(above) not in self._scopes:
            above = above.parent
        return self._scopes[id(above)] if above is not None else scope

    def _of_source(self, source: object, column: str) -> Origin:
        from sqlglot import exp
        from sqlglot.optimizer.scope import Scope

        if isinstance(source, Scope):
            if source.is_udtf:
                return _united(self._of_column(source, found) for found in source.expression.find_all(exp.Column))
            return self._of_scope(source, column)
        assert isinstance(source, exp.Table)
        name = source.name.lower() if isinstance(source.this, exp.Identifier) else ""
        return Origin(frozenset({(name, column)}))


def _selects_of(scope: Scope) -> list[exp.Expr]:
    from sqlglot import exp

    return [*scope.expression.selects] if isinstance(scope.expression, exp.Query) else []


def _selected(scope: Scope) -> dict[str, object]:
    """Tables and stages that a SELECT reads itself, by their names in it."""
    return {name.lower(): source for name, (_, source) in scope.selected_sources.items()}


def _in_window(column: exp.Column) -> bool:
    """True if a column partitions, orders or bounds a window."""
    from sqlglot import exp

    part: exp.Expr = column
    above = column.parent
    while above is not None and not isinstance(above, exp.Query):
        if isinstance(above, exp.Window) and part.arg_key != "this":
            return True
        part, above = above, above.parent
    return False


def _windows(scope: Scope, expression: exp.Expr) -> Iterator[exp.Column]:
    """Columns of the windows in an expression, and of those that it names."""
    from sqlglot import exp

    named = {window.name.lower(): window for window in scope.expression.args.get("windows") or []}
    yield from (column for column in expression.find_all(exp.Column) if _in_window(column))
    todo = [expression]
    while todo:
        for window in todo.pop().find_all(exp.Window):
            name = str(window.args.get("alias") or "").lower()
            if name in named:
                found = named.pop(name)
                yield from found.find_all(exp.Column)
                todo.append(found)


def _only_table(sources: Mapping[str, object]) -> object:
    """The source to which a column without a table belongs: the only one, or the only one of unknown columns."""
    from sqlglot import exp

    if len(sources) == 1:
        return next(iter(sources.values()))
    unknown = [source for source in sources.values() if isinstance(source, exp.Table)]
    return unknown[0] if len(unknown) == 1 else None


def _united(origins: Iterator[Origin]) -> Origin:
    found = Origin()
    for origin in origins:
        found |= origin
    return found


def _shown(expression: exp.Expr) -> str:
    """An expression on one line, without the names of stages."""
    from sqlglot import exp

    copy = expression.copy()
    for column in copy.find_all(exp.Column):
        if column.table:
            column.set("table", None)
    text = " ".join(copy.sql(DIALECT, comments=False).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
