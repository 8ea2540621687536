"""Segments: stretches of rows without a gap. Lags and windows never reach over their ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from udfs.jit import jit
from udfs.kernel import MAX_GAP, SEGMENT_START, Array, Batch, Column, Kernel, State, gap_ns


@jit
def find_starts(
    ts: NDArray[np.int64],
    max_gap: int,
    resets: NDArray[np.bool_],
    clock: NDArray[np.int64],
    starts: NDArray[np.int8],
    age: NDArray[np.float64],
) -> None:
    """``clock``: whether there was a row before (0 or 1), its time, the start of its segment (ns).

    ``resets``: whether the feed broke before a row.
    """
    for i in range(len(ts)):
        # A date whose clock is ahead is later than the next: no row may be computed from a later one (see udfs.late).
        begins = clock[0] == 0 or ts[i] < clock[1] or ts[i] - clock[1] > max_gap or resets[i]
        if begins:
            clock[2] = ts[i]
        clock[0] = 1
        clock[1] = ts[i]
        starts[i] = begins
        age[i] = (ts[i] - clock[2]) / 1e9


class Segments(Kernel):
    """Where segments start, and how old they are."""

    name = "segments"
    version = 3
    doc = "Segments between gaps, and their age"
    options = {"max_gap": MAX_GAP}

    def inputs(self) -> Sequence[str]:
        # An option of templates whose rows have the column.
        return ("feed_reset",) if self.given.get("feed_resets") else ()

    def outputs(self) -> Sequence[Column]:
        return (
            Column(SEGMENT_START, "1: 1 on the first row of a segment", "smallint", hidden=True),
            Column("segment_age_s", "s: since the segment started; a window of h seconds is warm from h on"),
        )

    def start(self) -> State:
        return {"clock": np.zeros(3, np.int64)}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        starts, age = np.empty(len(batch), np.int8), np.empty(len(batch))
        clock = state["clock"] = state["clock"].copy()
        resets = np.zeros(len(batch), np.bool_)
        for column in self.inputs():
            resets |= batch[column] == 1.0
        find_starts(batch.ts, gap_ns(self.given["max_gap"]), resets, clock, starts, age)
        return starts, age
