"""What kernels that keep a book give: its best levels after a message, or after the last message of an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.jit import jit
from udfs.kernel import NANOSECONDS, Array, Column, State
from udfs.levels import ASK, BID, Levels, is_crossed
from udfs.options import Option

MAX_LEVELS = Option(type="int", default=20, ge=1, le=100, doc="levels given per side")
EMIT_INTERVAL = Option(
    type="float",
    default=0.0,
    ge=0,
    doc="seconds: one row per interval in which the book changed, its state after the last message; 0: after every one",
)
CROSSED_BOOKS = Option(
    type="str",
    default="hold",
    choices=["hold", "emit"],
    doc="hold: no rows while the best bid is above the best ask; emit: rows as they come",
)
MAX_CROSSED = Option(
    type="float", default=10.0, ge=0, doc="seconds after which a book that is held back as crossed counts as broken"
)
OPTIONS = {
    "max_levels": MAX_LEVELS,
    "emit_interval": EMIT_INTERVAL,
    "crossed_books": CROSSED_BOOKS,
    "max_crossed": MAX_CROSSED,
}

_DAY = 86_400 * NANOSECONDS
_PADDING = 24
_TS, _BID_LEVELS, _ASK_LEVELS, _RESET, _HELD, _PLACE = 0, 1, 2, 3, 4, 5
RESET, HELD, IS_CROSSED, CROSSED_SINCE, WAITING, PLACE = 0, 1, 2, 3, 4, 5
"""Of ``watch``: whether the feed broke since the last row; messages held back since then; whether the book is crossed
now, and since when (ns); whether a row waits for its interval to end; place in the feed of the message at hand."""


class Rules(NamedTuple):
    """When there is a row."""

    interval: int
    """ns; 0: after every message."""
    hold: bool
    """Not while the book is crossed."""
    max_crossed: int
    """ns: longer means that it is broken."""


class Rows(NamedTuple):
    """Rows that are being made."""

    levels: NDArray[np.float64]
    """Price and size of bids and asks by level, as the columns are; NaN where there is none."""
    facts: NDArray[np.int64]
    """Time, numbers of levels, whether it is the first after a break, messages held back before it, place in
    the feed."""


@jit
def _write(levels: Levels, ts: int, watch: NDArray[np.int64], rows: Rows, n: int) -> None:
    """Row ``n``: the book as it is."""
    depth = len(rows.levels) // 4
    for side in (BID, ASK):
        count = levels.counts[side]
        for i in range(depth):
            price = size = np.nan
            if i < count:
                key = levels.keys[side, count - 1 - i]
                price = key if side == BID else -key
                size = levels.sizes[side, count - 1 - i]
            rows.levels[4 * i + 2 * side, n] = price
            rows.levels[4 * i + 2 * side + 1, n] = size
    rows.facts[_TS, n] = ts
    rows.facts[_BID_LEVELS, n] = min(levels.counts[BID], depth)
    rows.facts[_ASK_LEVELS, n] = min(levels.counts[ASK], depth)
    rows.facts[_RESET, n] = watch[RESET]
    rows.facts[_HELD, n] = watch[HELD]
    rows.facts[_PLACE, n] = watch[PLACE]
    watch[RESET] = 0
    watch[HELD] = 0


@jit
def _interval(ts: int, length: int) -> int:
    """Number of an interval, counted from midnight UTC: none reaches into the next date."""
    return (ts // _DAY) * (_DAY // length + 1) + ts % _DAY // length


@jit
def let_go(ts: int, rules: Rules, watch: NDArray[np.int64], waiting: Rows, rows: Rows, n: int) -> int:
    """Give the row that waits if a message at ``ts`` is of a later interval; the number of rows then."""
    if watch[WAITING] == 0 or _interval(waiting.facts[_TS, 0], rules.interval) == _interval(ts, rules.interval):
        return n
    # Loops: assigning slices takes Numba four seconds more to compile.
    for k in range(len(rows.levels)):
        rows.levels[k, n] = waiting.levels[k, 0]
    for k in range(len(rows.facts)):
        rows.facts[k, n] = waiting.facts[k, 0]
    watch[WAITING] = 0
    return n + 1


@jit
def give(
    levels: Levels, ts: int, rules: Rules, watch: NDArray[np.int64], waiting: Rows, rows: Rows, n: int
) -> tuple[int, bool]:
    """The book after a whole message: the number of rows then, and whether it has been crossed for too long."""
    if rules.hold and is_crossed(levels):
        if watch[IS_CROSSED] == 0:
            watch[CROSSED_SINCE] = ts
        watch[IS_CROSSED] = 1
        watch[HELD] += 1
        return n, ts - watch[CROSSED_SINCE] > rules.max_crossed
    watch[IS_CROSSED] = 0
    watch[CROSSED_SINCE] = 0
    if rules.interval == 0:
        _write(levels, ts, watch, rows, n)
        return n + 1, False
    if watch[WAITING]:
        watch[RESET] |= waiting.facts[_RESET, 0]
        watch[HELD] += waiting.facts[_HELD, 0]
    _write(levels, ts, watch, waiting, 0)
    watch[WAITING] = 1
    return n, False


@jit
def break_off(levels: Levels, watch: NDArray[np.int64]) -> None:
    """The feed broke: what the book was, is no more."""
    levels.counts[:] = 0
    watch[RESET] = 1
    watch[IS_CROSSED] = 0
    watch[CROSSED_SINCE] = 0


def rules_of(given: Mapping[str, Any]) -> Rules:
    """The rules that the options give."""
    interval = round(given["emit_interval"] * NANOSECONDS)
    return Rules(interval, given["crossed_books"] == "hold", round(given["max_crossed"] * NANOSECONDS))


def start(depth: int) -> State:
    """What :func:`give` remembers, before the first message."""
    return {
        "watch": np.zeros(6, np.int64),
        "waiting_levels": np.zeros((4 * depth, 1)),
        "waiting_facts": np.zeros((6, 1), np.int64),
    }


def room(depth: int, count: int) -> Rows:
    """Room for so many rows."""
    # Columns a power of two apart would fall on the same lines of the cache.
    return Rows(np.zeros((4 * depth, count + _PADDING)), np.zeros((6, count), np.int64))


def columns(depth: int, placed: bool = False) -> Sequence[Column]:
    """Output columns, in the order of :func:`arrays`; with ``placed`` the place in the feed too."""
    levels = (
        Column(f"{side}_{field}_{i:02}", f"{unit}: {field} of {side} level {i}")
        for i in range(depth)
        for side in ("bid", "ask")
        for field, unit in (("price", "q"), ("size", "u"))
    )
    return (
        Column("ts", "time of the message", "timestamp"),
        Column("bid_levels", f"1: bid levels, at most {depth}", "smallint"),
        Column("ask_levels", f"1: ask levels, at most {depth}", "smallint"),
        *levels,
        Column("feed_reset", "1: the feed broke between the row before and this one", "boolean"),
        Column("held_messages", "1: messages held back since the row before, the book being crossed", "bigint"),
        *((Column("seq", "1: place in the feed of the last record of the message", "bigint"),) if placed else ()),
    )


def arrays(rows: Rows, count: int, placed: bool = False) -> Sequence[Array]:
    """The columns of the first ``count`` rows."""
    facts = rows.facts[:, :count]
    return (
        facts[_TS].copy(),
        facts[_BID_LEVELS].astype(np.int16),
        facts[_ASK_LEVELS].astype(np.int16),
        *(level[:count].copy() for level in rows.levels),
        facts[_RESET].astype(np.bool_),
        facts[_HELD].copy(),
        *((facts[_PLACE].copy(),) if placed else ()),
    )


def waited(waiting: int, lost: int, what: str, wanted: str) -> Sequence[str]:
    """Notes on messages of a partition that gave no rows, for want of a ``wanted``."""
    notes = []
    if lost:
        notes.append(f"{_counted(lost, what)} came before a {wanted}, and no book is made of them")
    if waiting:
        notes.append(
            f"no {wanted}: {_counted(waiting, what)} waited for one. Put one into the files, or begin with files that"
            " have one (docs/order-books.md says what it is for each feed)"
        )
    return notes


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def take_waiting(state: State, depth: int, placed: bool = False) -> Sequence[Array]:
    """The row that waits, which then waits no more: its interval ends with the partition."""
    waiting = Rows(state["waiting_levels"], state["waiting_facts"])
    given = arrays(waiting, int(state["watch"][WAITING]), placed)
    forget(state, depth)
    return given


def forget(state: State, depth: int) -> None:
    """Bring what is left of a row that waits no more to the form that a state has without one."""
    fresh = start(depth)
    watch = state["watch"].copy()
    watch[WAITING] = watch[PLACE] = 0
    state |= fresh | {"watch": watch}
