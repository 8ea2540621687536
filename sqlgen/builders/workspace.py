"""The lake and the state folder, shared by the tasks of one run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from sqlgen.lake import storage
from sqlgen.lake.partitions import Partition
from sqlgen.lake.reads import Reads
from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Task
from sqlgen.plan.publishedunits import Facts
from sqlgen.project.project import Project
from sqlgen.published.publication import Publisher
from sqlgen.published.records import Published


@dataclass
class Workspace:
    """Paths and published state of one run."""

    picture: Picture
    facts: Facts
    """The published units so far."""
    run_id: str
    reads: Reads
    full_refresh: bool = False
    cursors: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    """Connections with a running statement, for interrupts."""
    roots: dict[str, Path] = field(default_factory=dict)
    """Models whose partition layout changes: their whole table is built here and swapped in at the end."""

    @property
    def project(self) -> Project:
        return self.picture.project

    @property
    def staging(self) -> Path:
        return self.project.lake / storage.STAGING / self.run_id

    def root(self, model: str) -> Path:
        """Folder of a model's table."""
        return self.roots.get(model) or self.project.lake / self.project.models[model].output.path

    def quarantine_root(self, model: str) -> Path:
        """Folder of a model's quarantine."""
        if model in self.roots:
            return self.staging / "quarantines" / model
        return self.project.lake / self.project.models[model].quarantine

    def aside(self, task: Task, what: str = "") -> Path:
        """A scratch folder of the task, outside of all tables."""
        name = f"{task.model}/{task.unit.path}/{what}"
        return self.staging / hashlib.blake2b(name.encode(), digest_size=10).hexdigest()

    def owner(self, model: str) -> str:
        """Project to which the footers of a model's files belong."""
        return self.picture.tables[model].reader.owner

    def record(self, model: str, unit: Partition) -> Published | None:
        return self.facts.record(model, unit)

    def publisher(self, model: str) -> Publisher:
        table = None if model in self.roots else self.picture.tables[model]
        return Publisher(self.project.models[model], self.root(model), table, self.picture.states)
