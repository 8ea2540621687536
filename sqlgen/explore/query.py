"""SQL over the catalog, with its result as rows or in a file: CSV, JSON or Parquet."""

from __future__ import annotations

from pathlib import Path

import duckdb

from sqlgen.errors import UsageError
from sqlgen.templating.connection import kind_of
from sqlgen.templating.queries import query

_RESULT = "sqlgen_result"


class QueryError(UsageError):
    """A text has no statement, or no rows to write."""


def result(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.DuckDBPyRelation | None:
    """Run the statements of a text; the rows of the last one, if it has any."""
    return connection.sql(_bare(_last(connection, text).query))


def write_result(connection: duckdb.DuckDBPyConnection, text: str, form: str, target: Path) -> None:
    """Write the rows of the last statement of a text as csv, json or parquet; the others are run before it."""
    last = _last(connection, text)
    select = _bare(last.query)
    if kind_of(last) != duckdb.StatementType.SELECT.name:  # PIVOT, EXPLAIN, CALL: COPY takes none of them
        rows = connection.sql(select)
        if rows is None or rows.columns in (["Count"], ["Success"]):
            raise QueryError("the last statement has no rows to write")
        connection.register(_RESULT, rows.to_arrow_table())
        select = f"TABLE {_RESULT}"
    numbers = _numbers(connection.sql(select)) if form == "json" else []
    connection.execute(query("to_file", select=select, target=str(target), format=form, numbers=numbers))


def _numbers(rows: duckdb.DuckDBPyRelation) -> list[str]:
    """Columns of floating-point numbers; none where columns share a name, of which REPLACE takes no one."""
    if len({*map(str.lower, rows.columns)}) < len(rows.columns):
        return []
    return [name for name, kind in zip(rows.columns, rows.types, strict=True) if str(kind) in ("DOUBLE", "FLOAT")]


def _last(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement:
    """The last statement; those before it are run."""
    found = connection.extract_statements(text)
    if not found:
        raise QueryError("there is no statement")
    *before, last = found
    for statement in before:
        connection.execute(statement)
    return last


def _bare(statement: str) -> str:
    """A statement without its semicolon and what follows it."""
    text = statement.encode()  # offsets count bytes
    ends = [at for at, kind in duckdb.tokenize(statement) if kind != duckdb.token_type.comment]
    return text[: ends[-1]].decode() if ends and text[ends[-1] :].startswith(b";") else statement
