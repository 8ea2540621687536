"""The order flow: what happens to the book between two snapshots.

Limit orders are placed around the efficient price, many near it and some far away (a power law); each new order
cancels an old one. Market orders arrive with persistent signs, lean towards the heavier side of the book, are better
informed than the quotes about the next second, and walk the book when they are large. Quotes on the wrong side of the
efficient price are withdrawn, but a market order may come first. Where snapshots are far apart, most of the flow
between them is left out, and limit orders just before the snapshot let the book settle. Trades push the venue's price
away from the efficient price of the symbol; it comes back within about half a minute.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from sqlgen.sample.book import Book, add, draw_lots, place, remove, resting, snapshot, uniform, withdraw
from sqlgen.sample.instruments import Floats, Ints

_QUOTE_SHARE = 0.7
_NEAR_SHARE = 0.45
_TAIL_POWER = 1.2
_ROUND_SHARE = 0.12
_SIGN_MEMORY = 0.8
_REVERSION_MS = 30_000.0
_MAX_FILLS = 5
_FORESIGHT_MS = 1000.0
_SETTLING_PER_MS = 0.012
_SETTLING_MOST = 60.0
GRID_MS = 100


class Venue(NamedTuple):
    """What an (exchange, symbol) carries from one day to the next, mutated in place."""

    book: Book
    memory: Floats
    """(2,) displacement of the venue's price in ticks; smoothed sign of recent market orders."""


class Style(NamedTuple):
    """Constants of a venue."""

    order_lots: float
    half_spread: float
    """Ticks between the efficient price and the quotes at normal volatility."""
    near_ticks: float
    tail_ticks: float
    """Half the mean distance of near, and scale of far limit orders from the quotes, in ticks."""
    impact: float
    """Ticks by which an average market order moves the venue's price."""


class Day(NamedTuple):
    """What drives one day. Times are milliseconds since midnight."""

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


class Levels(NamedTuple):
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


def empty_levels(day: Day, depth: int) -> Levels:
    """Room for the snapshots of a day."""
    shape = (len(day.ms), depth)
    return Levels(
        np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.int32)
    )


def empty_fills(day: Day) -> Fills:
    """Room for as many trades as the market orders of a day can make."""
    size = int(day.markets.sum()) * _MAX_FILLS
    return Fills(np.empty(size, np.int64), np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int8))


@nb.njit(cache=True, nogil=True)
def _distance(book: Book, style: Style) -> int:
    """Ticks behind the quotes at which a passive order is placed."""
    if uniform(book) < _NEAR_SHARE:
        return int(-style.near_ticks * math.log(uniform(book) * uniform(book)))
    far = style.tail_ticks * (uniform(book) ** (-1.0 / _TAIL_POWER) - 1.0)
    return min(int(far), int(20.0 * style.tail_ticks))


@nb.njit(cache=True, nogil=True)
def _size(book: Book, style: Style, s: int, fair: float, stress: float) -> int:
    """Lots of a limit order: fewer when volatile, more on the side towards which the price leans."""
    lean = (2.0 * fair - book.touch[0] - book.touch[1]) / (book.touch[1] - book.touch[0])
    return draw_lots(book, style.order_lots * math.exp(0.5 * s * min(max(lean, -1.0), 1.0)) / math.sqrt(stress), 0.9)


@nb.njit(cache=True, nogil=True)
def _limit_order(book: Book, style: Style, fair: float, stress: float) -> None:
    """One limit order: repair the side that lags behind the price, or add depth somewhere."""
    half = style.half_spread * stress
    bid, ask = math.floor(fair - half), math.ceil(fair + half)
    behind_bid, behind_ask = bid - book.touch[0], book.touch[1] - ask
    if max(behind_bid, behind_ask) > 0 and uniform(book) < _QUOTE_SHARE:
        s = 1 if behind_bid > behind_ask else -1
        place(book, s, bid if s > 0 else ask, _size(book, style, s, fair, stress))
        return
    s = 1 if uniform(book) < 0.5 else -1
    tick = (bid if s > 0 else ask) - s * _distance(book, style)
    if uniform(book) < _ROUND_SHARE:
        tick -= s * ((s * tick) % 10)
    place(book, s, tick, _size(book, style, s, fair, stress))


