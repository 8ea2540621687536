"""Traded volume by side over windows, exact where trades come and go."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Floats, Ints, NDArray, Record, record
from udfs.trades.tape import Tape
from udfs.windows import Windows
from udfs.windows.compensated import add, two_sum
from udfs.windows.frames import Items, close_frames, open_frames

_NEGLIGIBLE = 1e-10
_KINDS = 3
_SOLD, _UNKNOWN, _BOUGHT = range(_KINDS)
"""Kinds of trades: their side and 1."""
_FIELDS = {"volume": 0.0, "rest": 0.0, "count": 0, "head": 0}
"""By kind: volume as a pair in twice the precision and number of trades; the first trade that the window holds."""


@jit
def _move(flow: Record, change: float) -> bool:
    """Take a trade in (``change`` above 0) or out; True if the volume left is nothing against one that went out."""
    flow.count += 1 if change > 0 else -1
    high = low = 0.0
    if flow.count > 0:
        high, rest = two_sum(flow.volume, change)
        high, low = two_sum(high, flow.rest + rest)
    flow.volume, flow.rest = high, low
    return bool(-change * _NEGLIGIBLE > high)


@jit
def _clear(flows: Array, at: int) -> None:
    for kind in range(at, at + _KINDS):
        flows[kind].volume = flows[kind].rest = 0.0
        flows[kind].count = 0


@jit
def _read(flows: Array, at: int) -> tuple[float, float]:
    """(bought - sold) / (bought + sold), NaN where nothing was signed; volume of all trades."""
    bought, sold, unknown = flows[at + _BOUGHT], flows[at + _SOLD], flows[at + _UNKNOWN]
    signed, rest = add(bought.volume, bought.rest, sold.volume, sold.rest)
    imbalance = math.nan
    if signed > 0.0:
        imbalance = add(bought.volume, bought.rest, -sold.volume, -sold.rest)[0] / signed
    return imbalance, add(signed, rest, unknown.volume, unknown.rest)[0]


@jit
def roll_volumes(
    items: Items,
    spans: Ints,
    amount: Floats,
    side: NDArray[np.int8],
    times: Ints,
    history: Array,
    heads: Ints,
    carried: Array,
) -> tuple[Floats, tuple[Ints, Array, Ints]]:
    """Statistics: imbalance, volume."""
    frames, past, moved = open_frames(items, spans, times, history, heads)
    out = np.empty((2, len(spans), len(frames.rows)))
    amounts, kinds, low, count = past["amount"], past["kind"], 0, len(times)
    amounts[count:], kinds[count:] = amount, side + 1
    for i in range(len(frames.end)):
        low, end, starts = frames.oldest[i], frames.end[i], frames.starts[i]
        for k in range(len(spans)):
            at, first, large = _KINDS * k, frames.first[i, k], False
            if starts:
                _clear(carried, at)
                carried[at].head = end
            for j in range(count, end if not starts else count):
                _move(carried[at + int(kinds[j])], amounts[j])
            for j in range(carried[at].head, first):
                large |= _move(carried[at + int(kinds[j])], -amounts[j])
            if large:
                _clear(carried, at)
                for j in range(first, end):
                    _move(carried[at + int(kinds[j])], amounts[j])
            carried[at].head = first
            out[0, k, i], out[1, k, i] = _read(carried, at)
        count = end
    for k in range(len(spans)):
        carried[_KINDS * k].head -= low
    return out, close_frames(frames, past, moved, low)


def volumes(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give imbalance and volume of trades, from their amounts and sides."""
    return Windows(name, horizons, roll_volumes, np.isfinite, ("amount", "kind"), _FIELDS, per_window=_KINDS)


@jit
def _sum_rows(tape: Tape, flows: Array, out: Floats) -> None:
    for i in range(len(tape.rows)):
        _clear(flows, 0)
        for j in range(tape.first[i], tape.end[i]):
            _move(flows[tape.side[j] + 1], tape.amount[j])
        if not tape.starts[i]:
            out[0, i], out[1, i] = flows[_BOUGHT].volume, flows[_SOLD].volume
            out[3, i], out[2, i] = _read(flows, 0)


def volumes_by_row(tape: Tape, out: Floats) -> None:
    """Write bought, sold and whole volume and imbalance of the trades since the row before."""
    _sum_rows(tape, np.repeat(record(**_FIELDS), _KINDS), out)
