"""sqlgen: a DuckDB SQL-first transform engine for limit-order-book data."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from sqlgen.operate.openproject import OpenProject

__version__ = "0.1.0"

_UDFS = Path(__file__).resolve().parents[1] / "udfs"


class _KernelsFinder:
    """Finder of the packaged ``udfs``: a project may have a folder of that name, on the path."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name != "udfs":
            return None
        places = [str(_UDFS)]
        return importlib.util.spec_from_file_location(name, _UDFS / "__init__.py", submodule_search_locations=places)


if "udfs" in sys.modules and _UDFS not in Path(sys.modules["udfs"].__file__ or "").resolve().parents:
    raise ImportError(
        f"the package udfs is {sys.modules['udfs'].__file__} already, and not that of sqlgen: import sqlgen before it"
    )
sys.meta_path.insert(0, _KernelsFinder)

DEFAULT_FILE = "models.yaml"


_LAZY = ("arrays", "functions", "live", "sample")
"""Packages for users that load when they are first used."""


def __getattr__(name: str) -> Any:
    """Load one of the packages for users."""
    if name in _LAZY:
        return importlib.import_module(f"sqlgen.{name}")
    raise AttributeError(f"module 'sqlgen' has no attribute '{name}'")


def open(  # noqa: A001  # sqlgen.open, as gzip.open
    path: str | Path = DEFAULT_FILE,
    *,
    threads: int | None = None,
    memory_limit: str | None = None,
    executor: str = "threads",
    address: str | None = None,
) -> OpenProject:
    """Open a project, to plan, run and look at it; every problem of models.yaml in one error.

    Args:
        path: models.yaml.
        threads: number of partitions built at once; the CPUs of the process by default.
        memory_limit: DuckDB's memory limit, for example ``4GB``.
        executor: ``threads`` of this process, or the workers of a ``ray`` cluster.
        address: the Ray cluster; a new one on this machine by default.
    """
    from sqlgen.operate.openproject import OpenProject
    from sqlgen.run.machine import Settings

    default = Settings()
    threads = threads or default.threads
    return OpenProject(path, Settings(threads=threads, memory_limit=memory_limit, executor=executor, address=address))


def connect(path: str | Path | None = DEFAULT_FILE) -> DuckDBPyConnection:
    """Open a DuckDB connection in memory with the views of a project and the kernels as SQL functions.

    Sources and published models are views; the functions are those of docs/sql-functions.md. Without a project
    (``None``, or no models.yaml in the current folder) there are the functions only.
    """
    # Here, because DuckDB and Numba take a second to load, which `sqlgen --help` need not wait for.
    from sqlgen.explore import session

    return session.connect(path)
