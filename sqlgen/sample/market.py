"""One venue, day by day: snapshot times, order arrivals, the simulated book and the trades."""

from __future__ import annotations

from datetime import date

import numpy as np
from msgspec import Struct

from sqlgen.sample.flow import open_market, run_day
from sqlgen.sample.instruments import Instrument, Ints, generator
from sqlgen.sample.latent import DAY_MS, LatentDay, season
from sqlgen.sample.state import DayInputs, Fills, Snapshots, Venue, VenueStyle, empty_fills, empty_levels, new_book

_ORDERS_PER_LEVEL = 8
_LIMITS_PER_SECOND = 18.0
_LIMITS_PER_ROW = (5.0, 120.0)
_MARKETS_PER_ROW = 0.45
_TAIL_BPS = 10.0


class MarketDay(Struct, frozen=True):
    """Everything that happened on a venue in a day. Times are milliseconds since midnight."""

    ms: Ints
    """(rows,) exchange time of the snapshots."""
    nonce: Ints
    """(rows,) running number of book events."""
    levels: Snapshots
    fills: Fills
    """Trades in time order."""
    first_trade: int
    """Running number of the first trade of the day."""


class Market:
    """An (exchange, symbol). ``next_day`` must be called for every day in order; the book lives over midnight."""

    def __init__(self, instrument: Instrument, exchange: str, seed: int, rows_per_day: int, levels: int) -> None:
        self._instrument = instrument
        self._names = (exchange, instrument.symbol)
        self._seed = seed
        self._rows = rows_per_day
        self._depth = levels
        self._last_ms = 0
        rng = generator(seed, "venue", *self._names)
        self._basis = float(rng.normal(0.0, 1e-4))
        self._nonce = int(rng.integers(10**9, 10**10))
        self._trades = int(rng.integers(10**7, 10**9))
        tail = max(0.8 * levels, _TAIL_BPS * 1e-4 * instrument.price / instrument.tick)
        size = instrument.order_lots * float(rng.uniform(0.7, 1.3))
        self._style = VenueStyle(size, 0.6, 1.2, tail, 0.25)
        self._venue = Venue(new_book(_ORDERS_PER_LEVEL * levels, int(rng.integers(2**63))), np.zeros(2))
        self._opened = False

    def next_day(self, day: date, latent: LatentDay) -> MarketDay:
        """Simulate ``day``, driven by the efficient price of the symbol."""
        drive = self._drive(generator(self._seed, "flow", *self._names, day), latent)
        if not self._opened:
            open_market(self._venue, self._style, float(drive.fair[0]))
            self._opened = True
        levels, room = empty_levels(drive, self._depth), empty_fills(drive)
        count = run_day(self._venue, self._style, drive, levels, room)
        fills = Fills(room.ms[:count], room.ticks[:count], room.lots[:count], room.sign[:count])
        nonce = self._nonce + np.cumsum(drive.limits + drive.markets)
        result = MarketDay(drive.ms, nonce, levels, fills, self._trades)
        self._nonce, self._trades = int(nonce[-1]), self._trades + count
        self._last_ms = int(drive.ms[-1]) - DAY_MS
        return result

    def _drive(self, rng: np.random.Generator, latent: LatentDay) -> DayInputs:
        ms = self._times(rng)
        stress = np.clip(latent.volatility(ms), 0.3, 4.0)
        activity = 0.5 + 0.5 * stress
        since = max(self._last_ms, 0)
        limits = np.diff(ms, prepend=since) * (_LIMITS_PER_SECOND / 1000.0)
        fair = np.exp(latent.log_price + self._basis) / self._instrument.tick
        return DayInputs(
            ms,
            since,
            rng.poisson(np.clip(limits, *_LIMITS_PER_ROW) * activity) + 1,
            rng.poisson(_MARKETS_PER_ROW * activity),
            stress,
            fair,
        )

    def _times(self, rng: np.random.Generator) -> Ints:
        """Snapshot times: one in each of ``rows`` equal slots of activity, so that busy hours have more of them."""
        grid = np.arange(0, DAY_MS + 1, 60_000, dtype=np.int64)
        share = np.concatenate(([0.0], np.cumsum(0.6 + 0.4 * season(grid[:-1] + 30_000))))
        slots = (np.arange(self._rows) + rng.uniform(0.0, 1.0, self._rows)) / self._rows
        return np.asarray(np.interp(slots, share / share[-1], grid.astype(np.float64)), np.int64)
