"""The order flow between two snapshots of a book.

Limit orders are placed around the efficient price, many near it and some far away (a power law); each new order
cancels an old one. Market orders arrive with persistent signs, lean towards the heavier side of the book, are better
informed than the quotes about the next second, and walk the book when they are large. Quotes on the wrong side of the
efficient price are withdrawn, but a market order may come first. Where snapshots are far apart, most of the flow
between them is left out, and limit orders just before the snapshot let the book settle. Trades push the venue's price
away from the efficient price of the symbol; it comes back within about half a minute.

The book: ``s * tick`` grows towards the other side for both signs, so every function is written once. A new order takes
the place of a random old one, which is thereby cancelled; orders get exponential lifetimes and the depth stays
stationary. An executed order leaves its entry behind; cancelling it later removes at most what still rests there.

All kernels stand in this one file, because Numba's cache notices a change of a caller's file, not of the files it calls
into. For the same reason the constants that come from ``state`` are no knobs to turn.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sqlgen.sample.state import LOTS, MAX_FILLS, TICK, BookState, DayInputs, Fills, Snapshots, Venue, VenueStyle
from udfs.jit import jit

_REACH = 1 << 11
_WIDEST_GAP, _PATCH = 128, 16
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
_QUOTE_SHARE = 0.7
_NEAR_SHARE = 0.45
_TAIL_POWER = 1.2
_ROUND_SHARE = 0.12
_SIGN_MEMORY = 0.8
_REVERSION_MS = 30_000.0
_FORESIGHT_MS = 1000.0
_SETTLING_PER_MS = 0.012
_SETTLING_MOST = 60.0
_GRID_MS = 100


@jit
def uniform(book: BookState) -> float:
    """A double in (0, 1): splitmix64, so that the stream is the same whatever the NumPy version."""
    book.random[0] += _GOLDEN
    z = book.random[0]
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    z = z ^ (z >> _S31)
    return (float(z >> _S11) + 0.5) * (1.0 / 9007199254740992.0)


@jit
def draw_lots(book: BookState, median: float, spread: float) -> int:
    """A size of at least one lot: nearly log-normal (a sum of three uniforms), every fifth a round number."""
    z = 2.0 * (uniform(book) + uniform(book) + uniform(book) - 1.5)
    lots = max(1, round(median * math.exp(spread * z)))
    if lots >= 20 and uniform(book) < 0.2:
        unit = 10 if lots < 1000 else 100
        lots -= lots % unit
    return lots


@jit
def resting(book: BookState, s: int, tick: int) -> int:
    """Lots that side ``s`` shows at a price."""
    i = tick & (book.ring.shape[1] - 1)
    return s * book.ring[LOTS, i] if book.ring[TICK, i] == tick and s * book.ring[LOTS, i] > 0 else 0


@jit
def add(book: BookState, s: int, tick: int, lots: int) -> None:
    """Add lots to a level of side ``s``; a slot that stood for a price far away is taken over."""
    i = tick & (book.ring.shape[1] - 1)
    if book.ring[TICK, i] != tick or s * book.ring[LOTS, i] < 0:
        book.ring[TICK, i] = tick
        book.ring[LOTS, i] = 0
    book.ring[LOTS, i] += s * lots
    own = 0 if s > 0 else 1
    if s * tick > s * book.touch[own]:
        book.touch[own] = tick


@jit
def remove(book: BookState, s: int, tick: int, lots: int) -> None:
    """Remove at most ``lots`` from a level; if the best level empties, the next one becomes the best."""
    held = resting(book, s, tick)
    if held == 0:
        return
    book.ring[LOTS, tick & (book.ring.shape[1] - 1)] -= s * min(lots, held)
    own = 0 if s > 0 else 1
    if lots < held or tick != book.touch[own]:
        return
    for step in range(1, _REACH):
        if resting(book, s, tick - s * step) > 0:
            book.touch[own] = tick - s * step
            return
    book.touch[own] = tick - s
    add(book, s, tick - s, lots)


@jit
def add_order(book: BookState, s: int, tick: int, lots: int) -> None:
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


@jit
def cancel_beyond(book: BookState, s: int, tick: int) -> None:
    """Cancel all orders of side ``s`` priced beyond ``tick``: stale quotes."""
    own = 0 if s > 0 else 1
    while s * book.touch[own] > s * tick:
        remove(book, s, book.touch[own], resting(book, s, book.touch[own]))


@jit
def snapshot(book: BookState, s: int, ticks: NDArray[np.int32], lots: NDArray[np.int32]) -> None:
    """Write the best levels of a side, best first. Holes in the book are filled with an order."""
    tick = book.touch[0] if s > 0 else book.touch[1]
    found = 0
    while found < len(ticks):
        held = resting(book, s, tick)
        if held == 0 and s * (ticks[found - 1] - tick) > _WIDEST_GAP:
            tick = ticks[found - 1] - s * (1 + int(_PATCH * uniform(book)))
            held = lots[found - 1]
            add(book, s, tick, held)
        if held > 0:
            ticks[found] = tick
            lots[found] = held
            found += 1
        tick -= s


@jit
def _distance(book: BookState, style: VenueStyle) -> int:
    """Distance of a passive order behind the quotes, in ticks."""
    if uniform(book) < _NEAR_SHARE:
        return int(-style.near_ticks * math.log(uniform(book) * uniform(book)))
    far = style.tail_ticks * (uniform(book) ** (-1.0 / _TAIL_POWER) - 1.0)
    return min(int(far), int(20.0 * style.tail_ticks))


@jit
def _size(book: BookState, style: VenueStyle, s: int, fair: float, stress: float) -> int:
    """Lots of a limit order: fewer when volatile, more on the side towards which the price leans."""
    lean = (2.0 * fair - book.touch[0] - book.touch[1]) / (book.touch[1] - book.touch[0])
    return draw_lots(book, style.order_lots * math.exp(0.5 * s * min(max(lean, -1.0), 1.0)) / math.sqrt(stress), 0.9)


@jit
def _limit_order(book: BookState, style: VenueStyle, fair: float, stress: float) -> None:
    """One limit order: repair the side that lags behind the price, or add depth somewhere."""
    half = style.half_spread * stress
    bid, ask = math.floor(fair - half), math.ceil(fair + half)
    behind_bid, behind_ask = bid - book.touch[0], book.touch[1] - ask
    if max(behind_bid, behind_ask) > 0 and uniform(book) < _QUOTE_SHARE:
        s = 1 if behind_bid > behind_ask else -1
        add_order(book, s, bid if s > 0 else ask, _size(book, style, s, fair, stress))
        return
    s = 1 if uniform(book) < 0.5 else -1
    tick = (bid if s > 0 else ask) - s * _distance(book, style)
    if uniform(book) < _ROUND_SHARE:
        tick -= s * ((s * tick) % 10)
    add_order(book, s, tick, _size(book, style, s, fair, stress))


@jit
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


@jit
def _market_order(venue: Venue, style: VenueStyle, foreseen: float, ms: int, fills: Fills, count: int) -> int:
    """A market order that takes up to five levels. Returns the number of trades so far."""
    book = venue.book
    sign, expected = _sign(venue, foreseen)
    left = draw_lots(book, 0.5 * style.order_lots, 1.0)
    for _ in range(MAX_FILLS):
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


@jit
def _price(venue: Venue, day: DayInputs, ms: float) -> float:
    """The venue's efficient price at a time, in ticks."""
    return float(day.fair[min(int(ms) // _GRID_MS, len(day.fair) - 1)] + venue.memory[0])


@jit
def _withdraw_stale(book: BookState, fair: float) -> None:
    cancel_beyond(book, 1, math.floor(fair))
    cancel_beyond(book, -1, math.ceil(fair))


@jit
def _interval(venue: Venue, style: VenueStyle, day: DayInputs, row: int, fills: Fills, count: int) -> int:
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


@jit
def open_market(venue: Venue, style: VenueStyle, fair: float) -> None:
    """Fill an empty book around a price, and run it until its initial state has no effect."""
    book = venue.book
    book.touch[0], book.touch[1] = math.floor(fair) - 1, math.ceil(fair) + 1
    add(book, 1, book.touch[0], 1)
    add(book, -1, book.touch[1], 1)
    for _ in range(5 * book.orders.shape[1]):
        _limit_order(book, style, fair, 1.0)


@jit
def run_day(venue: Venue, style: VenueStyle, day: DayInputs, levels: Snapshots, fills: Fills) -> int:
    """Simulate a day into ``levels`` and ``fills``; returns the number of trades."""
    count = 0
    for row in range(len(day.ms)):
        count = _interval(venue, style, day, row, fills, count)
        snapshot(venue.book, 1, levels.bid_ticks[row], levels.bid_lots[row])
        snapshot(venue.book, -1, levels.ask_ticks[row], levels.ask_lots[row])
    return count
