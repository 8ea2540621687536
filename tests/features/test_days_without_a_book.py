"""Trades of days on which there is no book: the toxicity of the next day with one knows them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, trades, walking_books
from tests.support.engine import run_model, sqlgen
from tests.support.lakes import write_orderbook, write_trades

DAY = 86_400_000
DATES = [f"2026-01-0{day}" for day in range(2, 10)]
BOOKS = (3, 4, 7)
"""Days, from 1 on, that have a book. Trades have all of them but the 5th."""
OPTIONS: dict[str, Any] = {"vpin_window_buckets": 7, "horizons": [60], "max_levels": 4, "ofi_levels": 2}


def times(rng: random.Random, day: int, count: int) -> list[int]:
    begin = MIDNIGHT + (day - 1) * DAY
    return sorted(begin + rng.randrange(1_000, DAY - 60_000) for _ in range(count))


def put_book(lake: Path, day: int, bad: bool = False) -> None:
    rng = random.Random(day + 100 * bad)
    write_orderbook(lake, "binance", "BTC-USDT", DATES[day - 1], walking_books(rng, times(rng, day, 40)))


def put_trades(lake: Path, day: int, seed: int = 0) -> None:
    rng = random.Random(day + 1000 * seed)
    at = [MIDNIGHT + (day - 1) * DAY + 500, *times(rng, day, 120)]
    write_trades(lake, "binance", "BTC-USDT", DATES[day - 1], trades(rng, at, bad=0.02))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for day in BOOKS:
        put_book(tmp_path, day)
    for day in (1, 2, 3, 4, 6, 7, 8):
        put_trades(tmp_path, day)
    return tmp_path


def reasons(lake: Path) -> dict[str, str]:
    plan = sqlgen("plan", lake / "models.yaml", "--select", "orderbook_hf", "--json").json
    return {task["partition"][-10:]: task["reason"] for task in plan["tasks"]}


@pytest.mark.slow
def test_they_reach_vpin_and_the_daily_volume(lake: Path) -> None:
    expected = check(lake, "orderbook_hf", **OPTIONS)
    first = [row["vpin"] for row in expected if str(row["date"]) == DATES[2]]
    assert all(value is not None for value in first[-10:])
    assert reasons(lake) == {}
    # What comes late for such a day makes the next day with a book stale, and what follows from it.
    put_trades(lake, 6, seed=1)
    found = reasons(lake)
    assert list(found) == [DATES[6]]
    assert "ccxt_trades changed (days without rows of their own)" in found[DATES[6]]
    check(lake, "orderbook_hf", **OPTIONS)
    put_trades(lake, 5)
    assert list(reasons(lake)) == [DATES[6]]
    check(lake, "orderbook_hf", **OPTIONS)
    # A book for it: the day has a partition of its own now.
    put_book(lake, 6)
    assert list(reasons(lake)) == [DATES[5], DATES[6]]
    check(lake, "orderbook_hf", **OPTIONS)
    assert reasons(lake) == {}


@pytest.mark.slow
def test_a_day_at_a_time_is_all_days_at_once(lake: Path) -> None:
    whole = run_model(lake, "orderbook_hf", **OPTIONS)
    for day in BOOKS:
        outcome = sqlgen(
            *("run", lake / "models.yaml", "--select", "orderbook_hf", "--full-refresh"),
            *("--start", DATES[day - 1], "--end", DATES[day - 1]),
        )
        assert outcome.code == 0, outcome.out + outcome.err
    assert run_model(lake, "orderbook_hf", **OPTIONS).equals(whole)
