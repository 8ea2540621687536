"""Published units that others depend on: as they are (in a run), or as planned tasks will leave them (in a plan)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field

from sqlgen.lake.partitions import Partition
from sqlgen.plan.picture import Index, Picture, chosen, indexed
from sqlgen.plan.plan import Build, Plan, Task, TaskId
from sqlgen.project.model import Model, ModelInput
from sqlgen.published.records import Published
from sqlgen.published.timeline import Timelines

PENDING = "pending "
"""Prefix of the digest of a kernel state that a task of the same plan will give."""


class PublishedUnits(Protocol):
    """Published units that others read, or whose kernel state they start from."""

    def record(self, model: str, unit: Partition) -> Published | None:
        """The published unit, as it is now."""

    def version(self, model: str, unit: Partition) -> str: ...

    def previous(self, model: Model, unit: Partition) -> Partition | None:
        """The unit whose kernel state ``unit`` starts from: the nearest before it that left one."""

    def state(self, model: str, unit: Partition) -> str:
        """Digest of the kernel state that a unit left; empty if it cannot be used."""


class Facts(Struct):
    """Published units, kept up to date by a run."""

    records: dict[str, dict[Partition, Published]]
    timelines: Mapping[str, Timelines]
    unusable: set[TaskId]

    @classmethod
    def of(cls, plan: Plan) -> Facts:
        records = {name: dict(units) for name, units in plan.picture.records.items()}
        return cls(records, plan.timelines, set(plan.unusable))

    def record(self, model: str, unit: Partition) -> Published | None:
        return self.records.get(model, {}).get(unit)

    def version(self, model: str, unit: Partition) -> str:
        return self.records[model][unit].version

    def previous(self, model: Model, unit: Partition) -> Partition | None:
        records = self.records.get(model.name, {})
        earlier = self.timelines[model.name].before(unit)
        return next((before for before in earlier if before in records and records[before].state), None)

    def state(self, model: str, unit: Partition) -> str:
        return "" if (model, unit) in self.unusable else self.records[model][unit].state

    def published(self, model: str, unit: Partition, record: Published | None) -> None:
        """Record that a unit was published, or removed."""
        self.unusable.discard((model, unit))
        if record is None:
            self.records[model].pop(unit, None)
        else:
            self.records[model][unit] = record


class Ahead(Struct, frozen=True):
    """Published units, and the kernel states of units that are about to be published."""

    facts: Facts
    states: Mapping[TaskId, str]

    def record(self, model: str, unit: Partition) -> Published | None:
        return self.facts.record(model, unit)

    def version(self, model: str, unit: Partition) -> str:
        return self.facts.version(model, unit)

    def previous(self, model: Model, unit: Partition) -> Partition | None:
        earlier = self.facts.timelines[model.name].before(unit)
        known = self.facts.previous(model, unit)
        return next((each for each in earlier if each == known or (model.name, each) in self.states), None)

    def state(self, model: str, unit: Partition) -> str:
        return self.states.get((model, unit)) or self.facts.state(model, unit)


class Forecast(Struct):
    """Published units as they will be once all tasks planned so far are done."""

    picture: Picture
    prune: bool
    versions: dict[str, dict[Partition, str]] = field(default_factory=dict)
    pending: set[TaskId] = field(default_factory=set)
    """Units that a task will build."""
    unusable: set[TaskId] = field(default_factory=set)
    """Units whose kernel state is missing or damaged."""
    timelines: dict[str, Timelines] = field(default_factory=dict)
    _indexes: dict[tuple[str, str], Index] = field(default_factory=dict)
    _trade_days: dict[tuple[str, str], Timelines] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.versions = {
            name: {unit: record.version for unit, record in records.items()}
            for name, records in self.picture.records.items()
        }

    def predict(self, task: Task) -> None:
        """Record a planned task."""
        if isinstance(task, Build):
            self.versions[task.model][task.unit] = task.provenance.version
            self.pending.add(task.id)
        else:
            self.versions[task.model].pop(task.unit, None)

    def record(self, model: str, unit: Partition) -> Published | None:
        return self.picture.records.get(model, {}).get(unit)

    def version(self, model: str, unit: Partition) -> str:
        return self.versions[model][unit]

    def previous(self, model: Model, unit: Partition) -> Partition | None:
        for before in self.timeline(model).before(unit):
            record = self.record(model.name, before)
            if (model.name, before) in self.pending or (record is not None and record.state):
                return before
        return None

    def state(self, model: str, unit: Partition) -> str:
        if (model, unit) in self.pending:
            return f"{PENDING}{unit.path}"
        return "" if (model, unit) in self.unusable else self.picture.records[model][unit].state

    def check_state(self, model: Model, previous: Partition) -> str:
        """Reason why the state after ``previous`` cannot be used; empty if it can, or if a task will rebuild it."""
        if (model.name, previous) in self.pending or (model.name, previous) in self.unusable:
            return ""
        problem = self.picture.state_problem(model, self.picture.records[model.name][previous])
        if problem:
            self.unusable.add((model.name, previous))
        return problem

    def index(self, model: Model, entry: ModelInput) -> Index:
        """Partitions of an input by the keys it shares with the model's units."""
        key = (model.name, entry.name)
        if key not in self._indexes:
            self._indexes[key] = (
                self.picture.source_index(model, entry)
                if entry.source is not None
                else indexed(chosen(self.versions[entry.ref], entry), model)
            )
        return self._indexes[key]

    def units(self, model: Model) -> set[Partition]:
        """Units of a model that have inputs, and dates without a partition beside one that may hold their rows."""
        primary, index = model.primary, self.index(model, model.primary)
        filed_by_time = primary.source is not None and not self.picture.source_files[primary.ref].keyed
        if not model.header.own_dates or filed_by_time:
            return {*index}
        beside = {unit.shifted(days) for unit in index if unit.date is not None for days in (-1, 1)}
        return {*index} | beside

    def timeline(self, model: Model) -> Timelines:
        """All units of a model that have inputs or, unless they are pruned, were published."""
        if model.name not in self.timelines:
            published = () if self.prune else self.picture.records.get(model.name, {})
            self.timelines[model.name] = Timelines.of({*self.units(model), *published})
        return self.timelines[model.name]

    def skipped(self, model: Model, unit: Partition) -> tuple[Partition, ...]:
        """Partitions of trades on days since the previous unit, which no unit has read."""
        assert model.trades is not None
        units, trades = self.timeline(model), self.index(model, model.trades)
        key = (model.name, model.trades.name)
        if key not in self._trade_days:
            self._trade_days[key] = Timelines.of(trades)
        days = itertools.takewhile(lambda day: day not in units, self._trade_days[key].before(unit))
        return tuple(partition for day in reversed([*days]) for partition in trades[day])
