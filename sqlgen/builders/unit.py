"""Builds and publishes one unit at a time."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import duckdb
from msgspec import Struct, structs

from sqlgen.builders.job import Job
from sqlgen.builders.kinds import builder_of
from sqlgen.builders.nulls import note_nulls, nulls_of
from sqlgen.builders.rowchecks import RowChecks
from sqlgen.builders.workspace import Workspace
from sqlgen.errors import TaskError
from sqlgen.lake import faults
from sqlgen.lake.partitions import NULL_FOLDER
from sqlgen.plan.plan import Build, Removal
from sqlgen.project.rowchecks import CheckCount
from sqlgen.published.footers import Stamp, new_build
from sqlgen.published.quarantine import Quarantine
from sqlgen.published.records import Publication, Published
from sqlgen.sources.staged import InputStager


class BuildResult(Struct, frozen=True):
    """The outcome of a task."""

    status: Literal["published", "unchanged", "empty", "removed"]
    record: Published | None
    rows_in: int = 0
    checks: tuple[CheckCount, ...] = ()
    notes: tuple[str, ...] = ()
    """Notes of the kernels, where they are not told as the task runs."""


def remove(workspace: Workspace, task: Removal) -> BuildResult:
    """Remove a published unit, with its quarantine and its kernel state."""
    quarantine = quarantine_of(workspace, task, workspace.facts.records[task.model][task.unit])
    workspace.publisher(task.model).remove(task.unit, quarantine, workspace.aside(task, "gone"))
    return BuildResult("removed", None)


def build(
    workspace: Workspace,
    task: Build,
    connection: duckdb.DuckDBPyConnection,
    sql: list[str],
    notes: list[str],
    shared: InputStager | None = None,
) -> BuildResult:
    """Build and publish one unit. The statements are appended to ``sql`` before they run, notes to ``notes``.

    ``shared``: inputs that other tasks read too; they are left for these.
    """
    job = _job(workspace, task, connection, sql, notes, shared)
    try:
        staged = builder_of(job.model)(job)
        notes.extend(nameless(job.folder))
        kept = {job.folder / name for name in job.old.files} if job.old is not None else set()  # linked beside new ones
        new = (file for file in job.folder.rglob("*.parquet") if file not in kept)
        note_nulls(job.checks, nulls_of(job.model, connection, new).values())
        rows_in = job.rows_in()
        # In mode append, inputs are read once only.
        notes.extend(workspace.reads.verify(job.looks, may_grow=task.provenance.mode != "append"))
        publisher, trash = workspace.publisher(task.model), workspace.aside(task, "gone")
        faults.point("unit: staged")
        record = publisher.publish(staged, job.folder, job.checks.quarantine, trash)
        return BuildResult("published" if record.rows else "empty", record, rows_in, job.checks.counts)
    finally:
        job.clear(inputs=shared is None)


def nameless(folder: Path) -> Iterator[str]:
    """A note per partition column that has rows without a value."""
    for column in sorted({path.name.removesuffix(NULL_FOLDER) for path in folder.rglob(f"*={NULL_FOLDER}")}):
        yield (
            f"rows without a value of {column.removesuffix('=')}, by which the table is partitioned, lie under"
            f" {column}{NULL_FOLDER}: pandas cannot open such a table by its name. Give them a value in the template,"
            " or leave them out (filter)"
        )


def _job(
    workspace: Workspace,
    task: Build,
    connection: duckdb.DuckDBPyConnection,
    sql: list[str],
    notes: list[str],
    shared: InputStager | None,
) -> Job:
    model, compiler = workspace.project.models[task.model], workspace.picture.compiler
    old = published_before(workspace, task)
    publication = publication_of(workspace, task, old)
    quarantine = quarantine_of(workspace, task, publication)
    return Job(
        workspace=workspace,
        task=task,
        model=model,
        publication=publication,
        old=old,
        folder=_empty_folder(workspace, task),
        stager=shared
        or InputStager(workspace.project.library, workspace.project.lake, workspace.aside(task, "inputs"), connection),
        checks=RowChecks(compiler, model, task.unit, quarantine, connection, sql, notes),
        notes=notes,
        looks=workspace.reads.identify(file for part in task.slices for file in part.files),
    )


def publication_of(workspace: Workspace, task: Build, old: Published | None) -> Publication:
    """A new publication of the task's unit; in mode merge, of ``old`` and new rows."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    made: dict[str, Any] = structs.asdict(task.provenance)
    if old is not None and task.provenance.mode == "merge":
        made = made | {"sources": _merged_sources(workspace, task)}
    if old is not None and task.provenance.mode == "append":
        made = made | {"edited": old.edited}
    return Publication(**made, build=new_build(), run_id=workspace.run_id, published_at=now)


def _merged_sources(workspace: Workspace, task: Build) -> dict[str, list[list[Any]]]:
    """All input files whose rows have been merged, including those deleted since."""
    known = workspace.picture.tables[task.model].sources(task.unit)
    now = {name: {file[0]: file for file in files} for name, files in task.provenance.sources.items()}
    return {
        name: list(({file[0]: list(file) for file in known.get(name, [])} | now.get(name, {})).values())
        for name in {**known, **now}
    }


def published_before(workspace: Workspace, task: Build) -> Published | None:
    """The published unit, if its rows stay; an error if it is damaged and its rows must not be lost."""
    if task.provenance.mode == "overwrite" or workspace.full_refresh:
        return None
    record = workspace.facts.record(task.model, task.unit)
    if task.model in workspace.roots:
        return record
    table = workspace.picture.tables[task.model]
    if task.unit in table.whole:
        return record
    if table.files.get(task.unit):
        raise TaskError(
            f"{workspace.root(task.model) / task.unit.path}: some published files are missing, damaged or of "
            "different publications, so the published rows are unknown. Restore the files, or rebuild from "
            "the present inputs with --full-refresh"
        )
    return None


def _empty_folder(workspace: Workspace, task: Build) -> Path:
    staged = workspace.aside(task)
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    return staged


def quarantine_of(workspace: Workspace, task: Build | Removal, record: Publication) -> Quarantine:
    """The quarantined rows of a task."""
    target = workspace.quarantine_root(task.model) / task.unit.path
    stamp = Stamp(task.model, workspace.owner(task.model), "", record)
    project = workspace.project
    return Quarantine(project.library, workspace.aside(task, "quarantine"), target, project.lake, stamp)
