"""Several units of one model, built by one statement and published one by one.

Findings in rows are those of their unit, as if it were built alone. If anything else goes wrong, none of it is
published, and its units are built in smaller batches, in the end one by one, which shows which unit is at fault.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from sqlgen.builders.batchsources import BatchSources, UnitChecks, together
from sqlgen.builders.inputs import rows_of_first_input
from sqlgen.builders.kinds import constants, notes_of, state_before
from sqlgen.builders.unit import BuildResult
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.scope import Scan, Scope
from sqlgen.compile.statements import Target
from sqlgen.compile.unitsql import UNIT
from sqlgen.errors import TaskError
from sqlgen.lake import faults, storage
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.plan.plan import Build, TaskId
from sqlgen.project.model import Model
from sqlgen.published import states
from sqlgen.published.batchfooters import overwrite, placeholder
from sqlgen.published.footers import Stamp
from sqlgen.published.publication import StagedUnit
from sqlgen.published.records import Publication
from sqlgen.sources.schemas import columns_of
from sqlgen.stream.kernel_copy import End, Feeds, KernelCopy, Pass, Statements
from sqlgen.templating.connection import one
from sqlgen.templating.quoting import exact_path

Outcome = BuildResult | Exception | None
"""Outcome of one unit of a batch; ``None`` where it is yet to be built."""


class NotAsOneError(Exception):
    """Units that cannot be built by one statement."""


@dataclass(frozen=True)
class BatchBuild:
    """The running build of several units of one model. With kernels, those of one timeline follow each other."""

    sources: BatchSources
    tasks: Sequence[Build]
    resolve: Callable[[Build, Mapping[TaskId, str]], Build]
    """Compares a task with its published unit, given kernel states of units that are not published yet."""

    @property
    def workspace(self) -> Workspace:
        return self.sources.workspace

    @property
    def model(self) -> Model:
        return self.sources.model

    def build(self) -> list[Outcome]:
        """Build all units, then publish each: the outcome per unit, ``None`` for those to be built alone.

        A unit is built alone if a check stops it, or if one before it was not published whose kernel state it needs.
        Raises :class:`NotAsOneError`, before anything is published, where a unit needs more than that.
        """
        self.sources.check(self.tasks)
        left: set[Partition | None] = set()
        for task in self.tasks:
            if self._unit(task).stopped or (self.model.chain is not None and task.previous in left):
                left.add(task.unit)
        rest = [task for task in self.tasks if task.unit not in left]
        built = dataclasses.replace(self, tasks=rest)._build() if rest else {}
        return [built.get(task.unit) for task in self.tasks]

    def _build(self) -> Mapping[Partition | None, Outcome]:
        space, whole = self.workspace, together(self.tasks)
        folder = space.aside(self.tasks[0], "batch")
        try:
            folder.mkdir(parents=True)
            scope = self.sources.inputs(whole).scope()
            if scope is None:
                raise NotAsOneError
            blank = placeholder([self._stamp(self._unit(task).publication).to_json() for task in self.tasks])
            ends = self._write(dataclasses.replace(scope, emit=None), folder / "units", blank)
            rows_in = rows_of_first_input(space, self.tasks, self.sources.stager)
            grown = [space.reads.verify(self.sources.looks_of(task), may_grow=True) for task in self.tasks]
            staged = self._staged(folder / "units", ends, blank)
            told = self._check_rows(staged)
            faults.point("batch: staged")
            storage.sync_all(folder)
            if self.model.chain is not None:
                storage.sync_all(space.project.state)
            published = self._publish_all(
                [
                    dataclasses.replace(unit, rows_in=rows, notes=(*unit.notes, *notes))
                    for unit, rows, notes in zip(staged, rows_in, grown, strict=True)
                ],
                told,
            )
            faults.point("batch: published")
            storage.sync_all(space.project.lake)
            return published
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _unit(self, task: Build) -> UnitChecks:
        return self.sources.units[task.unit]

    def _write(self, scope: Scope, target: Path, blank: str) -> Sequence[End | None]:
        """Write the rows of all units; with kernels, their ends."""
        compiler, model = self.workspace.picture.compiler, self.model
        units = [task.unit for task in self.tasks]

        def copy(connection: duckdb.DuckDBPyConnection) -> str:
            asked = model.output.float == "single"
            columns = columns_of(connection, compiler.rows(model, scope)) if asked else {}
            return compiler.copy_batch(model, scope, units, str(target), blank, compiler.singles(model, columns))

        if model.chain is None:
            self._execute(copy(self.sources.connection))
            return [None for _ in self.tasks]
        places = [self._places(entry.name) for entry in (model.primary, model.trades) if entry is not None]
        as_it_is, in_time = (
            Feeds(
                compiler.numbered_feed(model, scope, places[0], in_order),
                compiler.numbered_trades(model, scope, places[-1], in_order),
            )
            for in_order in (False, True)
        )
        statements = Statements(as_it_is, in_time, copy, numbered=True)
        starts = [None if self._follows(task) else state_before(self.workspace, task) for task in self.tasks]
        passes = [Pass(constants(task.unit), start) for task, start in zip(self.tasks, starts, strict=True)]
        return KernelCopy(
            model.chain, statements, passes, self.sources.connection, self.workspace.cursors, self.sources.sql
        ).run()

    def _follows(self, task: Build) -> bool:
        """True if the unit whose kernel state a task starts from is in this batch."""
        return any(other.unit == task.previous for other in self.tasks)

    def _places(self, name: str) -> dict[Partition, int]:
        """Partition of an input -> number of the unit that reads it."""
        found: dict[Partition, int] = {}
        for number, task in enumerate(self.tasks):
            for where in (where for part in task.slices if part.name == name for where in part.partitions):
                if found.setdefault(where, number) != number or len(where.values) != len(KEYS):
                    raise NotAsOneError
        return found

    def _staged(self, folder: Path, ends: Sequence[End | None], blank: str) -> list[_Staged]:
        """The files of each unit with its record in their footers, and its kernel state beside the others."""
        found, digests = list[_Staged](), dict[TaskId, str]()
        for number, (task, end) in enumerate(zip(self.tasks, ends, strict=True)):
            place, unit = folder / f"{UNIT}={number}", self._unit(task)
            resolved = task if end is None or not self._follows(task) else self.resolve(task, digests)
            publication = dataclasses.replace(unit.publication, **vars(resolved.provenance))
            if end is not None:
                digests[task.id] = states.digest(end.state)
            if resolved.reason:
                _stamp_file(place, self._stamp(publication), blank)
                if end is not None:
                    self.workspace.picture.states.write(
                        task.model, task.unit, publication.build, end.state, flush=False
                    )
            notes = notes_of(self.model, end) if end is not None else []
            found.append(_Staged(resolved, publication, place, end, tuple(notes)))
        return found

    def _check_rows(self, staged: Iterable[_Staged]) -> set[Partition]:
        """Check the rows of the results; the units that a check stops."""
        stopped: set[Partition] = set()
        if not self.model.config.checks:
            return stopped
        targets: dict[Partition, Target] = {}
        for unit in staged:
            where, stamp = unit.task.unit, self._stamp(unit.publication)
            if unit.task.reason and (file := unit.folder / f"{stamp.stem}.parquet").exists():
                targets[where] = Target(str(file), where, stamp.stem, stamp.to_json())
                file.rename(self.sources.units[where].checks.first(targets[where]).path)
        checks = {where: self.sources.units[where].checks for where in targets}
        files = tuple(exact_path(checks[where].first(into).path) for where, into in targets.items())
        findings = next(iter(checks.values())).judge_result(Scan(files, alike=True), KEYS) if files else ()
        for where, into in targets.items():
            try:
                checks[where].settle(into, self.sources.units[where].publication.build, findings=findings)
            except TaskError:
                stopped.add(where)
        return stopped

    def _publish_all(
        self, staged: Sequence[_Staged], stopped: Container[Partition]
    ) -> Mapping[Partition | None, Outcome]:
        """Publish each unit, unless that whose kernel state it starts from could not be."""
        outcomes: dict[Partition | None, Outcome] = {}
        for unit in staged:
            task = unit.task
            follows = unit.end is not None and task.previous in outcomes
            if task.unit in stopped or (follows and not isinstance(outcomes[task.previous], BuildResult)):
                outcomes[task.unit] = None
            elif not task.reason:
                outcomes[task.unit] = BuildResult("unchanged", self.workspace.record(task.model, task.unit))
            else:
                outcomes[task.unit] = self._publish(unit)
        return outcomes

    def _execute(self, sql: str) -> None:
        self.sources.sql.append(sql)
        self.sources.connection.execute(one(self.sources.connection, sql))

    def _stamp(self, publication: Publication) -> Stamp:
        stem = f"data_{publication.build}"
        return Stamp(self.model.name, self.workspace.owner(self.model.name), stem, publication)

    def _publish(self, unit: _Staged) -> Outcome:
        space, task, checks = self.workspace, unit.task, self.sources.units[unit.task.unit].checks
        try:
            trash = space.aside(task, "gone")
            staged = StagedUnit(unit.publication, state=unit.end.state if unit.end is not None else None)
            record = space.publisher(task.model).publish(staged, unit.folder, checks.quarantine, trash, flushed=True)
            notes = (*checks.notes, *unit.notes)
            return BuildResult("published" if record.rows else "empty", record, unit.rows_in, checks.counts, notes)
        except Exception as error:  # any error is this unit's alone: the others go on
            return error


@dataclass(frozen=True)
class _Staged:
    """One unit whose files are written."""

    task: Build
    publication: Publication
    folder: Path
    end: End | None
    notes: tuple[str, ...]
    rows_in: int = 0


def _stamp_file(folder: Path, stamp: Stamp, blank: str) -> None:
    """Write the record of a unit into the footer of its file, and give it a unique name."""
    files = sorted(folder.glob("*.parquet"))
    if len(files) > 1:  # each sorted by itself
        raise NotAsOneError
    for path in files:
        overwrite(path, blank, stamp.to_json())
        path.rename(folder / f"{stamp.stem}.parquet")
