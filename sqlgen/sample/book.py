"""The limit order book as Numba functions over plain arrays. Prices are whole ticks, sizes whole lots.

A book side is a sign: +1 bids, -1 asks. ``s * tick`` then grows towards the other side for both, so that every
function is written once. Levels live in a ring of ``RING`` slots addressed by tick; resting orders are a list of
fixed length in which a new order takes the place of a random old one, which is thereby cancelled. That gives orders
exponential lifetimes and keeps the depth of the book stationary at no cost. An order that was executed leaves its
entry behind; cancelling it later removes at most what still rests at its price.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from sqlgen.sample.instruments import Ints

RING = 1 << 14
LOTS, TICK = 0, 1
_MASK = RING - 1
_REACH = 1 << 11
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)


class Book(NamedTuple):
    """State of one book, mutated in place. Few arrays, because Numba counts references to each in every call."""

    ring: Ints
    """(2, RING) the levels: lots (positive for bids, negative for asks, 0 for none), and the price a slot stands for."""
    orders: Ints
    """(2, orders) lots, signed as in the ring, and price of each resting order."""
    touch: Ints
    """(2,) best bid and best ask."""
    random: NDArray[np.uint64]
    """(1,) state of the random stream."""


def new_book(orders: int, seed: int) -> Book:
    """An empty book with room for ``orders`` resting orders."""
    return Book(
        np.zeros((2, RING), np.int64),
        np.zeros((2, orders), np.int64),
        np.zeros(2, np.int64),
        np.array([seed], np.uint64),
    )


@nb.njit(cache=True, nogil=True)
def uniform(book: Book) -> float:
    """A double in (0, 1): splitmix64, so that the stream is the same whatever the NumPy version."""
    book.random[0] += _GOLDEN
    z = book.random[0]
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    z = z ^ (z >> _S31)
    return (float(z >> _S11) + 0.5) * (1.0 / 9007199254740992.0)


@nb.njit(cache=True, nogil=True)
def draw_lots(book: Book, median: float, spread: float) -> int:
    """A size of at least one lot: nearly log-normal (a sum of three uniforms), every fifth a round number."""
    z = 2.0 * (uniform(book) + uniform(book) + uniform(book) - 1.5)
    lots = max(1, round(median * math.exp(spread * z)))
    if lots >= 20 and uniform(book) < 0.2:
        unit = 10 if lots < 1000 else 100
        lots -= lots % unit
    return lots


@nb.njit(cache=True, nogil=True)
def resting(book: Book, s: int, tick: int) -> int:
    """Lots that side ``s`` shows at a price."""
    i = tick & _MASK
    return s * book.ring[LOTS, i] if book.ring[TICK, i] == tick and s * book.ring[LOTS, i] > 0 else 0


@nb.njit(cache=True, nogil=True)
def add(book: Book, s: int, tick: int, lots: int) -> None:
    """Add lots to a level of side ``s``; a slot that stood for a price far away is taken over."""
    i = tick & _MASK
    if book.ring[TICK, i] != tick or s * book.ring[LOTS, i] < 0:
        book.ring[TICK, i] = tick
        book.ring[LOTS, i] = 0
    book.ring[LOTS, i] += s * lots
    own = 0 if s > 0 else 1
    if s * tick > s * book.touch[own]:
        book.touch[own] = tick


@nb.njit(cache=True, nogil=True)
def remove(book: Book, s: int, tick: int, lots: int) -> None:
    """Remove at most ``lots`` from a level; where the best level empties, the next one becomes the best."""
    held = resting(book, s, tick)
    if held == 0:
        return
    book.ring[LOTS, tick & _MASK] -= s * min(lots, held)
    own = 0 if s > 0 else 1
    if lots < held or tick != book.touch[own]:
        return
    for step in range(1, _REACH):
        if resting(book, s, tick - s * step) > 0:
            book.touch[own] = tick - s * step
            return
    book.touch[own] = tick - s
    add(book, s, tick - s, lots)


@nb.njit(cache=True, nogil=True)
def place(book: Book, s: int, tick: int, lots: int) -> None:
    """A limit order, in the place of a random old one. It never crosses: it stops one tick before the other side."""
    slot = min(int(uniform(book) * book.orders.shape[1]), book.orders.shape[1] - 1)
    old = book.orders[LOTS, slot]
    if old != 0:
        remove(book, 1 if old > 0 else -1, book.orders[TICK, slot], abs(old))
    other = book.touch[1] if s > 0 else book.touch[0]
    if s * tick >= s * other:
        tick = other - s
    tick = max(tick, 1)
    book.orders[TICK, slot] = tick
    book.orders[LOTS, slot] = s * lots
    add(book, s, tick, lots)


@nb.njit(cache=True, nogil=True)
def withdraw(book: Book, s: int, tick: int) -> None:
    """Cancel everything of side ``s`` that is priced beyond ``tick``: quotes that the market has left behind."""
    own = 0 if s > 0 else 1
    while s * book.touch[own] > s * tick:
        remove(book, s, book.touch[own], resting(book, s, book.touch[own]))


@nb.njit(cache=True, nogil=True)
def snapshot(book: Book, s: int, ticks: NDArray[np.int32], lots: NDArray[np.int32]) -> None:
    """Write the best levels of a side, best first. Where the book runs out, someone posts at the next tick."""
    tick = book.touch[0] if s > 0 else book.touch[1]
    found, searched = 0, 0
    while found < len(ticks):
        held = resting(book, s, tick)
        if held == 0 and searched > _REACH:
            held = 1 + lots[found - 1]
            add(book, s, tick, held)
        if held > 0:
            ticks[found] = tick
            lots[found] = held
            found += 1
        searched += 1
        tick -= s