@nb.njit(cache=True, nogil=True)
def _sign(venue: Venue, foreseen: float) -> tuple[int, float]:
    """Sign of the next market order, and the sign that was to be expected."""
    book = venue.book
    bid, ask = book.touch[0], book.touch[1]
    held_bid, held_ask = resting(book, 1, bid), resting(book, -1, ask)
    lean = (held_bid - held_ask) / (held_bid + held_ask)
    stretch = (foreseen - 0.5 * (bid + ask)) / (ask - bid)
    drive = 1.2 * venue.memory[1] + 0.5 * lean + 1.6 * min(max(stretch, -2.0), 2.0)
    expected = math.tanh(0.5 * drive)
    sign = 1 if uniform(book) < 0.5 * (1.0 + expected) else -1
    venue.memory[1] = _SIGN_MEMORY * venue.memory[1] + (1.0 - _SIGN_MEMORY) * sign
    return sign, expected


@nb.njit(cache=True, nogil=True)
def _market_order(venue: Venue, style: Style, foreseen: float, ms: int, fills: Fills, count: int) -> int:
    """A market order that takes up to five levels. Returns the number of trades so far."""
    book = venue.book
    sign, expected = _sign(venue, foreseen)
    left = draw_lots(book, 0.5 * style.order_lots, 1.0)
    for _ in range(_MAX_FILLS):
        tick = book.touch[1] if sign > 0 else book.touch[0]
        taken = min(left, resting(book, -sign, tick))
        fills.ms[count] = ms
        fills.ticks[count] = tick
        fills.lots[count] = taken
        fills.sign[count] = sign
        count += 1
        left -= taken
        remove(book, -sign, tick, taken)
        if left == 0:
            break
    venue.memory[0] += style.impact * (sign - expected)
    return count


@nb.njit(cache=True, nogil=True)
def _price(venue: Venue, day: Day, ms: float) -> float:
    """The venue's efficient price at a time, in ticks."""
    return float(day.fair[min(int(ms) // GRID_MS, len(day.fair) - 1)] + venue.memory[0])


@nb.njit(cache=True, nogil=True)
def _withdraw_stale(book: Book, fair: float) -> None:
    withdraw(book, 1, math.floor(fair))
    withdraw(book, -1, math.ceil(fair))


@nb.njit(cache=True, nogil=True)
def _interval(venue: Venue, style: Style, day: Day, row: int, fills: Fills, count: int) -> int:
    """All orders between snapshot ``row - 1`` and ``row``. Returns the number of trades so far."""
    book = venue.book
    start = day.ms[row - 1] if row else day.since
    length = day.ms[row] - start
    venue.memory[0] *= math.exp(-length / _REVERSION_MS)
    markets = day.markets[row]
    events = day.limits[row] + markets
    for event in range(events):
        ms = start + length * ((event + uniform(book)) / events)
        fair = _price(venue, day, ms)
        if uniform(book) * (events - event) < markets:
            markets -= 1
            foreseen = _price(venue, day, max(ms + _FORESIGHT_MS, float(day.ms[row])))
            # Rounded up: a trade follows the snapshot before it, also where both fall into one millisecond.
            count = _market_order(venue, style, foreseen, min(int(ms) + 1, day.ms[row]), fills, count)
        else:
            _withdraw_stale(book, fair)
            _limit_order(book, style, fair, day.stress[row])
    fair = _price(venue, day, day.ms[row])
    _withdraw_stale(book, fair)
    for _ in range(int(min(_SETTLING_PER_MS * length, _SETTLING_MOST))):
        _limit_order(book, style, fair, day.stress[row])
    return count


@nb.njit(cache=True, nogil=True)
def open_market(venue: Venue, style: Style, fair: float) -> None:
    """Fill an empty book around a price until it has forgotten how it began."""
    book = venue.book
    book.touch[0], book.touch[1] = math.floor(fair) - 1, math.ceil(fair) + 1
    add(book, 1, book.touch[0], 1)
    add(book, -1, book.touch[1], 1)
    for _ in range(5 * book.orders.shape[1]):
        _limit_order(book, style, fair, 1.0)


@nb.njit(cache=True, nogil=True)
def run_day(venue: Venue, style: Style, day: Day, levels: Levels, fills: Fills) -> int:
    """Simulate a day into ``levels`` and ``fills``; returns the number of trades."""
    count = 0
    for row in range(len(day.ms)):
        count = _interval(venue, style, day, row, fills, count)
        snapshot(venue.book, 1, levels.bid_ticks[row], levels.bid_lots[row])
        snapshot(venue.book, -1, levels.ask_ticks[row], levels.ask_lots[row])
    return count
