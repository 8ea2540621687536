"""orderbook_hf against the oracle: every column of every row."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.features.lake_checks import check
from tests.features.made import FAULTS, MIDNIGHT, book, event_times, faulty_books, keyed, walking_books
from tests.features.test_oracles import GOLDEN_T0, T0, assert_golden
from tests.oracles.compare import table_rows
from tests.support.engine import run_model
from tests.support.lakes import write_rows


@pytest.mark.slow
def test_golden_vector(tmp_path: Path) -> None:
    write_rows(tmp_path, "orderbook", keyed([T0]))
    assert_golden(table_rows(run_model(tmp_path, "orderbook_hf", captured_levels="all"))[0], GOLDEN_T0)


@pytest.mark.slow
def test_books_with_every_fault(tmp_path: Path) -> None:
    expected = check(tmp_path, "orderbook_hf", keyed(faulty_books(seed=1, rounds=12)))
    assert {row["book_state"] for row in expected} == {"ok", "locked", "crossed", "one_sided", "empty"}
    assert len(expected) == 12 * len(FAULTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"max_levels": 3, "ofi_levels": 3},
        {"max_levels": 25, "keep_book": True},
        {"max_levels": 25, "captured_levels": "all"},
        {"captured_levels": 4},
        {"max_levels": 3, "ofi_levels": 3, "captured_levels": 5},
        {"max_levels": 5, "ofi_levels": 5, "bands_bps": [1, 2, 20], "imbalance_levels": [1, 2, 4]},
        {"max_levels": 10, "top_levels": 3, "regression_levels": 4, "smart_depth_k": 1.0},
    ],
    ids=str,
)
def test_options(tmp_path: Path, options: dict[str, object]) -> None:
    check(tmp_path, "orderbook_hf", keyed(faulty_books(seed=2, rounds=3)), **options)


@pytest.mark.slow
def test_prices_on_the_edge_of_a_band(tmp_path: Path) -> None:
    mid, size = 1000.0, 2.0
    edges = [mid * bps / 1e4 for bps in (0.5, 5, 10, 25, 50, 100)]
    rows = [{"timestamp": MIDNIGHT, "bids": [(mid - e, size) for e in edges], "asks": [(mid + e, size) for e in edges]}]
    row = check(tmp_path, "orderbook_hf", keyed(rows))[0]
    assert [row[f"bid_vol_band_{band}bps"] for band in ("0_5", "5_10", "10_25", "25_50", "50_100")] == [size] * 5


@pytest.mark.slow
def test_exactly_half_of_the_depth(tmp_path: Path) -> None:
    """Sizes in eighths add up without rounding, so that reaching half exactly counts as reaching it."""
    bids, asks = [(100 - i, size) for i, size in enumerate((1.125, 2.875, 4.0))], [(101, 2.0), (102, 2.0)]
    row = check(tmp_path, "orderbook_hf", keyed([{"timestamp": MIDNIGHT, "bids": bids, "asks": asks}]))[0]
    assert (row["bid_50pct_depth_levels"], row["ask_50pct_depth_levels"]) == (1, 0)


@pytest.mark.slow
def test_prices_of_any_magnitude(tmp_path: Path) -> None:
    rng = random.Random(3)
    rows = []
    for exponent in range(-9, 7):
        bids, asks = book(rng, levels=12)
        scale = 10.0**exponent
        side = {"bids": [(p * scale, s / scale) for p, s in bids], "asks": [(p * scale, s / scale) for p, s in asks]}
        rows.append({"timestamp": MIDNIGHT + exponent * 1000 + 20_000, **side})
    check(tmp_path, "orderbook_hf", keyed(rows))


@pytest.mark.slow
def test_ties_unordered_times_and_missing_exchange_times(tmp_path: Path) -> None:
    rng = random.Random(4)
    times = [MIDNIGHT + 5, MIDNIGHT + 5, MIDNIGHT + 1, MIDNIGHT + 5, MIDNIGHT + 3]
    rows = walking_books(rng, times)
    rows[2] |= {"timestamp": None, "collected_at": MIDNIGHT + 4}
    expected = check(tmp_path, "orderbook_hf", keyed(rows))
    assert [row["seq"] for row in expected] == [4, 2, 0, 1, 3]


@pytest.mark.slow
def test_symbols_exchanges_and_days_do_not_mix(tmp_path: Path) -> None:
    rng = random.Random(5)
    rows = []
    for exchange, symbol in (("binance", "BTC-USDT"), ("binance", "ETH-USDT"), ("kraken", "BTC-USDT")):
        times = event_times(rng, 60, MIDNIGHT - 300_000)
        rows += keyed(walking_books(rng, times), exchange, symbol)
    assert len({row["date"] for row in check(tmp_path, "orderbook_hf", rows)}) == 2
