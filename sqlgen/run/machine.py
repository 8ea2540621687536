"""Resources of a run: its DuckDB instance, threads, and preloaded kernels."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from sqlgen.errors import SqlgenError, UsageError, nearest
from sqlgen.lake.cpus import cpus
from sqlgen.templating.connection import Setting, confine, unconfined

if TYPE_CHECKING:
    import duckdb

    from sqlgen.plan.plan import Task
    from sqlgen.project.model import Model
    from udfs import Pipeline


class Settings(Struct, frozen=True):
    """Resource settings of a run."""

    threads: int = field(default_factory=cpus)
    memory_limit: str | None = None
    fail_fast: bool = False
    read_ahead: bool = True
    """Threads of their own read ahead of DuckDB's; of many small files that costs more than it saves."""
    instance: duckdb.DuckDBPyConnection | None = None
    """An open DuckDB instance to reuse, with its own settings: opening one takes longer than a small run."""
    executor: str = "threads"
    """``threads`` of this process, or the workers of a ``ray`` cluster."""
    address: str | None = None
    """Address of the Ray cluster; ``None``: a new one on this machine."""

    def __post_init__(self) -> None:
        if self.executor not in ("threads", "ray"):
            hint = nearest(self.executor, ("threads", "ray"))
            raise UsageError(f"no executor '{self.executor}'.{hint} There are: threads, ray")
        if self.address is not None and self.executor != "ray":
            raise UsageError("--address is that of a Ray cluster: give --executor ray, too")
        if self.executor == "ray" and importlib.util.find_spec("ray") is None:
            raise UsageError("--executor ray needs Ray: pip install 'sqlgen[ray]'. Nothing was run")


Instance = Callable[[Sequence[Path], "Path | None"], "duckdb.DuckDBPyConnection"]
"""Folders, and one for spilled rows -> a DuckDB instance that is confined to them."""


def opening(settings: Settings) -> Instance:
    """A DuckDB instance for one run, which is opened in the background until it is called for.

    The call raises :class:`SqlgenError` if a setting is not valid.
    """
    import duckdb

    given = settings.instance
    if given is not None:
        return lambda folders, temp: given.cursor()
    config: dict[str, Setting] = {"threads": settings.threads}
    if settings.memory_limit is not None:
        config["memory_limit"] = settings.memory_limit
    if not settings.read_ahead:
        config["async_threads"] = 0
    pool = ThreadPoolExecutor(1)
    opened = pool.submit(unconfined, config)
    pool.shutdown(wait=False)

    def confined(folders: Sequence[Path], temp: Path | None) -> duckdb.DuckDBPyConnection:
        try:
            return confine(opened.result(), folders, temp)
        except duckdb.Error as error:
            raise SqlgenError(f"DuckDB does not take these settings: {error}") from error

    return confined


def connect(settings: Settings, folders: Sequence[Path], temp: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB instance that is confined to ``folders``; :class:`SqlgenError` if a setting is not valid."""
    return opening(settings)(folders, temp)


def duckdb_threads(threads: int, sizes: Sequence[int]) -> int:
    """Threads of the DuckDB instance while tasks that read ``sizes`` bytes are pending, of ``threads`` in all.

    A statement runs on the thread of its task and on those that the instance has beyond its first. If there are enough
    tasks to keep every thread busy, one thread per task is quicker and takes half of the memory; but a task far larger
    than the others would run alone at the end.
    """
    width = min(threads, len(sizes))
    if width == 0 or max(sizes) * width > 1.5 * sum(sizes):
        return threads
    return threads - width + 1


class Threads(Struct, dict=True):
    """Number of threads of a run's DuckDB instance."""

    settings: Settings
    connection: duckdb.DuckDBPyConnection

    def __post_init__(self) -> None:
        self._now = self.settings.threads

    def share(self, tasks: Iterator[Task], busy: bool) -> None:
        """Give DuckDB the threads that ``tasks`` leave free. Reducing them would wait for running statements."""
        if self.settings.instance is not None:
            return
        next_ones = itertools.islice(tasks, 8 * self.settings.threads)
        wanted = duckdb_threads(self.settings.threads, [_bytes(task) for task in next_ones])
        if wanted > self._now or (wanted < self._now and not busy):
            self.connection.execute(f"SET threads = {wanted}")
            self._now = wanted


@contextlib.contextmanager
def warming(models: Iterable[Model], compiling: Callable[[str], None]) -> Iterator[None]:
    """Load the kernels of ``models`` in the background: otherwise all tasks wait for the first one's compilation.

    ``compiling`` is called with the module of each function that is compiled, not loaded from the cache.
    """
    pipelines = {model.name: model.pipeline for model in models if model.pipeline is not None}
    pool = ThreadPoolExecutor(1)
    try:
        for pipeline in pipelines.values():
            pool.submit(_warm, pipeline, compiling)  # a kernel that fails here fails again in a task, which reports it
        yield
    finally:
        pool.shutdown(cancel_futures=True)


def _warm(pipeline: Pipeline, compiling: Callable[[str], None]) -> None:
    with compilations(compiling):
        pipeline.warm()


@contextlib.contextmanager
def compilations(compiling: Callable[[str], None]) -> Iterator[None]:
    """Within it, ``compiling`` is called with the module of each function that Numba begins to compile."""
    from numba.core import event

    class Told(event.Listener):
        def on_start(self, event: Any) -> None:
            package, _, module = event.data["dispatcher"].py_func.__module__.rpartition(".")
            if package.partition(".")[0] != "numba":  # of its own functions, a kernel's call is told
                compiling(module)

        def on_end(self, event: Any) -> None: ...

    with event.install_listener("numba:compile", Told()):
        yield


def _bytes(task: Task) -> int:
    """Bytes that a task reads of sources; 1 if it reads models, whose files may not exist yet."""
    return sum(file.size for part in task.slices for file in part.files) or 1
