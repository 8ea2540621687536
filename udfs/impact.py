"""Price impact of order flow: regression of returns on order flow imbalance (Cont, Kukanov, Stoikov 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from udfs.compensated import add, two_product
from udfs.jit import jit
from udfs.kernel import SEGMENT_START, Array, Batch, Column, Kernel, State
from udfs.options import Option
from udfs.windows import (
    LARGEST,
    LOST,
    RUN,
    Floats,
    Ints,
    Windows,
    co_moments,
    deviations,
    difference,
    evict,
    squares_of,
)

FEWEST = 30
"""Observations that a regression needs."""
_FLAT = 1e-12
"""A regressor whose variance is at most this share of its mean square does not vary."""


@jit
def roll_pairs(
    ts: Ints,
    starts: NDArray[np.int8],
    xs: Floats,
    ys: Floats,
    spans: Ints,
    count: int,
    times: Ints,
    before: Floats,
    heads: Ints,
    totals: Floats,
    out: Floats,
) -> tuple[int, int]:
    """Planes of ``out``: count, covariance, variance of x, variance of y, mean of x x. Only rows with x and y count.

    The arguments are those of ``windows.roll_sums``. Totals: sums of x, y, x x, x y and y y; the last x and y.
    ``heads`` ends with the first of the last, equal values of x, and of y.
    """
    width, low = len(spans), count
    for i in range(len(ts)):
        if starts[i]:
            for k in range(width):
                heads[k] = count
        low = evict(times, heads, spans, ts[i], count)
        if abs(xs[i]) < LARGEST and abs(ys[i]) < LARGEST:
            if low == count:
                for p in range(12):
                    totals[p] = 0.0
            take_pair(xs[i], ys[i], count, before, heads, totals)
            times[count] = ts[i]
            count += 1
        if low < count and (thin(totals, before, low, 4) or thin(totals, before, low, 8)):
            restart_pairs(before, low, count, heads, totals)
        for k in range(width):
            head, n = heads[k], count - heads[k]
            cov = var_x = var_y = square = np.nan
            if n > 0:
                varies = heads[width] > head, heads[width + 1] > head
                cov, var_x, var_y, square = co_deviations(totals, before, head, count, varies[0], varies[1])
            if n > 1:
                cov, var_x, var_y = cov / (n - 1), max(var_x, 0.0) / (n - 1), max(var_y, 0.0) / (n - 1)
            out[0, k, i], out[1, k, i], out[2, k, i], out[3, k, i], out[4, k, i] = n, cov, var_x, var_y, square
    return low, count


@jit
def co_deviations(
    totals: Floats, before: Floats, head: int, count: int, x_varies: bool, y_varies: bool
) -> tuple[float, float, float, float]:
    """Sums of the products of the deviations x y, x x and y y in the window from row ``head`` on; mean of x x."""
    n = count - head
    xy = xx = yy = 0.0
    square = n * (totals[10] * totals[10])
    if x_varies:
        square = difference(totals, before, head, 4)[0]
        if not square > LOST * totals[4]:
            square = squares_of(before, 10, head, count)
        xx = product_of_deviations(n, totals, before, head, 0, 0, 4)
        if not xx > LOST * totals[4]:
            _, _, xx = co_moments(before, 10, 10, head, count)
    if y_varies:
        yy = product_of_deviations(n, totals, before, head, 2, 2, 8)
        if not yy > LOST * totals[8]:
            _, _, yy = co_moments(before, 11, 11, head, count)
    if x_varies and y_varies:
        xy = product_of_deviations(n, totals, before, head, 0, 2, 6)
        if not (xx > LOST * totals[4] and yy > LOST * totals[8]):
            _, _, xy = co_moments(before, 10, 11, head, count)
    return xy, xx, yy, square / n


@jit
def thin(totals: Floats, before: Floats, row: int, at: int) -> bool:
    """True if little of a total's squares comes from the rows from ``row`` on."""
    return bool(totals[at] > 0.0 and not totals[at] - before[row, at] > RUN * totals[at])


@jit
def product_of_deviations(n: int, totals: Floats, before: Floats, head: int, of_x: int, of_y: int, of_xy: int) -> float:
    """Sum of the products of the deviations of x and y from their means, in the window from row ``head`` on."""
    x, x_low = difference(totals, before, head, of_x)
    y, y_low = difference(totals, before, head, of_y)
    xy, xy_low = difference(totals, before, head, of_xy)
    return deviations(n, x, x_low, y, y_low, xy, xy_low)


@jit
def restart_pairs(before: Floats, low: int, count: int, heads: Ints, totals: Floats) -> None:
    """Sum the history from row ``low`` on anew."""
    run_x, run_y = heads[-2], heads[-1]
    for p in range(12):
        totals[p] = 0.0
    for j in range(low, count):
        take_pair(before[j, 10], before[j, 11], j, before, heads, totals)
    heads[-2], heads[-1] = run_x, run_y


@jit
def take_pair(x: float, y: float, count: int, before: Floats, heads: Ints, totals: Floats) -> None:
    """Add x and y to the totals."""
    if x != totals[10]:
        heads[-2] = count
    if y != totals[11]:
        heads[-1] = count
    for p in range(10):
        before[count, p] = totals[p]
    before[count, 10], before[count, 11] = x, y
    xx, xx_low = two_product(x, x)
    xy, xy_low = two_product(x, y)
    yy, yy_low = two_product(y, y)
    totals[0], totals[1] = add(totals[0], totals[1], x, 0.0)
    totals[2], totals[3] = add(totals[2], totals[3], y, 0.0)
    totals[4], totals[5] = add(totals[4], totals[5], xx, xx_low)
    totals[6], totals[7] = add(totals[6], totals[7], xy, xy_low)
    totals[8], totals[9] = add(totals[8], totals[9], yy, yy_low)
    totals[10], totals[11] = x, y


def pairs(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give count, covariance, variances and the mean square of x. ``run`` takes x and y."""
    return Windows(name, horizons, roll_pairs, columns=12, totals=12, planes=5, runs=2)


class OfiImpact(Kernel):
    """Slope and fit of log returns on order flow imbalance."""

    name = "ofi_impact"
    version = 2
    doc = "Rolling regression of log_return on ofi (Cont, Kukanov, Stoikov 2014)"
    options = {
        "impact_window": Option(
            type="int", default=300, gt=0, doc="seconds that the regression of ofi_impact looks back"
        )
    }

    def inputs(self) -> Sequence[str]:
        return SEGMENT_START, "log_return", "ofi"

    def outputs(self) -> Sequence[Column]:
        h = self.given["impact_window"]
        return (
            Column("ofi_impact", f"1/u: slope of log_return on ofi over {h} s"),
            Column("ofi_impact_r2", f"1: share of the variance of log_return that ofi_impact explains over {h} s"),
        )

    @cached_property
    def windows(self) -> Windows:
        return pairs("pairs", [self.given["impact_window"]])

    def start(self) -> State:
        return self.windows.start()

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        n, cov, var_x, var_y, square = self.windows.run(state, batch, batch["ofi"], batch["log_return"])[:, 0]
        known = (n >= FEWEST) & (var_x > _FLAT * square)
        slope = np.divide(cov, var_x, out=np.full(len(batch), np.nan), where=known)
        fit = np.divide(slope * cov, var_y, out=np.full(len(batch), np.nan), where=known & (var_y > 0))
        return slope, np.minimum(fit, 1.0)
