"""Trades beside rows: a tape, and kernels over it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from udfs.kernel import SEGMENT_START, Array, Batch, Floats, Ints, Kernel, NDArray, State, record
from udfs.options import Option
from udfs.windows.frames import Items, copied

SIGN = Option(
    type="str",
    default="aggressor",
    choices=["aggressor", "tick", "quote", "lee_ready", "aggressor_or_lee_ready"],
    doc="whose sign of a trade counts as its side: the aggressor's as sent, or that of a rule, which trades of a model"
    " of trades/liquidity.sql.j2 have",
    quiet=True,
)


class Tape(NamedTuple):
    """Valid trades beside the rows of a batch: row ``i`` is the first to see trades ``first[i]`` to ``end[i]``."""

    rows: Ints
    """Times of the rows (ns)."""
    starts: NDArray[np.bool_]
    """Mask of the rows at which a segment starts."""
    first: Ints
    end: Ints
    ts: Ints
    price: Floats
    amount: Floats
    side: NDArray[np.int8]
    """1: the taker bought, -1: the taker sold, 0: unknown."""

    @property
    def items(self) -> Items:
        """Trades as items of windows, which reach back to the first row of a segment."""
        return Items(self.rows, self.starts.astype(np.int8), self.ts, self.end, self.end)


def tape_of(batch: Batch, starts: NDArray[np.bool_]) -> Tape:
    """Trades of a batch that have a price and an amount."""
    trades, end = batch.trades, batch.trades_before
    assert trades is not None
    columns: tuple[Array, ...] = trades.ts, trades.price, trades.amount, trades.side
    valid = (trades.amount > 0) & (trades.amount < math.inf) & np.isfinite(trades.price)
    if not valid.all():
        end = np.concatenate((np.zeros(1, np.int64), np.cumsum(valid, dtype=np.int64)))[end]
        columns = tuple(column[valid] for column in columns)
    end = np.maximum.accumulate(end)
    return Tape(batch.ts, starts, np.concatenate((np.zeros(1, np.int64), end[:-1])), end, *columns)


class TradeKernel(Kernel):
    """Base of kernels over trades beside rows: ``measure`` fills a column per output."""

    reads_trades = True
    sees_trades_before_rows: ClassVar[bool] = False
    """Trades before the first row of all count; before the first row of a later segment none do."""

    @property
    def replaced(self) -> Collection[str]:
        """Arrays of the state that ``measure`` replaces and never writes to: large ones need not be copied."""
        return ()

    def inputs(self) -> Sequence[str]:
        return (SEGMENT_START,)

    def start(self) -> State:
        return {"segment": record(open=False)}

    @abstractmethod
    def measure(self, state: State, tape: Tape, batch: Batch, out: Floats) -> None:
        """Write the columns of a batch; moves ``state``, whose arrays are its own."""

    def skip(self, state: State, batch: Batch) -> None:
        """Move ``state`` over rows whose trades are unknown: the rows after them start as a segment does."""
        state |= self.start()

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        out = np.full((len(self.outputs()), len(batch)), math.nan)
        if out.size == 0:
            return list(out)
        moved = {name: array if name in self.replaced else copied(array) for name, array in state.items()}
        if batch.trades is None:
            self.skip(moved, batch)
        else:
            starts, segment = batch[SEGMENT_START] == 1, moved["segment"][0]
            if not segment.open:
                starts[0] = not self.sees_trades_before_rows
            segment.open = True
            self.measure(moved, tape_of(batch, starts), batch, out)
        state |= moved
        return list(out)
