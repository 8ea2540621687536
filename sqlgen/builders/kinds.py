"""Builders of units: stateless rows, rows through kernels, appended files. Each stages the files to publish."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet
from msgspec import structs

from sqlgen.builders.job import Job
from sqlgen.builders.rowchecks import RowChecks
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.statements import Target, in_order
from sqlgen.errors import TaskError
from sqlgen.lake import storage
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.lake.remote import mounts
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.lake.storage import FileInfo
from sqlgen.plan.plan import Build
from sqlgen.plan.units import new_files
from sqlgen.project.model import Model
from sqlgen.project.rowchecks import sign_audits
from sqlgen.published.publication import StagedUnit
from sqlgen.published.records import Publication, Published
from sqlgen.published.states import Snapshot, StateError
from sqlgen.sources.schemas import columns_of

if TYPE_CHECKING:
    from sqlgen.stream.kernel_copy import End
    from sqlgen.stream.unitrows import Sight

Builder = Callable[[Job], StagedUnit]


def builder_of(model: Model) -> Builder:
    """The builder of a model's units."""
    if model.pipeline is not None:
        return through_kernels
    return append if model.output.mode == "append" else rows


def rows(job: Job) -> StagedUnit:
    """One COPY of the model's SELECT; in mode merge, with the published rows."""
    scope = job.inputs.scope()
    if scope is None:
        kept, publication = job.old, job.publication
        if kept is not None:
            publication = structs.replace(publication, build=kept.build, types=kept.types)
        return StagedUnit(publication, kept)
    stem = job.publication.build
    job.check_sources(stem, scope)
    into, published = job.target(job.stem, job.columns(scope)), job.published_scan()
    compiler = job.workspace.picture.compiler
    job.checks.execute(compiler.copy(job.model, scope, job.checks.first(into), published))
    job.checks.settle(into, stem, published)
    if not job.model.inner_keys and not Path(into.path).exists():
        raise TaskError(f"the staged file {into.path} has vanished. Does another program clean up there?")
    return StagedUnit(structs.replace(job.publication, types=dict(into.types)))


def through_kernels(job: Job) -> StagedUnit:
    """Rows that pass through kernels, starting from the state of the unit before; and the state after them."""
    from sqlgen.stream.kernel_copy import Feeds, KernelCopy, Pass, Statements  # it loads NumPy and pyarrow

    pipeline, scope = job.model.pipeline, job.inputs.scope()
    assert pipeline is not None
    if scope is None:
        return StagedUnit(job.publication)
    start = state_before(job.workspace, job.task)
    stem, checks = job.publication.build, job.checks
    job.check_sources(stem, scope)
    compiler = job.workspace.picture.compiler
    staged: list[Target] = []

    def statement(connection: duckdb.DuckDBPyConnection, _: int) -> str:
        columns = columns_of(connection, compiler.rows(job.model, scope))
        staged.append(job.target(job.stem, columns))
        return compiler.copy(job.model, scope, checks.first(staged[-1]))

    feed, trades = compiler.feed(job.model, scope), compiler.trades(job.model, scope)
    as_it_is, in_time = Feeds(feed, trades), Feeds(in_order(feed), in_order(trades) if trades is not None else None)
    passes = [Pass(constants(job.task.unit), start)]
    statements = Statements(as_it_is, in_time, statement)
    end = KernelCopy(pipeline, statements, passes, checks.connection, job.workspace.cursors, checks.sql).run()[0]
    job.notes.extend(notes_of(job.model, end))
    checks.settle(staged[-1], stem)
    publication = structs.replace(job.publication, types=dict(staged[-1].types))
    return StagedUnit(publication, state=end.state)


def constants(unit: Partition) -> dict[str, Any]:
    """Values of a unit's keys."""
    return {key: unit.typed(key) for key in KEYS if key in unit}


def sights_of(model: Model, tasks: Sequence[Build]) -> list[Sight]:
    """The rows that the kernels of each unit see, as if it were built alone.

    The number of a market's rows is that of its first unit.
    """
    from sqlgen.stream.unitrows import Sight  # it loads NumPy and pyarrow

    first, found = dict[Partition, int](), list[Sight]()
    for number, task in enumerate(tasks):
        assert task.unit.date is not None
        market = first.setdefault(task.unit.symbol, number)
        ahead = math.inf if "open" in task.provenance.edges else model.lookahead
        found.append(Sight(market, task.unit.date, (model.days_before, model.days_after), model.lookback, ahead))
    return found


def notes_of(model: Model, end: End) -> list[str]:
    """Notes of the kernels on one unit."""
    trades, note = model.trades, ""
    if trades is not None and not (trades.source and sign_audits(trades.source.checks)):  # which tell the same
        note = end.audit.note(trades.ref, trades.source.side_is if trades.source is not None else "auto")
    return [*end.notes, *([note] if note else [])]


