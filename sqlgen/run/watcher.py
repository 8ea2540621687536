"""Observers of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlgen.plan.plan import Plan, Task
    from sqlgen.run.report import Result


class Watcher:
    """Observer of a run, called from the main thread unless said otherwise; by itself it ignores all events."""

    def started(self, plan: Plan) -> None: ...

    def running(self, task: Task) -> None: ...

    def compiling(self, module: str) -> None:
        """Numba begins to compile a function of a module, as nothing is cached yet: called from any thread."""

    def finished(self, result: Result) -> None: ...

    def batch_ended(self) -> None: ...
