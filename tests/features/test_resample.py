"""Rows on a grid of time against the oracle: intervals, staleness, gaps, midnight, day by day."""

from __future__ import annotations

import datetime as dt
import random
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.test_compiled_sql import SHELL
from tests.features import made
from tests.features.made import MIDNIGHT, event_times, keyed
from tests.features.resampling import check, expected_rows, run, write_config
from tests.oracles.compare import assert_same, table_rows
from tests.support.compare import same_tables
from tests.support.engine import published, sqlgen
from tests.support.lakes import write_rows
from tests.support.modes import tried

Row = dict[str, Any]
DAY_MS = 86_400_000
YESTERDAY, TODAY = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
EVERY = {
    "columns": ["price", "side"],
    "last": ["price"],
    "first": ["price", "trade_id"],
    "mean": ["price"],
    "sum": ["amount"],
    "min": ["price"],
    "max": ["price", "amount"],
    "count": ["price", "side"],
}


def trade(offset_ms: int, price: float | None = 10.0, **fields: Any) -> Row:
    row = {"timestamp": MIDNIGHT + offset_ms, "price": price, "amount": 1.0, "side": "buy"}
    return row | {"trade_id": f"t{offset_ms}"} | fields


def filed(row: Row, date: dt.date, seq: int = 0) -> Row:
    """A row in the partition of another date than that of its time."""
    return {**keyed([row])[0], "date": date, "seq": seq}


def at(row: Row) -> float:
    """Seconds from midnight."""
    return float((row["ts"] - MIDNIGHT * 10**6) / 10**9)


def test_a_point_closes_its_interval(tmp_path: Path) -> None:
    """(g - f, g]: a row at the point belongs to it, one a millisecond later to the next."""
    rows = [trade(1000, 10.0), trade(1001, 11.0), trade(2000, 12.0), trade(2000, 13.0), trade(4000, 14.0)]
    got = check(tmp_path, keyed(rows))
    assert [(at(row), row["price"], row["snapshot_count"], row["data_staleness"]) for row in got] == [
        (1.0, 10.0, 1, 0.0),
        (2.0, 13.0, 3, 0.0),
        (4.0, 14.0, 1, 0.0),
    ]


def test_filled_points_carry_the_last_row(tmp_path: Path) -> None:
    got = check(tmp_path, keyed([trade(500), trade(3500, 11.0), trade(6000, 12.0)]), fill_gaps=True, max_staleness=2)
    assert [(at(row), row["price"], row["snapshot_count"], row["is_stale"]) for row in got] == [
        (1.0, 10.0, 1, False),
        (2.0, 10.0, 0, False),
        (3.0, 10.0, 0, True),
        (4.0, 11.0, 1, False),
        (5.0, 11.0, 0, False),
        (6.0, 12.0, 1, False),
    ]


def test_stale_rows_lose_their_values_on_request(tmp_path: Path) -> None:
    options = {"fill_gaps": True, "max_staleness": 1, "null_stale": True}
    got = check(tmp_path, keyed([trade(500), trade(3500, 11.0), trade(5000)]), **options)
    assert [row["price"] for row in got] == [10.0, None, None, 11.0, 10.0]
    assert [row["data_staleness"] for row in got] == [0.5, 1.5, 2.5, 0.5, 0.0]


def test_nothing_is_carried_over_a_gap(tmp_path: Path) -> None:
    got = check(tmp_path, keyed([trade(0), trade(10_000)]), fill_gaps=True, max_gap=3)
    assert [row["price"] is not None for row in got] == [True] * 4 + [False] * 6 + [True]
    assert [row["is_stale"] for row in got] == [False] * 4 + [True] * 6 + [False]
    assert got[5]["original_timestamp"] is None


