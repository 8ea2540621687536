"""Order flow imbalance of the best level and of several (Cont, Kukanov, Stoikov 2014; Xu, Gould, Howison 2019)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from udfs.jit import jit
from udfs.kernel import HORIZONS, MAX_GAP, SEGMENT_START, Array, Batch, Column, Kernel, NDArray, State, record
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
    state: State, batch: Batch, previous: NDArray[np.int64], last: int, weights: Sequence[float]
) -> tuple[list[Array], NDArray[np.float64], NDArray[np.float64]]:
    """Flow per level, their sum with ``weights`` and their plain sum. Moves ``state``; lags are those of ``lag``."""
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


def start(levels: int) -> State:
    """Lags and levels before the first row of a history."""
    return {**lags.start(), "carried": np.repeat(record(**dict.fromkeys(_FIELDS, math.nan)), levels)}


def level_columns(level: int) -> list[str]:
    """Template columns of a level."""
    return [f"{field}_{level:02}" for field in _FIELDS]


@jit
def _met(levels: NDArray[np.float64], at: int, towards: float, price: float, whole: bool) -> tuple[float, float]:
    """Sizes of one side of a row that lie ahead of a price, and at it; NaN where the side is cut off before it.

    ``levels``: price, size, price, size, ... of the side, a row each; ``towards``: 1 for bids, -1 for asks.
    """
    ahead = 0.0
    for k in range(0, len(levels), 2):
        distance = towards * (levels[k, at] - price)
        if np.isnan(distance):
            break
        if distance <= 0.0:
            return ahead, levels[k + 1, at] if distance == 0.0 else 0.0
        ahead += levels[k + 1, at]
    return (ahead, 0.0) if whole else (np.nan, np.nan)


@jit
def _side_flow_by_price(
    new: NDArray[np.float64],
    at: int,
    old: NDArray[np.float64],
    at_old: int,
    towards: float,
    whole: bool,
    whole_old: bool,
) -> float:
    """Size that came to the prices of one side up to the lesser of its two best ones."""
    moved = towards * (new[0, at] - old[0, at_old])
    if moved >= 0.0:
        ahead, there = _met(new, at, towards, old[0, at_old], whole)
        return float(ahead + (there - old[1, at_old]))
    ahead, there = _met(old, at_old, towards, new[0, at], whole_old)
    return float((new[1, at] - there) - ahead)


@jit
def flow_by_price(
    bids: NDArray[np.float64],
    asks: NDArray[np.float64],
    whole: NDArray[np.bool_],
    previous: NDArray[np.int64],
    last_bids: NDArray[np.float64],
    last_asks: NDArray[np.float64],
    last_whole: NDArray[np.bool_],
    flow: NDArray[np.float64],
) -> None:
    """Order flow by price instead of by level (u), NaN where a book is cut off before the prices that count.

    ``whole``: a row for the bids and one for the asks; ``last_``: the same of the last valid row before the batch.
    """
    for i in range(len(previous)):
        flow[i] = np.nan
        row = previous[i]
        if row == lags.NONE:
            continue
        if row >= 0:
            bought = _side_flow_by_price(bids, i, bids, row, 1.0, whole[0, i], whole[0, row])
            sold = _side_flow_by_price(asks, i, asks, row, -1.0, whole[1, i], whole[1, row])
        else:
            bought = _side_flow_by_price(bids, i, last_bids, 0, 1.0, whole[0, i], last_whole[0, 0])
            sold = _side_flow_by_price(asks, i, last_asks, 0, -1.0, whole[1, i], last_whole[1, 0])
        flow[i] = bought - sold


def _horizons(kernel: Kernel, stem: str, wanted: Collection[str]) -> list[int]:
    """All horizons where one is wanted: the rounding of a window's sum depends on the longest window beside it."""
    return kernel.params["horizons"] if any(name.startswith(stem) for name in wanted) else []


_FLOW = "order flow imbalance: B if b > b', B - B' if b = b', -B' if b < b', less the ask's mirror image"
"""With b and B, price and size of the best bid, and b' and B' of the valid row before."""
_FLOW_BY_PRICE = "u: sum of B - B' over prices from min(b, b') on, less the ask's mirror image; NULL if cut off"
_WHOLE = "bid_is_whole", "ask_is_whole"


