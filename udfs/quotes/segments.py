"""Segments: stretches of rows without a gap. Lags and windows never reach over their ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import MAX_GAP, SEGMENT_START, SESSION, Array, Batch, Column, Kernel, NDArray, State, gap_ns, record


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


SESSION_DAY = Column("session_day", "1: days from 1970 to the date of the session", "bigint")
"""Column of kernels whose rows are bars."""


def session_changes(state: State, batch: Batch) -> NDArray[np.bool_]:
    """Mask of the rows in another session than the row before; moves ``state["session"]``."""
    days = np.concatenate((state["session"], batch[SESSION]))
    state["session"] = days[-1:].copy()
    return np.asarray((days[1:] != days[:-1]) & ~np.isnan(days[:-1]))


class Segments(Kernel):
    """Start and age of segments."""

    name = "segments"
    version = 3
    doc = "Segments between gaps, and their age"
    options = {"max_gap": MAX_GAP}

    def inputs(self) -> Sequence[str]:
        # An option of templates whose rows have the column.
        resets = ("feed_reset",) if self.params.get("feed_resets") else ()
        return (*resets, SESSION) if self.params.get("sessions") else resets

    def outputs(self) -> Sequence[Column]:
        return (
            Column(SEGMENT_START, "1: 1 on the first row of a segment", "smallint", hidden=True),
            Column("segment_age_s", "s: since the segment started; a window of h seconds is warm from h on"),
        )

    def start(self) -> State:
        session = {"session": np.full(1, math.nan)} if self.params.get("sessions") else {}
        return {"last_row": record(ts=0, start=0, seen=False), **session}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        starts, age = np.empty(len(batch), np.int8), np.empty(len(batch))
        last_row = state["last_row"] = state["last_row"].copy()
        resets = np.zeros(len(batch), np.bool_)
        if "feed_reset" in batch.columns:
            resets |= batch["feed_reset"] == 1.0
        if self.params.get("sessions"):
            resets |= session_changes(state, batch)
        find_starts(batch.ts, gap_ns(self.params["max_gap"]), resets, last_row, starts, age)
        return starts, age
