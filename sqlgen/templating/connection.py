"""DuckDB instances that reach the folders they are given, and nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlgen.errors import TaskError
from sqlgen.lake.remote.mounts import SCHEME, mount_of
from sqlgen.templating.quoting import exact_path, literal

if TYPE_CHECKING:
    import duckdb

Setting = str | bool | int | float | list[str]
_LOCKED: dict[str, Setting] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
    "enable_external_file_cache": False,
}
"""Nothing is fetched or loaded, no Python variable is a table, and files are cached by the system alone."""
_SETTABLE = (
    *("threads", "enable_progress_bar", "operator_memory_limit", "asof_loop_join_threshold"),
    *("streaming_buffer_size", "enable_optimizer"),
)
"""Settings that sqlgen changes while statements run; all others are locked."""


def confined(folders: Iterable[Path], settings: dict[str, Setting] | None = None) -> duckdb.DuckDBPyConnection:
    """A new instance whose SQL reads and writes below these folders alone, and cannot change that."""
    return confine(unconfined(settings or {}), folders)


def unconfined(settings: dict[str, Setting]) -> duckdb.DuckDBPyConnection:
    """A new instance that is to be given to :func:`confine` before any SQL."""
    import duckdb

    return duckdb.connect(config={**_LOCKED, **settings})


def confine(
    connection: duckdb.DuckDBPyConnection, folders: Iterable[Path], temp: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """The instance, whose SQL reads and writes below these folders alone from now on; spilled rows go to ``temp``."""
    if temp is not None:
        connection.execute(f"SET temp_directory = {literal(str(temp))}")
    paths = {spelling for folder in folders for path in (folder, folder.resolve()) for spelling in _spellings(path)}
    connection.execute(f"SET allowed_directories = {literal(sorted(paths))}")
    connection.execute(f"SET allowed_configs = {literal(_SETTABLE)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


@contextlib.contextmanager
def open_cursor(
    connection: duckdb.DuckDBPyConnection, running: list[duckdb.DuckDBPyConnection]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor that is registered in ``running`` while it is open, so that an interrupt reaches it."""
    cursor = connection.cursor()
    running.append(cursor)
    try:
        cursor.execute("SET enable_progress_bar = false")  # it would print into the output of the command
        yield cursor
    finally:
        running.remove(cursor)
        cursor.close()


def one(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The statement in ``sql``; :class:`TaskError` if a template or an option has made several of it."""
    found = connection.extract_statements(sql)
    if len(found) != 1:
        raise TaskError(f"its template renders {len(found)} statements, and must be one SELECT. Nothing of it was run")
    return found[0]


def kind_of(statement: duckdb.Statement) -> str:
    """Kind of a statement; empty where DuckDB's Python has no name for it (UPDATE EXTENSIONS)."""
    try:
        return statement.type.name
    except ValueError:
        return ""


def select_of(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """The relation of a SELECT; :class:`TaskError` if it is anything else."""
    statement = one(connection, sql)
    if (kind := kind_of(statement)) != "SELECT":
        raise TaskError(f"its template renders {kind or 'another statement'}, and must be one SELECT. It was not run")
    return connection.sql(statement)


def _spellings(path: Path) -> tuple[str, ...]:
    """A folder by its name, and as the beginning of a pattern, which DuckDB compares too."""
    found = (str(path), exact_path(path))
    if mount_of(path) is None:
        return found
    return *found, *(f"{SCHEME}://{name}" for text in found for name in (text, text.lstrip("/")))


def folders_of(lake: Path, files: Iterable[str]) -> list[Path]:
    """The lake, and the folders outside of it to which links among the folders of these files, or the files, lead."""
    real: dict[str, str] = {}
    is_link = os.path.islink  # a Path would cost more than the call

    def resolved(folder: str) -> str:
        if folder not in real:
            above, _, name = folder.rpartition("/")
            path = f"{resolved(above)}/{name}" if folder else str(lake)
            real[folder] = os.path.realpath(path) if is_link(path) else path
        return real[folder]

    outside = set[str]()
    for file in files:
        folder, _, name = file.rpartition("/")
        path = f"{resolved(folder)}/{name}"
        if is_link(path):
            outside.add(str(Path(path).resolve().parent))
        elif not path.startswith(f"{lake}/"):
            outside.add(path.rpartition("/")[0])
    return [lake, *map(Path, sorted(outside))]
