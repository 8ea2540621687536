"""Lags: the valid row before, of the same segment and not too old."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from udfs.jit import jit
from udfs.kernel import SEGMENT_START, Array, Batch, State, gap_ns

NONE, CARRIED = -2, -1
"""Instead of an index: no row before; the last valid row of the batches before."""


@jit
def find_previous(
    ts: NDArray[np.int64],
    starts: NDArray[np.int8],
    mid: NDArray[np.float64],
    max_gap: int,
    clock: NDArray[np.int64],
    previous: NDArray[np.int64],
    elapsed: NDArray[np.float64],
) -> int:
    """Index of the last valid row, ``CARRIED`` if there is none.

    ``clock``: whether there was a valid row in this segment (0 or 1), its time (ns).
    ``previous``: index of the valid row before, ``NONE`` on rows without a lag. ``elapsed``: seconds since it.
    """
    last = CARRIED
    for i in range(len(ts)):
        if starts[i]:
            clock[0] = 0
        previous[i] = NONE
        elapsed[i] = np.nan
        if not np.isnan(mid[i]):
            if clock[0] and ts[i] - clock[1] <= max_gap:
                previous[i] = last
                elapsed[i] = (ts[i] - clock[1]) / 1e9
            clock[0] = 1
            clock[1] = ts[i]
            last = i
    return last


def new_clock() -> Array:
    """The clock before the first row of a history."""
    return np.zeros(2, np.int64)


def lag(state: State, batch: Batch, max_gap: float | None) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """What ``find_previous`` finds in a batch; moves ``state["clock"]``. ``max_gap``: seconds."""
    previous, elapsed = np.empty(len(batch), np.int64), np.empty(len(batch))
    clock = state["clock"] = state["clock"].copy()
    gap = gap_ns(max_gap)
    last = find_previous(batch.ts, batch[SEGMENT_START], batch["mid_price"], gap, clock, previous, elapsed)
    return previous, elapsed, last
