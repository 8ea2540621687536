"""Aggressor side of a trade: as the feed says, by the tick rule, or bar by bar from the price change."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, NDArray, Record, record

# The rounding of two prices can differ by about 2e-16 of a price; a real price change is far above this.
_ROUNDING = 1e-14


class BulkBars(NamedTuple):
    """Open bar of bulk classification, and a ring of the last price changes from close to close."""

    open: Array
    """``bar``: its start over the length of bars; ``lots`` in it (0: none is open); its ``close`` and that of the bar
    before (NaN: none); ``count`` of price changes."""
    changes: NDArray[np.float64]


def no_bulk_bars(bars: int) -> BulkBars:
    """Bulk bars before the first trade; ``bars``: number of price changes that sigma is taken of."""
    return BulkBars(record(bar=0, lots=0, count=0, close=math.nan, close_before=math.nan), np.zeros(bars))


@jit
def tick_sign(price: float, last: Record) -> float:
    """Sign of the last price change that was not 0, this trade's or one before; 0 where there was none.

    ``last``: price of the trade before (NaN: none) and its sign. Lee and Ready 1991.
    """
    if price > last.price:
        last.sign = 1.0
    elif price < last.price:
        last.sign = -1.0
    last.price = price
    return float(last.sign)


@jit
def close_bulk_bar(bars: BulkBars) -> float:
    """Close the open bar: share of its volume bought less share sold, ``2 Phi(change / sigma) - 1``.

    Easley, Lopez de Prado, O'Hara 2012. ``sigma`` comes from the bars before this one; 0 where there is none.
    """
    now = bars.open[0]
    change = now.close - now.close_before
    sign = 0.0
    if not math.isnan(change):
        sigma = _sample_std(bars.changes, min(now.count, len(bars.changes)))
        if change != 0.0 and sigma > _ROUNDING * abs(now.close):
            sign = math.erf(change / sigma / math.sqrt(2.0))
        bars.changes[now.count % len(bars.changes)] = change
        now.count += 1
    now.close_before = now.close
    now.lots = 0
    return sign


@jit
def bulk_shares(
    bar: NDArray[np.int64],
    price: NDArray[np.float64],
    gap: NDArray[np.bool_],
    bars: BulkBars,
    share: NDArray[np.float64],
) -> None:
    """Write the share bought of the bar of each part of trades; the parts are those of whole bars.

    A price change over a gap is dropped, and the changes before it: such a bar is half and half.
    """
    first, over_gap = 0, False
    for i in range(len(bar)):
        over_gap |= gap[i]
        if i + 1 < len(bar) and bar[i + 1] == bar[i]:
            continue
        if over_gap:
            forget_bulk_bars(bars)
        bars.open[0].close = price[i]
        share[first : i + 1] = (1.0 + close_bulk_bar(bars)) / 2.0
        first, over_gap = i + 1, False


@jit
def forget_bulk_bars(bars: BulkBars) -> None:
    """Drop the open bar, the price that the next one's change would be taken from, and the changes of sigma."""
    now = bars.open[0]
    now.lots = now.count = 0
    now.close = now.close_before = math.nan


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
