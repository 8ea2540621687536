"""Items that rolling windows hold at each row: events in ``(t - h, t]`` of the row's segment.

Items are the rows themselves, or trades beside the rows. They lie in one history; a row sees its first ``end``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.jit import jit
from udfs.kernel import SEGMENT_START, Array, Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Items(NamedTuple):
    """New items of a batch, and the rows that look back on them."""

    rows: Ints
    """Times of the rows (ns)."""
    starts: NDArray[np.int8]
    """1 on rows that start a segment."""
    times: Ints
    """Times of the items (ns)."""
    begin: Ints
    """Number of items before the segment of each row that starts one."""
    end: Ints
    """Number of items up to each row."""


def rows_as_items(batch: Batch, known: NDArray[np.bool_]) -> Items:
    """Rows of a batch as items of their own windows; those that are not ``known`` are no items."""
    if known.all():
        begin = np.arange(len(known))
        return Items(batch.ts, batch[SEGMENT_START], batch.ts, begin, begin + 1)
    end = np.cumsum(known, dtype=np.int64)
    return Items(batch.ts, batch[SEGMENT_START], batch.ts[known], end - known, end)


def with_room(array: Array, more: int) -> Array:
    """Array with room for ``more`` items behind it."""
    wide = np.empty(len(array) + more, array.dtype)
    # As bytes: NumPy copies records field by field, which takes ten times as long.
    wide.view(np.uint8)[: array.nbytes] = array.view(np.uint8)
    return wide


def copy_from(array: Array, begin: int = 0) -> Array:
    """Copy of the items from ``begin`` on."""
    return array[begin:].view(np.uint8).copy().view(array.dtype)


class Frames(NamedTuple):
    """Windows of a batch's rows over a history of items, in a form that compiled functions take."""

    rows: Ints
    starts: NDArray[np.int8]
    times: Ints
    """Times of the history's items, new ones too."""
    end: Ints
    """Number of items up to each row."""
    spans: Ints
    """Lengths of the windows (ns)."""
    first: Ints
    """First item by row and window."""
    oldest: Ints
    """First item of the row's longest window."""


def find_frames(items: Items, history: Ints, spans: Ints, heads: Ints) -> Frames:
    """Windows of ``spans`` (ns) over a history's times and new items; ``heads`` carries them from batch to batch."""
    times, end = with_room(history, len(items.times)), items.end + len(history)
    times[len(history) :] = items.times
    first = np.empty((len(items.rows), len(spans)), np.int64)
    _find_first(items.rows, items.starts, times, items.begin + len(history), end, spans, heads, first)
    return Frames(items.rows, items.starts, times, end, spans, first, first.min(axis=1, initial=len(times)))


@jit
def _find_first(
    rows: Ints,
    starts: NDArray[np.int8],
    times: Ints,
    begin: Ints,
    end: Ints,
    spans: Ints,
    heads: Ints,
    first: Ints,
) -> None:
    for i in range(len(rows)):
        for k in range(len(spans)):
            head, edge = begin[i] if starts[i] else heads[k], rows[i] - spans[k]
            while head < end[i] and times[head] <= edge:
                head += 1
            heads[k] = first[i, k] = head
