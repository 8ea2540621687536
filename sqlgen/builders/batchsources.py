"""Source files of units that are built together: read, decoded and checked once, however often they are split."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb
from msgspec import Struct, field, structs

from sqlgen.builders.inputs import TaskInputs, published_scan
from sqlgen.builders.kinds import files_to_append, of_file, repeated
from sqlgen.builders.ownfiles import OwnFiles, own_files
from sqlgen.builders.rowchecks import RowChecks
from sqlgen.builders.sourcechecks import UnitSource, check_source
from sqlgen.builders.unit import publication_of, published_before, quarantine_of
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.scope import Scan
from sqlgen.errors import TaskError
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.lake.reads import Identities, Identity
from sqlgen.lake.storage import FileInfo
from sqlgen.plan.plan import Build, Slice
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.rowchecks import sign_audits
from sqlgen.published.records import Publication, Published
from sqlgen.sources.staged import InputStager


class NotAsOneError(Exception):
    """Units that cannot be built by one statement."""


class UnitChecks(Struct):
    """Checks of one unit, with their findings."""

    publication: Publication
    old: Published | None
    """The unit published before, if its rows are merged or stay."""
    checks: RowChecks
    stopped: bool = False
    """True if a finding stops the unit."""


class BatchSources(Struct, dict=True):
    """Source files of the units of one batch, and the findings in them."""

    workspace: Workspace
    tasks: Sequence[Build]
    connection: duckdb.DuckDBPyConnection
    sql: list[str] = field(default_factory=list)
    """Statements that have run."""
    units: dict[Partition, UnitChecks] = field(default_factory=dict)
    """Units whose sources have been checked."""
    looks: dict[FileInfo, Identity | None] = field(default_factory=dict)
    """Source files before they were read."""

    def __post_init__(self) -> None:
        space, first = self.workspace, self.tasks[0]
        folder = space.aside(first, "batch inputs")
        self.stager = InputStager(space.project.library, space.project.lake, folder, self.connection)

    @property
    def model(self) -> Model:
        return self.workspace.project.models[self.tasks[0].model]

    def inputs(self, task: Build) -> TaskInputs:
        return TaskInputs(self.workspace, task, self.model, self.stager)

    def looks_of(self, task: Build) -> Identities:
        """Identities of the files of a task before they were read."""
        return {file: self.looks[file] for part in task.slices for file in part.files}

    def check(self, tasks: Iterable[Build]) -> None:
        """Check the sources of units, unless that is done."""
        new = [task for task in tasks if task.unit not in self.units]
        if not new:
            return
        units = {task.unit: self._unit(task) for task in new}
        files = (file for task in new for part in task.slices for file in part.files if file not in self.looks)
        self.looks |= self.workspace.reads.identify(files)
        try:
            self._check(new, units)
        except BaseException:
            for unit in units.values():
                unit.checks.discard()
            raise
        self.units |= units

    def _check(self, tasks: Sequence[Build], units: Mapping[Partition, UnitChecks]) -> None:
        source_files, whole = self.workspace.picture.source_files, together(tasks)
        own = {
            task.unit: {e.name: files for e, _, files in own_files(self.model, task.slices, source_files)}
            for task in tasks
        }
        for entry, part, files in own_files(self.model, whole.slices, source_files):
            scan = self.inputs(whole).scan(entry, part)
            assert scan is not None
            sources = [
                self._source(task, entry, own[task.unit][entry.name], units[task.unit])
                for task in tasks
                if entry.name in own[task.unit]
            ]
            for unit in check_source(sources, scan, files.all, KEYS):
                units[unit].stopped = True
            if sign_audits(entry.source.checks if entry.source is not None else ()):
                self._audit(tasks, sources, units)

    def _source(self, task: Build, entry: ModelInput, files: OwnFiles, unit: UnitChecks) -> UnitSource:
        part = Slice(entry.name, entry.ref, tuple(files.partitions), files=files.all)

        def scan() -> Scan:
            found = self.inputs(task).scan(entry, part)
            assert found is not None
            return found

        return UnitSource(
            unit.checks, entry, files, scan, self.stager.decoded.get(entry.ref, {}), unit.publication.build
        )

    def _audit(
        self, tasks: Sequence[Build], sources: Sequence[UnitSource], units: Mapping[Partition, UnitChecks]
    ) -> None:
        """Compare the sides of trades with quotes, unit by unit: they judge all trades of a unit together."""
        audited = {source.checks.unit: source for source in sources}
        for task in tasks:
            scope = self.inputs(task).scope()
            if scope is None or task.unit not in audited:
                continue
            try:
                audited[task.unit].signs(scope.inputs)
            except TaskError:
                units[task.unit].stopped = True

    def _unit(self, task: Build) -> UnitChecks:
        space, notes = self.workspace, list[str]()
        old = published_before(space, task)
        publication = publication_of(space, task, old)
        quarantine = quarantine_of(space, task, publication)
        if old is not None and task.provenance.mode == "append":
            quarantine.keep(old.quarantine)
        checks = RowChecks(space.picture.compiler, self.model, task.unit, quarantine, self.connection, self.sql, notes)
        return UnitChecks(publication, old, checks)

    def narrowed(self, task: Build) -> Build:
        """A task; in mode append, with its one new file alone."""
        if self.model.output.mode != "append":
            return task
        files = files_to_append(self.workspace, task, published_before(self.workspace, task))
        if len(files) != 1:
            raise NotAsOneError
        return of_file(task, files[0])

    def old_files(self, tasks: Iterable[Build]) -> Scan | None:
        """Published files that mode merge reads."""
        if self.model.output.mode != "merge":
            return None
        found = [old for task in tasks if (old := self.units[task.unit].old) is not None]
        return published_scan(self.workspace, self.model.name, found)

    def note_repeated(self, staged: Mapping[Partition, Path]) -> None:
        """Note trades of a staged file that mode append has published before."""
        found = {}
        for where, file in staged.items() if self.model.output.mode == "append" else ():
            old = self.units[where].old
            if old is not None and old.files:
                folder = self.workspace.root(self.model.name) / old.unit
                found[where] = [*(folder / name for name in old.files), file]
        checks = next((self.units[where].checks for where in found), None)
        for where, note in repeated(checks, found).items() if checks is not None else ():
            self.units[where].checks.notes.append(note)

    def forget(self, task: Build) -> None:
        """Remove the findings on a unit that is going to be built alone."""
        if task.unit in self.units:
            self.units.pop(task.unit).checks.discard()

    def clear(self) -> None:
        self.stager.clear()
        for unit in self.units.values():
            unit.checks.discard()


def together(tasks: Sequence[Build]) -> Build:
    """One task that reads what several tasks read."""
    slices: dict[str, list[Slice]] = collections.defaultdict(list)
    for task in tasks:
        for part in task.slices:
            slices[part.name].append(part)
    return structs.replace(tasks[0], unit=Partition(), slices=tuple(map(_union, slices.values())))


def _union(parts: Sequence[Slice]) -> Slice:
    current = dict.fromkeys(where for part in parts for where in part.current)
    beside = dict.fromkeys(where for part in parts for where in part.partitions if where not in current)
    files = dict.fromkeys(file for part in parts for file in part.files)
    return Slice(parts[0].name, parts[0].ref, tuple(sorted(current)), tuple(sorted(beside)), files=tuple(files))
