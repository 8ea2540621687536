"""Sequence-number sync of an L2 delta feed with its snapshots.

A message is a delta, which gives the new sizes of some levels, or a snapshot, which gives all levels. Snapshots of the
feed itself replace the book. External ones, requested beside the feed (REST), have only the id of the last delta that
they include: deltas received before such a snapshot are buffered in a log, and a snapshot received before it is needed
is kept on standby. Sizes are absolute, so that only the ids decide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import NO_INTEGER, Array, Record, State, record
from udfs.orderbook.levels import BookSides, set_size
from udfs.orderbook.rows import RowWriter, break_off

BETWEEN, PATCH, SKIP, SEED, STAND_BY, LOG = 0, 1, 2, 3, 4, 5
"""Use of the levels of the current message: no message is open; change the book; ignore; start a book that the log
continues; become the standby snapshot; append to the log."""
_TAKE, _DROP, _GAP = 0, 1, 2
MOST_LOGGED = 200_000
"""Most rows of the log. A longer one is restarted: later snapshots are newer than the dropped rows."""
_LEVEL = {"side": 1.0, "price": 0.0, "amount": 0.0}
"""Side 1: bid, -1: ask, NaN: no level, 0: unreadable level."""


class FeedSync(NamedTuple):
    """Sync state of a book with its feed, and buffered messages."""

    at: Array
    """``synced``: the book is known, up to ``book_id``; ``from_outside``: by an external snapshot that no delta has
    continued yet. Current message: its ``mode``, and True if it ``touched`` a level. Number of levels of the
    ``standby`` snapshot, and its id; number of rows ``logged``. In this partition: deltas that have ``waited`` for a
    snapshot, or for the first change after an external one, and earlier deltas ``lost`` without a book."""
    standby: Array
    """Levels of an external snapshot, for when the feed breaks."""
    log: Array
    """Levels of deltas, with the ids of their message (first, last, previous); True on its last row."""


class Ids(NamedTuple):
    """Ids of a message, ``NO_INTEGER`` where it has none."""

    first: int
    last: int
    before: int


@jit
def _verdict(at: Record, ids: Ids) -> int:
    """Use of a delta: apply it, drop it as already applied, or a gap before it."""
    if ids.last == NO_INTEGER or at.book_id == NO_INTEGER:
        return _TAKE
    if ids.before == NO_INTEGER:
        if ids.last <= at.book_id:
            return _DROP
        return _TAKE if ids.first <= at.book_id + 1 else _GAP
    if at.from_outside:
        if ids.last < at.book_id:
            return _DROP
        return _TAKE if ids.first <= at.book_id or ids.before <= at.book_id else _GAP
    if ids.before == at.book_id:
        return _TAKE
    return _DROP if ids.last <= at.book_id else _GAP


@jit
def desync(feed: FeedSync, levels: BookSides, writer: RowWriter) -> None:
    """Drop the book, if it is synced, and everything buffered."""
    at = feed.at[0]
    if at.synced:
        break_off(levels, writer)
        at.waited = 0
    at.synced = at.from_outside = False
    at.standby = at.logged = 0
    at.standby_id = at.book_id = NO_INTEGER


@jit
def _use_standby(feed: FeedSync, levels: BookSides, writer: RowWriter) -> None:
    """Replace the book by the standby snapshot."""
    at = feed.at[0]
    break_off(levels, writer)
    for k in range(at.standby):
        level = feed.standby[k]
        set_size(levels, level.side, level.price, level.amount)
    at.book_id, at.standby_id = at.standby_id, NO_INTEGER
    at.from_outside = True
    at.standby = 0


@jit
def _begin_delta(feed: FeedSync, levels: BookSides, writer: RowWriter, ids: Ids) -> int:
    at = feed.at[0]
    if not at.synced:
        return LOG if ids.last != NO_INTEGER else SKIP
    verdict = _verdict(at, ids)
    if verdict == _GAP and at.standby_id != NO_INTEGER:
        _use_standby(feed, levels, writer)
        verdict = _verdict(at, ids)
    if verdict == _GAP:
        desync(feed, levels, writer)
        return LOG
    return PATCH if verdict == _TAKE else SKIP


@jit
def _begin_snapshot(feed: FeedSync, levels: BookSides, writer: RowWriter, ids: Ids) -> int:
    at = feed.at[0]
    if ids.first == NO_INTEGER and ids.last != NO_INTEGER:
        if not at.synced:
            levels.counts[:] = 0
            return SEED
        if at.book_id != NO_INTEGER and ids.last <= max(at.book_id, at.standby_id):
            return SKIP
        at.standby, at.standby_id = 0, NO_INTEGER
        return STAND_BY
    has_ids = at.book_id != NO_INTEGER and ids.first != NO_INTEGER
    if at.synced and has_ids and not at.book_id <= ids.first <= at.book_id + 1:
        break_off(levels, writer)
    # Waiting deltas are older than this snapshot. Replacing the book is no break by itself.
    if not at.synced:
        at.lost += at.waited
    at.waited = 0
    at.synced = False
    desync(feed, levels, writer)
    levels.counts[:] = 0
    at.synced = at.touched = True
    return PATCH


@jit
def begin(feed: FeedSync, levels: BookSides, writer: RowWriter, ids: Ids, is_snapshot: bool, feed_break: bool) -> None:
    """Begin a message: decide its use."""
    at = feed.at[0]
    if feed_break:
        desync(feed, levels, writer)
    at.touched = False
    if is_snapshot:
        at.mode = _begin_snapshot(feed, levels, writer, ids)
    else:
        at.mode = _begin_delta(feed, levels, writer, ids)


@jit
def cannot_be_read(side: float, price: float, size: float) -> bool:
    """True if a row has an incomplete level."""
    if np.isnan(side):
        return not (np.isnan(price) and np.isnan(size))
    return bool(side == 0.0 or np.isnan(price) or np.isnan(size))


@jit
def _spoil(feed: FeedSync, levels: BookSides, writer: RowWriter) -> None:
    """Drop the current message, which has an unreadable level, and the book that it was to change."""
    at = feed.at[0]
    if at.mode in (PATCH, LOG):
        desync(feed, levels, writer)
    elif at.mode == SEED:
        levels.counts[:] = 0
    elif at.mode == STAND_BY:
        at.standby = 0
    at.mode = SKIP
    at.touched = True


@jit
def take(
    feed: FeedSync, levels: BookSides, writer: RowWriter, ids: Ids, side: float, price: float, size: float, ends: bool
) -> None:
    """Process one row of the current message."""
    at = feed.at[0]
    mode = at.mode
    if not at.synced and not at.touched and mode in (LOG, SKIP) and not np.isnan(side):
        at.waited += 1
        at.touched = True
    if cannot_be_read(side, price, size):
        _spoil(feed, levels, writer)
    elif mode == LOG:
        if at.logged == MOST_LOGGED:
            # Deltas after the dropped ones do not fit any older snapshot.
            at.logged = 0
            at.mode = SKIP
            return
        row = feed.log[at.logged]
        row.side, row.price, row.amount, row.ends = side, price, size, ends
        row.first, row.last, row.before = ids.first, ids.last, ids.before
        at.logged += 1
    elif np.isnan(side):
        return
    elif mode in (PATCH, SEED):
        set_size(levels, side, price, size)
        at.touched = True
    elif mode == STAND_BY:
        level = feed.standby[at.standby]
        level.side, level.price, level.amount = side, price, size
        at.standby += 1


@jit
def _replay(feed: FeedSync, levels: BookSides) -> None:
    """Continue an external snapshot with the log; after a gap between them the book is unknown."""
    at, verdict, opens = feed.at[0], _DROP, True
    logged, at.logged = at.logged, 0
    for k in range(logged):
        row = feed.log[k]
        if opens:
            verdict = _verdict(at, Ids(row.first, row.last, row.before))
        if verdict == _GAP:
            at.synced = at.from_outside = False
            at.book_id = NO_INTEGER
            levels.counts[:] = 0
            # The next snapshot may come before the rest of the log.
            for j in range(k, logged):
                feed.log[j - k] = feed.log[j]
            at.logged = logged - k
            return
        if verdict == _TAKE and not np.isnan(row.side):
            set_size(levels, row.side, row.price, row.amount)
        opens = row.ends
        if opens and verdict == _TAKE:
            at.book_id = row.last
            at.from_outside = False


@jit
def end(feed: FeedSync, levels: BookSides, last: int) -> bool:
    """End the message; True if the book changed."""
    at = feed.at[0]
    mode = at.mode
    at.mode = BETWEEN
    if mode == PATCH:
        at.from_outside = False
        at.waited = 0
        if last != NO_INTEGER:
            at.book_id = last
        if at.book_id >= at.standby_id:
            at.standby, at.standby_id = 0, NO_INTEGER
        return bool(at.touched)
    if mode == SEED:
        at.synced = at.from_outside = True
        at.book_id = last
        _replay(feed, levels)
    elif mode == STAND_BY:
        at.standby_id = last
    return False


def start() -> State:
    """State before the first message of a history."""
    counts = dict.fromkeys(("mode", "standby", "logged", "waited", "lost"), 0)
    flags = dict.fromkeys(("synced", "from_outside", "touched"), False)
    at = record(book_id=NO_INTEGER, standby_id=NO_INTEGER, **counts, **flags)
    log = record(**_LEVEL, first=0, last=0, before=0, ends=False)
    return {"at": at, "standby": record(**_LEVEL)[:0], "log": log[:0]}


def with_room(state: State, room: int) -> FeedSync:
    """Working copy of the state with ``room`` for more rows."""
    return FeedSync(state["at"].copy(), *(_longer(state[name], room) for name in ("standby", "log")))


def _longer(array: Array, room: int) -> Array:
    """The array with ``room`` at its end for more items, which are nothing yet."""
    longer = np.empty(len(array) + room, array.dtype)
    longer[: len(array)] = array
    return longer


def without_room(feed: FeedSync) -> State:
    """State of the feed's sync."""
    at = feed.at[0]
    return {"at": feed.at, "standby": feed.standby[: at.standby].copy(), "log": feed.log[: at.logged].copy()}
