"""Execution of a plan: tasks in dependency order and in parallel. The only module that runs SQL with effects."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from sqlgen.builders.batch import BatchBuild, NotBuiltError, Outcome
from sqlgen.builders.unit import BuildResult, build, remove
from sqlgen.builders.workspace import Workspace
from sqlgen.errors import TaskError
from sqlgen.lake import swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.reads import Reads
from sqlgen.plan.batches import Group, batches, groups
from sqlgen.plan.plan import Build, Plan, Removal, Task, TaskId
from sqlgen.plan.publishedunits import Ahead, Facts
from sqlgen.plan.units import Units
from sqlgen.project.rowchecks import CheckFailed
from sqlgen.published.manifest import Manifest
from sqlgen.published.records import Published
from sqlgen.run.failures import explain, keep_sql
from sqlgen.run.machine import Settings, Threads, connect, warming
from sqlgen.run.report import Report, ReportStore, Result, pending_result
from sqlgen.run.schedule import Schedule, in_halves, skipped
from sqlgen.run.watcher import Watcher
from sqlgen.stream.kernel_copy import open_cursor
from sqlgen.templating.connection import folders_of


@dataclass
class Runner:
    """One run over a plan."""

    plan: Plan
    facts: Facts
    manifest: Manifest
    reports: ReportStore
    settings: Settings
    watcher: Watcher
    reads: Reads
    _cursors: list[duckdb.DuckDBPyConnection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.picture = self.plan.picture
        self.project = self.picture.project
        self._stopping = False

    def interrupt(self) -> None:
        """Interrupt running statements; interrupting the parent connection would not reach them."""
        self._stopping = True
        for cursor in list(self._cursors):
            with contextlib.suppress(duckdb.Error):  # closed in the meantime
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
            files = (file.path for task in plan.tasks for part in task.slices for file in part.files)
            folders = folders_of(self.project.lake, (*files, *self.project.places))
            with (
                connect(self.settings, folders, temp) as connection,
                warming(self.project.models[t.model] for t in plan.tasks),
            ):
                self._schedule(space, connection, report, results).go()
            for name, records in before.items():
                mine = [results[task.id] for task in plan.tasks if task.model == name]
                if problem := self._swap_table(name, records, space, mine):
                    report.errors = (*report.errors, problem)
        finally:
            done = (results.get(task.id, pending_result(task)) for task in plan.tasks)
            report.tasks = [result for result in done if result.is_shown(plan.beside)]
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

        def in_batches(found: Iterable[Group]) -> Iterator[Group]:
            ready = [*found]
            yield from (group for group in ready if group[0].model in space.roots)
            rest = (group for group in ready if group[0].model not in space.roots)
            yield from batches(rest, self.picture, self.settings.threads)

        beside = self.plan.beside

        def finished(result: Result) -> None:
            if result.is_shown(beside):
                self.reports.note(report, result)
                self.watcher.finished(result)

        threads = Threads(self.settings, connection)
        return Schedule(
            self.settings.threads,
            self.settings.fail_fast,
            groups=[*groups(self.plan.tasks, self.picture, space.roots)],
            batches=in_batches,
            execute=execute,
            finished=finished,
            interrupt=self.interrupt,
            share=threads.share,
            results=results,
        )

    def _new_layouts(self, space: Workspace) -> dict[str, Path]:
        """Models published with another ``partition_by`` than that of models.yaml -> folder of the new table."""
        changed = {
            task.model
            for task in self.plan.tasks
            for record in self.facts.records[task.model].values()
            if record.keys != self.project.models[task.model].output.partition_by
        }
        return {name: space.staging / "tables" / name for name in changed}

    def _swap_table(self, name: str, old: dict[Partition, Published], space: Workspace, results: list[Result]) -> str:
        """Publish a table in its new layout if all of its partitions were built; otherwise leave it as it was.

        Returns the reason why it could not be published, if no task is to blame; otherwise an empty text.
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
        self.manifest.note(name, built.values(), old)
        for unit in {*old, *built}:
            self.picture.states.keep(name, unit, built[unit].build if unit in built else "")
        self.facts.records[name] = built
        return ""

    def execute_batch(
        self, batch: Sequence[Task], space: Workspace, connection: duckdb.DuckDBPyConnection
    ) -> list[Result]:
        """Run tasks by one statement or, if that fails, in smaller batches, in the end one by one."""
        if len(batch) == 1:
            return [self.execute(batch[0], space, connection)]
        begun = time.monotonic()
        builds = [task for task in batch if isinstance(task, Build)]
        stale = self._stale(builds)
        outcomes: dict[TaskId, Outcome] = {
            task.id: BuildResult("unchanged", self.facts.record(task.model, task.unit)) for task in builds
        }
        try:
            with open_cursor(connection, self._cursors) as cursor:
                found = BatchBuild(space, stale, cursor, self._resolved).build() if stale else []
        except Exception as error:  # the unit at fault, and the reason, show when units are built alone
            if self._stopping:
                return [self._result(task, error, _since(begun) / len(batch), space) for task in batch]
            return in_halves(batch, lambda part: self.execute_batch(part, space, connection))
        outcomes |= zip((task.id for task in stale), found, strict=True)
        built = {
            task.unit: told.record
            for task, told in zip(stale, found, strict=True)
            if isinstance(told, BuildResult) and told.status != "unchanged"
        }
        self._record(batch[0].model, built)
        seconds = _since(begun) / len(batch)
        return [self._result(task, outcomes[task.id], seconds, space) for task in builds]

    def _stale(self, tasks: Sequence[Build]) -> list[Build]:
        """Tasks with something to do, as far as it is known before the kernel states that they start from."""
        found: dict[Partition | None, Build] = {}
        for task in tasks:
            waits = self.project.models[task.model].chain is not None and task.previous in found
            resolved = task if waits else self._resolved(task)
            if resolved.reason:
                found[task.unit] = resolved
        return list(found.values())

    def _record(self, model: str, built: Mapping[Partition, Published | None], final: bool = True) -> None:
        """Update the published units, and the manifest if ``final``."""
        for unit, record in built.items():
            self.facts.published(model, unit, record)
        if final:
            gone = [unit for unit, record in built.items() if record is None]
            self.manifest.note(model, filter(None, built.values()), gone)

    def execute(self, task: Task, space: Workspace, connection: duckdb.DuckDBPyConnection) -> Result:
        """Run one task to its end; never raises for errors that a user can cause."""
        begun = time.monotonic()
        sql: list[str] = []
        notes: list[str] = []
        try:
            with open_cursor(connection, self._cursors) as cursor:
                built = self._do(task, space, cursor, sql, notes)
            if built.status != "unchanged":
                self._record(task.model, {task.unit: built.record}, final=task.model not in space.roots)
        except Exception as error:  # any error is this task's alone: the others go on
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
        if isinstance(outcome, NotBuiltError):
            return skipped(task, f"skipped: {task.model} {outcome} failed")
        if isinstance(outcome, Exception):
            template = self.project.models[task.model].config.sql
            failure = explain(outcome, task, template, sql[-1] if sql else None, self.project.lake)
            message = str(failure)
            if sql and isinstance(outcome, duckdb.Error):
                message += f"\n  SQL: {keep_sql(self.project.state / 'failed' / space.run_id, task, sql[-1])}"
            counts = outcome.counts if isinstance(outcome, CheckFailed) else ()
            return dataclasses.replace(result, status="failed", error=message, checks=counts)
        written = outcome.record if outcome.status != "unchanged" else None
        rows, size = (written.rows, written.bytes) if written is not None else (0, 0)
        return dataclasses.replace(
            result,
            status=outcome.status,
            rows_in=outcome.rows_in,
            notes=(*result.notes, *outcome.notes),
            rows_out=rows,
            bytes=size,
            checks=outcome.checks,
        )

    def _do(
        self, task: Task, space: Workspace, cursor: duckdb.DuckDBPyConnection, sql: list[str], notes: list[str]
    ) -> BuildResult:
        if isinstance(task, Removal):
            return remove(space, task)
        assert isinstance(task, Build)
        task = self._resolved(task)
        if not task.reason:
            return BuildResult("unchanged", self.facts.record(task.model, task.unit))
        return build(space, task, cursor, sql, notes)

    def _resolved(self, task: Build, states: Mapping[TaskId, str] | None = None) -> Build:
        """The task, checked again after its upstream tasks; without a reason if nothing is to be done.

        ``states``: kernel states of units that are not published yet.
        """
        units = Units(
            self.picture, Ahead(self.facts, states or {}), self.project.models[task.model], self.plan.selection
        )
        return units.resolved(task, rebuilds_state=task.id in self.plan.unusable)


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 4)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
