"""How many inputs a test tries: all of them, or a part in CI and where a kernel's test runs once more."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import settings

AGAIN = "SQLGEN_TESTS_AGAIN"
"""Set where the tests run once more: what the numbers are is known by then, the mode is what is tested."""
RANDOM = "SQLGEN_TEST_RANDOM"
"""Set by ``make soak``, which looks for new examples; elsewhere each run tries the same."""


def tried(count: int) -> int:
    """Number of examples of ``count`` that a property test tries: all of them in ``make soak``, half of them in CI."""
    return count if RANDOM in os.environ else max(count // 2, 2)


def examples(count: int) -> settings:
    """Settings of a hypothesis test of kernels with so many examples."""
    return settings(max_examples=max(count // 12, 2) if AGAIN in os.environ else tried(count), deadline=None)


def rows_of(count: int) -> int:
    """Number of rows of a long input."""
    return count // 4 if AGAIN in os.environ else count


def cases(names: Sequence[str]) -> Sequence[str]:
    """Names of made-up inputs, the most telling two first."""
    return names[:2] if AGAIN in os.environ else names
