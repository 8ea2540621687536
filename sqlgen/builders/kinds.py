"""Builders of units: stateless rows, rows through kernels, appended files. Each stages the files to publish."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet

from sqlgen.builders.job import Job
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.statements import Target, in_order
from sqlgen.errors import TaskError
from sqlgen.lake import storage
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.plan.plan import Build
from sqlgen.plan.units import new_files
from sqlgen.project.model import Model
from sqlgen.project.rowchecks import sign_audits
from sqlgen.published.publication import StagedUnit
from sqlgen.published.states import Snapshot, StateError
from sqlgen.sources.schemas import columns_of
from sqlgen.stream.kernel_copy import End, Feeds, KernelCopy, Pass, Statements
from sqlgen.templating.quoting import exact_path

Builder = Callable[[Job], StagedUnit]


def builder_of(model: Model) -> Builder:
    """The builder of a model's units."""
    if model.chain is not None:
        return through_kernels
    return append if model.output.mode == "append" else rows


def rows(job: Job) -> StagedUnit:
    """One COPY of the model's SELECT; in mode merge, with the published rows."""
    scope = job.inputs.scope()
    if scope is None:
        kept, publication = job.old, job.publication
        if kept is not None:
            publication = dataclasses.replace(publication, build=kept.build, types=kept.types)
        return StagedUnit(publication, kept)
    stem = job.publication.build
    job.check_sources(stem, scope)
    into, published = job.target(f"data_{stem}", job.columns(scope)), job.published_scan()
    compiler = job.workspace.picture.compiler
    job.checks.execute(compiler.copy(job.model, scope, job.checks.first(into), published))
    job.checks.settle(into, stem, published)
    if not job.model.inner_keys and not Path(into.path).exists():
        raise TaskError(f"the staged file {into.path} has vanished. Does another program clean up there?")
    return StagedUnit(dataclasses.replace(job.publication, types=dict(into.types)))


def through_kernels(job: Job) -> StagedUnit:
    """Rows that pass through kernels, starting from the state of the unit before; and the state after them."""
    chain, scope = job.model.chain, job.inputs.scope()
    assert chain is not None
    if scope is None:
        return StagedUnit(job.publication)
    start = state_before(job.workspace, job.task)
    stem, checks = job.publication.build, job.checks
    job.check_sources(stem, scope)
    compiler = job.workspace.picture.compiler
    staged: list[Target] = []

    def statement(connection: duckdb.DuckDBPyConnection) -> str:
        columns = columns_of(connection, compiler.rows(job.model, scope))
        staged.append(job.target(f"data_{stem}", columns))
        return compiler.copy(job.model, scope, checks.first(staged[-1]))

    feed, trades = compiler.feed(job.model, scope), compiler.trades(job.model, scope)
    as_it_is, in_time = Feeds(feed, trades), Feeds(in_order(feed), in_order(trades) if trades is not None else None)
    passes = [Pass(constants(job.task.unit), start)]
    statements = Statements(as_it_is, in_time, statement)
    end = KernelCopy(chain, statements, passes, checks.connection, job.workspace.cursors, checks.sql).run()[0]
    job.notes.extend(notes_of(job.model, end))
    checks.settle(staged[-1], stem)
    publication = dataclasses.replace(job.publication, types=dict(staged[-1].types))
    return StagedUnit(publication, state=end.state)


def constants(unit: Partition) -> dict[str, Any]:
    """Values of a unit's keys."""
    return {key: unit.typed(key) for key in KEYS if key in unit}


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
        publication = dataclasses.replace(publication, types=old.types)
    part = job.task.slices[0]
    done = old.contributed if old is not None else ()
    for number, file in enumerate(new_files(part.files, done, job.workspace.picture.deletions)):
        task = dataclasses.replace(job.task, slices=(dataclasses.replace(part, files=(file,)),))
        mine = dataclasses.replace(
            publication, contributed=((file.path, file.size, file.mtime_ns),), sources={part.name: [list(file)]}
        )
        alone = dataclasses.replace(job, task=task, publication=mine)
        scope = alone.inputs.scope()
        assert scope is not None
        stem = f"append_{publication.build}_{number}"
        into = alone.target(stem, alone.columns(scope))
        alone.check_sources(stem, scope)
        checks.execute(job.workspace.picture.compiler.copy(job.model, scope, checks.first(into)))
        checks.settle(into, stem)
        publication = dataclasses.replace(publication, types=dict(into.types))
    _note_repeated(job)
    return StagedUnit(publication, old)


def _note_repeated(job: Job) -> None:
    """Note trades that occur in several of the appended files, of this build or of earlier ones."""
    new = sorted(job.folder.rglob("*.parquet"))
    columns = pyarrow.parquet.read_schema(new[0]).names if new else []
    if "trade_id" not in columns:
        return
    before = job.published_scan() if not job.model.inner_keys else None  # else they are linked beside the new ones
    files = [*(before.files if before is not None else ()), *map(exact_path, new)]
    keys = [key for key in (*KEYS, "ts") if key in columns]
    library = job.workspace.picture.project.library
    job.checks.execute(library.render("publish/repeated_ids.sql.j2", files=files, keys=keys))
    count, first = job.checks.connection.fetchall()[0]
    if count:
        job.notes.append(
            f"{count} trade(s), the one with id {first} for example, occur in several of the appended files. If "
            "these hold the same rows (a month beside its days), the rows count twice: move one file away, and rebuild "
            "with --full-refresh"
        )


def state_before(workspace: Workspace, task: Build) -> Snapshot:
    """The state that a unit starts from: that of the unit before it, or nothing."""
    chain = workspace.project.models[task.model].chain
    assert chain is not None
    if task.previous is None or not task.provenance.before:
        return Snapshot(chain.start())
    before = workspace.facts.records[task.model][task.previous]
    try:
        return workspace.picture.states.read(
            task.model, task.previous, before.build, task.provenance.before, chain.state_identity
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
