"""Several units of one model, built by one statement and published one by one.

Findings in rows are those of their unit, as if it were built alone. If anything else goes wrong, none of it is
published, and its units are built in smaller batches, in the end one by one, which shows which unit is at fault.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from msgspec import Struct, structs

from sqlgen.builders.batchsources import BatchSources, NotAsOneError, UnitChecks, together
from sqlgen.builders.inputs import rows_of_first_input
from sqlgen.builders.kinds import constants, notes_of, record_of_file, sights_of, state_before, stem_of_file
from sqlgen.builders.nulls import Nulls, note_nulls, nulls_of
from sqlgen.builders.unit import BuildResult
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.scope import Scan, Scope
from sqlgen.compile.statements import Target
from sqlgen.compile.unitsql import UNIT, of_number, only, partition_predicate
from sqlgen.errors import TaskError
from sqlgen.lake import faults, storage, swap
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.plan.plan import Build, TaskId
from sqlgen.project.model import Model
from sqlgen.published import states
from sqlgen.published.batchfooters import BatchFooters, placeholder
from sqlgen.published.footers import Footer, Stamp
from sqlgen.published.publication import Publisher, StagedUnit
from sqlgen.published.records import Publication
from sqlgen.sources.schemas import columns_of
from sqlgen.templating.connection import one
from sqlgen.templating.quoting import exact_path

if TYPE_CHECKING:
    from sqlgen.stream.kernel_copy import End

Outcome = BuildResult | Exception | None
"""Outcome of one unit of a batch; ``None`` where it is yet to be built."""


class BatchBuild(Struct, frozen=True):
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
        tasks = [self.sources.narrowed(task) for task in sorted(self.tasks, key=lambda task: task.unit)]
        self.sources.check(tasks)
        left: set[Partition | None] = set()
        for task in tasks:
            if self._unit(task).stopped or (self.model.pipeline is not None and task.previous in left):
                left.add(task.unit)
        rest = [task for task in tasks if task.unit not in left]
        built = structs.replace(self, tasks=rest)._build() if rest else {}
        return [built.get(task.unit) for task in self.tasks]

    def _build(self) -> Mapping[Partition | None, Outcome]:
        space, whole = self.workspace, together(self.tasks)
        folder = space.aside(self.tasks[0], "batch")
        try:
            folder.mkdir(parents=True)
            scope = self.sources.inputs(whole).scope()
            if scope is None:
                raise NotAsOneError
            records = [self._stamp(task, self._unit(task).publication) for task in self.tasks]
            texts = [record.to_json() for record in records]
            blank = placeholder(texts)
            ends = self._write(dataclasses.replace(scope, emit=None, batch=True), folder / "units", blank)
            rows_in = rows_of_first_input(space, self.tasks, self.sources.stager)
            grows = self.model.output.mode != "append"  # whose inputs are read once only
            grown = space.reads.verify_each([self.sources.looks_of(task) for task in self.tasks], may_grow=grows)
            staged = self._staged(folder / "units", ends, blank, [*zip(records, texts, strict=True)])
            self.sources.note_repeated({unit.task.unit: unit.file for unit in staged if unit.file is not None})
            told = self._check_rows(staged)
            faults.point("batch: staged")
            in_store = mount_of(space.project.lake) is not None
            if not in_store:
                storage.sync_all(folder)
                if self.model.pipeline is not None:
                    storage.sync_all(space.project.state)
            published = self._publish_all(
                [
                    structs.replace(unit, rows_in=rows, notes=(*unit.notes, *notes))
                    for unit, rows, notes in zip(staged, rows_in, grown, strict=True)
                ],
                told,
            )
            faults.point("batch: published")
            if space.handover is None:
                swap.retire(folder)
            if not in_store:
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
        rows = compiler.rows(model, dataclasses.replace(scope, batch=not model.built_apart))

        def copy(connection: duckdb.DuckDBPyConnection, number: int) -> str:
            emit = partition_predicate(units[number]) if model.built_apart and model.reads_others else None
            select = of_number(model, only(rows, emit))
            columns = columns_of(connection, select) if model.output.float == "single" else {}
            into = Target(str(target), Partition(), "", blank, singles=compiler.singles(model, columns))
            if not model.built_apart:
                return compiler.copy_batch(model, select, units, into, self.sources.old_files(self.tasks))
            file = target / f"{UNIT}={number}" / "data.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            unit = Partition() if model.keys_by_number else units[number]
            return compiler.copy_rows(model, select, structs.replace(into, path=str(file), unit=unit))

        if model.pipeline is None:
            self._execute(copy(self.sources.connection, 0))
            return [None for _ in self.tasks]
        from sqlgen.stream.kernel_copy import Feeds, KernelCopy, Pass, Statements  # it loads NumPy and pyarrow

        places = [self._places(entry.name) for entry in (model.primary, model.trades) if entry is not None]
        sights = sights_of(model, self.tasks) if model.looks_ahead else []
        if sights:
            places = [{task.unit.symbol: sight.market for task, sight in zip(self.tasks, sights, strict=True)}]
        as_it_is, by_time = (Feeds(*each) for each in compiler.numbered_feeds(model, scope, places[0], places[-1]))
        statements = Statements(as_it_is, by_time, copy, numbered=True, apart=model.built_apart, sights=sights)
        starts = [None if task.previous in units else state_before(self.workspace, task) for task in self.tasks]
        passes = [Pass(constants(task.unit), start) for task, start in zip(self.tasks, starts, strict=True)]
        return KernelCopy(
            model.pipeline, statements, passes, self.sources.connection, self.workspace.cursors, self.sources.sql
        ).run()

    def _places(self, name: str) -> dict[Partition, int]:
        """Partition of the rows of an input -> number of the unit whose kernels they go through."""
        found: dict[Partition, int] = {}
        for number, task in enumerate(self.tasks):
            skipped = (where for part in task.slices if part.name == name for where in part.skipped)
            for where in (task.unit, *skipped):
                if found.setdefault(where, number) != number or len(where.values) != len(KEYS):
                    raise NotAsOneError
        return found

    def _staged(
        self, folder: Path, ends: Sequence[End | None], blank: str, records: Sequence[tuple[Stamp, str]]
    ) -> list[_Staged]:
        """The files of each unit with its record in their footers, and its kernel state beside the others."""
        found, digests, units = list[_Staged](), dict[TaskId, str](), {task.unit for task in self.tasks}
        footers = BatchFooters(blank)
        for number, (task, end, record) in enumerate(zip(self.tasks, ends, records, strict=True)):
            place, unit = folder / f"{UNIT}={number}", self._unit(task)
            resolved = task if end is None or task.previous not in units else self.resolve(task, digests)
            publication = unit.publication
            if end is not None:
                publication = structs.replace(publication, **structs.asdict(resolved.provenance))
                digests[task.id] = states.digest(end.state)
                stamp = self._stamp(task, publication)
                record = stamp, stamp.to_json()
            footer = _stamp_file(place, *record, footers) if resolved.reason else None
            file = place / f"{record[0].stem}.parquet" if footer is not None else None
            if resolved.reason and end is not None:
                self.workspace.picture.states.write(task.model, task.unit, publication.build, end.state, flush=False)
            notes = notes_of(self.model, end) if end is not None else []
            found.append(_Staged(resolved, publication, place, file, footer, end, tuple(notes)))
        return found

    def _check_rows(self, staged: Sequence[_Staged]) -> set[Partition]:
        """Check the rows of the results; the units that a check stops."""
        stopped: set[Partition] = set()
        if not self.model.config.checks:
            return stopped
        targets: dict[Partition, Target] = {}
        for unit in staged:
            where, stamp = unit.task.unit, self._stamp(unit.task, unit.publication)
            if unit.file is None and self.sources.old_files([unit.task]) is not None:  # which is all that is left
                stopped.add(where)
            if unit.file is not None:
                targets[where] = Target(str(unit.file), where, stamp.stem, stamp.to_json())
                unit.file.rename(self.sources.units[where].checks.first(targets[where]).path)
        checks = {where: self.sources.units[where].checks for where in targets}
        files = tuple(exact_path(checks[where].first(into).path) for where, into in targets.items())
        findings = next(iter(checks.values())).judge_result(Scan(files, alike=True), KEYS) if files else ()
        for unit in (unit for unit in staged if unit.task.unit in targets):
            where = unit.task.unit
            try:
                checks[where].settle(
                    targets[where], unit.publication.build, self.sources.old_files([unit.task]), findings
                )
            except TaskError:
                stopped.add(where)
        return stopped

    def _publish_all(
        self, staged: Sequence[_Staged], stopped: Container[Partition]
    ) -> Mapping[Partition | None, Outcome]:
        """Publish each unit, unless that whose kernel state it starts from could not be."""
        outcomes: dict[Partition | None, Outcome] = {}
        publisher = self.workspace.publisher(self.model.name)
        files = (unit.file for unit in staged if unit.file is not None and unit.file.exists())
        nulls = nulls_of(self.model, self.sources.connection, files)
        for unit in staged:
            task = unit.task
            follows = unit.end is not None and task.previous in outcomes
            if task.unit in stopped or (follows and not isinstance(outcomes[task.previous], BuildResult)):
                outcomes[task.unit] = None
            elif not task.reason:
                outcomes[task.unit] = BuildResult("unchanged", self.workspace.record(task.model, task.unit))
            else:
                outcomes[task.unit] = self._publish(unit, publisher, nulls.get(str(unit.file), ()))
        return outcomes

    def _execute(self, sql: str) -> None:
        self.sources.sql.append(sql)
        self.sources.connection.execute(one(self.sources.connection, sql))

    def _stamp(self, task: Build, publication: Publication) -> Stamp:
        """Record for the footer of a unit's file."""
        name, stem = self.model.name, self.workspace.stem(self.model.name, publication)
        if publication.mode == "append":
            file = task.slices[0].files[0]
            stem = stem_of_file(self.workspace, publication, file)
            publication = record_of_file(publication, task.slices[0].name, file)
        return Stamp(name, self.workspace.owner(name), stem, publication)

    def _publish(self, unit: _Staged, publisher: Publisher, nulls: Nulls) -> Outcome:
        space, task, checks = self.workspace, unit.task, self.sources.units[unit.task.unit].checks
        try:
            trash = space.aside(task, "gone")
            note_nulls(checks, [nulls])
            state = unit.end.state if unit.end is not None else None
            known = None if self.model.config.checks else unit.footers  # which may have changed the files
            retained = self._unit(task).old if self.model.output.mode == "append" else None
            staged = StagedUnit(unit.publication, retained, state, known)
            record = publisher.publish(staged, unit.folder, checks.quarantine, trash, flushed=True)
            notes = (*checks.notes, *unit.notes)
            return BuildResult("published" if record.rows else "empty", record, unit.rows_in, checks.counts, notes)
        except Exception as error:  # any error is this unit's alone: the others go on
            return error


class _Staged(Struct, frozen=True):
    """One unit whose files are written."""

    task: Build
    publication: Publication
    folder: Path
    file: Path | None
    """None without rows, and if nothing is to be published."""
    footer: Footer | None
    end: End | None
    notes: tuple[str, ...]
    rows_in: int = 0

    @property
    def footers(self) -> Mapping[str, Footer]:
        """Footers of its files, as they were written."""
        return {self.file.name: self.footer} if self.file is not None and self.footer is not None else {}


def _stamp_file(folder: Path, stamp: Stamp, text: str, footers: BatchFooters) -> Footer | None:
    """Write the record of a unit into the footer of its file, and give it a unique name; ``None`` without a file."""
    place = str(folder)  # a Path would cost more than the calls
    try:
        names = os.listdir(place)
    except FileNotFoundError:
        return None
    if len(names) > 1:  # each sorted by itself
        raise NotAsOneError
    footer = footers.overwrite(f"{place}/{names[0]}", text)
    os.rename(f"{place}/{names[0]}", f"{place}/{stamp.stem}.parquet")  # noqa: PTH104
    return footer
