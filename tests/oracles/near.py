"""Statistics that say how far from them a right answer may be.

Each is exact up to its last rounding. What a rolling sum can reach is limited by the sizes of its terms, not by the
size of what is left when they cancel, so that a value carries its own absolute tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from tests.oracles.segments import present, sample_std


class Near(float):
    """A number with ``slack``: the absolute difference up to which another one is taken for it."""

    slack: float

    def __new__(cls, value: float | Fraction, slack: float = 0.0) -> Near:
        made = super().__new__(cls, value)
        made.slack = slack
        return made


def slack_of(value: object) -> float:
    """Absolute tolerance of an expected value, 0 unless it says one."""
    return value.slack if isinstance(value, Near) else 0.0


def near_total(values: Iterable[float | None]) -> Near | None:
    """Sum of the values that are there; None if there is none."""
    known = present(values)
    return Near(math.fsum(known), _rounding(known)) if known else None


def near_mean(values: Iterable[float | None]) -> Near | None:
    """Mean of the values that are there; None if there is none."""
    known = present(values)
    return Near(math.fsum(known) / len(known), _rounding(known) / len(known)) if known else None


def near_std(values: Iterable[float | None]) -> Near | None:
    """Sample standard deviation (ddof 1); None below two values."""
    known = present(values)
    deviation = sample_std(known)
    return Near(deviation, _deviation_rounding(known)) if deviation is not None else None


def near_variance(values: Iterable[float | None]) -> Near | None:
    """Sample variance (ddof 1); None below two values."""
    known = present(values)
    if len(known) < 2:
        return None
    centre = math.fsum(known) / len(known)
    squares = math.fsum((value - centre) ** 2 for value in known)
    return Near(squares / (len(known) - 1), 1e-12 * max(map(abs, known)) ** 2)


def root_of_squares(values: Iterable[float | None]) -> Near | None:
    """Square root of the sum of squares; None if there is no value."""
    known = present(values)
    if not known:
        return None
    return Near(math.sqrt(math.fsum(value * value for value in known)), math.fsum(map(slack_of, known)))


def _rounding(values: Sequence[float]) -> float:
    """Of a sum: that of its terms' sizes, and what the terms bring along."""
    return 1e-15 * math.fsum(map(abs, values)) + math.fsum(map(slack_of, values))


def _deviation_rounding(values: Sequence[float]) -> float:
    return 1e-12 * max(map(abs, values)) + max(map(slack_of, values))


LEAST_VARIANCE = Fraction(1, 10**12)
"""Relative to the mean square: below it a regressor counts as constant."""


def regression(x: Sequence[float], y: Sequence[float], least: int) -> tuple[Near | None, Near | None]:
    """Least-squares slope of ``y`` on ``x`` and its R2, in exact arithmetic.

    None and None below ``least`` points or where x is constant; R2 is None where y is constant.
    """
    n = len(x)
    if n < least:
        return None, None
    (xs, x_unit), (ys, y_unit) = _whole(x), _whole(y)
    # n * n times the variances and the covariance.
    x_variance = n * sum(a * a for a in xs) - sum(xs) ** 2
    y_variance = n * sum(b * b for b in ys) - sum(ys) ** 2
    covariance = n * sum(a * b for a, b in zip(xs, ys, strict=True)) - sum(xs) * sum(ys)
    if x_variance <= LEAST_VARIANCE * n * sum(a * a for a in xs):
        return None, None
    slope = Fraction(covariance * x_unit, x_variance * y_unit)
    steepest = math.sqrt(Fraction(y_variance * x_unit**2, x_variance * y_unit**2))
    fit = Near(Fraction(covariance**2, x_variance * y_variance), 1e-12) if y_variance else None
    return Near(slope, 1e-12 * steepest), fit


def _whole(values: Sequence[float]) -> tuple[list[int], int]:
    """The values as whole numbers of one unit, and how many of these make 1."""
    ratios = [float(value).as_integer_ratio() for value in values]
    unit = max(below for _, below in ratios)  # powers of two
    return [above * (unit // below) for above, below in ratios], unit
