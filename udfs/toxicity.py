"""Order flow toxicity: the volume-synchronised probability of informed trading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.buckets import (
    DAILY_SIZE,
    EXPONENT,
    TRAILING_DAYS,
    Buckets,
    Days,
    count_day,
    empty,
    most_lots,
    pour,
    rescale,
    toxicity,
)
from udfs.classification import (
    BAR,
    BAR_LOTS,
    CLOSE,
    BulkBars,
    close_bulk_bar,
    forget_bulk_bars,
    is_valid,
    tick_sign,
)
from udfs.jit import jit
from udfs.kernel import MAX_GAP, NANOSECONDS, SEGMENT_START, Array, Batch, Column, Kernel, State, gap_ns
from udfs.lots import LOT_SIZE, coarser, filling, size_in_lots, within
from udfs.options import Option

DAILY = "adv/50"
CLASSIFICATIONS = ("aggressor", "tick", "bulk")
_AGGRESSOR, _TICK, _BULK = 0, 1, 2
_SOON = 300
"""Seconds, where no silence is a gap."""


class Rules(NamedTuple):
    """The options, as numbers."""

    classification: int
    size: int
    """Lots of a bucket; 0: from the daily volume."""
    exponent: int
    """Power of ten by which lots are coarser than ``lot_size``, where the size is given."""
    lot_size: float
    most: int
    """Lots of a bucket."""
    soon: int
    """ns after midnight within which a trade says that the feed was there then."""
    bar: int
    """Length of the bars of bulk classification in ns."""


class Feed(NamedTuple):
    """State between batches of rows and trades."""

    rows: NDArray[np.int64]
    """1 once there was a row."""
    last: NDArray[np.float64]
    """See ``tick_sign``."""
    days: Days
    bars: BulkBars
    buckets: Buckets


class Tape(NamedTuple):
    """Trades, in a form that compiled functions take."""

    ts: NDArray[np.int64]
    price: NDArray[np.float64]
    amount: NDArray[np.float64]
    side: NDArray[np.int8]
    good: NDArray[np.bool_]
    """Mask of the trades that have a price and an amount."""


@jit
def _size(rules: Rules, feed: Feed) -> int:
    """Lots of a bucket that opens now, 0 while that is not known."""
    return rules.size if rules.size > 0 else int(feed.days.now[DAILY_SIZE])


@jit
def _fill(lots: int, sign: float, rules: Rules, feed: Feed) -> None:
    size = _size(rules, feed)
    if size > 0:
        pour(lots, sign, size, feed.buckets)


@jit
def _end_bar(ts: int, rules: Rules, feed: Feed) -> None:
    """Close the bulk bar if it ended at ``ts`` or before."""
    lots = feed.bars.now[BAR_LOTS]
    if lots > 0 and ts // rules.bar > feed.bars.now[BAR]:
        _fill(lots, close_bulk_bar(feed.bars), rules, feed)


@jit
def _start_segment(ts: int, rules: Rules, feed: Feed) -> None:
    """Drop what would reach over the start of a segment at ``ts``."""
    if rules.classification == _BULK:
        _end_bar(ts, rules, feed)
        forget_bulk_bars(feed.bars)
    empty(feed.buckets)


@jit
def _take(ts: int, price: float, amount: float, side: int, rules: Rules, feed: Feed) -> None:
    """One trade."""
    now = feed.bars.now
    if amount <= rules.lot_size / 2:
        return
    if rules.classification == _BULK:
        # The bar that is over comes first: its volume belongs before this trade's day.
        _end_bar(ts, rules, feed)
    exponent = rules.exponent
    if rules.size == 0:
        change = count_day(ts, amount, rules.lot_size, rules.soon, rules.most, feed.days, feed.buckets)
        if change != 0 and now[BAR_LOTS] > 0:
            now[BAR_LOTS] = max(rescale(now[BAR_LOTS], change), 1)
        exponent = feed.days.now[EXPONENT]
    lot = rules.lot_size * math.pow(10.0, exponent) if exponent > 0 else rules.lot_size
    size, buckets = _size(rules, feed), len(feed.buckets.sizes) + 1
    lots = filling(amount, lot, size, buckets)
    if lots == 0:
        return
    if rules.classification == _BULK:
        if now[BAR_LOTS] == 0:
            now[BAR] = ts // rules.bar
        now[BAR_LOTS] = within(now[BAR_LOTS] + lots, size, buckets)
        feed.bars.closes[CLOSE] = price
        return
    sign = tick_sign(price, feed.last)
    if rules.classification == _AGGRESSOR and side != 0:
        sign = float(side)
    _fill(lots, sign, rules, feed)


@jit
def measure(
    rows: NDArray[np.int64],
    starts: NDArray[np.int8],
    before: NDArray[np.int64],
    tape: Tape,
    rules: Rules,
    feed: Feed,
    out: NDArray[np.float64],
) -> None:
    """VPIN at the times ``rows`` (ns), each after as many trades of the tape as ``before`` says."""
    j = 0
    for i in range(len(rows)):
        begins = starts[i] == 1 and feed.rows[0] == 1
        feed.rows[0] = 1
        while j < before[i]:
            if begins and tape.ts[j] >= rows[i]:
                _start_segment(rows[i], rules, feed)
                begins = False
            if tape.good[j]:
                _take(tape.ts[j], tape.price[j], tape.amount[j], tape.side[j], rules, feed)
            j += 1
        if begins:
            _start_segment(rows[i], rules, feed)
        if rules.classification == _BULK:
            _end_bar(rows[i], rules, feed)
        out[i] = toxicity(feed.buckets)


class Vpin(Kernel):
    """VPIN: mean imbalance of the last buckets of equal volume. Easley, Lopez de Prado, O'Hara 2012."""

    name = "vpin"
    version = 2
    doc = "Volume-synchronised probability of informed trading (VPIN)"
    reads_trades = True
    options = {
        "enable_vpin": Option(type="bool", default=True, doc="give column vpin"),
        "vpin_bucket_volume": Option(
            type="str",
            default=DAILY,
            doc=f"volume of a bucket: {DAILY}, a fiftieth of the mean volume of the days before, or a number",
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
        return (SEGMENT_START,) if self.given["enable_vpin"] else ()

    def outputs(self) -> Sequence[Column]:
        return (Column("vpin", "1: order flow toxicity, 0 to 1"),) if self.given["enable_vpin"] else ()

    def start(self) -> State:
        if not self.given["enable_vpin"]:
            return {}
        self._rules()
        buckets = self.given["vpin_window_buckets"]
        return {
            "rows": np.zeros(1, np.int64),
            "last": np.array([np.nan, 0.0]),
            "day": np.zeros(6, np.int64),
            "day_volume": np.zeros(2),
            "day_volumes": np.zeros((TRAILING_DAYS, 2)),
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
        moved = {name: array.copy() for name, array in state.items()}
        feed, rules, trades = _feed(moved), self._rules(), batch.trades
        if trades is not None:
            tape = Tape(trades.ts, trades.price, trades.amount, trades.side, is_valid(trades))
            measure(batch.ts, batch[SEGMENT_START], batch.trades_before, tape, rules, feed, out)
        elif len(batch) > 0:
            # What was traded at these rows is unknown: what comes after them starts as a segment does.
            feed.rows[0] = 1
            _start_segment(int(batch.ts[0]), rules, feed)
        state |= moved
        return (out,)

    def _rules(self) -> Rules:
        size, exponent, gap = 0, 0, self.given["max_gap"]
        most, lot_size = most_lots(self.given["vpin_window_buckets"]), self.given["lot_size"]
        if self._volume is not None:
            exponent = coarser(self._volume, lot_size, most)
            size = size_in_lots(self._volume, lot_size, exponent, "vpin_bucket_volume")
        return Rules(
            CLASSIFICATIONS.index(self.given["vpin_classification"]),
            size,
            exponent,
            lot_size,
            most,
            gap_ns(_SOON if gap is None else gap),
            self.given["vpin_bulk_seconds"] * NANOSECONDS,
        )


def _feed(state: State) -> Feed:
    return Feed(
        state["rows"],
        state["last"],
        Days(state["day"], state["day_volume"], state["day_volumes"]),
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
