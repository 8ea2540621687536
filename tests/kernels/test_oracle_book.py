"""Kernels over books against the oracle: every column of every row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest

from tests.features.made import keyed
from tests.kernels.driving import assert_rows, run
from tests.kernels.made import MAKERS, case, cuts, walk
from tests.oracles import orderbook
from tests.oracles.kernels import book_features
from tests.oracles.rows import NS
from tests.support import realdata
from tests.support.kernels import over_books

pytestmark = pytest.mark.slow

Row = dict[str, Any]

KERNELS = ("segments", *over_books())
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {"max_levels": 20},
    "short": {
        "max_levels": 20,
        "ofi_levels": 3,
        "mlofi_decay": 1.25,
        "horizons": [7],
        "max_gap": 60,
        "impact_window": 500,
        "slope_window": 11,
        "depth_window": 90,
        "regime_window": 700,
        "tight_percentile": 0.45,
        "wide_percentile": 0.55,
    },
    "brief": {"max_levels": 20, "horizons": [5, 60], "impact_window": 35, "regime_window": 35},
    "static": {
        "max_levels": 20,
        "ofi_levels": 1,
        "mlofi_decay": 0.0,
        "horizons": [30, 1],
        "max_gap": 299.5,
        "regime_mode": "static",
        "regime_window": 450,
        "tight_bps": 2.5,
        "wide_bps": 4.0,
    },
}
COMBINATIONS = [(name, "defaults") for name in MAKERS] + [
    (name, options) for options in ("short", "static") for name in ("faulty", "events", "edges")
]
COMBINATIONS.append(("calm", "brief"))


@cache
def expected(name: str, options: str) -> list[Row]:
    return book_features(case(name), **OPTIONS[options])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("name", "options"), COMBINATIONS)
def test_made_up_books(kernel: str, name: str, options: str) -> None:
    rows = case(name)
    got = run([kernel], rows, None, cuts(len(name), len(rows)), **OPTIONS[options])
    assert_rows(got, expected(name, options))


def test_regressions_of_what_stands_still() -> None:
    """Without changes of the mid the slope is 0 and has no R2; without order flow there is no slope."""
    found = [(row["ofi_impact"], row["ofi_impact_r2"]) for row in expected("calm", "brief")[105:]]
    assert found[:35] == [(0.0, None)] * 35
    assert found[-35:] == [(None, None)] * 35


def test_a_wrong_value_is_seen() -> None:
    rows = expected("walk", "defaults")[-50:]
    for name, value in rows[-1].items():
        if value is None or isinstance(value, str):
            continue
        wrong = [*rows[:-1], {**rows[-1], name: value * (1 + 1e-8) + 1e-13}]
        with pytest.raises(AssertionError, match=f"{name}: expected"):
            assert_rows(wrong, rows, never=never_given(rows))


def never_given(rows: Sequence[Row]) -> set[str]:
    return {name for name in rows[0] if all(row[name] is None for row in rows)}


def test_time_that_goes_back_where_a_day_begins() -> None:
    """The first row of a day may be earlier than the last one of the day before; windows recover after it."""
    rows, jump = walk(7, 520), 100
    rows = rows[:jump] + [{**row, "ts": row["ts"] - 10 * NS} for row in rows[jump:]]
    got, wanted = run(KERNELS, rows, None, [jump], max_levels=20), book_features(rows)
    of_lags = (
        "log_return",
        "mid_velocity",
        "mid_accel",
        "ofi",
        "ofi_01",
        "ofi_09",
        "ofi_price",
        "mlofi",
        "segment_age_s",
    )
    assert_rows(*([{name: row[name] for name in of_lags} for row in table] for table in (got, wanted)))
    assert [got[jump + i]["mid_velocity"] is None for i in range(2)] == [True, False]
    assert [got[jump + i]["mid_accel"] is None for i in range(3)] == [True, True, False]
    again = next(i for i in range(jump, len(rows)) if rows[i]["ts"] - 300 * NS > rows[jump - 1]["ts"])
    assert len(rows) - again > 50
    recovered = [{name: value for name, value in row.items() if "900s" not in name} for row in got]
    assert_rows(recovered[again:], wanted[again:])


@pytest.mark.parametrize("reader", [realdata.databento_books, realdata.lobster_books])
def test_stock_books(reader: Callable[[], list[Row]]) -> None:
    rows = orderbook.features(keyed(reader(), "nasdaq", "AAPL"), max_levels=10)
    options: dict[str, Any] = {"max_levels": 10, "horizons": [1, 5], "impact_window": 10, "regime_window": 10}
    assert_rows(run(KERNELS, rows, None, cuts(8, len(rows)), **options), book_features(rows, **options))
