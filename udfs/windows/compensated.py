"""Sums in twice the precision: an unevaluated pair ``high + low`` of doubles.

A value that leaves a window is subtracted with the same rounding with which it came in, so that a rolling sum of
values of similar size does not drift, however many updates it sees. Dekker 1971; Hida, Li and Bailey 2001.
"""

from __future__ import annotations

from udfs.jit import jit

_SPLIT = 134217729.0  # 2**27 + 1


@jit
def two_sum(a: float, b: float) -> tuple[float, float]:
    """``a + b`` as the nearest double and the exact rest."""
    high = a + b
    part = high - a
    return high, (a - (high - part)) + (b - part)


@jit
def two_product(a: float, b: float) -> tuple[float, float]:
    """``a * b`` as the nearest double and the exact rest, for factors below about 1e300."""
    high = a * b
    scaled = _SPLIT * a
    a_high = scaled - (scaled - a)
    a_low = a - a_high
    scaled = _SPLIT * b
    b_high = scaled - (scaled - b)
    b_low = b - b_high
    return high, ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low


@jit
def add(high: float, low: float, other_high: float, other_low: float) -> tuple[float, float]:
    """Sum of two pairs."""
    total, rest = two_sum(high, other_high)
    small, smaller = two_sum(low, other_low)
    total, rest = two_sum(total, rest + small)
    return two_sum(total, rest + smaller)


@jit
def multiply(high: float, low: float, other_high: float, other_low: float) -> tuple[float, float]:
    """Product of two pairs."""
    product, rest = two_product(high, other_high)
    return two_sum(product, rest + (high * other_low + low * other_high))


@jit
def difference(high: float, low: float, high_before: float, low_before: float) -> tuple[float, float]:
    """A pair less an earlier one of the same sum."""
    total, rest = two_sum(high, -high_before)
    return two_sum(total, rest + (low - low_before))


@jit
def deviations(n: int, x: tuple[float, float], y: tuple[float, float], xy: tuple[float, float]) -> float:
    """Sum of the products of the deviations of x and y from their means, from the sums of x, y and x y."""
    high, low = multiply(xy[0], xy[1], float(n), 0.0)
    product, rest = multiply(x[0], x[1], y[0], y[1])
    value, _ = add(high, low, -product, -rest)
    return value / n
