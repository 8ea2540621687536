"""Fault points: steps that change something, at which tests kill the process.

``SQLGEN_FAULT=NAME:N`` kills it as it passes the point NAME for the Nth time. Otherwise a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_armed: str | None = os.environ.get("SQLGEN_FAULT")
passed: Counter[str] = Counter()
"""Point -> number of times that it was passed, while one is armed."""


def arm(point: str) -> None:
    """Kill this process at ``NAME:N``; count the points if the text is empty."""
    global _armed
    _armed = point
    passed.clear()


def armed() -> bool:
    """True in tests that kill processes."""
    return _armed is not None


def point(name: str) -> None:
    """Mark a step that changes something, or has just done so."""
    if _armed is not None:
        passed[name] += 1
        if _armed == f"{name}:{passed[name]}":
            os.kill(os.getpid(), signal.SIGKILL)
