"""Executes a plan: tasks in dependency order and in parallel. The only module that runs SQL with effects."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import duckdb

from sqlgen.builders.batch import Batch, Outcome
from sqlgen.builders.unit import Built, build, remove
from sqlgen.builders.workspace import Workspace
from sqlgen.errors import SqlgenError, TaskError
from sqlgen.lake import storage, swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.reads import Reads
from sqlgen.plan.batches import batches
from sqlgen.plan.plan import Build, Plan, Removal, Task, TaskId
from sqlgen.plan.standing import Facts
from sqlgen.plan.units import Units
from sqlgen.project.model import Model
from sqlgen.project.rowchecks import CheckFailed
from sqlgen.published.manifest import Manifest
from sqlgen.published.records import Published
from sqlgen.run.failures import explain
from sqlgen.run.report import Report, ReportStore, Result, pending_result
from sqlgen.run.schedule import Schedule
from sqlgen.stream.kernel_copy import open_cursor


class Watcher(Protocol):
    """Is told what happens, from the main thread."""

    def started(self, plan: Plan) -> None: ...
    def running(self, task: Task) -> None: ...
    def finished(self, result: Result) -> None: ...


@dataclass(frozen=True)
class Settings:
    """How a run uses the machine."""

    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    memory_limit: str | None = None
    fail_fast: bool = False
    instance: duckdb.DuckDBPyConnection | None = None
    """A DuckDB instance that is open already, with settings of its own: opening one takes longer than a small run."""


def connect(settings: Settings, temp: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB instance for one run; :class:`SqlgenError` where a setting is not valid."""
    if settings.instance is not None:
        return settings.instance.cursor()
    config: dict[str, str | bool | int | float | list[str]] = {"threads": settings.threads}
    if settings.memory_limit is not None:
        config["memory_limit"] = settings.memory_limit
    if temp is not None:
        config["temp_directory"] = str(temp)
    try:
        return duckdb.connect(config=config)
    except duckdb.Error as error:
        raise SqlgenError(f"DuckDB does not take these settings: {error}") from error


def duckdb_threads(threads: int, sizes: Sequence[int]) -> int:
    """Threads of the DuckDB instance while tasks that read ``sizes`` bytes are to be done, on ``threads`` in all.

    A statement runs on the thread of its task and on those that the instance has beyond its first. Tasks enough to keep
    every thread busy are quicker, in half of the memory, where each has one thread alone; but one that is far larger
    than the others would be the last by itself.
    """
    width = min(threads, len(sizes))
    if width == 0 or max(sizes) * width > 1.5 * sum(sizes):
        return threads
    return threads - width + 1


