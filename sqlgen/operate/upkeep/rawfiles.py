"""Compaction of raw files, which are a user's own: only of sources that are asked for by name.

The files of a folder are swapped as those of a partition are. Rows, their order and their types stay as they are, which
is checked; units that were up to date stay so, as their records take the new files for the old ones.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, field, structs

from sqlgen.errors import TaskError, UsageError, first_line, nearest
from sqlgen.lake import faults, storage, swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import FileInfo, Stat
from sqlgen.operate.upkeep.compacting import joined, small
from sqlgen.operate.upkeep.held import holding, refuse_in_store, with_symbols
from sqlgen.operate.upkeep.rewrites import Rewritten, TableChange
from sqlgen.operate.upkeep.rewriting import staging_connection
from sqlgen.plan.missing import none_selected
from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Build
from sqlgen.plan.planner import make_plan
from sqlgen.plan.selection import Selection
from sqlgen.project.keys import natural_order
from sqlgen.project.modelchecks import overlap
from sqlgen.published.footers import new_build
from sqlgen.run.engine import Engine
from sqlgen.templating.queries import query

_COMPACTED = re.compile(r"\.compacted_[0-9a-f]+$")


class FolderChange(Struct):
    """Files of one folder that are joined."""

    folder: Path
    partition: Partition
    files: list[FileInfo]
    """Files of the partition in it, in the order of their rows."""
    groups: list[list[FileInfo]]
    there: dict[str, Stat]
    """All files of the folder, as they were when it was listed."""
    joined: dict[FileInfo, FileInfo | None] = field(default_factory=dict)
    """File -> that which takes its place; ``None`` for all but the first of a group."""


def compact_source(
    engine: Engine, name: str, wanted: Selection, target: int, settle: float, dry_run: bool, wait: float
) -> TableChange:
    """Join the small files of a source, folder by folder; those written less than ``settle`` seconds ago stay."""
    readers = _readers(engine, name)
    refuse_in_store(engine.project.lake / engine.project.sources[name].path)
    with holding(engine, wait, dry_run):
        picture = engine.picture(readers)
        changes = [*_changes(engine, picture, name, wanted, target)]
        if dry_run:
            return TableChange(name, tuple(_before(change) for change in changes))
        known = {task.id for task in make_plan(picture, Selection(readers)).tasks}
        with staging_connection(engine) as (staging, connection):
            done = []
            for number, change in enumerate(changes):
                done.append(_attempt(change, staging / str(number), connection, settle))
                swap.sweep()
        replaced = {old: new for change in changes for old, new in change.joined.items()}
        stale = _adopt(engine, picture, Selection(readers), replaced, known)
    return TableChange(name, tuple(done), readers=tuple(stale))


def _readers(engine: Engine, name: str) -> tuple[str, ...]:
    """Models that read a source; :class:`UsageError` if its files must stay as they are."""
    project = engine.project
    if name not in project.sources:
        raise UsageError(f"no source '{name}'.{nearest(name, project.sources)} Known: {', '.join(project.sources)}")
    source = project.sources[name]
    if source.pattern:
        raise UsageError(f"source '{name}': its pattern finds keys in the names of files, which joined files have not")
    alike = {other for other, each in project.sources.items() if overlap(each.path, source.path, project.lake)}
    found = tuple(n for n in project.order if {entry.ref for entry in project.models[n].inputs if entry.source} & alike)
    for model in found:
        mode = project.models[model].output.mode
        if mode != "overwrite":
            raise UsageError(
                f"source '{name}': model '{model}' reads it in mode {mode}, and knows by the names of files which rows"
                " it has: joined files would be new to it. Compact its table instead"
            )
    if not found:
        raise UsageError(f"source '{name}': no model reads it")
    return found


def _changes(engine: Engine, picture: Picture, name: str, wanted: Selection, target: int) -> Iterator[FolderChange]:
    found, lake = picture.source_files[name], engine.project.lake
    if found.layout.format != "parquet" or not found.keyed:
        raise UsageError(f"source '{name}': only Parquet files in hive folders of exchange, symbol and date are joined")
    wanted = with_symbols(wanted, {partition["symbol"] for partition in found.partitions})
    if problems := [*none_selected(found.partitions, wanted)]:
        raise UsageError(f"source '{name}': {'. '.join(problems)}")
    for partition, files in found.partitions.items():
        folders = itertools.groupby(files, lambda file: file.path.rpartition("/")[0])
        for folder, inside in folders if wanted.covers(partition) else ():
            here = [*inside]
            groups = [*_groups(lake, here, target)]
            if groups:
                yield FolderChange(lake / folder, partition, here, groups, storage.list_all(lake / folder))


def _groups(lake: Path, files: Sequence[FileInfo], target: int) -> Iterator[list[FileInfo]]:
    """Small files that follow each other and have the same columns."""
    few = {name for name, _ in small(((file.path, file.size) for file in files), target)}
    by_path = {file.path: file for file in files}
    if len(few) > 1:
        kinds = itertools.groupby(files, lambda file: _schema(lake / file.path) if file.path in few else None)
        for schema, run in kinds:
            sizes = [(file.path, file.size) for file in run] if schema is not None else []
            yield from ([by_path[name] for name in group] for group in joined(sizes, target) if len(group) > 1)


def _schema(path: Path) -> pa.Schema | None:
    """Columns of a file, whatever a writer notes beside; ``None`` for a damaged file or a link."""
    try:
        schema = pq.read_schema(path) if not path.is_symlink() else None
    except (OSError, pa.ArrowException):
        return None
    return schema if schema is None else pa.schema([pa.field(f.name, _plain(f.type)) for f in schema])


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type as values have it, not how Arrow holds them."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(kind.field(i).name, _plain(kind.field(i).type)) for i in range(kind.num_fields)])
    return kind


def _before(change: FolderChange) -> Rewritten:
    files = [name for name in change.there if not storage.is_hidden(name)]
    size = sum(change.there[name].size for name in files)
    after = len(files) - sum(len(group) - 1 for group in change.groups)
    return Rewritten(change.partition.path, 0, 0, len(files), after, size, size)


def _attempt(change: FolderChange, staged: Path, connection: duckdb.DuckDBPyConnection, settle: float) -> Rewritten:
    before = _before(change)
    try:
        rows = _join(change, staged, connection, settle)
    except (TaskError, duckdb.Error, OSError) as error:
        change.joined.clear()
        return structs.replace(before, files_after=before.files_before, error=f"{change.folder}: {first_line(error)}")
    size = sum(stat.size for name, stat in storage.list_all(change.folder).items() if not storage.is_hidden(name))
    return structs.replace(before, rows_before=rows, rows_after=rows, bytes_after=size)


def _join(change: FolderChange, staged: Path, connection: duckdb.DuckDBPyConnection, settle: float) -> int:
    """Swap a folder for one with the joined files; the number of their rows."""
    young = max(stat.mtime_ns for stat in change.there.values())
    if time.time_ns() - young < settle * 1e9:
        raise TaskError(f"a file was written less than {settle:g} s ago (--settle). It stays as it is")
    new = {group[0]: _name(group[0]) for group in change.groups}
    gone = {file for group in change.groups for file in group[1:]}
    order = [new.get(file) or Path(file.path).name for file in change.files if file not in gone]
    if order != sorted(order, key=natural_order):
        raise TaskError("joined files would not be read in the place of their parts. It stays as it is")
    staged.mkdir(parents=True)
    rows = sum(_write(group, change.folder, staged / new[group[0]], connection) for group in change.groups)
    moved = {Path(file.path).name for group in change.groups for file in group}
    for name in change.there:
        if name not in moved and not storage.is_hidden(name):
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            storage.link_or_copy(change.folder / name, staged / name)
    if storage.list_all(change.folder) != change.there:
        raise TaskError("files have come or changed meanwhile. It stays as it is")
    faults.point("raw files: staged")
    swap.publish_folder(staged, change.folder)
    faults.point("raw files: replaced")
    for group in change.groups:
        path = change.folder / new[group[0]]
        below = group[0].path.rpartition("/")[0]
        change.joined |= dict.fromkeys(group[1:], None)
        change.joined[group[0]] = FileInfo(f"{below}/{path.name}", *Stat.of(path.stat()))
    return rows


def _name(file: FileInfo) -> str:
    """Name of the joined file that begins with the rows of a file: by it, it is read in the same place."""
    return f"{_COMPACTED.sub('', Path(file.path).stem)}.compacted_{new_build()}.parquet"


def _write(group: Sequence[FileInfo], folder: Path, target: Path, connection: duckdb.DuckDBPyConnection) -> int:
    files = [str(folder / Path(file.path).name) for file in group]
    rows = query("joined_rows", files=files)
    connection.execute(query("to_file", select=rows, target=str(target), format="parquet", numbers=[]))
    before, after = (
        connection.execute(query("row_digest", rows=query("joined_rows", files=each))).fetchall()[0]
        for each in (files, [str(target)])
    )
    old, new = _schema(Path(files[0])), _schema(target)
    if before != after or old is None or new is None or not old.equals(new):
        changed = [field.name for field in old or () if new is None or new.field(field.name).type != field.type]
        what = f"columns would change their types: {', '.join(changed)}" if changed else "rows would change"
        raise TaskError(f"{what}. It stays as it is")
    return int(after[0])


def _adopt(
    engine: Engine,
    picture: Picture,
    selection: Selection,
    replaced: Mapping[FileInfo, FileInfo | None],
    known: Iterable[object],
) -> list[str]:
    """Let units that were up to date stay so; models with units that are stale now."""
    sources = {
        name: structs.replace(
            found, partitions={p: _replaced(files, replaced) for p, files in found.partitions.items()}
        )
        for name, found in picture.source_files.items()
    }
    known, stale = {*known}, dict[str, None]()
    for task in make_plan(structs.replace(picture, source_files=sources), selection).tasks:
        record = picture.records[task.model].get(task.unit)
        if not isinstance(task, Build) or record is None or task.id in known:
            continue
        entries = {entry.name for entry in engine.project.models[task.model].inputs if entry.source is not None}
        inputs = {key: text for key, text in task.provenance.inputs.items() if key.partition(" ")[0] in entries}
        if inputs.keys() <= record.inputs.keys():
            engine.manifest.note(task.model, [structs.replace(record, inputs=record.inputs | inputs)])
        else:
            stale[task.model] = None
    return [*stale]


def _replaced(files: Sequence[FileInfo], replaced: Mapping[FileInfo, FileInfo | None]) -> tuple[FileInfo, ...]:
    found = (replaced.get(file, file) for file in files)
    return tuple(file for file in found if file is not None)
