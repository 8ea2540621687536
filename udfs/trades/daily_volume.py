"""Daily traded volume, and the size of buckets that follows from it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, record
from udfs.trades.buckets import Buckets, largest_bucket, rescale_buckets
from udfs.trades.lots import digits
from udfs.windows.compensated import add, two_product

TRAILING_DAYS = 20
BUCKETS_PER_DAY = 50
_DAY_NS = 86_400_000_000_000


class Days(NamedTuple):
    """Traded volume by UTC day."""

    today: Array
    """There was a trade (``started``), ``day`` since the epoch and whether it ``is_whole``; its ``volume`` in
    multiples of ``lot_size``: a whole number, as a pair; ``known_days`` before it. ``bucket_size`` in lots (0:
    unknown), and ``exponent``, the power of ten by which these lots are coarser than ``lot_size``."""
    past: Array
    """A ring of the volumes of the last whole days."""


def no_days() -> Days:
    """Days before the first trade."""
    volume = {"volume": 0.0, "volume_rest": 0.0}
    today = record(day=0, known_days=0, bucket_size=0, exponent=0, **volume, started=False, is_whole=False)
    return Days(today, np.repeat(record(**volume), TRAILING_DAYS))


@jit
def count_day(ts: int, volume: float, lot_size: float, soon: int, most: int, days: Days, buckets: Buckets) -> int:
    """Count a trade at ``ts`` (ns) for its day; the size of buckets follows from the days before it.

    The power of ten by which lots became coarser with that size, mostly 0. No bucket has more lots than ``most``. The
    first day is whole if its first trade comes at most ``soon`` (ns) after midnight.
    """
    now = days.today[0]
    day = ts // _DAY_NS
    change = 0
    if not now.started:
        now.started = True
        now.day = day
        now.is_whole = ts - day * _DAY_NS <= soon
    elif day > now.day:
        if now.is_whole:
            past = days.past[now.known_days % TRAILING_DAYS]
            past.volume, past.volume_rest = now.volume, now.volume_rest
            now.known_days += 1
            change = _resize(most, days, buckets)
        now.day = day
        now.volume = now.volume_rest = 0.0
        # The feed was there before this day began.
        now.is_whole = True
    m, j = digits(volume, lot_size)
    power = math.pow(10.0, j)
    high, low = two_product(float(m), power) if j <= 22 else (m * power, 0.0)
    now.volume, now.volume_rest = add(now.volume, now.volume_rest, high, low)
    return change


@jit
def _resize(most: int, days: Days, buckets: Buckets) -> int:
    """Take the size of buckets from the days that are known, in lots that are as fine as all buckets permit."""
    now = days.today[0]
    high = low = 0.0
    known = min(now.known_days, TRAILING_DAYS)
    for k in range(known):
        high, low = add(high, low, days.past[k].volume, days.past[k].volume_rest)
    divisor, exponent = float(known * BUCKETS_PER_DAY), 0
    while high / divisor > most:
        divisor *= 10.0
        exponent += 1
    largest, finest = largest_bucket(buckets), now.exponent
    while finest > exponent and largest <= most // 10:
        largest *= 10
        finest -= 1
    for _ in range(finest - exponent):
        divisor *= 10.0
    exponent = max(exponent, finest)
    now.bucket_size = max(_rounded(high, low, divisor), 1)
    change = exponent - now.exponent
    if change != 0:
        rescale_buckets(change, buckets)
    now.exponent = exponent
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
