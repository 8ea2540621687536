"""Messages of a level feed: which of them the book takes, and what waits for a snapshot.

A message is a delta, which gives the new sizes of some levels, or a snapshot, which gives all levels. Snapshots of the
feed itself replace the book. Those from outside, asked for beside the feed (REST), have only the id of the last delta
that is in them; deltas that came before such a snapshot wait in a log, and a snapshot that comes before it is needed
waits itself. Sizes are absolute, so that only the ids decide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.jit import jit
from udfs.kernel import NO_INTEGER, Array, State
from udfs.levels import Levels, set_size
from udfs.snapshots import break_off

BETWEEN, PATCH, SKIP, SEED, KEEP, LOG = 0, 1, 2, 3, 4, 5
"""What becomes of the levels of the message at hand: there is none; they change the book; nothing; they become a book
that the log continues; they become the snapshot that waits; they go into the log."""
SYNCED, BOOK_ID, FROM_OUTSIDE, MODE, TOUCHED, KEPT, KEPT_ID, LOGGED, WAITED, LOST = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
"""Of ``place``: whether the book is known; the id up to which; whether by a snapshot from outside that no delta has
continued yet; what becomes of the message; whether it has a level; number of levels of the snapshot that waits, and
its id; number of rows in the log; of this partition, deltas that have waited for a snapshot since the book was last
known, and those before them that no book came of."""
_TAKE, _DROP, _GAP = 0, 1, 2
MOST_LOGGED = 200_000
"""Rows. A log that would become longer is begun anew: snapshots are newer than what it then loses."""
_FIRST, _LAST, _BEFORE = 0, 1, 2


class Changes(NamedTuple):
    """Levels in order of arrival."""

    side: NDArray[np.float64]
    """1 bid, -1 ask, NaN: no level, 0: a level that cannot be read."""
    price: NDArray[np.float64]
    size: NDArray[np.float64]


class Feed(NamedTuple):
    """Where a feed stands, and what waits."""

    place: NDArray[np.int64]
    kept: Changes
    """The levels of a snapshot from outside, for when the feed breaks."""
    log: Changes
    ids: NDArray[np.int64]
    """Of the log's rows: first and last id of the message, and the one before it."""
    ends: NDArray[np.bool_]
    """Of the log's rows: whether the message ends."""


@jit
def _verdict(place: NDArray[np.int64], first: int, last: int, before: int) -> int:
    """Whether the book takes a delta: it does, it has it already, or something between is missing."""
    if last == NO_INTEGER or place[BOOK_ID] == NO_INTEGER:
        return _TAKE
    book = place[BOOK_ID]
    if before == NO_INTEGER:
        if last <= book:
            return _DROP
        return _TAKE if first <= book + 1 else _GAP
    if place[FROM_OUTSIDE]:
        if last < book:
            return _DROP
        return _TAKE if first <= book or before <= book else _GAP
    if before == book:
        return _TAKE
    return _DROP if last <= book else _GAP


@jit
def lose(feed: Feed, levels: Levels, watch: NDArray[np.int64]) -> None:
    """The book is not known any more; nor was it where a feed broke before."""
    if feed.place[SYNCED]:
        break_off(levels, watch)
    feed.place[SYNCED] = 0
    feed.place[FROM_OUTSIDE] = 0
    feed.place[KEPT] = 0
    feed.place[LOGGED] = 0
    feed.place[KEPT_ID] = NO_INTEGER
    feed.place[BOOK_ID] = NO_INTEGER


@jit
def _use_kept(feed: Feed, levels: Levels, watch: NDArray[np.int64]) -> None:
    """The book becomes the snapshot that waits."""
    break_off(levels, watch)
    for k in range(feed.place[KEPT]):
        set_size(levels, feed.kept.side[k], feed.kept.price[k], feed.kept.size[k])
    feed.place[BOOK_ID] = feed.place[KEPT_ID]
    feed.place[FROM_OUTSIDE] = 1
    feed.place[KEPT] = 0
    feed.place[KEPT_ID] = NO_INTEGER


