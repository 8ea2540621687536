"""Buckets of equal volume in whole lots."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import Array, NDArray, record
from udfs.windows.compensated import add


class Buckets(NamedTuple):
    """Open bucket, and a ring of the last closed ones."""

    open: Array
    """``filled`` and ``capacity`` of the open bucket in lots, ``net`` lots bought in it; number of ``closed`` buckets;
    lots in those of the ring (``remembered``), and the sum of their imbalances (a pair with ``imbalance_rest``)."""
    imbalances: NDArray[np.float64]
    """|bought - sold| lots of each bucket of the ring."""
    sizes: NDArray[np.int64]
    """Lots of each bucket of the ring."""


def no_buckets(buckets: int) -> Buckets:
    """Buckets before the first trade, of which the last ``buckets`` are kept."""
    sums = dict.fromkeys(("net", "imbalance", "imbalance_rest"), 0.0)
    now = record(filled=0, capacity=0, closed=0, remembered=0, **sums)
    return Buckets(now, np.zeros(buckets), np.zeros(buckets, np.int64))


def most_lots(buckets: int) -> int:
    """Most lots of a bucket: as many as a double counts, and so few that ``buckets`` of them can be summed."""
    return min(2**53, 2**58 // (buckets + 2))


@jit
def _close(buckets: Buckets) -> None:
    now = buckets.open[0]
    slot = now.closed % len(buckets.sizes)
    imbalance = abs(now.net)
    # A slot that was not used yet holds zeros.
    high, low = add(now.imbalance, now.imbalance_rest, -buckets.imbalances[slot], 0.0)
    now.imbalance, now.imbalance_rest = add(high, low, imbalance, 0.0)
    now.remembered += now.capacity - buckets.sizes[slot]
    buckets.imbalances[slot] = imbalance
    buckets.sizes[slot] = now.capacity
    now.closed += 1
    now.filled = 0
    now.net = 0.0


@jit
def pour(lots: int, sign: float, size: int, buckets: Buckets) -> None:
    """Fill buckets with ``lots``; those that open have ``size``.

    ``sign``: share bought less share sold, from -1 to 1. Sums are exact for signs -1, 0, 1 and buckets below 2**53
    lots.
    """
    now = buckets.open[0]
    while lots > 0:
        if now.filled == 0:
            now.capacity = size
            # Of many equal buckets only the last are remembered: a trade of a billion buckets takes no longer.
            forgotten = max(lots // size - len(buckets.sizes), 0)
            now.closed += forgotten
            lots -= forgotten * size
        part = min(lots, now.capacity - now.filled)
        buckets.open[0].net += sign * part
        now.filled += part
        lots -= part
        if now.filled == now.capacity:
            _close(buckets)


@jit
def drop_open(buckets: Buckets) -> None:
    """Empty the open bucket."""
    buckets.open[0].filled = 0
    buckets.open[0].net = 0.0


@jit
def toxicity(buckets: Buckets) -> float:
    """Imbalance of the remembered buckets over their volume, 0 to 1; NaN until there are enough of them."""
    if buckets.open[0].closed < len(buckets.sizes):
        return math.nan
    return min(float(buckets.open[0].imbalance / buckets.open[0].remembered), 1.0)


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
def rescale_buckets(change: int, buckets: Buckets) -> None:
    """Count all buckets in lots that are coarser by ``10**change``; no bucket becomes empty or overfull by that."""
    now = buckets.open[0]
    if now.filled > 0:
        now.capacity = max(rescale(now.capacity, change), 1)
        now.filled = min(rescale(now.filled, change), now.capacity - 1)
        bound = float(now.filled)
        now.net = min(max(_scaled(now.net, change), -bound), bound)
    now.remembered = 0
    now.imbalance = now.imbalance_rest = 0.0
    for k in range(min(now.closed, len(buckets.sizes))):
        buckets.sizes[k] = max(rescale(buckets.sizes[k], change), 1)
        buckets.imbalances[k] = min(_scaled(buckets.imbalances[k], change), float(buckets.sizes[k]))
        now.remembered += buckets.sizes[k]
        now.imbalance, now.imbalance_rest = add(now.imbalance, now.imbalance_rest, buckets.imbalances[k], 0.0)


@jit
def _scaled(value: float, change: int) -> float:
    for _ in range(change):
        value /= 10.0
    for _ in range(-change):
        value *= 10.0
    return value


@jit
def largest_bucket(buckets: Buckets) -> int:
    """Lots of the largest bucket that is open or remembered."""
    largest = buckets.open[0].capacity if buckets.open[0].filled > 0 else 0
    for k in range(min(buckets.open[0].closed, len(buckets.sizes))):
        largest = max(largest, buckets.sizes[k])
    return int(largest)
