"""Volume, tick and dollar bars: the lots of all trades laid end to end, and cut where a bar is full."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from tests.oracles.kernel_trades import valid_trades
from tests.oracles.rows import NS, Row
from tests.oracles.segments import ratio

MEASURES = ("volume", "tick", "dollar")


def bar_parts(
    trades: Sequence[Row],
    measure: str,
    size: float,
    split: bool = True,
    lot_size: float = 1e-8,
    max_gap: float | None = None,
    open_bar: bool = False,
) -> list[Row]:
    """The parts of trades that make up the bars that are full, and (``open_bar``) those of the last one, in order.

    ``trades``: ts, price, amount, side (1, -1 or None), of one symbol in order. ``size`` is a volume, a number of
    trades, or a value. Without ``split`` a trade is one part, of the bar that it fills.
    """
    lot = _lot(size, lot_size)
    lots = [(trade, _lots(trade, measure, lot)) for trade in valid_trades(trades)]
    counted = [(trade, count) for trade, count in lots if count > 0]
    threshold = int(size) if measure == "tick" else _whole(Fraction(repr(float(size))), lot)
    times = [trade["ts"] for trade, _ in counted]
    gaps = [False, *(max_gap is not None and b - a > max_gap * NS for a, b in itertools.pairwise(times))]
    cut = _split if split else _not_split
    parts: list[Row] = []
    for number, bar, count, first, closed in cut([count for _, count in counted], threshold):
        if not closed and not open_bar:
            continue
        trade, whole = counted[number]
        part = _part(trade, Fraction(count, whole))
        part["lots_per_unit"] = 1.0 if measure == "tick" else float(1 / lot)
        part |= {"bar_id": bar, "lots": count, "part_of_split": count < whole, "has_gap": gaps[number] and first}
        parts.append({**part, "is_closed": closed})
    return parts


MOST_LOTS = 10**13
"""Of a bar: lots are coarser by powers of ten where it has more."""


def _lot(size: float, lot_size: float) -> Fraction:
    """The smallest volume, or value, that counts in bars of ``size``."""
    lot = Fraction(repr(lot_size))
    while Fraction(repr(float(size))) / lot > MOST_LOTS:
        lot *= 10
    return lot


def _lots(trade: Row, measure: str, lot: Fraction) -> int:
    """How far a trade fills a bar."""
    if measure == "tick":
        return 1
    amount = Fraction(repr(trade["amount"]))
    return _whole(amount * Fraction(repr(trade["price"])) if measure == "dollar" else amount, lot)


def _whole(amount: Fraction, lot: Fraction) -> int:
    return round(amount / lot)


Cut = tuple[int, int, int, bool, bool]
"""Number of the trade, bar, lots, whether it is the first part of the trade, whether the bar is full."""


def _split(lots: Sequence[int], threshold: int) -> Iterator[Cut]:
    """Bar b holds the lots from b * threshold to (b + 1) * threshold."""
    full = sum(lots) // threshold
    for number, end in enumerate(itertools.accumulate(lots)):
        begin = end - lots[number]
        for bar in range(begin // threshold, (end - 1) // threshold + 1):
            count = min(end, (bar + 1) * threshold) - max(begin, bar * threshold)
            yield number, bar, count, bar == begin // threshold, bar < full


def _not_split(lots: Sequence[int], threshold: int) -> Iterator[Cut]:
    """A bar ends with the trade that brings it to the threshold."""
    bar, first = 0, 0
    for end in range(1, len(lots) + 1):
        full = sum(lots[first:end]) >= threshold
        if full or end == len(lots):
            yield from ((number, bar, lots[number], True, full) for number in range(first, end))
            bar, first = bar + 1, end


def _part(trade: Row, share: Fraction) -> Row:
    volume = float(Fraction(repr(trade["amount"])) * share)
    return {
        "ts": trade["ts"],
        "price": trade["price"],
        "volume": volume,
        "value": trade["price"] * volume,
        "side": trade["side"] or 0,
        # A bar takes at most one part of a trade.
    }


def bars(trades: Sequence[Row], measure: str, size: float, split: bool = True, **options: Any) -> list[Row]:
    """The bars that are full, in order; arguments as for :func:`bar_parts`."""
    return bars_of(bar_parts(trades, measure, size, split, **options))


def bars_of(parts: Sequence[Row]) -> list[Row]:
    """One row per bar of these parts."""
    return [_bar(bar, list(inside)) for bar, inside in itertools.groupby(parts, key=lambda part: part["bar_id"])]


def _bar(bar: int, parts: list[Row]) -> Row:
    prices = [part["price"] for part in parts]
    buy, sell, unknown = (math.fsum(part["volume"] for part in parts if part["side"] == s) for s in (1, -1, 0))
    volume = math.fsum(part["volume"] for part in parts)
    return {
        "bar_id": bar,
        "start_time": parts[0]["ts"],
        "end_time": parts[-1]["ts"],
        "duration": (parts[-1]["ts"] - parts[0]["ts"]) / NS,
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": volume,
        "buy_volume": buy,
        "sell_volume": sell,
        "unknown_volume": unknown,
        "vwap": ratio(math.fsum(part["value"] for part in parts), volume),
        "buy_ratio": ratio(buy, buy + sell),
        "trade_count": len(parts),
        "has_gap": any(part["has_gap"] for part in parts),
    }
