"""Volumes as whole numbers of lots, so that no volume is lost or made when a trade is cut.

A lot is ``lot_size``, or that times a power of ten where a volume would have more lots than can be counted.
"""

from __future__ import annotations

import math

import numpy as np

from udfs.jit import jit
from udfs.kernel import NDArray
from udfs.options import Option

LOT_SIZE = Option(
    type="float",
    default=1e-8,
    gt=0,
    doc="smallest volume that counts; volumes are compared in whole lots of it, or of a power of ten of it where they"
    " are too large to count",
)
MOST_LOTS = 2**62
_DISTINCT = 2.0**50
"""Largest number of lots that a double holds exactly after three roundings; larger ones have 15 digits."""
_FULL = 2**60


@jit
def digits(volume: float, lot: float) -> tuple[int, int]:
    """``m, j``: the volume is ``m * 10**j`` lots, with at most 15 digits in ``m``."""
    power, j = 1.0, 0
    while volume / (lot * power) >= _DISTINCT:
        j += 1
        power = math.pow(10.0, j)
    return int(np.rint(volume / (lot * power))), j


@jit
def times_ten(count: int, j: int) -> int:
    """``count * 10**j``, -1 where that is above ``MOST_LOTS``."""
    for _ in range(j):
        if count > MOST_LOTS // 10:
            return -1
        count *= 10
    return count


@jit
def filling(volume: float, lot: float, size: int, buckets: int) -> int:
    """Lots of a volume, or as few as fill the last ``buckets`` buckets of ``size`` and the open one just like it.

    ``size`` 0: not known yet.
    """
    m, j = digits(volume, lot)
    if m > 0 and j <= 3:
        return times_ten(m, j)
    if j <= 3 or size == 0:
        return 0 if m == 0 else _FULL
    rest = m % size
    for _ in range(j):
        rest = rest * 10 % size
    return rest + buckets * size


@jit
def within(lots: int, size: int, buckets: int) -> int:
    """Fewest lots that leave the last ``buckets`` buckets of ``size`` and the open one as ``lots`` would."""
    if lots <= _FULL:
        return lots
    return _FULL if size == 0 else lots % size + buckets * size


@jit
def count(volume: NDArray[np.float64], lot: float, lots: NDArray[np.int64]) -> int:
    """Volumes in whole lots, 0 where the volume is NaN or less than half a lot.

    The index of the first one that has more than ``MOST_LOTS``, or -1.
    """
    for i in range(len(volume)):
        lots[i] = 0
        if 0.0 < volume[i] < math.inf:
            m, j = digits(volume[i], lot)
            lots[i] = times_ten(m, j)
            if lots[i] < 0:
                return i
    return -1


def coarser(size: float, lot_size: float, most: float) -> int:
    """The power of ten by which lots are coarser, so that ``size`` has at most ``most`` of them."""
    exponent = 0
    while size / (lot_size * 10.0**exponent) > most * (1 + 1e-9):
        exponent += 1
    return exponent


def size_in_lots(size: float, lot_size: float, exponent: int, option: str) -> int:
    """The size that ``option`` gives, in lots that are coarser by a power of ten."""
    lots = round(size / (lot_size * 10.0**exponent))
    if lots < 1:
        raise ValueError(f"{option} {size:g} is less than one lot; lot_size is {lot_size:g}")
    return lots
