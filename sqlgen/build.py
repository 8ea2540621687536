"""One task: its SQL, its staged files, its publication."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from sqlgen import states, storage
from sqlgen.decode import parquet_rows
from sqlgen.errors import TaskError
from sqlgen.inputs import Inputs
from sqlgen.inspection import Inspection, own_files
from sqlgen.kernel_copy import KernelCopy, Statements, state_before
from sqlgen.landing import Landing
from sqlgen.manifest import SIDECAR, Record, read_sidecar
from sqlgen.model_planner import new_files
from sqlgen.partitions import KEYS
from sqlgen.plan import Task
from sqlgen.planner import Planner
from sqlgen.predicates import partition_predicate
from sqlgen.project import Project
from sqlgen.quality import Count
from sqlgen.quarantine import Quarantine
from sqlgen.quoting import exact_path
from sqlgen.reads import Looks, Reads
from sqlgen.report import Status

DATA_FILE = "data_0.parquet"


@dataclass(frozen=True)
class Built:
    """What a task left behind."""

    status: Status
    record: Record | None
    rows_in: int = 0
    checks: tuple[Count, ...] = ()


@dataclass(frozen=True)
class Bench:
    """What one task works with, as long as it lasts."""

    staged: Path
    """Folder of what it will publish."""
    landing: Landing
    inspection: Inspection
    notes: list[str]
    """For the user, in the order in which they came up; the report keeps them also where the task fails."""
    looks: Looks
    """Source files before they are read."""

    def clear(self) -> None:
        self.landing.clear()
        self.inspection.discard()
        shutil.rmtree(self.staged, ignore_errors=True)


@dataclass
class Builder:
    """Builds the units of one run."""

    project: Project
    planner: Planner
    """With what is listed, and with what upstream models have published by now."""
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
        self._quarantine(task).publish()
        self._take_away(task)
        return Built("removed", None)

    def build(self, task: Task, connection: duckdb.DuckDBPyConnection, sql: list[str], notes: list[str]) -> Built:
        """Build and publish one unit. The statements are appended to ``sql`` before they run, notes to ``notes``."""
        assert task.want is not None
        old = None if self.full_refresh else self._published(task)
        recorded = self.planner.records[task.model].get(task.unit)
        if (
            old is not None
            and old.version == task.want.version
            and (recorded is None or recorded.version != old.version)
        ):
            return Built("recovered", old)
        model = self.project.models[task.model]
        bench = self._bench(task, connection, sql, notes)
        try:
            if model.chain is not None:
                task = self._copy_through_kernels(task, bench)
            elif model.output.mode == "append":
                self._append(task, old, bench)
            else:
                self._copy(task, old if model.output.mode == "merge" else None, bench)
            return self._publish(task, bench)
        finally:
            bench.clear()

    def _bench(self, task: Task, connection: duckdb.DuckDBPyConnection, sql: list[str], notes: list[str]) -> Bench:
        compiler, model = self.planner.compiler, self.project.models[task.model]
        landing = Landing(compiler, self.project.lake, self._aside(task, "landing"), connection)
        inspection = Inspection(compiler, model, task.unit, self._quarantine(task), connection, sql, notes)
        looks = self.reads.look(file for part in task.slices for file in part.files)
        return Bench(self._stage_folder(task), landing, inspection, notes, looks)

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.project, self.planner, self.root)

    def _published(self, task: Task) -> Record | None:
        """What is published now; an error where it is not known and must not be lost."""
        folder = self.folder(task)
        found = read_sidecar(folder)
        if found is not None or not next(folder.rglob("*.parquet"), None):
            return found
        recorded = self.planner.records[task.model].get(task.unit)
        if recorded is None:
            raise TaskError(
                f"{folder} holds files that sqlgen did not publish. Move them away, or replace them with --full-refresh"
            )
        if self.project.models[task.model].output.mode != "overwrite":
            raise TaskError(
                f"{folder}: {SIDECAR} is missing or does not fit the files beside it, so that it is not known which"
                " rows are in. Restore it, or rebuild from the inputs that are there with --full-refresh"
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

    def _quarantine(self, task: Task) -> Quarantine:
        target = self.quarantine_root(task.model) / task.unit.path
        return Quarantine(self.project.library, self._aside(task, "quarantine"), target, self.project.lake)

    def _inspect(self, task: Task, bench: Bench, stem: str) -> None:
        """Look at the rows of the sources, those of the task's own partitions."""
        model = self.project.models[task.model]
        for entry, part, files in own_files(model, task.slices, self.planner.listings):
            scan = self.inputs.scan(model, task.unit, entry, part, bench.landing)
            assert scan is not None
            bench.inspection.source(entry, scan, files, bench.landing.decoded.get(entry.ref, {}), stem)

    def _copy(self, task: Task, old: Record | None, bench: Bench) -> None:
        model = self.project.models[task.model]
        scope = self.inputs.scope(task, bench.landing)
        if scope is None:
            self._keep(task, old, bench.staged)
            return
        assert task.want is not None
        self._inspect(task, bench, task.want.version)
        target = bench.staged if model.inner_keys else bench.staged / DATA_FILE
        published = tuple(str(self.folder(task) / name) for name in old.files) if old is not None else ()
        inspection = bench.inspection
        inspection.execute(self.planner.compiler.copy(model, scope, str(inspection.target(target)), published))
        inspection.settle(target, task.want.version, published)
        if not model.inner_keys and not target.exists():
            raise TaskError(f"the staged file {target} has vanished. Does another program clean up there?")

    def _copy_through_kernels(self, task: Task, bench: Bench) -> Task:
        """Stage the unit and the kernels' state after it; the task, with that state in its record."""
        model = self.project.models[task.model]
        scope = self.inputs.scope(task, bench.landing)
        assert task.want is not None
        assert model.chain is not None
        if scope is None:
            return task
        before = self.root(task.model) / task.previous.path if task.previous is not None else None
        start = state_before(model.chain, before, task.want.before)
        self._inspect(task, bench, task.want.version)
        inspection = bench.inspection
        target = bench.staged if model.inner_keys else bench.staged / DATA_FILE
        statements = Statements(
            feed=self.planner.compiler.feed(model, scope),
            trades=self.planner.compiler.trades(model, scope),
            copy=self.planner.compiler.copy(model, scope, str(inspection.target(target))),
        )
        constants = {key: task.unit.typed(key) for key in KEYS if key in task.unit}
        kernels = KernelCopy(
            model.chain, statements, constants, inspection.connection, self.cursors, inspection.sql, bench.notes
        )
        content = states.encode(kernels.run(start), model.chain.identity)
        if model.trades is not None:
            side_is = model.trades.source.side_is if model.trades.source is not None else "auto"
            note = kernels.audit.note(model.trades.ref, side_is)
            bench.notes.extend([note] if note else [])
        inspection.settle(target, task.want.version)
        (bench.staged / states.STATE_FILE).write_bytes(content)
        return dataclasses.replace(task, want=dataclasses.replace(task.want, state=states.digest(content)))

    def _keep(self, task: Task, old: Record | None, staged: Path) -> None:
        """Take over what is published, under a second name of the same files."""
        for name in old.files if old is not None else ():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            storage.link_or_copy(self.folder(task) / name, staged / name)

    def _append(self, task: Task, old: Record | None, bench: Bench) -> None:
        """Keep what is there; add one file for each input file that has not contributed yet."""
        model = self.project.models[task.model]
        inspection = bench.inspection
        self._keep(task, old, bench.staged)
        inspection.quarantine.keep(old.quarantine if old is not None else ())
        done = old.contributed if old is not None else ()
        part = task.slices[0]
        for file in new_files(part.files, done, self.planner.deletions):
            alone = dataclasses.replace(task, slices=(dataclasses.replace(part, files=(file,)),))
            scope = self.inputs.scope(alone, bench.landing)
            assert scope is not None
            name = f"append-{_short(repr(tuple(file)))}"
            target = bench.staged / name if model.inner_keys else bench.staged / f"{name}.parquet"
            self._inspect(alone, bench, name)
            inspection.execute(self.planner.compiler.copy(model, scope, str(inspection.target(target))))
            inspection.settle(target, name)

    def _publish(self, task: Task, bench: Bench) -> Built:
        assert task.want is not None
        staged, inspection = bench.staged, bench.inspection
        files = {str(path.relative_to(staged)): path.stat().st_size for path in sorted(staged.rglob("*.parquet"))}
        rows = self._check(task, staged, files, inspection.connection)
        for name in [name for name in files if rows[name] == 0]:
            (staged / name).unlink()
            del files[name]
        total = sum(rows.values())
        record = dataclasses.replace(
            task.want,
            rows=total,
            bytes=sum(files.values()),
            files=files,
            quarantine=inspection.quarantine.files,
            run_id=self.run_id,
            published_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        )
        rows_in = self._rows_in(task, bench.landing)
        # What is appended is never read again.
        bench.notes.extend(self.reads.verify(bench.looks, may_grow=task.want.mode != "append"))
        # Before the table: only what a published record says of its quarantine is there for certain.
        inspection.quarantine.publish()
        if not files and not task.want.contributed and not task.want.state:
            self._take_away(task)
            return Built("empty", record, rows_in, inspection.counts)
        storage.replace_text(staged / SIDECAR, record.to_json(sources=True) + "\n")
        storage.publish(staged, self.folder(task))
        return Built("published" if total else "empty", record, rows_in, inspection.counts)

    def _check(
        self, task: Task, staged: Path, files: Mapping[str, int], connection: duckdb.DuckDBPyConnection
    ) -> dict[str, int]:
        """Rows of each staged file; an error where rows belong to another partition."""
        if not files:
            return {}
        patterns = [exact_path(staged / name) for name in files]
        counted = connection.execute("SELECT file_name, num_rows FROM parquet_file_metadata(?)", [patterns]).fetchall()
        rows = {os.path.relpath(name, staged): int(count) for name, count in counted}
        if task.unit.values and any(rows.values()):
            query = (
                f"SELECT count(*) FROM read_parquet(?, hive_partitioning = false)"
                f" WHERE ({partition_predicate(task.unit)}) IS NOT TRUE"
            )
            strays = connection.execute(query, [patterns]).fetchall()[0][0]
            if strays:
                raise TaskError(
                    f"{strays} of {sum(rows.values())} rows of the result belong to another partition."
                    " The template must keep exchange, symbol and date as the input has them"
                )
        return rows

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

    def _take_away(self, task: Task) -> None:
        root = self.root(task.model)
        storage.remove(self.folder(task), self.staging / f"gone-{_short(f'{task.model}/{task.unit.path}')}", root)


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
