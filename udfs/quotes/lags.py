"""Lags: the valid row before, of the same segment and not too old."""

from __future__ import annotations

import numpy as np

from udfs.jit import jit
from udfs.kernel import SEGMENT_START, Array, Batch, NDArray, State, gap_ns, record

NONE, CARRIED = -2, -1
"""Instead of an index: no row before; the last valid row of the batches before."""


@jit
def find_previous(
    ts: NDArray[np.int64],
    starts: NDArray[np.int8],
    mid: NDArray[np.float64],
    max_gap: int,
    state: Array,
    previous: NDArray[np.int64],
    elapsed: NDArray[np.float64],
) -> int:
    """Write the index of the valid row before (``NONE``: no lag) and seconds since it.

    Gives the index of the last valid row, ``CARRIED`` if there is none.
    """
    valid, last = state[0], CARRIED
    for i in range(len(ts)):
        if starts[i]:
            valid.seen = False
        previous[i] = NONE
        elapsed[i] = np.nan
        if not np.isnan(mid[i]):
            if valid.seen and ts[i] - valid.ts <= max_gap:
                previous[i] = last
                elapsed[i] = (ts[i] - valid.ts) / 1e9
            valid.seen = True
            valid.ts = ts[i]
            last = i
    return last


def start() -> State:
    """State before the first row of a history."""
    return {"last_valid": record(ts=0, seen=False)}


def lag(state: State, batch: Batch, max_gap: float | None) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Lags of a batch's rows as :func:`find_previous` gives them; moves ``state``. ``max_gap``: seconds."""
    previous, elapsed = np.empty(len(batch), np.int64), np.empty(len(batch))
    last_valid = state["last_valid"] = state["last_valid"].copy()
    gap = gap_ns(max_gap)
    last = find_previous(batch.ts, batch[SEGMENT_START], batch["mid_price"], gap, last_valid, previous, elapsed)
    return previous, elapsed, last
