"""Traded volume by side over windows, exact where trades come and go."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Record, record
from udfs.trades.tape import Tape
from udfs.windows import Windows
from udfs.windows.compensated import add, two_sum
from udfs.windows.frames import Floats, Ints, Items, close_frames, open_frames

_NEGLIGIBLE = 1e-10
_FIELDS = {
    **dict.fromkeys(("bought", "bought_rest", "sold", "sold_rest", "unknown", "unknown_rest"), 0.0),
    **dict.fromkeys(("buys", "sells", "unknowns", "head"), 0),
}
"""Volumes as pairs in twice the precision, numbers of trades, and the first trade that the window holds."""


@jit
def _moved(count: int, high: float, low: float, change: float) -> tuple[int, float, float]:
    """Number of trades and their volume (a pair) after one came (``change`` above 0) or left."""
    count += 1 if change > 0 else -1
    if count == 0:
        return 0, 0.0, 0.0
    high, rest = two_sum(high, change)
    high, low = two_sum(high, low + rest)
    return count, high, low


@jit
def _move(flow: Record, change: float, side: float) -> bool:
    """Take a trade in (``change`` above 0) or out; True if the volume left is nothing against one that went out."""
    if side > 0:
        flow.buys, flow.bought, flow.bought_rest = _moved(flow.buys, flow.bought, flow.bought_rest, change)
        left = flow.bought
    elif side < 0:
        flow.sells, flow.sold, flow.sold_rest = _moved(flow.sells, flow.sold, flow.sold_rest, change)
        left = flow.sold
    else:
        flow.unknowns, flow.unknown, flow.unknown_rest = _moved(flow.unknowns, flow.unknown, flow.unknown_rest, change)
        left = flow.unknown
    return bool(-change * _NEGLIGIBLE > left)


@jit
def _clear(flow: Record) -> None:
    flow.bought = flow.bought_rest = flow.sold = flow.sold_rest = flow.unknown = flow.unknown_rest = 0.0
    flow.buys = flow.sells = flow.unknowns = 0


@jit
def _read(flow: Record) -> tuple[float, float]:
    """(bought - sold) / (bought + sold), NaN where nothing was signed; volume of all trades."""
    signed, rest = add(flow.bought, flow.bought_rest, flow.sold, flow.sold_rest)
    imbalance = math.nan
    if signed > 0.0:
        imbalance = add(flow.bought, flow.bought_rest, -flow.sold, -flow.sold_rest)[0] / signed
    return imbalance, add(signed, rest, flow.unknown, flow.unknown_rest)[0]


@jit
def roll_volumes(
    items: Items,
    spans: Ints,
    amount: Floats,
    side: Floats,
    times: Ints,
    history: Array,
    heads: Ints,
    carried: Array,
) -> tuple[Floats, Array, tuple[Ints, Array, Ints]]:
    """Statistics: imbalance, volume."""
    frames, past, moved, sums = open_frames(items, spans, times, history, heads, carried)
    out = np.empty((2, len(spans), len(frames.rows)))
    amounts, sides, low, count = past["amount"], past["side"], 0, len(times)
    amounts[count:], sides[count:] = amount, side
    for i in range(len(frames.end)):
        low, end = frames.oldest[i], frames.end[i]
        for k in range(len(frames.spans)):
            flow, first, large = sums[k], frames.first[i, k], False
            if frames.starts[i]:
                _clear(flow)
                flow.head = end
            for j in range(count, end if not frames.starts[i] else count):
                _move(flow, amounts[j], sides[j])
            for j in range(flow.head, first):
                large |= _move(flow, -amounts[j], sides[j])
            if large:
                _clear(flow)
                for j in range(first, end):
                    _move(flow, amounts[j], sides[j])
            flow.head = first
            out[0, k, i], out[1, k, i] = _read(flow)
        count = end
    for k in range(len(frames.spans)):
        sums[k].head -= low
    return out, sums, close_frames(frames, past, moved, low)


def volumes(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give imbalance and volume of trades, from their amounts and sides."""
    return Windows(name, horizons, roll_volumes, np.isfinite, ("amount", "side"), _FIELDS, per_window=True)


@jit
def _sum_rows(tape: Tape, flows: Array, out: Floats) -> None:
    flow = flows[0]
    for i in range(len(tape.rows)):
        _clear(flow)
        for j in range(tape.first[i], tape.end[i]):
            _move(flow, tape.amount[j], tape.side[j])
        if not tape.starts[i]:
            out[0, i], out[1, i] = flow.bought, flow.sold
            out[3, i], out[2, i] = _read(flow)


def volumes_by_row(tape: Tape, out: Floats) -> None:
    """Write bought, sold and whole volume and imbalance of the trades since the row before."""
    _sum_rows(tape, record(**_FIELDS), out)
