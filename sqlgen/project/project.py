"""A loaded project: sources, resolved models and their build order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlgen.errors import ConfigError, Problem
from sqlgen.project import configfile
from sqlgen.project.checks import Checker
from sqlgen.project.config import Config, Source
from sqlgen.project.model import Model, build_order, upstream
from sqlgen.project.modelchecks import STATE, overlap
from sqlgen.templating.templates import Library
from sqlgen.templating.yamlfile import Document


@dataclass(frozen=True)
class Project:
    """Project of a validated models.yaml."""

    path: Path
    config: Config
    library: Library
    models: Mapping[str, Model]
    document: Document
    """The parsed file, for messages with line numbers."""

    @property
    def folder(self) -> Path:
        return self.path.parent

    @cached_property
    def lake(self) -> Path:
        return self.folder / self.config.lake

    @cached_property
    def state(self) -> Path:
        return self.lake / self.config.state

    @property
    def sources(self) -> Mapping[str, Source]:
        return self.config.sources

    @cached_property
    def deleting(self) -> frozenset[str]:
        """Sources whose files are deleted after processing, directly or because they share a folder."""
        doomed = {
            entry.source.path
            for model in self.models.values()
            if model.config.delete_after_processing
            for entry in model.inputs
            if entry.source is not None
        }
        shared = (
            name
            for name, source in self.sources.items()
            if any(overlap(source.path, path, self.lake) for path in doomed)
        )
        return frozenset(shared)

    @property
    def places(self) -> list[str]:
        """A path in each folder of the lake in which runs write."""
        tables = [path for model in self.models.values() for path in (model.output.path, model.quarantine)]
        return [f"{folder}/x" for folder in (*tables, f"{STATE}/staging")]

    def upstream(self, name: str) -> set[str]:
        """Models that must be built before ``name``."""
        return upstream(self.models[name])

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All models, each after its dependencies."""
        return build_order(self.models)


def load(path: Path) -> Project:
    """Load and check a project; :class:`ConfigError` with every problem at once."""
    path = path.resolve()
    config, document = configfile.load(path)
    own = path.parent / "transforms_sql"
    outside = [
        Problem(str(folder), "", f"a link that leads out of the project, to {folder.resolve()}. Copy the folder")
        for folder in (own, path.parent / "udfs")
        if not folder.resolve().is_relative_to(path.parent)
    ]
    if outside:
        raise ConfigError(outside)
    checker = Checker(config, document, Library(own if own.is_dir() else None), path.parent / "udfs")
    for name, source in config.sources.items():
        checker.source(name, source)
    models = {name: model for name, spec in config.models.items() if (model := checker.model(name, spec)) is not None}
    for name, source in config.sources.items():
        checker.rows(("sources", name, "checks"), source.checks)
    checker.paths()
    checker.models(models)
    if checker.problems:
        raise ConfigError(checker.problems)
    return Project(path, config, checker.library, models, document)
