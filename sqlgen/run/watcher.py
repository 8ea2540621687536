"""Observers of a run."""

from __future__ import annotations

from typing import Protocol

from sqlgen.plan.plan import Plan, Task
from sqlgen.run.report import Result


class Watcher(Protocol):
    """Observer of a run; called from the main thread."""

    def started(self, plan: Plan) -> None: ...
    def running(self, task: Task) -> None: ...
    def finished(self, result: Result) -> None: ...
    def batch_ended(self) -> None: ...


class SilentWatcher:
    """A watcher that ignores all events."""

    def started(self, plan: Plan) -> None: ...

    def running(self, task: Task) -> None: ...

    def finished(self, result: Result) -> None: ...

    def batch_ended(self) -> None: ...
