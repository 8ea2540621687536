"""The first of three barriers that the mid price touches: above, below, or the end of the time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import NANOSECONDS, NO_INTEGER, Array, Batch, Column, Kernel, NDArray, State
from udfs.options import Option

NO_LABEL = -(2**15)


@jit
def reaches(mid: NDArray[np.float64], stack: NDArray[np.int64], size: int, barrier: float, sign: float) -> int:
    """First row at or beyond a barrier, among extremes whose nearest is on top of ``stack``; -1 if there is none."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if sign * mid[stack[middle]] >= sign * barrier:
            low = middle + 1
        else:
            high = middle
    return int(stack[low - 1]) if low else -1


@jit
def find_touches(
    ts: NDArray[np.int64],
    starts: NDArray[np.bool_],
    mid: NDArray[np.float64],
    barriers: NDArray[np.float64],
    horizon: int,
    label: NDArray[np.int16],
    touched: NDArray[np.int64],
    returns: NDArray[np.float64],
) -> None:
    """Write the label, time and return of each row's first touch. ``barriers``: upper ones, and lower ones.

    Rows are taken from the last to the first. The later rows of a segment that are higher than all before them are a
    stack: the first row at or above any barrier is among them. Each row is pushed and popped once, whatever the
    horizon.
    """
    rows = len(ts)
    stacks = np.empty((2, rows), np.int64)
    sizes = np.zeros(2, np.int64)
    last_valid = np.empty(rows, np.int64)
    for i in range(rows):
        last_valid[i] = i if not np.isnan(mid[i]) else (last_valid[i - 1] if i and not starts[i] else -1)
    end = until = rows - 1
    for i in range(rows - 1, -1, -1):
        label[i], touched[i], returns[i] = NO_LABEL, NO_INTEGER, np.nan
        while ts[until] - ts[i] > horizon:
            until -= 1
        if mid[i] > 0 and not (np.isnan(barriers[0, i]) or np.isnan(barriers[1, i])):
            above = reaches(mid, stacks[0], sizes[0], barriers[0, i], 1.0)
            below = reaches(mid, stacks[1], sizes[1], barriers[1, i], -1.0)
            first = above if below < 0 or 0 <= above < below else below
            if 0 <= first <= until:
                label[i] = 1 if first == above else -1
                touched[i], returns[i] = ts[first], mid[first] / mid[i] - 1.0
            elif ts[end] - ts[i] >= horizon:
                label[i] = 0
                touched[i], returns[i] = ts[i] + horizon, mid[last_valid[until]] / mid[i] - 1.0
        if starts[i]:
            sizes[:] = 0
            end = until = i - 1
            continue
        for k in range(2):
            if not np.isnan(mid[i]):
                while sizes[k] and (1 - 2 * k) * (mid[i] - mid[stacks[k, sizes[k] - 1]]) >= 0:
                    sizes[k] -= 1
                stacks[k, sizes[k]] = i
                sizes[k] += 1


class TripleBarrier(Kernel):
    """Labels by the first barrier that the mid touches."""

    name = "triple_barrier"
    version = 1
    doc = "First touch of an upper barrier, a lower one or the end of a time"
    looks_ahead = True
    options = {
        "barrier_horizon": Option(type="float", default=300, gt=0, doc="seconds until the barrier of time"),
    }

    def inputs(self) -> Sequence[str]:
        return "starts_segment", "mid_price", "barrier_upper", "barrier_lower"

    def outputs(self) -> Sequence[Column]:
        h = f"{self.params['barrier_horizon']:g} s"
        first = "the first row at or beyond a barrier"
        return (
            Column(
                "barrier_label",
                f"label: 1: 1 at barrier_upper first, -1 at barrier_lower, 0 at neither in {h} [Lopez de Prado 2018]",
                "smallint",
                nullable=True,
            ),
            Column(
                "barrier_ts",
                f"label: UTC, ns: time of {first}, else {h} later [Lopez de Prado 2018]",
                "timestamp",
                nullable=True,
            ),
            Column(
                "barrier_return",
                "label: 1: mid price at barrier_ts / mid_price - 1 [Lopez de Prado 2018]",
            ),
        )

    def start(self) -> State:
        return {}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        rows = len(batch)
        label, touched, returns = np.empty(rows, np.int16), np.empty(rows, np.int64), np.empty(rows)
        barriers = np.stack((batch["barrier_upper"], batch["barrier_lower"]))
        starts = batch["starts_segment"] == 1.0
        horizon = round(self.params["barrier_horizon"] * NANOSECONDS)
        find_touches(batch.ts, starts, batch["mid_price"], barriers, horizon, label, touched, returns)
        return label, touched, returns
