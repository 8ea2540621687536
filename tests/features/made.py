"""Made-up raw rows for the feature tests: clean and faulty books, trades and tickers; seeded."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.oracles.rows import number_rows

Row = dict[str, Any]
Levels = list[Any]

NAN, INF = math.nan, math.inf
BAD_NUMBERS = (None, 0.0, -1.0, NAN, INF, -INF)
MIDNIGHT = 1_767_312_000_000
"""2026-01-02 00:00 UTC, a Friday, in milliseconds."""


def keyed(rows: Sequence[Row], exchange: str = "binance", symbol: str = "BTC-USDT") -> list[Row]:
    """Rows with their partition (the UTC date of their time) and ``seq``."""
    return number_rows({**row, "exchange": exchange, "symbol": symbol, "date": _date(row)} for row in rows)


def _date(row: Row) -> dt.date:
    chosen = row["timestamp"] if row.get("timestamp") is not None else row["collected_at"]
    return dt.datetime.fromtimestamp(chosen / 1000, dt.UTC).date()


def book(rng: random.Random, levels: int = 8, mid_ticks: int = 10_005, step: int = 3) -> tuple[Levels, Levels]:
    """A clean book on a grid of 0.1: best first, uneven steps, sizes of two digits."""
    bids, asks = [], []
    bid, ask = mid_ticks - rng.randint(1, step), mid_ticks + rng.randint(0, step)
    for _ in range(levels):
        bids.append((bid / 10, rng.randint(1, 99) / 10))
        asks.append((ask / 10, rng.randint(1, 99) / 10))
        bid, ask = bid - rng.randint(1, step), ask + rng.randint(1, step)
    return bids, asks


Fault = Callable[[random.Random, Levels, Levels], tuple[Any, Any]]


def _spoil(rng: random.Random, levels: Levels, field: int) -> Levels:
    spoilt = list(levels)
    for i in rng.sample(range(len(levels)), k=min(2, len(levels))):
        level = list(levels[i])
        level[field] = rng.choice(BAD_NUMBERS)
        spoilt[i] = tuple(level)
    return spoilt


def _shuffled(rng: random.Random, levels: Levels) -> Levels:
    return rng.sample(levels, k=len(levels))


def _split(rng: random.Random, levels: Levels) -> Levels:
    """Some prices twice, not side by side."""
    return levels + [(price, rng.randint(1, 9) / 10) for price, _ in rng.sample(levels, k=min(3, len(levels)))]


def _deep(rng: random.Random, levels: Levels, direction: int) -> Levels:
    """More levels than any option keeps, and the best price hidden at the far end."""
    edge = levels[-1][0]
    more = [(round(edge + direction * 0.1 * i, 1), rng.randint(1, 99) / 10) for i in range(1, 30)]
    return [*levels[1:], *more, levels[0]]


FAULTS: dict[str, Fault] = {
    "clean": lambda rng, b, a: (b, a),
    "missing levels": lambda rng, b, a: (b[: rng.randint(1, 3)], a[: rng.randint(1, 3)]),
    "one level": lambda rng, b, a: (b[:1], a[:1]),
    "null bids": lambda rng, b, a: (None, a),
    "null asks": lambda rng, b, a: (b, None),
    "null lists": lambda rng, b, a: (None, None),
    "null and empty": lambda rng, b, a: (None, []),
    "empty bids": lambda rng, b, a: ([], a),
    "empty asks": lambda rng, b, a: (b, []),
    "empty lists": lambda rng, b, a: ([], []),
    "crossed": lambda rng, b, a: (b, [(round(price - 1.5, 1), size) for price, size in a]),
    "locked": lambda rng, b, a: (b, [(b[0][0], 2.5), *a]),
    "duplicate prices": lambda rng, b, a: (_split(rng, b), _split(rng, a)),
    "unsorted": lambda rng, b, a: (_shuffled(rng, b), _shuffled(rng, a)),
    "bad prices": lambda rng, b, a: (_spoil(rng, b, 0), _spoil(rng, a, 0)),
    "bad sizes": lambda rng, b, a: (_spoil(rng, b, 1), _spoil(rng, a, 1)),
    "only bad levels": lambda rng, b, a: ([(NAN, 1.0), (0.0, 1.0), (100.0, 0.0)], [None, (None, None)]),
    "bad best level": lambda rng, b, a: ([(b[0][0], NAN), *b[1:]], [(INF, 1.0), (0.0, 5.0), *a]),
    "null levels": lambda rng, b, a: ([None, *b], [a[0], None, *a[1:]]),
    "deep": lambda rng, b, a: (_deep(rng, b, -1), _deep(rng, a, 1)),
    "deep clean": lambda rng, b, a: (sorted(_deep(rng, b, -1), reverse=True), sorted(_deep(rng, a, 1))),
    "deep and dirty": lambda rng, b, a: (_spoil(rng, _deep(rng, b, -1), 0), _split(rng, _deep(rng, a, 1))),
    "everything": lambda rng, b, a: (_shuffled(rng, _spoil(rng, _split(rng, b), 1)), _spoil(rng, _split(rng, a), 0)),
}


def faulty_books(seed: int, rounds: int, start: int = MIDNIGHT, step_ms: int = 700) -> list[Row]:
    """``rounds`` books of every fault, mixed, with depths from 1 to 26 levels."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for fault in [fault for _ in range(rounds) for fault in rng.sample(list(FAULTS.values()), k=len(FAULTS))]:
        bids, asks = fault(rng, *book(rng, levels=rng.choice((1, 2, 3, 4, 5, 6, 9, 10, 12, 19, 20, 21, 26))))
        rows.append({"timestamp": start + len(rows) * step_ms, "bids": bids, "asks": asks})
    return rows


