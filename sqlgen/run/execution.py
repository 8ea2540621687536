"""Execution of tasks: in batches where one statement may build several, otherwise one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import duckdb
from msgspec import Struct, structs

from sqlgen.builders.batch import BatchBuild, Outcome
from sqlgen.builders.batchsources import BatchSources
from sqlgen.builders.unit import BuildResult, build, remove
from sqlgen.builders.workspace import Workspace
from sqlgen.lake.partitions import Partition
from sqlgen.lake.remote import mounts
from sqlgen.plan.batches import as_one
from sqlgen.plan.plan import Build, Plan, Removal, Task, TaskId
from sqlgen.plan.publishedunits import Ahead, Facts
from sqlgen.plan.units import Units
from sqlgen.project.project import Project
from sqlgen.project.rowchecks import CheckFailed
from sqlgen.published.manifest import Manifest
from sqlgen.published.records import Published
from sqlgen.run.failures import explain, keep_sql
from sqlgen.run.report import Result, pending_result
from sqlgen.run.schedule import blocked, in_halves, skipped
from sqlgen.sources.staged import InputStager
from sqlgen.templating.connection import open_cursor


class Execution(Struct, frozen=True):
    """Executes the tasks of one plan."""

    plan: Plan
    facts: Facts
    manifest: Manifest | None
    """``None``: another process records."""
    space: Workspace
    connection: duckdb.DuckDBPyConnection
    stopping: Callable[[], bool]
    """True once the run is to end."""

    @property
    def project(self) -> Project:
        return self.plan.picture.project

    def batch(self, batch: Sequence[Task]) -> list[Result]:
        """Run tasks by one statement or, if that fails, in smaller batches, in the end one by one."""
        with mounts.using():
            return self._batch(batch)

    def _batch(self, batch: Sequence[Task]) -> list[Result]:
        if len(batch) == 1:
            return [self._one(batch[0])]
        builds = [task for task in batch if isinstance(task, Build)]
        with open_cursor(self.connection, self.space.cursors) as cursor:
            sources = BatchSources(self.space, builds, cursor)
            try:
                return self._builds(builds, sources)
            finally:
                sources.clear()

    def _builds(self, builds: Sequence[Build], sources: BatchSources) -> list[Result]:
        begun = time.monotonic()
        if len(builds) == 1:
            sources.forget(builds[0])
            return [self._one(builds[0], sources.stager)]

        def in_parts() -> list[Result]:
            return in_halves(builds, lambda part: self._builds(part, sources))

        if not as_one(builds, self.plan.picture):  # whose records include what this run has built
            return in_parts()
        stale = self._stale(builds)
        outcomes: dict[TaskId, Outcome] = {
            task.id: BuildResult("unchanged", self.facts.record(task.model, task.unit)) for task in builds
        }
        try:
            found = BatchBuild(sources, stale, self._resolved).build() if stale else []
        except Exception as error:  # the unit at fault, and the reason, show when units are built alone
            if self.stopping():
                return [self.result(task, error, _since(begun) / len(builds)) for task in builds]
            return in_parts()
        outcomes |= zip((task.id for task in stale), found, strict=True)
        built = {
            task.unit: told.record
            for task, told in zip(stale, found, strict=True)
            if isinstance(told, BuildResult) and told.status != "unchanged"
        }
        self.record(builds[0].model, built)
        seconds = _since(begun) / len(builds)
        results: dict[TaskId, Result] = {}
        for task in builds:
            told = outcomes[task.id]
            if told is not None:
                results[task.id] = self.result(task, told, seconds)
            elif reason := blocked(task, results):
                results[task.id] = skipped(task, reason)
            else:
                sources.forget(task)
                results[task.id] = self._one(task, sources.stager)
        return [*results.values()]

    def _stale(self, tasks: Sequence[Build]) -> list[Build]:
        """Tasks with something to do, as far as it is known before the kernel states that they start from."""
        found: dict[Partition | None, Build] = {}
        for task in tasks:
            waits = self.project.models[task.model].pipeline is not None and task.previous in found
            resolved = task if waits else self._resolved(task)
            if resolved.reason:
                found[task.unit] = resolved
        return list(found.values())

    def record(self, model: str, built: Mapping[Partition, Published | None], final: bool = True) -> None:
        """Update the published units, and the manifest if ``final``."""
        for unit, record in built.items():
            self.facts.published(model, unit, record)
        if final and self.manifest is not None:
            gone = [unit for unit, record in built.items() if record is None]
            self.manifest.note(model, filter(None, built.values()), gone)

    def _one(self, task: Task, stager: InputStager | None = None) -> Result:
        """Run one task to its end; never raises for errors that a user can cause.

        ``stager``: inputs that other tasks read too.
        """
        begun = time.monotonic()
        sql: list[str] = []
        notes: list[str] = []
        try:
            with open_cursor(self.connection, self.space.cursors) as cursor:
                built = self._do(task, cursor, sql, notes, stager)
            if built.status != "unchanged":
                self.record(task.model, {task.unit: built.record}, final=task.model not in self.space.roots)
        except Exception as error:  # any error is this task's alone: the others go on
            return self.result(task, error, _since(begun), sql, notes)
        return self.result(task, built, _since(begun), sql, notes)

    def result(
        self,
        task: Task,
        outcome: BuildResult | Exception,
        seconds: float,
        sql: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> Result:
        """Result of a task that has ended."""
        result = structs.replace(pending_result(task), seconds=seconds, notes=tuple(notes))
        if isinstance(outcome, Exception):
            template = self.project.models[task.model].config.sql
            failure = explain(outcome, task, template, sql[-1] if sql else None, self.project.lake)
            message = str(failure)
            if sql and isinstance(outcome, duckdb.Error):
                message += f"\n  SQL: {keep_sql(self.project.state / 'failed' / self.space.run_id, task, sql[-1])}"
            counts = outcome.counts if isinstance(outcome, CheckFailed) else ()
            return structs.replace(result, status="failed", error=message, checks=counts)
        written = outcome.record if outcome.status != "unchanged" else None
        rows, size = (written.rows, written.bytes) if written is not None else (0, 0)
        return structs.replace(
            result,
            status=outcome.status,
            rows_in=outcome.rows_in,
            notes=(*result.notes, *outcome.notes),
            rows_out=rows,
            bytes=size,
            checks=outcome.checks,
        )

    def _do(
        self,
        task: Task,
        cursor: duckdb.DuckDBPyConnection,
        sql: list[str],
        notes: list[str],
        stager: InputStager | None,
    ) -> BuildResult:
        if isinstance(task, Removal):
            return remove(self.space, task)
        assert isinstance(task, Build)
        task = self._resolved(task)
        if not task.reason:
            return BuildResult("unchanged", self.facts.record(task.model, task.unit))
        return build(self.space, task, cursor, sql, notes, stager)

    def _resolved(self, task: Build, states: Mapping[TaskId, str] | None = None) -> Build:
        """The task, checked again after its upstream tasks; without a reason if nothing is to be done.

        ``states``: kernel states of units that are not published yet.
        """
        units = Units(
            self.plan.picture,
            Ahead(self.facts, states or {}),
            self.project.models[task.model],
            self.plan.selection,
        )
        return units.resolved(task, rebuilds_state=task.id in self.plan.unusable)


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 4)
