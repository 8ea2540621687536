"""Several units of one model, built by one statement and published one by one.

A batch is for units without findings: if a row is set aside, a check fails or anything else goes wrong, none of it is
published, and its units are built in smaller batches, in the end one by one, which shows which unit is at fault.
"""

from __future__ import annotations

import collections
import dataclasses
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from sqlgen.builders.inputs import TaskInputs, rows_of_first_input
from sqlgen.builders.kinds import constants, notes_of, state_before
from sqlgen.builders.ownfiles import own_files
from sqlgen.builders.rowchecks import RowChecks
from sqlgen.builders.sourcechecks import SourceChecks
from sqlgen.builders.unit import BuildResult, publication_of, quarantine_of
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.scope import Scope
from sqlgen.compile.unitsql import UNIT
from sqlgen.lake import storage
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.plan.plan import Build, Slice, TaskId
from sqlgen.project.model import Model
from sqlgen.published import states
from sqlgen.published.batchfooters import overwrite, placeholder
from sqlgen.published.footers import Stamp
from sqlgen.published.publication import StagedUnit
from sqlgen.published.records import Publication
from sqlgen.sources.staged import InputStager
from sqlgen.stream.kernel_copy import End, Feeds, KernelCopy, Pass, Statements
from sqlgen.templating.connection import one

Outcome = BuildResult | Exception


class NotAsOneError(Exception):
    """Units that cannot be built by one statement."""


class NotBuiltError(Exception):
    """A unit before this one, whose kernel state it needs, was not published."""


