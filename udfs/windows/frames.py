"""Items that rolling windows hold at each row: events in ``(t - h, t]`` of the row's segment.

Items are the rows themselves, or trades beside the rows. They lie in one history; a row sees its first ``end``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import SEGMENT_START, Array, Batch, Ints, NDArray


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


def copied(array: Array) -> Array:
    """Copy, as bytes: NumPy copies records field by field, which takes ten times as long."""
    return array.view(np.uint8).copy().view(array.dtype)


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


@jit
def find_frames(items: Items, history: Ints, spans: Ints, heads: Ints) -> Frames:
    """Windows of ``spans`` (ns) over a history's times and new items; ``heads`` carries them from batch to batch."""
    old, rows, starts = len(history), items.rows, items.starts
    times, begin, end = np.empty(old + len(items.times), np.int64), items.begin + old, items.end + old
    times[:old], times[old:] = history, items.times
    first, oldest = np.empty((len(rows), len(spans)), np.int64), np.full(len(rows), len(times), np.int64)
    for i in range(len(rows)):
        for k in range(len(spans)):
            head, edge = begin[i] if starts[i] else heads[k], rows[i] - spans[k]
            while head < end[i] and times[head] <= edge:
                head += 1
            heads[k] = first[i, k] = head
            oldest[i] = min(oldest[i], head)
    return Frames(rows, starts, times, end, spans, first, oldest)


@jit
def open_frames(items: Items, spans: Ints, times: Ints, history: Array, heads: Ints) -> tuple[Frames, Array, Ints]:
    """Frames of a batch, and what a loop writes to: the history with room for the new items, and heads."""
    moved = heads.copy()
    frames = find_frames(items, times, spans, moved)
    wide = np.empty(len(frames.times), history.dtype)
    wide[: len(history)] = history
    return frames, wide, moved


@jit
def close_frames(frames: Frames, history: Array, heads: Ints, low: int) -> tuple[Ints, Array, Ints]:
    """Times, history and heads without the items before ``low``."""
    if 2 * low > len(history):
        return frames.times[low:].copy(), history[low:].copy(), heads - low
    return frames.times[low:], history[low:], heads - low
