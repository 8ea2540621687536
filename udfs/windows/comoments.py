"""Rolling covariance and variances of two series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Floats, Ints, Record
from udfs.windows.base import Windows
from udfs.windows.compensated import add, deviations, difference, two_product
from udfs.windows.frames import Items, close_frames, open_frames
from udfs.windows.moments import LOST, RUN, exact_co_moments, exact_squares, has_square

_SUMS = tuple(name + rest for name in ("x", "y", "xx", "xy", "yy") for rest in ("", "_rest"))


@jit
def _add(history: Array, at: int, x: float, y: float, totals: Record) -> None:
    """Write item ``at`` with the totals before it, and add it to them."""
    history["x"][at], history["x_rest"][at] = totals.x, totals.x_rest
    history["y"][at], history["y_rest"][at] = totals.y, totals.y_rest
    history["xx"][at], history["xx_rest"][at] = totals.xx, totals.xx_rest
    history["xy"][at], history["xy_rest"][at] = totals.xy, totals.xy_rest
    history["yy"][at], history["yy_rest"][at] = totals.yy, totals.yy_rest
    history["value_x"][at], history["value_y"][at] = x, y
    xx, xx_rest = two_product(x, x)
    xy, xy_rest = two_product(x, y)
    yy, yy_rest = two_product(y, y)
    totals.x, totals.x_rest = add(totals.x, totals.x_rest, x, 0.0)
    totals.y, totals.y_rest = add(totals.y, totals.y_rest, y, 0.0)
    totals.xx, totals.xx_rest = add(totals.xx, totals.xx_rest, xx, xx_rest)
    totals.xy, totals.xy_rest = add(totals.xy, totals.xy_rest, xy, xy_rest)
    totals.yy, totals.yy_rest = add(totals.yy, totals.yy_rest, yy, yy_rest)


@jit
def _clear(totals: Record) -> None:
    totals.x = totals.x_rest = totals.y = totals.y_rest = totals.xx = totals.xx_rest = 0.0
    totals.xy = totals.xy_rest = totals.yy = totals.yy_rest = 0.0


@jit
def _restart(history: Array, low: int, count: int, totals: Record) -> None:
    """Restart the sums at item ``low`` of the history."""
    _clear(totals)
    for j in range(low, count):
        _add(history, j, history["value_x"][j], history["value_y"][j], totals)


@jit
def _statistics(history: Array, head: int, count: int, totals: Record) -> tuple[float, float, float, float]:
    """Sums of the products of the deviations x y, x x and y y of items ``head`` to ``count``; mean of x x."""
    n, xs, ys = count - head, history["value_x"], history["value_y"]
    x = difference(totals.x, totals.x_rest, history["x"][head], history["x_rest"][head])
    y = difference(totals.y, totals.y_rest, history["y"][head], history["y_rest"][head])
    cov = var_x = var_y = 0.0
    square = n * (totals.last_x * totals.last_x)
    x_varies, y_varies = totals.run_x > head, totals.run_y > head
    if x_varies:
        xx = difference(totals.xx, totals.xx_rest, history["xx"][head], history["xx_rest"][head])
        square, var_x = xx[0], deviations(n, x, x, xx)
        if not square > LOST * totals.xx:
            square = exact_squares(xs, head, count)
        if not var_x > LOST * totals.xx:
            _, var_x = exact_co_moments(xs, xs, head, count)
    if y_varies:
        yy = difference(totals.yy, totals.yy_rest, history["yy"][head], history["yy_rest"][head])
        var_y = deviations(n, y, y, yy)
        if not var_y > LOST * totals.yy:
            _, var_y = exact_co_moments(ys, ys, head, count)
    if x_varies and y_varies:
        xy = difference(totals.xy, totals.xy_rest, history["xy"][head], history["xy_rest"][head])
        cov = deviations(n, x, y, xy)
        if not (var_x > LOST * totals.xx and var_y > LOST * totals.yy):
            _, cov = exact_co_moments(xs, ys, head, count)
    return cov, var_x, var_y, square / n


@jit
def roll_comoments(
    items: Items,
    spans: Ints,
    xs: Floats,
    ys: Floats,
    times: Ints,
    history: Array,
    heads: Ints,
    carried: Array,
) -> tuple[Floats, tuple[Ints, Array, Ints]]:
    """Statistics: count, covariance, variance of x, variance of y, mean of x x."""
    frames, past, moved = open_frames(items, spans, times, history, heads)
    out = np.empty((5, len(spans), len(frames.rows)))
    totals, low, count, new = carried[0], 0, len(times), len(times)
    for i in range(len(frames.end)):
        low = frames.oldest[i]
        for j in range(count, frames.end[i]):
            x, y = xs[j - new], ys[j - new]
            if j == low:
                _clear(totals)
                totals.last_x = totals.last_y = 0.0
            if x != totals.last_x:
                totals.run_x = j
            if y != totals.last_y:
                totals.run_y = j
            _add(past, j, x, y, totals)
            totals.last_x, totals.last_y = x, y
        count = frames.end[i]
        if low < count and (
            (totals.xx > 0.0 and not totals.xx - past["xx"][low] > RUN * totals.xx)
            or (totals.yy > 0.0 and not totals.yy - past["yy"][low] > RUN * totals.yy)
        ):
            _restart(past, low, count, totals)
        for k in range(len(frames.spans)):
            head, n = frames.first[i, k], count - frames.first[i, k]
            cov = var_x = var_y = square = np.nan
            if n > 0:
                cov, var_x, var_y, square = _statistics(past, head, count, totals)
            if n > 1:
                cov, var_x, var_y = cov / (n - 1), max(var_x, 0.0) / (n - 1), max(var_y, 0.0) / (n - 1)
            out[0, k, i], out[1, k, i], out[2, k, i], out[3, k, i], out[4, k, i] = n, cov, var_x, var_y, square
    totals.run_x -= low
    totals.run_y -= low
    return out, close_frames(frames, past, moved, low)


def comoments(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give count, covariance, variances and the mean square of x, of two series x and y."""
    totals = {**dict.fromkeys((*_SUMS, "last_x", "last_y"), 0.0), "run_x": 0, "run_y": 0}
    history = (*_SUMS, "value_x", "value_y")
    return Windows(name, horizons, roll_comoments, lambda x, y: has_square(x) & has_square(y), history, totals)
