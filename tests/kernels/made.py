"""Made-up rows of ``orderbook_hf`` and trades for the kernel tests; seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from tests.features.made import MIDNIGHT, event_times, faulty_books, keyed
from tests.oracles import orderbook
from tests.oracles.rows import NS

Row = dict[str, Any]
Levels = list[tuple[float, float]]
START = MIDNIGHT * 1_000_000


class RestingBook:
    """A book on a grid of prices whose orders stay where they are while the mid wanders."""

    def __init__(self, rng: random.Random, mid: int = 10_005, scale: float = 10.0, lot: float = 10.0) -> None:
        self.rng, self.mid, self.scale, self.lot = rng, mid, scale, lot
        self.sizes: dict[int, int] = {}

    def step(self, levels: int = 12) -> tuple[Levels, Levels]:
        """The book after some orders came and went."""
        self.mid += self.rng.choice((-1, 0, 0, 0, 0, 1))
        bid, ask = self.mid - self.rng.choice((1, 1, 1, 2)), self.mid + self.rng.choice((0, 0, 0, 1, 2, 7))
        for price in self.rng.sample(range(self.mid - 15, self.mid + 15), k=4):
            self.sizes[price] = self.rng.randint(1, 99)
        return self._side(bid, -1, levels), self._side(ask, 1, levels)

    def _side(self, best: int, direction: int, levels: int) -> Levels:
        prices = range(best, best + direction * levels, direction)
        return [
            (price / self.scale, self.sizes.setdefault(price, self.rng.randint(1, 99)) / self.lot) for price in prices
        ]


def rows_at(times: Sequence[int], raw: Sequence[Row]) -> list[Row]:
    """Rows of ``orderbook_hf`` at these times (ns), whatever the milliseconds of the raw books were."""
    numbered = [{**book, "timestamp": MIDNIGHT + i} for i, book in enumerate(raw)]
    return [
        {**row, "ts": ts}
        for row, ts in zip(orderbook.features(keyed(numbered), captured_levels="all"), times, strict=True)
    ]


def spoilt(rng: random.Random, bids: Levels, asks: Levels, share: float) -> Row:
    """A book that is one-sided, crossed, locked or empty with a chance of ``share``."""
    fault = rng.choice(("bids", "asks", "empty", "crossed", "locked")) if rng.random() < share else "none"
    if fault == "crossed":
        asks = [(round(bids[0][0] - 0.1, 1), 1.0), *asks]
    elif fault == "locked":
        asks = [(bids[0][0], 1.5), *asks]
    return {"bids": [] if fault in ("bids", "empty") else bids, "asks": [] if fault in ("asks", "empty") else asks}


def walk(seed: int, count: int, mid: int = 10_005, scale: float = 10.0, lot: float = 10.0) -> list[Row]:
    """Clean books, a second apart on average."""
    rng = random.Random(seed)
    book, times, now = RestingBook(rng, mid, scale, lot), [], START
    raw = []
    for _ in range(count):
        now += rng.randrange(10_000_000, 2_000_000_000)
        times.append(now)
        bids, asks = book.step()
        raw.append({"bids": bids, "asks": asks})
    return rows_at(times, raw)


def faulty(seed: int, rounds: int) -> list[Row]:
    """Books of every fault; neighbours have nothing in common."""
    return orderbook.features(keyed(faulty_books(seed, rounds)), captured_levels="all")


def events(seed: int, count: int, gaps: Sequence[int]) -> list[Row]:
    """Ties, bursts, long pauses and silences of just the longest gap and more; some faulty books."""
    rng = random.Random(seed)
    book = RestingBook(rng)
    times = event_times(rng, count, MIDNIGHT, gaps=gaps)
    return rows_at([time * 1_000_000 for time in times], [spoilt(rng, *book.step(), 0.1) for _ in times])


EDGES = (0, 1, NS - 1, NS, NS, NS + 1, 5 * NS - 1, 5 * NS, 5 * NS, 5 * NS + 1, 10 * NS, 15 * NS, 15 * NS + 1)
RARE_EDGES = (45 * NS, 60 * NS - 1, 60 * NS, 240 * NS, 300 * NS - 1, 300 * NS, 300 * NS, 300 * NS + 1)


def edges(seed: int, count: int) -> list[Row]:
    """Steps of whole window lengths, or a nanosecond beside: rows lie on the edges of the windows of others."""
    rng = random.Random(seed)
    book, times, now = RestingBook(rng), [], START
    for i in range(count):
        rare = i % 90 > 60 and rng.random() < 0.1
        now += rng.choice(RARE_EDGES) if rare else rng.choice(EDGES)
        # Back to a whole second: there a step of the grid ends.
        now = -(-now // NS) * NS if rng.random() < 0.1 else now
        times.append(now)
    return rows_at(times, [spoilt(rng, *book.step(), 0.05) for _ in times])


def stale(seed: int, stretches: int, each: int = 60) -> list[Row]:
    """Runs of good books, and between them rows without a mid for so long that a lag over them is too old."""
    rng = random.Random(seed)
    book, times, raw, now = RestingBook(rng), [], [], START
    for _ in range(stretches):
        for _ in range(each):
            now += rng.choice((NS // 2, NS, 2 * NS))
            times.append(now)
            raw.append(spoilt(rng, *book.step(), 0.02))
        pause = rng.choice((299, 300, 301, 400)) * NS
        bad = [now + pause * part // 4 for part in (1, 2, 3)]
        times += bad
        raw += [spoilt(rng, *book.step(), 1.0) for _ in bad]
        now += pause
    return rows_at(times, raw)


def calm(seed: int, each: int) -> list[Row]:
    """A book that wanders, then one whose best sizes alone change, then one that stands still; a row a second."""
    rng = random.Random(seed)
    book = RestingBook(rng)
    raw = [spoilt(rng, *book.step(), 0.0) for _ in range(each)]
    bids, asks = book.step()
    for _ in range(each):
        bids = [(bids[0][0], rng.randint(1, 99) / 10), *bids[1:]]
        raw.append({"bids": bids, "asks": asks})
    raw += [raw[-1]] * each
    return rows_at([START + i * NS for i in range(len(raw))], raw)


MAKERS: dict[str, Callable[[], list[Row]]] = {
    "walk": lambda: walk(1, 450),
    "high prices": lambda: walk(2, 200, mid=970_001, lot=1000.0),
    "low prices": lambda: walk(8, 150, mid=2345, scale=1e8, lot=0.001),
    "calm": lambda: calm(9, 70),
    "faulty": lambda: faulty(3, 21),
    "events": lambda: events(4, 450, gaps=(150, 280, 281)),
    "edges": lambda: edges(5, 450),
    "stale": lambda: stale(6, 6),
}


@cache
def case(name: str) -> list[Row]:
    """Rows of a case of this name; not to be changed."""
    return MAKERS[name]()


def trades_around(
    seed: int, rows: Sequence[Row], count: int, *, bad: float = 0.1, decimals: int = 2, mid: float = 1000.0
) -> list[Row]:
    """Trades in time order: at the times of rows, a nanosecond beside, on whole seconds, in gaps, and anywhere.

    Some have no price, amount or side. Some come before the first row or after the last. Amounts are whole lots.
    """
    rng = random.Random(seed)
    first, last = rows[0]["ts"], rows[-1]["ts"]
    times = []
    for _ in range(count):
        beside = rng.choice(rows)["ts"] + rng.choice((0, 0, 0, 1, -1, NS // 3, -NS // 3))
        anywhere = rng.randint(first - 20 * NS, last + 20 * NS)
        times.append(rng.choice((beside, beside, beside // NS * NS, anywhere)))
    trades, price = [], round(mid * 10)
    for ts in sorted(times):
        price += rng.choice((-3, -1, 0, 0, 0, 1, 3))
        amount = rng.choice((rng.randint(1, 99), rng.randint(1, 999))) / 10**decimals
        trade: Row = {"ts": ts, "price": price / 10, "amount": amount, "side": rng.choice((1, -1))}
        if rng.random() < bad:
            trade[rng.choice(("price", "amount"))] = None
        if rng.random() < bad:
            trade["side"] = None
        trades.append(trade)
    return trades


def cuts(seed: int, length: int, count: int = 6) -> list[int]:
    """Where batches end, single rows among them."""
    rng = random.Random(seed)
    places = [rng.randrange(1, length) for _ in range(count)] if length > 1 else []
    return sorted({cut for place in places for cut in (place, place + 1)})