def append(job: Job) -> StagedUnit:
    """One file for each new input file, beside the published ones."""
    publication, old, checks = job.publication, job.old, job.checks
    if old is not None:
        if job.model.inner_keys:
            _link(job)
        checks.quarantine.keep(old.quarantine)
        publication = structs.replace(publication, types=old.types)
    part = job.task.slices[0]
    for number, file in enumerate(files_to_append(job.workspace, job.task, old)):
        mine = record_of_file(publication, part.name, file)
        alone = structs.replace(job, task=of_file(job.task, file), publication=mine)
        scope = alone.inputs.scope()
        assert scope is not None
        stem = stem_of_file(job.workspace, publication, file, number)
        into = alone.target(stem, alone.columns(scope))
        alone.check_sources(stem, scope)
        checks.execute(job.workspace.picture.compiler.copy(job.model, scope, checks.first(into)))
        checks.settle(into, stem)
        publication = structs.replace(publication, types=dict(into.types))
    _note_repeated(job)
    return StagedUnit(publication, old)


def files_to_append(workspace: Workspace, task: Build, old: Published | None) -> list[FileInfo]:
    """Input files of a task whose rows are not published yet."""
    done = old.contributed if old is not None else ()
    return new_files(task.slices[0].files, done, workspace.picture.deletions)


def of_file(task: Build, file: FileInfo) -> Build:
    """A task with one of its input files alone."""
    return structs.replace(task, slices=(structs.replace(task.slices[0], files=(file,)),))


def record_of_file(publication: Publication, name: str, file: FileInfo) -> Publication:
    """Record of the rows of one file of an input."""
    contributed = ((file.path, file.size, file.mtime_ns),)
    return structs.replace(publication, contributed=contributed, sources={name: [list(file)]})


def stem_of_file(workspace: Workspace, publication: Publication, file: FileInfo, number: int = 0) -> str:
    """Start of the name of an appended file."""
    if mount_of(workspace.project.lake) is None:
        return f"append_{publication.build}_{number}"
    # Appended again after a crash, its rows replace those of before.
    return f"append_{hashlib.blake2b(repr(tuple(file)).encode(), digest_size=10).hexdigest()}"


def _note_repeated(job: Job) -> None:
    """Note trades that occur in several of the appended files, of this build or of earlier ones."""
    files = sorted(job.folder.rglob("*.parquet"))
    if files and job.old is not None and not job.model.inner_keys:  # else they are linked beside the new ones
        folder = job.workspace.root(job.task.model) / job.task.unit.path
        files = [*(folder / name for name in job.old.files), *files]
    job.notes.extend(repeated(job.checks, {job.task.unit: files}).values())


def repeated(checks: RowChecks, units: Mapping[Partition, Sequence[Path]]) -> dict[Partition, str]:
    """Notes on trades that occur in several of the appended files of a unit, of which the last one is new."""
    new = [files[-1] for files in units.values() if files]
    columns = pyarrow.parquet.read_schema(new[0]).names if new else []
    if "trade_id" not in columns:
        return {}
    keys = [key for key in (*KEYS, "ts") if key in columns]
    mounts.fetch(file for files in units.values() for file in files)
    listed = [(str(file), number) for number, files in enumerate(units.values()) for file in files]
    checks.execute(checks.compiler.project.library.render("publish/repeated_ids.sql.j2", files=listed, keys=keys))
    names = list(units)
    return {
        names[number]: f"{count} trade(s), the one with id {first} for example, occur in several of the appended files."
        " If these hold the same rows (a month beside its days), the rows count twice: move one file away, and rebuild"
        " with --full-refresh"
        for number, count, first in checks.connection.fetchall()
    }


def state_before(workspace: Workspace, task: Build) -> Snapshot:
    """The state that a unit starts from: that of the unit before it, or nothing."""
    pipeline = workspace.project.models[task.model].pipeline
    assert pipeline is not None
    if task.previous is None or not task.provenance.before:
        return Snapshot(pipeline.start())
    before = workspace.facts.records[task.model][task.previous]
    try:
        return workspace.picture.states.read(
            task.model, task.previous, before.build, task.provenance.before, pipeline.state_identity
        )
    except StateError as error:
        raise TaskError(
            f"the kernel state of {task.previous} cannot be used: {error}. Run again to rebuild it"
        ) from None


def _link(job: Job) -> None:
    """Link the published files into the staging folder (hard links)."""
    assert job.old is not None
    published = job.workspace.root(job.task.model) / job.task.unit.path
    for name in job.old.files:
        (job.folder / name).parent.mkdir(parents=True, exist_ok=True)
        storage.link_or_copy(published / name, job.folder / name)
