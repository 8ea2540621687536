"""Order books from a feed of level updates (L2): the best levels after each message.

The rows that come in are the updates of docs/order-books.md, in order of arrival; those that come out are books.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs import feed as feeds
from udfs import levels as books
from udfs import snapshots
from udfs.feed import BETWEEN, KEPT, LOGGED, LOST, MODE, WAITED, Feed
from udfs.jit import jit
from udfs.kernel import Array, Batch, Column, Kernel, State
from udfs.levels import Levels
from udfs.snapshots import Rows, Rules, give, let_go

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
def rebuild(
    updates: Updates,
    feed: Feed,
    levels: Levels,
    rules: Rules,
    watch: NDArray[np.int64],
    waiting: Rows,
    rows: Rows,
) -> int:
    """Apply the updates and write the ``rows`` that they give; the number of them."""
    n = 0
    for i in range(len(updates.ts)):
        ids = (updates.first[i], updates.last[i], updates.before[i])
        if feed.place[MODE] == BETWEEN:
            feeds.begin(feed, levels, watch, ids, updates.is_snapshot[i], updates.feed_break[i])
        side, price, size = updates.side[i], updates.price[i], updates.size[i]
        feeds.take(feed, levels, watch, ids, side, price, size, updates.ends[i])
        if updates.ends[i]:
            n = let_go(updates.ts[i], rules, watch, waiting, rows, n)
            if feeds.end(feed, levels, updates.last[i]):
                n, broken = give(levels, updates.ts[i], rules, watch, waiting, rows, n)
                if broken:
                    feeds.lose(feed, levels, watch)
    return n


class Book(Kernel):
    """Books from level updates."""

    name = "book"
    version = 5
    doc = "Order books from level updates (L2)"
    replaces_rows = True
    options = snapshots.OPTIONS

    def inputs(self) -> Sequence[str]:
        return ("side", "price", "size", "is_snapshot", "feed_break", "message_end", *_IDS)

    def integers(self) -> Sequence[str]:
        return _IDS

    def outputs(self) -> Sequence[Column]:
        return snapshots.columns(self.given["max_levels"])

    def start(self) -> State:
        return books.empty_levels() | feeds.start() | snapshots.start(self.given["max_levels"])

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        flags = (batch[name] == 1.0 for name in ("is_snapshot", "feed_break", "message_end"))
        columns = (batch[name] for name in ("side", "price", "size"))
        updates = Updates(batch.ts, *columns, *flags, *(batch[name] for name in _IDS))
        place = state["place"]
        feed = feeds.with_room(state, len(batch))
        levels = books.with_room(state, len(batch) + int(place[KEPT] + place[LOGGED]))
        rows = snapshots.room(self.given["max_levels"], int(updates.ends.sum()))
        watch, waiting = state["watch"].copy(), Rows(state["waiting_levels"].copy(), state["waiting_facts"].copy())
        count = rebuild(updates, feed, levels, snapshots.rules_of(self.given), watch, waiting, rows)
        state |= books.without_room(levels) | feeds.without_room(feed)
        state |= {"watch": watch, "waiting_levels": waiting.levels, "waiting_facts": waiting.facts}
        return snapshots.arrays(rows, count)

    def notes(self, state: State) -> Sequence[str]:
        return snapshots.waited(int(state["place"][WAITED]), int(state["place"][LOST]), "change", "snapshot")

    def waiting(self, state: State) -> Sequence[Array]:
        state["place"] = state["place"].copy()
        # A message whose last row is missing does not go on in the next partition.
        state["place"][MODE] = BETWEEN
        state["place"][WAITED] = state["place"][LOST] = 0
        return snapshots.take_waiting(state, self.given["max_levels"])