class Ofi(Kernel):
    """Order flow imbalance of the best level, by level and by price."""

    name = "ofi"
    version = 3
    doc = (
        "Order flow imbalance of the best level, its rolling sums (Cont, Kukanov, Stoikov 2014), and the same by price"
    )
    options = {
        "ofi_price": Option(
            type="bool",
            default=True,
            doc="give ofi_price, for which rows have max_levels levels, bid_is_whole and ask_is_whole",
        ),
        "horizons": HORIZONS,
        "max_gap": MAX_GAP,
    }

    @property
    def kept(self) -> int:
        """Levels by which flow by price is known, those that the template keeps; 0 where it is not wanted."""
        return int(self.params["max_levels"]) if self.params["ofi_price"] else 0

    def _side(self, side: str) -> list[str]:
        return [f"{side}_{field}_{i:02}" for i in range(self.kept) for field in ("price", "size")]

    def inputs(self) -> Sequence[str]:
        by_price = (*self._side("bid"), *self._side("ask"), *_WHOLE) if self.kept else ()
        return tuple(dict.fromkeys((SEGMENT_START, "mid_price", *level_columns(0), *by_price)))

    def outputs(self) -> Sequence[Column]:
        by_price = (Column("ofi_price", _FLOW_BY_PRICE),) if self.kept else ()
        sums = (Column(f"ofi_sum_{h}s", f"u: sum of ofi over {h} s [Cont 2014]") for h in self.params["horizons"])
        return Column("ofi", f"u: {_FLOW} [Cont 2014]"), *by_price, *sums

    def narrowed(self, wanted: Collection[str]) -> Mapping[str, Any]:
        by_price = self.params["ofi_price"] and "ofi_price" in wanted
        return {"ofi_price": by_price, "horizons": _horizons(self, "ofi_sum", wanted)}

    @cached_property
    def sums(self) -> Windows:
        return sums("sums", self.params["horizons"])

    def start(self) -> State:
        last = {side: np.full((2 * self.kept, 1), np.nan) for side in ("bids", "asks")} if self.kept else {}
        whole = {"whole": np.zeros((2, 1), np.bool_)} if self.kept else {}
        return {**start(1), **last, **whole, **self.sums.start()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        previous, _, last = lags.lag(state, batch, self.params["max_gap"])
        (flow,), _, _ = flows(state, batch, previous, last, [1.0])
        by_price = (self._by_price(state, batch, previous, last),) if self.kept else ()
        rolled = self.sums.run(state, batch, flow)[0] if self.params["horizons"] else ()
        return flow, *by_price, *rolled

    def _by_price(self, state: State, batch: Batch, previous: NDArray[np.int64], last: int) -> NDArray[np.float64]:
        bids, asks = (np.stack([batch[column] for column in self._side(side)]) for side in ("bid", "ask"))
        whole = np.stack([batch[column] == 1.0 for column in _WHOLE])
        flow = np.empty(len(batch))
        flow_by_price(bids, asks, whole, previous, state["bids"], state["asks"], state["whole"], flow)
        if last >= 0:
            now = {"bids": bids, "asks": asks, "whole": whole}
            state |= {name: np.ascontiguousarray(rows[:, last : last + 1]) for name, rows in now.items()}
        return flow


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

    def narrowed(self, wanted: Collection[str]) -> Mapping[str, Any]:
        """Sums over levels need all of them; the flow of one level needs none below it."""
        levels = range(1, self.params["ofi_levels"])
        deepest = max((i + 1 for i in levels if f"ofi_{i:02}" in wanted), default=1)
        over_all = any(not name.removeprefix("ofi_").isdecimal() for name in wanted)
        count = self.params["ofi_levels"] if over_all else deepest
        return {"ofi_levels": count, "horizons": _horizons(self, "mlofi_sum", wanted)}

    @cached_property
    def sums(self) -> Windows:
        return sums("sums", self.params["horizons"])

    def start(self) -> State:
        return {**start(self.params["ofi_levels"]), **self.sums.start()}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        weights = [math.exp(-self.params["mlofi_decay"] * i) for i in range(self.params["ofi_levels"])]
        previous, _, last = lags.lag(state, batch, self.params["max_gap"])
        levels, weighted, plain = flows(state, batch, previous, last, weights)
        rolled = self.sums.run(state, batch, weighted)[0] if self.params["horizons"] else ()
        return *levels[1:], weighted, plain, *rolled
