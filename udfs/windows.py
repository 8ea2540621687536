"""Rolling sums over event windows ``(t - h, t]`` of one segment: of one series, of two, weighted by time.

The history of a series holds, with each value, the sums over the values before it in the segment, as pairs in twice
the precision. A window's sum is the difference of two such sums: a row costs one addition per series and one
difference per window, and nothing drifts, since what was rounded before the window began cancels.

Loops take and give scalars in their helpers: Numba does not inline a helper of many arrays, which costs a factor of 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from udfs.compensated import add, multiply, two_sum
from udfs.jit import jit
from udfs.kernel import NANOSECONDS, SEGMENT_START, Array, Batch, State

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NOISE = 1e-27
"""Squared deviations below this share of the squares are rounding: the values are equal."""


@jit
def evict(times: Ints, heads: Ints, spans: Ints, now: int, count: int) -> int:
    """Drop rows at or before ``now - span`` from the front of each window; gives the first row that any still has."""
    low = count
    for k in range(len(spans)):
        head, edge = heads[k], now - spans[k]
        while head < count and times[head] <= edge:
            head += 1
        heads[k] = head
        low = min(low, head)
    return low


@jit
def difference(totals: Floats, before: Floats, row: int, at: int) -> tuple[float, float]:
    """Pair ``at`` of the totals now, less the same before a row."""
    high, rest = two_sum(totals[at], -before[row, at])
    return two_sum(high, rest + (totals[at + 1] - before[row, at + 1]))


@jit
def deviations(n: int, x: float, x_low: float, y: float, y_low: float, xy: float, xy_low: float) -> float:
    """Sum of the products of the deviations of x and y from their means, from the sums of x, y and x y (pairs)."""
    high, low = multiply(xy, xy_low, float(n), 0.0)
    product, rest = multiply(x, x_low, y, y_low)
    value, _ = add(high, low, -product, -rest)
    return value / n


@jit
def variance(n: int, x: float, x_low: float, xx: float, xx_low: float, equal: bool) -> float:
    """Sample variance from the sums of x and x x (pairs); exactly 0 where all values are ``equal``."""
    if n < 2:
        return np.nan
    if equal:
        return 0.0
    value = deviations(n, x, x_low, x, x_low, xx, xx_low)
    return value / (n - 1) if value > _NOISE * xx else 0.0


@jit
def roll_sums(
    ts: Ints,
    starts: NDArray[np.int8],
    values: Floats,
    spans: Ints,
    count: int,
    times: Ints,
    before: Floats,
    heads: Ints,
    totals: Floats,
    out: Floats,
) -> tuple[int, int]:
    """Planes of ``out``: sum, mean. Totals: the sum.

    For all loops: ``times`` and ``before`` are the history, ``count`` rows of it filled; ``heads`` are the first rows
    of the windows. Planes of ``out`` have a row per window. Gives the first row still needed and the new count.
    """
    low = count
    for i in range(len(ts)):
        if starts[i]:
            for k in range(len(spans)):
                heads[k] = count
        low = evict(times, heads, spans, ts[i], count)
        if not np.isnan(values[i]):
            if low == count:
                totals[0] = totals[1] = 0.0
            times[count] = ts[i]
            before[count, 0], before[count, 1] = totals[0], totals[1]
            totals[0], totals[1] = add(totals[0], totals[1], values[i], 0.0)
            count += 1
        for k in range(len(spans)):
            n = count - heads[k]
            total = mean = np.nan
            if n > 0:
                total, _ = difference(totals, before, heads[k], 0)
                mean = total / n
            out[0, k, i], out[1, k, i] = total, mean
    return low, count


@jit
def roll_moments(
    ts: Ints,
    starts: NDArray[np.int8],
    values: Floats,
    centred: bool,
    spans: Ints,
    count: int,
    times: Ints,
    before: Floats,
    heads: Ints,
    totals: Floats,
    out: Floats,
) -> tuple[int, int]:
    """Planes of ``out``: mean, sum of squares, variance. ``heads`` ends with the first of the last, equal values.

    Totals: sums of x and of x x, both of deviations from the centre; the centre; the last value.
    """
    width, low = len(spans), count
    for i in range(len(ts)):
        if starts[i]:
            for k in range(width):
                heads[k] = count
        low = evict(times, heads, spans, ts[i], count)
        x = values[i]
        if not np.isnan(x):
            if low == count:
                totals[0] = totals[1] = totals[2] = totals[3] = 0.0
                totals[4] = x if centred else 0.0
            if x != totals[5]:
                heads[width] = count
            times[count] = ts[i]
            for p in range(4):
                before[count, p] = totals[p]
            high, rest = two_sum(x, -totals[4])
            square, more = multiply(high, rest, high, rest)
            totals[0], totals[1] = add(totals[0], totals[1], high, rest)
            totals[2], totals[3] = add(totals[2], totals[3], square, more)
            totals[5] = x
            count += 1
        for k in range(width):
            n = count - heads[k]
            mean = squares = var = np.nan
            if n > 0:
                total, rest = difference(totals, before, heads[k], 0)
                squares, more = difference(totals, before, heads[k], 2)
                mean = total / n + totals[4]
                var = variance(n, total, rest, squares, more, heads[width] <= heads[k])
            out[0, k, i], out[1, k, i], out[2, k, i] = mean, max(squares, 0.0), var
    return low, count


@dataclass(frozen=True)
class Windows:
    """Rolling windows over a series, and what they keep of it in a kernel's state."""

    name: str
    """Where its arrays stand in the state."""
    horizons: Sequence[int]
    """s."""
    loop: Callable[..., tuple[int, int]]
    columns: int
    """Numbers per row of the history."""
    totals: int
    planes: int
    runs: int = 0
    """Runs of equal values that the loop follows."""

    def start(self) -> State:
        return {
            f"{self.name}.times": np.empty(0, np.int64),
            f"{self.name}.before": np.empty((0, self.columns)),
            f"{self.name}.heads": np.zeros(len(self.horizons) + self.runs, np.int64),
            f"{self.name}.totals": np.zeros(self.totals),
        }

    def run(self, state: State, batch: Batch, *given: Array | bool) -> Floats:
        """Plane, window, row. ``given``: what the loop takes after ``starts``. Moves this series in ``state``."""
        rows, spans = len(batch), np.array(self.horizons, np.int64) * NANOSECONDS
        times, before = (_grown(state[f"{self.name}.{part}"], rows) for part in ("times", "before"))
        heads, totals = (state[f"{self.name}.{part}"].copy() for part in ("heads", "totals"))
        out = np.empty((self.planes, len(spans), rows))
        low, count = self.loop(
            batch.ts,
            batch[SEGMENT_START],
            *given,
            spans,
            len(times) - rows,
            times,
            before,
            heads,
            totals,
            out,
        )
        kept = times[low:count].copy(), before[low:count].copy(), heads - low, totals
        state |= {f"{self.name}.{part}": array for part, array in zip(_PARTS, kept, strict=True)}
        return out


_PARTS = "times", "before", "heads", "totals"


def sums(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give sum and mean of the values that are there."""
    return Windows(name, horizons, roll_sums, columns=2, totals=2, planes=2)


def moments(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give mean, sum of squares and sample variance.

    ``run`` takes the values, and whether squares are taken of their deviations from the first of the segment, as is
    right for values with a large mean.
    """
    return Windows(name, horizons, roll_moments, columns=4, totals=6, planes=3, runs=1)


def _grown(tail: Array, more: int) -> Array:
    """``tail`` with room for ``more`` rows behind it."""
    grown = np.empty((len(tail) + more, *tail.shape[1:]), tail.dtype)
    grown[: len(tail)] = tail
    return grown
