"""The efficient price of a symbol, around which all venues trade.

A geometric random walk on a grid of 100 ms. Its volatility has a daily shape (a U with its low around noon UTC, a burst
when US equities open, calm weekends), a slow and a fast stochastic factor, and rare jumps. A part of every return is a
market factor that all symbols share.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlgen.sample.instruments import Floats, Instrument, Ints, generator

DAY_MS = 86_400_000
GRID_MS = 100
STEPS = DAY_MS // GRID_MS
_VOL_SECONDS = 10
_VOL_STEPS = 86_400 // _VOL_SECONDS
_HALF_LIFE_S = np.array([5400.0, 45.0])
_SPREAD = np.array([0.30, 0.25])
_JUMPS_PER_DAY = 2.0
_JUMP_SCALE = 0.08


def season(ms: NDArray[Any]) -> Floats:
    """Activity in the day, mean 1: a U with its low at noon UTC and a burst at 14:30. ``ms``: since midnight."""
    hours = np.asarray(ms, np.float64) / 3_600_000.0
    shape = 0.98 + 0.50 * np.cos(2 * np.pi * hours / 24) + 0.35 * np.exp(-(((hours - 14.5) / 0.6) ** 2))
    return np.asarray(shape, np.float64)


class LatentDay:
    """One day of a symbol's efficient price and volatility. Times are milliseconds since midnight."""

    def __init__(self, log_price: Floats, vol_factor: Floats) -> None:
        self.log_price = log_price
        """(864000,) natural log of the price that holds from each grid point."""
        self.vol_factor = vol_factor
        """(8640,) volatility relative to its long-run mean, every 10 s, without the daily shape."""

    def volatility(self, ms: Ints) -> Floats:
        """Volatility relative to its long-run mean at the given times."""
        index = np.minimum(ms // (1000 * _VOL_SECONDS), _VOL_STEPS - 1)
        return np.asarray(self.vol_factor[index] * season(ms), np.float64)


class LatentPrice:
    """The efficient price of one symbol, day after day. ``next_day`` must be called for every day in order."""

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._instrument = instrument
        self._seed = seed
        self._log_price = float(np.log(instrument.price))
        self._log_vol = np.zeros(2)

    def next_day(self, day: date) -> LatentDay:
        """The path of ``day``, starting where the day before ended."""
        rng = generator(self._seed, "latent", self._instrument.symbol, day)
        factor = self._vol_factor(rng)
        if day.weekday() >= 5:
            factor *= 0.7
        midpoints = (np.arange(_VOL_STEPS) + 0.5) * (_VOL_SECONDS * 1000.0)
        per_step = self._instrument.volatility / np.sqrt(STEPS) * factor * season(midpoints)
        returns = self._shocks(rng, day) * np.repeat(per_step, STEPS // _VOL_STEPS)
        returns += self._jumps(rng)
        path = np.cumsum(returns) + self._log_price
        self._log_price = float(path[-1])
        return LatentDay(path, factor)

    def _shocks(self, rng: np.random.Generator, day: date) -> Floats:
        market = generator(self._seed, "market", day).standard_normal(STEPS)
        beta = self._instrument.beta
        market *= beta
        own = rng.standard_normal(STEPS)
        own *= np.sqrt(1.0 - beta * beta)
        own += market
        return own

    def _vol_factor(self, rng: np.random.Generator) -> Floats:
        """Exponential of two Ornstein-Uhlenbeck processes, scaled so that the mean square is 1."""
        decay = np.exp(-np.log(2.0) * _VOL_SECONDS / _HALF_LIFE_S)
        noise = rng.standard_normal((_VOL_STEPS, 2)) * (_SPREAD * np.sqrt(1.0 - decay**2))
        total = np.empty(_VOL_STEPS)
        slow, fast = self._log_vol
        for i in range(_VOL_STEPS):
            slow = slow * decay[0] + noise[i, 0]
            fast = fast * decay[1] + noise[i, 1]
            total[i] = slow + fast
        self._log_vol = np.array([slow, fast])
        return np.asarray(np.exp(total - float(_SPREAD @ _SPREAD)), np.float64)

    def _jumps(self, rng: np.random.Generator) -> Floats:
        jumps = np.zeros(STEPS)
        count = int(rng.poisson(_JUMPS_PER_DAY))
        where = rng.integers(0, STEPS, count)
        jumps[where] = rng.standard_normal(count) * _JUMP_SCALE * self._instrument.volatility
        return jumps
