"""What goes: what a killed run has left staged, and source files that nothing needs any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlgen import storage
from sqlgen.model import Model, ModelInput
from sqlgen.partitions import Partition
from sqlgen.planner import Planner
from sqlgen.project import Project
from sqlgen.report import RUN_ID
from sqlgen.storage import FileInfo


def clear_staging(lake: Path) -> None:
    """Remove what killed runs have left staged: only one run holds the lake, and a folder of its own is named as it."""
    folder = lake / storage.STAGING
    left = [path for path in folder.iterdir() if RUN_ID.fullmatch(path.name)] if folder.is_dir() else []
    for path in left:
        shutil.rmtree(path, ignore_errors=True)


def delete_processed(project: Project, planner: Planner) -> list[str]:
    """Delete the files that every model reading them has published, as they were read; their paths."""
    deleted = []
    for file in _processed(project, planner):
        path = project.lake / file.path
        if _unchanged(path, file):
            path.unlink()
            deleted.append(file.path)
    return deleted


def _processed(project: Project, planner: Planner) -> Iterator[FileInfo]:
    for name in project.sources:
        readers = [(model, entry) for model in project.models.values() for entry in model.inputs if entry.ref == name]
        if any(model.config.delete_after_processing for model, _ in readers) and name in planner.listings:
            needed: set[FileInfo] = set()
            listing = planner.listings[name].partitions
            for partition, files in listing.items():
                for model, entry in readers:
                    needed.update(_unread(planner, model, entry, partition, files))
            yield from sorted({file for files in listing.values() for file in files} - needed)


def _unread(
    planner: Planner, model: Model, entry: ModelInput, partition: Partition, files: tuple[FileInfo, ...]
) -> tuple[FileInfo, ...]:
    """Files of a partition that the model has not published as they are."""
    unit = partition.project(model.unit_keys)
    current = tuple(planner.index(model, entry).get(unit, ()))
    record = planner.records[model.name].get(unit)
    if record is None or partition not in current:
        return files
    if model.output.mode == "append":
        return tuple(file for file in files if tuple(file) not in record.contributed)
    return () if record.inputs.get(entry.name) == planner.digest(entry, current) else files


def _unchanged(path: Path, file: FileInfo) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime_ns)
