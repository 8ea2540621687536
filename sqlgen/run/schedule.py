"""Scheduling of one run: ready tasks go to threads, results come back to the main thread."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import graphlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlgen.lake.partitions import Partition
from sqlgen.plan.plan import WHOLE_MODEL, Plan, Task, TaskId
from sqlgen.run.report import Result, pending_result


@dataclass
class Schedule:
    """Executes the tasks of a plan, each after its upstream tasks."""

    plan: Plan
    threads: int
    fail_fast: bool
    batches: Callable[[Iterable[Task]], Iterable[Sequence[Task]]]
    """Tasks that may run now, in batches."""
    execute: Callable[[Sequence[Task]], Sequence[Result]]
    """Runs the tasks of one batch, in a thread of its own."""
    finished: Callable[[Result], None]
    """Called with each result, in the main thread."""
    interrupt: Callable[[], None]
    """Interrupts running statements."""
    share: Callable[[Iterator[Task], bool], None]
    """Called with the tasks that run and come next, and True if any runs."""
    results: dict[TaskId, Result] = field(default_factory=dict)
    _running: dict[Future[Sequence[Result]], Sequence[TaskId]] = field(default_factory=dict)
    _stopped: bool = False

    def __post_init__(self) -> None:
        self._tasks = {task.id: task for task in self.plan.tasks}

    def go(self) -> None:
        """Execute all tasks. An exception in this thread first stops the running ones."""
        sorter = graphlib.TopologicalSorter(_graph(self.plan))
        sorter.prepare()
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                while sorter.is_active():
                    self._start(sorter, pool)
                    self._collect(sorter)
            except BaseException:
                self._stop(pool)
                raise

    def _start(self, sorter: graphlib.TopologicalSorter[TaskId], pool: ThreadPoolExecutor) -> None:
        ready = sorter.get_ready()
        if ready:
            known = itertools.chain(*self._running.values(), ready)
            self.share((self._tasks[key] for key in known if key in self._tasks), bool(self._running))
        free: list[Task] = []
        for key in ready:
            task = self._tasks.get(key)
            reason = None if task is None else self._blocked(task)
            if task is not None and reason is None:
                free.append(task)
                continue
            if task is not None:
                self._done(key, dataclasses.replace(pending_result(task), status="skipped", error=reason))
            sorter.done(key)
        for batch in self.batches(free):
            self._running[pool.submit(self.execute, batch)] = [task.id for task in batch]

    def _collect(self, sorter: graphlib.TopologicalSorter[TaskId]) -> None:
        if not self._running:
            return
        done, _ = concurrent.futures.wait(self._running, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in done:
            for key, result in zip(self._running.pop(future), future.result(), strict=True):
                self._done(key, result)
                self._stopped = self._stopped or (self.fail_fast and not result.ok)
                sorter.done(key)

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
            concurrent.futures.wait(going, timeout=0.2)
        for future, keys in self._running.items():
            if not future.cancelled() and future.exception() is None:
                self.results |= zip(keys, future.result(), strict=True)

    def _blocked(self, task: Task) -> str | None:
        if self._stopped:
            return "not started: an earlier task failed (--fail-fast)"
        for need in task.needs:
            if need[1] == WHOLE_MODEL:
                failed = next((r for key, r in self.results.items() if key[0] == need[0] and not r.ok), None)
            else:
                failed = result if (result := self.results.get(need)) is not None and not result.ok else None
            if failed is not None:
                return f"skipped: {failed.model} {Partition.from_path(failed.partition)} {failed.status}"
        return None


def _graph(plan: Plan) -> Mapping[TaskId, set[TaskId]]:
    graph: dict[TaskId, set[TaskId]] = {task.id: set(task.needs) for task in plan.tasks}
    barriers = {need for task in plan.tasks for need in task.needs if need[1] == WHOLE_MODEL}
    for barrier in barriers:
        graph[barrier] = {task.id for task in plan.tasks if task.model == barrier[0]}
    return graph
