"""Bars of equal volume, value or number of trades. Lopez de Prado 2018, chapter 2.

The output rows are parts of trades: a trade that fills a bar is split there, and each part carries the number of its
bar. Only full bars are emitted; the template aggregates their parts.
"""

from __future__ import annotations

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Batch, InLots, NDArray, State
from udfs.options import Option
from udfs.trades.lots import LOT_SIZE, coarser, count, size_in_lots
from udfs.trades.tradebars import BULK_BARS, CLASSIFICATION, TRADE_GAP, TradeBars

SPLIT_TRADES = Option(
    type="bool", default=True, doc="cut the trade that fills a bar; false: the whole trade belongs to that bar"
)
_MOST_PARTS = 50_000_000
"""Most parts of one batch, to bound memory."""
_MOST_LOTS = 1e13
"""Lots of a bar, so that even trades of thousands of bars can be counted."""


@jit
def count_parts(lots: NDArray[np.int64], size: int, filled: int) -> int:
    """Number of parts into which bars of ``size`` cut the trades, the first bar being ``filled`` so far."""
    parts = 0
    for i in range(len(lots)):
        parts += (filled + lots[i] - 1) // size + 1
        filled = (filled + lots[i]) % size
    return parts


@jit
def cut(
    lots: NDArray[np.int64],
    size: int,
    split: bool,
    state: Array,
    trade: NDArray[np.int64],
    bar: NDArray[np.int64],
    part: NDArray[np.int64],
) -> None:
    """Give each part the index of its trade, the number of its bar and its lots."""
    n, now = 0, state[0]
    for i in range(len(lots)):
        left = lots[i]
        while left > 0:
            taken = min(left, size - now.filled) if split else left
            trade[n] = i
            bar[n] = now.id
            part[n] = taken
            n += 1
            left -= taken
            now.filled += taken
            if now.filled >= size:
                now.id += 1
                now.filled = 0


class _Bars(TradeBars):
    """Base of kernels whose bars have one size."""

    version = 2

    @property
    def sized_by(self) -> str:
        """The option that gives the size of a bar."""
        return f"{self.name.removesuffix('s')}_size"

    def exponent(self) -> int:
        """The power of ten by which lots are coarser than ``lot_size``."""
        return coarser(self.params[self.sized_by], self.params["lot_size"], _MOST_LOTS)

    def lot(self) -> float:
        """Units of a lot."""
        return float(self.params["lot_size"] * 10.0 ** self.exponent())

    def size(self) -> int:
        """Lots of a full bar."""
        return size_in_lots(self.params[self.sized_by], self.params["lot_size"], self.exponent(), self.sized_by)

    def lots_per_unit(self) -> float:
        # 1 / lot_size is a whole number for 1e-8 and the like: divided by it, lots give the double that is nearest to
        # the decimal.
        return float(1 / self.params["lot_size"] / 10.0 ** self.exponent())

    def counted(self, price: NDArray[np.float64], amount: NDArray[np.float64]) -> NDArray[np.int64]:
        """Lots that each trade adds to a bar; 0 for a trade that does not count."""
        measured, lots = self.measure(price, amount), np.empty(len(price), np.int64)
        large = count(measured, self.lot(), lots)
        if large >= 0:
            bars = measured[large] / self.params[self.sized_by]
            raise ValueError(f"one trade would fill {bars:.3g} bars. Make them larger ({self.sized_by})")
        return lots

    def in_lots(self, state: State, batch: Batch) -> InLots | None:
        return InLots(self.measure(batch["price"], batch["amount"]), self.lot(), "bar")

    def volumes(
        self, amount: NDArray[np.float64], part: NDArray[np.int64], whole: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Volume of parts of ``part`` lots of trades of ``whole`` lots."""
        return np.asarray(amount * (part / whole))

    def start(self) -> State:
        self.size()
        return super().start()

    def parts(self, batch: Batch, bar: Array) -> tuple[State, NDArray[np.int64]]:
        lots = self.counted(batch["price"], batch["amount"])
        counts = np.flatnonzero(lots)
        lots, ts = lots[counts], batch.ts[counts]
        gap = self._gaps(ts, bar[0])
        size, split = self.size(), bool(self.params.get("split_trades", True))
        parts = count_parts(lots, size, bar[0].filled) if split else len(lots)
        if parts > _MOST_PARTS:
            raise ValueError(
                f"{len(lots)} trades would be cut into {parts} parts. Make the bars larger ({self.sized_by})"
            )
        trade, bars, part = np.empty(parts, np.int64), np.empty(parts, np.int64), np.empty(parts, np.int64)
        cut(lots, size, split, bar, trade, bars, part)
        row = counts[trade]
        is_rest = np.zeros(parts, np.bool_)
        is_rest[1:] = trade[1:] == trade[:-1]
        side = batch["side"][row]
        return {
            "ts": ts[trade],
            "price": batch["price"][row],
            "volume": self.volumes(batch["amount"][row], part, lots[trade]),
            "side": np.where(np.isnan(side), 0.0, side).astype(np.int16),
            "lots": part,
            "split": part != lots[trade],
            "gap": gap[trade] & ~is_rest,
        }, bars


class VolumeBars(_Bars):
    """Bars of equal traded volume."""

    name = "volume_bars"
    doc = "Parts of trades by bar of equal volume"
    options = {
        "volume_bar_size": Option(type="float", default=1.0, gt=0, doc="volume of a bar"),
        "split_trades": SPLIT_TRADES,
        "lot_size": LOT_SIZE,
        "max_gap": TRADE_GAP,
        "classification": CLASSIFICATION,
        "bulk_bars": BULK_BARS,
    }

    def measure(self, price: NDArray[np.float64], amount: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.isnan(price), np.nan, amount)

    def volumes(
        self, amount: NDArray[np.float64], part: NDArray[np.int64], whole: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        # The number of lots, so that a bar has its size.
        return np.asarray(part / self.lots_per_unit())


class DollarBars(_Bars):
    """Bars of equal traded value, price times volume."""

    name = "dollar_bars"
    doc = "Parts of trades by bar of equal value"
    options = {
        "dollar_bar_size": Option(type="float", default=1e5, gt=0, doc="value of a bar in the quote currency"),
        "split_trades": SPLIT_TRADES,
        "lot_size": LOT_SIZE,
        "max_gap": TRADE_GAP,
        "classification": CLASSIFICATION,
        "bulk_bars": BULK_BARS,
    }

    def measure(self, price: NDArray[np.float64], amount: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(amount > 0, price * amount, np.nan)


class TickBars(_Bars):
    """Bars of an equal number of trades."""

    name = "tick_bars"
    doc = "Trades by bar of an equal number of trades"
    options = {
        "tick_bar_size": Option(type="int", default=100, gt=0, doc="number of trades of a bar"),
        "max_gap": TRADE_GAP,
        "classification": CLASSIFICATION,
        "bulk_bars": BULK_BARS,
    }

    def measure(self, price: NDArray[np.float64], amount: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((amount > 0) & ~np.isnan(price), np.float64)

    def exponent(self) -> int:
        return 0

    def in_lots(self, state: State, batch: Batch) -> None:
        return None

    def size(self) -> int:
        return int(self.params["tick_bar_size"])

    def lots_per_unit(self) -> float:
        return 1.0

    def counted(self, price: NDArray[np.float64], amount: NDArray[np.float64]) -> NDArray[np.int64]:
        return self.measure(price, amount).astype(np.int64)
