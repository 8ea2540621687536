"""Price impact of order flow: regression of returns on order flow imbalance (Cont, Kukanov, Stoikov 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sqlgen.options import Option
from udfs.compensated import add, two_product
from udfs.jit import jit
from udfs.kernel import SEGMENT_START, Array, Batch, Column, Kernel, State
from udfs.windows import Floats, Ints, Windows, deviations, difference, evict, variance

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
        if not np.isnan(xs[i]) and not np.isnan(ys[i]):
            take_pair(xs[i], ys[i], low == count, count, before, heads, totals)
            times[count] = ts[i]
            count += 1
        for k in range(width):
            head, n = heads[k], count - heads[k]
            cov = var_x = var_y = square = np.nan
            if n > 0:
                x, x_low = difference(totals, before, head, 0)
                y, y_low = difference(totals, before, head, 2)
                xx, xx_low = difference(totals, before, head, 4)
                xy, xy_low = difference(totals, before, head, 6)
                yy, yy_low = difference(totals, before, head, 8)
                square = xx / n
                var_x = variance(n, x, x_low, xx, xx_low, heads[width] <= head)
                var_y = variance(n, y, y_low, yy, yy_low, heads[width + 1] <= head)
                if n > 1:
                    cov = deviations(n, x, x_low, y, y_low, xy, xy_low) / (n - 1)
            out[0, k, i], out[1, k, i], out[2, k, i], out[3, k, i], out[4, k, i] = n, cov, var_x, var_y, square
    return low, count


@jit
def take_pair(x: float, y: float, first: bool, count: int, before: Floats, heads: Ints, totals: Floats) -> None:
    """Add x and y to the totals, which start anew at the ``first`` pair of the windows."""
    if first:
        for p in range(10):
            totals[p] = 0.0
    if x != totals[10]:
        heads[-2] = count
    if y != totals[11]:
        heads[-1] = count
    for p in range(10):
        before[count, p] = totals[p]
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
    return Windows(name, horizons, roll_pairs, columns=10, totals=12, planes=5, runs=2)


class OfiImpact(Kernel):
    """Slope and fit of log returns on order flow imbalance."""

    name = "ofi_impact"
    version = 1
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
