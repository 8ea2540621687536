"""trades_features and ticker_features against the oracle: windows, segments, lags."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.features import made
from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, event_times, keyed

MAKE = {"trades_features": made.trades, "ticker_features": made.tickers}
both = pytest.mark.parametrize("model", list(MAKE))


@both
def test_bad_rows_ties_gaps_and_midnight(tmp_path: Path, model: str) -> None:
    rng = random.Random(11)
    times = event_times(rng, 500, MIDNIGHT - 3_000_000, gaps=(60, 150, 151, 300, 420))
    expected = check(tmp_path, model, keyed(MAKE[model](rng, times)), max_gap=300)
    assert len({row["date"] for row in expected}) == 2
    assert sum(row["segment_age_s"] == 0 for row in expected) > 3


def test_a_tape_may_be_silent(tmp_path: Path) -> None:
    """Without a max_gap windows and returns reach over any silence, also over midnight."""
    times = event_times(random.Random(20), 200, MIDNIGHT - 3_000_000, gaps=(20, 60, 61, 90, 130))
    late = [MIDNIGHT + 86_400_000 + ms for ms in (70_000_000, 70_000_001, 86_400_000, 86_400_001)]
    expected = check(tmp_path, "trades_features", keyed(made.trades(random.Random(20), times + late, bad=0)))
    assert [row["log_return"] is None for row in expected].count(True) == 1
    thin = [trade for trade in expected if trade["segment_age_s"] >= 900 and trade["trade_count_300s"] == 1]
    assert all(trade["trade_count_900s"] >= 1 for trade in thin)
    assert len(thin) > 3
    assert len({trade["segment_age_s"] for trade in thin}) == len(thin)  # it grows with the day
    assert max(trade["segment_age_s"] for trade in expected) > 10_000


@both
def test_many_keys_over_three_days(tmp_path: Path, model: str) -> None:
    rng = random.Random(12)
    rows = []
    for exchange, symbol in (("binance", "BTC-USDT"), ("binance", "O'REILLY"), ("okx", "BTC-USDT")):
        for midnight in (MIDNIGHT, MIDNIGHT + 86_400_000):
            times = event_times(rng, 90, midnight - 400_000)
            rows += keyed(MAKE[model](rng, times), exchange, symbol)
    check(tmp_path, model, rows)


@both
def test_other_windows_and_a_shorter_gap(tmp_path: Path, model: str) -> None:
    rng = random.Random(13)
    rows = keyed(MAKE[model](rng, event_times(rng, 250, MIDNIGHT - 900_000)))
    check(tmp_path, model, rows, windows=[1, 20, 1800], max_gap=20)


@both
def test_one_row(tmp_path: Path, model: str) -> None:
    check(tmp_path, model, keyed(MAKE[model](random.Random(14), [MIDNIGHT], bad=0)))


@both
def test_all_rows_at_one_time(tmp_path: Path, model: str) -> None:
    check(tmp_path, model, keyed(MAKE[model](random.Random(15), [MIDNIGHT + 1] * 40)))


@both
def test_the_edges_of_a_window_and_of_a_segment(tmp_path: Path, model: str) -> None:
    steps = [0, 60_000, 1, 59_999, 300_000, 300_001, 299_999, 900_000, 0, 60_000, 0, 300_000, 300_000, 300_000]
    times = [MIDNIGHT - 1_000_000 + sum(steps[: i + 1]) for i in range(len(steps))]
    check(tmp_path, model, keyed(MAKE[model](random.Random(16), times, bad=0)))


@both
def test_rows_filed_out_of_time_order(tmp_path: Path, model: str) -> None:
    rng = random.Random(17)
    rows = MAKE[model](rng, event_times(rng, 120, MIDNIGHT + 1000))
    rng.shuffle(rows)
    check(tmp_path, model, keyed(rows))


@pytest.mark.parametrize("valid", ["price", "amount"])
def test_no_valid_trade_in_a_window(tmp_path: Path, valid: str) -> None:
    rows = made.trades(random.Random(18), [MIDNIGHT + i * 100_000 for i in range(6)], bad=0)
    for row in rows[1:4]:
        row["amount" if valid == "price" else "price"] = None
    expected = check(tmp_path, "trades_features", keyed(rows))
    assert (expected[2]["trade_count_60s"], expected[2]["volume_60s"], expected[2]["vwap_60s"]) == (0, None, None)


def test_a_constant_price_has_no_deviation(tmp_path: Path) -> None:
    row = {"bid": 42_000.1, "ask": 42_000.3, "bid_volume": 0.0, "ask_volume": 0.0}
    rows = [{"timestamp": MIDNIGHT + i * 500, **row} for i in range(200)]
    expected = check(tmp_path, "ticker_features", keyed(rows))
    assert expected[-1]["mid_price_std_60s"] == pytest.approx(0, abs=1e-9)
    assert expected[-1]["volume_imbalance"] is None


def test_a_small_deviation_on_a_large_price(tmp_path: Path) -> None:
    rng = random.Random(19)
    rows = []
    for i in range(300):
        bid = 1_000_000 + rng.randint(0, 3) / 100
        rows.append({"timestamp": MIDNIGHT + i * 500, "bid": bid, "ask": bid + 0.01})
    check(tmp_path, "ticker_features", keyed(rows))
