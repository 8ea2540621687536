"""Buckets of equal volume in whole lots, and the daily volume that may set their size.

Volumes are integers here, so that no volume is lost or made when a trade is cut.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sqlgen.options import Option
from udfs.compensated import add
from udfs.jit import jit

LOT_SIZE = Option(
    type="float", default=1e-8, gt=0, doc="smallest volume that counts; volumes are compared in whole lots"
)
MOST_LOTS = 2**62
TRAILING_DAYS = 20
BUCKETS_PER_DAY = 50
_DAY_NS = 86_400_000_000_000

FILLED, SIZE, CLOSED, REMEMBERED = 0, 1, 2, 3
NET, IMBALANCE, IMBALANCE_REST = 0, 1, 2
STARTED, DAY, DAY_LOTS, DAY_IS_WHOLE, KNOWN_DAYS, DAILY_SIZE = 0, 1, 2, 3, 4, 5


class Buckets(NamedTuple):
    """The open bucket, and a ring of the last closed ones."""

    counts: NDArray[np.int64]
    """FILLED and SIZE of the open bucket in lots; number CLOSED; lots of the REMEMBERED buckets."""
    sums: NDArray[np.float64]
    """NET lots bought in the open bucket; sum of the remembered imbalances, a pair."""
    imbalances: NDArray[np.float64]
    """|bought - sold| lots of each remembered bucket."""
    sizes: NDArray[np.int64]
    """Lots of each remembered bucket."""


class Days(NamedTuple):
    """Traded lots by UTC day."""

    now: NDArray[np.int64]
    """STARTED (0 or 1), DAY since the epoch, DAY_LOTS, DAY_IS_WHOLE (0 or 1), KNOWN_DAYS, DAILY_SIZE (0: unknown)."""
    lots: NDArray[np.int64]
    """A ring of the last whole days."""


def lots_of(volume: NDArray[np.float64], lot_size: float) -> NDArray[np.int64]:
    """Volumes in whole lots, 0 where the volume is NaN or less than half a lot."""
    with np.errstate(over="ignore"):
        counted = np.rint(volume / lot_size)
    counted = np.where(counted > 0, counted, 0.0)
    if counted.max(initial=0.0) > MOST_LOTS:
        raise ValueError(f"a trade of {counted.max() * lot_size:g} has more than 2**62 lots of lot_size {lot_size:g}")
    return counted.astype(np.int64)


def size_in_lots(size: float, lot_size: float, option: str, buckets: int = 1) -> int:
    """The size that ``option`` gives, in lots; so small that the lots of ``buckets`` of them can be counted."""
    lots = round(size / lot_size)
    if lots < 1:
        raise ValueError(f"{option} {size:g} is less than one lot; lot_size is {lot_size:g}")
    if lots * buckets > MOST_LOTS:
        raise ValueError(f"{option} {size:g} has too many lots; lot_size is {lot_size:g}")
    return lots


@jit
def _close(buckets: Buckets) -> None:
    counts, sums = buckets.counts, buckets.sums
    slot = counts[CLOSED] % len(buckets.sizes)
    imbalance = abs(sums[NET])
    # A slot that was not used yet holds zeros.
    high, low = add(sums[IMBALANCE], sums[IMBALANCE_REST], -buckets.imbalances[slot], 0.0)
    sums[IMBALANCE], sums[IMBALANCE_REST] = add(high, low, imbalance, 0.0)
    counts[REMEMBERED] += counts[SIZE] - buckets.sizes[slot]
    buckets.imbalances[slot] = imbalance
    buckets.sizes[slot] = counts[SIZE]
    counts[CLOSED] += 1
    counts[FILLED] = 0
    sums[NET] = 0.0


@jit
def pour(lots: int, sign: float, size: int, buckets: Buckets) -> None:
    """Fill buckets with ``lots``; those that open have ``size``.

    ``sign``: share bought less share sold, from -1 to 1. Sums are exact for signs -1, 0, 1 and buckets below 2**53
    lots.
    """
    counts = buckets.counts
    while lots > 0:
        if counts[FILLED] == 0:
            counts[SIZE] = size
            # Of many equal buckets only the last are remembered: a trade of a billion buckets takes no longer.
            forgotten = max(lots // size - len(buckets.sizes), 0)
            counts[CLOSED] += forgotten
            lots -= forgotten * size
        part = min(lots, counts[SIZE] - counts[FILLED])
        buckets.sums[NET] += sign * part
        counts[FILLED] += part
        lots -= part
        if counts[FILLED] == counts[SIZE]:
            _close(buckets)


@jit
def empty(buckets: Buckets) -> None:
    """Throw away what is in the open bucket."""
    buckets.counts[FILLED] = 0
    buckets.sums[NET] = 0.0


@jit
def toxicity(buckets: Buckets) -> float:
    """Imbalance of the remembered buckets over their volume, 0 to 1; NaN until there are enough of them."""
    if buckets.counts[CLOSED] < len(buckets.sizes):
        return math.nan
    return min(float(buckets.sums[IMBALANCE] / buckets.counts[REMEMBERED]), 1.0)


@jit
def count_day(ts: int, lots: int, max_gap: int, days: Days) -> None:
    """Count the lots of a trade at ``ts`` (ns) for its day; the size of buckets follows from the days before it."""
    now = days.now
    day = ts // _DAY_NS
    if now[STARTED] == 0:
        now[STARTED] = 1
        now[DAY] = day
        now[DAY_IS_WHOLE] = ts - day * _DAY_NS <= max_gap
    elif day > now[DAY]:
        if now[DAY_IS_WHOLE] == 1:
            days.lots[now[KNOWN_DAYS] % TRAILING_DAYS] = now[DAY_LOTS]
            now[KNOWN_DAYS] += 1
            now[DAILY_SIZE] = _share_of_day(days)
        now[DAY] = day
        now[DAY_LOTS] = 0
        # The feed was there before this day began.
        now[DAY_IS_WHOLE] = 1
    now[DAY_LOTS] += lots
    if now[DAY_LOTS] > MOST_LOTS // TRAILING_DAYS:
        raise ValueError("a day has more than 2**57 lots: give a larger lot_size")


@jit
def _share_of_day(days: Days) -> int:
    """The mean daily lots over BUCKETS_PER_DAY, to the nearest lot (half to even), at least 1."""
    total = 0
    known = min(days.now[KNOWN_DAYS], TRAILING_DAYS)
    for k in range(known):
        total += days.lots[k]
    divisor = known * BUCKETS_PER_DAY
    share = total // divisor
    twice_rest = 2 * (total - share * divisor)
    if twice_rest > divisor or (twice_rest == divisor and share % 2 == 1):
        share += 1
    return int(max(share, 1))