@dataclass(frozen=True)
class BatchBuild:
    """The running build of several units of one model. With kernels, those of one timeline follow each other."""

    workspace: Workspace
    tasks: Sequence[Build]
    connection: duckdb.DuckDBPyConnection
    resolve: Callable[[Build, Mapping[TaskId, str]], Build]
    """Compares a task with its published unit, given kernel states of units that are not published yet."""
    sql: list[str] = field(default_factory=list)
    """Statements that have run."""

    @property
    def model(self) -> Model:
        return self.workspace.project.models[self.tasks[0].model]

    @property
    def whole(self) -> Build:
        """One task that covers all units of the batch."""
        return dataclasses.replace(self.tasks[0], unit=Partition(), slices=_together(self.tasks))

    def build(self) -> list[Outcome]:
        """Build all units, then publish each: the outcome per unit, or the error that kept it from being published.

        Raises :class:`NotAsOneError`, before anything is published, where a unit needs more than that.
        """
        space, whole = self.workspace, self.whole
        folder = space.aside(self.tasks[0], "batch")
        stager = InputStager(
            space.project.library, space.project.lake, space.aside(self.tasks[0], "batch inputs"), self.connection
        )
        looks = space.reads.identify(file for part in whole.slices for file in part.files)
        try:
            folder.mkdir(parents=True)
            inputs = TaskInputs(space, whole, self.model, stager)
            scope = inputs.scope()
            if scope is None:
                raise NotAsOneError
            self._check_sources(whole, inputs, stager)
            blank = placeholder([self._stamp(publication_of(space, task, None)).to_json() for task in self.tasks])
            ends = self._write(dataclasses.replace(scope, emit=None), folder / "units", blank)
            rows_in = rows_of_first_input(space, self.tasks, stager)
            space.reads.verify(looks, may_grow=True)
            staged = self._staged(folder / "units", ends, blank)
            storage.sync_all(folder)
            if self.model.chain is not None:
                storage.sync_all(space.project.state)
            published = self._publish_all(staged, rows_in)
            storage.sync_all(space.project.lake)
            return published
        finally:
            stager.clear()
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, scope: Scope, target: Path, blank: str) -> Sequence[End | None]:
        """Write the rows of all units; with kernels, their ends."""
        compiler, model = self.workspace.picture.compiler, self.model
        copy = compiler.copy_batch(model, scope, [task.unit for task in self.tasks], str(target), blank)
        if model.chain is None:
            self._execute(copy)
            return [None for _ in self.tasks]
        places = [self._places(entry.name) for entry in (model.primary, model.trades) if entry is not None]
        as_it_is, in_time = (
            Feeds(
                compiler.numbered_feed(model, scope, places[0], in_order),
                compiler.numbered_trades(model, scope, places[-1], in_order),
            )
            for in_order in (False, True)
        )
        statements = Statements(as_it_is, in_time, lambda _: copy, numbered=True)
        starts = [None if self._follows(task) else state_before(self.workspace, task) for task in self.tasks]
        passes = [Pass(constants(task.unit), start) for task, start in zip(self.tasks, starts, strict=True)]
        return KernelCopy(model.chain, statements, passes, self.connection, self.workspace.cursors, self.sql).run()

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
            place = folder / f"{UNIT}={number}"
            resolved = task if end is None or not self._follows(task) else self.resolve(task, digests)
            publication = publication_of(self.workspace, resolved, None)
            if end is not None:
                digests[task.id] = states.digest(end.state)
            if resolved.reason:
                _stamp_files(place, publication, self._stamp(publication).to_json(), blank)
                if end is not None:
                    self.workspace.picture.states.write(
                        task.model, task.unit, publication.build, end.state, flush=False
                    )
            found.append(_Staged(resolved, publication, place, end))
        return found

    def _publish_all(self, staged: Sequence[_Staged], rows_in: Sequence[int]) -> list[Outcome]:
        """Publish each unit, unless that whose kernel state it starts from could not be."""
        outcomes: dict[Partition, Outcome] = {}
        for unit, rows in zip(staged, rows_in, strict=True):
            task = unit.task
            before = outcomes.get(task.previous) if unit.end is not None and task.previous is not None else None
            if isinstance(before, Exception):
                outcomes[task.unit] = NotBuiltError(str(task.previous))
            elif not task.reason:
                outcomes[task.unit] = BuildResult("unchanged", self.workspace.record(task.model, task.unit))
            else:
                outcomes[task.unit] = self._publish(unit, rows)
        return list(outcomes.values())

    def _execute(self, sql: str) -> None:
        self.sql.append(sql)
        self.connection.execute(one(self.connection, sql))

    def _check_sources(self, whole: Build, inputs: TaskInputs, stager: InputStager) -> None:
        """Check the rows of the sources; :class:`NotAsOneError` if there is a finding."""
        space, notes = self.workspace, list[str]()
        quarantine = quarantine_of(space, whole, publication_of(space, whole, None))
        checks = RowChecks(space.picture.compiler, self.model, whole.unit, quarantine, self.connection, self.sql, notes)
        try:
            for entry, part, files in own_files(self.model, whole.slices, space.picture.source_files):
                scan = inputs.scan(entry, part)
                assert scan is not None
                SourceChecks(checks).source(entry, scan, files, stager.decoded.get(entry.ref, {}), "batch")
        finally:
            checks.discard()
        if notes or any(count.rows for count in checks.counts):
            raise NotAsOneError

    def _stamp(self, publication: Publication) -> Stamp:
        stem = f"data_{publication.build}"
        return Stamp(self.model.name, self.workspace.owner(self.model.name), stem, publication)

    def _publish(self, unit: _Staged, rows_in: int) -> Outcome:
        space, task = self.workspace, unit.task
        try:
            quarantine, trash = quarantine_of(space, task, unit.publication), space.aside(task, "gone")
            staged = StagedUnit(unit.publication, state=unit.end.state if unit.end is not None else None)
            record = space.publisher(task.model).publish(staged, unit.folder, quarantine, trash, flushed=True)
            notes = notes_of(self.model, unit.end) if unit.end is not None else []
            return BuildResult("published" if record.rows else "empty", record, rows_in, notes=tuple(notes))
        except Exception as error:  # any error is this unit's alone: the others go on
            return error


@dataclass(frozen=True)
class _Staged:
    """One unit whose files are written."""

    task: Build
    publication: Publication
    folder: Path
    end: End | None


def _stamp_files(folder: Path, publication: Publication, stamp: str, blank: str) -> None:
    """Write the record of a unit into the footers of its files, and give them unique names."""
    files = sorted(folder.glob("*.parquet"))
    stem = f"data_{publication.build}"
    for number, path in enumerate(files):
        overwrite(path, blank, stamp)
        path.rename(folder / (f"{stem}.parquet" if len(files) == 1 else f"{stem}_{number}.parquet"))


def _together(tasks: Iterable[Build]) -> tuple[Slice, ...]:
    """Slices that read the partitions of several tasks."""
    slices: dict[str, list[Slice]] = collections.defaultdict(list)
    for task in tasks:
        for part in task.slices:
            slices[part.name].append(part)
    return tuple(_union(parts) for parts in slices.values())


def _union(parts: Sequence[Slice]) -> Slice:
    current = dict.fromkeys(where for part in parts for where in part.current)
    beside = dict.fromkeys(where for part in parts for where in part.partitions if where not in current)
    files = dict.fromkeys(file for part in parts for file in part.files)
    return Slice(parts[0].name, parts[0].ref, tuple(sorted(current)), tuple(sorted(beside)), files=tuple(files))
