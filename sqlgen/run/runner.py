"""Execution of a plan: tasks in dependency order and in parallel. The only module that runs SQL with effects."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from msgspec import Struct, field

from sqlgen.builders.workspace import Workspace
from sqlgen.errors import TaskError, UsageError
from sqlgen.lake import faults, swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.reads import Reads
from sqlgen.lake.remote import mounts
from sqlgen.lake.remote.refusals import StoreError
from sqlgen.plan.batches import Group, batches, groups
from sqlgen.plan.plan import Build, Plan, Task, TaskId
from sqlgen.plan.publishedunits import Facts
from sqlgen.published.manifest import Manifest
from sqlgen.published.records import Published
from sqlgen.run.execution import Execution
from sqlgen.run.machine import Instance, Settings, Threads, warming
from sqlgen.run.report import Report, ReportStore, Result, pending_result
from sqlgen.run.schedule import Schedule
from sqlgen.run.watcher import Watcher
from sqlgen.templating.connection import folders_of

if TYPE_CHECKING:
    from sqlgen.run.remote.pool import Pool


class Runner(Struct, dict=True):
    """One run over a plan."""

    plan: Plan
    facts: Facts
    manifest: Manifest
    reports: ReportStore
    settings: Settings
    watcher: Watcher
    reads: Reads
    instance: Instance
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

    def run(self, report: Report, note: Callable[[Container[TaskId]], None]) -> Report:
        """Execute every task; failures are in the report and stop only what depends on them.

        ``note`` is called with the tasks that ended well.
        """
        begun, plan = time.monotonic(), self.plan
        full_refresh = plan.selection.full_refresh
        space = Workspace(self.picture, self.facts, report.run_id, self.reads, full_refresh, self._cursors)
        space.roots = self._new_layouts(space)
        self._refuse_in_store(space.roots)
        before = {name: self.facts.records[name] for name in space.roots}
        self.facts.records.update({name: {} for name in space.roots})
        mounts.upload(self.reports.save(report))  # a run that is killed can be retried
        self.watcher.started(plan)
        temp = space.staging / "tmp"
        results: dict[TaskId, Result] = {}
        try:
            temp.mkdir(parents=True, exist_ok=True)  # DuckDB creates the last folder only
            files = (file.path for task in plan.tasks for part in task.slices for file in part.files)
            folders = folders_of(self.project.lake, (*files, *self.project.places))
            with (
                self.instance(folders, temp) as connection,
                warming(
                    (self.project.models[t.model] for t in plan.tasks if self.settings.executor == "threads"),
                    self.watcher.compiling,
                ),
                self._pool(space, connection) as pool,
            ):
                self._schedule(space, connection, report, results, pool).go()
            for name, records in before.items():
                mine = [results[task.id] for task in plan.tasks if task.model == name]
                if problem := self._swap_table(name, records, space, mine):
                    report.errors = (*report.errors, problem)
            note({task for task, result in results.items() if result.ok})
        finally:
            done = (results.get(task.id, pending_result(task)) for task in plan.tasks)
            beside = plan.beside
            report.tasks = [result for result in done if result.is_shown(beside)]
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
        pool: Pool | None,
    ) -> Schedule:
        execution = self._execution(space, connection)
        width = self.settings.threads if pool is None else pool.width

        def execute(batch: Sequence[Task]) -> list[Result]:
            for task in batch:
                self.watcher.running(task)
            builds = [task for task in batch if isinstance(task, Build)]
            return pool.batch(builds) if pool is not None and builds else execution.batch(batch)

        def interrupt() -> None:
            self.interrupt()
            if pool is not None:
                pool.interrupt()

        def in_batches(found: Iterable[Group]) -> Iterator[Group]:
            ready = [*found]
            yield from (group for group in ready if group[0].model in space.roots)
            rest = (group for group in ready if group[0].model not in space.roots)
            yield from batches(rest, self.picture, width)

        beside, ended = self.plan.beside, list[Result]()

        def finished(result: Result) -> None:
            if result.is_shown(beside):
                ended.append(result)
                self.watcher.finished(result)

        def batch_ended() -> None:
            if ended:
                self.reports.note(report, ended)
                ended.clear()
            self.watcher.batch_ended()
            swap.sweep()
            with contextlib.suppress(StoreError):  # tried again after the next batch, and told at the end
                mounts.save(self.project.lake, whole=False)

        threads = Threads(self.settings, connection)
        return Schedule(
            width,
            self.settings.fail_fast,
            groups=[*groups(self.plan.tasks, self.picture, space.roots)],
            batches=in_batches,
            execute=execute,
            finished=finished,
            batch_ended=batch_ended,
            interrupt=interrupt,
            share=threads.share,
            results=results,
        )

    def _execution(self, space: Workspace, connection: duckdb.DuckDBPyConnection) -> Execution:
        return Execution(self.plan, self.facts, self.manifest, space, connection, lambda: self._stopping)

    @contextlib.contextmanager
    def _pool(self, space: Workspace, connection: duckdb.DuckDBPyConnection) -> Iterator[Pool | None]:
        """The workers of a Ray cluster; ``None`` for the threads of this process."""
        if self.settings.executor != "ray":
            yield None
            return
        from sqlgen.run.remote.pool import pool  # loads Ray

        with pool(self._execution(space, connection), self.settings) as found:
            yield found

    def _refuse_in_store(self, changed: Iterable[str]) -> None:
        """:class:`UsageError` for what cannot be done in an object store."""
        if mounts.mount_of(self.project.lake) is None:
            return
        if names := ", ".join(changed):
            raise UsageError(
                f"{names}: partition_by is another than that of the published table, and an object store cannot replace"
                " a whole table in one step. Give the model another output.path. Nothing was run"
            )
        if self.settings.executor == "ray":
            raise UsageError(
                "--executor ray needs the lake on a file system that all workers have. Over an object store, run"
                " --shard i/n on each machine. Nothing was run"
            )

    def _new_layouts(self, space: Workspace) -> dict[str, Path]:
        """Models published with another ``partition_by`` than that of models.yaml -> folder of the new table."""
        changed = {
            name
            for name in dict.fromkeys(task.model for task in self.plan.tasks)
            for record in self.facts.records[name].values()
            if record.keys != self.project.models[name].output.partition_by
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
