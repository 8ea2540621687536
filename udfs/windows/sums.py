"""Rolling sums and means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Floats, Ints, Record
from udfs.windows.base import Windows
from udfs.windows.compensated import add, difference
from udfs.windows.frames import Items, close_frames, open_frames

FEW_DIGITS = 2.0**-34
"""Share of a sum in one double below which a difference of such sums may be rounding."""


@jit
def _add(history: Array, at: int, value: float, totals: Record) -> None:
    """Write item ``at`` with the totals before it, and add it to them."""
    history["total"][at], history["total_rest"][at] = totals.total, totals.total_rest
    history["gross"][at], history["value"][at] = totals.gross, value
    totals.total, totals.total_rest = add(totals.total, totals.total_rest, value, 0.0)
    totals.gross += abs(value)


@jit
def _restart(history: Array, low: int, count: int, totals: Record) -> None:
    """Restart the sums at item ``low`` of the history."""
    totals.total = totals.total_rest = totals.gross = 0.0
    for j in range(low, count):
        _add(history, j, history["value"][j], totals)


@jit
def _sum_of(values: Floats, first: int, end: int) -> float:
    high = low = 0.0
    for j in range(first, end):
        high, low = add(high, low, values[j], 0.0)
    return high


@jit
def roll_sums(
    items: Items,
    spans: Ints,
    values: Floats,
    times: Ints,
    history: Array,
    heads: Ints,
    carried: Array,
) -> tuple[Floats, tuple[Ints, Array, Ints]]:
    """Statistics: sum, mean."""
    frames, past, moved = open_frames(items, spans, times, history, heads)
    out = np.empty((2, len(spans), len(frames.rows)))
    totals, low, count, new = carried[0], 0, len(times), len(times)
    for i in range(len(frames.end)):
        low = frames.oldest[i]
        for j in range(count, frames.end[i]):
            value = values[j - new]
            if j == low:
                totals.total = totals.total_rest = totals.gross = totals.last = 0.0
            if value != totals.last:
                totals.run = j
            _add(past, j, value, totals)
            totals.last = value
        count = frames.end[i]
        if low < count and totals.gross > 0.0 and not totals.gross - past["gross"][low] > FEW_DIGITS * totals.gross:
            _restart(past, low, count, totals)
        for k in range(len(frames.spans)):
            head, n = frames.first[i, k], count - frames.first[i, k]
            total = np.nan
            if n > 0:
                if totals.run <= head:
                    total = n * totals.last
                elif totals.gross - past["gross"][head] > FEW_DIGITS * totals.gross:
                    total, _ = difference(
                        totals.total, totals.total_rest, past["total"][head], past["total_rest"][head]
                    )
                else:
                    total = _sum_of(past["value"], head, count)
            out[0, k, i], out[1, k, i] = total, total / n if n > 0 else np.nan
    totals.run -= low
    return out, close_frames(frames, past, moved, low)


def sums(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give sum and mean of the values that are there."""
    totals = {"total": 0.0, "total_rest": 0.0, "gross": 0.0, "last": 0.0, "run": 0}
    history = ("total", "total_rest", "gross", "value")
    return Windows(name, horizons, roll_sums, lambda values: ~np.isnan(values), history, totals)
