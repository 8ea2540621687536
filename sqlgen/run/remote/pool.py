"""The workers of a Ray cluster, as a run uses them."""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct, field

from sqlgen.builders.handover import Handed
from sqlgen.builders.unit import quarantine_of
from sqlgen.errors import SqlgenError, TaskError, first_line
from sqlgen.lake import storage, swap
from sqlgen.plan.plan import Build, TaskId
from sqlgen.run.execution import Execution
from sqlgen.run.machine import Settings
from sqlgen.run.remote.parcel import Delivery, Site, packed
from sqlgen.run.remote.worker import work
from sqlgen.run.report import Result
from sqlgen.run.schedule import blocked, in_halves, skipped

_REACHED = 10.0
"""Seconds in which a cluster must answer."""
RETRIES = 2
"""Further attempts of a batch whose worker has died; then it is split, until the partition at fault is alone."""


class Pool(Struct):
    """Workers that build batches."""

    execution: Execution
    """Publishes and records."""
    width: int
    """Number of batches that are built at once."""
    _work: Any
    _site: Any
    _refs: set[Any] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def batch(self, tasks: Sequence[Build]) -> list[Result]:
        """Let a worker build tasks; publish and record them."""
        import ray

        parcel = packed(self.execution.plan, self.execution.facts, tasks)
        ref = self._work.remote(self._site, parcel)
        with self._lock:
            self._refs.add(ref)
        try:
            delivery: Delivery = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            return [self.execution.result(task, _cause(error), 0.0) for task in tasks]
        except ray.exceptions.RayError as error:
            if len(tasks) > 1 and not self.execution.stopping():
                return in_halves(tasks, self.batch)
            died = TaskError(
                f"the Ray worker that built it died, {RETRIES + 1} times ({first_line(error)}). If it ran out of"
                " memory, give --memory-limit, which is that of each worker, or workers with more memory"
            )
            return [self.execution.result(task, died, 0.0) for task in tasks]
        finally:
            with self._lock:
                self._refs.discard(ref)
        return self._published(tasks, delivery)

    def interrupt(self) -> None:
        """Stop the workers."""
        import ray

        with self._lock:
            refs = [*self._refs]
        for ref in refs:
            ray.cancel(ref, force=True)

    def _published(self, tasks: Sequence[Build], delivery: Delivery) -> list[Result]:
        """Publish the units of a delivery in order; the results of all of its tasks."""
        space = self.execution.space
        space.reads.add(delivery.reads)
        handed = {each.record.partition: each for each in delivery.handed}
        results: dict[TaskId, Result] = {}
        for task, result in zip(tasks, delivery.results, strict=True):
            if reason := blocked(task, results):
                results[task.id] = skipped(task, reason)
            elif task.unit in handed:
                results[task.id] = self._publish(task, result, handed[task.unit])
            else:
                results[task.id] = result
        if any(each.flushed for each in delivery.handed):
            for each in delivery.handed:
                swap.retire(each.folder.parent)
            storage.sync_all(space.project.lake)
        return [*results.values()]

    def _publish(self, task: Build, result: Result, handed: Handed) -> Result:
        space = self.execution.space
        quarantine = quarantine_of(space, task, handed.record)
        quarantine.folder, quarantine.files = handed.quarantine, handed.quarantined
        trash = handed.folder.with_name("gone")
        try:
            record = space.publisher(task.model).publish(handed.unit, handed.folder, quarantine, trash, handed.flushed)
            self.execution.record(task.model, {task.unit: record}, final=task.model not in space.roots)
        except Exception as error:  # any error is this task's alone: the others go on
            return self.execution.result(task, error, result.seconds)
        return result


@contextlib.contextmanager
def pool(execution: Execution, settings: Settings) -> Iterator[Pool]:
    """Workers of the cluster at ``settings.address``, of the one that runs here, or of a new one on this machine."""
    import ray

    begun = not ray.is_initialized()
    with messages_to_stderr(), contextlib.ExitStack() as end:
        if begun:
            _connect(settings)
            end.callback(ray.shutdown)
        width = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        if not width:
            raise SqlgenError("the Ray cluster has no CPUs. Start nodes that have some. Nothing was run")
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(work)
        yield Pool(execution, width, remote, ray.put(Site.of(execution.space, settings.memory_limit)))


def _connect(settings: Settings) -> None:
    import ray

    options: dict[str, Any] = {"address": settings.address}
    if settings.address is None:
        options = {"num_cpus": settings.threads, "include_dashboard": False}
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        _reach(settings.address or "")
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where, why = settings.address or "this machine", first_line(error).rstrip(".")
        raise SqlgenError(f"no Ray cluster at {where}: {why}. Nothing was run") from error
    except SystemExit:  # of Ray's handler, which ends the process without a message
        if callable(before):
            before(signal.SIGTERM, None)
        raise
    finally:
        if main:  # Ray sets its own
            signal.signal(signal.SIGTERM, before)


def _reach(address: str) -> None:
    """:class:`OSError` where nothing answers at ``HOST:PORT``: Ray would try for minutes."""
    if found := re.fullmatch(r"(?:ray://)?\[?([\w.:-]+?)\]?:(\d+)", address):
        socket.create_connection((found[1], int(found[2])), _REACHED).close()


@contextlib.contextmanager
def messages_to_stderr() -> Iterator[None]:
    """Let Ray print its messages (that a worker died) to standard error: a report in JSON is on standard output."""
    worker = importlib.import_module("ray._private.worker")
    tell = getattr(worker, "print_to_stdstream", None)
    if tell is None:
        yield
        return

    def told(data: dict[str, Any], *arguments: Any, **options: Any) -> None:
        tell({**data, "is_err": True}, *arguments, **options)

    worker.print_to_stdstream = told  # type: ignore[attr-defined]
    try:
        yield
    finally:
        worker.print_to_stdstream = tell  # type: ignore[attr-defined]


def _cause(error: Any) -> Exception:
    """The error that a worker has raised."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else TaskError(first_line(error))
