"""Resting orders by their id, in a hash table with open addressing.

The layout depends only on the sequence of orders, not on how it is split into batches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import NDArray, State

FEWEST = 64
"""Slots of an empty table; the number of slots is a power of two."""
_MIXER = 0x9E3779B1


class Orders(NamedTuple):
    """Hash table with one order per slot."""

    ids: NDArray[np.int64]
    sides: NDArray[np.int8]
    """1 bid, -1 ask, 0: the slot is free."""
    prices: NDArray[np.float64]
    sizes: NDArray[np.float64]
    used: NDArray[np.int64]
    """Number of orders, one element."""


@jit
def _home(number: int, slots: int) -> int:
    """Slot at which the search for an id starts."""
    # Stays below 2**63: a product that wraps around is an error where functions are not compiled.
    low = (number ^ (number >> 32)) & 0x7FFFFFFF
    return int(((low * _MIXER) >> 20) & (slots - 1))


@jit
def find(orders: Orders, number: int) -> int:
    """Slot of an order, or the free slot for it."""
    slots = len(orders.ids)
    at = _home(number, slots)
    while orders.sides[at] != 0 and orders.ids[at] != number:
        at = (at + 1) & (slots - 1)
    return at


@jit
def put(orders: Orders, at: int, number: int, side: int, price: float, size: float) -> None:
    """Write an order to the slot that :func:`find` returned."""
    if orders.sides[at] == 0:
        orders.used[0] += 1
    orders.ids[at] = number
    orders.sides[at] = side
    orders.prices[at] = price
    orders.sizes[at] = size


@jit
def remove(orders: Orders, at: int) -> None:
    """Free a slot; orders behind it move up towards their first slot."""
    slots = len(orders.ids)
    orders.used[0] -= 1
    k = at
    while True:
        k = (k + 1) & (slots - 1)
        if orders.sides[k] == 0:
            break
        home = _home(orders.ids[k], slots)
        if (k - home) & (slots - 1) >= (k - at) & (slots - 1):
            orders.ids[at] = orders.ids[k]
            orders.sides[at] = orders.sides[k]
            orders.prices[at] = orders.prices[k]
            orders.sizes[at] = orders.sizes[k]
            at = k
    orders.ids[at] = 0
    orders.sides[at] = 0
    orders.prices[at] = 0.0
    orders.sizes[at] = 0.0


@jit
def is_full(orders: Orders) -> bool:
    """True if the next order needs a larger table."""
    return bool(2 * orders.used[0] >= len(orders.ids))


@jit
def move(orders: Orders, to: Orders) -> None:
    """Put all orders into an empty table."""
    for k in range(len(orders.ids)):
        if orders.sides[k] != 0:
            number = orders.ids[k]
            put(to, find(to, number), number, orders.sides[k], orders.prices[k], orders.sizes[k])


def fitted(orders: Orders) -> Orders:
    """Orders in a smaller table, if this one is mostly empty."""
    slots = max(FEWEST, 1 << (4 * int(orders.used[0])).bit_length())
    if 4 * slots > len(orders.ids):
        return orders
    smaller = empty(slots)
    move(orders, smaller)
    return smaller


def empty(slots: int) -> Orders:
    """A table without orders."""
    numbers, sides = np.zeros(slots, np.int64), np.zeros(slots, np.int8)
    return Orders(numbers, sides, np.zeros(slots), np.zeros(slots), np.zeros(1, np.int64))


def of(state: State) -> Orders:
    """The table in a state, which changes with it."""
    return Orders(*(state[f"order_{name}"] for name in Orders._fields))


def as_state(orders: Orders) -> State:
    """The state of a table."""
    return {f"order_{name}": array for name, array in orders._asdict().items()}
