"""Order flow toxicity: the volume-synchronised probability of informed trading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sqlgen.options import Option
from udfs.buckets import (
    DAILY_SIZE,
    LOT_SIZE,
    TRAILING_DAYS,
    Buckets,
    Days,
    count_day,
    empty,
    lots_of,
    pour,
    size_in_lots,
    toxicity,
)
from udfs.classification import BAR, BAR_LOTS, CLOSE, BulkBars, close_bulk_bar, tick_sign
from udfs.jit import jit
from udfs.kernel import MAX_GAP, NANOSECONDS, Array, Batch, Column, Kernel, State

DAILY = "adv/50"
CLASSIFICATIONS = ("aggressor", "tick", "bulk")
_AGGRESSOR, _TICK, _BULK = 0, 1, 2
_SEEN, _LAST_TS = 0, 1


class Rules(NamedTuple):
    """The options, as integers."""

    classification: int
    size: int
    """Lots of a bucket; 0: from the daily volume."""
    max_gap: int
    """ns."""
    bar: int
    """Length of the bars of bulk classification in ns."""


class Feed(NamedTuple):
    """What is remembered of the trades."""

    clock: NDArray[np.int64]
    """Whether there was a trade (0 or 1) and the time of the last one."""
    last: NDArray[np.float64]
    """See ``tick_sign``."""
    days: Days
    bars: BulkBars
    buckets: Buckets


@jit
def _fill(lots: int, sign: float, rules: Rules, feed: Feed) -> None:
    size = rules.size if rules.size > 0 else feed.days.now[DAILY_SIZE]
    if size > 0:
        pour(lots, sign, size, feed.buckets)


@jit
def _end_bar(ts: int, rules: Rules, feed: Feed) -> None:
    """Close the bulk bar if it ended at ``ts`` or before."""
    lots = feed.bars.now[BAR_LOTS]
    if lots > 0 and ts // rules.bar > feed.bars.now[BAR]:
        _fill(lots, close_bulk_bar(feed.bars), rules, feed)


@jit
def _take(ts: int, price: float, lots: int, side: int, rules: Rules, feed: Feed) -> None:
    """One trade."""
    if rules.classification == _BULK:
        # The bar that is over comes first: its volume belongs before the gap and before this trade's day.
        _end_bar(ts, rules, feed)
    if feed.clock[_SEEN] == 1 and ts - feed.clock[_LAST_TS] > rules.max_gap:
        empty(feed.buckets)
    feed.clock[_SEEN] = 1
    feed.clock[_LAST_TS] = ts
    if rules.size == 0:
        count_day(ts, lots, rules.max_gap, feed.days)
    if rules.classification == _BULK:
        if feed.bars.now[BAR_LOTS] == 0:
            feed.bars.now[BAR] = ts // rules.bar
        feed.bars.now[BAR_LOTS] += lots
        feed.bars.closes[CLOSE] = price
        return
    sign = tick_sign(price, feed.last)
    if rules.classification == _AGGRESSOR and side != 0:
        sign = float(side)
    _fill(lots, sign, rules, feed)


@jit
def measure(
    rows: NDArray[np.int64],
    ts: NDArray[np.int64],
    price: NDArray[np.float64],
    lots: NDArray[np.int64],
    side: NDArray[np.int8],
    rules: Rules,
    feed: Feed,
    out: NDArray[np.float64],
) -> None:
    """VPIN at the times ``rows`` (ns), of trades at ``ts``; trades of 0 lots are passed over."""
    j = 0
    for i in range(len(rows)):
        while j < len(ts) and ts[j] <= rows[i]:
            if lots[j] > 0:
                _take(ts[j], price[j], lots[j], side[j], rules, feed)
            j += 1
        if rules.classification == _BULK:
            _end_bar(rows[i], rules, feed)
        out[i] = toxicity(feed.buckets)


class Vpin(Kernel):
    """VPIN: mean imbalance of the last buckets of equal volume. Easley, Lopez de Prado, O'Hara 2012."""

    name = "vpin"
    version = 1
    doc = "Volume-synchronised probability of informed trading (VPIN)"
    reads_trades = True
    options = {
        "enable_vpin": Option(type="bool", default=True, doc="give column vpin"),
        "vpin_bucket_volume": Option(
            type="str", default="1.0", doc=f"volume of a bucket: a number, or {DAILY} for a share of the daily volume"
        ),
        "vpin_window_buckets": Option(type="int", default=50, gt=0, doc="number of buckets in the mean"),
        "vpin_classification": Option(
            type="str", default="aggressor", choices=list(CLASSIFICATIONS), doc="how trades are told buys or sells"
        ),
        "vpin_bulk_seconds": Option(type="int", default=60, gt=0, doc="length of the bars of bulk classification"),
        "vpin_bulk_bars": Option(type="int", default=50, ge=2, doc="bars of which bulk classification takes sigma"),
        "lot_size": LOT_SIZE,
        "max_gap": MAX_GAP,
    }

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self._volume = _bucket_volume(options["vpin_bucket_volume"])

    def inputs(self) -> Sequence[str]:
        return ()

    def outputs(self) -> Sequence[Column]:
        return (Column("vpin", "1: order flow toxicity, 0 to 1"),) if self.given["enable_vpin"] else ()

    def start(self) -> State:
        if not self.given["enable_vpin"]:
            return {}
        self._rules()
        buckets = self.given["vpin_window_buckets"]
        return {
            "clock": np.zeros(2, np.int64),
            "last": np.array([np.nan, 0.0]),
            "day": np.zeros(6, np.int64),
            "day_lots": np.zeros(TRAILING_DAYS, np.int64),
            "bar": np.zeros(3, np.int64),
            "bar_closes": np.full(2, np.nan),
            "bar_changes": np.zeros(self.given["vpin_bulk_bars"]),
            "bucket": np.zeros(4, np.int64),
            "bucket_sums": np.zeros(3),
            "imbalances": np.zeros(buckets),
            "sizes": np.zeros(buckets, np.int64),
        }

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        if not self.given["enable_vpin"]:
            return ()
        out = np.full(len(batch), np.nan)
        trades = batch.trades
        if trades is not None:
            lots = lots_of(np.where(np.isnan(trades.price), np.nan, trades.amount), self.given["lot_size"])
            moved = {name: array.copy() for name, array in state.items()}
            measure(batch.ts, trades.ts, trades.price, lots, trades.side, self._rules(), _feed(moved), out)
            state |= moved
        return (out,)

    def _rules(self) -> Rules:
        size = 0
        if self._volume is not None:
            buckets = self.given["vpin_window_buckets"]
            size = size_in_lots(self._volume, self.given["lot_size"], "vpin_bucket_volume", buckets)
        return Rules(
            CLASSIFICATIONS.index(self.given["vpin_classification"]),
            size,
            int(self.given["max_gap"] * NANOSECONDS),
            self.given["vpin_bulk_seconds"] * NANOSECONDS,
        )


def _feed(state: State) -> Feed:
    return Feed(
        state["clock"],
        state["last"],
        Days(state["day"], state["day_lots"]),
        BulkBars(state["bar"], state["bar_closes"], state["bar_changes"]),
        Buckets(state["bucket"], state["bucket_sums"], state["imbalances"], state["sizes"]),
    )


def _bucket_volume(text: str) -> float | None:
    """The number that ``text`` is; ``None`` for the daily volume."""
    if text == DAILY:
        return None
    try:
        volume = float(text)
    except ValueError:
        volume = math.nan
    if not 0 < volume < math.inf:
        raise ValueError(f"vpin_bucket_volume is a number above 0, or '{DAILY}'; found '{text}'")
    return volume
