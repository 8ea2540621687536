"""Checks through the command line: what they leave, what they keep aside, what they say, and when they say no."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.support.compare import same_tables
from tests.support.engine import published, published_sql, shipped_config, sqlgen
from tests.support.lakes import write_orderbook, write_trades
from tests.support.scratch import BTC, DAY1, DAY2, ETH, LEDGER, Scratch

SHELL = shutil.which("duckdb", path=str(Path(sys.executable).parent)) or shutil.which("duckdb")
NOON = {DAY1: 1_767_268_800_000, DAY2: 1_767_355_200_000}
UNIT = f"exchange=binance/symbol={BTC}/date={DAY1}"
COSTS1 = f"costs {BTC} {DAY1}"
BOTH = """\
WITH trades AS (
    {{ inputs.trades | indent(4) }}
)
SELECT *, price * amount AS cost -- quote: price times amount
FROM trades
ORDER BY exchange, symbol, ts, seq
"""


@pytest.fixture
def single(scratch: Scratch) -> Scratch:
    """One model, ``costs``, that passes trades on."""
    del scratch.config["models"]["pairs"]
    scratch.template("costs.sql.j2", BOTH)
    scratch.save()
    return scratch


def source_checks(project: Scratch, *checks: dict[str, Any]) -> None:
    project.config["sources"]["raw"]["checks"] = list(checks)
    project.save()


def trades(
    project: Scratch, rows: Iterable[dict[str, Any]], date: str = DAY1, name: str = "data", **where: str
) -> Path:
    """Write trades: ``at`` seconds after noon; price 1, amount 1, ids by position."""
    told = [
        {"trade_id": f"{name}-{i}", "side": "buy", "price": 1.0, "amount": 1.0}
        | row
        | {"timestamp": NOON[date] + int(1000 * row.get("at", i))}
        for i, row in enumerate(rows)
    ]
    write_trades(project.lake, "binance", BTC, date, told, name=name, **where)
    return project.raw(BTC, date)


def seqs(project: Scratch, model: str = "costs") -> list[int]:
    try:
        return sorted(project.table(model)["seq"].to_pylist())
    except duckdb.IOException:
        return []


def quarantine(project: Scratch, model: str = "costs") -> list[dict[str, Any]]:
    folder = project.lake / (project.config["models"][model]["output"]["path"] + "_quarantine")
    if not folder.exists():
        return []
    return list(duckdb.sql(f"{published_sql(folder)} ORDER BY ALL").to_arrow_table().to_pylist())


def found(result: dict[str, Any]) -> dict[str, int]:
    return {f"{check['of']}.{check['check']}": check["rows"] for check in result["checks"]}


# Each check, each fate

ROWS: dict[str, list[dict[str, Any]]] = {
    "not_null": [{}, {"price": None}, {}],
    "positive": [{}, {"side": "sell"}, {}],
    "range": [{}, {"price": 500.0}, {}],
    "not_crossed": [{}, {"price": 2.0}, {}],
    "predicate": [{}, {"price": 500.0}, {}],
    "unique": [{}, {"trade_id": "data-0"}, {}],
    "monotonic": [{"at": 5}, {"at": 1}, {"at": 6}],
    "max_gap": [{"at": 0}, {"at": 400}, {"at": 401}],
}
"""The row in the middle fails."""
SAID: dict[str, dict[str, Any]] = {
    "not_null": {"columns": ["price", "amount"]},
    "positive": {"columns": "side"},
    "range": {"columns": "price", "min": 1, "max": "1e2"},
    "not_crossed": {"columns": ["price", "amount"]},
    "predicate": {"sql": "price < 100 -- cheap", "name": "cheap"},
    "unique": {"columns": "trade_id"},
    "monotonic": {},
    "max_gap": {"seconds": 300},
}


FATES = ["drop", "quarantine", "warn", "fail"]
EACH = [
    (kind, on_fail, ("raw", "costs")[(i // 2 + j) % 2])
    for i, kind in enumerate(SAID)
    for j, on_fail in enumerate(FATES)
]
"""Each check with each fate, and each of both of a source and of a model."""


@pytest.mark.parametrize(("kind", "on_fail", "of"), EACH)
def test_each_check_and_what_becomes_of_its_rows(single: Scratch, kind: str, on_fail: str, of: str) -> None:
    trades(single, [{}])
    single.run()
    check = {"check": kind, "on_fail": on_fail, **SAID[kind]}
    if of == "raw":
        source_checks(single, check)
    else:
        single.model("costs", checks=[check])
    trades(single, ROWS[kind])
    result = single.run(code=int(on_fail == "fail"))[COSTS1]
    title = "cheap" if kind == "predicate" else f"{kind}("
    (count,) = result["checks"]
    assert (count["of"], count["on_fail"], count["rows"], count["total"]) == (of, on_fail, 1, 3)
    assert count["check"].startswith(title)
    assert count["first"].startswith("seq 1 at 2026-01-01 12:0")
    kept = {"drop": [0, 2], "quarantine": [0, 2], "warn": [0, 1, 2], "fail": [0]}[on_fail]
    assert seqs(single) == kept
    aside = quarantine(single)
    assert [row["seq"] for row in aside] == ([1] if on_fail == "quarantine" else [])
    for row in aside:
        assert (row["source"], row["check_name"], row["symbol"], str(row["date"])) == (of, count["check"], BTC, DAY1)
        assert count["first"].endswith(row["reason"])
        assert json.loads(row["row"])["trade_id"] == ROWS[kind][1].get("trade_id", "data-1")
        assert row["file"] == (f"raw/ccxt/trades/{UNIT}/data.parquet" if of == "raw" else None)
        assert row["line"] == (2 if of == "raw" else None)
    if on_fail == "fail":
        assert f"check '{count['check']}' of '{of}' fails for 1 of 3 rows, the first is seq 1" in result["error"]
        assert f"costs: exchange=binance/symbol={BTC}/date={DAY1}: " in result["error"]
    else:
        assert single.plan() == {}
        assert on_fail == "warn" or compiled(single) == kept


def compiled(project: Scratch, model: str = "costs") -> list[int]:
    """Positions of the rows that the compiled file gives, in a DuckDB shell."""
    project.sqlgen("compile")
    sql = (project.folder / f"target/compiled/{model}.sql").read_text()
    shell(project.folder, sql)
    return sorted(published(project.folder / "target/tables" / model)["seq"].to_pylist())


def shell(folder: Path, script: str) -> None:
    if SHELL is None:
        pytest.skip("the duckdb shell is not installed (package duckdb-cli)")
    done = subprocess.run(
        [SHELL, "-bail", "-init", "/dev/null"], input=script, cwd=folder, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_checks_apply_one_after_the_other(single: Scratch) -> None:
    """A duplicate of a row that is gone is no duplicate; each row goes once."""
    unique = {"check": "unique", "columns": "trade_id"}
    not_null = {"check": "not_null", "columns": "price", "on_fail": "drop"}
    source_checks(single, not_null, unique)
    trades(single, [{"price": None, "trade_id": "x"}, {"trade_id": "x"}, {"trade_id": "x"}, {}])
    result = single.run()[COSTS1]
    assert found(result) == {"raw.not_null(price)": 1, "raw.unique(trade_id)": 1}
    assert (seqs(single), [row["seq"] for row in quarantine(single)]) == ([1, 3], [2])
    source_checks(single, unique, not_null)
    assert single.plan() == {COSTS1: "checks changed (in another order)"}
    assert found(single.run()[COSTS1]) == {"raw.unique(trade_id)": 2, "raw.not_null(price)": 1}
    assert (seqs(single), [row["seq"] for row in quarantine(single)]) == ([3], [1, 2])
    assert compiled(single) == [3]


def test_a_crossed_book_is_found_and_a_locked_one_passes(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake", max_levels=2)
    config["sources"]["ccxt_orderbook"]["checks"] = [{"check": "not_crossed"}]
    config["models"] = {"books": config["models"]["orderbook_hf"] | {"udfs": ["returns"], "options": {"max_levels": 2}}}
    config["models"]["books"]["inputs"] = {"orderbook": "ccxt_orderbook"}
    project = Scratch(tmp_path)
    project.config = config
    project.save()
    books = [(100.0, 101.0), (101.0, 101.0), (102.0, 101.0), (100.0, None), (None, None)]
    rows = [
        {"timestamp": NOON[DAY1] + i, "bids": [(bid, 1.0)] if bid else [], "asks": [(ask, 1.0)] if ask else []}
        for i, (bid, ask) in enumerate(books)
    ]
    write_orderbook(project.lake, "binance", BTC, DAY1, rows)
    assert project.run()[f"books {BTC} {DAY1}"]["rows_out"] == 4
    assert seqs(project, "books") == [0, 1, 3, 4]
    assert [row["reason"] for row in quarantine(project, "books")] == [
        "bid_price_00 = 102.0, ask_price_00 = 101.0: the bid must not be above the ask"
    ]


# The quarantine goes with its partition

NOT_NULL = {"check": "not_null", "columns": "price"}


def test_a_mended_file_empties_the_quarantine(single: Scratch) -> None:
    source_checks(single, NOT_NULL)
    trades(single, [{}, {"price": None}])
    single.run()
    assert len(quarantine(single)) == 1
    trades(single, [{}, {"price": 3.0}])
    single.run()
    assert (seqs(single), quarantine(single)) == ([0, 1], [])
    assert not (single.lake / "out/costs_quarantine").exists()
    assert single.plan() == {}


def test_a_late_file_adds_to_the_quarantine(single: Scratch) -> None:
    source_checks(single, NOT_NULL)
    trades(single, [{}, {"price": None}], name="a")
    single.run()
    trades(single, [{"at": 10, "price": None}, {"at": 11}, {"at": 12, "price": None}], name="b")
    single.run()
    where = f"raw/ccxt/trades/{UNIT}"
    assert [(row["seq"], row["file"], row["line"]) for row in quarantine(single)] == [
        (1, f"{where}/a.parquet", 2),
        (2, f"{where}/b.parquet", 1),
        (4, f"{where}/b.parquet", 3),
    ]
    assert seqs(single) == [0, 3]


@pytest.mark.parametrize("suffix", ["ndjson", "ndjson.gz"])
def test_lines_of_ndjson_files(single: Scratch, suffix: str) -> None:
    source_checks(single, NOT_NULL)
    trades(single, [{}, {}], name="a", suffix=suffix)
    trades(single, [{"at": 10}, {"at": 11, "price": None}], name="b", suffix=suffix)
    single.run()
    (row,) = quarantine(single)
    assert (row["seq"], Path(row["file"]).name, row["line"]) == (3, f"b.{suffix}", 2)


@pytest.mark.parametrize("suffix", ["parquet", "ndjson"])
def test_files_by_the_hour_count_in_their_order(single: Scratch, suffix: str) -> None:
    source_checks(single, NOT_NULL)
    rows = [{"at": -10_800}, {"at": -10_700}, {"at": -7200, "price": None}, {"at": 0, "price": None}]
    trades(single, rows, layout="ymdh", suffix=suffix)
    single.run()
    assert [(row["seq"], row["file"].split("/")[-2], row["line"]) for row in quarantine(single)] == [
        (2, "hour=10", 1),
        (3, "hour=12", 1),
    ]
    assert compiled(single) == [0, 1]


def test_files_without_keys_in_their_paths(single: Scratch) -> None:
    source_checks(single, NOT_NULL, {"check": "unique", "columns": "trade_id", "on_fail": "drop"})
    file = single.lake / "raw/ccxt/trades/a.parquet"
    file.parent.mkdir(parents=True)
    rows = ", ".join(
        f"('{symbol}', {NOON[date]} + {i}, '{name}', {price}::DOUBLE)"
        for i, (symbol, date, name, price) in enumerate(
            [
                ("A", DAY1, "x", 1),
                ("B", DAY1, "x", "NULL"),
                ("A", DAY1, "x", 2),
                ("A", DAY2, "x", 3),
                ("B", DAY1, "y", 4),
            ]
        )
    )
    duckdb.execute(
        f"COPY (SELECT 'binance' AS exchange, s AS symbol, t AS timestamp, 0 AS collected_at, n AS trade_id,"
        f" p AS price, 1.0 AS amount, 'buy' AS side FROM (VALUES {rows}) AS v (s, t, n, p)) TO '{file}'"
    )
    results = single.run()
    assert {name: list(found(result).values()) for name, result in results.items()} == {
        f"costs A {DAY1}": [0, 1],
        f"costs A {DAY2}": [0, 0],
        f"costs B {DAY1}": [1, 0],
    }
    (row,) = quarantine(single)
    assert (row["symbol"], row["seq"], row["file"], row["line"]) == ("B", 0, "raw/ccxt/trades/a.parquet", None)


def test_a_partition_without_good_rows(single: Scratch) -> None:
    source_checks(single, NOT_NULL)
    trades(single, [{}])
    single.run()
    trades(single, [{"price": None}, {"price": None}])
    assert single.run()[COSTS1]["status"] == "empty"
    assert not (single.lake / "out/costs" / UNIT).exists()
    assert len(quarantine(single)) == 2
    assert single.plan() == {}
    shutil.rmtree(single.lake / "out/costs_quarantine")
    assert single.plan() == {COSTS1: "published files are missing"}
    single.run()
    assert len(quarantine(single)) == 2


def test_pruning_takes_the_quarantine_along(single: Scratch) -> None:
    source_checks(single, NOT_NULL)
    folder = trades(single, [{}, {"price": None}])
    single.trades(ETH, DAY1, [1.0])
    single.run()
    shutil.rmtree(folder)
    single.run("--prune")
    assert quarantine(single) == []
    assert single.costs()[0][0] == ETH


def test_checks_that_are_taken_back(single: Scratch) -> None:
    source_checks(single, NOT_NULL)
    trades(single, [{}, {"price": None}])
    single.run()
    source_checks(single)
    assert single.plan() == {COSTS1: "checks changed (raw: not_null(price): quarantine -> none)"}
    single.run()
    assert (seqs(single), quarantine(single)) == ([0, 1], [])


def test_a_new_layout_takes_the_quarantine_along(single: Scratch) -> None:
    source_checks(single, NOT_NULL)
    trades(single, [{}, {"price": None}])
    single.run()
    single.model("costs", output={"partition_by": ["exchange", "date"]})
    single.run("--full-refresh")
    assert len(quarantine(single)) == 1
    assert (single.lake / f"out/costs_quarantine/exchange=binance/date={DAY1}").is_dir()
    assert not (single.lake / "out/costs_quarantine" / UNIT).exists()
    assert single.plan() == {}


def test_the_quarantine_is_outside_of_the_globs_of_its_table(single: Scratch) -> None:
    source_checks(single, NOT_NULL)
    trades(single, [{}, {"price": None}])
    single.run()
    assert single.table("costs").num_rows == 1
    outcome = single.sqlgen("catalog", "--stdout")
    duckdb.execute(outcome.out)
    assert duckdb.sql("SELECT count(*) FROM costs").fetchall() == [(1,)]
    assert duckdb.sql("SELECT symbol, reason FROM costs_quarantine").fetchall() == [
        (BTC, "price = NULL: must not be NULL")
    ]
    single.config["models"]["other"] = {
        "sql": "costs.sql.j2",
        "inputs": {"trades": "raw"},
        "output": {"path": "out/costs_quarantine/x"},
    }
    single.save()
    outcome = single.sqlgen("run")
    assert (
        outcome.code,
        "'out/costs_quarantine/x' overlaps 'out/costs_quarantine' of models.costs" in outcome.err,
    ) == (
        2,
        True,
    )


# Lookback: a day alone is the day among others


@pytest.mark.slow
def test_rows_read_for_lookback_are_left_out_and_counted_once(single: Scratch) -> None:
    single.template("costs.sql.j2", BOTH.replace("SELECT *", "SELECT *, lag(seq) OVER (ORDER BY ts, seq) AS before"))
    single.model("costs", lookback=86_400)
    source_checks(single, NOT_NULL, {"check": "unique", "columns": "trade_id", "on_fail": "drop"})
    rows = [{"trade_id": "a"}, {"trade_id": "b"}, {"at": 43_100, "trade_id": "a"}, {"at": 43_150, "price": None}]
    trades(single, rows)
    trades(single, [{"trade_id": "a"}, {"price": None}], DAY2)
    # Only the duplicate and the row without a price lie within these seconds before midnight.
    single.model("costs", lookback=3600 * 12 + 200)
    results = {}
    for date in (DAY1, DAY2):
        results |= single.run("--end", date)
    assert [list(found(results[f"costs {BTC} {date}"]).values()) for date in (DAY1, DAY2)] == [[1, 1], [1, 0]]
    alone = single.table("costs")
    assert [(str(row["date"]), row["seq"], row["before"]) for row in alone.to_pylist()] == [
        (DAY1, 0, None),
        (DAY1, 1, 0),
        (DAY2, 0, 1),
    ]
    assert [(str(row["date"]), row["seq"]) for row in quarantine(single)] == [(DAY1, 3), (DAY2, 1)]
    single.run("--full-refresh")
    same_tables(single.table("costs"), alone)
    single.sqlgen("compile")
    shell(single.folder, (single.folder / "target/compiled/costs.sql").read_text())
    same_tables(published(single.folder / "target/tables/costs"), alone)
    assert len(quarantine(single)) == 2


def test_a_source_that_two_inputs_read_is_counted_once(single: Scratch) -> None:
    single.config["models"]["costs"]["inputs"] = {"trades": "raw", "again": "raw"}
    source_checks(single, NOT_NULL)
    trades(single, [{}, {"price": None}])
    assert found(single.run()[COSTS1]) == {"raw.not_null(price)": 1}
    assert len(quarantine(single)) == 1


# Modes


def test_append_checks_file_by_file(single: Scratch) -> None:
    single.model("costs", output={"mode": "append"}, delete_after_processing=True)
    source_checks(single, NOT_NULL)
    single.model("costs", checks=[{"check": "range", "columns": "cost", "max": 100}])
    trades(single, [{}, {"price": None}], name="a")
    single.run()
    trades(single, [{"price": None}, {"price": 200.0}, {}], name="b")
    trades(single, [{}], name="c")
    result = single.run()[COSTS1]
    assert found(result) == {"raw.not_null(price)": 1, "costs.range(cost)": 1}
    assert [(row["source"], Path(row["file"] or "").name) for row in quarantine(single)] == [
        ("costs", ""),
        ("raw", "b.parquet"),
        ("raw", "a.parquet"),
    ]
    assert single.table("costs").num_rows == 3
    assert single.run() == {}


def test_append_does_not_go_on_without_what_it_quarantined(single: Scratch) -> None:
    single.model("costs", output={"mode": "append"})
    source_checks(single, NOT_NULL)
    trades(single, [{}, {"price": None}], name="a")
    single.run()
    shutil.rmtree(single.lake / "out/costs_quarantine")
    trades(single, [{}], name="b")
    error = single.run(code=1)[COSTS1]["error"]
    assert "is missing: rows that were quarantined when their files were appended. Restore it, or rebuild" in error
    single.run("--full-refresh")
    assert (single.table("costs").num_rows, len(quarantine(single))) == (2, 1)


def test_append_stops_at_a_file_that_fails(single: Scratch) -> None:
    single.model("costs", output={"mode": "append"})
    trades(single, [{}], name="a")
    single.run()
    source_checks(single, NOT_NULL | {"on_fail": "fail"})
    trades(single, [{}], name="b")
    trades(single, [{"price": None}], name="c")
    assert f"({single.raw(BTC, DAY1).relative_to(single.lake)}/c.parquet, row 1)" in single.run(code=1)[COSTS1]["error"]
    assert single.table("costs").num_rows == 1


def test_merge_checks_before_it_merges(single: Scratch) -> None:
    """A bad row that is newer does not push a good one out."""
    single.model("costs", output={"mode": "merge", "key": ["trade_id"], "order_by": ["ts"]})
    single.model("costs", checks=[{"check": "range", "columns": "cost", "max": 100}])
    trades(single, [{"trade_id": "x", "price": 7.0}, {"trade_id": "y"}], name="a")
    single.run()
    trades(single, [{"at": 9, "trade_id": "x", "price": 500.0}, {"at": 9, "trade_id": "y", "price": 8.0}], name="b")
    single.run()
    assert sorted(single.table("costs")["cost"].to_pylist()) == [7.0, 8.0]
    assert [row["reason"] for row in quarantine(single)] == ["cost = 500.0: must be at most 100"]
    assert single.plan() == {}


def test_merge_that_deletes_its_inputs_cannot_quarantine(single: Scratch) -> None:
    merge = {"mode": "merge", "key": ["trade_id"], "order_by": ["ts"]}
    single.model("costs", output=merge, delete_after_processing=True)
    source_checks(single, NOT_NULL)
    outcome = single.sqlgen("run")
    assert outcome.code == 2
    assert "the next merge would lose the rows that its checks quarantined" in outcome.err


def test_partitions_below_a_unit(single: Scratch) -> None:
    single.template("costs.sql.j2", BOTH.replace("SELECT *,", "SELECT *, 60 AS bar_seconds,"))
    single.model("costs", output={"partition_by": ["exchange", "symbol", "date", "bar_seconds"]})
    single.model("costs", checks=[{"check": "range", "columns": "cost", "max": 100}])
    trades(single, [{}, {"price": 500.0}, {}])
    single.run()
    assert (seqs(single), len(quarantine(single))) == ([0, 2], 1)
    trades(single, [{}, {"price": 5.0}, {}])
    single.run()
    assert (seqs(single), quarantine(single)) == ([0, 1, 2], [])
    assert (single.lake / "out/costs" / UNIT / "bar_seconds=60").is_dir()


def test_bars_are_compared_in_the_order_that_is_named(single: Scratch) -> None:
    check = {"check": "max_gap", "columns": "bar_end", "seconds": 60, "on_fail": "warn"}
    single.model("costs", sql="trades/bars.sql.j2", options={"bar_durations": [60], "emit_open_bars": True})
    single.model("costs", checks=[check])
    trades(single, [{"at": 0}, {"at": 60}, {"at": 240}])
    outcome = single.sqlgen("run")
    assert outcome.code == 2
    error = outcome.err
    assert "models.costs.checks.0: check 'max_gap(bar_end)' of 'costs': there is no column 'seq'." in error
    assert "Name the columns that define the order in order_by. Its rows have: exchange, symbol, date," in error
    single.model("costs", checks=[check | {"order_by": "bar_end"}])
    (count,) = single.run()[COSTS1]["checks"]
    assert (count["rows"], count["total"]) == (1, 3)
    assert count["first"] == (
        f"in binance/{BTC}/{DAY1}: bar_end = 2026-01-01 12:05:00: 180.0 s after the row before, allowed are 60"
    )


def test_a_result_without_most_of_the_columns_that_the_quarantine_has(single: Scratch) -> None:
    check = {"check": "range", "columns": "cost", "max": 100}
    single.model("costs", columns=["exchange", "cost"], output={"partition_by": ["exchange"]}, checks=[check])
    trades(single, [{}, {"price": 500.0}])
    trades(single, [{}], DAY2)
    (result,) = single.run().values()
    assert found(result) == {"costs.range(cost)": 1}
    assert single.table("costs")["cost"].to_pylist() == [1.0, 1.0]
    (row,) = quarantine(single)
    assert {key: value for key, value in row.items() if value is not None} == {
        "exchange": "binance",
        "source": "costs",
        "check_name": "range(cost)",
        "reason": "cost = 500.0: must be at most 100",
        "row": '{"exchange":"binance","cost":500.0}',
    }


# Kernels


def test_kernels_do_not_see_rows_that_are_left_out(single: Scratch) -> None:
    single.kernel(LEDGER)
    single.model("costs", udfs=["ledger"], checks=[{"check": "range", "columns": "before", "max": 3}])
    source_checks(
        single,
        {"check": "range", "columns": "price", "max": 100},
        {"check": "unique", "columns": "trade_id", "on_fail": "drop"},
    )
    rows = [{"price": 2.0}, {"price": 500.0}, {"price": 3.0}, {"price": 9.0, "trade_id": "data-0"}, {"price": 4.0}]
    trades(single, rows)
    trades(single, [{"price": 5.0}, {"price": 6.0}], DAY2)
    results = single.run()
    assert list(found(results[COSTS1]).values()) == [1, 1, 0]
    table = [(str(row["date"]), row["seq"], row["before"]) for row in single.table("costs").to_pylist()]
    assert table == [(DAY1, 0, None), (DAY1, 2, 2.0), (DAY1, 4, 3.0)]
    assert [(str(row["date"]), row["seq"], row["reason"]) for row in quarantine(single)] == [
        (DAY1, 1, "price = 500.0: must be at most 100"),
        (DAY2, 0, "before = 4.0: must be at most 3"),
        (DAY2, 1, "before = 5.0: must be at most 3"),
    ]
    assert single.plan() == {}
    # A day that the checks emptied keeps its state: the day after it goes on from there.
    assert single.state_file("costs", UNIT.replace(DAY1, DAY2)).is_file()


@pytest.mark.slow
def test_trades_beside_the_rows_are_checked_too(tmp_path: Path) -> None:
    config = shipped_config(tmp_path / "lake", max_levels=2)
    checks = [{"check": "range", "columns": "price", "max": 200}, {"check": "monotonic", "on_fail": "drop"}]
    config["sources"]["ccxt_trades"]["checks"] = checks
    config["models"] = {
        "books": config["models"]["orderbook_hf"] | {"udfs": ["tfi"], "options": {"max_levels": 2, "horizons": [5]}}
    }
    project = Scratch(tmp_path)
    project.config = config
    project.save()
    books = [{"timestamp": NOON[DAY1] + 1000 * i, "bids": [(100.0, 1.0)], "asks": [(101.0, 1.0)]} for i in range(4)]
    write_orderbook(project.lake, "binance", BTC, DAY1, books)
    trades(project, [{"at": 0.5}, {"at": 1.5, "amount": 5.0, "price": 300.0}, {"at": 1.6}, {"at": 1.2, "amount": 7.0}])
    result = project.run()[f"books {BTC} {DAY1}"]
    assert found(result) == {"ccxt_trades.range(price)": 1, "ccxt_trades.monotonic(ts)": 1}
    assert project.table("books")["trade_volume"].to_pylist() == [None, 1.0, 1.0, 0.0]
    assert [row["source"] for row in quarantine(project, "books")] == ["ccxt_trades"]


SAMPLE = {
    "ccxt_orderbook": [
        {"check": "not_crossed"},
        {"check": "unique", "columns": ["ts", "bid_price_00", "ask_price_00", "bid_size_00"], "on_fail": "drop"},
        {"check": "not_null", "columns": "ask_price_00", "on_fail": "warn"},
    ],
    "ccxt_trades": [
        {"check": "unique", "columns": "trade_id"},
        {"check": "not_null", "columns": "side", "on_fail": "warn"},
    ],
}


@pytest.mark.slow
def test_a_day_at_a_time_is_all_days_at_once(tmp_path: Path) -> None:
    """On a faulty sample lake, with kernels and lookback."""
    lake = tmp_path / "lake"
    assert sqlgen("sample", lake, "--symbols", BTC, "--days", 2, "--rows-per-day", 800, "--faults", "all").code == 0
    project = Scratch(tmp_path)
    project.config = shipped_config(Path("lake"))
    project.config["models"] = {name: project.config["models"][name] for name in ("trades_features", "orderbook_hf")}
    project.config["models"]["orderbook_hf"]["options"] |= {"vpin_bucket_volume": "0.1"}
    for name, checks in SAMPLE.items():
        project.config["sources"][name]["checks"] = checks
    project.save()
    days = sorted(path.name.partition("=")[2] for path in lake.glob("raw/ccxt/trades/exchange=*/symbol=*/date=*"))
    alone = {}
    for day in days:
        alone |= project.run("--end", day)
    tables = {name: project.table(name) for name in project.config["models"]}
    aside = {name: quarantine(project, name) for name in tables}
    together = project.run("--full-refresh")
    for name, table in tables.items():
        same_tables(project.table(name), table)
        assert quarantine(project, name) == aside[name]
    assert {key: found(result) for key, result in together.items()} == {key: found(r) for key, r in alone.items()}
    for result in together.values():
        primary = "ccxt_orderbook" if result["model"] == "orderbook_hf" else "ccxt_trades"
        gone = [count["rows"] for count in result["checks"] if count["of"] == primary and count["on_fail"] != "warn"]
        assert result["rows_in"] == result["rows_out"] + sum(gone)
    totals = {
        name: sum(counts.get(name, 0) for counts in map(found, together.values()))
        for name in ("ccxt_orderbook.not_crossed(bid_price_00, ask_price_00)", "ccxt_trades.unique(trade_id)")
    }
    assert all(totals.values()), totals


def test_rows_from_elsewhere_go_to_the_same_table(tmp_path: Path) -> None:
    """What else a task does not publish: columns by name, the others NULL."""
    from sqlgen.published.footers import Stamp
    from sqlgen.published.quarantine import Quarantine
    from sqlgen.published.records import Published
    from sqlgen.templating.templates import Library

    record = Published("date=2026-01-01", ("date",), "1", "", "", {})
    unit = tmp_path / "lake/q" / record.unit
    shelf = Quarantine(Library(), tmp_path / "staged", unit, tmp_path / "lake", Stamp("m", ".sqlgen", "", record))
    with duckdb.connect() as connection:
        select = "SELECT 'a.csv' AS file, 7 AS line, 'not readable' AS reason, '1;;' AS row"
        assert shelf.add(select, "v", connection, []) == 1
        assert shelf.add(f"{select} WHERE false", "v", connection, []) == 0
    shelf.publish()
    row = {"file": "a.csv", "line": 7, "reason": "not readable", "row": "1;;"}
    keys = ("exchange", "symbol", "source", "check_name", "reason", "ts", "seq", "file", "line", "row")
    table = pq.read_table(unit / "v-0.parquet", partitioning=None)
    assert table.to_pylist() == [{key: row.get(key) for key in keys}]
    assert str(table.schema.field("ts").type) == "timestamp[ns]"


# Said to people


def test_counts_in_lines_and_at_the_end(single: Scratch) -> None:
    source_checks(single, NOT_NULL, {"check": "max_gap", "seconds": 300, "on_fail": "warn"})
    trades(single, [{}, {"price": None}, {"at": 400}])
    single.trades(ETH, DAY1, [-1.0, 1.0])
    lines = single.sqlgen("run", "--threads", 1).out.splitlines()
    assert next(line for line in lines if BTC in line and "published" in line).endswith(
        "(new); checks: 1 quarantined, 1 kept with a warning"
    )
    assert [line for line in lines if line.startswith("check: ")] == [
        "check: costs: not_null(price) of raw: 2 quarantined in 2 partition(s), the first seq 1 at 2026-01-01 12:00:01"
        f" in binance/BTC-USDT/2026-01-01 (raw/ccxt/trades/{UNIT}/data.parquet, row 2): price = NULL: must not be NULL",
        "check: costs: max_gap(ts) of raw: 1 kept with a warning in 1 partition(s), the first seq 2 at"
        f" 2026-01-01 12:06:40 in binance/BTC-USDT/2026-01-01 (raw/ccxt/trades/{UNIT}/data.parquet, row 3):"
        " ts = 2026-01-01 12:06:40: 400.0 s after the row before, allowed are 300",
    ]
    report = json.loads(next((single.lake / ".sqlgen/runs").glob("*.json")).read_text())
    assert [check["rows"] for check in report["tasks"][0]["checks"]] == [1, 1]


@pytest.mark.parametrize(
    ("check", "phrase"),
    [
        (
            {"check": "positive", "columns": "pric"},
            "check 'positive(pric)' of 'raw': there is no column 'pric'. Did you mean 'price'? Its rows have: ",
        ),
        (
            {"check": "predicate", "sql": "amuont > 0"},
            "check 'predicate(amuont > 0)' of 'raw' cannot be run: Binder Error: Referenced column \"amuont\"",
        ),
        (
            {"check": "max_gap", "seconds": 1, "columns": "price"},
            "check 'max_gap(price)' of 'raw' cannot be run: Binder Error",
        ),
    ],
)
def test_checks_that_do_not_fit_the_rows(single: Scratch, check: dict[str, Any], phrase: str) -> None:
    trades(single, [{}])
    single.run()
    source_checks(single, check | {"on_fail": "warn"})
    outcome = single.sqlgen("run")
    assert (outcome.code, f"sources.raw.checks.0: {phrase}" in outcome.err) == (2, True), outcome.err
    assert seqs(single) == [0]


def test_a_raw_column_that_is_missing_is_told_as_ever(single: Scratch) -> None:
    source_checks(single, NOT_NULL)
    folder = single.raw(BTC, DAY1)
    folder.mkdir(parents=True)
    duckdb.execute(
        f"COPY (SELECT 0 AS timestamp, 0 AS collected_at, 'x' AS trade_id, 1.0 AS price, 'buy' AS side)"
        f" TO '{folder}/data.parquet'"
    )
    assert (
        "data.parquet: it has no column 'amount', but timestamp, collected_at, trade_id"
        in single.run(code=1)[COSTS1]["error"]
    )


def test_live_is_refused_where_rows_are_left_out(single: Scratch) -> None:
    from sqlgen.errors import UsageError
    from sqlgen.live.model import open_model

    source_checks(single, NOT_NULL)
    with pytest.raises(UsageError, match=r"cannot run live: checks of raw remove rows \(on_fail drop or quarantine\)"):
        open_model(single.file, "costs", exchange="binance", symbol=BTC)
    source_checks(single, NOT_NULL | {"on_fail": "warn"}, {"check": "monotonic", "on_fail": "fail"})
    single.template("costs.sql.j2", BOTH.replace("ORDER BY exchange, symbol, ts, seq", ""))
    with open_model(single.file, "costs", exchange="binance", symbol=BTC) as live:
        row = {"timestamp": 1_767_225_600_000, "trade_id": "x", "price": None, "amount": 1.0, "side": "buy"}
        assert live.update(row)["price"] is None


# Killed


@pytest.mark.slow
@pytest.mark.parametrize("mended", [False, True])
def test_killed_between_quarantine_and_table_both_agree_after_the_next_run(single: Scratch, mended: bool) -> None:
    """Also where what the killed run has read is gone again. At other instants, in other modes: test_kills.py."""
    source_checks(single, NOT_NULL)
    trades(single, [{}, {"price": None}], name="a")
    single.run()
    if mended:
        trades(single, [{}, {"price": 2.0}], name="a")
    folder = trades(single, [{"at": 10, "price": 5.0 if mended else None}, {"at": 11}], name="b")
    command = [sys.executable, "-m", "sqlgen", "run", str(single.file)]
    armed = os.environ | {"SQLGEN_FAULT": "unit: its quarantine published:1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=armed)
    assert done.returncode == -9, done.stderr
    # What was to be read is gone again: the table is as recorded, the quarantine is not, and that is seen.
    kept = (folder / "b.parquet").rename(folder / "b.aside")
    single.run()
    assert len(quarantine(single)) == (0 if mended else 1)
    kept.rename(folder / "b.parquet")
    single.run()
    assert single.table("costs").num_rows == (4 if mended else 2)
    assert len(quarantine(single)) == (0 if mended else 2)
    assert single.plan() == {}
    assert not list((single.lake / ".sqlgen/staging").glob("*"))
