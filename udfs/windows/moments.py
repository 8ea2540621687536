"""Rolling means, sums of squares and variances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Floats, Ints, NDArray, Record
from udfs.windows.base import Windows
from udfs.windows.compensated import add, deviations, difference, multiply, two_product, two_sum
from udfs.windows.frames import Items, close_frames, open_frames

LOST = 2.0**-70
"""Share of a sum in twice the precision below which a difference of such sums may be rounding."""
RUN = 2.0**-40
"""Share of the squares in the longest window below which the sums restart."""
LARGEST = 1e140
"""A value that is not smaller has no square worth a double: it is missing."""


def has_square(values: Floats) -> NDArray[np.bool_]:
    """Mask of the values whose square is worth a double."""
    return np.asarray(np.abs(values) < LARGEST)


@jit
def exact_co_moments(xs: Floats, ys: Floats, first: int, end: int) -> tuple[float, float]:
    """Mean of x, and the sum of the products of the deviations of x and y, over items ``first`` to ``end``."""
    x = x_low = y = y_low = xy = xy_low = 0.0
    for j in range(first, end):
        dx, dx_low = two_sum(xs[j], -xs[first])
        dy, dy_low = two_sum(ys[j], -ys[first])
        product, rest = multiply(dx, dx_low, dy, dy_low)
        x, x_low = add(x, x_low, dx, dx_low)
        y, y_low = add(y, y_low, dy, dy_low)
        xy, xy_low = add(xy, xy_low, product, rest)
    n = end - first
    return xs[first] + x / n, deviations(n, (x, x_low), (y, y_low), (xy, xy_low))


@jit
def exact_squares(values: Floats, first: int, end: int) -> float:
    """Sum of the squares of the values of items ``first`` to ``end``."""
    high = low = 0.0
    for j in range(first, end):
        square, rest = two_product(values[j], values[j])
        high, low = add(high, low, square, rest)
    return high


@jit
def _add(history: Array, at: int, value: float, totals: Record) -> None:
    """Write item ``at`` with the totals before it, and add its deviation from the centre to them."""
    history["total"][at], history["total_rest"][at] = totals.total, totals.total_rest
    history["squares"][at], history["squares_rest"][at] = totals.squares, totals.squares_rest
    history["value"][at] = value
    high, rest = two_sum(value, -totals.centre)
    square, more = multiply(high, rest, high, rest)
    totals.total, totals.total_rest = add(totals.total, totals.total_rest, high, rest)
    totals.squares, totals.squares_rest = add(totals.squares, totals.squares_rest, square, more)


@jit
def _clear(centre: float, totals: Record) -> None:
    totals.total = totals.total_rest = totals.squares = totals.squares_rest = 0.0
    totals.centre = centre


@jit
def _restart(history: Array, low: int, count: int, centred: bool, totals: Record) -> None:
    """Restart the sums at item ``low`` of the history, around its value."""
    _clear(history["value"][low] if centred else 0.0, totals)
    for j in range(low, count):
        _add(history, j, history["value"][j], totals)


@jit
def _statistics(history: Array, head: int, count: int, totals: Record) -> tuple[float, float, float, bool]:
    """Mean, squares and sample variance of items ``head`` to ``count``; True if the totals are too far from them."""
    n, exact = count - head, False
    if n == 0:
        return np.nan, np.nan, np.nan, False
    mean, squares, var = totals.last, n * (totals.last * totals.last), 0.0
    if totals.run > head:
        total = difference(totals.total, totals.total_rest, history["total"][head], history["total_rest"][head])
        pair = difference(totals.squares, totals.squares_rest, history["squares"][head], history["squares_rest"][head])
        mean, squares, var = total[0] / n + totals.centre, pair[0], deviations(n, total, total, pair)
        if not (squares > LOST * totals.squares and var > LOST * totals.squares):
            mean, var = exact_co_moments(history["value"], history["value"], head, count)
            squares = exact_squares(history["value"], head, count)
            exact = True
        var = max(var, 0.0) / (n - 1)
    return mean, squares, var if n > 1 else np.nan, exact


@jit
def roll_moments(
    items: Items,
    spans: Ints,
    values: Floats,
    centred: bool,
    times: Ints,
    history: Array,
    heads: Ints,
    carried: Array,
) -> tuple[Floats, tuple[Ints, Array, Ints]]:
    """Statistics: mean, sum of squares, variance."""
    frames, past, moved = open_frames(items, spans, times, history, heads)
    out = np.empty((3, len(spans), len(frames.rows)))
    totals, low, count, new = carried[0], 0, len(times), len(times)
    for i in range(len(frames.end)):
        low = frames.oldest[i]
        for j in range(count, frames.end[i]):
            value = values[j - new]
            if j == low:
                _clear(value if centred else 0.0, totals)
            if value != totals.last:
                totals.run = j
            _add(past, j, value, totals)
            totals.last = value
        count = frames.end[i]
        if low < count and totals.squares > 0.0 and not totals.squares - past["squares"][low] > RUN * totals.squares:
            _restart(past, low, count, centred, totals)
        off_centre = False
        for k in range(len(frames.spans)):
            head = frames.first[i, k]
            mean, squares, var, exact = _statistics(past, head, count, totals)
            off_centre |= exact and head == low
            out[0, k, i], out[1, k, i], out[2, k, i] = mean, squares, var
        if off_centre and centred:
            _restart(past, low, count, centred, totals)
    totals.run -= low
    return out, close_frames(frames, past, moved, low)


def moments(name: str, horizons: Sequence[int], centred: bool = True) -> Windows:
    """Windows that give mean, sum of squares and sample variance.

    ``centred``: squares are taken of deviations from the first value of the segment, as is right for values with a
    large mean; the sum of squares is theirs, then.
    """
    fields = ("total", "total_rest", "squares", "squares_rest")
    totals = {**dict.fromkeys((*fields, "centre", "last"), 0.0), "run": 0}
    return Windows(name, horizons, roll_moments, has_square, (*fields, "value"), totals, (centred,))
