"""``liquidity_bars`` against the oracle, golden vectors and the estimators' properties."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, keyed, trades, walking_books
from tests.features.test_liquidity import trade
from tests.oracles import liquidity_bars
from tests.oracles.compare import table_rows
from tests.support.engine import run_model
from tests.support.lakes import write_rows

Row = dict[str, Any]
DAY = 86_400_000
QUICK: dict[str, Any] = {"bar_durations": [60, 300], "horizons": [5, 60], "window": 4}


def times(rng: random.Random, start: int, count: int) -> list[int]:
    found = [start]
    for _ in range(count):
        found.append(found[-1] + rng.choice((0, 1, 900, 5_000, 20_000, 59_000)))
    return found


def rows(seed: int) -> tuple[list[Row], list[Row]]:
    """Books and trades around midnight and after a day without any, with a gap."""
    rng = random.Random(seed)
    starts = (MIDNIGHT - 600_000, MIDNIGHT + 1_900_000, MIDNIGHT + 2 * DAY)
    books = [row for start in starts for row in walking_books(rng, times(rng, start, 80))]
    return books, [row for start in starts for row in trades(rng, times(rng, start + 500, 90))]


OPTIONS = [
    {},
    pytest.param({"emit_open_bars": True, "window": 2, "max_gap": 40.0}, marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_against_the_oracle(tmp_path: Path, options: dict[str, Any]) -> None:
    books, ticks = rows(21)
    write_rows(tmp_path, "orderbook", keyed(books))
    expected = check(tmp_path, "liquidity_bars", keyed(ticks), **QUICK | options)
    for name in (
        *(liquidity_bars.WINDOWED if not options else ()),
        "roll_spread",
        "med_rv",
        "quoted_spread_bps",
        "realized_spread_60s_bps",
    ):
        assert sum(bar[name] is not None for bar in expected) >= 5, name


@pytest.mark.slow
def test_day_by_day_is_all_at_once(tmp_path: Path) -> None:
    books, ticks = (keyed(part) for part in rows(22))
    for date in sorted({row["date"] for row in books + ticks}):
        for kind, part in (("trades", ticks), ("orderbook", books)):
            write_rows(tmp_path / "days", kind, [row for row in part if row["date"] == date])
        step_by_step = table_rows(run_model(tmp_path / "days", "liquidity_bars", **QUICK))
    write_rows(tmp_path / "all", "orderbook", books)
    write_rows(tmp_path / "all", "trades", ticks)
    assert table_rows(run_model(tmp_path / "all", "liquidity_bars", **QUICK)) == step_by_step


@pytest.mark.slow
def test_golden_corwin_schultz(tmp_path: Path) -> None:
    """Two bars that range from 99 to 101; then one from 100.5 to 102 after such a bar."""
    prices = {0: (99.0, 101.0), 60: (101.0, 99.0), 120: (100.5, 102.0), 180: (101.0, 101.0)}
    ticks = [trade(second + k, price) for second, pair in prices.items() for k, price in enumerate(pair)]
    write_rows(tmp_path, "orderbook", keyed(walking_books(random.Random(1), [MIDNIGHT])))
    bars = check(tmp_path, "liquidity_bars", keyed(ticks), **QUICK | {"bar_durations": [60], "window": 2})
    assert [bar["corwin_schultz"] for bar in bars] == [
        None,
        pytest.approx(0.02, abs=5e-5),
        pytest.approx(-0.0119814, abs=5e-8),
    ]
    assert [bar["corwin_schultz_clipped"] for bar in bars][1:] == [bars[1]["corwin_schultz"], 0.0]


def test_edge_of_a_known_spread() -> None:
    """A random walk traded at a half-spread of 0.5%: the estimate is near 1%."""
    rng = random.Random(2)
    bars, mid = [], 0.0
    for _ in range(4000):
        path = []
        for _ in range(30):
            mid += rng.gauss(0, 1e-3)
            path.append(math.exp(mid + rng.choice((-0.005, 0.005))))
        bars.append({"open": path[0], "high": max(path), "low": min(path), "close": path[-1]})
    assert liquidity_bars.edge(bars) == pytest.approx(0.01, rel=0.1)
