"""The instruments of the sample market: tick, lot, price, volatility."""

from __future__ import annotations

import hashlib

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def generator(seed: int, *names: object) -> np.random.Generator:
    """An independent random stream for every combination of names: no stream depends on what else is drawn."""
    digest = hashlib.blake2b(repr((seed, *map(str, names))).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest))


class Instrument(Struct, frozen=True):
    """One symbol. The tick is ``tick_units * 10**-price_decimals`` quote, the lot ``10**-size_decimals`` base."""

    symbol: str
    price: float
    """Quote per base at the start."""
    tick_units: int
    price_decimals: int
    size_decimals: int
    order_lots: float
    """Median size of a limit order, in lots."""
    volatility: float
    """Standard deviation of the daily log return."""
    beta: float
    """Correlation of the returns with the common market factor."""

    @property
    def tick(self) -> float:
        """Price step in quote."""
        return float(self.tick_units / 10**self.price_decimals)

    def prices(self, ticks: NDArray[np.integer]) -> Floats:
        """Prices of whole ticks: the division of two exact integers gives the double that prints shortest."""
        return np.asarray(ticks, np.int64) * self.tick_units / 10.0**self.price_decimals

    def sizes(self, lots: NDArray[np.integer]) -> Floats:
        """Base amounts of whole lots."""
        return np.asarray(lots, np.int64) / 10.0**self.size_decimals

    def values(self, ticks: NDArray[np.integer], lots: NDArray[np.integer]) -> Floats:
        """Quote amounts, price times size."""
        return self.quote(np.asarray(ticks, np.int64) * np.asarray(lots, np.int64))

    def quote(self, tick_lots: NDArray[np.integer]) -> Floats:
        """Quote amounts from sums of ticks times lots."""
        return np.asarray(tick_lots, np.int64) * self.tick_units / 10.0 ** (self.price_decimals + self.size_decimals)


BUILT_IN = (
    Instrument("BTC-USDT", 88_000.0, 5, 1, 4, 1_200.0, 0.022, 0.90),
    Instrument("ETH-USDT", 2_950.0, 1, 1, 3, 2_500.0, 0.030, 0.85),
    Instrument("SOL-USDT", 124.0, 1, 2, 2, 3_000.0, 0.036, 0.80),
    Instrument("XRP-USDT", 1.85, 1, 4, 0, 2_500.0, 0.034, 0.75),
    Instrument("DOGE-USDT", 0.1230, 1, 5, 0, 20_000.0, 0.042, 0.75),
    Instrument("BNB-USDT", 860.0, 1, 1, 3, 1_500.0, 0.022, 0.80),
    Instrument("ADA-USDT", 0.3500, 1, 4, 0, 9_000.0, 0.038, 0.75),
    Instrument("LTC-USDT", 78.00, 1, 2, 3, 12_000.0, 0.030, 0.70),
    Instrument("LINK-USDT", 12.40, 1, 3, 2, 8_000.0, 0.038, 0.75),
    Instrument("AVAX-USDT", 12.50, 1, 3, 2, 6_000.0, 0.042, 0.75),
)


def built_in_symbols(count: int) -> tuple[str, ...]:
    """The first ``count`` symbols: the well-known ones, then made-up ones (``S011-USDT``)."""
    known = [instrument.symbol for instrument in BUILT_IN[:count]]
    return (*known, *(f"S{i + 1:03d}-USDT" for i in range(len(known), count)))


def instrument(symbol: str) -> Instrument:
    """The instrument behind a symbol; an unknown name gets a plausible one derived from the name alone."""
    for known in BUILT_IN:
        if known.symbol == symbol:
            return known
    rng = generator(0, "instrument", symbol)
    like = BUILT_IN[int(rng.integers(len(BUILT_IN)))]
    return structs.replace(like, symbol=symbol, price=like.price * float(rng.uniform(0.6, 1.6)))
