"""Removal of leftovers of killed runs, and of processed source files."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field, structs

from sqlgen.lake import faults, storage, swap
from sqlgen.lake.lock import RUN_ID
from sqlgen.lake.partitions import Partition, Shard
from sqlgen.lake.reads import Reads
from sqlgen.lake.remote import mounts
from sqlgen.lake.remote.refusals import StoreError
from sqlgen.lake.storage import FileInfo
from sqlgen.plan.picture import Picture
from sqlgen.plan.publishedunits import Facts
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.sources.sourcefiles import SourceFiles, SourceFilesError

Lister = Callable[[str], SourceFiles]
"""Source name -> its files now."""


class Leftovers(Struct, frozen=True):
    """Leftovers of killed runs, which are cleared."""

    any: bool = False
    restored: tuple[Path, ...] = ()
    """Folders that such a run had moved aside, and not replaced: they are back."""


def clear_staging(lake: Path, going: Container[str] = ()) -> Leftovers:
    """Remove what killed runs have left staged, each in a folder named as the run; not that of runs that go on."""
    folder = lake / storage.STAGING
    runs = [path for path in folder.iterdir() if RUN_ID.fullmatch(path.name)] if folder.is_dir() else []
    left = [path for path in runs if path.name not in going]
    restored = tuple(target for path in left for target in swap.recover(path, lake))
    for path in left:
        faults.point("staging of a killed run: to be cleared")
        shutil.rmtree(path, ignore_errors=True)
    return Leftovers(bool(left), restored)


class Cleaned(Struct):
    """Result of deleting source files after processing."""

    deleted: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def delete_processed(
    picture: Picture, facts: Facts, list_source: Lister, reads: Reads, shard: Shard | None = None
) -> Cleaned:
    """Delete source files whose rows every reader has published, unless they changed since they were read."""
    result, project = Cleaned(), picture.project
    if not project.deleting & picture.source_files.keys():
        return result
    if shard is not None:
        result.notes.append("source files are deleted after processing by runs without --shard alone")
        return result
    try:
        source_files = {name: picture.source_files.get(name) or list_source(name) for name in sorted(_read(project))}
    except SourceFilesError as error:
        result.notes.append(f"nothing is deleted after processing, while a source cannot be listed: {error}")
        return result
    picture = structs.replace(picture, source_files=source_files)
    try:
        files = _unchanged(_processed(picture, facts, result.notes), reads, result.notes)
        picture.deletions.add(files)
        if files:
            mounts.save(project.lake)
    except StoreError as error:
        result.errors.append(f"nothing is deleted after processing: {error}")
        return result
    stayed = []
    for file in files:
        path = project.lake / file.path
        try:
            if reads.unchanged(file):
                faults.point("input: to be deleted")
                if mounts.unlink(path):
                    faults.point("input: deleted")
                    result.deleted.append(file.path)
                    continue
            result.notes.append(f"{file.path} changed since it was read, and is not deleted")
        except (OSError, StoreError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            result.errors.append(f"{path} is processed and cannot be deleted: {why}")
        stayed.append(file)
    picture.deletions.add(stayed, gone=False)
    return result


def _unchanged(files: Iterable[FileInfo], reads: Reads, notes: list[str]) -> list[FileInfo]:
    """Files that are as they were read."""
    found = {file: reads.unchanged(file) for file in files}
    notes += [f"{file.path} changed since it was read, and is not deleted" for file, same in found.items() if not same]
    return [file for file, same in found.items() if same]


def _read(project: Project) -> frozenset[str]:
    """Sources that a model reads and whose files are deleted after processing."""
    return project.deleting & {entry.ref for model in project.models.values() for entry in model.inputs}


def _processed(picture: Picture, facts: Facts, notes: list[str]) -> list[FileInfo]:
    """Files that one model asks to delete and no other model needs."""
    project = picture.project
    wanted: set[FileInfo] = set()
    needed: set[str] = set()
    processed: set[FileInfo] = set()
    missing: dict[str, set[FileInfo]] = {}
    unassigned = [text for found in picture.source_files.values() for text in found.unassigned]
    for model in project.models.values():
        for entry in model.inputs:
            if entry.ref in project.deleting:
                index = {} if _rebuilds(model) else picture.source_index(model, entry)
                for partition, files in picture.source_files[entry.ref].partitions.items():
                    current = index.get(partition.project(model.unit_keys), ())
                    done = partition in current and _is_read(picture, facts, model, entry, tuple(current))
                    left = _unread(facts, model, partition, files) if done else files
                    needed.update(file.path for file in left)
                    if not _rebuilds(model):
                        missing.setdefault(model.name, set()).update(left)
                    if model.config.delete_after_processing:
                        wanted.update(files)
                        processed.update(set(files).difference(left))
    notes += _spared(picture, wanted)
    notes += _awaited(project, processed, missing)
    young = {file.path for file in _young(picture)} - needed
    if waiting := sum(file.path in young for file in wanted):
        notes.append(f"{waiting} processed file(s) are deleted once their partition is as old as keep_days says")
    needed |= young
    needed.update(file.path for file in wanted if any(file.path in text for text in unassigned))
    return sorted(file for file in wanted if file.path not in needed)


def _young(picture: Picture) -> Iterator[FileInfo]:
    """Files of partitions whose last file was written less than ``keep_days`` ago.

    Those of a partition go together: a merge would be done again when some of its files are gone.
    """
    now = time.time_ns()
    for model in picture.project.models.values():
        days = model.config.keep_days
        for entry in model.inputs if days else ():
            for files in picture.source_files[entry.ref].partitions.values() if entry.source is not None else ():
                written = max(mounts.written_ns(picture.project.lake / file.path) for file in files)
                if now - written < days * 86_400e9:
                    yield from files


def _spared(picture: Picture, wanted: set[FileInfo]) -> Iterator[str]:
    """Notes on models that rebuild from their inputs, so that files are never deleted."""
    project = picture.project
    for model in project.models.values():
        for entry in model.inputs:
            if entry.ref in project.deleting and _rebuilds(model):
                count = len(
                    wanted & {f for files in picture.source_files[entry.ref].partitions.values() for f in files}
                )
                if count:
                    yield f"{count} file(s) are not deleted: model '{model.name}' rebuilds partitions from them"


def _awaited(project: Project, processed: set[FileInfo], missing: Mapping[str, set[FileInfo]]) -> Iterator[str]:
    """Notes on files that one model has processed, and another that reads them has not."""
    for name, files in missing.items():
        if count := len(files & processed):
            why = "has not" if project.models[name].config.enabled else "is disabled and has not"
            yield f"{count} processed file(s) are not deleted: model '{name}' {why} published them"


def _rebuilds(model: Model) -> bool:
    return model.output.mode == "overwrite" or model.lookback > 0


def _is_read(picture: Picture, facts: Facts, model: Model, entry: ModelInput, current: tuple[Partition, ...]) -> bool:
    """True if the unit of the partitions is published, from all of their files or, in mode append, from some."""
    record = facts.record(model.name, current[0].project(model.unit_keys))
    if record is None or model.output.mode == "append":
        return record is not None
    return record.inputs.get(entry.name) == picture.files_digest(entry.ref, current)


def _unread(facts: Facts, model: Model, partition: Partition, files: tuple[FileInfo, ...]) -> tuple[FileInfo, ...]:
    """Files of a partition whose rows are missing in its published unit."""
    record = facts.record(model.name, partition.project(model.unit_keys))
    contributed = record.contributed if record is not None and model.output.mode == "append" else None
    return () if contributed is None else tuple(file for file in files if tuple(file) not in contributed)
