"""How many inputs a kernel's test tries: all of them, or a part where it runs once more in another mode."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import settings

AGAIN = "SQLGEN_TESTS_AGAIN"
"""Set where the tests run once more: what the numbers are is known by then, the mode is what is tested."""


def examples(count: int) -> settings:
    """Settings of a hypothesis test with so many examples."""
    return settings(max_examples=max(count // 12, 3) if AGAIN in os.environ else count, deadline=None)


def rows_of(count: int) -> int:
    """Number of rows of a long input."""
    return count // 4 if AGAIN in os.environ else count


def cases(names: Sequence[str]) -> Sequence[str]:
    """Names of made-up inputs, the most telling two first."""
    return names[:2] if AGAIN in os.environ else names
