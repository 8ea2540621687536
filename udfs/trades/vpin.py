"""Order flow toxicity: the volume-synchronised probability of informed trading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import MAX_GAP, NANOSECONDS, Array, Batch, Column, Floats, InLots, State, gap_ns, record
from udfs.options import Option
from udfs.trades.buckets import Buckets, drop_open, most_lots, no_buckets, pour, rescale, toxicity
from udfs.trades.classification import BulkBars, close_bulk_bar, forget_bulk_bars, no_bulk_bars, tick_sign
from udfs.trades.daily_volume import Days, count_day, no_days
from udfs.trades.lots import LOT_SIZE, coarser, filling, size_in_lots, within
from udfs.trades.tape import SIGN, Tape, TradeKernel

DAILY = "adv/50"
CLASSIFICATIONS = ("aggressor", "tick", "bulk")
_SOON = 300
"""Seconds, where no silence is a gap."""


class VpinRules(NamedTuple):
    """Options as numbers."""

    by_aggressor: bool
    in_bulk: bool
    size: int
    """Lots of a bucket; 0: from the daily volume."""
    exponent: int
    """Power of ten by which lots are coarser than ``lot_size``, where the size is given."""
    lot_size: float
    most: int
    """Lots of a bucket."""
    soon: int
    """ns after midnight within which a first trade counts as a complete day."""
    bar: int
    """Length of the bars of bulk classification in ns."""


class Flow(NamedTuple):
    """State from trade to trade."""

    last: Array
    """See ``tick_sign``."""
    days: Days
    bars: BulkBars
    buckets: Buckets


@jit
def _size(rules: VpinRules, flow: Flow) -> int:
    """Lots of a bucket that opens now, 0 while that is not known."""
    return rules.size if rules.size > 0 else int(flow.days.today[0].bucket_size)


@jit
def _fill(lots: int, sign: float, rules: VpinRules, flow: Flow) -> None:
    size = _size(rules, flow)
    if size > 0:
        pour(lots, sign, size, flow.buckets)


@jit
def _end_bar(ts: int, rules: VpinRules, flow: Flow) -> None:
    """Close the bulk bar if it ended at ``ts`` or before."""
    bar = flow.bars.open[0]
    lots = bar.lots
    if lots > 0 and ts // rules.bar > bar.bar:
        _fill(lots, close_bulk_bar(flow.bars), rules, flow)


@jit
def _start_segment(ts: int, rules: VpinRules, flow: Flow) -> None:
    """Drop everything that would span the start of a segment at ``ts``."""
    if rules.in_bulk:
        _end_bar(ts, rules, flow)
        forget_bulk_bars(flow.bars)
    drop_open(flow.buckets)


@jit
def _trade(ts: int, price: float, amount: float, side: int, rules: VpinRules, flow: Flow) -> None:
    bar = flow.bars.open[0]
    if amount <= rules.lot_size / 2:
        return
    if rules.in_bulk:
        # The bar that is over comes first: its volume belongs before this trade's day.
        _end_bar(ts, rules, flow)
    exponent = rules.exponent
    if rules.size == 0:
        change = count_day(ts, amount, rules.lot_size, rules.soon, rules.most, flow.days, flow.buckets)
        if change != 0 and bar.lots > 0:
            bar.lots = max(rescale(bar.lots, change), 1)
        exponent = flow.days.today[0].exponent
    lot = rules.lot_size * math.pow(10.0, exponent) if exponent > 0 else rules.lot_size
    size, buckets = _size(rules, flow), len(flow.buckets.sizes) + 1
    lots = filling(amount, lot, size, buckets)
    if lots == 0:
        return
    if rules.in_bulk:
        if bar.lots == 0:
            bar.bar = ts // rules.bar
        bar.lots = within(bar.lots + lots, size, buckets)
        bar.close = price
        return
    sign = tick_sign(price, flow.last[0])
    if rules.by_aggressor and side != 0:
        sign = float(side)
    _fill(lots, sign, rules, flow)


@jit
def roll_toxicity(tape: Tape, rules: VpinRules, flow: Flow, out: Floats) -> None:
    """Write VPIN at each row."""
    for i in range(len(tape.rows)):
        begins = tape.starts[i]
        for j in range(tape.first[i], tape.end[i]):
            if begins and tape.ts[j] >= tape.rows[i]:
                _start_segment(tape.rows[i], rules, flow)
                begins = False
            _trade(tape.ts[j], tape.price[j], tape.amount[j], tape.side[j], rules, flow)
        if begins:
            _start_segment(tape.rows[i], rules, flow)
        if rules.in_bulk:
            _end_bar(tape.rows[i], rules, flow)
        out[i] = toxicity(flow.buckets)


class Vpin(TradeKernel):
    """VPIN: mean imbalance of the last buckets of equal volume. Easley, Lopez de Prado, O'Hara 2012."""

    name = "vpin"
    version = 2
    doc = "Volume-synchronised probability of informed trading (VPIN)"
    sees_trades_before_rows = True
    options = {
        "sign": SIGN,
        "enable_vpin": Option(type="bool", default=True, doc="give column vpin"),
        "vpin_bucket_volume": Option(
            type="str",
            default=DAILY,
            doc=f"volume of a bucket: {DAILY}, a fiftieth of the mean volume of the days before, or a number",
        ),
        "vpin_window_buckets": Option(type="int", default=50, gt=0, doc="number of buckets in the mean"),
        "vpin_classification": Option(
            type="str",
            default="aggressor",
            choices=list(CLASSIFICATIONS),
            doc="classification of trades as buys or sells",
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
        return super().inputs() if self.params["enable_vpin"] else ()

    def outputs(self) -> Sequence[Column]:
        count = self.params["vpin_window_buckets"]
        doc = f"1: mean of abs(bought - sold) / volume over the last {count} full buckets, 0 to 1 [Easley 2012]"
        return (Column("vpin", doc),) if self.params["enable_vpin"] else ()

    def start(self) -> State:
        if not self.params["enable_vpin"]:
            return {}
        self._rules()
        bars, buckets = no_bulk_bars(self.params["vpin_bulk_bars"]), no_buckets(self.params["vpin_window_buckets"])
        return super().start() | _as_state(Flow(record(price=math.nan, sign=0.0), no_days(), bars, buckets))

    def in_lots(self, state: State, batch: Batch) -> InLots | None:
        if batch.trades is None or not self.params["enable_vpin"]:
            return None
        rules = self._rules()
        exponent = rules.exponent if rules.size else int(_of_state(state).days.today[0].exponent)
        volumes = batch.trades.amount[np.isfinite(batch.trades.price)]
        return InLots(volumes, rules.lot_size * 10.0**exponent, "bucket")

    def measure(self, state: State, tape: Tape, batch: Batch, out: Floats) -> None:
        roll_toxicity(tape, self._rules(), _of_state(state), out[0])

    def skip(self, state: State, batch: Batch) -> None:
        state["segment"][0].open = True
        _start_segment(int(batch.ts[0]), self._rules(), _of_state(state))

    def _rules(self) -> VpinRules:
        size, exponent, gap = 0, 0, self.params["max_gap"]
        most, lot_size = most_lots(self.params["vpin_window_buckets"]), self.params["lot_size"]
        if self._volume is not None:
            exponent = coarser(self._volume, lot_size, most)
            size = size_in_lots(self._volume, lot_size, exponent, "vpin_bucket_volume")
        return VpinRules(
            self.params["vpin_classification"] == "aggressor",
            self.params["vpin_classification"] == "bulk",
            size,
            exponent,
            lot_size,
            most,
            gap_ns(_SOON if gap is None else gap),
            self.params["vpin_bulk_seconds"] * NANOSECONDS,
        )


def _as_state(flow: Flow) -> State:
    parts = {"days": flow.days._asdict(), "bars": flow.bars._asdict(), "buckets": flow.buckets._asdict()}
    return {"last": flow.last} | {f"{name}.{field}": part[field] for name, part in parts.items() for field in part}


def _of_state(state: State) -> Flow:
    def part(name: str, kind: type[Any]) -> Any:
        return kind(*(state[f"{name}.{field}"] for field in kind._fields))

    return Flow(state["last"], part("days", Days), part("bars", BulkBars), part("buckets", Buckets))


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
