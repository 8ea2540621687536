"""The rows of one day as feeds would deliver them, still as flat arrays.

A feed is a list of row numbers into the simulated day plus what faults change about each row. Book levels stay in
ticks and lots until a chunk of rows becomes Arrow, so that a day costs its integers and no more.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from sqlgen.sample.instruments import Ints

Bools = NDArray[np.bool_]


class FeedRows(Struct, frozen=True):
    """Rows of one kind on one day, in the order in which they are written. All arrays have the same length."""

    source: Ints
    """Index of the snapshot, trade or ticker behind the row."""
    ms: Ints
    """Exchange time, milliseconds since midnight; decides the partition."""
    capture_us: Ints
    """Time of capture, microseconds since midnight (may pass the next midnight)."""
    no_time: Bools
    """The exchange time is not delivered."""
    late: Bools
    """The row stands in the late file."""
    no_side: Bools
    """Trades: the side is not delivered."""
    bid_levels: Ints
    ask_levels: Ints
    """Order book: levels delivered; 0 for an empty list, -1 for NULL."""
    cross: Ints
    """Order book: ticks by which the bids are shifted up beyond the best ask; -1 for rows left alone."""

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: Ints | Bools) -> FeedRows:
        """Some of the rows, in the order given."""
        return structs.replace(self, **{name: column[rows] for name, column in structs.asdict(self).items()})


def new_feed(rng: np.random.Generator, ms: Ints, levels: int = 0) -> FeedRows:
    """A faultless feed of rows at ``ms`` (sorted), captured some tens of milliseconds later, never out of order."""
    n = len(ms)
    latency = np.exp(rng.normal(np.log(35_000.0), 0.35, n)).astype(np.int64)
    capture = np.maximum.accumulate(ms * 1000 + latency) if n else latency
    no = np.zeros(n, np.bool_)
    depth = np.full(n, levels, np.int64)
    return FeedRows(np.arange(n), ms, capture, no, no, no, depth, depth, np.full(n, -1, np.int64))
