"""``event_flow_bars``: of books and trades, and of order events of LOBSTER, Databento and Bitstamp."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, event_times, faulty_books, keyed, trades, walking_books
from tests.oracles.compare import table_rows
from tests.support.engine import run_model
from tests.support.lakes import write_rows

Row = dict[str, Any]
DAY = 86_400_000
QUICK: dict[str, Any] = {"bar_durations": [5, 60], "max_levels": 4}


def rows(seed: int) -> tuple[list[Row], list[Row]]:
    """Books around midnight with gaps, faulty ones, and trades of which some are at prices of the books."""
    rng = random.Random(seed)
    books = walking_books(rng, event_times(rng, 150, MIDNIGHT - 600_000, gaps=(60,)))
    books += faulty_books(seed, 1, start=MIDNIGHT + DAY // 2)
    tape = trades(rng, [book["timestamp"] - rng.choice((0, 0, 1, 300)) for book in books[1:]])
    for trade, book in zip(tape, books, strict=False):
        side = book[rng.choice(("bids", "asks"))]
        if side and rng.random() < 0.8 and side[0] is not None:
            trade["price"] = side[0][0]
    return books, sorted(tape, key=lambda trade: trade["timestamp"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"captured_levels": 4, "max_gap": 30.0, "emit_open_bars": True}, {"captured_levels": "all"}],
    ids=str,
)
def test_books_and_trades(tmp_path: Path, options: dict[str, Any]) -> None:
    books, tape = rows(3)
    write_rows(tmp_path, "trades", keyed(tape))
    expected = check(tmp_path, "event_flow_bars", keyed(books), **QUICK | options)
    for name in (
        "bid_market_volume_best",
        "ask_market_volume_best",
        "bid_cancel_volume_beyond",
        "ask_limit_volume_best",
    ):
        assert sum(bar[name] > 0 for bar in expected) >= 3, name


@pytest.mark.slow
def test_books_without_trades(tmp_path: Path) -> None:
    expected = check(tmp_path, "event_flow_bars", keyed(rows(4)[0]), **QUICK)
    assert {bar["bid_market_volume_best"] for bar in expected} == {0.0}


@pytest.mark.slow
def test_day_by_day_is_all_at_once(tmp_path: Path) -> None:
    books, tape = (keyed(part) for part in rows(5))
    for date in sorted({row["date"] for row in books + tape}):
        for kind, part in (("trades", tape), ("orderbook", books)):
            write_rows(tmp_path / "days", kind, [row for row in part if row["date"] == date])
        step_by_step = table_rows(run_model(tmp_path / "days", "event_flow_bars", **QUICK))
    write_rows(tmp_path / "all", "orderbook", books)
    write_rows(tmp_path / "all", "trades", tape)
    assert table_rows(run_model(tmp_path / "all", "event_flow_bars", **QUICK)) == step_by_step


@pytest.mark.slow
def test_a_record_of_a_trade_that_repeats_the_book_is_no_step(tmp_path: Path) -> None:
    """The trade explains what the next row of its time loses; without that row, the rest of a cancellation."""
    sizes = [(0, 5.0), (1000, 5.0), (1000, 2.0), (3000, 2.0), (4000, 1.0)]
    books = [
        {"timestamp": MIDNIGHT + ms, "bids": [(100.0, size), (99.0, 1.0)], "asks": [(101.0, 1.0)]} for ms, size in sizes
    ]
    tape = [
        {"timestamp": MIDNIGHT + ms, "trade_id": "t", "price": 100.0, "amount": 3.0, "side": "sell"}
        for ms in (1000, 3000)
    ]
    write_rows(tmp_path, "trades", keyed(tape))
    (bar,) = check(tmp_path, "event_flow_bars", keyed(books), bar_durations=[60], emit_open_bars=True)
    assert (bar["bid_market_volume_best"], bar["bid_cancel_volume_best"], bar["event_ofi"]) == (3.0, 1.0, -4.0)


@pytest.mark.slow
def test_what_trades_explain_leaves_no_cancellation(tmp_path: Path) -> None:
    """In floating point 1.6 - 0.2 is above 1.4, and 1.3 - 0.6 above 0.7: what rounding leaves is nobody's order."""
    sizes = [1.6, 0.2, 1.3, 0.6]
    books = [
        {"timestamp": MIDNIGHT + 1000 * i, "bids": [(100.0, size), (99.0, 1.0)], "asks": [(101.0, 1.0)]}
        for i, size in enumerate(sizes)
    ]
    tape = [
        {"timestamp": MIDNIGHT + 1000 * i - 500, "trade_id": "t", "price": 100.0, "amount": amount, "side": "sell"}
        for i, amount in ((1, 1.4), (3, 0.7))
    ]
    write_rows(tmp_path, "trades", keyed(tape))
    (bar,) = check(tmp_path, "event_flow_bars", keyed(books), bar_durations=[60], emit_open_bars=True)
    assert (bar["bid_market_count_best"], bar["bid_cancel_count_best"], bar["bid_limit_count_best"]) == (2, 0, 1)


@pytest.mark.slow
def test_later_rows_change_no_earlier_bar(tmp_path: Path) -> None:
    books, tape = rows(6)
    until = MIDNIGHT + 30_000
    for symbol in "AB":
        for kind, part in (("orderbook", books), ("trades", tape)):
            kept = part if symbol == "A" else [row for row in part if row["timestamp"] < until]
            write_rows(tmp_path, kind, keyed(kept, symbol=symbol))
    found = table_rows(run_model(tmp_path, "event_flow_bars", **QUICK))
    whole, cut = ([bar | {"symbol": ""} for bar in found if bar["symbol"] == symbol] for symbol in "AB")
    assert [bar for bar in whole if bar in cut] == cut
    assert len(cut) > 20
