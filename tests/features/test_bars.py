"""trades_bars and orderbook_bars against the oracle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.features import made
from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, event_times, keyed


def _trades(rng: random.Random, times: Sequence[int]) -> list[dict[str, Any]]:
    return made.trades(rng, times)


MAKE = {"trades_bars": _trades, "orderbook_bars": made.walking_books}
both = pytest.mark.parametrize("model", list(MAKE))


@pytest.mark.slow
@both
def test_bad_rows_ties_gaps_and_midnight(tmp_path: Path, model: str) -> None:
    rng = random.Random(21)
    times = event_times(rng, 600, MIDNIGHT - 3_000_000, gaps=(60, 150, 300, 420))
    expected = check(tmp_path, model, keyed(MAKE[model](rng, times)), max_gap=300)
    assert len({row["date"] for row in expected}) == 2
    assert any(row["has_gap"] for row in expected)


def test_a_tape_may_be_silent(tmp_path: Path) -> None:
    """Without a max_gap a return reaches over any silence of the same date or the one before it."""
    steps = (0, 700_000, 1_000, 40_000_000, 60_000, 100_000_000, 61_000)
    times = [MIDNIGHT - 900_000 + sum(steps[: i + 1]) for i in range(len(steps))]
    expected = check(tmp_path, "trades_bars", keyed(made.trades(random.Random(26), times, bad=0)), bar_durations=[60])
    assert [bar["realized_variance"] is None for bar in expected] == [True, False, False, False, False]
    assert not any(bar["has_gap"] for bar in expected)


@pytest.mark.slow
@both
@pytest.mark.parametrize(
    "options",
    [
        {"emit_open_bars": True},
        {"bar_durations": [1, 7, 60], "max_gap": 5},
        {"seconds_per_year": 5_896_800, "bar_durations": [60]},
    ],
    ids=str,
)
def test_options(tmp_path: Path, model: str, options: dict[str, Any]) -> None:
    rng = random.Random(22)
    check(tmp_path, model, keyed(MAKE[model](rng, event_times(rng, 200, MIDNIGHT - 700_000))), **options)


@pytest.mark.parametrize("emit_open_bars", [False, True])
def test_filled_bars(tmp_path: Path, emit_open_bars: bool) -> None:
    rng = random.Random(23)
    times = event_times(rng, 80, MIDNIGHT - 1_500_000, gaps=(20, 50))
    rows = keyed(made.trades(rng, times, bad=0))
    expected = check(tmp_path, "trades_bars", rows, fill=True, emit_open_bars=emit_open_bars)
    assert any(row["trade_count"] == 0 for row in expected)


@pytest.mark.slow
def test_filled_book_bars(tmp_path: Path) -> None:
    rng = random.Random(24)
    rows = []
    for time in event_times(rng, 80, MIDNIGHT - 1_500_000, gaps=(20, 50)):
        bids, asks = made.book(rng)
        rows.append({"timestamp": time, "bids": bids, "asks": asks})
    expected = check(tmp_path, "orderbook_bars", keyed(rows), fill=True)
    assert any(row["snapshot_count"] == 0 for row in expected)


@pytest.mark.slow
@both
def test_many_keys(tmp_path: Path, model: str) -> None:
    rng = random.Random(25)
    rows = []
    for exchange, symbol in (("binance", "BTC-USDT"), ("binance", "ETH-USDT"), ("kraken", "BTC-USDT")):
        rows += keyed(MAKE[model](rng, event_times(rng, 80, MIDNIGHT - 400_000)), exchange, symbol)
    check(tmp_path, model, rows)


def test_a_bar_of_books_without_a_mid(tmp_path: Path) -> None:
    one_sided = [{"timestamp": MIDNIGHT + i * 10_000, "bids": [(100, 1)], "asks": []} for i in range(7)]
    expected = check(tmp_path, "orderbook_bars", keyed(one_sided), bar_durations=[60])
    assert [(bar["open"], bar["snapshot_count"], bar["realized_variance"]) for bar in expected] == [(None, 6, None)]


def test_trades_of_every_side(tmp_path: Path) -> None:
    sides = ["buy", "sell", None, "buy", "SELL", "?"]
    rows = [
        {"timestamp": MIDNIGHT + i * 1000, "price": 10.0 + i, "amount": 1.5, "side": side}
        for i, side in enumerate([*sides, None])
    ]
    rows[-1]["timestamp"] = MIDNIGHT + 60_000
    bar = check(tmp_path, "trades_bars", keyed(rows), bar_durations=[60])[0]
    assert (bar["buy_volume"], bar["sell_volume"], bar["unknown_volume"]) == (3.0, 3.0, 3.0)
