"""The price levels of a book as sorted arrays, the best level last: most changes are near it and move little.

BookSides are found by their price. Prices that were read from the same decimal text are the same double, so that
comparing them is exact.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import NDArray, State

BID, ASK = 0, 1


class BookSides(NamedTuple):
    """Both sides of a book, one row each: BID, ASK. Entries behind ``counts`` are unused."""

    keys: NDArray[np.float64]
    """Ascending: the price of a bid, minus the price of an ask."""
    sizes: NDArray[np.float64]
    counts: NDArray[np.int64]
    """Number of levels."""


@jit
def side_row(side: float) -> int:
    """Row of a side, 1 for bids."""
    return BID if side > 0 else ASK


@jit
def find(levels: BookSides, row: int, key: float) -> int:
    """Index of the first level whose key is not below ``key``, searched from the best level on."""
    high = int(levels.counts[row])
    step = 1
    low = high - 1
    while low >= 0 and levels.keys[row, low] >= key:
        high = low
        step *= 2
        low -= step
    low = max(low + 1, 0)
    while low < high:
        middle = (low + high) // 2
        if levels.keys[row, middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def _make_room(array: NDArray[np.float64], row: int, at: int, count: int) -> None:
    """Move the entries from ``at`` on one place up. With signed indices Numba makes no use of vectors."""
    side, one, last = np.uint64(row), np.uint64(1), np.uint64(count)
    for moved in range(np.uint64(count - at)):
        k = last - np.uint64(moved)
        array[side, k] = array[side, k - one]


@jit
def _close_gap(array: NDArray[np.float64], row: int, at: int, count: int) -> None:
    """Move the entries above ``at`` one place down."""
    side, one = np.uint64(row), np.uint64(1)
    for k in range(np.uint64(at), np.uint64(count)):
        array[side, k] = array[side, np.uint64(k) + one]


@jit
def _insert(levels: BookSides, row: int, at: int, key: float, size: float) -> None:
    _make_room(levels.keys, row, at, levels.counts[row])
    _make_room(levels.sizes, row, at, levels.counts[row])
    levels.keys[row, at] = key
    levels.sizes[row, at] = size
    levels.counts[row] += 1


@jit
def _remove(levels: BookSides, row: int, at: int) -> None:
    levels.counts[row] -= 1
    _close_gap(levels.keys, row, at, levels.counts[row])
    _close_gap(levels.sizes, row, at, levels.counts[row])


@jit
def is_price(price: float) -> bool:
    """True where a level can have this price; adapters leave out those at or below zero where there are none."""
    return math.isfinite(price)


@jit
def set_size(levels: BookSides, side: float, price: float, size: float) -> None:
    """Give a level its size. One that is not above 0 and finite deletes the level; an unknown level stays so."""
    if not is_price(price):
        return
    row = side_row(side)
    key = price if row == BID else -price
    at = find(levels, row, key)
    known = at < levels.counts[row] and levels.keys[row, at] == key
    if 0.0 < size < math.inf:
        if known:
            levels.sizes[row, at] = size
        else:
            _insert(levels, row, at, key, size)
    elif known:
        _remove(levels, row, at)


@jit
def change_size(levels: BookSides, side: float, price: float, change: float) -> None:
    """Add to the size of a level, which appears with its first order and disappears with its last.

    Sizes are whole numbers, so that their sums are exact.
    """
    row = side_row(side)
    key = price if row == BID else -price
    at = find(levels, row, key)
    if at < levels.counts[row] and levels.keys[row, at] == key:
        levels.sizes[row, at] += change
        if levels.sizes[row, at] <= 0.0:
            _remove(levels, row, at)
    elif change > 0.0:
        _insert(levels, row, at, key, change)


@jit
def is_crossed(levels: BookSides) -> bool:
    """True if the best bid is above the best ask."""
    bids, asks = levels.counts[BID], levels.counts[ASK]
    return bids > 0 and asks > 0 and bool(levels.keys[BID, bids - 1] > -levels.keys[ASK, asks - 1])


def empty_levels() -> State:
    """The state of a book without levels."""
    return {"keys": np.empty(0), "sizes": np.empty(0), "counts": np.zeros(2, np.int64)}


def with_room(state: State, room: int) -> BookSides:
    """Working copy of the state, with ``room`` for more levels on each side."""
    bids, asks = state["counts"]
    shape = (2, max(bids, asks) + room)
    levels = BookSides(np.empty(shape), np.empty(shape), state["counts"].copy())
    for array, stored in zip(levels[:2], (state["keys"], state["sizes"]), strict=True):
        array[BID, :bids] = stored[:bids]
        array[ASK, :asks] = stored[bids:]
    return levels


def without_room(levels: BookSides) -> State:
    """The state of levels: bids, then asks, nothing between."""
    bids, asks = levels.counts
    keys, sizes = (np.concatenate((array[BID, :bids], array[ASK, :asks])) for array in levels[:2])
    return {"keys": keys, "sizes": sizes, "counts": levels.counts.copy()}
