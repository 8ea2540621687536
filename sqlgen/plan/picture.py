"""Picture: project and lake at one moment, from which a plan is made."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from sqlgen.compile.compiledmodel import digest
from sqlgen.compile.compiler import Compiler
from sqlgen.lake.deletions import Deletions
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.plan.selection import Selection
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.published.records import Published
from sqlgen.published.states import StateError, StateStore
from sqlgen.published.tables import Table
from sqlgen.sources.sourcefiles import SourceFiles

Index = Mapping[Partition, list[Partition]]
"""Unit of a model -> partitions of an input with the same keys."""


class LeftOut(Struct, frozen=True):
    """Published units of one model that a picture leaves out: all of their symbols are up to date."""

    fresh: int = 0
    """Units that are up to date."""
    gone: tuple[Partition, ...] = ()
    """Units whose inputs are gone."""


class Picture(Struct, frozen=True):
    """Project and lake at one moment."""

    project: Project
    compiler: Compiler
    source_files: Mapping[str, SourceFiles]
    records: Mapping[str, Mapping[Partition, Published]]
    """Model -> its published units."""
    tables: Mapping[str, Table]
    """Model -> its table, for planned models and the models that they read."""
    states: StateStore
    deletions: Deletions = field(default_factory=Deletions)
    """Source files that were deleted after processing."""
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    """Model -> its units that are known to be up to date, of symbols that this picture leaves out."""
    elsewhere: frozenset[Partition] = frozenset()
    """Symbols of other shards, which this picture leaves out, as far as they are known."""

    def input_keys(self, entry: ModelInput) -> tuple[str, ...]:
        return KEYS if entry.source is not None else self.project.models[entry.ref].unit_keys

    def source_index(self, model: Model, entry: ModelInput) -> Index:
        """Partitions of a source that an input selects, by the keys they share with the model's units."""
        return indexed(chosen(self.source_files[entry.ref].partitions, entry), model)

    def files_digest(self, source: str, partitions: Iterable[Partition]) -> str:
        source_files = self.source_files[source].partitions
        return digest([tuple(file) for partition in partitions for file in source_files[partition]])

    def state_problem(self, model: Model, record: Published) -> str:
        """Reason why a unit's kernel state cannot be used; empty if it can."""
        assert model.pipeline is not None
        try:
            self.states.read(model.name, record.partition, record.build, record.state, model.pipeline.state_identity)
        except StateError as error:
            return str(error)
        return ""


def chosen(partitions: Iterable[Partition], entry: ModelInput) -> Iterable[Partition]:
    """Partitions that an input selects by exchange, symbol and date."""
    return filter(input_selection(entry).covers, partitions)


def input_selection(entry: ModelInput) -> Selection:
    """Selection of an input's exchanges, symbols and dates."""
    spec = entry.spec
    return Selection((), spec.exchange or (), spec.symbol or (), spec.date_start, spec.date_end)


def indexed(partitions: Iterable[Partition], model: Model) -> Index:
    """Partitions in order, by the keys they share with a model's units."""
    grouped: dict[Partition, list[Partition]] = collections.defaultdict(list)
    for partition in sorted(partitions):
        grouped[partition.project(model.unit_keys)].append(partition)
    return dict(grouped)
