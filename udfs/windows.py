"""Rolling sums over event windows ``(t - h, t]`` of one segment: of one series, of two, weighted by time.

The history of a series holds, with each value, the sums over the values before it in the segment, as pairs in twice
the precision. A window's sum is the difference of two such sums: a row costs one addition per series and one
difference per window, and nothing drifts, since what was rounded before the window began cancels.

A value that is many orders of magnitude larger than the others rounds them away, also where it has left the window. So
the values are kept too: a window of which too little is left is summed from its own, and once such a value has left the
longest window, the sums start anew behind it. When that happens depends on the values alone, not on the batches.

Loops take and give scalars in their helpers: Numba does not inline a helper of many arrays, which costs a factor of 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from udfs.compensated import add, multiply, two_product, two_sum
from udfs.jit import jit
from udfs.kernel import NANOSECONDS, SEGMENT_START, Array, Batch, State

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEW_DIGITS = 2.0**-34
"""Share of a sum in one double below which a difference of such sums may be rounding."""
LOST = 2.0**-70
"""The same for sums in twice the precision."""
RUN = 2.0**-40
"""Share of the squares in the longest window below which the sums start anew."""
LARGEST = 1e140
"""A value that is not smaller has no square worth a double: it is missing."""


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
def sum_of(before: Floats, at: int, head: int, count: int) -> float:
    """Sum of the values of rows ``head`` to ``count``, which stand in column ``at``."""
    high = low = 0.0
    for j in range(head, count):
        high, low = add(high, low, before[j, at], 0.0)
    return high


@jit
def co_moments(before: Floats, at_x: int, at_y: int, head: int, count: int) -> tuple[float, float, float]:
    """Means of x and y over rows ``head`` to ``count``, and the sum of the products of their deviations."""
    x = x_low = y = y_low = xy = xy_low = 0.0
    for j in range(head, count):
        dx, dx_low = two_sum(before[j, at_x], -before[head, at_x])
        dy, dy_low = two_sum(before[j, at_y], -before[head, at_y])
        product, rest = multiply(dx, dx_low, dy, dy_low)
        x, x_low = add(x, x_low, dx, dx_low)
        y, y_low = add(y, y_low, dy, dy_low)
        xy, xy_low = add(xy, xy_low, product, rest)
    n = count - head
    return before[head, at_x] + x / n, before[head, at_y] + y / n, deviations(n, x, x_low, y, y_low, xy, xy_low)


@jit
def squares_of(before: Floats, at: int, head: int, count: int) -> float:
    """Sum of the squares of the values of rows ``head`` to ``count``."""
    high = low = 0.0
    for j in range(head, count):
        square, rest = two_product(before[j, at], before[j, at])
        high, low = add(high, low, square, rest)
    return high


@jit
def _restart_sums(before: Floats, low: int, count: int, totals: Floats) -> None:
    for p in range(3):
        totals[p] = 0.0
    for j in range(low, count):
        before[j, 0], before[j, 1], before[j, 2] = totals[0], totals[1], totals[2]
        totals[0], totals[1] = add(totals[0], totals[1], before[j, 3], 0.0)
        totals[2] += abs(before[j, 3])


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
    """Planes of ``out``: sum, mean. Totals: the sum, that of the absolute values; the last value.

    For all loops: ``times`` and ``before`` are the history, ``count`` rows of it filled; ``heads`` are the first rows
    of the windows, and then of the last, equal values. Planes of ``out`` have a row per window. Gives the first row
    still needed and the new count.
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
            if x != totals[3]:
                heads[width] = count
            times[count] = ts[i]
            before[count, 0], before[count, 1], before[count, 2], before[count, 3] = totals[0], totals[1], totals[2], x
            totals[0], totals[1] = add(totals[0], totals[1], x, 0.0)
            totals[2] += abs(x)
            totals[3] = x
            count += 1
        if low < count and totals[2] > 0.0 and not totals[2] - before[low, 2] > FEW_DIGITS * totals[2]:
            _restart_sums(before, low, count, totals)
        least, run = FEW_DIGITS * totals[2], heads[width]
        for k in range(width):
            head, n = heads[k], count - heads[k]
            total = np.nan
            if n > 0:
                if run <= head:
                    total = n * totals[3]
                elif totals[2] - before[head, 2] > least:
                    total, _ = difference(totals, before, head, 0)
                else:
                    total = sum_of(before, 3, head, count)
            out[0, k, i], out[1, k, i] = total, total / n if n > 0 else np.nan
    return low, count


@jit
def _add_moments(before: Floats, at: int, x: float, totals: Floats) -> None:
    """Add a value to the totals, which stand before it in row ``at`` of the history."""
    for p in range(4):
        before[at, p] = totals[p]
    before[at, 4] = x
    high, rest = two_sum(x, -totals[4])
    square, more = multiply(high, rest, high, rest)
    totals[0], totals[1] = add(totals[0], totals[1], high, rest)
    totals[2], totals[3] = add(totals[2], totals[3], square, more)


@jit
def _take_moment(x: float, first: bool, centred: bool, count: int, before: Floats, heads: Ints, totals: Floats) -> None:
    """Take a value into the history, which starts anew with the ``first`` one of the windows."""
    if first:
        for p in range(4):
            totals[p] = 0.0
        totals[4] = x if centred else 0.0
    if x != totals[5]:
        heads[-1] = count
    _add_moments(before, count, x, totals)
    totals[5] = x


@jit
def _restart_moments(before: Floats, low: int, count: int, centred: bool, totals: Floats) -> None:
    """Sum the history from row ``low`` on anew, around its first value."""
    for p in range(4):
        totals[p] = 0.0
    totals[4] = before[low, 4] if centred else 0.0
    for j in range(low, count):
        _add_moments(before, j, before[j, 4], totals)


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
        if abs(values[i]) < LARGEST:
            _take_moment(values[i], low == count, centred, count, before, heads, totals)
            times[count] = ts[i]
            count += 1
        if low < count and totals[2] > 0.0 and not totals[2] - before[low, 2] > RUN * totals[2]:
            _restart_moments(before, low, count, centred, totals)
        off_centre, least, run = False, LOST * totals[2], heads[width]
        for k in range(width):
            head, n = heads[k], count - heads[k]
            mean = squares = var = np.nan
            if n > 0 and run <= head:
                mean, squares, var = totals[5], n * (totals[5] * totals[5]), 0.0
            elif n > 0:
                total, rest = difference(totals, before, head, 0)
                squares, more = difference(totals, before, head, 2)
                var = deviations(n, total, rest, total, rest, squares, more)
                mean = total / n + totals[4]
                if not (squares > least and var > least):
                    mean, _, var = co_moments(before, 4, 4, head, count)
                    squares = squares_of(before, 4, head, count)
                    off_centre |= head == low
                var = max(var, 0.0) / (n - 1)
            out[0, k, i], out[1, k, i], out[2, k, i] = mean, squares, var if n > 1 else np.nan
        if off_centre and centred:
            _restart_moments(before, low, count, centred, totals)
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
    return Windows(name, horizons, roll_sums, columns=4, totals=4, planes=2, runs=1)


def moments(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give mean, sum of squares and sample variance.

    ``run`` takes the values, and whether squares are taken of their deviations from the first of the segment, as is
    right for values with a large mean.
    """
    return Windows(name, horizons, roll_moments, columns=5, totals=6, planes=3, runs=1)


def _grown(tail: Array, more: int) -> Array:
    """``tail`` with room for ``more`` rows behind it."""
    grown = np.empty((len(tail) + more, *tail.shape[1:]), tail.dtype)
    grown[: len(tail)] = tail
    return grown
