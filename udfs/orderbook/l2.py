"""Order books from a feed of level updates (L2): the best levels after each message.

The rows that come in are the updates of docs/order-books.md, in order of arrival; those that come out are books.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Batch, NDArray, State
from udfs.orderbook import levels as books
from udfs.orderbook import rows, sync
from udfs.orderbook.bookkernel import BookKernel
from udfs.orderbook.levels import BookSides, set_size
from udfs.orderbook.rows import RowWriter, emit, flush_interval
from udfs.orderbook.sync import FeedSync, Ids

_IDS = ("first_id", "last_id", "prev_id")


class Updates(NamedTuple):
    """Rows of a feed, in a form that compiled functions take."""

    ts: NDArray[np.int64]
    side: NDArray[np.float64]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    is_snapshot: NDArray[np.bool_]
    feed_break: NDArray[np.bool_]
    ends: NDArray[np.bool_]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    before: NDArray[np.int64]


@jit
def _patch(feed: FeedSync, levels: BookSides, updates: Updates, begin: int) -> int:
    """Change the book by the rows of a message from ``begin`` on, as :func:`sync.take` does.

    Gives the first that is left: the last one of the message or of the batch, or one that is not a level.
    """
    i = begin
    while i < len(updates.ts) - 1 and not updates.ends[i]:
        side, price, size = updates.side[i], updates.price[i], updates.size[i]
        if np.isnan(side) or sync.cannot_be_read(side, price, size):
            break
        set_size(levels, side, price, size)
        i += 1
    if i > begin:
        feed.at[0].touched = True
    return i


@jit
def rebuild(updates: Updates, feed: FeedSync, levels: BookSides, writer: RowWriter) -> None:
    """Apply the updates and emit the rows that they give."""
    i = 0
    while i < len(updates.ts):
        ids = Ids(updates.first[i], updates.last[i], updates.before[i])
        if feed.at[0].mode == sync.BETWEEN:
            sync.begin(feed, levels, writer, ids, updates.is_snapshot[i], updates.feed_break[i])
        if feed.at[0].mode == sync.PATCH:
            i = _patch(feed, levels, updates, i)
        side, price, size = updates.side[i], updates.price[i], updates.size[i]
        sync.take(feed, levels, writer, ids, side, price, size, updates.ends[i])
        if updates.ends[i]:
            flush_interval(updates.ts[i], writer)
            writer.now[0].seq = i
            if sync.end(feed, levels, updates.last[i]) and emit(levels, updates.ts[i], writer):
                sync.desync(feed, levels, writer)
        i += 1


class L2Book(BookKernel):
    """Books from level updates."""

    name = "book"
    version = 5
    doc = "Order books from level updates (L2)"
    reads = ("side", "price", "size", "is_snapshot", "feed_break", "message_end", *_IDS)
    ids = _IDS

    def start(self) -> State:
        return books.empty_levels() | sync.start() | super().start()

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        flags = (batch[name] == 1.0 for name in ("is_snapshot", "feed_break", "message_end"))
        columns = (batch[name] for name in ("side", "price", "size"))
        updates = Updates(batch.ts, *columns, *flags, *(batch[name] for name in _IDS))
        feed = sync.with_room(state, len(batch))
        levels = books.with_room(state, len(feed.standby) + len(state["log"]))
        writer = rows.writer_of(state, self.params, int(updates.ends.sum()))
        rebuild(updates, feed, levels, writer)
        state |= books.without_room(levels) | sync.without_room(feed)
        return self.emitted(state, writer, batch)

    def notes(self, state: State) -> Sequence[str]:
        feed = state["at"][0]
        return rows.waiting_notes(int(feed.waited), int(feed.lost), "change", "snapshot", bool(feed.synced))

    def waiting(self, state: State) -> Sequence[Array]:
        at = state["at"] = state["at"].copy()
        # A message whose last row is missing does not go on in the next partition.
        at[0].mode = sync.BETWEEN
        at[0].waited = at[0].lost = 0
        return self.take_pending(state)