def walking_books(rng: random.Random, times: Sequence[int]) -> list[Row]:
    """A book per time whose mid wanders; a few are one-sided, crossed or empty."""
    rows, mid = [], 10_005
    for time in times:
        mid += rng.randint(-4, 4)
        bids, asks = book(rng, levels=6, mid_ticks=mid)
        chosen = rng.random()
        if chosen < 0.03:
            bids = []
        elif chosen < 0.06:
            asks = [(bids[0][0] - 0.1, 1.0), *asks]
        rows.append({"timestamp": time, "bids": bids, "asks": asks})
    return rows


def event_times(rng: random.Random, count: int, start: int, *, gaps: Sequence[int] = ()) -> list[int]:
    """Increasing times with ties, bursts and, after each given event number, 300 s or more of silence.

    Steps fall on and around the window lengths and the longest gap, where an off-by-one would show.
    """
    times, now = [], start
    for i in range(count):
        now += rng.choice((0, 0, 1, 250, 999, 1000, 1001, 7_000, 20_000, 60_000))
        if i in gaps:
            now += rng.choice((300_000, 300_001, 900_000))
        times.append(now)
    return times


def trades(rng: random.Random, times: Sequence[int], bad: float = 0.1) -> list[Row]:
    """Trades on a random walk; a share of ``bad`` has a bad price, amount or side."""
    price, rows = 1000.0, []
    for number, time in enumerate(times):
        price = round(price + rng.choice((-0.3, -0.1, 0.0, 0.1, 0.3)), 1)
        row: Row = {"timestamp": time, "trade_id": f"t{number}", "price": price, "amount": rng.randint(1, 500) / 100}
        row["side"] = rng.choice(("buy", "sell", "BUY", "Sell", "buy", "sell"))
        if rng.random() < bad:
            row[rng.choice(("price", "amount"))] = rng.choice(BAD_NUMBERS)
        if rng.random() < bad:
            row["side"] = rng.choice((None, "", "unknown"))
        rows.append(row)
    return rows


def tickers(rng: random.Random, times: Sequence[int], bad: float = 0.1) -> list[Row]:
    """Tickers on a random walk; a share of ``bad`` has a bad field, is one-sided or crossed."""
    price, rows = 1000.0, []
    for time in times:
        price = round(price + rng.choice((-0.3, -0.1, 0.0, 0.1, 0.3)), 1)
        row: Row = {"timestamp": time, "bid": price, "ask": round(price + rng.randint(0, 3) / 10, 1), "last": price}
        row |= {"bid_volume": rng.randint(0, 50) / 10, "ask_volume": rng.randint(0, 50) / 10}
        row |= {"high": price + 20, "low": price - 20, "open": price - 3, "close": price, "vwap": price + 0.05}
        row |= {"base_volume": 1234.5, "quote_volume": 1.2e6, "change": 3.0, "percentage": 0.3}
        if rng.random() < bad:
            row[rng.choice(("bid", "ask", "bid_volume", "ask_volume", "high", "low"))] = rng.choice(BAD_NUMBERS)
        if rng.random() < bad / 3:
            row["ask"] = price - 0.2
        rows.append(row)
    return rows
