"""Execution of a plan: tasks in dependency order and in parallel. The only module that runs SQL with effects."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from sqlgen.builders.workspace import Workspace
from sqlgen.errors import TaskError
from sqlgen.lake import faults, swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.reads import Reads
from sqlgen.plan.batches import Group, batches, groups
from sqlgen.plan.plan import Plan, Task, TaskId
from sqlgen.plan.publishedunits import Facts
from sqlgen.published.manifest import Manifest
from sqlgen.published.records import Published
from sqlgen.run.execution import Execution
from sqlgen.run.machine import Settings, Threads, connect, warming
from sqlgen.run.report import Report, ReportStore, Result, pending_result
from sqlgen.run.schedule import Schedule
from sqlgen.run.watcher import Watcher
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
            faults.point("staging: to be cleared")
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
        execution = Execution(self.plan, self.facts, self.manifest, space, connection, lambda: self._stopping)

        def execute(batch: Sequence[Task]) -> list[Result]:
            for task in batch:
                self.watcher.running(task)
            return execution.batch(batch)

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
            batch_ended=self.watcher.batch_ended,
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
            faults.point("layout: to be changed")
            if staged.exists():
                swap.publish_folder(staged, target)
            else:
                swap.remove(target, space.staging / f"gone-{name}", self.project.lake)
        faults.point("layout: changed")
        self.manifest.note(name, built.values(), old)
        for unit in {*old, *built}:
            self.picture.states.keep(name, unit, built[unit].build if unit in built else "")
        self.facts.records[name] = built
        return ""


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
