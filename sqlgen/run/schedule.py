"""Scheduling of one run: ready tasks go to threads, results come back to the main thread."""

from __future__ import annotations

import concurrent.futures
import contextlib
import graphlib
import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any, TypeVar

from msgspec import Struct, field, structs

from sqlgen.lake.partitions import Partition
from sqlgen.plan.plan import WHOLE_MODEL, Task, TaskId
from sqlgen.run.report import Result, pending_result

Some = TypeVar("Some", bound=Task)
_PATIENCE = 0.2
"""Seconds after which a signal, or a task that goes on to its next statement, is looked for."""

_SWITCH = 0.0005
"""Seconds after which a thread leaves the interpreter to one that waits for it. By default it is ten times as long,
in which the rows of another task wait for their kernels."""


class Schedule(Struct, dict=True):
    """Executes the tasks of a plan, each after its upstream tasks."""

    threads: int
    fail_fast: bool
    groups: Sequence[Sequence[Task]]
    """The tasks of the plan; those of a group start together, in their order."""
    batches: Callable[[Iterable[Sequence[Task]]], Iterable[Sequence[Task]]]
    """Groups that may run now, in batches."""
    execute: Callable[[Sequence[Task]], Sequence[Result]]
    """Runs the tasks of one batch, in a thread of its own."""
    finished: Callable[[Result], None]
    """Called with each result, in the main thread."""
    batch_ended: Callable[[], None]
    """Called in the main thread once all results of a batch are known."""
    interrupt: Callable[[], None]
    """Interrupts running statements."""
    share: Callable[[Iterator[Task], bool], None]
    """Called with the tasks that run and come next, and True if any runs."""
    results: dict[TaskId, Result] = field(default_factory=dict)
    _running: dict[Future[Sequence[Result]], Sequence[TaskId]] = field(default_factory=dict)
    _stopped: bool = False

    def __post_init__(self) -> None:
        self._groups = {group[0].id: group for group in self.groups}
        self._group_of = {task.id: group[0].id for group in self.groups for task in group}

    def go(self) -> None:
        """Execute all tasks. An exception in this thread first stops the running ones."""
        sorter = graphlib.TopologicalSorter(self._graph())
        sorter.prepare()
        with _switching_often(), ThreadPoolExecutor(self.threads) as pool:
            try:
                with held_signals() as deliver:
                    while sorter.is_active():
                        self._start(sorter, pool)
                        self._collect(sorter)
                        deliver()
            except BaseException:
                self._stop(pool)
                raise

    def _start(self, sorter: graphlib.TopologicalSorter[TaskId], pool: ThreadPoolExecutor) -> None:
        ready = sorter.get_ready()
        if ready:
            running = dict.fromkeys(self._group_of[key] for keys in self._running.values() for key in keys)
            known = (self._groups[key] for key in itertools.chain(running, ready) if key in self._groups)
            self.share(itertools.chain.from_iterable(known), bool(self._running))
        free: list[Sequence[Task]] = []
        for key in ready:
            if found := self._unblocked(self._groups.get(key, ())):
                free.append(found)
            else:
                sorter.done(key)
        for batch in self.batches(free):
            self._running[pool.submit(self.execute, batch)] = [task.id for task in batch]

    def _unblocked(self, group: Sequence[Task]) -> Sequence[Task]:
        """Tasks of a group that may run; the others are skipped."""
        found = []
        for task in group:
            reason = self._blocked(task)
            if reason is None:
                found.append(task)
            else:
                self._done(task.id, skipped(task, reason))
        return found

    def _collect(self, sorter: graphlib.TopologicalSorter[TaskId]) -> None:
        if not self._running:
            return
        done, _ = concurrent.futures.wait(self._running, _PATIENCE, return_when=concurrent.futures.FIRST_COMPLETED)
        groups: dict[TaskId, None] = {}
        for future in done:
            for key, result in zip(self._running.pop(future), future.result(), strict=True):
                self._done(key, result)
                self._stopped = self._stopped or (self.fail_fast and not result.ok)
                groups[self._group_of[key]] = None
            self.batch_ended()
        sorter.done(*groups)

    def _done(self, key: TaskId, result: Result) -> None:
        self.results[key] = result
        self.finished(result)

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        """Wait for the running tasks: none may go on after the lake's lock is released."""
        pool.shutdown(wait=False, cancel_futures=True)
        # concurrent.futures.wait() waits for ever for a cancelled future; a task that is between two statements goes
        # on to the next.
        while going := [future for future in self._running if not future.done()]:
            self.interrupt()
            concurrent.futures.wait(going, _PATIENCE)
        for future, keys in self._running.items():
            if not future.cancelled() and future.exception() is None:
                self.results |= zip(keys, future.result(), strict=True)

    def _blocked(self, task: Task) -> str | None:
        if self._stopped:
            return "not started: an earlier task failed (--fail-fast)"
        return blocked(task, self.results)

    def _graph(self) -> Mapping[TaskId, set[TaskId]]:
        """Groups, and those that each waits for; a whole model is one that waits for all of its own."""
        graph: dict[TaskId, set[TaskId]] = {}
        for key, group in self._groups.items():
            needs = {self._group_of.get(need, need) for task in group for need in task.needs}
            graph[key] = needs - {key}
        for barrier in {need for needs in graph.values() for need in needs if need[1] == WHOLE_MODEL}:
            graph[barrier] = {key for key in self._groups if key[0] == barrier[0]}
        return graph


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    """Let threads take turns in the interpreter more often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def held_signals() -> Iterator[Callable[[], None]]:
    """Context in which a signal waits for the call of what it gives; a second one does not wait.

    Their handlers raise exceptions, and one that is raised among the locks of futures leaves some of them locked.
    """
    waiting: list[int] = []
    handlers: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if waiting:
            with contextlib.suppress(KeyboardInterrupt):  # of the first, whose handler ends the process at the second
                handlers[waiting[0]](waiting[0], frame)
            handlers[number](number, frame)
        waiting.append(number)

    def deliver() -> None:
        if waiting:
            handlers[waiting[0]](waiting.pop(), None)

    if threading.current_thread() is threading.main_thread():
        for number in {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
            if callable(handler := signal.getsignal(number)):
                handlers[number] = handler
                signal.signal(number, note)
    try:
        yield deliver
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    deliver()


def blocked(task: Task, results: Mapping[TaskId, Result]) -> str | None:
    """Reason why a task cannot run: one that it needs was not done."""
    for need in task.needs:
        if need[1] == WHOLE_MODEL:
            failed = next((r for key, r in results.items() if key[0] == need[0] and not r.ok), None)
        else:
            failed = result if (result := results.get(need)) is not None and not result.ok else None
        if failed is not None:
            return f"skipped: {failed.model} {Partition.from_path(failed.partition)} {failed.status}"
    return None


def skipped(task: Task, reason: str) -> Result:
    """Result of a task that is not started."""
    return structs.replace(pending_result(task), status="skipped", error=reason)


def in_halves(batch: Sequence[Some], execute: Callable[[Sequence[Some]], Sequence[Result]]) -> list[Result]:
    """Execute a batch in two parts, each task unless one that it needs has failed."""
    results: dict[TaskId, Result] = {}
    for part in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
        free = []
        for task in part:
            if reason := blocked(task, results):
                results[task.id] = skipped(task, reason)
            else:
                free.append(task)
        if free:
            results |= zip((task.id for task in free), execute(free), strict=True)
    return [results[task.id] for task in batch]
