"""sqlgen: a DuckDB SQL-first transform engine for limit-order-book data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

__version__ = "0.1.0"

DEFAULT_FILE = "models.yaml"


def __getattr__(name: str) -> Any:
    """Load ``sqlgen.arrays`` when it is first used."""
    if name == "arrays":
        return importlib.import_module("sqlgen.arrays")
    raise AttributeError(f"module 'sqlgen' has no attribute '{name}'")


def connect(path: str | Path | None = DEFAULT_FILE) -> DuckDBPyConnection:
    """Open a DuckDB connection in memory with the views of a project and the kernels as SQL functions.

    Sources and published models are views; the functions are those of docs/sql-functions.md. Without a project
    (``None``, or no models.yaml in the current folder) there are the functions only.
    """
    # Here, because DuckDB and Numba take a second to load, which `sqlgen --help` need not wait for.
    from sqlgen.explore import session

    return session.connect(path)
