"""Buckets of equal volume in whole lots, and the daily volume that may set their size."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.compensated import add, two_product
from udfs.jit import jit
from udfs.lots import digits

TRAILING_DAYS = 20
BUCKETS_PER_DAY = 50
_DAY_NS = 86_400_000_000_000

FILLED, SIZE, CLOSED, REMEMBERED = 0, 1, 2, 3
NET, IMBALANCE, IMBALANCE_REST = 0, 1, 2
STARTED, DAY, DAY_IS_WHOLE, KNOWN_DAYS, DAILY_SIZE, EXPONENT = 0, 1, 2, 3, 4, 5


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
    """Traded volume by UTC day."""

    now: NDArray[np.int64]
    """STARTED (0 or 1), DAY since the epoch, DAY_IS_WHOLE (0 or 1), KNOWN_DAYS; DAILY_SIZE: lots of a bucket (0:
    unknown), and EXPONENT, the power of ten by which these lots are coarser than ``lot_size``."""
    volume: NDArray[np.float64]
    """Volume of the day in multiples of ``lot_size``: a whole number, as a pair."""
    volumes: NDArray[np.float64]
    """A ring of the last whole days, a pair each."""


def most_lots(buckets: int) -> int:
    """Most lots of a bucket: as many as a double counts, and so few that ``buckets`` of them can be summed."""
    return min(2**53, 2**58 // (buckets + 2))


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
def rescale(lots: int, change: int) -> int:
    """Lots that are coarser by ``10**change`` now (finer where it is below 0), to the nearest, half up."""
    for _ in range(-change):
        lots = min(lots, 2**60 // 10) * 10
    power = 1
    for _ in range(min(change, 18)):
        power *= 10
    return (lots + power // 2) // power if change > 0 else lots


@jit
def _rescale_buckets(change: int, buckets: Buckets) -> None:
    """Count all buckets in lots that are coarser by ``10**change``; no bucket becomes empty or overfull by that."""
    counts, sums = buckets.counts, buckets.sums
    if counts[FILLED] > 0:
        counts[SIZE] = max(rescale(counts[SIZE], change), 1)
        counts[FILLED] = min(rescale(counts[FILLED], change), counts[SIZE] - 1)
        bound = float(counts[FILLED])
        sums[NET] = min(max(_scaled(sums[NET], change), -bound), bound)
    counts[REMEMBERED] = 0
    sums[IMBALANCE] = sums[IMBALANCE_REST] = 0.0
    for k in range(min(counts[CLOSED], len(buckets.sizes))):
        buckets.sizes[k] = max(rescale(buckets.sizes[k], change), 1)
        buckets.imbalances[k] = min(_scaled(buckets.imbalances[k], change), float(buckets.sizes[k]))
        counts[REMEMBERED] += buckets.sizes[k]
        sums[IMBALANCE], sums[IMBALANCE_REST] = add(sums[IMBALANCE], sums[IMBALANCE_REST], buckets.imbalances[k], 0.0)


@jit
def _scaled(value: float, change: int) -> float:
    for _ in range(change):
        value /= 10.0
    for _ in range(-change):
        value *= 10.0
    return value


@jit
def _largest(buckets: Buckets) -> int:
    """Lots of the largest bucket that is open or remembered."""
    largest = buckets.counts[SIZE] if buckets.counts[FILLED] > 0 else 0
    for k in range(min(buckets.counts[CLOSED], len(buckets.sizes))):
        largest = max(largest, buckets.sizes[k])
    return int(largest)


@jit
def count_day(ts: int, volume: float, lot_size: float, soon: int, most: int, days: Days, buckets: Buckets) -> int:
    """Count a trade at ``ts`` (ns) for its day; the size of buckets follows from the days before it.

    The power of ten by which lots became coarser with that size, mostly 0. No bucket has more lots than ``most``. The
    first day is whole if its first trade comes at most ``soon`` (ns) after midnight.
    """
    now = days.now
    day = ts // _DAY_NS
    change = 0
    if now[STARTED] == 0:
        now[STARTED] = 1
        now[DAY] = day
        now[DAY_IS_WHOLE] = ts - day * _DAY_NS <= soon
    elif day > now[DAY]:
        if now[DAY_IS_WHOLE] == 1:
            days.volumes[now[KNOWN_DAYS] % TRAILING_DAYS] = days.volume
            now[KNOWN_DAYS] += 1
            change = _resize(most, days, buckets)
        now[DAY] = day
        days.volume[:] = 0.0
        # The feed was there before this day began.
        now[DAY_IS_WHOLE] = 1
    m, j = digits(volume, lot_size)
    power = math.pow(10.0, j)
    high, low = two_product(float(m), power) if j <= 22 else (m * power, 0.0)
    days.volume[0], days.volume[1] = add(days.volume[0], days.volume[1], high, low)
    return change


@jit
def _resize(most: int, days: Days, buckets: Buckets) -> int:
    """Take the size of buckets from the days that are known, in lots that are as fine as all buckets permit."""
    now = days.now
    high = low = 0.0
    known = min(now[KNOWN_DAYS], TRAILING_DAYS)
    for k in range(known):
        high, low = add(high, low, days.volumes[k, 0], days.volumes[k, 1])
    divisor, exponent = float(known * BUCKETS_PER_DAY), 0
    while high / divisor > most:
        divisor *= 10.0
        exponent += 1
    largest, finest = _largest(buckets), now[EXPONENT]
    while finest > exponent and largest <= most // 10:
        largest *= 10
        finest -= 1
    for _ in range(finest - exponent):
        divisor *= 10.0
    exponent = max(exponent, finest)
    now[DAILY_SIZE] = max(_rounded(high, low, divisor), 1)
    change = exponent - now[EXPONENT]
    if change != 0:
        _rescale_buckets(change, buckets)
    now[EXPONENT] = exponent
    return int(change)


@jit
def _rounded(high: float, low: float, divisor: float) -> int:
    """The pair over ``divisor``, to the nearest whole number (half to even)."""
    quotient = np.rint(high / divisor)
    product, rest = two_product(quotient, divisor)
    left = (high - product) + (low - rest)
    half = divisor / 2.0
    if left > half or (left == half and quotient % 2.0 == 1.0):
        quotient += 1.0
    elif left < -half or (left == -half and quotient % 2.0 == 1.0):
        quotient -= 1.0
    return int(quotient)
