"""Watch over a project: runs when the schedules of models come up, and when source files have come."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from msgspec import Struct, field

from sqlgen.errors import SqlgenError, UsageError
from sqlgen.lake import storage
from sqlgen.lake.partitions import Shard
from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import FileInfo
from sqlgen.operate.aftermath import run_and_tell
from sqlgen.plan.selection import Selection, in_shard
from sqlgen.run.engine import Engine

_RETRY = dt.timedelta(minutes=1)
"""Time until the next attempt after a run that could not begin."""
_WAIT = 60.0
"""Seconds to wait for another run to end."""
_LONG = 10
"""Multiple of the settle time after which files that still change are told."""
Files = frozenset[FileInfo]


class Clock(Protocol):
    """Source of time."""

    def now(self) -> dt.datetime: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The clock of the system, in UTC."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Event(Struct, frozen=True):
    """One line of the log."""

    at: dt.datetime
    what: str
    """``watching``, ``run``, ``failed``, ``waiting``, ``note``."""
    message: str
    details: dict[str, object] = field(default_factory=dict)


class Watch(Struct, dict=True):
    """Runs of a project's models as they become due."""

    open_engine: Callable[[], Engine]
    models: tuple[str, ...]
    on_change: bool
    """True if models without a schedule are run when source files have changed."""
    log: Callable[[Event], None]
    every: float = 10.0
    """Seconds between two looks."""
    settle: float = 30.0
    """Seconds without a change of any source file before they are read."""
    clock: Clock = field(default_factory=SystemClock)
    shard: Shard | None = None
    running: bool = False
    """True during a run, and after one that was interrupted."""
    _tried: dict[str, dt.datetime] = field(default_factory=dict)
    """Model -> the last time for which its schedule was served."""
    _version: int = 0
    """Modification time of models.yaml when it was loaded."""
    _retry_at: dt.datetime | None = None
    _read: Files = frozenset()
    """The source files that the last run has read."""
    _seen: Files = frozenset()
    _since: dt.datetime | None = None
    """Time since which the source files are as they were last seen."""
    _waiting_since: dt.datetime | None = None

    def begin(self) -> None:
        """Say what is watched; :class:`UsageError` if nothing would ever be run."""
        self._open()
        configs = self.engine.project.models
        models = in_shard(Selection(self.models), self.engine.project, self.shard).models
        self.scheduled = tuple(name for name in models if configs[name].config.schedule)
        self.others = tuple(name for name in models if name not in self.scheduled) if self.on_change else ()
        if not self.scheduled and not self.others:
            raise UsageError("no selected model has a schedule. Give it one in models.yaml, or watch with --on-change")
        parts = [f"{name} ({configs[name].config.schedule})" for name in self.scheduled]
        parts += [f"{name} (on change)" for name in self.others]
        parts += [f"shard {self.shard}"] if self.shard is not None else []
        self._tell("watching", ", ".join(parts))

    def until(self, end: dt.datetime | None = None) -> None:
        """Look again and again, until a time or an interrupt."""
        self.begin()
        while end is None or self.clock.now() < end:
            self.look()
            self.clock.sleep(self.every)

    def look(self) -> None:
        """Run what is due now."""
        now = self.clock.now()
        if self._retry_at is not None and now < self._retry_at:
            return
        self._retry_at = None
        try:
            if self.engine.project.path.stat().st_mtime_ns != self._version:
                self._open()
            new = {name: at for name in self.scheduled if self._tried.get(name) != (at := self._last_time(name, now))}
            if new:
                self._scheduled(new, now)
            if self.others and self._have_settled(now):
                files = self._seen
                self._open()
                self._run(Selection(self.others, shard=self.shard), "change")
                self._read = files
        except (SqlgenError, OSError) as error:
            self.running = False
            self._retry_at = now + _RETRY
            self._tell("failed", f"{error}", retry_at=self._retry_at.isoformat())

    def _scheduled(self, new: Mapping[str, dt.datetime], now: dt.datetime) -> None:
        """Run the models whose schedule came up: once for each time, or for several that were missed."""
        self._open()
        due = self.engine.due(Selection(tuple(new), shard=self.shard), now)
        if due.models:
            self._run(due, "schedule")
        self._tried |= new

    def _open(self) -> None:
        """Load the project anew: it may have changed."""
        self.engine = self.open_engine()
        self._version = self.engine.project.path.stat().st_mtime_ns

    def _last_time(self, name: str, now: dt.datetime) -> dt.datetime:
        """The time at which the schedule of a model last came up."""
        from croniter import croniter

        found: dt.datetime = croniter(self.engine.project.models[name].config.schedule or "", now).get_prev(dt.datetime)
        return found

    def _have_settled(self, now: dt.datetime) -> bool:
        """True if source files have changed since the last run, and do so no longer."""
        seen = frozenset(self._files())
        if seen != self._seen or self._since is None:
            self._seen, self._since = seen, now
        if seen == self._read:
            self._waiting_since = None
            return False
        self._waiting_since = self._waiting_since or now
        if (now - self._since).total_seconds() >= self.settle:
            self._waiting_since = None
            return True
        if (now - self._waiting_since).total_seconds() >= _LONG * max(self.settle, self.every):
            self._tell("waiting", f"source files keep changing, the newest is {self._newest()}: none is read meanwhile")
            self._waiting_since = now
        return False

    def _newest(self) -> str:
        return max(self._seen, key=lambda file: file.mtime_ns).path if self._seen else "gone"

    def _files(self) -> Iterable[FileInfo]:
        project = self.engine.project
        wanted = {name for other in self.others for name in (other, *project.upstream(other))}
        sources = {entry.ref for name in wanted for entry in project.models[name].inputs if entry.source is not None}
        mounts.refresh(project.roots)
        for name in sources:
            yield from storage.list_files(project.lake, project.sources[name].path)

    def _run(self, selection: Selection, why: str) -> None:
        self.running = True
        report, problems = run_and_tell(self.engine, selection, wait=_WAIT, always_report=why == "schedule")
        self.running = False
        counts = ", ".join(f"{number} {status}" for status, number in report.counts.items()) or "nothing to do"
        message = f"{why}: {', '.join(selection.models)}: {counts} in {report.seconds:.1f} s"
        errors = [*report.errors, *(result.error for result in report.tasks if result.status == "failed")]
        first = f"; {str(errors[0]).splitlines()[0]}" if errors else ""
        what = "run" if report.ok else "failed"
        self._tell(what, message + first, run_id=report.run_id, counts=report.counts, seconds=report.seconds)
        for problem in problems:
            self._tell("note", problem)

    def _tell(self, what: str, message: str, **details: object) -> None:
        self.log(Event(self.clock.now(), what, message, details))
