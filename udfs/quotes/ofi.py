"""Order flow imbalance of the best level and of several (Cont, Kukanov, Stoikov 2014; Xu, Gould, Howison 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from udfs.jit import jit
from udfs.kernel import HORIZONS, MAX_GAP, SEGMENT_START, Array, Batch, Column, Kernel, State, record
from udfs.options import Option
from udfs.quotes import lags
from udfs.windows import Windows, sums

_FIELDS = "bid_price", "bid_size", "ask_price", "ask_size"


@jit
def side_flow(towards: float, size: float, size_before: float) -> float:
    """Size that came to one side's level; ``towards``: move of its price towards the other side (q)."""
    if towards > 0:
        return size
    if towards < 0:
        return -size_before
    return size - size_before


@jit
def level_flow(
    bid_price: NDArray[np.float64],
    bid_size: NDArray[np.float64],
    ask_price: NDArray[np.float64],
    ask_size: NDArray[np.float64],
    previous: NDArray[np.int64],
    carried: Array,
    weight: float,
    flow: NDArray[np.float64],
    weighted: NDArray[np.float64],
    plain: NDArray[np.float64],
) -> None:
    """Flow of one level (u), also added to the sums over levels ``weighted`` and ``plain``, which start as NaN.

    ``carried``: the level on the last valid row before the batch.
    """
    valid = carried[0]
    for i in range(len(previous)):
        flow[i] = np.nan
        row = previous[i]
        if row == lags.NONE:
            continue
        bid, bid_before, ask, ask_before = valid.bid_price, valid.bid_size, valid.ask_price, valid.ask_size
        if row >= 0:
            bid, bid_before, ask, ask_before = bid_price[row], bid_size[row], ask_price[row], ask_size[row]
        bought, sold = bid_price[i] - bid, ask - ask_price[i]
        if np.isnan(bought) or np.isnan(sold):
            continue
        e = side_flow(bought, bid_size[i], bid_before) - side_flow(sold, ask_size[i], ask_before)
        if np.isnan(e):
            continue
        flow[i] = e
        weighted[i] = weight * e if np.isnan(weighted[i]) else weighted[i] + weight * e
        plain[i] = e if np.isnan(plain[i]) else plain[i] + e


def flows(
    state: State, batch: Batch, max_gap: float | None, weights: Sequence[float]
) -> tuple[list[Array], NDArray[np.float64], NDArray[np.float64]]:
    """Flow per level, their sum with ``weights`` and their plain sum. Moves ``state``."""
    previous, _, last = lags.lag(state, batch, max_gap)
    carried = state["carried"] = state["carried"].copy()
    weighted, plain = np.full(len(batch), np.nan), np.full(len(batch), np.nan)
    levels = []
    for i, weight in enumerate(weights):
        bid, bid_size, ask, ask_size = fields = [batch[column] for column in level_columns(i)]
        flow = np.empty(len(batch))
        level_flow(bid, bid_size, ask, ask_size, previous, carried[i : i + 1], weight, flow, weighted, plain)
        levels.append(flow)
        if last >= 0:
            carried[i] = tuple(field[last] for field in fields)
    return levels, weighted, plain


def _start(levels: int) -> State:
    """Lags and levels before the first row of a history."""
    return {**lags.start(), "carried": np.repeat(record(**dict.fromkeys(_FIELDS, math.nan)), levels)}


def level_columns(level: int) -> list[str]:
    """Template columns of a level."""
    return [f"{field}_{level:02}" for field in _FIELDS]


_FLOW = "order flow imbalance: B if b > b', B - B' if b = b', -B' if b < b', less the ask's mirror image"
"""With b and B, price and size of the best bid, and b' and B' of the valid row before."""


class Ofi(Kernel):
    """Order flow imbalance of the best level."""

    name = "ofi"
    version = 2
    doc = "Order flow imbalance of the best level and its rolling sums (Cont, Kukanov, Stoikov 2014)"
    options = {"horizons": HORIZONS, "max_gap": MAX_GAP}

    def inputs(self) -> Sequence[str]:
        return SEGMENT_START, "mid_price", *level_columns(0)

    def outputs(self) -> Sequence[Column]:
        sums = (Column(f"ofi_sum_{h}s", f"u: sum of ofi over {h} s [Cont 2014]") for h in self.params["horizons"])
        return Column("ofi", f"u: {_FLOW} [Cont 2014]"), *sums

    @cached_property
    def sums(self) -> Windows:
        return sums("sums", self.params["horizons"])

    def start(self) -> State:
        return {**_start(1), **self.sums.start()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        (flow,), _, _ = flows(state, batch, self.params["max_gap"], [1.0])
        return flow, *self.sums.run(state, batch, flow)[0]


class MultiLevelOfi(Kernel):
    """Order flow imbalance of several levels."""

    name = "mlofi"
    version = 2
    doc = "Order flow imbalance per level, and summed over levels (Xu, Gould, Howison 2019)"
    options = {
        "ofi_levels": Option(type="int", default=10, ge=1, le=100, doc="levels of mlofi and ofi_multi"),
        "mlofi_decay": Option(type="float", default=0.5, ge=0, doc="decay of mlofi's weights per level"),
        "horizons": HORIZONS,
        "max_gap": MAX_GAP,
    }

    def inputs(self) -> Sequence[str]:
        levels = range(self.params["ofi_levels"])
        return SEGMENT_START, "mid_price", *(column for i in levels for column in level_columns(i))

    def outputs(self) -> Sequence[Column]:
        count, decay = self.params["ofi_levels"], self.params["mlofi_decay"]
        return (
            *(
                Column(f"ofi_{i:02}", f"u: order flow imbalance of level {i}, as ofi of level 0 [Xu 2019]")
                for i in range(1, count)
            ),
            Column("mlofi", f"u: sum of exp(-{decay:g} i) * order flow imbalance of level i < {count} [cf. Xu 2019]"),
            Column("ofi_multi", f"u: sum of the order flow imbalance of {count} levels [cf. Xu 2019]"),
            *(Column(f"mlofi_sum_{h}s", f"u: sum of mlofi over {h} s [cf. Xu 2019]") for h in self.params["horizons"]),
        )

    @cached_property
    def sums(self) -> Windows:
        return sums("sums", self.params["horizons"])

    def start(self) -> State:
        return {**_start(self.params["ofi_levels"]), **self.sums.start()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        weights = [math.exp(-self.params["mlofi_decay"] * i) for i in range(self.params["ofi_levels"])]
        levels, weighted, plain = flows(state, batch, self.params["max_gap"], weights)
        return *levels[1:], weighted, plain, *self.sums.run(state, batch, weighted)[0]
