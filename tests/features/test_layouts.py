"""The same rows in any layout and format give the same features, and the same ``seq``."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pytest

from tests.features import made
from tests.features.lake_checks import KINDS, check
from tests.features.made import MIDNIGHT, faulty_books, keyed
from tests.support.lakes import read_rows, write_rows

HOUR = 3_600_000
TIMES = [MIDNIGHT + hour * HOUR + i * 9_000 for hour in (1, 2, 9, 10, 11, 23) for i in range(12)]


def _rows(model: str) -> list[dict[str, Any]]:
    rng = random.Random(31)
    if KINDS[model] == "orderbook":
        return keyed(faulty_books(seed=31, rounds=2, start=MIDNIGHT + 9 * HOUR, step_ms=200_000))
    return keyed((made.trades if KINDS[model] == "trades" else made.tickers)(rng, TIMES))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "layout", "suffix"),
    [
        ("orderbook_hf", "ymdh", "parquet"),
        ("orderbook_hf", "date", "ndjson"),
        ("orderbook_hf", "ymdh", "ndjson.gz"),
        ("trades_features", "ymdh", "parquet"),
        ("trades_features", "ymdh", "ndjson.gz"),
        ("ticker_features", "ymdh", "ndjson.gz"),
    ],
    ids=str,
)
def test_layouts(tmp_path: Path, model: str, layout: str, suffix: str) -> None:
    write_rows(tmp_path, KINDS[model], _rows(model), layout=layout, suffix=suffix)
    check(tmp_path, model)


@pytest.mark.parametrize("suffix", ["parquet", "ndjson"])
def test_several_files_of_a_partition_count_on(tmp_path: Path, suffix: str) -> None:
    rows = keyed(made.trades(random.Random(32), TIMES))
    for name, part in (("b", rows[:20]), ("a", rows[20:45]), ("c", rows[45:])):
        write_rows(tmp_path, "trades", part, suffix=suffix, name=name)
    expected = check(tmp_path, "trades_features")
    assert sorted(row["seq"] for row in expected) == list(range(len(rows)))
    assert expected[0]["seq"] == 25


@pytest.mark.slow
def test_rows_stay_in_the_partition_they_are_filed_under(tmp_path: Path) -> None:
    late = [{"timestamp": MIDNIGHT + i * 1000 - 86_400_000, "bids": [(100, 1)], "asks": [(101, 1)]} for i in range(9)]
    filed = dt.date(2026, 1, 2)  # a day after their times: as far as it may be by default
    rows = [{**row, "date": filed} for row in keyed(late)]
    expected = check(tmp_path, "orderbook_hf", rows)
    assert {row["date"] for row in expected} == {filed}


def test_the_writer_and_the_reader_of_the_tests_agree(tmp_path: Path) -> None:
    rows = keyed(made.trades(random.Random(33), TIMES, bad=0))
    write_rows(tmp_path, "trades", rows, layout="ymdh")
    got = [{name: row[name] for name in rows[0]} for row in read_rows(tmp_path, "trades")]
    assert got == rows
