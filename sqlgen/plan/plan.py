"""What a run may touch and what it will do: the values that pass between planner, runner and reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlgen.compile.scope import EDGES, Edge
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.published.manifest import Record

WHOLE_MODEL = Partition((("*", "*"),))
"""Stands for all tasks of a model, where a task waits for the model and not for a unit of it."""


@dataclass(frozen=True)
class Selection:
    """What a run may touch."""

    models: tuple[str, ...]
    """In dependency order."""
    exchanges: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    start: dt.date | None = None
    end: dt.date | None = None
    """Inclusive."""
    full_refresh: bool = False
    prune: bool = False
    only: frozenset[tuple[str, Partition]] | None = None
    """Where given, no units but these (a retry)."""
    allow_empty: bool = False
    """It is no error where there is nothing of what is asked for."""
    recent: Mapping[str, tuple[Coverage, ...]] = field(default_factory=dict)
    """Model -> runs since its schedule last came up; what they covered is not due."""

    @property
    def is_whole(self) -> bool:
        """Whether every partition of the models is meant."""
        return not (self.exchanges or self.symbols or self.start or self.end or self.only is not None)

    def covers(self, unit: Partition) -> bool:
        if self.exchanges and "exchange" in unit and unit["exchange"] not in self.exchanges:
            return False
        if self.symbols and "symbol" in unit and unit["symbol"] not in self.symbols:
            return False
        date = unit.date
        if date is None:
            return True
        return (self.start is None or date >= self.start) and (self.end is None or date <= self.end)

    def is_due(self, model: str, unit: Partition) -> bool:
        """True if no recent run covered a unit."""
        return not any(run.covers(unit) for run in self.recent.get(model, ()))


@dataclass(frozen=True)
class Coverage:
    """Units of one model that an earlier run dealt with."""

    scope: Selection | None
    """Scope of that run; ``None`` where it was to do nothing but ``done``."""
    done: frozenset[Partition] = frozenset()
    left: frozenset[Partition] = frozenset()
    """Units that it could not finish."""

    def covers(self, unit: Partition) -> bool:
        return unit in self.done or (self.scope is not None and unit not in self.left and self.scope.covers(unit))


@dataclass(frozen=True)
class Slice:
    """What one task reads of one input."""

    name: str
    ref: str
    current: tuple[Partition, ...]
    """Partitions of the unit itself."""
    before: tuple[Partition, ...] = ()
    """Earlier partitions, read for lookback."""
    skipped: tuple[Partition, ...] = ()
    """Trades of the days since the unit before on which there are no rows: the kernels see them before those of the
    unit."""
    after: tuple[Partition, ...] = ()
    """Later partitions, read for lookahead."""
    files: tuple[FileInfo, ...] = ()
    """Files of a source, earlier ones first; those of a model are known once it is published."""

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return (*self.before, *self.skipped, *self.current, *self.after)


@dataclass(frozen=True)
class Task:
    """One unit to build or to remove."""

    model: str
    unit: Partition
    action: Literal["build", "remove"]
    reason: str
    slices: tuple[Slice, ...] = ()
    want: Record | None = None
    """The record that publishing will write, as far as it is known before."""
    edges: frozenset[Edge] = frozenset(EDGES)
    """Where the unit lies in the history of its keys."""
    needs: tuple[tuple[str, Partition], ...] = ()
    """Tasks of this plan that must be done before."""
    previous: Partition | None = None
    """Kernels: the unit whose state this one starts from."""
    only_beside: bool = False
    """The input has no partition of this date. Rows of it may be filed beside; mostly there are none."""

    @property
    def id(self) -> tuple[str, Partition]:
        return self.model, self.unit


@dataclass
class Plan:
    """Tasks in dependency order, and what is not done and why."""

    tasks: list[Task] = field(default_factory=list)
    fresh: int = 0
    """Units that are up to date."""
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Models that cannot be planned as things are."""
    missing: list[str] = field(default_factory=list)
    """Things that were asked for and are not there."""

    @property
    def shown(self) -> list[Task]:
        """Tasks that are told: not those that look for rows of a date beside its partition."""
        return [task for task in self.tasks if not task.only_beside]

    @property
    def beside(self) -> frozenset[tuple[str, str]]:
        """The others: model and path of the unit."""
        return frozenset((task.model, task.unit.path) for task in self.tasks if task.only_beside)

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        tasks = [
            {"model": task.model, "partition": task.unit.path, "action": task.action, "reason": task.reason}
            for task in self.shown
        ]
        return {"tasks": tasks, "fresh": self.fresh, "errors": [*self.refused], "notes": [*self.notes]}