@pytest.mark.slow
def test_an_open_point_waits_for_the_feed(tmp_path: Path) -> None:
    """The interval after the last row is not over yet; with emit_open it is there."""
    rows = keyed([trade(500), trade(1500)])
    assert [at(row) for row in check(tmp_path / "closed", rows)] == [1.0]
    assert [at(row) for row in check(tmp_path / "open", rows, emit_open=True)] == [1.0, 2.0]
    filled = check(tmp_path / "filled", rows, emit_open=True, fill_gaps=True)
    assert [at(row) for row in filled] == [1.0, 2.0]


def test_midnight_belongs_to_the_new_day(tmp_path: Path) -> None:
    """A row just before midnight counts at midnight, in the next date's partition."""
    got = check(tmp_path, keyed([trade(-1500), trade(-100, 11.0), trade(2000, 12.0)]))
    assert [(row["date"], at(row), row["price"]) for row in got] == [
        (YESTERDAY, -1.0, 10.0),
        (TODAY, 0.0, 11.0),
        (TODAY, 2.0, 12.0),
    ]
    assert [row["seq"] for row in got] == [0, 0, 1]


def test_midnight_is_there_without_the_new_day(tmp_path: Path) -> None:
    """In the partition of its date, although the input has none: once it is over, or on request."""
    rows = keyed([trade(-1500), trade(-100)])
    assert [at(row) for row in check(tmp_path / "closed", rows)] == [-1.0]
    got = check(tmp_path / "open", rows, emit_open=True)
    assert [(row["date"], at(row)) for row in got] == [(YESTERDAY, -1.0), (TODAY, 0.0)]


@pytest.mark.parametrize("fill", [False, True])
def test_rows_filed_under_another_date(tmp_path: Path, fill: bool) -> None:
    """Each counts at its own time, whatever date it is filed under."""
    rows = [
        *keyed([trade(-120_000), trade(-60_000)]),
        filed(trade(30_000, 11.0), YESTERDAY, 2),
        filed(trade(-90_000, 12.0), TODAY, 0),
        filed(trade(-1_000, 13.0), TODAY, 1),
        filed(trade(60_000, 14.0), TODAY, 2),
    ]
    got = check(tmp_path, rows, fill_gaps=fill, frequency=30)
    counted = [(row["date"], at(row), row["price"], row["snapshot_count"]) for row in got if row["snapshot_count"]]
    assert counted == [
        (YESTERDAY, -120.0, 10.0, 1),
        (YESTERDAY, -90.0, 12.0, 1),
        (YESTERDAY, -60.0, 10.0, 1),
        (TODAY, 0.0, 13.0, 1),
        (TODAY, 30.0, 11.0, 1),
        (TODAY, 60.0, 14.0, 1),
    ]


GRIDS: list[dict[str, Any]] = [
    {"frequency": 0.1},
    {"frequency": 1, **EVERY},
    {"frequency": 300, "fill_gaps": True, **EVERY},
    {"frequency": 420, "fill_gaps": True, "null_stale": True, "max_staleness": 400, "max_gap": 900},  # no part of a day
    {"frequency": 7 * 3600, "mean": ["price"], "fill_gaps": True, "emit_open": True},
    {"frequency": 61.5, "columns": [], "count": ["price"], "max_gap": 20},
    {"frequency": 12 * 3600, "emit_open": True},
]


def faulty_days() -> list[Row]:
    """Two days and the end of the one before, of three keys, with ties, gaps, bad values, and a day that is missing."""
    rng = random.Random(21)
    rows = []
    for exchange, symbol in (("binance", "BTC-USDT"), ("binance", "O'REILLY"), ("okx", "BTC-USDT")):
        times = event_times(rng, 60, MIDNIGHT - 400_000, gaps=(10, 30))
        times += event_times(rng, 60, MIDNIGHT + DAY_MS - 300_000, gaps=(20,))
        if symbol == "O'REILLY":
            times += event_times(rng, 20, MIDNIGHT + 3 * DAY_MS + 100_000)
        rows += keyed(made.trades(rng, times), exchange, symbol)
    return rows


