"""Rows whose times cannot be: none, or far from their date; and files whose times go back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.adapters import SHELL, Project, rows_of

HIVE = "exchange=x/symbol=A/date=2026-01-01"
MIDNIGHT = 1_767_225_600
"""2026-01-01 in seconds."""
HOUR = 3600
DAY = 86_400


def trades(folder: Path, times: list[float], hive: str = HIVE, name: str = "t.ndjson", **source: Any) -> Project:
    """Trades at these seconds after midnight, priced 1, 2, 3, ..."""
    project = Project.of(folder, "generic/trades", options={"time_unit": "s"}, **source)
    add(project, times, hive, name)
    return project


def add(project: Project, times: list[float], hive: str, name: str) -> None:
    (project.raw / hive).mkdir(parents=True, exist_ok=True)
    rows = [{"ts": MIDNIGHT + time, "price": i, "amount": 1} for i, time in enumerate(times, 1)]
    (project.raw / hive / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(project: Project) -> list[dict[str, Any]]:
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    tasks: list[dict[str, Any]] = outcome.json["tasks"]
    return tasks


def prices(project: Project) -> list[float]:
    return [row["price"] for row in rows_of(project.run())]


@pytest.mark.parametrize(
    ("tolerance", "kept"),
    [
        ({}, [1, 2, 3, 4]),
        ({"date_tolerance": 0}, [2]),
        ({"date_tolerance": 0.5}, [2, 3]),
        ({"date_tolerance": 10}, [1, 2, 3, 4, 5]),
        ({"date_tolerance": None}, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_rows_far_from_their_date_are_set_aside(tmp_path: Path, tolerance: dict[str, Any], kept: list[int]) -> None:
    times = [-DAY, HOUR, DAY + 11 * HOUR, 2 * DAY - 1, 9 * DAY, 400 * DAY]
    project = trades(tmp_path, times, **tolerance)
    assert prices(project) == kept
    if SHELL is not None:
        assert [row["price"] for row in rows_of(project.in_shell())] == kept


def test_they_are_counted_and_kept_with_their_place(tmp_path: Path) -> None:
    project = trades(tmp_path, [1, 2], name="a.ndjson")
    add(project, [3, 9 * DAY, 4, 10 * DAY], HIVE, "b.ndjson")
    [task] = run(project)
    [count] = task["checks"]
    assert (count["of"], count["check"], count["rows"], count["total"]) == ("raw", "near_date(ts)", 2, 6)
    assert "more than 1 day(s) before or after its date" in count["first"]
    table = f"read_parquet('{project.folder}/lake/out_quarantine/**/*.parquet')"
    rows = duckdb.sql(f"SELECT check_name, file, seq, row ->> '$.ts' FROM {table} ORDER BY seq").fetchall()
    assert [row[:3] for row in rows] == [("near_date(ts)", f"raw/{HIVE}/b.ndjson", place) for place in (1, 3)]
    assert rows[0][3].startswith("2026-01-10 00:00:00")
    assert [row["seq"] for row in rows_of(project.run())] == [0, 1, 2, 4], "the others keep their places"


@pytest.mark.parametrize("action", ["drop", "fail"])
def test_what_becomes_of_them_stands_in_the_source(tmp_path: Path, action: str) -> None:
    project = trades(tmp_path, [1, 9 * DAY], unreadable=action)
    outcome = project.sqlgen("run")
    assert outcome.code == (1 if action == "fail" else 0)
    assert "near_date(ts) of raw: 1" in " ".join((outcome.out + outcome.err).split())
    assert not (project.folder / "lake/out_quarantine").exists()


def test_a_partition_whose_rows_are_all_elsewhere_fails(tmp_path: Path) -> None:
    said = " ".join(trades(tmp_path, [9 * DAY, 9 * DAY + 1]).failure().split())
    assert f"raw/{HIVE}/t.ndjson: none of 2 row(s) has a time that can be used" in said
    assert "date_tolerance" in said


def test_dates_that_no_path_names_are_those_of_the_rows(tmp_path: Path) -> None:
    """There a row far ahead is alone in its own partition."""
    project = trades(tmp_path, [1, 9 * DAY, 2], "exchange=x/symbol=A")
    found = [(str(row["date"]), row["price"]) for row in rows_of(project.run())]
    assert found == [("2026-01-01", 1), ("2026-01-01", 3), ("2026-01-10", 2)]


@pytest.mark.parametrize("hive", [HIVE, "exchange=x/symbol=A"])
def test_times_that_go_back_between_files_are_told(tmp_path: Path, hive: str) -> None:
    project = trades(tmp_path, [10, 20.5], hive, "a.ndjson")
    add(project, [15, 30], hive, "b.ndjson")
    add(project, [30, 40], hive, "c.ndjson")
    add(project, [1], hive, "d.ndjson")
    [task] = run(project)
    [note] = task["notes"]
    assert "source 'raw': times go back between files" in note
    assert f"raw/{hive}/a.ndjson ends at 2026-01-01 00:00:20.5" in note
    assert f"raw/{hive}/b.ndjson, which is read after it, begins at 2026-01-01 00:00:15 (2 times in 4 files)" in note


def test_no_note_where_they_do_not(tmp_path: Path) -> None:
    """Rows out of order within a file, rows without a time and rows far away at the ends of files."""
    project = trades(tmp_path, [3, 1, 2, 9 * DAY], name="a.ndjson")
    add(project, [2, 5, 4], HIVE, "b.ndjson")
    assert run(project)[0]["notes"] == []


def test_updates_whose_times_go_back(tmp_path: Path) -> None:
    """Their canonical times never go back; what counts is what was sent."""
    project = Project.of(tmp_path, "coinbase/level2")
    (project.raw / HIVE).mkdir(parents=True)
    for name, second in (("a", 10), ("b", 5)):
        event = {
            "type": "snapshot",
            "product_id": "A",
            "updates": [{"side": "bid", "price_level": "1", "new_quantity": "1"}],
        }
        message = {"channel": "l2_data", "timestamp": f"2026-01-01T00:00:{second:02}Z", "events": [event]}
        (project.raw / HIVE / f"{name}.ndjson").write_text(json.dumps(message | {"sequence_num": 0}) + "\n")
    [note] = run(project)[0]["notes"]
    assert "a.ndjson ends at 2026-01-01 00:00:10" in note
    assert "begins at 2026-01-01 00:00:05" in note


def with_ids(project: Project, name: str, ids: list[int], hive: str = HIVE) -> None:
    (project.raw / hive).mkdir(parents=True, exist_ok=True)
    rows = [{"ts": MIDNIGHT + number, "price": 1, "amount": 1, "id": str(number)} for number in ids]
    (project.raw / hive / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("hive", [HIVE, "exchange=x/symbol=A"])
def test_trades_that_are_in_several_files_are_told(tmp_path: Path, hive: str) -> None:
    options = {"time_unit": "s", "columns": {"trade_id": "id"}}
    project = Project.of(tmp_path, "generic/trades", options=options)
    with_ids(project, "2026-01-01.ndjson", [1, 2, 2, 3], hive)
    with_ids(project, "2026-01-02.ndjson", [4, 5], hive)
    with_ids(project, "month.ndjson", [0, 2, 3, 5, 6], hive)
    [task] = run(project)
    [note] = task["notes"]
    assert "source 'raw': 3 trade id(s) are in several files, 2 for example in" in note
    assert f"in raw/{hive}/2026-01-01.ndjson and in raw/{hive}/month.ndjson" in note


def test_ids_that_one_file_repeats_are_its_own(tmp_path: Path) -> None:
    """So are those of another symbol, and of files that share no time."""
    options = {"time_unit": "s", "columns": {"trade_id": "id"}}
    project = Project.of(tmp_path, "generic/trades", options=options)
    with_ids(project, "a.ndjson", [1, 2, 2])
    with_ids(project, "b.ndjson", [3, 3])
    with_ids(project, "a.ndjson", [1, 2], HIVE.replace("symbol=A", "symbol=B"))
    assert [task["notes"] for task in run(project)] == [[], []]


def test_what_is_set_aside_is_told_with_its_file_and_row(tmp_path: Path) -> None:
    project = trades(tmp_path, [HOUR, 9 * DAY, -MIDNIGHT], name="a.ndjson")
    add(project, [2 * HOUR, -MIDNIGHT], HIVE, "b.ndjson")
    untimed, far = run(project)[0]["checks"]
    assert (untimed["check"], untimed["rows"]) == ("not_null(ts)", 2)
    assert untimed["first"].startswith(f"in raw/{HIVE}/a.ndjson: no time, or none between 1990 and 2100: ts is 0.")
    assert (far["check"], far["rows"]) == ("near_date(ts)", 1)
    assert f"in raw/{HIVE}/a.ndjson: its time is more than 1 day(s)" in far["first"]
    assert f"ts is {MIDNIGHT + 9 * DAY}." in far["first"]
    found = duckdb.sql(
        f"SELECT file, line, check_name FROM read_parquet('{tmp_path}/lake/*_quarantine/**/*.parquet') ORDER BY ALL"
    ).fetchall()
    assert [(file.rpartition("/")[2], line, check) for file, line, check in found] == [
        ("a.ndjson", 2, "near_date(ts)"),
        ("a.ndjson", 3, "not_null(ts)"),
        ("b.ndjson", 2, "not_null(ts)"),
    ]
