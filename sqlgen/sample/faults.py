"""Faults of real feeds, injected on request. Each fault has its own random stream."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
from msgspec import Struct, structs

from sqlgen.sample.instruments import Ints, generator
from sqlgen.sample.latent import DAY_MS
from sqlgen.sample.rows import Bools, FeedRows

_GAP_MS = (330_000, 1_200_000)


class FaultSite(Struct, frozen=True):
    """Venue, symbol and day of a fault; with the fault's name it seeds the random stream."""

    seed: int
    exchange: str
    symbol: str
    day: date
    kind: str

    def random(self, fault: str) -> np.random.Generator:
        """The random stream of a fault; gaps silence all feeds of the venue together."""
        kind = "" if fault == "gaps" else self.kind
        return generator(self.seed, "fault", fault, self.exchange, self.symbol, self.day, kind)


def apply_faults(feed: FeedRows, names: frozenset[str], site: FaultSite) -> FeedRows:
    """The feed with the named faults, in a fixed order: faults of values, then of rows."""
    for name, (kinds, fault) in _FAULTS.items():
        if name in names and site.kind in kinds:
            feed = fault(feed, site.random(name))
    return feed


def _some(feed: FeedRows, rng: np.random.Generator, share: float) -> Bools:
    """A random share of the rows; at least one where there are enough to expect a tenth of one."""
    n = len(feed)
    chosen = rng.uniform(0.0, 1.0, n) < share
    if n * share >= 0.1 and not chosen.any():
        chosen[int(rng.integers(n))] = True
    return chosen


def _missing_levels(feed: FeedRows, rng: np.random.Generator) -> FeedRows:
    chosen, sides = _some(feed, rng, 0.005), rng.integers(0, 3, len(feed))
    fewer = rng.integers(1, np.maximum(feed.bid_levels, 2), (2, len(feed)))
    bids = np.where(chosen & (sides != 1), fewer[0], feed.bid_levels)
    asks = np.where(chosen & (sides != 0), fewer[1], feed.ask_levels)
    return structs.replace(feed, bid_levels=bids, ask_levels=asks)


def _one_sided(feed: FeedRows, rng: np.random.Generator) -> FeedRows:
    chosen, bid = _some(feed, rng, 0.002), rng.uniform(0.0, 1.0, len(feed)) < 0.5
    empty = np.where(rng.uniform(0.0, 1.0, len(feed)) < 0.25, -1, 0)
    bids = np.where(chosen & bid, empty, feed.bid_levels)
    asks = np.where(chosen & ~bid, empty, feed.ask_levels)
    return structs.replace(feed, bid_levels=bids, ask_levels=asks)


def _crossed(feed: FeedRows, rng: np.random.Generator) -> FeedRows:
    chosen, ticks = _some(feed, rng, 0.002), rng.integers(0, 4, len(feed))
    return structs.replace(feed, cross=np.where(chosen, ticks, feed.cross))


def _null_timestamp(feed: FeedRows, rng: np.random.Generator) -> FeedRows:
    return structs.replace(feed, no_time=_some(feed, rng, 0.003))


def _unknown_side(feed: FeedRows, rng: np.random.Generator) -> FeedRows:
    return structs.replace(feed, no_side=_some(feed, rng, 0.005))


def gap_periods(rng: np.random.Generator) -> list[tuple[int, int]]:
    """One or two silences in a day, as half-open periods of milliseconds since midnight."""
    count = int(rng.integers(1, 3))
    lengths = rng.integers(*_GAP_MS, count)
    return [(int(start), int(start + length)) for start, length in zip(_starts(rng, count), lengths, strict=True)]


def _starts(rng: np.random.Generator, count: int) -> Ints:
    """Starts in separate halves of the day, away from midnight."""
    return np.asarray(rng.integers(3_600_000, DAY_MS // 2 - 3_600_000, count) + np.arange(count) * (DAY_MS // 2))


def _gaps(feed: FeedRows, rng: np.random.Generator) -> FeedRows:
    keep = np.ones(len(feed), np.bool_)
    for start, end in gap_periods(rng):
        keep &= (feed.ms < start) | (feed.ms >= end)
    return feed.take(keep)


def _duplicates(feed: FeedRows, rng: np.random.Generator) -> FeedRows:
    return feed.take(np.repeat(np.arange(len(feed)), 1 + _some(feed, rng, 0.003)))


def _late_file(feed: FeedRows, rng: np.random.Generator) -> FeedRows:
    """A run of consecutive rows that ends before the last row of its hour, so that the file holds older rows."""
    n = len(feed)
    late = np.zeros(n, np.bool_)
    if n >= 3:
        length = max(1, n // 100)
        start = int(rng.integers(0, max(1, n - 2 * length)))
        late[start : start + length] = True
        hour = feed.ms // 3_600_000
        late &= hour == hour[start]
        last_of_hour = np.append(hour[1:] != hour[:-1], True)
        late &= ~last_of_hour
    return structs.replace(feed, late=late)


_BOOK = ("orderbook",)
_ALL = ("orderbook", "trades", "ticker")
_FAULTS: dict[str, tuple[tuple[str, ...], Callable[[FeedRows, np.random.Generator], FeedRows]]] = {
    "missing_levels": (_BOOK, _missing_levels),
    "one_sided": (_BOOK, _one_sided),
    "crossed": (_BOOK, _crossed),
    "null_timestamp": (_ALL, _null_timestamp),
    "unknown_side": (("trades",), _unknown_side),
    "gaps": (_ALL, _gaps),
    "duplicates": (_ALL, _duplicates),
    "late_file": (_ALL, _late_file),
}
