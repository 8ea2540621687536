"""A project opened on its lake: plans and runs. Entry point of the command line and of Python users."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field, structs

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import SourceLayout
from sqlgen.errors import UsageError
from sqlgen.lake import storage
from sqlgen.lake.lock import Claim, claimed, run_lock
from sqlgen.lake.partitions import Partition, span
from sqlgen.lake.reads import Reads
from sqlgen.lake.remote import mounts
from sqlgen.lake.remote.refusals import StoreError
from sqlgen.lake.storage import FileInfo
from sqlgen.lake.trust import trusted
from sqlgen.plan.publishedunits import Facts
from sqlgen.plan.selection import Coverage, Selection, covered
from sqlgen.project import project as projects
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.published.manifest import Manifest
from sqlgen.published.states import StateStore
from sqlgen.published.tablefiles import read_table, unread
from sqlgen.run.cleanup import Cleaned, Leftovers, clear_staging, delete_processed
from sqlgen.run.machine import Settings, opening
from sqlgen.run.report import Report, ReportStore
from sqlgen.sources.rowkeys import RowKeys
from sqlgen.sources.sourcefiles import FilePartitions, SourceFiles, list_source_files
from udfs import also_cache_in

if TYPE_CHECKING:
    from sqlgen.compile.compiledmodel import CompiledModel
    from sqlgen.plan.picture import Picture
    from sqlgen.plan.plan import Plan
    from sqlgen.published.tables import Table
    from sqlgen.run.reading import LakeReading
    from sqlgen.run.watcher import Watcher

HEADERS = 100
"""Number of files per source whose columns `compile` reads."""


class Engine(Struct, dict=True):
    """Plans and runs one project."""

    project: Project
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def open(cls, path: Path | str = "models.yaml", settings: Settings | None = None) -> Engine:
        """Load models.yaml; :class:`sqlgen.errors.ConfigError` with every problem found."""
        return cls(projects.load(Path(path)), settings or Settings())

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest.below(self.project.state)

    @cached_property
    def states(self) -> StateStore:
        return StateStore(self.project.state / "kernels")

    @cached_property
    def reports(self) -> ReportStore:
        return ReportStore(self.project.state / "runs")

    @cached_property
    def index(self) -> RowKeys:
        return RowKeys(self.project, self.project.state / "index.json")

    def compiler(self, models: Iterable[str]) -> Compiler:
        """Compiler of whole-lake SQL; a source without files gets the layout that ``sample`` writes."""
        if not self.project.lake.is_dir():
            return Compiler(self.project)
        # Paths are enough here: the partitions of rows need not be looked up in the files.
        names = self.project.sources_of(models)
        found = {name: list_source_files(self.project, name, _some_partition) for name in names}
        layouts = {name: self._told_apart(each) for name, each in found.items()}
        empty = frozenset(name for name, each in found.items() if not each.partitions)
        return Compiler(self.project, layouts, empty, self._types())

    def _told_apart(self, source_files: SourceFiles) -> SourceLayout:
        """Layout of source files, with the names of columns that differ in case only, by its first files."""
        layout = structs.replace(source_files.layout, dates=span(source_files.partitions))
        files = dict.fromkeys(file for found in source_files.partitions.values() for file in found)
        paths = [self.project.lake / file.path for file in itertools.islice(files, HEADERS)]
        (mounts.fetch_ends if layout.format == "parquet" else mounts.fetch)(paths)
        from sqlgen.sources import dialect  # loaded where files are read

        twins, shuffled = dialect.twins(dialect.header_of(path, layout.format) for path in paths)
        return structs.replace(layout, twins=twins, shuffled=shuffled)

    def _types(self) -> dict[str, dict[str, str]]:
        """Model -> SQL types of its inner keys, as published."""
        models = [name for name, model in self.project.models.items() if model.inner_keys]
        loaded = {name: self.manifest.load(name).values() for name in models}
        return {name: {k: v for record in found for k, v in record.types.items()} for name, found in loaded.items()}

    def compile(self, models: Iterable[str]) -> dict[str, CompiledModel]:
        """Whole-lake SQL of some models."""
        models = list(models)
        compiler = self.compiler(models)
        self._bind(compiler, {}, models, record=self.project.state.is_dir())
        return {name: compiler.compile(name) for name in models}

    def reader(self, source: str) -> tuple[Model, ModelInput] | None:
        """The first model that reads a source, and that input of it."""
        return next(
            ((model, entry) for model in self.project.models.values() for entry in model.inputs if entry.ref == source),
            None,
        )

    def plan(self, selection: Selection) -> Plan:
        """The plan of a run. Reads the lake, writes nothing."""
        plan = self._prepare(self._reading(selection, self._manifest(selection)))
        self._bind(plan.picture.compiler, plan.picture.source_files, _built(plan), record=False)
        return plan

    def run(
        self, selection: Selection, watcher: Watcher | None = None, wait: float = 0.0, always_report: bool = False
    ) -> Report:
        """Plan and execute; failures are in the report, which is saved if there were tasks."""
        self._require_lake(selection)
        with claimed(self.project.lake / ".sqlgen", self._claim(selection), wait, self._tidy) as held:
            if mounts.mount_of(self.project.state) is None and trusted(self.project.path):  # what it holds is code
                also_cache_in(self.project.state / "cache")
            manifest = self._manifest(selection)
            reading = self._reading(selection, manifest)
            plan = self._prepare(reading, record=True)
            for name in filter(manifest.has_read, selection.models):  # others stay as they are
                manifest.compact(name)
            selection = structs.replace(selection, symbols=plan.selection.symbols)
            picture = plan.picture
            left = held.tidied
            plan.notes[:0] = [f"{path}: a killed run had moved it aside; it is back" for path in left.restored]
            self.index.save()
            for name in {*selection.models} & picture.tables.keys():  # other runs may publish those that are only read
                self.adopt(name, picture.tables[name], left, manifest)
            self._bind(picture.compiler, picture.source_files, _built(plan), record=True)
            report = Report.start(plan, selection, held.run_id)
            facts, reads = Facts.of(plan), Reads(self.project.lake)
            if plan.tasks:
                instance = opening(self._settings(plan))
                from sqlgen.run.runner import Runner  # loads Numba and all that reads files
                from sqlgen.run.watcher import Watcher

                watcher = watcher or Watcher()
                runner = Runner(plan, facts, manifest, self.reports, self.settings, watcher, reads, instance)
                runner.run(report, lambda done: reading.note_built(plan, facts, done))
            elif always_report:
                report.ended_at = report.started_at
                self.reports.finish(report)
            self._delete_processed(plan, facts, reads, report)
            self._save(report)
            return report

    def _settings(self, plan: Plan) -> Settings:
        """Settings of the DuckDB instance. Threads that read ahead wait for small files more than these take."""
        from sqlgen.plan.batches import is_small
        from sqlgen.plan.plan import Build

        large = any(isinstance(task, Build) and not is_small(task, plan.picture) for task in plan.tasks)
        return structs.replace(self.settings, read_ahead=self.settings.read_ahead and large)

    @contextlib.contextmanager
    def held(self, wait: float) -> Iterator[Leftovers]:
        """Hold the whole lake, without what killed runs have left in it."""
        with run_lock(self.project.lake / ".sqlgen", wait):
            yield self._tidy()

    def adopt(self, name: str, table: Table, left: Leftovers, manifest: Manifest | None = None) -> None:
        """Record units that a run published before it was killed, and remove kernel states that it left."""
        (manifest or self.manifest).note(name, (table.records[unit] for unit in table.adopted), table.gone)
        for unit in table.records if left.any else table.adopted:
            self.states.keep(name, unit, table.records[unit].build)

    def _claim(self, selection: Selection) -> Claim:
        """Tables that a run builds, and those of models that read files which it may delete after processing."""
        models, names = self.project.models, {*selection.models}
        deleting = {entry.ref for name in names for entry in models[name].inputs} & self.project.deleting
        names |= {name for name, model in models.items() if deleting & {entry.ref for entry in model.inputs}}
        folders = {os.path.normpath(models[name].output.path): name for name in self.project.order if name in names}
        return Claim(folders, selection.shard)

    def _tidy(self, going: frozenset[str] = frozenset()) -> Leftovers:
        """Clear what killed runs have left, beside the runs that go on."""
        left = clear_staging(self.project.lake, going)
        for folder in (self.project.state, self.manifest.folder, self.reports.folder) if not going else ():
            storage.clear_drafts(folder)
        return left

    def _manifest(self, selection: Selection) -> Manifest:
        """The journals of a run."""
        shard = selection.shard
        return self.manifest if shard is None else Manifest.below(self.project.state, shard)

    def _save(self, report: Report) -> None:
        """Write the records of a lake in an object store; where that fails, the footers of the tables replace them."""
        try:
            mounts.save(self.project.lake)
        except StoreError as error:
            report.errors = (*report.errors, f"the records of this run are not saved: {error}")

    def _bind(
        self, compiler: Compiler, source_files: Mapping[str, SourceFiles], models: Iterable[str], record: bool
    ) -> None:
        """Find errors in the SQL of models, before anything runs."""
        if models:
            from sqlgen.run.binding import bind

            bind(self.project, compiler, source_files, models, record)

    def _delete_processed(self, plan: Plan, facts: Facts, reads: Reads, report: Report) -> None:
        def list_source(name: str) -> SourceFiles:
            return list_source_files(self.project, name, self.index)

        cleaned = delete_processed(plan.picture, facts, list_source, reads, plan.selection.shard)
        report.notes += [*(f"deleted after processing: {path}" for path in cleaned.deleted), *cleaned.notes]
        report.errors = (*report.errors, *cleaned.errors)
        if report.ended_at and cleaned != Cleaned():
            self.reports.save(report)

    def due(self, selection: Selection, now: dt.datetime | None = None) -> Selection:
        """The models of a selection that have not been run since their schedule last came up."""
        now = now or dt.datetime.now(dt.UTC)
        schedules = {name: self.project.models[name].config.schedule for name in selection.models}
        if selection.models and not any(schedules.values()):
            raise UsageError("no selected model has a schedule. Give it one in models.yaml, or run without --due")
        recent = {name: self._recent(name, schedule, now) for name, schedule in schedules.items() if schedule}
        due = tuple(name for name, runs in recent.items() if not covered(runs, selection.shard))
        return structs.replace(selection, models=due, recent=recent)

    def is_due(self, name: str, now: dt.datetime) -> bool:
        """True if no run has covered a model since its schedule last came up."""
        schedule = self.project.models[name].config.schedule
        return schedule is not None and not covered(self._recent(name, schedule, now))

    def _recent(self, name: str, schedule: str, now: dt.datetime) -> tuple[Coverage, ...]:
        """Runs of a model since its schedule last came up."""
        from croniter import croniter

        return self.reports.recent(name, croniter(schedule, now).get_prev(dt.datetime))

    def _require_lake(self, selection: Selection) -> None:
        if not self.project.lake.is_dir():
            for name in self.project.sources_of(selection.models):
                list_source_files(self.project, name, self.index)
            self.project.lake.mkdir(parents=True, exist_ok=True)

    def _prepare(self, reading: LakeReading, record: bool = False) -> Plan:
        """The plan, with its notes. If ``record``, it is recorded which symbols are up to date."""
        from sqlgen.plan.missing import shard_notes

        plan = reading.plan(record)
        plan.notes += [*reading.manifest.problems, *self.index.problems, *self.reports.problems, *shard_notes(plan)]
        plan.notes += mounts.notes(self.project.roots)
        return plan

    def _reading(self, selection: Selection, manifest: Manifest) -> LakeReading:
        from sqlgen.run.reading import LakeReading

        return LakeReading(self.project, manifest, self.states, self.index, selection, self._types())

    def picture(self, models: Sequence[str]) -> Picture:
        """All of the lake that models read, with what is known to be up to date."""
        everything = Selection(tuple(models), start=dt.date.min)  # a part: nothing is left out then
        return self._reading(everything, self.manifest).picture()

    def table(self, name: str) -> Table:
        """Published files of a model."""
        there = unread(self.project, self.manifest, name)
        return read_table(self.project, self.states, there)


def _built(plan: Plan) -> list[str]:
    """Models with tasks in a plan."""
    return list(dict.fromkeys(task.model for task in plan.tasks if task.action == "build"))


def _some_partition(source: str, file: FileInfo, layout: SourceLayout) -> FilePartitions:
    return FilePartitions((Partition(),))
