"""Rows of books: the best levels after a message, or after the last message of an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import NANOSECONDS, Array, Column, Floats, Ints, Record, State, record
from udfs.options import Option
from udfs.orderbook.levels import ASK, BID, BookSides, is_crossed

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

EARLIER = -1
"""Index of an input row of a batch before."""
_DAY = 86_400 * NANOSECONDS
_PADDING = 24


class EmitRules(NamedTuple):
    """Options as numbers."""

    interval: int
    """ns; 0: after every message."""
    hold: bool
    """Not while the book is crossed."""
    max_crossed: int
    """ns: longer means that it is broken."""


class Rows(NamedTuple):
    """Rows of books."""

    levels: Floats
    """Price and size of bids and asks by level, in column order; NaN without a level."""
    facts: Array
    """Time; numbers of levels; whether it is the first row after a break (``reset``); messages ``held`` back before
    it; ``seq``: in a batch, index of the input row that ended the message, or ``EARLIER``; in a state, place in the
    feed."""


class RowWriter(NamedTuple):
    """Output rows, and the pending one, whose interval has not ended."""

    rules: EmitRules
    now: Array
    """``reset``: the feed broke since the last row; messages ``held`` back since then; the book ``is_crossed``, and
    since when (ns); a row is ``pending``; ``seq``: index in the batch of the row that ends the message at hand."""
    pending: Rows
    rows: Rows
    emitted: Ints
    """Number of rows, one element."""


@jit
def _write(levels: BookSides, ts: int, now: Record, rows: Rows, n: int) -> None:
    """Write the book as row ``n``."""
    depth, fact = len(rows.levels) // 4, rows.facts[n]
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
    fact.ts = ts
    fact.bid_levels, fact.ask_levels = min(levels.counts[BID], depth), min(levels.counts[ASK], depth)
    fact.reset, fact.held, fact.seq = now.reset, now.held, now.seq
    now.reset = False
    now.held = 0


@jit
def _interval(ts: int, length: int) -> int:
    """Number of an interval, counted from midnight UTC: none reaches into the next date."""
    return (ts // _DAY) * (_DAY // length + 1) + ts % _DAY // length


@jit
def flush_interval(ts: int, writer: RowWriter) -> None:
    """Emit the pending row if a message at ``ts`` is of a later interval."""
    now, pending, rows, length = writer.now[0], writer.pending, writer.rows, writer.rules.interval
    if not now.pending or _interval(pending.facts[0].ts, length) == _interval(ts, length):
        return
    n = writer.emitted[0]
    # A loop: assigning slices takes Numba four seconds more to compile.
    for k in range(len(rows.levels)):
        rows.levels[k, n] = pending.levels[k, 0]
    rows.facts[n] = pending.facts[0]
    now.pending = False
    writer.emitted[0] += 1


@jit
def emit(levels: BookSides, ts: int, writer: RowWriter) -> bool:
    """Emit the book after a whole message, unless it is crossed; True if it has been crossed for too long."""
    now, rules = writer.now[0], writer.rules
    if rules.hold and is_crossed(levels):
        if not now.is_crossed:
            now.crossed_since = ts
        now.is_crossed = True
        now.held += 1
        return bool(ts - now.crossed_since > rules.max_crossed)
    now.is_crossed = False
    now.crossed_since = 0
    if rules.interval == 0:
        _write(levels, ts, now, writer.rows, writer.emitted[0])
        writer.emitted[0] += 1
        return False
    if now.pending:
        now.reset |= writer.pending.facts[0].reset
        now.held += writer.pending.facts[0].held
    _write(levels, ts, now, writer.pending, 0)
    now.pending = True
    return False


@jit
def break_off(levels: BookSides, writer: RowWriter) -> None:
    """Empty the book, because the feed broke."""
    now = writer.now[0]
    levels.counts[:] = 0
    now.reset = True
    now.is_crossed = False
    now.crossed_since = 0


def start(depth: int) -> State:
    """State of the writer before the first message."""
    now = record(held=0, crossed_since=0, seq=0, reset=False, is_crossed=False, pending=False)
    return {"output": now, "pending_levels": np.zeros((4 * depth, 1)), "pending_facts": _facts(1)}


def _facts(count: int) -> Array:
    return np.repeat(record(ts=0, bid_levels=0, ask_levels=0, held=0, seq=0, reset=False), count)


def writer_of(state: State, params: Mapping[str, Any], count: int) -> RowWriter:
    """Writer to work on, with room for ``count`` rows."""
    interval, crossed = round(params["emit_interval"] * NANOSECONDS), round(params["max_crossed"] * NANOSECONDS)
    # Columns a power of two apart would fall on the same lines of the cache.
    rows = Rows(np.zeros((4 * params["max_levels"], count + _PADDING)), _facts(count))
    pending = Rows(state["pending_levels"].copy(), state["pending_facts"].copy())
    pending.facts["seq"] = EARLIER
    rules = EmitRules(interval, params["crossed_books"] == "hold", crossed)
    return RowWriter(rules, state["output"].copy(), pending, rows, np.zeros(1, np.int64))


def state_of(writer: RowWriter) -> State:
    """State of the writer."""
    levels, facts = writer.pending
    writer.now[0].seq = 0
    return {"output": writer.now, "pending_levels": levels, "pending_facts": facts}


def columns(depth: int) -> Sequence[Column]:
    """Output columns, in the order of :func:`arrays`."""
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
    )


def arrays(rows: Rows, count: int) -> Sequence[Array]:
    """Columns of the first ``count`` rows."""
    facts = rows.facts[:count]
    return (
        facts["ts"].copy(),
        facts["bid_levels"].astype(np.int16),
        facts["ask_levels"].astype(np.int16),
        *(level[:count].copy() for level in rows.levels),
        facts["reset"].copy(),
        facts["held"].copy(),
    )


def carried(column: Ints, facts: Array, before: Ints) -> Ints:
    """Values of a batch's column where the messages of rows end; ``before``: of the row that was pending before it."""
    found: Ints = np.append(column, before)[facts["seq"]]  # of which EARLIER is the last one
    return found


def waiting_notes(waiting: int, lost: int, what: str, wanted: str, found: bool = False) -> Sequence[str]:
    """Notes on messages of a partition without rows, as no ``wanted`` came, or none after the one ``found``."""
    notes = []
    if lost:
        notes.append(f"{_counted(lost, what)} came before a {wanted}, and no book is made of them")
    if waiting and found:
        notes.append(
            f"{_counted(waiting, what)} came before a {wanted}, and none after it: the {what} that continues it gives"
            " the first row"
        )
    elif waiting:
        notes.append(
            f"no {wanted}: {_counted(waiting, what)} waited for one. Put one into the files, or begin with files that"
            " have one (docs/order-books.md says what it is for each feed)"
        )
    return notes


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"
