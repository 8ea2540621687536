"""Plans: the units that a run builds or removes, what each reads, and in what order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sqlgen.compile.scope import EDGES, Edge
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.plan.picture import Picture
from sqlgen.plan.selection import Selection
from sqlgen.published.records import Provenance
from sqlgen.published.timeline import Timelines

TaskId = tuple[str, Partition]
"""Model and unit."""
WHOLE_MODEL = Partition((("*", "*"),))
"""Stands for all tasks of a model, where a task waits for the model and not for a unit of it."""


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

    action: ClassVar[Literal["build", "remove"]]
    model: str
    unit: Partition
    reason: str
    slices: tuple[Slice, ...] = field(default=(), kw_only=True)
    """What it reads."""
    needs: tuple[TaskId, ...] = field(default=(), kw_only=True)
    """Tasks of this plan that must be done before."""

    @property
    def id(self) -> TaskId:
        return self.model, self.unit


@dataclass(frozen=True)
class Removal(Task):
    """A published unit to remove."""

    action = "remove"


@dataclass(frozen=True)
class Build(Task):
    """One unit to build."""

    action = "build"
    provenance: Provenance
    """As it will be once the tasks that this one needs are done as planned."""
    edges: frozenset[Edge] = frozenset(EDGES)
    """Edges of the timeline of its keys at which the unit lies."""
    previous: Partition | None = None
    """Kernels: the unit whose state this one starts from."""
    only_beside: bool = False
    """The input has no partition of this date. Rows of it may be filed beside; mostly there are none."""


@dataclass
class Plan:
    """Tasks in dependency order, and what is not done and why."""

    picture: Picture
    selection: Selection
    tasks: list[Task] = field(default_factory=list)
    timelines: dict[str, Timelines] = field(default_factory=dict)
    """Model with kernels -> its units in time order: each starts from the state of one before it."""
    unusable: set[TaskId] = field(default_factory=set)
    """Units whose kernel state is not there, or damaged."""
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
        return [task for task in self.tasks if not _is_beside(task)]

    @property
    def beside(self) -> frozenset[tuple[str, str]]:
        """The others: model and path of the unit."""
        return frozenset((task.model, task.unit.path) for task in self.tasks if _is_beside(task))

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        tasks = [
            {"model": task.model, "partition": task.unit.path, "action": task.action, "reason": task.reason}
            for task in self.shown
        ]
        return {"tasks": tasks, "fresh": self.fresh, "errors": [*self.refused], "notes": [*self.notes]}


def _is_beside(task: Task) -> bool:
    return isinstance(task, Build) and task.only_beside
