"""Bars that close when the flow of trades is more one-sided than expected. Lopez de Prado 2018, chapter 2.

What is expected follows from the bars before. The book's rule can feed on itself, until bars of one trade or bars
without an end come out: here no bar has fewer trades than ``min_ticks`` or more than ``max_ticks``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Batch, NDArray, Record, State, record
from udfs.options import Option
from udfs.trades.bars import DollarBars, TickBars, VolumeBars
from udfs.trades.classification import tick_sign
from udfs.trades.tradebars import BULK_BARS, CLASSIFICATION, TRADE_GAP, TradeBars

_UNITS: dict[str, type[TickBars] | type[VolumeBars] | type[DollarBars]] = {
    "tick": TickBars,
    "volume": VolumeBars,
    "dollar": DollarBars,
}
"""Unit -> bars of equally much of it."""


@jit
def _average(before: float, value: float, share: float) -> float:
    """The next value of an EWMA; NaN is no value."""
    if math.isnan(value):
        return before
    return value if math.isnan(before) else before + share * (value - before)


@jit
def _close(now: Record, share: float, least: float, most: float) -> None:
    """Close the bar: what is expected moves towards what it was."""
    mean_bought = now.bought / now.buys if now.buys > 0 else math.nan
    mean_sold = now.sold / now.sells if now.sells > 0 else math.nan
    now.expected_ticks = min(max(_average(now.expected_ticks, float(now.filled), share), least), most)
    now.expected_flow = _average(now.expected_flow, now.flow / now.filled, share)
    now.buy_share = _average(now.buy_share, now.buys / now.filled, share)
    now.expected_bought = _average(now.expected_bought, mean_bought, share)
    now.expected_sold = _average(now.expected_sold, mean_sold, share)
    now.id += 1
    now.filled = now.buys = now.sells = 0
    now.flow = now.bought = now.sold = 0.0


@jit
def _is_full(now: Record, runs: bool) -> bool:
    """True if the flow is more than expected; in the first bar, if it has as many trades as expected."""
    if math.isnan(now.expected_flow):
        return bool(now.filled >= now.expected_ticks)
    if not runs:
        return bool(abs(now.flow) > now.expected_ticks * abs(now.expected_flow))
    bought = 0.0 if math.isnan(now.expected_bought) else now.buy_share * now.expected_bought
    sold = 0.0 if math.isnan(now.expected_sold) else (1.0 - now.buy_share) * now.expected_sold
    return bool(max(now.bought, now.sold) > now.expected_ticks * max(bought, sold))


@jit
def close_bars(
    price: NDArray[np.float64],
    x: NDArray[np.float64],
    side: NDArray[np.float64],
    by_price: bool,
    runs: bool,
    share: float,
    least: int,
    most: int,
    state: Array,
    bar: NDArray[np.int64],
) -> None:
    """Write the number of each trade's bar. ``by_price``: signs are those of the tick rule, whatever the sides."""
    now = state[0]
    for i in range(len(price)):
        sign = tick_sign(price[i], now)
        if not by_price and (side[i] == 1.0 or side[i] == -1.0):
            sign = side[i]
        bar[i] = now.id
        now.filled += 1
        now.flow += sign * x[i]
        if sign > 0.0:
            now.buys += 1
            now.bought += x[i]
        elif sign < 0.0:
            now.sells += 1
            now.sold += x[i]
        if now.filled >= most or (now.filled >= least and _is_full(now, runs)):
            _close(now, share, float(least), float(most))


class _InformationBars(TradeBars):
    """Base of both; trades are never cut."""

    version = 1
    options: ClassVar[Mapping[str, Option]] = {
        "bar_unit": Option(
            type="str", default="tick", choices=list(_UNITS), doc="x of a trade: 1, its volume, or its value"
        ),
        "bar_classification": Option(
            type="str",
            default="aggressor",
            choices=["aggressor", "tick"],
            doc="sign of a trade: its side, and by the tick rule where that is unknown; or always by the tick rule",
        ),
        "ewma_span": Option(
            type="int", default=20, ge=1, doc="bars over which expectations are averaged: weight 2 / (n + 1)"
        ),
        "initial_ticks": Option(type="int", default=100, ge=1, doc="trades of the first bar, the first E[T]"),
        "min_ticks": Option(type="int", default=10, ge=1, doc="fewest trades of a bar, least E[T]"),
        "max_ticks": Option(type="int", default=10_000, ge=1, doc="most trades of a bar, greatest E[T]"),
        "max_gap": TRADE_GAP,
        "classification": CLASSIFICATION,
        "bulk_bars": BULK_BARS,
    }
    runs: ClassVar[bool]

    def measure(self, price: NDArray[np.float64], amount: NDArray[np.float64]) -> NDArray[np.float64]:
        return _UNITS[self.params["bar_unit"]](self.params).measure(price, amount)

    def start(self) -> State:
        first, least, most = (self.params[name] for name in ("initial_ticks", "min_ticks", "max_ticks"))
        if not least <= first <= most:
            raise ValueError(f"initial_ticks {first} is not between min_ticks {least} and max_ticks {most}")
        sums = {"flow": 0.0, "bought": 0.0, "sold": 0.0, "buys": 0, "sells": 0}
        unknown = ("expected_flow", "buy_share", "expected_bought", "expected_sold")
        expected = {"expected_ticks": float(first), **dict.fromkeys(unknown, math.nan)}
        last = {"price": math.nan, "sign": 0.0}
        return super().start() | {"open": record(id=0, filled=0, last_ts=0, seen=False, **sums, **expected, **last)}

    def restart(self, bar: Any) -> None:
        """Keep the expectations; the tick rule starts anew."""
        super().restart(bar)
        bar.flow = bar.bought = bar.sold = 0.0
        bar.buys = bar.sells = 0
        bar.price, bar.sign = math.nan, 0.0

    def lots_per_unit(self) -> float:
        return 1.0

    def parts(self, batch: Batch, bar: Array) -> tuple[State, NDArray[np.int64]]:
        x = self.measure(batch["price"], batch["amount"])
        valid = np.flatnonzero((x > 0) & np.isfinite(x) & np.isfinite(batch["amount"]))
        price, side, ts = batch["price"][valid], batch["side"][valid], batch.ts[valid]
        gap, bars = self._gaps(ts, bar[0]), np.empty(len(valid), np.int64)
        by_price = self.params["bar_classification"] == "tick"
        least, most, share = self.params["min_ticks"], self.params["max_ticks"], 2.0 / (self.params["ewma_span"] + 1)
        close_bars(price, x[valid], side, by_price, self.runs, share, least, most, bar, bars)
        return {
            "ts": ts,
            "price": price,
            "volume": batch["amount"][valid],
            "side": np.where(np.isnan(side), 0.0, side).astype(np.int16),
            "lots": np.ones(len(valid), np.int64),
            "split": np.zeros(len(valid), np.bool_),
            "gap": gap,
        }, bars


class ImbalanceBars(_InformationBars):
    """Bars of equal surprise in the imbalance of bought and sold."""

    name = "imbalance_bars"
    doc = "Trades by bar; it closes when |sum of s x| > E[T] |E[s x]| (Lopez de Prado 2018)"
    runs = False


class RunBars(_InformationBars):
    """Bars of equal surprise in what one side traded."""

    name = "run_bars"
    doc = "Trades by bar; it closes when a side's sum of x > E[T] max(P+ E[x|+], (1 - P+) E[x|-]) (Lopez de Prado 2018)"
    runs = True
