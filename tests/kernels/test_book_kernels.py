"""Kernels over books: golden numbers, edges of windows and segments, regressions and regimes by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.kernels.markets import NAN, OPTIONS, market, run, seconds
from udfs.kernel import Array
from udfs.pipeline import Pipeline

# --- golden numbers (features.md, section 4) ---

BIDS = ([(100, 2), (99.9, 3), (99.5, 5)], [(100, 1), (99.9, 3), (99.5, 5)])
ASKS = ([(100.1, 1), (100.2, 4), (100.6, 6)], [(100.2, 4), (100.6, 6), (100.7, 2)])


Book = list[tuple[float, float]]
SIDES = "bid", "ask"


def golden() -> tuple[Array, dict[str, Array]]:
    columns = {"mid_price": np.array([100.05, 100.1])}
    for side, books in (("bid", BIDS), ("ask", ASKS)):
        for level in range(3):
            columns[f"{side}_price_{level:02}"] = np.array([book[level][0] for book in books], float)
            columns[f"{side}_size_{level:02}"] = np.array([book[level][1] for book in books], float)
    return seconds(0, 1), columns


def test_golden_flow() -> None:
    got, _ = run(*golden(), ["ofi", "mlofi"])
    assert [got[name].tolist()[1] for name in ("ofi", "ofi_01", "ofi_02", "ofi_multi")] == [0, 4, 6, 10]
    assert got["mlofi"][1] == pytest.approx(4.6333993, abs=1e-7)
    assert got["mlofi_sum_7s"][1] == got["mlofi"][1]
    assert got["ofi_sum_2s"][1] == 0
    for name, values in got.items():
        assert np.isnan(values[0]) == (name not in ("segment_start", "segment_age_s")), name


def by_price(bids: Sequence[Book], asks: Sequence[Book], *whole: bool) -> list[float | None]:
    """``ofi_price`` of some books; ``whole``: nothing is known to lie beyond their deepest levels."""
    levels = max(len(book) for book in (*bids, *asks))
    columns = {"mid_price": np.array([(bid[0][0] + ask[0][0]) / 2 for bid, ask in zip(bids, asks, strict=True)])}
    for side, books in (("bid", bids), ("ask", asks)):
        for k in range(levels):
            at = [book[k] if k < len(book) else (math.nan, math.nan) for book in books]
            columns[f"{side}_price_{k:02}"], columns[f"{side}_size_{k:02}"] = np.array(at, float).T.copy()
        columns[f"{side}_is_whole"] = np.array(whole or (False,) * len(books), float)
    got, _ = run(seconds(*range(len(bids))), columns, ["ofi"], max_levels=levels)
    return [None if math.isnan(value) else value for value in got["ofi_price"].tolist()]


def test_golden_flow_by_price() -> None:
    """The ask that vanished shifts all levels, which flow by level takes for orders that came."""
    assert by_price(BIDS, ASKS) == [None, 0.0]


@pytest.mark.parametrize(
    ("bids", "whole", "expected"),
    [
        ([[(99, 2), (98, 1)], [(99, 5), (98, 7)]], (), 3.0),
        ([[(99, 2), (98, 1)], [(98, 4), (97, 3)]], (), 1.0),
        ([[(98, 2), (97, 1)], [(99, 5), (98, 7)]], (), 10.0),
        ([[(98, 2), (97, 1)], [(99, 5), (97, 7)]], (), 3.0),
        ([[(97, 2)], [(99, 5), (98, 7)]], (), None),
        ([[(97, 2)], [(99, 5), (98, 7)]], (False, True), 10.0),
        ([[(99, 5), (98, 7)], [(97, 2)]], (), None),
        ([[(99, 5), (98, 7)], [(97, 2)]], (True, False), -10.0),
    ],
    ids=[
        "sizes",
        "best vanished",
        "better bid",
        "old price empty",
        "cut off",
        "whole",
        "cut off before",
        "whole before",
    ],
)
def test_flow_by_price(bids: list[Book], whole: tuple[bool, ...], expected: float | None) -> None:
    asks = [[(101, 1), (102, 1)]] * 2
    assert by_price(bids, asks, *whole) == [None, expected]
    # The same on the other side of the market.
    turned = [[(200 - price, size) for price, size in book] for book in bids]
    opposite = [[(200 - price, size) for price, size in book] for book in asks]
    assert by_price(opposite, turned, *whole) == [None, None if expected is None else -expected]


def test_no_flow_by_price() -> None:
    pipeline = Pipeline.of(["ofi"], OPTIONS | {"ofi_price": False})
    assert "ofi_price" not in [column.name for column in pipeline.outputs]
    assert {*pipeline.inputs} == {"mid_price", *(f"{side}_{what}_00" for side in SIDES for what in ("price", "size"))}


def test_golden_return() -> None:
    got, _ = run(*golden(), ["returns"])
    assert got["log_return"][1] == pytest.approx(4.996253e-4, abs=1e-10)
    assert got["mid_velocity"][1] == pytest.approx(0.05, rel=1e-12)
    assert np.isnan(got["mid_accel"]).all()


def test_acceleration_is_over_the_mean_of_both_steps() -> None:
    got, _ = run(seconds(0, 1, 3, 3, 4), {"mid_price": np.array([100.0, 101, 105, 106, 107])}, ["returns"])
    assert got["mid_velocity"].tolist()[1:3] == [1, 2]
    assert got["mid_accel"][2] == (2 - 1) / 1.5
    # No time passes between rows 2 and 3: a return, but no velocity, and none to accelerate from.
    assert not np.isnan(got["log_return"][3])
    assert [np.isnan(got["mid_velocity"][i]) for i in (3, 4)] == [True, False]
    assert np.isnan(got["mid_accel"][3:]).all()


def test_small_returns_keep_their_digits() -> None:
    got, _ = run(seconds(0, 1), {"mid_price": np.array([2.0**17, 2.0**17 + 2.0**-20])}, ["returns"])
    x = 2.0**-37
    assert got["log_return"][1] == pytest.approx(x - x * x / 2, rel=1e-15)


def test_lags_skip_invalid_rows_and_end_with_age_and_segment() -> None:
    mid = np.array([100.0, NAN, 101, NAN, NAN, 102, 103, 104])
    got, _ = run(seconds(0, 8, 16, 30, 32, 36.1, 56.1, 76.2), {"mid_price": mid}, ["returns"])
    # 36.1 comes in time after row 32 (same segment), but 20.1 s after the valid row 16; 76.2 starts a segment.
    assert got["segment_start"].tolist() == [1, 0, 0, 0, 0, 0, 0, 1]
    assert [i for i in range(8) if not np.isnan(got["log_return"][i])] == [2, 6]
    assert got["mid_velocity"][2] == 1 / 16
    assert got["log_return"][6] == pytest.approx(math.log(103 / 102), rel=1e-12)


def test_a_segment_starts_anew_even_where_time_went_back() -> None:
    """A row that is earlier than the one before starts a segment, and so does one that comes 21 s after it."""
    got, _ = run(seconds(17, 6, 27, 28), {"mid_price": np.array([100.0, NAN, 101, 102])}, ["returns"])
    assert got["segment_start"].tolist() == [1, 1, 1, 0]
    assert np.isnan(got["log_return"]).tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("before", "now", "flow"),
    [
        ((100, 2, 101, 3), (100, 5, 101, 1), 5),
        ((100, 2, 101, 3), (101, 5, 102, 1), 8),
        ((100, 2, 101, 3), (99, 5, 100, 1), -3),
        ((100, 2, 101, 3), (NAN, NAN, 101, 1), NAN),
        ((100, 2, NAN, NAN), (100, 2, 101, 1), NAN),
    ],
)
def test_flow_of_a_level(before: Sequence[float], now: Sequence[float], flow: float) -> None:
    names = [f"{side}_{field}" for side in ("bid", "ask") for field in ("price", "size")]
    columns = {f"{name}_00": np.array([10.0, 10.0]) for name in names}
    columns |= {
        f"{name}_01": np.array(pair, float) for name, pair in zip(names, zip(before, now, strict=True), strict=True)
    }
    got, _ = run(seconds(0, 1), columns | {"mid_price": np.array([10.0, 10.0])}, ["mlofi"], ofi_levels=2)
    np.testing.assert_equal(got["ofi_01"][1], flow)
    # A level that is absent counts as no flow in the sums.
    expected = 0 if np.isnan(flow) else flow
    assert got["ofi_multi"][1] == expected
    assert got["mlofi"][1] == expected * math.exp(-0.5)


# --- windows ---


def rolled(ts: Array, **given: Sequence[float]) -> dict[str, Array]:
    pipeline = Pipeline.of(["rolling"], OPTIONS)
    columns = {name: np.full(len(ts), NAN) for name in pipeline.inputs}
    return run(ts, columns | {name: np.array(values, float) for name, values in given.items()}, ["rolling"])[0]


def test_a_window_excludes_its_start_and_includes_its_row() -> None:
    spread = [1.0, 2, 4, 8, NAN, 16]
    got = rolled(seconds(0, 1, 2, 2, 3, 4.000000001), relative_spread=spread)["mean_relative_spread_2s"]
    assert got.tolist() == [1, 1.5, 3, 14 / 3, 6, 16]


def test_a_held_value_counts_by_time() -> None:
    spread = [1.0, NAN, 3, 5, 7, NAN, 9]
    got = rolled(seconds(0, 2, 3, 4, 10, 11, 14), relative_spread=spread)
    # Known are: 1 from 0 to 2 s, 3 from 3 to 4, 5 from 4 to 10, 7 from 10 to 11. No time has passed at the first row.
    expected = [NAN, 1, 1, (2 * 1 + 3) / 3, (3 + 6 * 5) / 7, (6 * 5 + 7) / 7, (3 * 5 + 7) / 4]
    np.testing.assert_array_equal(got["mean_relative_spread_tw_7s"], expected)
    # The window from 12 to 14 s knows nothing; a window begins where it begins, not at a row.
    np.testing.assert_array_equal(got["mean_relative_spread_tw_2s"], [NAN, 1, 1, 3, 5, (5 + 7) / 2, NAN])
    np.testing.assert_array_equal(got["mean_relative_spread_2s"], [1, NAN, 3, 4, 7, 7, 9])


def test_time_that_goes_back_holds_nothing() -> None:
    got = rolled(seconds(0, 10, 6, 12), relative_spread=[1.0, 3, 5, 7])
    np.testing.assert_array_equal(got["mean_relative_spread_tw_40s"], [NAN, 1, NAN, 5])


def test_deviations_need_two_values_and_are_exactly_zero_for_equal_ones() -> None:
    depth = np.array([NAN, 0.1, 0.3, 0.3, NAN, 0.3, 0.7])
    got = rolled(seconds(0, 1, 2, 302, 303, 304, 305), depth_0_5bps=depth)["depth_0_5bps_sigma"]
    # max_gap is 20 s: the row at 302 s starts a segment.
    np.testing.assert_allclose(got[[2, 6]], [0.1 * math.sqrt(2), 0.4 / math.sqrt(3)], rtol=1e-12)
    assert got[[5]].tolist() == [0]
    assert np.isnan(got[[0, 1, 3, 4]]).all()


def test_equal_values_after_large_ones_have_no_deviation() -> None:
    values = np.r_[0, np.random.default_rng(1).normal(scale=1e6, size=199), np.full(100, 1 / 3)]
    got = rolled(seconds(*range(300)), cog_vs_mid=values)["cog_momentum_std_60s"]
    assert (got[1:259] > 0).all()
    assert (got[259:] == 0).all()


def test_values_far_from_zero() -> None:
    got = rolled(seconds(*range(200)), cog_vs_mid=np.linspace(1e9, 1e9 + 1, 200))["cog_momentum_std_60s"]
    # Row j of the ramp stands j / 199 above: the deviation of 60 equal steps.
    np.testing.assert_allclose(got[150], np.std(np.arange(60) / 199, ddof=1), rtol=1e-6)


def test_statistics_of_returns() -> None:
    r = np.array([NAN, 0.1, -0.2, 0.4, 0.1])
    mid = 100 * np.exp(np.nancumsum(r))
    got, _ = run(seconds(0, 1, 2, 3, 4), market(0, 5)[1] | {"mid_price": mid}, ["rolling"])
    for row in range(1, 5):
        inside = r[max(1, row - 1) : row + 1]
        assert got["mean_return_2s"][row] == pytest.approx(inside.mean(), rel=1e-9)
        assert got["rv_2s"][row] == pytest.approx(math.sqrt((inside**2).sum()), rel=1e-9)
        if row > 1:
            assert got["ret_std_2s"][row] == pytest.approx(inside.std(ddof=1), rel=1e-9)
    assert np.isnan(got["ret_std_2s"][:2]).all()
    assert np.isnan(got["rv_2s"][0])


# --- regression ---


def impact(r: Sequence[float], flow: Sequence[float]) -> tuple[Array, Array]:
    """The regression of these returns on these flows, which come a second apart."""
    sizes = np.cumsum(np.r_[1000.0, flow])
    mid = 100 * np.exp(np.cumsum(np.r_[0.0, r]))
    same = np.full(len(mid), 50.0)
    book = {"bid_price_00": same, "ask_price_00": same, "bid_size_00": sizes, "ask_size_00": same, "mid_price": mid}
    got, _ = run(seconds(*range(len(mid))), book, ["ofi_impact"], impact_window=40)
    return got["ofi_impact"][1:], got["ofi_impact_r2"][1:]


def test_impact_of_returns_that_follow_the_flow() -> None:
    flow = np.random.default_rng(1).integers(-9, 10, 80).astype(float)
    slope, fit = impact(flow * 2e-4, flow)
    assert np.isnan(slope[:29]).all()
    assert np.isnan(fit[:29]).all()
    np.testing.assert_allclose(slope[29:], 2e-4, rtol=1e-9)
    np.testing.assert_allclose(fit[29:], 1, rtol=1e-9)


def test_impact_looks_back_over_its_window_only() -> None:
    rng = np.random.default_rng(2)
    flow, r = rng.integers(-9, 10, 200).astype(float), rng.normal(size=200) / 1000
    slope, fit = impact(r, flow)
    for row in (60, 199):
        x, y = flow[row - 39 : row + 1], r[row - 39 : row + 1]
        assert slope[row] == pytest.approx(np.cov(x, y)[0, 1] / np.var(x, ddof=1), rel=1e-7)
        assert fit[row] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-7)


def test_impact_where_nothing_varies() -> None:
    flow = np.random.default_rng(3).integers(-9, 10, 60).astype(float)
    assert np.isnan(impact(np.linspace(-1, 1, 60) / 1000, np.full(60, 5.0))).all()
    slope, fit = impact(np.zeros(60), flow)
    assert (slope[29:] == 0).all()
    assert np.isnan(fit).all()


# --- regimes ---


def regimes(spread: Sequence[float], ts: Array | None = None, mid: float = 100.0, **options: Any) -> dict[str, Array]:
    prices, spreads = np.full(len(spread), mid), np.array(spread, float)
    columns = {"mid_price": prices, "spread": spreads, "spread_bps": 1e4 * spreads / prices}
    ts = seconds(*range(len(spread))) if ts is None else ts
    return run(ts, columns, ["spread_regime"], **options)[0]


def test_a_constant_spread_is_normal() -> None:
    # The same spread with rounding errors: ticks are compared, not doubles.
    got = regimes([0.1, 0.3 - 0.2, 100.3 - 100.2] * 12)
    assert got["spread_percentile"][30:].tolist() == [0.5] * 6
    assert got["spread_regime"].tolist() == [-1] * 30 + [1] * 6
    assert np.isnan(got["spread_percentile"][:30]).all()
    assert np.isnan(got["spread_regime_tight_frac"][:31]).all()
    assert got["spread_regime_tight_frac"][31:].tolist() == [0] * 5


def test_the_percentile_is_that_of_the_rows_before() -> None:
    # 0.01 .. 0.40, then one in between, the lowest and the highest.
    got = regimes([*(np.arange(1, 41) / 100), 0.105, 0.001, 9])
    assert (got["spread_percentile"][30:40] == 1).all()
    assert got["spread_percentile"][40:].tolist() == [10 / 40, 0, 1]
    assert got["spread_regime"].tolist()[38:] == [2, 2, 1, 0, 2]


def test_shares_of_time_are_clipped_to_the_window() -> None:
    spread = [1.0] * 30 + [9, 1, 9, 0.5, 1, 1]
    ts = seconds(*(i / 10 for i in range(30)), 10, 11, 13, 14, 18, 37)
    got = regimes(spread, ts, regime_window=20)
    assert got["spread_regime"].tolist()[30:] == [2, 1, 2, 0, 1, -1]
    # Known from 10 s on: wide for 1 s, normal for 2, wide for 1, tight for 4, normal since 18.
    assert got["spread_regime_wide_frac"].tolist()[31:] == [1, 1 / 3, 2 / 4, 2 / 8, 0]
    assert got["spread_regime_tight_frac"].tolist()[31:] == [0, 0, 0, 4 / 8, 1 / 20]


def test_fixed_limits() -> None:
    got = regimes([0.02, 0.03, 0.09, 0.1, 0.2, NAN], regime_mode="static", tight_bps=2, wide_bps=10)
    assert got["spread_regime"].tolist() == [0, 1, 1, 2, 2, -1]
    assert np.isnan(got["spread_percentile"]).all()
    assert got["spread_regime_tight_frac"].tolist()[1:] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]


@pytest.mark.parametrize("unit", ["percentile", "bps"])
def test_limits_in_the_wrong_order(unit: str) -> None:
    limits = {f"tight_{unit}": 0.7, f"wide_{unit}": 0.6}
    with pytest.raises(ValueError, match=f"tight_{unit} must be less than wide_{unit}, found 0.7 and 0.6"):
        Pipeline.of(["spread_regime"], limits)


def test_prices_at_or_below_zero_have_no_logs() -> None:
    """Spreads and power: differences are there, logs and ratios are not."""
    _, columns = market(5, 8, faults=0.0)
    mid = np.array([-3.0, -2.5, 0.0, 0.5, 1.0, -1.0, -1.0, 2.0])
    columns["mid_price"] = mid
    got, _ = run(seconds(*range(8)), columns, ["returns", "spread_regime"])
    expected = [NAN, NAN, NAN, NAN, math.log(2.0), NAN, NAN, NAN]
    np.testing.assert_allclose(got["log_return"], expected)
    np.testing.assert_allclose(got["mid_velocity"], [NAN, *np.diff(mid)])
