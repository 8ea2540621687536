"""What is listed in the lake, what is recorded as published, and what a plan will change of it."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlgen.compile.compiler import Compiler, digest
from sqlgen.lake.deletions import Deletions
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.plan.plan import Selection, Task
from sqlgen.plan.staleness import PENDING
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.published.manifest import Record
from sqlgen.published.tables import Table
from sqlgen.published.timeline import Histories
from sqlgen.sources.listing import SourceListing


@dataclass
class Inventory:
    """What planning looks at. A plan predicts in it what its tasks will publish, a run corrects that."""

    project: Project
    compiler: Compiler
    listings: Mapping[str, SourceListing]
    records: dict[str, dict[Partition, Record]]
    """Model -> what is published; a run keeps it up to date."""
    tables: Mapping[str, Table]
    """Model -> its table as it lies in the lake; of those that are planned, and those that they read."""
    state_problem: Callable[[Model, Record], str] = lambda model, record: ""
    """Why the kernel state that a unit left cannot be used; empty where it can."""

    deletions: Deletions = field(default_factory=Deletions)
    """Source files that were deleted after processing."""

    def __post_init__(self) -> None:
        self.records |= {name: table.records for name, table in self.tables.items()}
        self.versions: dict[str, dict[Partition, str]] = {}
        """Model -> version of each unit, once all tasks planned so far are done."""
        self._indexes: dict[tuple[str, str], dict[Partition, list[Partition]]] = {}
        self._histories: dict[str, Histories] = {}
        self._trade_days: dict[tuple[str, str], Histories] = {}
        self.pending: set[tuple[str, Partition]] = set()
        """Units that a task will build."""
        self.unusable: set[tuple[str, Partition]] = set()
        """Units whose kernel state is not there, or damaged."""

    def predict(self, task: Task) -> None:
        """Take note of what a planned task will leave."""
        if task.action == "remove":
            self.versions[task.model].pop(task.unit, None)
        elif task.want is not None:
            self.versions[task.model][task.unit] = task.want.version
            self.pending.add(task.id)

    def published(self, model: str, unit: Partition, record: Record | None) -> None:
        """Take note of what a task has published, or that it left nothing."""
        self.pending.discard((model, unit))
        self.unusable.discard((model, unit))
        if record is None:
            self.records[model].pop(unit, None)
            self.versions[model].pop(unit, None)
        else:
            self.records[model][unit] = record
            self.versions[model][unit] = record.version

    def histories(self, model: Model, prune: bool) -> Histories:
        """All units of a model that have inputs or, unless they are pruned, were published."""
        if model.name not in self._histories:
            units = {*self.index(model, model.primary), *(() if prune else self.records.get(model.name, {}))}
            self._histories[model.name] = Histories.of(units)
        return self._histories[model.name]

    def skipped(self, model: Model, unit: Partition, prune: bool) -> tuple[Partition, ...]:
        """Partitions of trades on the days before a unit on which the model has no unit that could have seen them."""
        assert model.trades is not None
        units, trades = self.histories(model, prune), self.index(model, model.trades)
        key = (model.name, model.trades.name)
        if key not in self._trade_days:
            self._trade_days[key] = Histories.of(trades)
        days = itertools.takewhile(lambda day: day not in units, self._trade_days[key].before(unit))
        return tuple(partition for day in reversed([*days]) for partition in trades[day])

    def previous(self, model: Model, unit: Partition, prune: bool) -> Partition | None:
        """The unit whose kernel state ``unit`` starts from: the nearest before it that left one."""
        if model.chain is None or unit.date is None:
            return None
        records = self.records.get(model.name, {})
        for before in self.histories(model, prune).before(unit):
            record = records.get(before)
            if (model.name, before) in self.pending or (record is not None and record.state):
                return before
        return None

    def state_before(self, model: Model, previous: Partition | None) -> str:
        """What tells the state that a unit starts from; empty where it starts from nothing."""
        if previous is None:
            return ""
        if (model.name, previous) in self.pending:
            return f"{PENDING}{previous.path}"
        if (model.name, previous) in self.unusable:
            return ""
        return self.records[model.name][previous].state

    def check_state(self, model: Model, previous: Partition) -> str:
        """Why the state after ``previous`` cannot be used, if it is not to be built anyway."""
        if (model.name, previous) in self.pending or (model.name, previous) in self.unusable:
            return ""
        problem = self.state_problem(model, self.records[model.name][previous])
        if problem:
            self.unusable.add((model.name, previous))
        return problem

    def input_keys(self, entry: ModelInput) -> tuple[str, ...]:
        return KEYS if entry.source is not None else self.project.models[entry.ref].unit_keys

    def available(self, entry: ModelInput) -> Iterable[Partition]:
        """Partitions of an input that its spec lets through."""
        found = self.listings[entry.ref].partitions if entry.source is not None else self.versions[entry.ref]
        chosen = Selection(
            (), entry.spec.exchange or (), entry.spec.symbol or (), entry.spec.date_start, entry.spec.date_end
        )
        return (partition for partition in found if chosen.covers(partition))

    def index(self, model: Model, entry: ModelInput) -> dict[Partition, list[Partition]]:
        """Partitions of an input by the keys it shares with the model's units."""
        key = (model.name, entry.name)
        if key not in self._indexes:
            grouped: dict[Partition, list[Partition]] = collections.defaultdict(list)
            for partition in sorted(self.available(entry)):
                grouped[partition.project(model.unit_keys)].append(partition)
            self._indexes[key] = dict(grouped)
        return self._indexes[key]

    def digest(self, entry: ModelInput, partitions: tuple[Partition, ...]) -> str:
        if entry.source is not None:
            listing = self.listings[entry.ref].partitions
            return digest([tuple(file) for partition in partitions for file in listing[partition]])
        versions = self.versions[entry.ref]
        return digest([(partition.path, versions[partition]) for partition in partitions])
