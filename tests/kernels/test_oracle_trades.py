"""Kernels over trades beside a book against the oracle: every column of every row."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from tests.features.made import keyed
from tests.kernels.driving import assert_rows, run
from tests.kernels.made import START, case, cuts, trades_around
from tests.oracles import orderbook, trades
from tests.oracles.kernel_trades import DAY, kyle_lambda, trade_flow, vpin
from tests.oracles.rows import NS
from tests.oracles.segments import segment_starts
from tests.support import realdata
from tests.support.modes import cases

Row = dict[str, Any]
CASES = cases(("events", "edges", "walk", "faulty", "stale"))


@cache
def trades_of(name: str) -> list[Row]:
    return trades_around(len(name), case(name), 1000)


def ages(rows: Sequence[Row], starts: Sequence[int]) -> list[float]:
    """The column that comes along with every kernel that needs segments."""
    return [(row["ts"] - rows[start]["ts"]) / NS for row, start in zip(rows, starts, strict=True)]


def with_ages(rows: Sequence[Row], columns: dict[str, list[Any]], options: dict[str, Any]) -> list[Row]:
    starts = segment_starts(rows, options.get("max_gap", 300))
    return table({"segment_age_s": ages(rows, starts), **columns})


def table(columns: dict[str, list[Any]]) -> list[Row]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("options", [{}, {"horizons": [7, 1], "max_gap": 60}], ids=str)
def test_trade_flow(name: str, options: dict[str, Any]) -> None:
    rows, seen = case(name), trades_of(name)
    starts = segment_starts(rows, options.get("max_gap", 300))
    flow = trade_flow(rows, starts, seen, options.get("horizons", (5, 15, 60, 300, 900)))
    expected = table({"segment_age_s": ages(rows, starts), **flow})
    assert_rows(run(["tfi"], rows, seen, cuts(1, len(rows)), **options), expected)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("options", [{}, {"kyle_window": 100, "max_gap": 60}], ids=str)
def test_kyle_lambda(name: str, options: dict[str, Any]) -> None:
    rows, seen = case(name), trades_of(name)
    starts = segment_starts(rows, options.get("max_gap", 300))
    slopes = kyle_lambda(rows, starts, seen, options.get("kyle_window", 300))
    expected = table({"segment_age_s": ages(rows, starts), "kyle_lambda": slopes})
    assert_rows(run(["kyle_lambda"], rows, seen, cuts(2, len(rows)), **options), expected)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"vpin_bucket_volume": "7.3", "vpin_window_buckets": 5},
        {"vpin_bucket_volume": "0.4", "vpin_window_buckets": 3, "lot_size": 0.01},
        {"vpin_window_buckets": 4, "lot_size": 0.5},
        {"vpin_classification": "tick", "vpin_bucket_volume": "2.5", "max_gap": 20},
        {"vpin_classification": "bulk", "vpin_bulk_seconds": 5, "vpin_bulk_bars": 2, "vpin_window_buckets": 9},
        {"vpin_classification": "bulk", "vpin_bucket_volume": "55", "vpin_bulk_seconds": 60, "vpin_window_buckets": 3},
    ],
    ids=str,
)
def test_vpin(name: str, options: dict[str, Any]) -> None:
    rows, seen = case(name), trades_of(name)
    options = {"vpin_bucket_volume": "1.0"} | options
    expected = with_ages(rows, vpin(rows, seen, **options), options)
    assert len({row["vpin"] for row in expected}) > 3
    assert_rows(run(["vpin"], rows, seen, cuts(3, len(rows)), **options), expected)


def test_price_changes_that_are_equal_in_ticks_only() -> None:
    """Their deviation is 0, although the differences of the floats are not equal."""
    times = [START + 30 * i * NS for i in range(20)]
    prices = (100.0, 100.1, 100.2, 100.3, 100.5, 100.6)
    seen = [{"ts": START + (60 * i + 1) * NS, "price": p, "amount": 1.0, "side": 1} for i, p in enumerate(prices)]
    options: dict[str, Any] = {"vpin_classification": "bulk", "vpin_window_buckets": 1, "vpin_bucket_volume": "1.0"}
    rows = [{"ts": ts} for ts in times]
    expected = with_ages(rows, vpin(rows, seen, **options), options)
    assert [row["vpin"] for row in expected[2:12]] == [0.0] * 10
    assert expected[12]["vpin"] > 0.9
    assert_rows(run(["vpin"], rows, seen, [7, 8], **options), expected)


def times_over_days(seed: int, days: int, count: int, begin: int) -> list[Row]:
    """Rows of nothing but a time: often enough for no gap of an hour, but for a few, and a whole day missing."""
    rng = random.Random(seed)
    times = sorted(rng.randint(begin, days * DAY) for _ in range(count))
    return [{"ts": START + ts} for ts in times if ts // DAY != days // 2]


@pytest.mark.parametrize("begin", [0, 3_500, 3_601, 40_000], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"vpin_window_buckets": 20},
        {"vpin_window_buckets": 50, "vpin_classification": "tick"},
        {"vpin_window_buckets": 7, "vpin_classification": "bulk", "vpin_bulk_seconds": 1800},
    ],
    ids=str,
)
def test_vpin_with_a_share_of_the_daily_volume(begin: int, options: dict[str, Any]) -> None:
    rows = times_over_days(4, 27, 700, begin * NS)
    seen = [
        {**trade, "ts": max(trade["ts"], START + begin * NS)}
        for trade in trades_around(5, times_over_days(6, 27, 1500, begin * NS), 1500)
    ]
    seen[0] = {**seen[0], "ts": START + begin * NS, "price": 1000.0, "amount": 1.0}
    chosen = {**options, "vpin_bucket_volume": "adv/50", "max_gap": 3600}
    expected = with_ages(rows, vpin(rows, seen, **chosen), chosen)
    assert_rows(run(["vpin"], rows, seen, cuts(7, len(rows)), **chosen), expected)


def test_no_vpin_where_it_is_switched_off() -> None:
    assert vpin(case("walk"), [], enable_vpin=False) == {}
    rows = run(["segments", "vpin"], case("walk"), [], enable_vpin=False)
    assert list(rows[0]) == ["segment_age_s"]


@pytest.mark.parametrize("seen", [None, []], ids=["no trade data", "no trades"])
def test_without_trades(seen: list[Row] | None) -> None:
    rows = case("events")
    starts = segment_starts(rows, 300)
    expected = table(
        {
            "segment_age_s": ages(rows, starts),
            **trade_flow(rows, starts, seen, (5, 60)),
            "kyle_lambda": kyle_lambda(rows, starts, seen, 300),
            **vpin(rows, seen),
        }
    )
    zero = {"buy_volume", "sell_volume", "trade_volume"} if seen is not None else set()
    got = run(["tfi", "kyle_lambda", "vpin"], rows, seen, cuts(4, len(rows)), horizons=[5, 60])
    assert_rows(got, expected, never=set(expected[0]) - zero - {"segment_age_s"})


def stock_trades(raw: Sequence[Row]) -> list[Row]:
    """Canonical trades in time order."""
    return sorted((trades.canonical(row) for row in keyed(raw, "nasdaq", "AAPL")), key=lambda trade: trade["ts"])


@pytest.mark.slow
@pytest.mark.parametrize("feed", ["databento", "lobster"])
def test_stock_books_and_trades(feed: str) -> None:
    readers = {
        "databento": (realdata.databento_books, realdata.databento_trades),
        "lobster": (realdata.lobster_books, realdata.lobster_trades),
    }
    books, sales = (reader() for reader in readers[feed])
    rows, seen = orderbook.features(keyed(books, "nasdaq", "AAPL"), max_levels=10), stock_trades(sales)
    starts = segment_starts(rows, 300)
    expected = table(
        {
            "segment_age_s": ages(rows, starts),
            **trade_flow(rows, starts, seen, (5, 60)),
            "kyle_lambda": kyle_lambda(rows, starts, seen, 300),
            **vpin(rows, seen, vpin_bucket_volume="100", vpin_window_buckets=10),
        }
    )
    options: dict[str, Any] = {"horizons": [5, 60], "vpin_bucket_volume": "100", "vpin_window_buckets": 10}
    got = run(["tfi", "kyle_lambda", "vpin"], rows, seen, cuts(5, len(rows)), **options)
    assert_rows(got, expected)
