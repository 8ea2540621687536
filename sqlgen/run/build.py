"""One task: its SQL, its staged files, its publication."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from sqlgen.compile.scope import Scan, Scope
from sqlgen.compile.statements import Target
from sqlgen.errors import TaskError
from sqlgen.lake import storage
from sqlgen.lake.partitions import KEYS
from sqlgen.lake.reads import Reads
from sqlgen.plan.model_planner import new_files
from sqlgen.plan.plan import Task
from sqlgen.plan.planner import Planner
from sqlgen.project.model import Model
from sqlgen.project.project import Project
from sqlgen.project.rowchecks import Count
from sqlgen.published import states
from sqlgen.published.footers import Stamp, new_build
from sqlgen.published.manifest import Record
from sqlgen.published.publication import Publisher
from sqlgen.published.quarantine import Quarantine
from sqlgen.published.states import Snapshot, StateError, StateStore
from sqlgen.run.inputs import Inputs
from sqlgen.run.ownfiles import own_files
from sqlgen.run.report import Status
from sqlgen.run.rowchecks import Inspection
from sqlgen.run.staging import Bench, kept
from sqlgen.sources.decode import parquet_rows
from sqlgen.sources.staged import Landing
from sqlgen.stream.kernel_copy import KernelCopy, Statements
from sqlgen.templating.quoting import exact_path
from udfs.chain import Chain


@dataclass(frozen=True)
class Built:
    """What a task left behind."""

    status: Status
    record: Record | None
    rows_in: int = 0
    checks: tuple[Count, ...] = ()


@dataclass
class Builder:
    """Builds the units of one run."""

    project: Project
    planner: Planner
    """With what is listed, and with what upstream models have published by now."""
    states: StateStore
    run_id: str
    reads: Reads
    full_refresh: bool = False
    cursors: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    """Those that run a statement now, so that they can be interrupted."""
    roots: dict[str, Path] = field(default_factory=dict)
    """Models whose partition layout changes: their whole table is built here and swapped in at the end."""

    @property
    def staging(self) -> Path:
        return self.project.lake / storage.STAGING / self.run_id

    def folder(self, task: Task) -> Path:
        """Where the task's unit is published."""
        return self.root(task.model) / task.unit.path

    def root(self, model: str) -> Path:
        """Where a model's table lies."""
        return self.roots.get(model) or self.project.lake / self.project.models[model].output.path

    def quarantine_root(self, model: str) -> Path:
        """Where rows that a model's checks quarantine lie."""
        if model in self.roots:
            return self.staging / "quarantines" / model
        return self.project.lake / self.project.models[model].quarantine

    def remove(self, task: Task) -> Built:
        stamp = self._stamp(task, self.planner.records[task.model][task.unit])
        self._publisher(task.model).remove(task.unit, self._quarantine(task, stamp), self._aside(task, "gone"))
        return Built("removed", None)

    def build(self, task: Task, connection: duckdb.DuckDBPyConnection, sql: list[str], notes: list[str]) -> Built:
        """Build and publish one unit. The statements are appended to ``sql`` before they run, notes to ``notes``."""
        assert task.want is not None
        old = None if self.full_refresh else self._published(task)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        want = dataclasses.replace(task.want, build=new_build(), run_id=self.run_id, published_at=now)
        model = self.project.models[task.model]
        if old is not None and model.output.mode == "merge":
            want = dataclasses.replace(want, sources=self._merged_sources(task, want))
        bench = self._bench(task, self._stamp(task, want), connection, sql, notes)
        try:
            state = None
            if model.chain is not None:
                want, state = self._copy_through_kernels(task, want, bench)
            elif model.output.mode == "append":
                want = self._append(task, want, old, bench)
            else:
                want = self._copy(task, want, old if model.output.mode == "merge" else None, bench)
            return self._publish(task, want, state, bench)
        finally:
            bench.clear()

    def _merged_sources(self, task: Task, want: Record) -> dict[str, list[list[Any]]]:
        """All input files whose rows have been merged, also those that are gone."""
        known = self.planner.tables[task.model].sources(task.unit)
        now = {name: {file[0]: file for file in files} for name, files in want.sources.items()}
        return {
            name: list(({file[0]: list(file) for file in known.get(name, [])} | now.get(name, {})).values())
            for name in {**known, **now}
        }

    def _stamp(self, task: Task, record: Record) -> Stamp:
        return Stamp(task.model, self.planner.tables[task.model].reader.owner, "", record)

    def _bench(
        self, task: Task, stamp: Stamp, connection: duckdb.DuckDBPyConnection, sql: list[str], notes: list[str]
    ) -> Bench:
        compiler, model = self.planner.compiler, self.project.models[task.model]
        landing = Landing(compiler, self.project.lake, self._aside(task, "landing"), connection)
        inspection = Inspection(compiler, model, task.unit, self._quarantine(task, stamp), connection, sql, notes)
        looks = self.reads.look(file for part in task.slices for file in part.files)
        return Bench(self._stage_folder(task), landing, inspection, notes, looks, stamp)

    def _publisher(self, model: str) -> Publisher:
        table = None if model in self.roots else self.planner.tables[model]
        return Publisher(self.project.models[model], self.root(model), table, self.states)

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.project, self.planner, self.root)

    def _published(self, task: Task) -> Record | None:
        """What is published now; an error where it is not known and must not be lost."""
        record = self.planner.records[task.model].get(task.unit)
        if task.model in self.roots:
            return record
        table = self.planner.tables[task.model]
        if task.unit in table.whole:
            return record
        if table.files.get(task.unit) and self.project.models[task.model].output.mode != "overwrite":
            raise TaskError(
                f"{self.folder(task)}: some published files are missing, damaged or not of one publication, so that it"
                " is not known which rows are in. Restore them, or rebuild from the inputs that are there with"
                " --full-refresh"
            )
        return None

    def _stage_folder(self, task: Task) -> Path:
        staged = self._aside(task)
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        return staged

    def _aside(self, task: Task, what: str = "") -> Path:
        """A folder of the task's own outside of all tables."""
        return self.staging / _short(f"{task.model}/{task.unit.path}/{what}")

    def _quarantine(self, task: Task, stamp: Stamp) -> Quarantine:
        target = self.quarantine_root(task.model) / task.unit.path
        return Quarantine(self.project.library, self._aside(task, "quarantine"), target, self.project.lake, stamp)

    def _types(self, model: Model, scope: Scope, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """SQL types of the partition columns below a unit."""
        if not model.inner_keys:
            return {}
        rows = connection.execute(f"DESCRIBE {self.planner.compiler.rows(model, scope)}").fetchall()
        types = {name: "VARCHAR" if kind.startswith("ENUM") else kind for name, kind, *_ in rows}
        missing = [key for key in model.inner_keys if key not in types]
        if missing:
            raise TaskError(f"the result has no column {', '.join(missing)}, by which the table is partitioned")
        return {key: types[key] for key in model.inner_keys}

    def _inspect(self, task: Task, bench: Bench, stem: str) -> None:
        """Look at the rows of the sources, those of the task's own partitions."""
        model = self.project.models[task.model]
        for entry, part, files in own_files(model, task.slices, self.planner.listings):
            scan = self.inputs.scan(model, task, entry, part, bench.landing)
            assert scan is not None
            bench.inspection.source(entry, scan, files, bench.landing.decoded.get(entry.ref, {}), stem)

    def _copy(self, task: Task, want: Record, old: Record | None, bench: Bench) -> Record:
        """Stage the unit; its record. In mode merge, rows of ``old`` take part."""
        model = self.project.models[task.model]
        scope = self.inputs.scope(task, bench.landing)
        if scope is None:
            return want if old is None else kept(want, old, old.build)
        self._inspect(task, bench, want.build)
        inspection = bench.inspection
        types = self._types(model, scope, inspection.connection)
        into = bench.target(f"data_{want.build}", types)
        published = self._scan(task, old) if old is not None and old.files else None
        inspection.execute(self.planner.compiler.copy(model, scope, inspection.first(into), published))
        inspection.settle(into, want.build, published)
        if not model.inner_keys and not Path(into.path).exists():
            raise TaskError(f"the staged file {into.path} has vanished. Does another program clean up there?")
        return dataclasses.replace(want, types=types)

    def _scan(self, task: Task, record: Record) -> Scan:
        """The published files of a unit."""
        files = tuple(exact_path(self.folder(task) / name) for name in record.files)
        return Scan(files, types=record.types)

    def _copy_through_kernels(self, task: Task, want: Record, bench: Bench) -> tuple[Record, bytes | None]:
        """Stage the unit; its record and the kernels' state after it."""
        model = self.project.models[task.model]
        scope = self.inputs.scope(task, bench.landing)
        assert model.chain is not None
        if scope is None:
            return want, None
        start = self._state_before(task, want, model.chain)
        self._inspect(task, bench, want.build)
        compiler, inspection = self.planner.compiler, bench.inspection
        staged: list[Target] = []

        def statement(connection: duckdb.DuckDBPyConnection) -> str:
            types = self._types(model, scope, connection)
            staged.append(bench.target(f"data_{want.build}", types))
            return compiler.copy(model, scope, inspection.first(staged[-1]))

        statements = Statements(compiler.feed(model, scope), compiler.trades(model, scope), statement)
        constants = {key: task.unit.typed(key) for key in KEYS if key in task.unit}
        kernels = KernelCopy(
            model.chain, statements, constants, inspection.connection, self.cursors, inspection.sql, bench.notes
        )
        content = states.encode(kernels.run(start), model.chain.identity)
        if model.trades is not None:
            side_is = model.trades.source.side_is if model.trades.source is not None else "auto"
            note = kernels.audit.note(model.trades.ref, side_is)
            bench.notes.extend([note] if note else [])
        inspection.settle(staged[-1], want.build)
        return dataclasses.replace(want, types=dict(staged[-1].types), state=states.digest(content)), content

    def _state_before(self, task: Task, want: Record, chain: Chain) -> Snapshot:
        """The state that a unit starts from: that of the unit before it, or nothing."""
        if task.previous is None or not want.before:
            return Snapshot(chain.start())
        build = self.planner.records[task.model][task.previous].build
        try:
            return self.states.read(task.model, task.previous, build, want.before, chain.identity)
        except StateError as error:
            raise TaskError(
                f"the kernel state of {task.previous} cannot be used: {error}. Run again to build it anew"
            ) from None

    def _append(self, task: Task, want: Record, old: Record | None, bench: Bench) -> Record:
        """Stage one file for each input file that has not contributed yet; the record of these and those before."""
        model = self.project.models[task.model]
        inspection = bench.inspection
        if old is not None:
            if model.inner_keys:
                self._link(task, old, bench.staged)
            inspection.quarantine.keep(old.quarantine)
            want = kept(want, old, want.build)
        part = task.slices[0]
        done = old.contributed if old is not None else ()
        for number, file in enumerate(new_files(part.files, done, self.planner.deletions)):
            alone = dataclasses.replace(task, slices=(dataclasses.replace(part, files=(file,)),))
            scope = self.inputs.scope(alone, bench.landing)
            assert scope is not None
            stem = f"append_{want.build}_{number}"
            types = self._types(model, scope, inspection.connection)
            mine = dataclasses.replace(
                want, contributed=((file.path, file.size, file.mtime_ns),), sources={part.name: [list(file)]}
            )
            into = bench.stamped(mine).target(stem, types)
            self._inspect(alone, bench, stem)
            inspection.execute(self.planner.compiler.copy(model, scope, inspection.first(into)))
            inspection.settle(into, stem)
            want = dataclasses.replace(want, types=types)
        return want

    def _link(self, task: Task, old: Record, staged: Path) -> None:
        """Take over what is published, under a second name of the same files."""
        for name in old.files:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            storage.link_or_copy(self.folder(task) / name, staged / name)

    def _publish(self, task: Task, want: Record, state: bytes | None, bench: Bench) -> Built:
        rows_in = self._rows_in(task, bench.landing)
        # What is appended is never read again.
        bench.notes.extend(self.reads.verify(bench.looks, may_grow=want.mode != "append"))
        publisher, trash = self._publisher(task.model), self._aside(task, "gone")
        record = publisher.publish(want, bench.staged, bench.inspection.quarantine, state, trash)
        return Built("published" if record.rows else "empty", record, rows_in, bench.inspection.counts)

    def _rows_in(self, task: Task, landing: Landing) -> int:
        part = task.slices[0]
        model = self.project.models[task.model]
        if model.primary.source is None:
            records = self.planner.records[part.ref]
            return sum(records[where].rows for where in part.current if where in records)
        listing = self.planner.listings[part.ref]
        current = dict.fromkeys(file for where in part.current for file in listing.partitions[where])
        if listing.layout.format != "parquet":
            decoded = landing.decoded.get(part.ref, {})
            return sum(decoded[file].lines for file in current if file in decoded)
        return parquet_rows(landing.connection, [str(self.project.lake / file.path) for file in current])


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
