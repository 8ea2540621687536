"""Parcels: the tasks of one batch, with all that a worker has to know of the lake to build them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from sqlgen import __version__
from sqlgen.builders.handover import Handed
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.scope import SourceLayout
from sqlgen.lake.partitions import Partition
from sqlgen.lake.reads import Identity
from sqlgen.lake.storage import FileInfo
from sqlgen.lake.trust import TRUSTED
from sqlgen.plan.plan import Build, Plan, TaskId
from sqlgen.plan.publishedunits import Facts
from sqlgen.plan.selection import Selection
from sqlgen.published.footers import Stamp
from sqlgen.published.records import Published
from sqlgen.published.tables import Table
from sqlgen.run.report import Result
from sqlgen.sources.sourcefiles import SourceFiles

_VARIABLE = re.compile(r"\$\{(\w+)")


class Site(Struct, frozen=True):
    """The project of a run, as workers open it."""

    path: Path
    lake: Path
    environ: Mapping[str, str | None]
    """Variables of the environment that models.yaml names; ``None`` where they are not set."""
    version: str
    run_id: str
    memory_limit: str | None
    layouts: Mapping[str, SourceLayout]
    empty: frozenset[str]
    types: Mapping[str, Mapping[str, str]]
    roots: Mapping[str, Path]
    """Models whose whole table is built anew -> its folder."""

    @classmethod
    def of(cls, space: Workspace, memory_limit: str | None) -> Site:
        project, compiler = space.project, space.picture.compiler
        named = _VARIABLE.findall(project.path.read_text(encoding="utf-8"))
        return cls(
            project.path,
            project.lake,
            {name: os.environ.get(name) for name in (*named, TRUSTED)},
            __version__,
            space.run_id,
            memory_limit,
            dict(compiler.layouts),
            compiler.empty,
            dict(compiler.types),
            dict(space.roots),
        )


class Parcel(Struct, frozen=True):
    """Tasks of one model, and the part of the lake that they read."""

    tasks: tuple[Build, ...]
    fingerprint: str
    """Fingerprint of the model."""
    selection: Selection
    source_files: Mapping[str, SourceFiles]
    records: Mapping[str, Mapping[Partition, Published]]
    """Model -> published units that the tasks read, follow or replace."""
    table: Table
    rebuilt: frozenset[TaskId]
    """Tasks that rebuild a kernel state that cannot be used."""
    unusable: frozenset[TaskId]


class Delivery(Struct, frozen=True):
    """Results of a parcel."""

    results: tuple[Result, ...]
    handed: tuple[Handed, ...]
    """Units to publish."""
    reads: Mapping[FileInfo, set[Identity | None]]


def packed(plan: Plan, facts: Facts, tasks: Sequence[Build]) -> Parcel:
    """The parcel of a batch."""
    picture, name = plan.picture, tasks[0].model
    model = picture.project.models[name]
    own = {task.unit for task in tasks}
    following = [task.unit for task in tasks if model.follows(task.unit)]
    own |= {before for unit in following if (before := facts.previous(model, unit)) is not None}
    records = {name: _chosen(facts.records.get(name, {}), own)}
    source_files: dict[str, SourceFiles] = {}
    for entry in model.inputs:
        read = {where for task in tasks for part in task.slices if part.name == entry.name for where in part.partitions}
        if entry.source is None:
            records[entry.ref] = _chosen(facts.records.get(entry.ref, {}), read | (own if entry.ref == name else set()))
        else:
            source_files[entry.ref] = _part(picture.source_files[entry.ref], read, source_files.get(entry.ref))
    ids = {(name, unit) for unit in own}
    return Parcel(
        tuple(tasks),
        picture.compiler.compile(name).fingerprint,
        structs.replace(plan.selection, only=None, recent={}),
        source_files,
        records,
        _table(picture.tables[name], own),
        frozenset(plan.unusable & ids),
        frozenset(facts.unusable & ids),
    )


def _chosen(records: Mapping[Partition, Published], units: Iterable[Partition]) -> dict[Partition, Published]:
    return {unit: records[unit] for unit in units if unit in records}


def _part(found: SourceFiles, partitions: set[Partition], before: SourceFiles | None) -> SourceFiles:
    """Source files of some partitions; where files have rows of several, what else is in them counts, too."""
    wanted = partitions | (before.partitions.keys() if before is not None else set())
    mine = {where: found.partitions[where] for where in sorted(wanted) if where in found.partitions}
    others = {} if found.keyed else {**found.others, **found.partitions}
    return SourceFiles(
        found.layout, mine, found.keyed, others={where: files for where, files in others.items() if where not in mine}
    )


def _nobody(stamp: Stamp) -> str:
    return ""


def _table(table: Table, units: set[Partition]) -> Table:
    """A table of some units. Files of others are looked for where it is published."""
    return structs.replace(
        table,
        reader=structs.replace(table.reader, others=_nobody),
        records=_chosen(table.records, units),
        present=table.present & units,
        whole=table.whole & units,
        adopted=set(),
        gone=set(),
        files={unit: files for unit, files in table.files.items() if unit in units},
        foreign_files={},
    )
