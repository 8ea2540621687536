"""``ofi_bars`` over lakes: midnight, missing days, day by day, what is known when, and the label."""

from __future__ import annotations

import datetime as dt
import random
import time
from pathlib import Path
from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.live import open_model
from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, faulty_books, keyed, walking_books
from tests.oracles.compare import table_rows
from tests.support.engine import run_model
from tests.support.lakes import write_rows

Row = dict[str, Any]
DAY = 86_400_000
QUICK: dict[str, Any] = {"ofi_levels": 3, "ofi_window": 5, "fit_window": 100}


def books(seed: int) -> list[Row]:
    """Books around midnight, faulty ones at noon, and books after a day without any; on and beside the grid."""
    rng = random.Random(seed)

    def times(start: int, count: int) -> list[int]:
        found = [start]
        for _ in range(count):
            found.append(found[-1] + rng.choice((0, 1, 250, 1000, 1000, 2500, 7_000)))
        return found

    rows = walking_books(rng, times(MIDNIGHT - 150_000, 240))
    rows += faulty_books(seed, 2, start=MIDNIGHT + DAY // 2)
    return rows + walking_books(rng, times(MIDNIGHT + 2 * DAY + 3_000, 60))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"next_return": False, "ofi_window": 2.5}], ids=str)
def test_against_the_oracle(tmp_path: Path, options: dict[str, Any]) -> None:
    expected = check(tmp_path, "ofi_bars", keyed(books(3)), **QUICK | options)
    assert sum(bar["integrated_ofi"] is not None for bar in expected) >= 20
    for bar in expected:
        assert (bar["date"] - dt.date(1970, 1, 1)).days == bar["bar_end"] // (DAY * 10**6)
    if not options:
        known = [bar for bar in expected if bar["next_return"] is not None]
        assert len(known) >= 20
        assert len(known) < len(expected)


@pytest.mark.slow
def test_day_by_day_is_all_at_once(tmp_path: Path) -> None:
    rows = keyed(books(4))
    for date in sorted({row["date"] for row in rows}):
        write_rows(tmp_path / "days", "orderbook", [row for row in rows if row["date"] == date])
        step_by_step = table_rows(run_model(tmp_path / "days", "ofi_bars", **QUICK))
    write_rows(tmp_path / "all", "orderbook", rows)
    assert table_rows(run_model(tmp_path / "all", "ofi_bars", **QUICK)) == step_by_step


@pytest.mark.slow
def test_the_future_changes_the_label_alone(tmp_path: Path) -> None:
    rows = books(5)
    until = MIDNIGHT + 60_000
    changed = [
        row | {"bids": [(900.0, 1.0)], "asks": [(901.0, 9.0)]} if row["timestamp"] > until else row for row in rows
    ]
    write_rows(tmp_path, "orderbook", keyed(rows, symbol="A"))
    write_rows(tmp_path, "orderbook", keyed(changed, symbol="B"))
    found = table_rows(run_model(tmp_path, "ofi_bars", **QUICK))
    first, second = ([bar for bar in found if bar["symbol"] == symbol] for symbol in "AB")
    pairs = [(a, b) for a, b in zip(first, second, strict=False) if a["bar_end"] <= until * 10**6]
    differing = [name for a, b in pairs for name in a if name != "symbol" and a[name] != b[name]]
    assert set(differing) == {"next_return"}
    assert len(pairs) > 30


def test_the_next_date_closes_the_last_window_however_late_it_begins(tmp_path: Path) -> None:
    rows = walking_books(random.Random(1), [MIDNIGHT - 600_000, MIDNIGHT - 599_000, MIDNIGHT + DAY // 2])
    expected = check(tmp_path, "ofi_bars", keyed(rows), **QUICK)
    assert [bar["bar_end"] // 10**6 for bar in expected] == [MIDNIGHT - 600_000, MIDNIGHT - 595_000]


@pytest.mark.slow
def test_the_open_window_and_no_label_live(tmp_path: Path) -> None:
    write_rows(tmp_path, "orderbook", keyed(books(6)))
    closed = table_rows(run_model(tmp_path, "ofi_bars", **QUICK))
    opened = table_rows(run_model(tmp_path, "ofi_bars", emit_open_bars=True, **QUICK))
    assert opened[: len(closed)] == closed
    assert len(opened) == len(closed) + 1
    assert opened[-1]["next_return"] is None
    with pytest.raises(UsageError, match=r"its labels \(next_return\) know later rows"):
        open_model(tmp_path / "models.yaml", "ofi_bars", exchange="binance", symbol="BTC-USDT")


@pytest.mark.slow
def test_the_label_costs_no_time_quadratic_in_the_rows(tmp_path: Path) -> None:
    rng = random.Random(9)
    write_rows(tmp_path, "orderbook", keyed(walking_books(rng, range(MIDNIGHT, MIDNIGHT + 30_000_000, 1000))))
    seconds = []
    for label in (False, False, True):
        begun = time.process_time()
        bars = run_model(tmp_path, "ofi_bars", next_return=label, ofi_levels=1, ofi_window=1, fit_window=60)
        seconds.append(time.process_time() - begun)
    assert bars.num_rows > 25_000
    assert seconds[2] < 2 * seconds[1] + 1.5
