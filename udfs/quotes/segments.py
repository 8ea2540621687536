"""Segments: stretches of rows without a gap. Lags and windows never reach over their ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from udfs.jit import jit
from udfs.kernel import MAX_GAP, SEGMENT_START, Array, Batch, Column, Kernel, State, gap_ns, record


@jit
def find_starts(
    ts: NDArray[np.int64],
    max_gap: int,
    resets: NDArray[np.bool_],
    state: Array,
    starts: NDArray[np.int8],
    age: NDArray[np.float64],
) -> None:
    """Write where segments start, and seconds since then. ``resets``: rows before which the feed broke."""
    last = state[0]
    for i in range(len(ts)):
        # A date whose clock is ahead is later than the next: no row may be computed from a later one (see OVERLAP_NS).
        begins = not last.seen or ts[i] < last.ts or ts[i] - last.ts > max_gap or resets[i]
        if begins:
            last.start = ts[i]
        last.seen = True
        last.ts = ts[i]
        starts[i] = begins
        age[i] = (ts[i] - last.start) / 1e9


class Segments(Kernel):
    """Start and age of segments."""

    name = "segments"
    version = 3
    doc = "Segments between gaps, and their age"
    options = {"max_gap": MAX_GAP}

    def inputs(self) -> Sequence[str]:
        # An option of templates whose rows have the column.
        return ("feed_reset",) if self.params.get("feed_resets") else ()

    def outputs(self) -> Sequence[Column]:
        return (
            Column(SEGMENT_START, "1: 1 on the first row of a segment", "smallint", hidden=True),
            Column("segment_age_s", "s: since the segment started; a window of h seconds is warm from h on"),
        )

    def start(self) -> State:
        return {"last_row": record(ts=0, start=0, seen=False)}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        starts, age = np.empty(len(batch), np.int8), np.empty(len(batch))
        last_row = state["last_row"] = state["last_row"].copy()
        resets = np.zeros(len(batch), np.bool_)
        for column in self.inputs():
            resets |= batch[column] == 1.0
        find_starts(batch.ts, gap_ns(self.params["max_gap"]), resets, last_row, starts, age)
        return starts, age
