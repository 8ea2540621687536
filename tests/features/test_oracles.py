"""The oracles themselves, against numbers worked out by hand: the golden vectors of the reference."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from tests.features.made import INF, MIDNIGHT, NAN, keyed
from tests.oracles import bars, orderbook, ticker, trades
from tests.oracles.clock import calendar
from tests.oracles.compare import same
from tests.oracles.rows import clean_side

T0 = {
    "timestamp": MIDNIGHT,
    "bids": [(100, 2), (99.9, 3), (99.5, 5)],
    "asks": [(100.1, 1), (100.2, 4), (100.6, 6)],
}
GOLDEN_T0 = {
    "mid_price": 100.05,
    "spread_bps": 9.995002,
    "microprice": 100.0666667,
    "imbalance_top1": 1 / 3,
    "total_imbalance": -0.0476190,
    "vwap_bid_top5": 99.72,
    "vwap_ask_top5": 100.4090909,
    "bid_vol_band_0_5bps": 2.0,
    "ask_vol_band_0_5bps": 1.0,
    "bid_vol_band_5_10bps": 0.0,
    "ask_vol_band_5_10bps": 0.0,
    "imb_band_5_10bps": None,
    "bid_vol_band_10_25bps": 3.0,
    "ask_vol_band_10_25bps": 4.0,
    "bid_vol_band_50_100bps": 5.0,
    "ask_vol_band_50_100bps": 6.0,
    "smart_bid_depth": 7.370366,
    "smart_ask_depth": 7.856994,
    "bid_slope_regression": 0.150075,
    "ask_slope_regression": 0.185807,
    "cog_vs_mid": 3.093691,
    "bid_concentration": 0.38,
    "ask_concentration": 0.4380165,
    "bid_slope_top5": None,
    "ask_slope_top5": None,
}


def assert_golden(row: dict[str, object], golden: dict[str, float | None]) -> None:
    """To half a unit of the sixth decimal, the last that the reference gives for all of them."""
    got = {name: row[name] for name in golden}
    assert got == {
        name: want if want is None else pytest.approx(want, rel=0, abs=5e-7) for name, want in golden.items()
    }


def test_orderbook_gives_the_golden_vector() -> None:
    assert_golden(orderbook.features(keyed([T0]), captured_levels="all")[0], GOLDEN_T0)


def test_a_band_beyond_a_truncated_book_is_null() -> None:
    row = orderbook.features(keyed([T0]), max_levels=3)[0]
    assert row["bid_vol_band_50_100bps"] is None
    assert row["ask_vol_band_50_100bps"] is None
    assert row["bid_vol_band_10_25bps"] == 3.0


def test_the_golden_trade_step_gives_the_golden_return() -> None:
    t1 = {"timestamp": MIDNIGHT + 1000, "bids": [(100, 1)], "asks": [(100.2, 4)]}
    bar = bars.book_bars(orderbook.features(keyed([T0, t1])), bar_durations=[60], emit_open_bars=True)[0]
    assert bar["log_return"] == pytest.approx(4.996253e-4, rel=5e-7)
    assert bar["realized_variance"] == pytest.approx(4.996253e-4**2, rel=1e-6)


def test_cleaning_drops_sorts_merges_and_only_then_cuts() -> None:
    levels = [(1.0, 1.0), None, (3.0, NAN), (2.0, 0.0), (INF, 1.0), (-1.0, 1.0), (2.0, 2.0), (4.0, 1.0), (2.0, 3.0)]
    assert clean_side(levels, bids=True, max_levels=2) == [(4.0, 1.0), (2.0, 5.0)]
    assert clean_side(levels, bids=False, max_levels=2) == [(1.0, 1.0), (2.0, 5.0)]
    assert clean_side([], bids=True, max_levels=2) == []
    assert clean_side(None, bids=True, max_levels=2) is None


@pytest.mark.parametrize(
    ("bids", "asks", "state", "mid"),
    [
        ([(100, 1)], [(101, 1)], "ok", 100.5),
        ([(100, 1)], [(100, 1)], "locked", 100.0),
        ([(101, 1)], [(100, 1)], "crossed", None),
        ([(100, 1)], [], "one_sided", None),
        ([(100, 1)], None, "one_sided", None),
        ([], None, "empty", None),
    ],
)
def test_book_states(bids: list[object], asks: list[object], state: str, mid: float | None) -> None:
    row = orderbook.features(keyed([{"timestamp": MIDNIGHT, "bids": bids, "asks": asks}]))[0]
    assert (row["book_state"], row["mid_price"]) == (state, mid)
    assert row["total_ask_depth"] == (None if asks is None else float(len(asks)))


def test_calendar_counts_days_from_monday() -> None:
    friday = calendar(MIDNIGHT * 1_000_000 + 90 * 60 * 10**9)
    assert friday == {"hour_of_day": 1, "minute_of_hour": 30, "day_of_week": 4, "is_weekend": False}
    saturday = calendar((MIDNIGHT + 86_400_000) * 1_000_000)
    assert (saturday["day_of_week"], saturday["is_weekend"]) == (5, True)


def _trade(offset_ms: int, price: float, amount: float = 1.0, side: str | None = "buy") -> dict[str, object]:
    return {"timestamp": MIDNIGHT + offset_ms, "price": price, "amount": amount, "side": side}


def test_a_window_is_open_on_the_left_and_leaves_out_later_ties() -> None:
    rows = trades.features(keyed([_trade(0, 10), _trade(60_000, 11), _trade(60_000, 12)]), windows=[60])
    assert [row["trade_count_60s"] for row in rows] == [1, 1, 2]


def test_a_gap_starts_a_segment_only_beyond_the_longest() -> None:
    rows = trades.features(keyed([_trade(0, 10), _trade(300_000, 11), _trade(600_001, 12)]), windows=[900], max_gap=300)
    assert [row["segment_age_s"] for row in rows] == [0.0, 300.0, 0.0]
    assert [row["log_return"] for row in rows] == [None, math.log(1.1), None]


def test_windows_reach_over_midnight() -> None:
    rows = trades.features(keyed([_trade(-1000, 10), _trade(1000, 11)]))
    assert [row["date"] for row in rows] == [dt.date(2026, 1, 1), dt.date(2026, 1, 2)]
    assert rows[1]["volume_60s"] == 2.0


def test_a_ticker_that_is_crossed_keeps_its_spread() -> None:
    row = ticker.features(keyed([{"timestamp": MIDNIGHT, "bid": 11.0, "ask": 10.0}]))[0]
    assert (row["spread"], row["mid_price"], row["relative_spread"]) == (-1.0, None, None)


def test_a_bar_holds_its_start_and_not_its_end() -> None:
    raw = keyed([_trade(0, 10), _trade(59_999, 12), _trade(60_000, 11), _trade(120_000, 13)])
    out = bars.trade_bars(raw, bar_durations=[60])
    assert [(bar["open"], bar["close"], bar["trade_count"]) for bar in out] == [(10, 12, 2), (11, 11, 1)]
    assert [(bar["bar_end"] - MIDNIGHT * 10**6) // 10**9 for bar in out] == [60, 120]


def test_filling_carries_the_close_between_bars_only() -> None:
    out = bars.trade_bars(keyed([_trade(0, 10), _trade(190_000, 11)]), bar_durations=[60], fill=True)
    assert [(bar["open"], bar["trade_count"], bar["vwap"]) for bar in out] == [
        (10, 1, 10),
        (10, 0, None),
        (10, 0, None),
    ]


@pytest.mark.parametrize("got", [None, 1, True, "1.0", NAN, INF, 1.0 + 2e-9])
def test_the_comparison_tells_values_apart(got: object) -> None:
    assert not same(got, 1.0)


def test_the_comparison_takes_null_for_null_only() -> None:
    assert same(None, None)
    assert not same(NAN, None)
    assert not same(0.0, None)
    assert not same(1, True)
    assert same(1.0 + 5e-10, 1.0)
