"""Order books from a feed of single orders (L3, market by order): the best levels after each event.

Actions and flags are those of Databento's schema MBO: https://databento.com/docs/schemas-and-data-formats/mbo and
https://databento.com/docs/standards-and-conventions/common-fields-enums-types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import NO_INTEGER, Array, Batch, NDArray, Record, State, record
from udfs.orderbook import levels as books
from udfs.orderbook import orders as tables
from udfs.orderbook import rows
from udfs.orderbook.bookkernel import BookKernel
from udfs.orderbook.levels import BookSides, change_size, is_price, set_size, side_row
from udfs.orderbook.orders import Orders
from udfs.orderbook.rows import RowWriter, break_off, emit, flush_interval

_ADD, _CANCEL, _MODIFY, _CLEAR = ord("A"), ord("C"), ord("M"), ord("R")
_LAST, _TOP_OF_BOOK, _SNAPSHOT, _MAYBE_BAD_BOOK = 128, 64, 32, 4


class Events(NamedTuple):
    """Records of a feed, in a form that compiled functions take."""

    ts: NDArray[np.int64]
    action: NDArray[np.int64]
    side: NDArray[np.float64]
    number: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    flags: NDArray[np.int64]


@jit
def _clear(orders: Orders, levels: BookSides) -> None:
    levels.counts[:] = 0
    if orders.used[0] > 0:
        orders.ids[:] = 0
        orders.sides[:] = 0
        orders.prices[:] = 0.0
        orders.sizes[:] = 0.0
        orders.used[0] = 0


@jit
def _desync(at: Record, orders: Orders, levels: BookSides, writer: RowWriter) -> None:
    """Drop the book after a gap: it is unknown until the feed clears it."""
    if at.synced:
        break_off(levels, writer)
    _clear(orders, levels)
    at.synced = False


@jit
def _add(orders: Orders, levels: BookSides, side: float, number: int, price: float, size: float) -> None:
    """Add an order; a known one of the same id is replaced."""
    at = tables.find(orders, number)
    if orders.sides[at] != 0:
        change_size(levels, orders.sides[at], orders.prices[at], -orders.sizes[at])
        tables.remove(orders, at)
        at = tables.find(orders, number)
    if size > 0.0 and is_price(price) and not np.isnan(side):
        tables.put(orders, at, number, 1 if side > 0 else -1, price, size)
        change_size(levels, side, price, size)


@jit
def _cancel(orders: Orders, levels: BookSides, number: int, size: float) -> None:
    """Reduce an order by ``size``; an unknown order is ignored."""
    at = tables.find(orders, number)
    if orders.sides[at] == 0 or np.isnan(size):
        return
    taken = min(size, orders.sizes[at])
    change_size(levels, orders.sides[at], orders.prices[at], -taken)
    orders.sizes[at] -= taken
    if orders.sizes[at] <= 0.0:
        tables.remove(orders, at)


@jit
def _modify(orders: Orders, levels: BookSides, side: float, number: int, price: float, size: float) -> None:
    """Change an order's price or size; an unknown order is added."""
    known = orders.sides[tables.find(orders, number)]
    if np.isnan(side) and known != 0:
        side = float(known)
    _add(orders, levels, side, number, price, size)


@jit
def _replace_side(levels: BookSides, side: float, price: float, size: float) -> None:
    """Replace a side by its best level, for venues that show no more."""
    if not np.isnan(side):
        levels.counts[side_row(side)] = 0
        set_size(levels, side, price, size)


