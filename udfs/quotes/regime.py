"""Percentile of the spread among those of the last minutes, and the time that it was tight or wide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from udfs.jit import jit
from udfs.kernel import NANOSECONDS, SEGMENT_START, Array, Batch, Column, Floats, Ints, Kernel, NDArray, State
from udfs.options import Option
from udfs.windows import Windows, time_weighted
from udfs.windows.frames import Frames, find_frames, rows_as_items

FEWEST = 30
"""Observations that a percentile needs."""
_SMALL = 64
"""Batches of fewer rows are compared value by value: a tree would cost more to build."""
_MOST = 9e18
REGIMES = "tight", "normal", "wide"
_TIGHT, _NORMAL, _WIDE = range(3)


@jit
def change(tree: Ints, code: int, by: int) -> None:
    """Count a value in (1) or out (-1). Row 0 of ``tree``: Fenwick's sums (1994); row 1: the count of each value."""
    tree[1, code] += by
    at = code + 1
    while at < tree.shape[1]:
        tree[0, at] += by
        at += at & -at


@jit
def below(tree: Ints, code: int) -> int:
    """Number of values that are less."""
    total, at = 0, code
    while at > 0:
        total += tree[0, at]
        at -= at & -at
    return total


@jit
def mid_ranks(frames: Frames, count: int, known: NDArray[np.bool_], codes: Ints, tree: Ints, out: Floats) -> None:
    """Share of the window's values below each ``known`` row's, equal ones counted half.

    ``codes`` of the history's values compare as the values do, and are 0, 1, ... where there is a ``tree``; an empty
    one means to compare value by value. ``count``: values that are not new.
    """
    head, planted = 0, tree.shape[1] > 0
    if planted:
        for j in range(count):
            change(tree, codes[j], 1)
    for i in range(len(frames.end)):
        for j in range(head, frames.first[i, 0] if planted else head):
            change(tree, codes[j], -1)
        head = frames.first[i, 0]
        out[i] = np.nan
        if not known[i]:
            continue
        code = codes[count]
        if count - head >= FEWEST:
            less = same = 0
            if planted:
                less, same = below(tree, code), tree[1, code]
            else:
                for j in range(head, count):
                    less += codes[j] < code
                    same += codes[j] == code
            out[i] = (less + 0.5 * same) / (count - head)
        if planted:
            change(tree, code, 1)
        count += 1


class SpreadRegime(Kernel):
    """Tight, normal and wide spreads."""

    name = "spread_regime"
    version = 1
    doc = "Percentile of the spread in a rolling window, its regime and the time spent in each"
    options = {
        "regime_window": Option(type="int", default=300, gt=0, doc="seconds that the spread is compared with"),
        "regime_mode": Option(
            type="str",
            default="percentile",
            choices=["percentile", "static"],
            doc="whether tight and wide are percentiles of the window or fixed numbers of bps",
        ),
        "tight_percentile": Option(type="float", default=0.2, ge=0, le=1, doc="up to here a spread is tight"),
        "wide_percentile": Option(type="float", default=0.8, ge=0, le=1, doc="from here on a spread is wide"),
        "tight_bps": Option(type="float", default=2.0, ge=0, doc="bps up to which a spread is tight (static)"),
        "wide_bps": Option(type="float", default=10.0, ge=0, doc="bps from which on a spread is wide (static)"),
    }

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        for unit in ("percentile", "bps"):
            tight, wide = options[f"tight_{unit}"], options[f"wide_{unit}"]
            if not tight < wide:
                raise ValueError(f"tight_{unit} must be less than wide_{unit}, found {tight:g} and {wide:g}")

    def inputs(self) -> Sequence[str]:
        return SEGMENT_START, "spread", "spread_bps", "mid_price"

    def outputs(self) -> Sequence[Column]:
        h, unit = self.params["regime_window"], self._unit
        tight, wide = (f"{name} where spread_{unit}" for name in ("tight", "wide"))
        regimes = (
            f"name: {tight} <= {self.params[f'tight_{unit}']:g}, {wide} >= {self.params[f'wide_{unit}']:g}, else normal"
        )
        return (
            Column("spread_percentile", f"1: share of the spreads of {h} s before this row below its own, ties half"),
            Column("spread_regime", regimes, "varchar", REGIMES),
            Column("spread_regime_tight_frac", f"1: share of the time with a known regime in {h} s that was tight"),
            Column("spread_regime_wide_frac", f"1: share of the time with a known regime in {h} s that was wide"),
        )

    @property
    def _unit(self) -> str:
        """Unit of the thresholds of tight and wide spreads."""
        return "bps" if self.params["regime_mode"] == "static" else "percentile"

    @cached_property
    def shares(self) -> dict[int, Windows]:
        span = [self.params["regime_window"]]
        return {_TIGHT: time_weighted("tight", span), _WIDE: time_weighted("wide", span)}

    def start(self) -> State:
        empty = {"times": np.empty(0, np.int64), "ticks": np.empty(0, np.int64), "scale": np.zeros(1)}
        return empty | {name: array for each in self.shares.values() for name, array in each.start().items()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        percentile = self._percentiles(state, batch)
        regime = self._regimes(percentile, batch)
        known = regime >= 0
        shares = (
            windows.run(state, batch, np.where(known, (regime == which).astype(np.float64), np.nan))[0, 0]
            for which, windows in self.shares.items()
        )
        return percentile, regime, *shares

    def _percentiles(self, state: State, batch: Batch) -> Floats:
        known, ticks = self._ticks(state, batch)
        ticks = np.concatenate((state["ticks"], ticks))
        codes, tree = ticks, np.zeros((2, 0), np.int64)
        if len(batch) >= _SMALL:
            values = np.unique(ticks)
            codes, tree = np.searchsorted(values, ticks), np.zeros((2, len(values) + 1), np.int64)
        out, head = np.empty(len(batch)), np.zeros(1, np.int64)
        span = np.array([self.params["regime_window"] * NANOSECONDS])
        frames = find_frames(rows_as_items(batch, known), state["times"], span, head)
        mid_ranks(frames, len(state["times"]), known, codes, tree, out)
        state |= {"times": frames.times[head[0] :].copy(), "ticks": ticks[head[0] :].copy()}
        return out

    def _ticks(self, state: State, batch: Batch) -> tuple[NDArray[np.bool_], Ints]:
        """Mask of the rows with a spread; spreads as integers, to 12 digits below the first mid's leading one."""
        mid, spread = batch["mid_price"], batch["spread"]
        valid = ~np.isnan(mid)
        if state["scale"][0] == 0 and (large := np.abs(mid[valid & (mid != 0)])).size:
            state["scale"] = np.array([10.0 ** (12 - math.floor(math.log10(large[0])))])
        known = valid & ~np.isnan(spread)
        return known, np.rint(np.clip(spread[known] * state["scale"], -_MOST, _MOST)).astype(np.int64)

    def _regimes(self, percentile: Floats, batch: Batch) -> NDArray[np.int8]:
        unit = self._unit
        measure = np.where(np.isnan(batch["mid_price"]), np.nan, batch["spread_bps"]) if unit == "bps" else percentile
        tight, wide = self.params[f"tight_{unit}"], self.params[f"wide_{unit}"]
        conditions = [np.isnan(measure), measure <= tight, measure >= wide]
        return np.select(conditions, [-1, _TIGHT, _WIDE], _NORMAL).astype(np.int8)
