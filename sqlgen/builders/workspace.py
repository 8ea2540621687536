"""The lake and the state folder, shared by the tasks of one run."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import duckdb
from msgspec import Struct, field

from sqlgen.builders.handover import Handover, Keeper
from sqlgen.lake import storage
from sqlgen.lake.partitions import Partition
from sqlgen.lake.reads import Reads
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Task
from sqlgen.plan.publishedunits import Facts
from sqlgen.project.project import Project
from sqlgen.published.publication import Publisher
from sqlgen.published.records import Publication, Published
from sqlgen.published.versions import Versions


class Workspace(Struct, dict=True):
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
    handover: Handover | None = None
    """Units are kept there, for the process that publishes them; ``None``: they are published here."""

    @property
    def project(self) -> Project:
        return self.picture.project

    @cached_property
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
        folder = self.staging if self.handover is None else self.handover.folder
        return folder / hashlib.blake2b(name.encode(), digest_size=10).hexdigest()

    def owner(self, model: str) -> str:
        """Project to which the footers of a model's files belong."""
        return self.picture.tables[model].reader.owner

    def stem(self, model: str, publication: Publication) -> str:
        """Start of the names of a unit's data files: new with each build; in an object store always the same."""
        if mount_of(self.root(model)) is None:
            return f"data_{publication.build}"
        there = [*self.picture.tables[model].files.get(publication.partition, {})]
        inner = self.project.models[model].inner_keys
        return there[0].removesuffix(".parquet") if len(there) == 1 and not inner else "data"

    def record(self, model: str, unit: Partition) -> Published | None:
        return self.facts.record(model, unit)

    def publisher(self, model: str) -> Publisher:
        table = None if model in self.roots else self.picture.tables[model]
        output = self.project.models[model].output
        versions = Versions.of_table(self.project.lake, output.path, output.keep_versions)
        known = self.project.models[model], self.root(model), table, self.picture.states, versions
        return Publisher(*known) if self.handover is None else Keeper(*known, self.handover)
