"""Who started a trade: as the feed says, by the tick rule, or bar by bar from the price change."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.jit import jit
from udfs.kernel import Batch, Trades

PRICE, TICK_SIGN = 0, 1
BAR, BAR_LOTS, CHANGES = 0, 1, 2
CLOSE, PREVIOUS_CLOSE = 0, 1
# The rounding of two prices can differ by about 2e-16 of a price; a real price change is far above this.
_ROUNDING = 1e-14


class Tape(NamedTuple):
    """Valid trades, in a form that compiled functions take."""

    ts: NDArray[np.int64]
    amount: NDArray[np.float64]
    side: NDArray[np.int8]


class BulkBars(NamedTuple):
    """The open bar of bulk classification, and a ring of the last price changes from close to close."""

    now: NDArray[np.int64]
    """BAR (its start over the length of bars), BAR_LOTS (0: none is open), number of CHANGES."""
    closes: NDArray[np.float64]
    """CLOSE of the open bar, PREVIOUS_CLOSE (NaN: none)."""
    changes: NDArray[np.float64]


def is_valid(trades: Trades) -> NDArray[np.bool_]:
    """Mask of the trades that have a price and an amount."""
    return np.asarray((trades.amount > 0) & (trades.amount < math.inf) & np.isfinite(trades.price))


def valid(batch: Batch) -> tuple[Tape, NDArray[np.int64]]:
    """The trades of a batch that have a price and an amount, and how many of them come before each row."""
    trades, before = batch.trades, batch.trades_before
    assert trades is not None
    good = is_valid(trades)
    if good.all():
        return Tape(trades.ts, trades.amount, trades.side), before
    counted = np.concatenate((np.zeros(1, np.int64), np.cumsum(good, dtype=np.int64)))[before]
    return Tape(trades.ts[good], trades.amount[good], trades.side[good]), counted


@jit
def tick_sign(price: float, last: NDArray[np.float64]) -> float:
    """Sign of the last price change that was not 0, this trade's or one before; 0 where there was none.

    ``last``: PRICE of the trade before (NaN: none) and its TICK_SIGN. Lee and Ready 1991.
    """
    if price > last[PRICE]:
        last[TICK_SIGN] = 1.0
    elif price < last[PRICE]:
        last[TICK_SIGN] = -1.0
    last[PRICE] = price
    return float(last[TICK_SIGN])


@jit
def close_bulk_bar(bars: BulkBars) -> float:
    """Close the open bar: share of its volume bought less share sold, ``2 Phi(change / sigma) - 1``.

    Easley, Lopez de Prado, O'Hara 2012. ``sigma`` comes from the bars before this one; 0 where there is none.
    """
    change = bars.closes[CLOSE] - bars.closes[PREVIOUS_CLOSE]
    sign = 0.0
    if not math.isnan(change):
        sigma = _sample_std(bars.changes, min(bars.now[CHANGES], len(bars.changes)))
        if change != 0.0 and sigma > _ROUNDING * abs(bars.closes[CLOSE]):
            sign = math.erf(change / sigma / math.sqrt(2.0))
        bars.changes[bars.now[CHANGES] % len(bars.changes)] = change
        bars.now[CHANGES] += 1
    bars.closes[PREVIOUS_CLOSE] = bars.closes[CLOSE]
    bars.now[BAR_LOTS] = 0
    return sign


@jit
def forget_bulk_bars(bars: BulkBars) -> None:
    """Drop the open bar, the price that the next one's change would be taken from, and the changes of sigma."""
    bars.now[BAR_LOTS] = 0
    bars.now[CHANGES] = 0
    bars.closes[:] = math.nan


@jit
def _sample_std(values: NDArray[np.float64], n: int) -> float:
    """Sample standard deviation of the first ``n`` values, 0 for fewer than two."""
    if n < 2:
        return 0.0
    mean = 0.0
    for k in range(n):
        mean += values[k] - values[0]
    mean = values[0] + mean / n
    squares = 0.0
    for k in range(n):
        squares += (values[k] - mean) ** 2
    return math.sqrt(squares / (n - 1))
