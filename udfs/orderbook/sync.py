"""Sequence-number sync of an L2 delta feed with its snapshots.

A message is a delta, which gives the new sizes of some levels, or a snapshot, which gives all levels. Snapshots of the
feed itself replace the book. Those from outside, asked for beside the feed (REST), have only the id of the last delta
that is in them; deltas that came before such a snapshot wait in a log, and a snapshot that comes before it is needed
stands by. Sizes are absolute, so that only the ids decide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import NO_INTEGER, Array, Record, State, record
from udfs.orderbook.levels import Levels, set_size
from udfs.orderbook.rows import Output, break_off

BETWEEN, PATCH, SKIP, SEED, STAND_BY, LOG = 0, 1, 2, 3, 4, 5
"""Use of the levels of the message at hand: there is no message; they change the book; none; they become a book that
the log continues; they become the snapshot that stands by; they go into the log."""
_TAKE, _DROP, _GAP = 0, 1, 2
MOST_LOGGED = 200_000
"""Rows. A log that would become longer is begun anew: snapshots are newer than what it then loses."""
_LEVEL = {"side": 1.0, "price": 0.0, "amount": 0.0}
"""Side 1: bid, -1: ask, NaN: no level, 0: a level that cannot be read."""


class Feed(NamedTuple):
    """Position of the book in its feed, and messages that wait."""

    at: Array
    """``synced``: the book is known, up to ``book_id``, ``from_outside`` by a snapshot that no delta has continued yet.
    Of the message at hand: its ``mode``, and whether it ``touched`` a level. Levels of the snapshot that stands by, and
    its id; rows ``logged``. Of this partition, deltas that have ``waited`` for a snapshot since the book was last
    known, and deltas ``lost`` before them that no book came of."""
    standby: Array
    """Levels of a snapshot from outside, for when the feed breaks."""
    log: Array
    """Levels of deltas, with the ids of their message: first, last, the one before it; and whether it ends."""


class Ids(NamedTuple):
    """Ids of a message, ``NO_INTEGER`` where it has none."""

    first: int
    last: int
    before: int


@jit
def _verdict(at: Record, ids: Ids) -> int:
    """Use of a delta for the book: it takes it, has it already, or something between is missing."""
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
def lose(feed: Feed, levels: Levels, output: Output) -> None:
    """Forget the book; it may have been lost before."""
    at = feed.at[0]
    if at.synced:
        break_off(levels, output)
    at.synced = at.from_outside = False
    at.standby = at.logged = 0
    at.standby_id = at.book_id = NO_INTEGER


@jit
def _use_standby(feed: Feed, levels: Levels, output: Output) -> None:
    """Make the snapshot that stands by the book."""
    at = feed.at[0]
    break_off(levels, output)
    for k in range(at.standby):
        level = feed.standby[k]
        set_size(levels, level.side, level.price, level.amount)
    at.book_id, at.standby_id = at.standby_id, NO_INTEGER
    at.from_outside = True
    at.standby = 0


@jit
def _begin_delta(feed: Feed, levels: Levels, output: Output, ids: Ids) -> int:
    at = feed.at[0]
    if not at.synced:
        return LOG if ids.last != NO_INTEGER else SKIP
    verdict = _verdict(at, ids)
    if verdict == _GAP and at.standby_id != NO_INTEGER:
        _use_standby(feed, levels, output)
        verdict = _verdict(at, ids)
    if verdict == _GAP:
        lose(feed, levels, output)
        return LOG
    return PATCH if verdict == _TAKE else SKIP


@jit
def _begin_snapshot(feed: Feed, levels: Levels, output: Output, ids: Ids) -> int:
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
        break_off(levels, output)
    # What waited is older than this snapshot. That the book is replaced is no break by itself.
    at.lost += at.waited
    at.waited = 0
    at.synced = False
    lose(feed, levels, output)
    levels.counts[:] = 0
    at.synced = at.touched = True
    return PATCH


@jit
def begin(feed: Feed, levels: Levels, output: Output, ids: Ids, is_snapshot: bool, feed_break: bool) -> None:
    """Decide the use of a message that starts."""
    at = feed.at[0]
    if feed_break:
        lose(feed, levels, output)
    at.touched = False
    if is_snapshot:
        at.mode = _begin_snapshot(feed, levels, output, ids)
    else:
        at.mode = _begin_delta(feed, levels, output, ids)


@jit
def _cannot_be_read(side: float, price: float, size: float) -> bool:
    """True if a row stands for a level of which something is not known."""
    if np.isnan(side):
        return not (np.isnan(price) and np.isnan(size))
    return bool(side == 0.0 or np.isnan(price) or np.isnan(size))


@jit
def _spoil(feed: Feed, levels: Levels, output: Output) -> None:
    """Drop the message at hand, of which a level cannot be read, and the book that it was to change."""
    at = feed.at[0]
    if at.mode in (PATCH, LOG):
        lose(feed, levels, output)
    elif at.mode == SEED:
        levels.counts[:] = 0
    elif at.mode == STAND_BY:
        at.standby = 0
    at.mode = SKIP
    at.touched = True


@jit
def take(
    feed: Feed, levels: Levels, output: Output, ids: Ids, side: float, price: float, size: float, ends: bool
) -> None:
    """Take one row of the message at hand."""
    at = feed.at[0]
    mode = at.mode
    if not at.synced and not at.touched and mode in (LOG, SKIP) and not np.isnan(side):
        at.waited += 1
        at.touched = True
    if _cannot_be_read(side, price, size):
        _spoil(feed, levels, output)
    elif mode == LOG:
        if at.logged == MOST_LOGGED:
            # Deltas after the lost ones do not fit any snapshot that is older than these.
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
def _replay(feed: Feed, levels: Levels) -> None:
    """Continue a book from outside with the log. Where something is missing between them, the book is not known."""
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
def end(feed: Feed, levels: Levels, last: int) -> bool:
    """End the message; True if the book is another one now."""
    at = feed.at[0]
    mode = at.mode
    at.mode = BETWEEN
    if mode == PATCH:
        at.from_outside = False
        if last != NO_INTEGER:
            at.book_id = last
        if at.book_id >= at.standby_id:
            at.standby, at.standby_id = 0, NO_INTEGER
        return bool(at.touched)
    if mode == SEED:
        at.synced = at.from_outside = True
        at.book_id = last
        _replay(feed, levels)
        if at.synced:
            at.waited = 0
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


def with_room(state: State, room: int) -> Feed:
    """Feed to work on, with room for as many more rows."""
    standby, log = (np.concatenate((state[name], np.zeros(room, state[name].dtype))) for name in ("standby", "log"))
    return Feed(state["at"].copy(), standby, log)


def without_room(feed: Feed) -> State:
    """State of a feed."""
    at = feed.at[0]
    return {"at": feed.at, "standby": feed.standby[: at.standby].copy(), "log": feed.log[: at.logged].copy()}
