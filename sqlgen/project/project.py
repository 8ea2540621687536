"""A loaded project: sources, resolved models and their build order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from sqlgen.errors import ConfigError, Problem, UsageError
from sqlgen.lake.remote.address import is_remote
from sqlgen.lake.remote.mounts import link
from sqlgen.lake.trust import how_to_trust, trusted
from sqlgen.project import configfile
from sqlgen.project.checks import Checker
from sqlgen.project.config import MOUNTS, Config, Source
from sqlgen.project.model import Model, build_order, upstream
from sqlgen.project.modelchecks import STATE, overlap
from sqlgen.templating.secrets import show_as
from sqlgen.templating.templates import Library, library_of
from sqlgen.templating.yamlfile import Document


class Project(Struct, frozen=True, dict=True):
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
        """Root of the data; of a lake in an object store, the working copy, which shows what is there now."""
        own = [source.folder for source in self.sources.values() if source.lake is None]
        lake = self._root(self.config.lake, own, self.config.state, [*self._tables, STATE])
        for root in dict.fromkeys(source.lake for source in self.sources.values() if source.lake is not None):
            inside = [source for source in self.sources.values() if source.lake == root]
            place = lake.joinpath(*Path(inside[0].path).parts[: len(Path(MOUNTS).parts) + 1])
            link(place, self._root(root, [source.folder for source in inside], STATE))
            show_as(str(place), root)
        return lake

    def _root(self, text: str, folders: list[str], state: str, tables: Sequence[str] = ()) -> Path:
        """The local folder that is a root of files, or stands for one in an object store."""
        if not is_remote(text):
            return self.folder / text
        from sqlgen.lake.remote.mount import mounted  # loads fsspec

        mount = mounted(text, folders, state, tables)
        show_as(str(mount.root), text)
        return mount.root

    @property
    def _tables(self) -> list[str]:
        return [path for model in self.models.values() for path in (model.output.path, model.quarantine)]

    @property
    def roots(self) -> list[Path]:
        """The lake, and a folder below each other root of files."""
        return [self.lake, *(self.lake / source.path for source in self.sources.values() if source.lake is not None)]

    @cached_property
    def state(self) -> Path:
        return self.lake / self.config.state

    def target(self, *folders: str) -> Path:
        """``target``, or a folder below it; :class:`UsageError` where a link leads out of a project not trusted."""
        path = self.folder.joinpath("target", *folders)
        real = path.resolve()
        if not real.is_relative_to(self.folder) and not trusted(self.path):
            raise UsageError(
                f"{path}: a link that leads out of the project, to {real}. Nothing was written there."
                f" Remove the link, or say where to write. {how_to_trust(self.path)}"
            )
        return path

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

    @cached_property
    def crossing(self) -> frozenset[str]:
        """Models that cross symbols: by their units, by ``depends_on``, or by what they read."""
        found: set[str] = set()
        for name in self.order:
            model = self.models[name]
            by_symbol = {"exchange", "symbol"} <= {*model.unit_keys}
            if not by_symbol or model.config.depends_on or self.upstream(name) & found:
                found.add(name)
        return frozenset(found)

    @property
    def places(self) -> list[str]:
        """A path in each folder of the lake in which runs write."""
        return [f"{folder}/x" for folder in (*self._tables, f"{STATE}/staging", f"{STATE}/versions")]

    def sources_of(self, models: Iterable[str]) -> list[str]:
        """Sources that some models read."""
        refs = {entry.ref for name in models for entry in self.models[name].inputs if entry.source is not None}
        return [name for name in self.sources if name in refs]

    def upstream(self, name: str) -> set[str]:
        """Models that must be built before ``name``."""
        return upstream(self.models[name])

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All models, each after its dependencies."""
        return build_order(self.models)


def _in_lake(source: Source) -> Source:
    """A source with the path in the lake by which runs find files that have a root of their own."""
    if source.lake is None:
        return source
    name = hashlib.blake2b(source.lake.encode(), digest_size=6).hexdigest()
    return source.model_copy(update={"path": f"{MOUNTS}/{name}/{source.path}"})


def load(path: Path) -> Project:
    """Load and check a project; :class:`ConfigError` with every problem at once."""
    path = path.resolve()
    config, document = configfile.load(path)
    sources = {name: _in_lake(source) for name, source in config.sources.items()}
    config = config.model_copy(update={"sources": sources})
    own = path.parent / "transforms_sql"
    outside = [
        Problem(str(folder), "", f"a link that leads out of the project, to {folder.resolve()}. Copy the folder")
        for folder in (own, path.parent / "udfs")
        if not folder.resolve().is_relative_to(path.parent)
    ]
    if outside:
        raise ConfigError(outside)
    checker = Checker(config, document, library_of(own), path.parent / "udfs")
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