@jit
def _apply(
    events: Events,
    i: int,
    at: Record,
    orders: Orders,
    levels: BookSides,
    writer: RowWriter,
) -> None:
    """Apply one record."""
    action, flags = events.action[i], events.flags[i]
    side, number, price, size = events.side[i], events.number[i], events.price[i], events.size[i]
    if flags & _MAYBE_BAD_BOOK and not flags & _SNAPSHOT:
        _desync(at, orders, levels, writer)
    if action == _CLEAR:
        if at.synced and not flags & _SNAPSHOT:
            break_off(levels, writer)
        _clear(orders, levels)
        at.synced = True
        at.lost += at.waited
        at.waited = 0
    elif flags & _TOP_OF_BOOK and action == _ADD:
        _replace_side(levels, side, price, size)
        at.synced = True
    elif not at.synced:
        if action in (_ADD, _CANCEL, _MODIFY):
            at.waited += 1
        return
    elif action == _ADD:
        _add(orders, levels, side, number, price, size)
    elif action == _CANCEL:
        _cancel(orders, levels, number, size)
    elif action == _MODIFY:
        _modify(orders, levels, side, number, price, size)
    else:
        return
    at.touched = True


@jit
def rebuild(events: Events, begin: int, state: Array, orders: Orders, levels: BookSides, writer: RowWriter) -> int:
    """Apply the records from ``begin`` on and emit rows, until the end or until ``orders`` is full.

    Gives the index of the first record that is left.
    """
    at, now = state[0], writer.now[0]
    for i in range(begin, len(events.ts)):
        if tables.is_full(orders):
            return i
        _apply(events, i, at, orders, levels, writer)
        if events.flags[i] & _LAST:
            flush_interval(events.ts[i], writer)
            now.seq = i
            if at.touched and at.synced and emit(levels, events.ts[i], writer):
                _desync(at, orders, levels, writer)
            at.touched = False
    return len(events.ts)


class BookMbo(BookKernel):
    """Books from single orders."""

    name = "book_mbo"
    version = 4
    doc = "Order books from single orders (L3, market by order)"
    keeps_seq = True
    reads = ("publisher_id", "action", "side", "order_id", "price", "size", "flags")
    ids = ("publisher_id", "action", "order_id", "flags")

    def start(self) -> State:
        own = {"at": record(waited=0, lost=0, synced=False, touched=False), "publisher": np.empty(0, np.int64)}
        return own | books.empty_levels() | tables.as_state(tables.empty(tables.FEWEST)) | super().start()

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        self._check(state, batch)
        events = Events(batch.ts, *(batch[name] for name in ("action", "side", "order_id", "price", "size", "flags")))
        levels, at, orders = books.with_room(state, len(batch)), state["at"].copy(), tables.of(state)
        writer = rows.writer_of(state, self.params, int(((events.flags & _LAST) != 0).sum()))
        done = 0
        while done < len(batch):
            if tables.is_full(orders):
                larger = tables.empty(2 * len(orders.ids))
                tables.move(orders, larger)
                orders = larger
            done = rebuild(events, done, at, orders, levels, writer)
        state |= books.without_room(levels) | tables.as_state(orders) | {"at": at}
        return self.emitted(state, writer, batch)

    def notes(self, state: State) -> Sequence[str]:
        at = state["at"][0]
        return rows.waiting_notes(int(at.waited), int(at.lost), "record", "clear (action R)")

    def waiting(self, state: State) -> Sequence[Array]:
        at = state["at"] = state["at"].copy()
        at[0].waited = at[0].lost = 0
        # Only here: the table's size must not depend on how the records are split into batches.
        state |= tables.as_state(tables.fitted(tables.of(state)))
        return self.take_pending(state)

    def _check(self, state: State, batch: Batch) -> None:
        """Refuse input that would give a wrong book: orders of several venues, and sizes whose sums are not exact."""
        found = np.union1d(state["publisher"], batch["publisher_id"])
        found = found[found != NO_INTEGER]
        if len(found) > 1:
            raise ValueError(
                f"{self.name}: records of publishers {', '.join(map(str, found))} for one book. Ids of orders are a"
                " publisher's own: let the adapter give each its own exchange"
            )
        state["publisher"] = found
        sizes = batch["size"]
        fractional = sizes[sizes != np.floor(sizes)]
        fractional = fractional[~np.isnan(fractional)]
        if len(fractional) > 0:
            raise ValueError(
                f"{self.name}: size {fractional[0]} is not a whole number. Let the adapter give sizes in lots"
            )
