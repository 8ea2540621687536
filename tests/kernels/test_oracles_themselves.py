"""The oracles of the kernels, against the golden vectors of the reference and cases worked out by hand."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction
from typing import Any

import pytest

from tests.features.made import MIDNIGHT, keyed
from tests.features.test_oracles import T0
from tests.kernels.driving import differs
from tests.oracles import orderbook
from tests.oracles.kernel_trades import VpinOptions, buckets
from tests.oracles.kernels import book_features
from tests.oracles.near import Near, near_mean, near_std, near_total, near_variance, regression, root_of_squares
from tests.oracles.rows import NS
from tests.oracles.trade_bars import bar_parts, bars

Row = dict[str, Any]
START = MIDNIGHT * 1_000_000
T1 = {
    "timestamp": MIDNIGHT + 1000,
    "bids": [(100, 1), (99.9, 3), (99.5, 5)],
    "asks": [(100.2, 4), (100.6, 6), (100.7, 2)],
}


def quotes(*mids: float | None, step: float = 1.0, spread: float = 2.0) -> list[Row]:
    """A row every ``step`` seconds, of one level on both sides; no asks where the mid is None."""
    raw = []
    for i, mid in enumerate(mids):
        bid = (mid if mid is not None else 100.0) - spread / 2
        raw.append({"timestamp": MIDNIGHT + round(i * step * 1000), "bids": [(bid, 1.0)]})
        raw[-1]["asks"] = [(bid + spread, 1.0)] if mid is not None else []
    return orderbook.features(keyed(raw))


def trade(seconds: float, amount: float | None, side: int | None = 1, price: float | None = 100.0) -> Row:
    return {"ts": START + round(seconds * NS), "price": price, "amount": amount, "side": side}


def column(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def test_the_golden_step() -> None:
    first, row = book_features(orderbook.features(keyed([T0, T1])), ofi_levels=3)
    assert [row["ofi"], row["ofi_01"], row["ofi_02"]] == [0.0, 4.0, 6.0]
    assert row["mlofi"] == pytest.approx(4.6333993, abs=5e-8)
    assert row["ofi_multi"] == 10.0
    assert row["log_return"] == pytest.approx(4.996253e-4, rel=5e-7)
    assert row["mid_velocity"] == pytest.approx(0.05, rel=1e-9)
    assert [first[name] for name in ("ofi", "mlofi", "log_return", "mid_velocity", "ofi_sum_5s")] == [None] * 5


def test_depth_within_5_bps_of_the_golden_book() -> None:
    assert orderbook.features(keyed([T0]))[0]["depth_0_5bps"] == 3.0


ONES = VpinOptions(vpin_bucket_volume="1.0")
GOLDEN_TRADES = [trade(1, 2.5), trade(2, 0.75, -1), trade(3, 1.0)]


def test_the_golden_buckets() -> None:
    full = buckets(GOLDEN_TRADES, ONES)
    assert [bucket.excess / bucket.lots for bucket in full] == [1, 1, 0, Fraction(1, 2)]
    assert [(bucket.closed - START) // NS for bucket in full] == [1, 1, 2, 3]
    rows = quotes(100, 100, 100, 100, 100)
    assert column(book_features(rows, GOLDEN_TRADES, vpin_bucket_volume="1.0", vpin_window_buckets=4), "vpin") == [
        None,
        None,
        None,
        0.625,
        0.625,
    ]


def test_a_trade_over_several_buckets_loses_nothing() -> None:
    assert [bucket.excess / bucket.lots for bucket in buckets([trade(0, 3.5)], ONES)] == [1, 1, 1]
    rows = book_features(quotes(100, 100), [trade(0, 3.5)], vpin_bucket_volume="1.0", vpin_window_buckets=3)
    assert column(rows, "vpin") == [1.0, 1.0]


def test_the_start_of_a_segment_discards_the_partial_bucket_only() -> None:
    later = [trade(0, 1.5), trade(300, 0.25, -1), trade(600.001, 0.25, -1), trade(601, 1.0, -1)]
    starts = [START + round(600.001 * NS)]
    assert [bucket.excess / bucket.lots for bucket in buckets(later, ONES, starts)] == [1, -1]
    assert buckets(later, ONES, starts)[1].closed == START + 601 * NS
    joined = buckets(later, ONES)
    assert [bucket.excess / bucket.lots for bucket in joined] == [1, 0, -1]


def test_sides_of_trades() -> None:
    trades = [
        trade(1, 1.0, None, 100.0),
        trade(2, 1.0, -1, 101.0),
        trade(3, 1.0, None, 101.0),
        trade(4, 1.0, None, 99.0),
        trade(5, 1.0, 1, 99.0),
        trade(6, 0.5, None, None),
    ]
    told = [bucket.excess / bucket.lots for bucket in buckets(trades, ONES)]
    ticks = [
        bucket.excess / bucket.lots
        for bucket in buckets(trades, VpinOptions(vpin_bucket_volume="1.0", vpin_classification="tick"))
    ]
    assert told == [0, -1, 1, -1, 1]
    assert ticks == [0, 1, 1, -1, -1]


def test_bulk_bars() -> None:
    prices = [100.0, 100.1, 100.2, 100.3, 100.5, 100.6]
    trades = [trade(60 * i + 1, 1.0, None, price) for i, price in enumerate(prices)]
    full = buckets(trades, VpinOptions(vpin_bucket_volume="1.0", vpin_classification="bulk"))
    # The first has no change, the second and third too few before them, the fourth and fifth a deviation of 0.
    assert [float(bucket.excess / bucket.lots) for bucket in full[:5]] == [0.0] * 5
    deviation = statistics.stdev([0.1, 0.1, 0.1, 0.2])
    wanted = math.erf(0.1 / deviation / math.sqrt(2))
    assert float(full[5].excess / full[5].lots) == pytest.approx(wanted, rel=1e-12)
    assert [(bucket.closed - START) // NS for bucket in full] == [60, 120, 180, 240, 300, 360]


def test_buckets_of_a_share_of_the_daily_volume() -> None:
    day = 86_400.0
    trades = [trade(100, 50.0), trade(day + 1, 1.0), trade(day + 2, 149.5), trade(2 * day + 1, 3.0)]
    joined = buckets(trades, VpinOptions(vpin_bucket_volume="adv/50", max_gap=86_400))
    # The last bucket of 1.0 was opened on the second day and is filled on the third.
    assert [bucket.lots / 10**8 for bucket in joined] == [1.0] * 151 + [2.005]
    late = [trade(301, 50.0), trade(day + 400, 1.0), trade(2 * day + 1, 0.05), trade(2 * day + 2, 0.05)]
    # Of the first day the start is unknown, so that only the second counts, and only on the third.
    assert [bucket.lots for bucket in buckets(late, VpinOptions(vpin_bucket_volume="adv/50"))] == [2_000_000] * 5


def test_trade_flow_of_steps_and_windows() -> None:
    rows = quotes(100, 100, None, 100, step=2)
    trades = [
        trade(0, 64.0),  # at the time of the first row: before it, counts nowhere
        trade(2, 1.0),
        trade(2.5, 2.0, -1),
        trade(3, None),
        trade(3.5, 4.0, None),
        trade(6.5, 128.0),  # after the last row
    ]
    got = book_features(rows, trades, horizons=[4])
    assert column(got, "buy_volume") == [None, 1.0, 0.0, 0.0]
    assert column(got, "sell_volume") == [None, 0.0, 2.0, 0.0]
    assert column(got, "trade_volume") == [None, 1.0, 6.0, 0.0]
    assert column(got, "tfi") == [None, 1.0, -1.0, None]
    assert column(got, "trade_vol_4s") == [0.0, 1.0, 7.0, 6.0]
    assert column(got, "tfi_4s") == [None, 1.0, -1 / 3, -1.0]
    without = book_features(rows, None, horizons=[4])
    assert {row[name] for row in without for name in ("trade_volume", "tfi_4s", "vpin", "kyle_lambda")} == {None}


def test_trades_in_a_gap_count_nowhere() -> None:
    rows = quotes(100, 100, 100, step=301)
    got = book_features(rows, [trade(10, 1.0), trade(602, 1.0)], horizons=[900])
    assert column(got, "trade_volume") == [None] * 3
    assert column(got, "trade_vol_900s") == [None, 0.0, 0.0]


def test_kyle_lambda_finds_the_slope_of_exact_steps() -> None:
    rng = random.Random(1)
    flow = [rng.choice((-2.0, -1.0, 0.0, 1.0, 3.0)) for _ in range(40)]
    mids = [100.0]
    for x in flow:
        mids.append(mids[-1] + 0.5 * x)
    rows = quotes(*mids)
    trades = [trade(i + 0.5, abs(x), 1 if x > 0 else -1) for i, x in enumerate(flow) if x]
    got = column(book_features(rows, trades), "kyle_lambda")
    assert got[:30] == [None] * 30
    assert got[30:] == [0.5] * 11
    flipped = [{**trade, "side": -trade["side"]} for trade in trades]
    assert column(book_features(rows, flipped), "kyle_lambda")[30:] == [-0.5] * 11
    # 30 steps end in (t - 30, t].
    assert column(book_features(rows, trades, kyle_window=30), "kyle_lambda")[30:] == [0.5] * 11
    assert set(column(book_features(rows, trades, kyle_window=29), "kyle_lambda")) == {None}
    assert set(column(book_features(rows, []), "kyle_lambda")) == {None}


def test_lags_end_at_gaps_of_rows_and_of_valid_rows() -> None:
    rows = quotes(100, 101, None, 102, None, None, 103, step=150)
    got = book_features(rows)
    ages = [0.0, 150.0, 300.0, 450.0, 600.0, 750.0, 900.0]
    assert column(got, "segment_age_s") == ages
    # The valid row before the last is 450 s older.
    logs = [None, math.log(1.01), None, math.log(102 / 101), None, None, None]
    assert column(got, "log_return") == logs
    assert column(got, "mid_velocity") == [None, 1 / 150, None, 1 / 300, None, None, None]
    assert [value is None for value in column(got, "mid_accel")] == [True, True, True, False, True, True, True]
    assert got[3]["mid_accel"] == pytest.approx((1 / 300 - 1 / 150) / 225, rel=1e-12)
    far = book_features(quotes(100, 101, step=300.001))
    assert column(far, "segment_age_s") == [0.0, 0.0]
    assert column(far, "log_return") == [None, None]
    tied = book_features(quotes(100, 101, 102, 103, step=0))
    assert column(tied, "mid_velocity") == column(tied, "mid_accel") == [None] * 4
    assert tied[3]["log_return"] == math.log(103 / 102)


def test_windows_are_open_on_the_left() -> None:
    rows = quotes(100, 101, 102, 103, 104, 105, 106)
    got = book_features(rows, horizons=[2])
    returns = column(got, "log_return")
    assert got[0]["rv_2s"] is None
    assert got[1]["rv_2s"] == returns[1]
    assert got[1]["ret_std_2s"] is None
    assert got[6]["rv_2s"] == pytest.approx(math.hypot(returns[5], returns[6]), rel=1e-14)
    assert got[6]["mean_return_2s"] == pytest.approx((returns[5] + returns[6]) / 2, rel=1e-14)
    assert got[6]["ret_std_2s"] == pytest.approx(abs(returns[5] - returns[6]) / math.sqrt(2), rel=1e-9)


def test_time_weights_are_clipped_to_the_window() -> None:
    rows = quotes(100, 100, 100, 100, 100, step=2)
    for row, spread in zip(rows, (1.0, None, 4.0, 8.0, 16.0), strict=True):
        row["relative_spread"] = spread
    got = column(book_features(rows, horizons=[5]), "mean_relative_spread_tw_5s")
    # At 6 s: 1 for 1 s, unknown for 2 s, 4 for 2 s. At 8 s: unknown for 1 s, 4 and 8 for 2 s each.
    assert got == [None, 1.0, 1.0, 3.0, 6.0]
    assert column(book_features(rows, horizons=[5]), "mean_relative_spread_5s")[4] == (4.0 + 8.0 + 16.0) / 3


def test_regimes_by_rank() -> None:
    rows = [row for spread in (0.2, 0.3) for row in quotes(*[100.0] * 16, spread=spread)]
    rows += quotes(100.0, spread=0.2) + quotes(None) + quotes(100.0, spread=0.5) + quotes(100.0, spread=0.1)
    for i, row in enumerate(rows):
        row["ts"] = START + i * NS
    got = book_features(rows)
    assert column(got, "spread_percentile")[:30] == [None] * 30
    assert column(got, "spread_percentile")[30:] == [(16 + 14 / 2) / 30, (16 + 15 / 2) / 31, 8 / 32, None, 1.0, 0.0]
    assert column(got, "spread_regime")[30:] == ["normal", "normal", "normal", None, "wide", "tight"]
    assert got[35]["spread_regime_wide_frac"] == 0.25
    assert got[34]["spread_regime_wide_frac"] == 0.0
    assert got[30]["spread_regime_tight_frac"] is None


def test_regimes_by_width() -> None:
    rows = quotes(100.0, 100.0, None, 100.0, step=2)
    for row, spread in zip(rows, (2.0, 10.0, 50.0, 9.0), strict=True):
        row["spread_bps"] = spread
    got = book_features(rows, regime_mode="static", regime_window=5)
    assert column(got, "spread_regime") == ["tight", "wide", None, "normal"]
    assert column(got, "spread_regime_tight_frac") == [None, 1.0, 0.5, 1 / 3]
    assert column(got, "spread_regime_wide_frac") == [None, 0.0, 0.5, 2 / 3]


def test_the_regression_is_exact() -> None:
    x, y = [0.1 * i for i in range(30)], [1e5 + 0.3 * i for i in range(30)]
    slope, fit = regression(x, y, 30)
    assert slope == pytest.approx(3.0, rel=1e-9)
    assert fit == pytest.approx(1.0, rel=1e-9)
    assert regression(x[1:], y[1:], 30) == (None, None)
    assert regression([5.0] * 30, y, 30) == (None, None)
    assert regression(x, [7.0] * 30, 30) == (0.0, None)
    slope, fit = regression([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 5.0], 4)
    assert (slope, fit) == (1.1, pytest.approx(1.1**2 * 5 / 8.75))


def test_statistics_say_how_near_is_near_enough() -> None:
    values = [3.0, None, -1.0]
    assert (near_total(values), near_mean(values), near_variance(values)) == (2.0, 1.0, 8.0)
    assert near_std(values) == root_of_squares([2.0, 2.0]) == math.sqrt(8)
    assert near_total([None]) is near_mean([]) is near_std([1.0]) is root_of_squares([]) is None
    total, deviation = near_total(values), near_std(values)
    assert total is not None
    assert deviation is not None
    assert (total.slack, deviation.slack) == (4e-15, 3e-12)


@pytest.mark.parametrize("got", [None, 1, "1.0", math.nan, math.inf, 1.0 + 2e-9, 1.0 - 2e-9])
def test_the_comparison_tells_values_apart(got: object) -> None:
    assert differs(got, 1.0)
    assert differs(got, Near(1.0, 1e-10))
    assert differs(got, None) == (got is not None)


def test_the_comparison_uses_the_slack_of_a_value_and_no_more() -> None:
    assert not differs(1.0 + 5e-10, 1.0)
    assert not differs(0.9e-12, Near(0.0, 1e-12))
    assert differs(1.1e-12, Near(0.0, 1e-12))
    assert differs(1e-300, 0.0)
    assert differs("wide", "tight")
    assert differs(True, False)


def test_bars_split_trades() -> None:
    trades = [trade(0, 2.5, 1, 10.0), trade(1, 0.75, -1, 11.0), trade(2, None), trade(400, 1.0, None, 9.0)]
    parts = bar_parts(trades, "volume", 1.0, max_gap=300)
    assert [(p["bar_id"], p["volume"], p["lots"]) for p in parts] == [
        (0, 1.0, 10**8),
        (1, 1.0, 10**8),
        (2, 0.5, 5 * 10**7),
        (2, 0.5, 5 * 10**7),
        (3, 0.25, 25 * 10**6),
        (3, 0.75, 75 * 10**6),
    ]
    assert column(parts, "part_of_split") == [True, True, True, True, True, True]
    assert column(parts, "has_gap") == [False] * 5 + [True]
    third, last = bars(trades, "volume", 1.0, max_gap=300)[2:]
    assert third == {
        "bar_id": 2,
        "start_time": START,
        "end_time": START + NS,
        "duration": 1.0,
        "open": 10.0,
        "high": 11.0,
        "low": 10.0,
        "close": 11.0,
        "volume": 1.0,
        "buy_volume": 0.5,
        "sell_volume": 0.5,
        "unknown_volume": 0.0,
        "vwap": 10.5,
        "buy_ratio": 0.5,
        "trade_count": 2,
        "has_gap": False,
    }
    assert (last["unknown_volume"], last["buy_ratio"], last["has_gap"]) == (0.75, 0.0, True)
    assert last["vwap"] == 0.25 * 11 + 0.75 * 9


def test_whole_trades_fill_bars() -> None:
    trades = [trade(0, 0.4), trade(1, 2.5), trade(2, 1.0), trade(3, 0.9)]
    got = bars(trades, "volume", 1.0, split=False)
    assert [(bar["volume"], bar["trade_count"]) for bar in got] == [(2.9, 2), (1.0, 1)]
    assert [p["part_of_split"] for p in bar_parts(trades, "volume", 1.0, split=False)] == [False] * 3


def test_bars_of_ticks_and_of_value() -> None:
    trades = [trade(0, 0.4), trade(1, 2.5, -1, 50.0), trade(2, 1.0), trade(3, 0.9)]
    assert column(bars(trades, "tick", 3), "volume") == [3.9]
    dollars = bars(trades, "dollar", 100.0)
    assert column(dollars, "trade_count") == [2, 2, 2]
    assert [bar["volume"] for bar in dollars] == pytest.approx([0.4 + 1.2, 1.3 + 0.35, 0.65 + 0.35])
    assert [bar["vwap"] * bar["volume"] for bar in dollars] == pytest.approx([100.0] * 3)
