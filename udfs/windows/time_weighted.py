"""Rolling means weighted by time: a value holds from its row to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, Record
from udfs.windows.base import Windows
from udfs.windows.compensated import add, difference, two_product
from udfs.windows.frames import Floats, Frames

_SUMS = "area", "area_rest", "time", "time_rest"


@jit
def _extend(value: float, duration: float, totals: Record) -> None:
    """Add ``duration`` ns of a value to the totals; nothing where it is not known."""
    if not np.isnan(value):
        area, rest = two_product(value, duration)
        totals.area, totals.area_rest = add(totals.area, totals.area_rest, area, rest)
        totals.time, totals.time_rest = add(totals.time, totals.time_rest, duration, 0.0)


@jit
def roll_time_weighted(frames: Frames, count: int, values: Floats, history: Array, carried: Array, out: Floats) -> int:
    """Statistic: mean of what is known. ``count``: items of the history that are not new.

    All rows are items. The history reaches one row behind the windows, whose value may hold into them.
    """
    totals, segment, low = carried[0], 0, 0
    for i in range(len(frames.rows)):
        now = frames.rows[i]
        if frames.starts[i]:
            segment = count
            totals.area = totals.area_rest = totals.time = totals.time_rest = 0.0
        else:
            _extend(history["value"][count - 1], float(max(now - frames.times[count - 1], 0)), totals)
        low = max(min(frames.oldest[i], count) - 1, segment)
        history["area"][count], history["area_rest"][count] = totals.area, totals.area_rest
        history["time"][count], history["time_rest"][count] = totals.time, totals.time_rest
        history["value"][count] = values[i]
        count += 1
        for k in range(len(frames.spans)):
            area, seconds, before = totals.area, totals.time, frames.first[i, k] - 1
            if before >= segment:
                area, rest = difference(
                    totals.area, totals.area_rest, history["area"][before], history["area_rest"][before]
                )
                seconds, _ = difference(
                    totals.time, totals.time_rest, history["time"][before], history["time_rest"][before]
                )
                value = history["value"][before]
                outside = float(now - frames.spans[k] - frames.times[before])
                if outside > 0 and not np.isnan(value):
                    part, less = two_product(value, outside)
                    area, _ = add(area, rest, -part, -less)
                    seconds -= outside
            out[0, k, i] = area / seconds if seconds > 0 else np.nan
    return low


def time_weighted(name: str, horizons: Sequence[int]) -> Windows:
    """Windows that give the mean over the time with a known value."""
    totals = dict.fromkeys(_SUMS, 0.0)
    return Windows(
        name, horizons, 1, roll_time_weighted, lambda x: np.ones(len(x), np.bool_), (*_SUMS, "value"), totals
    )
