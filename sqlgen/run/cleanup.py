"""Removal of leftovers of killed runs, and of source files that nothing needs any more."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlgen.lake import storage, swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.reads import Reads
from sqlgen.lake.storage import FileInfo
from sqlgen.plan.planner import Planner
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.run.report import RUN_ID
from sqlgen.sources.listing import ListingError, SourceListing

Lister = Callable[[str], SourceListing]
"""Source name -> what it has now."""


def clear_staging(lake: Path) -> list[Path]:
    """Remove what killed runs have left staged: only one run holds the lake, and a folder of its own is named as it.

    What such a run had moved aside, and not replaced, goes back before; the paths of that.
    """
    folder = lake / storage.STAGING
    left = [path for path in folder.iterdir() if RUN_ID.fullmatch(path.name)] if folder.is_dir() else []
    restored = [target for path in left for target in swap.recover(path)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return restored


@dataclass
class Cleaned:
    """Result of deleting source files after processing."""

    deleted: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def delete_processed(project: Project, planner: Planner, listing: Lister, reads: Reads) -> Cleaned:
    """Delete the files that every model of every source which has them has published, as they were read."""
    result = Cleaned()
    if not project.deleting & planner.listings.keys():
        return result
    try:
        listings = {name: planner.listings.get(name) or listing(name) for name in sorted(_read(project))}
    except ListingError as error:
        result.notes.append(f"nothing is deleted after processing, while a source cannot be listed: {error}")
        return result
    planner = dataclasses.replace(planner, listings=listings)
    files = []
    for file in _processed(project, planner, result.notes):
        if reads.unchanged(file):
            files.append(file)
        else:
            result.notes.append(f"{file.path} changed since it was read, and is not deleted")
    planner.deletions.add(files)
    stayed = []
    for file in files:
        path = project.lake / file.path
        try:
            if reads.unchanged(file):
                path.unlink()
                result.deleted.append(file.path)
                continue
        except OSError as error:
            result.errors.append(f"{path} is processed and cannot be deleted: {error.strerror}")
        stayed.append(file)
    planner.deletions.add(stayed, gone=False)
    return result


def _read(project: Project) -> frozenset[str]:
    """Sources whose files are deleted after processing and that a model reads."""
    return project.deleting & {entry.ref for model in project.models.values() for entry in model.inputs}


def _processed(project: Project, planner: Planner, notes: list[str]) -> list[FileInfo]:
    """Files that a model asks to delete and that no model needs any more."""
    wanted: set[FileInfo] = set()
    needed: set[str] = set()
    unplaced = [text for listing in planner.listings.values() for text in listing.unplaced]
    for model in project.models.values():
        for entry in model.inputs:
            if entry.ref in project.deleting:
                for partition, files in planner.listings[entry.ref].partitions.items():
                    needed.update(file.path for file in _unread(planner, model, entry, partition, files))
                    wanted.update(files if model.config.delete_after_processing else ())
    notes += _spared(project, planner, wanted)
    needed.update(file.path for file in wanted if any(file.path in text for text in unplaced))
    return sorted(file for file in wanted if file.path not in needed)


def _spared(project: Project, planner: Planner, wanted: set[FileInfo]) -> Iterator[str]:
    """Notes on models that keep files from being deleted, however often they are published."""
    for model in project.models.values():
        for entry in model.inputs:
            if entry.ref in project.deleting and _rebuilds(model):
                count = len(wanted & {f for files in planner.listings[entry.ref].partitions.values() for f in files})
                if count:
                    yield f"{count} file(s) are not deleted: model '{model.name}' rebuilds partitions from them"


def _rebuilds(model: Model) -> bool:
    return model.output.mode == "overwrite" or model.lookback > 0


def _unread(
    planner: Planner, model: Model, entry: ModelInput, partition: Partition, files: tuple[FileInfo, ...]
) -> tuple[FileInfo, ...]:
    """Files of a partition that the model has not published as they are, or that it may read again."""
    if _rebuilds(model):
        return files
    unit = partition.project(model.unit_keys)
    current = tuple(planner.index(model, entry).get(unit, ()))
    record = planner.records[model.name].get(unit)
    if record is None or partition not in current:
        return files
    if model.output.mode == "append":
        return tuple(file for file in files if tuple(file) not in record.contributed)
    return () if record.inputs.get(entry.name) == planner.digest(entry, current) else files