@pytest.fixture(scope="module", params=GRIDS, ids=lambda options: f"{options['frequency']}s")
def once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A grid over all days, which one run has built as the oracle says, and its options."""
    folder = tmp_path_factory.mktemp("once")
    check(folder, faulty_days(), **request.param)
    return folder, request.param


@pytest.mark.slow
def test_day_by_day_is_all_at_once(once: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """One run, a run a day forward, and a run a day backward give the same."""
    (folder, options), rows = once, faulty_days()
    whole = published(folder / "lake/out/grid")
    days = sorted({str(row["date"]) for row in rows})
    for name, bound, order in (("forward", "--end", days), ("backward", "--start", days[::-1])):
        write_rows(tmp_path / name / "lake", "trades", rows)
        config = write_config(tmp_path / name, **options)
        for day in order:
            table = run(config, bound, day)
        assert table is not None
        same_tables(table, whole)


@pytest.mark.slow
@pytest.mark.skipif(SHELL is None, reason="the duckdb shell is not installed (package duckdb-cli)")
def test_the_compiled_file_gives_the_table(once: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = once
    assert sqlgen("compile", folder / "models.yaml").code == 0
    script = (folder / "target/compiled/grid.sql").read_text()
    assert SHELL is not None
    command = [SHELL, "-bail", "-init", "/dev/null"]
    done = subprocess.run(command, input=script, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    same_tables(published(folder / "target/tables/grid"), published(folder / "lake/out/grid"))


@pytest.mark.slow
def test_a_day_that_comes_late(tmp_path: Path) -> None:
    rows = faulty_days()
    options: dict[str, Any] = {"frequency": 60, "fill_gaps": True}
    write_rows(tmp_path / "lake", "trades", rows)
    raw = tmp_path / "lake/raw/ccxt/trades/exchange=okx/symbol=BTC-USDT" / f"date={TODAY}"
    shutil.move(raw, tmp_path / "late")
    config = write_config(tmp_path, **options)
    run(config)
    shutil.move(tmp_path / "late", raw)
    table = run(config)
    assert table is not None
    assert_same(table, expected_rows(tmp_path / "lake", **options))


few = settings(max_examples=tried(12), deadline=None, suppress_health_check=[HealthCheck.too_slow])
steps = st.lists(
    st.sampled_from([0, 1, 99, 100, 999, 1000, 1001, 59_999, 60_000, 60_001, 300_000, 300_001, 40_000_000]),
    min_size=1,
    max_size=25,
)


@pytest.mark.slow
@few
@given(
    gaps=steps,
    before=st.sampled_from([0, 1, 1000, 60_000, 400_000]),
    frequency=st.sampled_from([30.0, 60.0, 97.3, 3600.0]),
    fill=st.booleans(),
    null_stale=st.booleans(),
    emit_open=st.booleans(),
    max_staleness=st.sampled_from([0.0, 1.0, 100.0]),
    max_gap=st.sampled_from([1.0, 300.0, 43_200.0]),
)
def test_any_rows(gaps: list[int], before: int, frequency: float, fill: bool, **rest: Any) -> None:
    """Equal to the oracle, a day at a time; and a cut of the future changes no point that was there before."""
    times = [MIDNIGHT - before + sum(gaps[: i + 1]) for i in range(len(gaps))]
    rows = keyed([trade(time - MIDNIGHT, 10.0 + i) for i, time in enumerate(times)])
    options = {"frequency": frequency, "fill_gaps": fill, "mean": ["price"], **rest}
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        write_rows(lake, "trades", rows)
        config = write_config(Path(folder), **options)
        for day in sorted({str(row["date"]) for row in rows}):
            run(config, "--end", day)
        table = run(config)  # dates without rows of their own, which may have a point at midnight
        expected = expected_rows(lake, **options)
        assert (table is None) == (not expected)
        if table is not None:
            assert_same(table, expected)
            invariants(table_rows(table), len(rows), frequency)
            unchanged_by_the_future(rows, {(row["date"], row["ts"]): row for row in expected}, options)


def invariants(points: list[Row], rows: int, frequency: float) -> None:
    assert all(point["ts"] % round(frequency * 1e9) == 0 for point in points)
    assert len({point["ts"] for point in points}) == len(points)
    assert all(point["data_staleness"] is None or point["data_staleness"] >= 0 for point in points)
    assert sum(point["snapshot_count"] for point in points) <= rows


def unchanged_by_the_future(rows: list[Row], points: dict[tuple[dt.date, int], Row], options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), "trades", rows[: len(rows) // 2 + 1])
        for row in expected_rows(Path(folder), **options | {"emit_open": False}):
            assert points[row["date"], row["ts"]] == row


def test_a_published_model_and_a_grid_of_a_grid(tmp_path: Path) -> None:
    """Any table with ts and seq can be resampled; a name that stands already gets a number."""
    write_rows(
        tmp_path / "lake", "trades", keyed(made.trades(random.Random(5), event_times(random.Random(6), 80, MIDNIGHT)))
    )
    config = write_config(tmp_path, frequency=10, columns=["price"])
    text = yaml.safe_load(config.read_text())
    output = {"path": "out/coarse"}
    text["models"]["coarse"] = {"sql": "resample.sql.j2", "inputs": {"rows": "grid"}, "options": {"frequency": 60}}
    text["models"]["coarse"]["output"] = output
    config.write_text(yaml.safe_dump(text, sort_keys=False))
    fine = run(config)
    assert fine is not None
    coarse = table_rows(published(tmp_path / "lake/out/coarse"))
    newest = {row["ts"] + -row["ts"] % (60 * 10**9): row for row in table_rows(fine)}
    assert coarse
    for row in coarse:
        assert row["price"] == newest[row["ts"]]["price"]
        assert row["original_timestamp"] == newest[row["ts"]]["ts"]
        assert row["original_timestamp_1"] == newest[row["ts"]]["original_timestamp"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frequency": 0}, "options.frequency: Input should be greater than or equal to 0.000001"),
        ({"frequency": 90_000}, "options.frequency: Input should be less than or equal to 43200"),
        ({"columns": {"price": 1}}, "options.columns: Input should be a valid list"),
        ({"mean": [["price"]]}, "options.mean: Input should be a valid string"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    outcome = sqlgen("compile", write_config(tmp_path, **options))
    assert outcome.code == 2
    assert message in outcome.err


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    write_rows(tmp_path / "lake", "trades", keyed([trade(0), trade(2000)]))
    outcome = sqlgen("run", write_config(tmp_path, columns=["prise"]))
    assert outcome.code == 2
    assert "prise" in outcome.err
    assert "grid" in outcome.err


def test_rows_that_nothing_tells_apart(tmp_path: Path) -> None:
    """In mode append ``seq`` counts within a file, so that two rows may share all keys: still one point each."""
    for name, price in (("a", 10.0), ("b", 11.0)):
        write_rows(tmp_path / "lake", "trades", keyed([trade(0, price), trade(2000, price)]), name=name)
    config = write_config(tmp_path, mean=["price"])
    text = yaml.safe_load(config.read_text())
    text["models"]["copy"] = {"sql": "copy.sql.j2", "inputs": {"trades": "trades"}}
    text["models"]["copy"]["output"] = {"path": "out/copy", "mode": "append"}
    text["models"]["grid"]["inputs"] = {"rows": "copy"}
    config.write_text(yaml.safe_dump(text, sort_keys=False))
    (tmp_path / "transforms_sql").mkdir()
    (tmp_path / "transforms_sql/copy.sql.j2").write_text("{{ inputs.trades }}\n")
    table = run(config)
    assert table is not None
    points = table_rows(table)
    assert [(at(row), row["snapshot_count"], row["mean_price"]) for row in points] == [(0.0, 2, 10.5), (2.0, 2, 10.5)]
    assert all(row["price"] in (10.0, 11.0) for row in points)