@jit
def _begin_delta(feed: Feed, levels: Levels, watch: NDArray[np.int64], first: int, last: int, before: int) -> int:
    place = feed.place
    if place[SYNCED] == 0:
        return LOG if last != NO_INTEGER else SKIP
    verdict = _verdict(place, first, last, before)
    if verdict == _GAP and place[KEPT_ID] != NO_INTEGER:
        _use_kept(feed, levels, watch)
        verdict = _verdict(place, first, last, before)
    if verdict == _GAP:
        lose(feed, levels, watch)
        return LOG
    return PATCH if verdict == _TAKE else SKIP


@jit
def _begin_snapshot(feed: Feed, levels: Levels, watch: NDArray[np.int64], first: int, last: int) -> int:
    place = feed.place
    if first == NO_INTEGER and last != NO_INTEGER:
        if place[SYNCED] == 0:
            levels.counts[:] = 0
            return SEED
        if place[BOOK_ID] != NO_INTEGER and last <= max(place[BOOK_ID], place[KEPT_ID]):
            return SKIP
        place[KEPT] = 0
        place[KEPT_ID] = NO_INTEGER
        return KEEP
    book = place[BOOK_ID]
    if place[SYNCED] and book != NO_INTEGER and first != NO_INTEGER and not book <= first <= book + 1:
        break_off(levels, watch)
    # What waited is older than this snapshot. That the book is replaced is no break by itself.
    place[LOST] += place[WAITED]
    place[WAITED] = 0
    place[SYNCED] = 0
    lose(feed, levels, watch)
    levels.counts[:] = 0
    place[SYNCED] = 1
    place[TOUCHED] = 1
    return PATCH


@jit
def begin(
    feed: Feed,
    levels: Levels,
    watch: NDArray[np.int64],
    ids: tuple[int, int, int],
    is_snapshot: bool,
    feed_break: bool,
) -> None:
    """A message starts: decide what becomes of it. ``ids``: first, last, the one before."""
    if feed_break:
        lose(feed, levels, watch)
    feed.place[TOUCHED] = 0
    if is_snapshot:
        feed.place[MODE] = _begin_snapshot(feed, levels, watch, ids[_FIRST], ids[_LAST])
    else:
        feed.place[MODE] = _begin_delta(feed, levels, watch, ids[_FIRST], ids[_LAST], ids[_BEFORE])


@jit
def _cannot_be_read(side: float, price: float, size: float) -> bool:
    """Whether a row stands for a level of which something is not known."""
    if np.isnan(side):
        return not (np.isnan(price) and np.isnan(size))
    return bool(side == 0.0 or np.isnan(price) or np.isnan(size))


@jit
def _spoil(feed: Feed, levels: Levels, watch: NDArray[np.int64]) -> None:
    """A level of the message at hand cannot be read: the message is of no use, nor is what it was to change."""
    place = feed.place
    if place[MODE] in (PATCH, LOG):
        lose(feed, levels, watch)
    elif place[MODE] == SEED:
        levels.counts[:] = 0
    elif place[MODE] == KEEP:
        place[KEPT] = 0
    place[MODE] = SKIP
    place[TOUCHED] = 1


@jit
def take(
    feed: Feed,
    levels: Levels,
    watch: NDArray[np.int64],
    ids: tuple[int, int, int],
    side: float,
    price: float,
    size: float,
    ends: bool,
) -> None:
    """One row of the message at hand."""
    place = feed.place
    mode = place[MODE]
    if place[SYNCED] == 0 and place[TOUCHED] == 0 and mode in (LOG, SKIP) and not np.isnan(side):
        place[WAITED] += 1
        place[TOUCHED] = 1
    if _cannot_be_read(side, price, size):
        _spoil(feed, levels, watch)
    elif mode == LOG:
        if place[LOGGED] == MOST_LOGGED:
            # Deltas after the lost ones do not fit any snapshot that is older than these.
            place[LOGGED] = 0
            place[MODE] = SKIP
            return
        n = place[LOGGED]
        feed.log.side[n], feed.log.price[n], feed.log.size[n] = side, price, size
        feed.ids[_FIRST, n], feed.ids[_LAST, n], feed.ids[_BEFORE, n] = ids
        feed.ends[n] = ends
        place[LOGGED] += 1
    elif np.isnan(side):
        return
    elif mode in (PATCH, SEED):
        set_size(levels, side, price, size)
        place[TOUCHED] = 1
    elif mode == KEEP:
        n = place[KEPT]
        feed.kept.side[n], feed.kept.price[n], feed.kept.size[n] = side, price, size
        place[KEPT] += 1


