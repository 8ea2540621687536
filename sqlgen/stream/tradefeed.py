"""Trades beside the rows of a model: pulled from Arrow as the rows need them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlgen.published.states import Snapshot
from sqlgen.stream.arrays import integers, numbers, times, values
from udfs import NO_INTEGER, Array, Trades

TRADE_COLUMNS = ("ts", "price", "amount", "side", "seq")
"""``seq`` only where rows and trades share a feed."""
NO_TRADES = Trades(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.float64), np.empty(0, np.int8))


class NotInOrder(Exception):  # noqa: N818 - not an error: the statement is run again, sorted
    """Rows do not come in time order."""


class TradeFeed:
    """Trades in time order, handed out up to a time."""

    def __init__(self, reader: Iterable[pa.RecordBatch] | None, pending: Trades = NO_TRADES) -> None:
        self._batches: Iterator[pa.RecordBatch] = iter(reader) if reader is not None else iter(())
        self._held = pending
        self._pulled: int | None = None
        """Time of the last trade that was read. Those that were pending may be later."""

    def up_to(self, ts: int, seq: int | None = None) -> Trades:
        """Trades not handed out yet and not later than ``ts``.

        Where rows and trades share a feed, those at ``ts`` are not later in it than ``seq``.
        """
        while self._pulled is None or self._pulled <= ts:
            if not self._pull():
                break
        end = int(np.searchsorted(self._held.ts, ts, side="right"))
        if seq is not None and self._held.seq is not None:
            begin = int(np.searchsorted(self._held.ts, ts, side="left"))
            end = begin + int(np.searchsorted(self._held.seq[begin:end], seq, side="right"))
        taken, self._held = _cut(self._held, 0, end), _cut(self._held, end, len(self._held))
        return taken

    def rest(self) -> Trades:
        """All remaining trades."""
        while self._pull():
            pass
        return self._held

    def _pull(self) -> bool:
        batch = next(self._batches, None)
        if batch is None:
            return False
        came = _trades(batch)
        if len(came) == 0:
            return True
        if np.any(came.ts[1:] < came.ts[:-1]) or (self._pulled is not None and came.ts[0] < self._pulled):
            raise NotInOrder
        held = came
        if len(self._held):
            before = _with_seq(self._held) if came.seq is not None else self._held
            held = Trades(*(np.concatenate(pair) for pair in zip(fields(before), fields(came), strict=True)))
            if came.ts[0] < before.ts[-1]:
                # Pending trades of the day before may be later than the first trade of this day, which came late.
                order = np.argsort(held.ts, kind="stable")
                held = Trades(*(part[order] for part in fields(held)))
        self._pulled = int(came.ts[-1])
        self._held = held
        return True


def pending_trades(snapshot: Snapshot) -> Trades:
    """The pending trades of a state."""
    if not snapshot.trades:
        return NO_TRADES
    return Trades(*(snapshot.trades[name] for name in TRADE_COLUMNS if name in snapshot.trades))


def _trades(batch: pa.RecordBatch) -> Trades:
    side = values(batch.column("side").cast(pa.int8()), 0)
    return Trades(
        times(batch.column("ts")),
        numbers(batch.column("price"), "price"),
        numbers(batch.column("amount"), "amount"),
        side,
        positions(batch),
    )


def positions(batch: pa.RecordBatch) -> NDArray[np.int64] | None:
    """The column ``seq``, if there is one."""
    if "seq" not in batch.schema.names or not pa.types.is_integer(batch.schema.field("seq").type):
        return None
    return integers(batch.column("seq"), "seq")


def _with_seq(trades: Trades) -> Trades:
    """The trades with their position in the feed; those of a state without positions come first."""
    if trades.seq is not None:
        return trades
    return Trades(trades.ts, trades.price, trades.amount, trades.side, np.full(len(trades), NO_INTEGER))


def fields(trades: Trades) -> tuple[Array, ...]:
    """Columns of trades, ``seq`` last if they have it."""
    known = trades.ts, trades.price, trades.amount, trades.side
    return known if trades.seq is None else (*known, trades.seq)


def _cut(trades: Trades, start: int, end: int) -> Trades:
    return Trades(*(part[start:end] for part in fields(trades)))
