"""Plans: the tasks of a run, with the slices that each reads."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Literal

from msgspec import Struct, field

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
"""Placeholder for all tasks of a model, for tasks that wait for a model as a whole."""


class Slice(Struct, frozen=True):
    """Partitions and files of one input that a task reads."""

    name: str
    ref: str
    current: tuple[Partition, ...]
    """Partitions of the unit itself."""
    before: tuple[Partition, ...] = ()
    """Earlier partitions, read for lookback."""
    skipped: tuple[Partition, ...] = ()
    """Trades of days without rows since the previous unit: the kernels read them before those of the unit."""
    after: tuple[Partition, ...] = ()
    """Later partitions, read for lookahead."""
    files: tuple[FileInfo, ...] = ()
    """Files of a source, earlier ones first; a model's files are known once it is published."""

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return (*self.before, *self.skipped, *self.current, *self.after)


class Upstream(Struct, frozen=True, kw_only=True):
    """Inputs of a task."""

    slices: tuple[Slice, ...] = ()
    """Slices of the inputs that it reads."""
    needs: tuple[TaskId, ...] = ()
    """Tasks of this plan that must be done before."""


class Task(Upstream, frozen=True):
    """One unit to build or to remove."""

    action: ClassVar[Literal["build", "remove"]]
    model: str
    unit: Partition
    reason: str

    @property
    def id(self) -> TaskId:
        return self.model, self.unit


class Removal(Task, frozen=True):
    """A published unit to remove."""

    action = "remove"


class Build(Task, frozen=True):
    """One unit to build."""

    action = "build"
    provenance: Provenance
    """Provenance expected once the tasks that this one needs are done."""
    edges: frozenset[Edge] = frozenset(EDGES)
    """Edges of its timeline at which the unit lies."""
    previous: Partition | None = None
    """Kernels: the unit whose state this one starts from."""
    only_beside: bool = False
    """True if the input has no partition of this date; rows of it may lie in those of neighbouring dates."""


class Plan(Struct):
    """Tasks in dependency order, with notes and errors about what is not done."""

    picture: Picture
    selection: Selection
    tasks: list[Task] = field(default_factory=list)
    timelines: dict[str, Timelines] = field(default_factory=dict)
    """Model with kernels -> its units in time order: each starts from the state of one before it."""
    unusable: set[TaskId] = field(default_factory=set)
    """Units whose kernel state is missing or damaged."""
    up_to_date: Counter[TaskId] = field(default_factory=Counter)
    """Model and symbol -> number of units that are up to date."""
    left_out: int = 0
    """Further units that are up to date, of symbols that the picture leaves out."""
    gone: dict[TaskId, list[Partition]] = field(default_factory=dict)
    """Model and symbol -> published units whose inputs are gone."""
    unsettled: set[TaskId] = field(default_factory=set)
    """Models and symbols with something to report at each plan, or something to do that the plan leaves aside."""
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Reasons why models cannot be planned."""
    missing: list[str] = field(default_factory=list)
    """Data that was asked for and is missing."""

    @property
    def fresh(self) -> int:
        """Number of units that are up to date."""
        return self.up_to_date.total() + self.left_out

    @property
    def shown(self) -> list[Task]:
        """Tasks shown to users: all except those that look for rows of a date in neighbouring partitions."""
        return [task for task in self.tasks if not _is_beside(task)]

    @property
    def beside(self) -> frozenset[tuple[str, str]]:
        """Model and unit path of the tasks that are not shown."""
        return frozenset((task.model, task.unit.path) for task in self.tasks if _is_beside(task))

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        tasks = [
            {"model": task.model, "partition": task.unit.path, "action": task.action, "reason": task.reason}
            for task in self.shown
        ]
        shard = {} if self.selection.shard is None else {"shard": str(self.selection.shard)}
        return {"tasks": tasks, "fresh": self.fresh, "errors": [*self.refused], "notes": [*self.notes], **shard}


def _is_beside(task: Task) -> bool:
    return isinstance(task, Build) and task.only_beside