@jit
def _replay(feed: Feed, levels: Levels) -> None:
    """Continue a book from outside with the log. Where something is missing between them, the book is not known."""
    place = feed.place
    logged = place[LOGGED]
    place[LOGGED] = 0
    opening = 0
    verdict = _DROP
    for k in range(logged):
        if k == opening:
            verdict = _verdict(place, feed.ids[_FIRST, k], feed.ids[_LAST, k], feed.ids[_BEFORE, k])
            if verdict == _GAP:
                place[SYNCED] = 0
                place[BOOK_ID] = NO_INTEGER
                place[FROM_OUTSIDE] = 0
                levels.counts[:] = 0
                _shift(feed, k, logged)
                return
        if verdict == _TAKE and not np.isnan(feed.log.side[k]):
            set_size(levels, feed.log.side[k], feed.log.price[k], feed.log.size[k])
        if feed.ends[k]:
            opening = k + 1
            if verdict == _TAKE:
                place[BOOK_ID] = feed.ids[_LAST, k]
                place[FROM_OUTSIDE] = 0


@jit
def _shift(feed: Feed, begin: int, end: int) -> None:
    """Keep the rows of the log from ``begin`` on: the next snapshot may come before them."""
    for k in range(begin, end):
        to = k - begin
        feed.log.side[to], feed.log.price[to], feed.log.size[to] = feed.log.side[k], feed.log.price[k], feed.log.size[k]
        for which in range(3):
            feed.ids[which, to] = feed.ids[which, k]
        feed.ends[to] = feed.ends[k]
    feed.place[LOGGED] = end - begin


@jit
def end(feed: Feed, levels: Levels, last: int) -> bool:
    """The message ends: whether the book is another one now."""
    place = feed.place
    mode = place[MODE]
    place[MODE] = BETWEEN
    if mode == PATCH:
        place[FROM_OUTSIDE] = 0
        if last != NO_INTEGER:
            place[BOOK_ID] = last
        if place[BOOK_ID] >= place[KEPT_ID]:
            place[KEPT] = 0
            place[KEPT_ID] = NO_INTEGER
        return bool(place[TOUCHED])
    if mode == SEED:
        place[SYNCED] = 1
        place[FROM_OUTSIDE] = 1
        place[BOOK_ID] = last
        _replay(feed, levels)
        if place[SYNCED]:
            place[WAITED] = 0
    elif mode == KEEP:
        place[KEPT_ID] = last
    return False


def start() -> State:
    """Before the first message of a history."""
    place = np.zeros(10, np.int64)
    place[BOOK_ID] = place[KEPT_ID] = NO_INTEGER
    return {
        "place": place,
        "kept": np.empty((3, 0)),
        "log": np.empty((3, 0)),
        "ids": np.empty((3, 0), np.int64),
        "ends": np.empty(0, np.bool_),
    }


def with_room(state: State, room: int) -> Feed:
    """A feed to work on, with room for as many more rows."""
    kept, log, ids, ends = (_widened(state[name], room) for name in ("kept", "log", "ids", "ends"))
    return Feed(state["place"].copy(), Changes(*kept), Changes(*log), ids, ends)


def without_room(feed: Feed) -> State:
    """The state of a feed."""
    kept, logged = int(feed.place[KEPT]), int(feed.place[LOGGED])
    return {
        "place": feed.place,
        "kept": np.stack([part[:kept] for part in feed.kept]),
        "log": np.stack([part[:logged] for part in feed.log]),
        "ids": np.ascontiguousarray(feed.ids[:, :logged]),
        "ends": feed.ends[:logged].copy(),
    }


def _widened(array: Array, room: int) -> Array:
    wide = np.zeros((*array.shape[:-1], array.shape[-1] + room), array.dtype)
    wide[..., : array.shape[-1]] = array
    return wide
