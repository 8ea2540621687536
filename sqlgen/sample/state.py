"""The state of a simulated venue: plain arrays that the kernels in ``flow`` change in place.

A book side is a sign: +1 bids, -1 asks. Levels live in a ring addressed by tick; resting orders are a list of fixed
length. Prices are whole ticks, sizes whole lots, times milliseconds since midnight UTC.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sqlgen.sample.instruments import Floats, Ints

_RING = 1 << 14
LOTS, TICK = 0, 1
"""Rows of ``BookState.ring`` and ``BookState.orders``."""
MAX_FILLS = 5
"""Price levels that a market order may take."""


class BookState(NamedTuple):
    """State of one book, mutated in place. Few arrays, because Numba counts references to each in every call."""

    ring: Ints
    """(2, slots) lots (positive for bids, negative for asks, 0 for none) and price of each level."""
    orders: Ints
    """(2, orders) lots, signed as in the ring, and price of each resting order."""
    touch: Ints
    """(2,) best bid and best ask."""
    random: NDArray[np.uint64]
    """(1,) state of the random stream."""


def new_book(orders: int, seed: int) -> BookState:
    """An empty book with room for ``orders`` resting orders."""
    return BookState(
        np.zeros((2, _RING), np.int64),
        np.zeros((2, orders), np.int64),
        np.zeros(2, np.int64),
        np.array([seed], np.uint64),
    )


class Venue(NamedTuple):
    """State of an (exchange, symbol) carried from one day to the next, mutated in place."""

    book: BookState
    memory: Floats
    """(2,) displacement of the venue's price in ticks; smoothed sign of recent market orders."""


class VenueStyle(NamedTuple):
    """Constants of a venue."""

    order_lots: float
    half_spread: float
    """Ticks between the efficient price and the quotes at normal volatility."""
    near_ticks: float
    tail_ticks: float
    """Half the mean distance of near, and scale of far limit orders from the quotes, in ticks."""
    impact: float
    """Ticks by which an average market order moves the venue's price."""


class DayInputs(NamedTuple):
    """Exogenous inputs of one day."""

    ms: Ints
    """(rows,) of the snapshots."""
    since: int
    """Time of the last snapshot of the day before (at least 0)."""
    limits: Ints
    markets: Ints
    """(rows,) limit and market orders since the snapshot before."""
    stress: Floats
    """(rows,) volatility relative to normal: widens the quotes and thins the book."""
    fair: Floats
    """(864000,) efficient price in ticks on the 100 ms grid."""


class Snapshots(NamedTuple):
    """Snapshots: (rows, levels) arrays, best first."""

    bid_ticks: NDArray[np.int32]
    bid_lots: NDArray[np.int32]
    ask_ticks: NDArray[np.int32]
    ask_lots: NDArray[np.int32]


class Fills(NamedTuple):
    """Trades, one per price level that a market order consumed."""

    ms: Ints
    ticks: NDArray[np.int32]
    lots: NDArray[np.int32]
    sign: NDArray[np.int8]


def empty_levels(day: DayInputs, depth: int) -> Snapshots:
    """Room for the snapshots of a day."""
    shape = (len(day.ms), depth)
    return Snapshots(
        np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.int32)
    )


def empty_fills(day: DayInputs) -> Fills:
    """Room for as many trades as the market orders of a day can make."""
    size = int(day.markets.sum()) * MAX_FILLS
    return Fills(np.empty(size, np.int64), np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int8))