@dataclass
class Runner:
    """One run over a plan."""

    plan: Plan
    manifest: Manifest
    reports: ReportStore
    settings: Settings
    watcher: Watcher
    reads: Reads
    _cursors: list[duckdb.DuckDBPyConnection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.picture = self.plan.picture
        self.project = self.picture.project
        self.facts = Facts.of(self.plan)
        self._stopping = False

    def interrupt(self) -> None:
        """Stop the statements that are running; interrupting their parent would not reach them."""
        self._stopping = True
        for cursor in list(self._cursors):
            with contextlib.suppress(duckdb.Error):  # it was closed this very moment
                cursor.interrupt()

    def run(self, report: Report) -> Report:
        """Execute every task; failures are in the report and stop only what depends on them."""
        begun, plan = time.monotonic(), self.plan
        full_refresh = plan.selection.full_refresh
        space = Workspace(self.picture, self.facts, report.run_id, self.reads, full_refresh, self._cursors)
        space.roots = self._new_layouts(space)
        before = {name: self.facts.records[name] for name in space.roots}
        self.facts.records.update({name: {} for name in space.roots})
        self.reports.save(report)
        self.watcher.started(plan)
        temp = space.staging / "tmp"
        results: dict[TaskId, Result] = {}
        try:
            temp.mkdir(parents=True, exist_ok=True)  # DuckDB creates the last folder only
            with connect(self.settings, temp) as connection, _warming(self.project.models[t.model] for t in plan.tasks):
                self._schedule(space, connection, report, results).go()
            for name, records in before.items():
                mine = [results[task.id] for task in plan.tasks if task.model == name]
                if problem := self._swap_table(name, records, space, mine):
                    report.errors = (*report.errors, problem)
        finally:
            done = (results.get(task.id, pending_result(task)) for task in plan.tasks)
            report.tasks = [result for result in done if result.is_told(plan.beside)]
            report.seconds = round(time.monotonic() - begun, 3)
            swap.sweep(at_once=True)
            shutil.rmtree(space.staging, ignore_errors=True)
        report.ended_at = _now()
        self.reports.finish(report)
        return report

    def _schedule(
        self,
        space: Workspace,
        connection: duckdb.DuckDBPyConnection,
        report: Report,
        results: dict[TaskId, Result],
    ) -> Schedule:
        def execute(batch: Sequence[Task]) -> list[Result]:
            for task in batch:
                self.watcher.running(task)
            return self.execute_batch(batch, space, connection)

        def in_batches(tasks: Iterable[Task]) -> Iterator[Sequence[Task]]:
            found = [*tasks]
            yield from ([task] for task in found if task.model in space.roots)
            yield from batches(
                (task for task in found if task.model not in space.roots), self.picture, self.settings.threads
            )

        beside = self.plan.beside

        def finished(result: Result) -> None:
            if result.is_told(beside):
                self.reports.note(report, result)
                self.watcher.finished(result)

        threads = _Threads(self.settings, connection)
        return Schedule(
            self.plan,
            self.settings.threads,
            self.settings.fail_fast,
            batches=in_batches,
            execute=execute,
            finished=finished,
            interrupt=self.interrupt,
            share=threads.share,
            results=results,
        )

    def _new_layouts(self, space: Workspace) -> dict[str, Path]:
        """Models that are published by other keys than models.yaml says now -> where they are built."""
        changed = {
            task.model
            for task in self.plan.tasks
            for record in self.facts.records[task.model].values()
            if record.keys != self.project.models[task.model].output.partition_by
        }
        return {name: space.staging / "tables" / name for name in changed}

    def _swap_table(self, name: str, old: dict[Partition, Published], space: Workspace, results: list[Result]) -> str:
        """Publish a table in its new layout, if every partition of it was built; else leave it as it was.

        Why it could not be, where that is no task's fault; otherwise empty.
        """
        built = self.facts.records[name]
        self.facts.records[name] = old
        if not all(result.ok for result in results):
            return ""
        model = self.project.models[name]
        try:
            self.picture.tables[name].verify_whole()
        except TaskError as error:
            return str(error)
        for staged, target in (
            (space.quarantine_root(name), self.project.lake / model.quarantine),
            (space.roots[name], self.project.lake / model.output.path),
        ):
            if staged.exists():
                swap.publish_folder(staged, target)
            else:
                swap.remove(target, space.staging / f"gone-{name}", self.project.lake)
        self.manifest.correct(name, built.values(), old)
        for unit in {*old, *built}:
            self.picture.states.keep(name, unit, built[unit].build if unit in built else "")
        self.facts.records[name] = built
        return ""

    def execute_batch(
        self, batch: Sequence[Task], space: Workspace, connection: duckdb.DuckDBPyConnection
    ) -> list[Result]:
        """Run tasks by one statement or, where that does not do, in smaller batches, in the end one by one."""
        if len(batch) == 1:
            return [self.execute(batch[0], space, connection)]
        begun = time.monotonic()
        builds = [self._resolved(task) for task in batch if isinstance(task, Build)]
        stale = [task for task in builds if task.reason]
        outcomes: dict[TaskId, Outcome] = {
            task.id: Built("unchanged", self.facts.record(task.model, task.unit)) for task in builds
        }
        try:
            with open_cursor(connection, self._cursors) as cursor:
                found = Batch(space, stale, cursor).build() if stale else []
        except Exception as error:  # whose fault it is, and what is to be said of it, shows where they are built alone
            if self._stopping:
                return [self._result(task, error, _since(begun) / len(batch), space) for task in batch]
            parts = (batch[: len(batch) // 2], batch[len(batch) // 2 :])
            return [result for part in parts for result in self.execute_batch(part, space, connection)]
        outcomes |= zip((task.id for task in stale), found, strict=True)
        built = {task.unit: told.record for task, told in zip(stale, found, strict=True) if isinstance(told, Built)}
        self._record(batch[0].model, built)
        seconds = _since(begun) / len(batch)
        return [self._result(task, outcomes[task.id], seconds, space) for task in builds]

    def _record(self, model: str, built: Mapping[Partition, Published | None], final: bool = True) -> None:
        """Keep in mind what is published now, and write it down if it is ``final``."""
        for unit, record in built.items():
            self.facts.published(model, unit, record)
        if final:
            gone = [unit for unit, record in built.items() if record is None]
            self.manifest.correct(model, filter(None, built.values()), gone)

    def execute(self, task: Task, space: Workspace, connection: duckdb.DuckDBPyConnection) -> Result:
        """Run one task to its end; never raises for what a user can cause."""
        begun = time.monotonic()
        sql: list[str] = []
        notes: list[str] = []
        try:
            with open_cursor(connection, self._cursors) as cursor:
                built = self._do(task, space, cursor, sql, notes)
            if built.status != "unchanged":
                self._record(task.model, {task.unit: built.record}, final=task.model not in space.roots)
        except Exception as error:  # whatever it is, it is this task's alone: the others go on
            return self._result(task, error, _since(begun), space, sql, notes)
        return self._result(task, built, _since(begun), space, sql, notes)

    def _result(
        self,
        task: Task,
        outcome: Outcome,
        seconds: float,
        space: Workspace,
        sql: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> Result:
        result = dataclasses.replace(pending_result(task), seconds=seconds, notes=tuple(notes))
        if isinstance(outcome, Exception):
            template = self.project.models[task.model].config.sql
            failure = explain(outcome, task, template, sql[-1] if sql else None, self.project.lake)
            message = str(failure)
            if sql and isinstance(outcome, duckdb.Error):
                message += f"\n  SQL: {self._keep_sql(space.run_id, task, sql[-1])}"
            counts = outcome.counts if isinstance(outcome, CheckFailed) else ()
            return dataclasses.replace(result, status="failed", error=message, checks=counts)
        written = outcome.record if outcome.status != "unchanged" else None
        rows, size = (written.rows, written.bytes) if written is not None else (0, 0)
        return dataclasses.replace(
            result,
            status=outcome.status,
            rows_in=outcome.rows_in,
            rows_out=rows,
            bytes=size,
            checks=outcome.checks,
        )

    def _do(
        self, task: Task, space: Workspace, cursor: duckdb.DuckDBPyConnection, sql: list[str], notes: list[str]
    ) -> Built:
        if isinstance(task, Removal):
            return remove(space, task)
        assert isinstance(task, Build)
        task = self._resolved(task)
        if not task.reason:
            return Built("unchanged", self.facts.record(task.model, task.unit))
        return build(space, task, cursor, sql, notes)

    def _resolved(self, task: Build) -> Build:
        """The task as it stands now that all that it needs is done; without a reason if nothing is to be done."""
        units = Units(self.picture, self.facts, self.project.models[task.model], self.plan.selection)
        return units.resolved(task, mends=task.id in self.plan.unusable)

    def _keep_sql(self, run_id: str, task: Task, sql: str) -> Path:
        path = self.project.state / "failed" / run_id / task.model / (task.unit.path.replace("/", "--")[:200] + ".sql")
        try:
            storage.replace_text(path, sql + "\n")
        except OSError:
            return Path("(could not be kept)")
        return path


@dataclass
class _Threads:
    """Number of threads of a run's DuckDB instance."""

    settings: Settings
    connection: duckdb.DuckDBPyConnection

    def __post_init__(self) -> None:
        self._now = self.settings.threads

    def share(self, tasks: Iterator[Task], busy: bool) -> None:
        """Give DuckDB the threads that ``tasks`` leave. Taking some away would wait for statements that run."""
        if self.settings.instance is not None:
            return
        next_ones = itertools.islice(tasks, 8 * self.settings.threads)
        wanted = duckdb_threads(self.settings.threads, [_bytes(task) for task in next_ones])
        if wanted > self._now or (wanted < self._now and not busy):
            self.connection.execute(f"SET threads = {wanted}")
            self._now = wanted


@contextlib.contextmanager
def _warming(models: Iterable[Model]) -> Iterator[None]:
    """Load the kernels of ``models`` meanwhile: tasks would all wait for the first, just when its rows have come."""
    chains = {model.name: model.chain for model in models if model.chain is not None}
    pool = ThreadPoolExecutor(1)
    try:
        for chain in chains.values():
            pool.submit(chain.warm)  # a kernel that fails will do so in a task, which says what failed
        yield
    finally:
        pool.shutdown(cancel_futures=True)


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 4)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _bytes(task: Task) -> int:
    """What a task reads of sources; 1 where it reads models, whose files may not be there yet."""
    return sum(file.size for part in task.slices for file in part.files) or 1
