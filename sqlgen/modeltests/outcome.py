"""Outcome of a test."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sqlgen.errors import Problem
from sqlgen.modeltests.compare import Difference


class Outcome(Struct, frozen=True):
    """Outcome of a test."""

    name: str
    model: str
    where: str
    """``file:line``."""
    differences: tuple[Difference, ...] = ()
    error: str = ""
    seconds: float = 0.0
    problems: tuple[Problem, ...] = ()
    """Error of the test itself."""
    note: str = ""
    """Note on parts of the test that were skipped."""

    @property
    def ok(self) -> bool:
        return not (self.differences or self.error or self.problems)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "name": self.name,
            "model": self.model,
            "where": self.where,
            "ok": self.ok,
            "seconds": self.seconds,
            "differences": [difference.to_dict() for difference in self.differences],
            "error": self.error or "; ".join(map(str, self.problems)) or None,
            "note": self.note or None,
        }
