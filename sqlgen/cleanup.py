"""``delete_after_processing``: source files that nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlgen.partitions import Partition
from sqlgen.planner import Planner
from sqlgen.project import Model, ModelInput, Project
from sqlgen.storage import FileInfo


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
        readers = [
            (model, entry)
            for model in project.models.values()
            if model.config.enabled
            for entry in model.inputs
            if entry.ref == name
        ]
        if any(model.config.delete_after_processing for model, _ in readers) and name in planner.listings:
            for partition, files in planner.listings[name].partitions.items():
                if all(_published(planner, model, entry, partition) for model, entry in readers):
                    yield from files


def _published(planner: Planner, model: Model, entry: ModelInput, partition: Partition) -> bool:
    unit = partition.project(model.unit_keys)
    current = tuple(planner.index(model, entry).get(unit, ()))
    record = planner.records[model.name].get(unit)
    return (
        partition in current and record is not None and record.inputs.get(entry.name) == planner.digest(entry, current)
    )


def _unchanged(path: Path, file: FileInfo) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime_ns)
