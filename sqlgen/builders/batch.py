"""Several units of one model, built by one statement and published one by one.

A batch is for units without findings: if a row is set aside, a check fails or anything else goes wrong, none of it is
published, and its units are built in smaller batches, in the end one by one, which shows which unit is at fault.
"""

from __future__ import annotations

import collections
import dataclasses
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from sqlgen.builders.inputs import TaskInputs, rows_of_first_input
from sqlgen.builders.ownfiles import own_files
from sqlgen.builders.rowchecks import RowChecks
from sqlgen.builders.sourcechecks import SourceChecks
from sqlgen.builders.unit import BuildResult, publication_of, quarantine_of
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.unitsql import UNIT
from sqlgen.lake import storage
from sqlgen.lake.partitions import Partition
from sqlgen.plan.plan import Build, Slice
from sqlgen.project.model import Model
from sqlgen.published.batchfooters import overwrite, placeholder
from sqlgen.published.footers import Stamp
from sqlgen.published.publication import StagedUnit
from sqlgen.published.records import Publication
from sqlgen.sources.staged import InputStager

Outcome = BuildResult | Exception


class NotAsOneError(Exception):
    """Units that cannot be built by one statement."""


@dataclass(frozen=True)
class BatchBuild:
    """The running build of several units of one model."""

    workspace: Workspace
    tasks: Sequence[Build]
    connection: duckdb.DuckDBPyConnection
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
        space, model, whole = self.workspace, self.model, self.whole
        folder = space.aside(self.tasks[0], "batch")
        stager = InputStager(
            space.project.library, space.project.lake, space.aside(self.tasks[0], "batch inputs"), self.connection
        )
        looks = space.reads.identify(file for part in whole.slices for file in part.files)
        try:
            folder.mkdir(parents=True)
            inputs = TaskInputs(space, whole, model, stager)
            scope = inputs.scope()
            if scope is None:
                raise NotAsOneError
            self._check_sources(whole, inputs, stager)
            publications = [publication_of(space, task, None) for task in self.tasks]
            stamps = [self._stamp(publication).to_json() for publication in publications]
            blank = placeholder(stamps)
            units = [task.unit for task in self.tasks]
            scope = dataclasses.replace(scope, emit=None)
            target = folder / "units"
            self._execute(space.picture.compiler.copy_batch(model, scope, units, str(target), blank))
            rows_in = rows_of_first_input(space, self.tasks, stager)
            space.reads.verify(looks, may_grow=True)
            staged = [
                _stamped(target / f"{UNIT}={number}", publication, stamp, blank)
                for number, (publication, stamp) in enumerate(zip(publications, stamps, strict=True))
            ]
            storage.sync_all(folder)
            published = [
                self._publish(task, publication, place, rows)
                for task, publication, place, rows in zip(self.tasks, publications, staged, rows_in, strict=True)
            ]
            storage.sync_all(space.project.lake)
            return published
        finally:
            stager.clear()
            shutil.rmtree(folder, ignore_errors=True)

    def _execute(self, sql: str) -> None:
        self.sql.append(sql)
        self.connection.execute(sql)

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

    def _publish(self, task: Build, publication: Publication, folder: Path, rows_in: int) -> Outcome:
        space = self.workspace
        try:
            quarantine, trash = quarantine_of(space, task, publication), space.aside(task, "gone")
            publisher = space.publisher(task.model)
            record = publisher.publish(StagedUnit(publication), folder, quarantine, trash, flushed=True)
            return BuildResult("published" if record.rows else "empty", record, rows_in)
        except Exception as error:  # any error is this unit's alone: the others go on
            return error


def _stamped(folder: Path, publication: Publication, stamp: str, blank: str) -> Path:
    """A folder with the files of one unit, its record in their footers, under unique names."""
    files = sorted(folder.glob("*.parquet"))
    stem = f"data_{publication.build}"
    for number, path in enumerate(files):
        overwrite(path, blank, stamp)
        path.rename(folder / (f"{stem}.parquet" if len(files) == 1 else f"{stem}_{number}.parquet"))
    return folder


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
