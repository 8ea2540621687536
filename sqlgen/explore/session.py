"""A DuckDB connection with a project's tables as views and the kernels as functions."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import duckdb

from sqlgen import DEFAULT_FILE
from sqlgen.errors import first_line
from sqlgen.explore.catalog import catalog_sql
from sqlgen.explore.lakefiles import open_lakes
from sqlgen.functions.registration import register
from sqlgen.run.engine import Engine

MOST_ROWS = 40
WIDE = 1_000_000
"""Characters: wider than any result."""


def connect(path: str | Path | None = DEFAULT_FILE) -> duckdb.DuckDBPyConnection:
    """Result of ``sqlgen.connect``; a view that cannot be created is a warning."""
    connection, problems = begin(path)
    for problem in problems:
        warnings.warn(problem, stacklevel=3)
    return connection


def begin(path: str | Path | None = DEFAULT_FILE) -> tuple[duckdb.DuckDBPyConnection, list[str]]:
    """The connection, and errors of views that could not be created.

    Without a project (``None``, or no models.yaml here) it has the functions only.
    """
    if path is not None and Path(path) == Path(DEFAULT_FILE) and not Path(path).exists():
        path = None
    engine = Engine.open(path) if path is not None else None
    connection = duckdb.connect()
    try:
        register(connection)
        problems = list(_views(connection, engine)) if engine is not None else []
    except BaseException:
        connection.close()
        raise
    return connection, problems


def _views(connection: duckdb.DuckDBPyConnection, engine: Engine) -> Iterator[str]:
    """Create the views of the catalog; returns the errors of those that cannot be created."""
    sql = open_lakes(connection, catalog_sql(engine))
    for statement in connection.extract_statements(sql):
        try:
            connection.execute(statement)
        except duckdb.Error as error:
            # A table published before a column was added lacks it, and comments of a missing view fail too.
            if statement.type == duckdb.StatementType.CREATE:
                yield f"{first_line(statement.query)} {first_line(error)}"


def show(rows: duckdb.DuckDBPyRelation) -> None:
    """Print rows as a table, as wide as the terminal; in a pipe nothing is cut."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    rows.show(max_rows=MOST_ROWS, max_width=width, max_col_width=width)
