"""Means weighted by time: a value holds from its row to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from udfs.compensated import add, two_product
from udfs.jit import jit
from udfs.windows import Floats, Ints, Windows, difference, evict


@jit
def roll_held(
    ts: Ints,
    starts: NDArray[np.int8],
    values: Floats,
    spans: Ints,
    count: int,
    times: Ints,
    before: Floats,
    heads: Ints,
    totals: Floats,
    out: Floats,
) -> tuple[int, int]:
    """Plane of ``out``: mean of what is known. The arguments are those of ``windows.roll_sums``.

    Totals: sum of value times ns, sum of ns with a known value. The history has all rows, with the totals up to their
    time and their value; it reaches one row behind the windows, whose value may hold into them.
    """
    base = low = 0
    for i in range(len(ts)):
        if starts[i]:
            base = count
            for k in range(len(spans)):
                heads[k] = count
            for p in range(4):
                totals[p] = 0.0
        elif not np.isnan(before[count - 1, 4]):
            held = float(max(ts[i] - times[count - 1], 0))
            area, rest = two_product(before[count - 1, 4], held)
            totals[0], totals[1] = add(totals[0], totals[1], area, rest)
            totals[2], totals[3] = add(totals[2], totals[3], held, 0.0)
        low = max(evict(times, heads, spans, ts[i], count) - 1, base)
        times[count] = ts[i]
        for p in range(4):
            before[count, p] = totals[p]
        before[count, 4] = values[i]
        count += 1
        for k in range(len(spans)):
            head = heads[k]
            area, seconds = totals[0], totals[2]
            if head > base:
                area, rest = difference(totals, before, head - 1, 0)
                seconds, _ = difference(totals, before, head - 1, 2)
                value = before[head - 1, 4]
                outside = float(ts[i] - spans[k] - times[head - 1])
                if outside > 0 and not np.isnan(value):
                    part, less = two_product(value, outside)
                    area, _ = add(area, rest, -part, -less)
                    seconds -= outside
            out[0, k, i] = area / seconds if seconds > 0 else np.nan
    return low, count


def held(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give the mean over the time with a known value."""
    return Windows(name, horizons, roll_held, columns=5, totals=4, planes=1)
