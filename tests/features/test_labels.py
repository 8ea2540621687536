"""``orderbook_labels``: what comes after the rows of a book, against the oracle and by hand."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, event_times, faulty_books, keyed, walking_books
from tests.oracles.compare import table_rows
from tests.support.engine import run_model
from tests.support.lakes import write_rows
from udfs.kernel import NO_INTEGER
from udfs.quotes.barriers import NO_LABEL, find_touches

Row = dict[str, Any]
DAY = 86_400_000
QUICK: dict[str, Any] = {"horizons": [1, 60], "smooth_rows": [1, 4], "barrier_horizon": 120.0}
OPTIONS: list[dict[str, Any]] = [
    {"alpha_bps": 0.0, "upper": 5.0, "lower": 20.0},
    {"barrier_unit": "sigma", "upper": 0.5, "lower": 0.25, "sigma_window": 60, "max_gap": 100.0},
]


def books(seed: int) -> list[Row]:
    """Faulty books with ties and gaps, around midnight and after a day without any."""
    rng = random.Random(seed)
    rows = walking_books(rng, event_times(rng, 90, MIDNIGHT - 600_000, gaps=(20, 60)))
    rows += faulty_books(seed, 2, start=MIDNIGHT + DAY // 4)
    return rows + walking_books(rng, event_times(rng, 40, MIDNIGHT + 2 * DAY, gaps=(30,)))


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_against_the_oracle(tmp_path: Path, options: dict[str, Any]) -> None:
    expected = check(tmp_path, "orderbook_labels", keyed(books(3)), **QUICK | options)
    assert {row["barrier_label"] for row in expected} >= {0, 1, None}
    assert {row["direction_60s"] for row in expected} >= {-1, 1, None}


def test_by_hand(tmp_path: Path) -> None:
    """Mids 100, 100.05, 100.2, 99.9, one a second: what is first counts, and what is not known yet is NULL."""
    mids = [100.0, 100.05, 100.2, 99.9]
    rows = [
        {"timestamp": MIDNIGHT + 1000 * i, "bids": [(mid - 0.05, 1.0)], "asks": [(mid + 0.05, 1.0)]}
        for i, mid in enumerate(mids)
    ]
    options: dict[str, Any] = {
        "upper": 15.0,
        "lower": 25.0,
        "barrier_horizon": 2.0,
        "horizons": [1],
        "smooth_rows": [2],
    }
    found = check(tmp_path, "orderbook_labels", keyed(rows), **options)
    assert [row["barrier_label"] for row in found] == [1, 0, -1, None]
    assert [row["barrier_ts"] and row["barrier_ts"] // 10**6 - MIDNIGHT for row in found] == [2000, 3000, 3000, None]
    assert [row["direction_1s"] for row in found] == [1, 1, -1, None]
    assert [row["smooth_return_2"] is None for row in found] == [True, False, True, True]


@pytest.mark.slow
def test_day_by_day_is_all_at_once(tmp_path: Path) -> None:
    rows = keyed(books(4))
    for date in sorted({row["date"] for row in rows}):
        write_rows(tmp_path / "days", "orderbook", [row for row in rows if row["date"] == date])
        step_by_step = table_rows(run_model(tmp_path / "days", "orderbook_labels", **QUICK))
    write_rows(tmp_path / "all", "orderbook", rows)
    assert table_rows(run_model(tmp_path / "all", "orderbook_labels", **QUICK)) == step_by_step


def touches(mid: Any, ts: Any, width: float, horizon: int) -> tuple[Any, Any, Any]:
    rows = len(mid)
    starts = np.zeros(rows, np.bool_)
    starts[0] = True
    label, touched, returns = np.empty(rows, np.int16), np.empty(rows, np.int64), np.empty(rows)
    find_touches(ts, starts, mid, np.stack((mid * (1 + width), mid * (1 - width))), horizon, label, touched, returns)
    return label, touched, returns


def test_barriers_turn_with_prices_and_know_nothing_after_the_last_row() -> None:
    rng = np.random.default_rng(8)
    mid, ts = 100 + np.cumsum(rng.normal(0, 0.01, 500)), np.arange(500, dtype=np.int64)
    label, touched, _ = touches(mid, ts, 0.0005, 60)
    turned = touches(200 - mid, ts, 0.0, 60)[0]
    assert {*label.tolist()} == {NO_LABEL, -1, 0, 1}
    assert (turned[turned != NO_LABEL] == -touches(mid, ts, 0.0, 60)[0][turned != NO_LABEL]).all()
    assert (touched[label == 0] == ts[label == 0] + 60).all()
    cut = touches(mid[:300], ts[:300], 0.0005, 60)
    known = cut[0] != NO_LABEL
    assert (cut[0][known] == label[:300][known]).all()
    assert (cut[1][~known] == NO_INTEGER).all()


def test_time_does_not_grow_with_the_horizon() -> None:
    rng = np.random.default_rng(9)
    rows = 200_000
    mid, ts = 100 + np.cumsum(rng.normal(0, 1e-4, rows)), np.arange(rows, dtype=np.int64)
    seconds = []
    for horizon in (10, 10, rows):
        begun = time.process_time()
        touches(mid, ts, 0.01, horizon)
        seconds.append(time.process_time() - begun)
    assert seconds[2] < 5 * seconds[1] + 2.0  # much longer, if each row looked at all that follow
