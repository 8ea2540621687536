"""Does the sample look like a market? Distances are in ticks, times in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest
from numpy.typing import NDArray

from sqlgen.sample.instruments import BUILT_IN, built_in_symbols, instrument
from sqlgen.sample.latent import DAY_MS, LatentPrice, season
from sqlgen.sample.market import Market, MarketDay
from sqlgen.sample.ticker import Ticker

ROWS = 86_400
LEVELS = 20
FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)
HOUR = 3_600_000


@dataclass(frozen=True)
class Traded:
    """Two days of a venue."""

    symbol: str
    first: MarketDay
    second: MarketDay

    @property
    def mid(self) -> NDArray[np.float64]:
        return (self.first.levels.bid_ticks[:, 0] + self.first.levels.ask_ticks[:, 0]) / 2

    @property
    def returns(self) -> NDArray[np.float64]:
        return np.diff(np.log(self.mid))


@pytest.fixture(scope="module", params=["BTC-USDT", "XRP-USDT"])
def traded(request: pytest.FixtureRequest) -> Traded:
    """Two days at about one snapshot a second, of a small-tick and of a large-tick instrument."""
    return simulate(request.param)


def simulate(symbol: str, rows: int = ROWS, levels: int = LEVELS, exchange: str = "binance") -> Traded:
    unit = instrument(symbol)
    latent, market = LatentPrice(unit, 0), Market(unit, exchange, 0, rows, levels)
    first, second = (market.next_day(day, latent.next_day(day)) for day in (FIRST, SECOND))
    return Traded(symbol, first, second)


def lag(x: NDArray[np.float64], k: int = 1) -> float:
    return float(np.corrcoef(x[k:], x[:-k])[0, 1])


@pytest.mark.slow
def test_the_book_is_sorted_full_and_never_crossed(traded: Traded) -> None:
    for day in (traded.first, traded.second):
        levels = day.levels
        assert levels.bid_ticks.shape == levels.ask_lots.shape == (ROWS, LEVELS)
        assert (levels.bid_ticks[:, 0] < levels.ask_ticks[:, 0]).all()
        assert (np.diff(levels.bid_ticks, axis=1) < 0).all()
        assert (np.diff(levels.ask_ticks, axis=1) > 0).all()
        assert min(levels.bid_lots.min(), levels.ask_lots.min(), levels.bid_ticks.min()) > 0


@pytest.mark.slow
def test_the_spread_is_mostly_one_to_three_ticks_and_varies(traded: Traded) -> None:
    spread = traded.first.levels.ask_ticks[:, 0] - traded.first.levels.bid_ticks[:, 0]
    assert (spread <= 3).mean() > 0.8
    assert min((spread == 1).mean(), (spread == 2).mean()) > 0.15
    assert np.quantile(spread, 0.999) < 30


def test_depth_has_its_hump_near_the_touch_and_thins_out(traded: Traded) -> None:
    profile = traded.first.levels.bid_lots.mean(axis=0) + traded.first.levels.ask_lots.mean(axis=0)
    assert np.argmax(profile) <= 4
    assert profile[5] > profile[10] > profile[19]
    assert 0.5 < profile[0] / profile[:5].mean() < 2.0
    totals = [traded.first.levels.bid_lots.mean(), traded.first.levels.ask_lots.mean()]
    assert totals[0] == pytest.approx(totals[1], rel=0.15)


def test_returns_have_no_memory_but_volatility_has(traded: Traded) -> None:
    returns = traded.returns
    assert all(abs(lag(returns, k)) < 0.06 for k in (1, 2, 5, 20))
    assert all(lag(np.abs(returns), k) > 0.05 for k in (1, 10, 50))
    assert (returns**4).mean() / (returns**2).mean() ** 2 > 4.0, "tails are fatter than Gaussian"


def test_volatility_is_that_of_the_instrument(traded: Traded) -> None:
    realised = np.sqrt((traded.returns**2).sum())
    assert realised == pytest.approx(instrument(traded.symbol).volatility, rel=0.5)


def test_activity_and_volatility_are_u_shaped_in_the_day(traded: Traded) -> None:
    days = [traded.first, traded.second]
    trades = np.concatenate([day.fills.ms for day in days]) // HOUR
    counts = np.bincount(trades, minlength=24)
    edges, middle = np.r_[0:4, 20:24], np.r_[8:13]
    assert counts[edges].mean() > 1.3 * counts[middle].mean()
    squares = np.bincount(traded.first.ms[1:] // HOUR, traded.returns**2, minlength=24)
    assert squares[edges].mean() > 1.5 * squares[middle].mean()


def test_the_shape_of_the_day_has_mean_one_and_no_edge_at_midnight() -> None:
    shape = season(np.arange(0, DAY_MS, 60_000))
    assert shape.mean() == pytest.approx(1.0, abs=0.01)
    assert shape[0] == pytest.approx(float(season(np.array([DAY_MS]))[0]), abs=1e-6)
    assert 0.4 < shape.min() < shape.max() < 1.6


def test_spread_widens_and_depth_thins_with_volatility(traded: Traded) -> None:
    levels, block = traded.first.levels, traded.first.ms // (HOUR // 4)
    rows = np.bincount(block)
    spread = np.bincount(block, levels.ask_ticks[:, 0] - levels.bid_ticks[:, 0]) / rows
    depth = np.bincount(block, (levels.bid_lots + levels.ask_lots).sum(axis=1)) / rows
    volatility = np.sqrt(np.bincount(block[1:], traded.returns**2))
    assert np.corrcoef(volatility, spread)[0, 1] > 0.5
    assert np.corrcoef(volatility, depth)[0, 1] < -0.4


def test_trades_come_in_good_number_and_order(traded: Traded) -> None:
    for day in (traded.first, traded.second):
        assert 0.4 < len(day.fills.ms) / ROWS < 1.1
        assert (np.diff(day.fills.ms) >= 0).all()
        assert 0 <= day.fills.ms[0] <= day.fills.ms[-1] <= day.ms[-1] < DAY_MS
        assert min(day.fills.lots.min(), day.fills.ticks.min()) > 0
        assert set(np.unique(day.fills.sign)) == {-1, 1}
    assert traded.second.first_trade == traded.first.first_trade + len(traded.first.fills.ms)


@pytest.mark.slow
def test_trades_hit_the_book() -> None:
    """At two snapshots a second half of the trades print at the touch that was seen last, the rest close to it."""
    day = simulate("XRP-USDT", rows=200_000).first
    before = np.searchsorted(day.ms, day.fills.ms, side="left") - 1
    fills, before, bids, asks = day.fills, np.maximum(before, 0), day.levels.bid_ticks, day.levels.ask_ticks
    assert ((fills.ticks >= bids[before, -1]) & (fills.ticks <= asks[before, -1])).mean() > 0.999
    touch = np.where(fills.sign > 0, asks[before, 0], bids[before, 0])
    assert (fills.ticks == touch).mean() > 0.45
    beyond = fills.sign * (fills.ticks - touch)
    assert (np.abs(beyond) <= 2).mean() > 0.9


def test_order_flow_is_persistent_and_moves_with_the_price(traded: Traded) -> None:
    fills = traded.first.fills
    assert 0.1 < lag(fills.sign.astype(np.float64)) < 0.7
    minute = np.bincount(fills.ms // 60_000, fills.sign.astype(np.float64), minlength=1440)
    last = np.searchsorted(traded.first.ms, np.arange(0, DAY_MS + 1, 60_000), side="right") - 1
    returns = np.diff(np.log(traded.mid[np.maximum(last, 0)]))
    assert np.corrcoef(minute, returns)[0, 1] > 0.2
    assert abs(np.corrcoef(minute[:-1], returns[1:])[0, 1]) < 0.1, "past flow does not predict the next minute"


def test_the_market_goes_on_over_midnight(traded: Traded) -> None:
    last, first = traded.first.levels, traded.second.levels
    gap = abs(int(first.bid_ticks[0, 0]) - int(last.bid_ticks[-1, 0])) / last.bid_ticks[-1, 0]
    assert gap < 2e-3
    assert len(np.intersect1d(first.bid_ticks[0], last.bid_ticks[-1])) > 0
    assert traded.second.nonce[0] > traded.first.nonce[-1]
    assert (np.diff(traded.first.nonce) > 0).all()


@pytest.mark.slow
def test_two_venues_quote_nearly_the_same_price() -> None:
    here, there = simulate("ETH-USDT", 2000), simulate("ETH-USDT", 2000, exchange="okx")
    at = np.arange(HOUR, DAY_MS, HOUR)
    prices = [t.mid[np.searchsorted(t.first.ms, at) - 1] for t in (here, there)]
    assert np.abs(prices[0] / prices[1] - 1).max() < 3e-3
    assert (prices[0] != prices[1]).any()


@pytest.mark.parametrize("rows", [1, 2, 50, 2000])
def test_sparse_feeds_have_a_settled_book(rows: int) -> None:
    day = simulate("BTC-USDT", rows).first
    assert len(day.ms) == rows
    spread = day.levels.ask_ticks[:, 0] - day.levels.bid_ticks[:, 0]
    assert spread.min() > 0
    assert np.median(spread) <= 4


def test_more_levels_can_be_asked_for() -> None:
    levels = simulate("XRP-USDT", 500, 60).first.levels
    assert levels.ask_ticks.shape == (500, 60)
    assert (np.diff(levels.ask_ticks, axis=1) > 0).all()


def test_prices_and_sizes_print_cleanly() -> None:
    for unit in BUILT_IN:
        ticks = np.arange(1, 200_000, 37)
        for values, decimals in ((unit.prices(ticks), unit.price_decimals), (unit.sizes(ticks), unit.size_decimals)):
            assert [float(f"{value:.{decimals}f}") for value in values] == values.tolist()
        assert unit.prices(np.array([round(unit.price / unit.tick)]))[0] == pytest.approx(unit.price)


def test_unknown_symbols_get_an_instrument_of_their_own() -> None:
    assert instrument("O'REILLY\"/x") == instrument("O'REILLY\"/x")
    assert built_in_symbols(12) == (*(unit.symbol for unit in BUILT_IN), "S011-USDT", "S012-USDT")
    assert instrument("S011-USDT").price != instrument("S012-USDT").price


def test_tickers_summarise_the_trades_of_24_hours() -> None:
    traded, ticker = simulate("SOL-USDT", 400), Ticker()
    days = [(day, ticker.next_day(day)) for day in (traded.first, traded.second)]
    trades = [
        (number * DAY_MS + int(ms), int(tick), int(lots))
        for number, (day, _) in enumerate(days)
        for ms, tick, lots, _sign in zip(*day.fills, strict=True)
    ]
    for number, (day, rows) in enumerate(days):
        for i, snapshot in enumerate(rows.rows):
            now = number * DAY_MS + int(day.ms[snapshot])
            window = [(tick, lots) for ms, tick, lots in trades if now - DAY_MS < ms <= now]
            assert rows.count[i] == len(window)
            assert rows.base[i] == sum(lots for _, lots in window)
            assert rows.quote[i] == sum(tick * lots for tick, lots in window)
            if window:
                ticks = [tick for tick, _ in window]
                found = (rows.open[i], rows.last[i], rows.high[i], rows.low[i])
                assert found == (ticks[0], ticks[-1], max(ticks), min(ticks))
