"""Tickers: the touch of the book, and statistics of the trades of the last 24 hours."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from sqlgen.sample.instruments import Ints
from sqlgen.sample.market import MarketDay
from sqlgen.sample.state import Fills

_ROWS_PER_TICKER = 4


class TickerDay(Struct, frozen=True):
    """Ticker rows of a day in ticks and lots; ``quote`` is in ticks times lots.

    The window is ``(t - 24 h, t]``. Where ``count`` is 0 it holds no trade and the trade columns mean nothing.
    """

    rows: Ints
    """(n,) snapshots at which a ticker is sent."""
    count: Ints
    last: Ints
    open: Ints
    high: Ints
    low: Ints
    base: Ints
    quote: Ints


class _DayTrades:
    """Trades of a day with running and backward statistics; a row of zeros (or no bound) stands for no trade."""

    def __init__(self, fills: Fills | None) -> None:
        none = np.zeros(0, np.int64)
        self.ms = fills.ms if fills else none
        self.ticks = fills.ticks.astype(np.int64) if fills else none
        lots = fills.lots.astype(np.int64) if fills else none
        self.base = np.concatenate(([0], np.cumsum(lots)))
        self.quote = np.concatenate(([0], np.cumsum(self.ticks * lots)))

    def bound(self, extreme: np.ufunc, empty: int, *, backward: bool) -> Ints:
        """Extreme of the first n trades (``backward``: of all from n on) for n = 0..count."""
        ticks = self.ticks[::-1] if backward else self.ticks
        running = np.concatenate(([empty], np.asarray(extreme.accumulate(ticks), np.int64)))
        return running[::-1] if backward else running


class Ticker:
    """Rolling statistics of one venue. ``next_day`` must be called for every day in order."""

    def __init__(self) -> None:
        self._before = _DayTrades(None)

    def next_day(self, day: MarketDay) -> TickerDay:
        """A ticker for every fourth snapshot (at least one a day)."""
        rows = np.arange(0, len(day.ms), _ROWS_PER_TICKER)
        old, new = self._before, _DayTrades(day.fills)
        self._before = new
        ms = day.ms[rows]
        a = np.searchsorted(old.ms, ms, side="right")
        b = np.searchsorted(new.ms, ms, side="right")
        ticks = np.concatenate((old.ticks, new.ticks, [0]))
        highest = np.iinfo(np.int64).max
        return TickerDay(
            rows=rows,
            count=len(old.ms) - a + b,
            last=ticks[len(old.ms) + b - 1],
            open=ticks[a],
            high=np.maximum(old.bound(np.maximum, 0, backward=True)[a], new.bound(np.maximum, 0, backward=False)[b]),
            low=np.minimum(
                old.bound(np.minimum, highest, backward=True)[a], new.bound(np.minimum, highest, backward=False)[b]
            ),
            base=old.base[-1] - old.base[a] + new.base[b],
            quote=old.quote[-1] - old.quote[a] + new.quote[b],
        )
