"""Rolling means weighted by time: a value holds from its row to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Floats, Ints, Record
from udfs.windows.base import Windows
from udfs.windows.compensated import add, difference, two_product
from udfs.windows.frames import Items, close_frames, open_frames

_SUMS = "area", "area_rest", "time", "time_rest"


@jit
def _extend(value: float, duration: float, totals: Record) -> None:
    """Add ``duration`` ns of a value to the totals; nothing where it is not known."""
    if not np.isnan(value):
        area, rest = two_product(value, duration)
        totals.area, totals.area_rest = add(totals.area, totals.area_rest, area, rest)
        totals.time, totals.time_rest = add(totals.time, totals.time_rest, duration, 0.0)


@jit
def roll_time_weighted(
    items: Items,
    spans: Ints,
    values: Floats,
    times: Ints,
    history: Array,
    heads: Ints,
    carried: Array,
) -> tuple[Floats, tuple[Ints, Array, Ints]]:
    """Statistic: mean of what is known.

    All rows are items. The history reaches one row behind the windows, whose value may hold into them.
    """
    frames, past, moved = open_frames(items, spans, times, history, heads)
    out = np.empty((1, len(spans), len(frames.rows)))
    totals, segment, low, count = carried[0], 0, 0, len(times)
    for i in range(len(frames.rows)):
        now = frames.rows[i]
        if frames.starts[i]:
            segment = count
            totals.area = totals.area_rest = totals.time = totals.time_rest = 0.0
        else:
            _extend(past["value"][count - 1], float(max(now - frames.times[count - 1], 0)), totals)
        low = max(min(frames.oldest[i], count) - 1, segment)
        past["area"][count], past["area_rest"][count] = totals.area, totals.area_rest
        past["time"][count], past["time_rest"][count] = totals.time, totals.time_rest
        past["value"][count] = values[i]
        count += 1
        for k in range(len(frames.spans)):
            area, seconds, before = totals.area, totals.time, frames.first[i, k] - 1
            if before >= segment:
                area, rest = difference(totals.area, totals.area_rest, past["area"][before], past["area_rest"][before])
                seconds, _ = difference(totals.time, totals.time_rest, past["time"][before], past["time_rest"][before])
                value = past["value"][before]
                outside = float(now - frames.spans[k] - frames.times[before])
                if outside > 0 and not np.isnan(value):
                    part, less = two_product(value, outside)
                    area, _ = add(area, rest, -part, -less)
                    seconds -= outside
            out[0, k, i] = area / seconds if seconds > 0 else np.nan
    return out, close_frames(frames, past, moved, low)


def time_weighted(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give the mean over the time with a known value."""
    totals = dict.fromkeys(_SUMS, 0.0)
    return Windows(
        name,
        horizons,
        roll_time_weighted,
        lambda x: np.ones(len(x), np.bool_),
        (*_SUMS, "value"),
        totals,
    )
