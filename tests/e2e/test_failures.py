"""Bad input: one clear message, the right exit code, nothing published changes, other tasks go on."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
from msgspec import structs

from sqlgen.builders.job import Job
from sqlgen.lake.lock import run_lock
from tests.support.scratch import BTC, COSTS, DAY1, DAY2, ETH, Scratch

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def built(scratch: Scratch) -> Scratch:
    scratch.trades(BTC, DAY1, [100.0])
    scratch.trades(ETH, DAY1, [10.0])
    scratch.run()
    return scratch


def fails(project: Scratch, *phrases: str, where: str = "costs BTC-USDT 2026-01-01") -> None:
    """One task fails with a message that holds ``phrases``; what was published stays; ETH goes on."""
    before = project.costs()
    results = project.run(code=1)
    failed = results[where]
    assert failed["status"] == "failed"
    model, symbol, date = where.split()
    for phrase in (f"{model}: exchange=binance/symbol={symbol}/date={date}: ", *phrases):
        assert phrase in failed["error"], failed["error"]
    assert results[f"pairs {symbol} {date}"]["status"] == "skipped"
    assert (
        f"skipped: {model} exchange=binance/symbol={symbol}/date={date} failed"
        in results[f"pairs {symbol} {date}"]["error"]
    )
    assert project.costs() == before


@pytest.mark.parametrize("keep", [0, 3, 100, -10])
def test_a_truncated_parquet_file(built: Scratch, keep: int) -> None:
    file = built.trades(BTC, DAY1, [100.0, 101.0]) / "data.parquet"
    file.write_bytes(file.read_bytes()[:keep])
    built.trades(ETH, DAY1, [12.0])
    before = [row for row in built.costs() if row[0] == BTC]
    results = built.run(code=1)
    error = results["costs BTC-USDT 2026-01-01"]["error"]
    assert str(file) in error
    assert "The file is damaged or not complete" in error
    assert [row for row in built.costs() if row[0] == BTC] == before
    assert (ETH, DAY1, 12.0) in built.costs()
    assert results["pairs ETH-USDT 2026-01-01"]["status"] == "published"


def write(folder: Path, select: str) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{folder}/data.parquet'")


def test_a_missing_column(built: Scratch) -> None:
    write(
        built.raw(BTC, DAY1), "SELECT 0 AS collected_at, 0 AS timestamp, 'x' AS trade_id, 1.0 AS price, 'buy' AS side"
    )
    fails(
        built,
        "it has no column 'amount', but collected_at, timestamp, trade_id, price, side",
        str(built.raw(BTC, DAY1) / "data.parquet"),
    )


def test_a_wrong_column_type(built: Scratch) -> None:
    select = "SELECT 0 AS collected_at, 0 AS timestamp, 'x' AS trade_id, 'dear' AS price, 1.0 AS amount, 'buy' AS side"
    write(built.raw(BTC, DAY1), select)
    fails(built, "dear", "another type or content than the adapter expects")


def test_an_sql_error_shows_the_rendered_lines_and_the_template(built: Scratch) -> None:
    """One that only the data brings out; others are found before anything runs."""
    cost = "CAST(CASE price WHEN 7 THEN 'seven' ELSE '1' END AS DOUBLE) AS cost -- of seven"
    built.template("costs.sql.j2", COSTS.replace("price * amount AS cost -- quote: price times amount", cost))
    built.trades(BTC, DAY1, [7.0])
    results = built.run(code=1)
    error = results["costs BTC-USDT 2026-01-01"]["error"]
    assert "Could not convert string 'seven' to DOUBLE" in error
    path = Path(error.rpartition("SQL: ")[2])
    assert "THEN 'seven'" in path.read_text()
    assert len(built.costs()) == 2


def test_rows_of_another_partition_are_refused(built: Scratch) -> None:
    built.template("costs.sql.j2", COSTS.replace("    symbol,\n", "    'DOGE-USDT' AS symbol,\n"))
    error = built.run(code=1)["costs BTC-USDT 2026-01-01"]["error"]
    assert (
        "date=2026-01-01: a row of the result belongs to another partition: exchange=binance/symbol=DOGE-USDT/"
        "date=2026-01-01. The template must keep exchange, symbol, date as the input has them" in error
    )
    assert len(built.costs()) == 2


def test_fail_fast_starts_nothing_new(scratch: Scratch) -> None:
    folder = scratch.trades(BTC, DAY1, [100.0])
    (folder / "data.parquet").write_bytes(b"")
    scratch.trades(ETH, DAY1, [10.0])
    scratch.trades(ETH, DAY2, [10.0])
    results = scratch.run("--fail-fast", "--threads", 1, code=1)
    assert [result["status"] for result in results.values()].count("failed") == 1
    assert "not started: an earlier task failed (--fail-fast)" in {result["error"] for result in results.values()}


def test_retry_takes_up_what_failed(scratch: Scratch) -> None:
    folder = scratch.trades(BTC, DAY1, [100.0])
    scratch.trades(ETH, DAY1, [10.0])
    good = (folder / "data.parquet").read_bytes()
    (folder / "data.parquet").write_bytes(good[:50])
    scratch.run(code=1)
    (folder / "data.parquet").write_bytes(good)
    scratch.trades(ETH, DAY2, [11.0])
    results = scratch.run("--retry")
    assert {key: result["status"] for key, result in results.items()} == {
        "costs BTC-USDT 2026-01-01": "published",
        "pairs BTC-USDT 2026-01-01": "published",
    }
    assert set(scratch.run()) == {"costs ETH-USDT 2026-01-02", "pairs ETH-USDT 2026-01-02"}


def test_retry_without_an_earlier_run(scratch: Scratch) -> None:
    outcome = scratch.sqlgen("run", "--retry")
    assert (outcome.code, "there is no earlier run to retry" in outcome.err) == (2, True)


def test_a_lake_that_does_not_exist(scratch: Scratch) -> None:
    shutil.rmtree(scratch.lake)
    outcome = scratch.sqlgen("run")
    assert outcome.code == 2
    assert f"the lake {scratch.lake} does not exist" in outcome.err
    assert not scratch.lake.exists()


def test_an_empty_folder_is_said(scratch: Scratch) -> None:
    folder = scratch.lake / "raw/ccxt/trades"
    folder.mkdir(parents=True)
    outcome = scratch.sqlgen("run")
    assert outcome.code == 1
    assert f"error: source 'raw': no files in {folder}" in outcome.out
    assert "Nothing was done" in outcome.out
    outcome = scratch.sqlgen("run", "--allow-empty")
    assert (outcome.code, f"note: source 'raw': no files in {folder}" in outcome.out) == (0, True)


def test_mixed_layouts_are_refused(scratch: Scratch) -> None:
    scratch.trades(BTC, DAY1, [100.0])
    scratch.trades(BTC, DAY2, [100.0], layout="ymdh")
    outcome = scratch.sqlgen("run")
    assert outcome.code == 2
    assert "mixes layouts" in outcome.err
    assert "exchange/symbol/year/month/day/hour" in outcome.err


def test_a_folder_that_is_no_date(scratch: Scratch) -> None:
    folder = scratch.trades(BTC, DAY1, [100.0])
    folder.rename(folder.with_name("date=2026-13-01"))
    outcome = scratch.sqlgen("run", "--json")
    assert any("date=2026-13-01: 2026-13-01 is no date between 1990 and 2100" in note for note in outcome.json["notes"])


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_no_permission_to_write(built: Scratch) -> None:
    built.trades(BTC, DAY1, [200.0])
    target = built.lake / "out/costs/exchange=binance/symbol=BTC-USDT"
    target.chmod(0o500)
    try:
        fails(built, "No permission to write there")
    finally:
        target.chmod(0o700)


@pytest.mark.parametrize(("code", "phrase"), [(28, "The disk is full"), (13, "No permission to write there")])
def test_the_system_refuses_while_publishing(
    built: Scratch, monkeypatch: pytest.MonkeyPatch, code: int, phrase: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code), "/lake/file")

    built.trades(BTC, DAY1, [200.0])
    monkeypatch.setattr("sqlgen.lake.swap.publish_folder", refuse)
    fails(built, phrase, "what was published is unchanged")


def test_a_full_disk(built: Scratch) -> None:
    """DuckDB writes to a device that is always full."""
    built.trades(BTC, DAY1, [200.0])
    with pytest.MonkeyPatch.context() as patch:
        real = Job.target
        patch.setattr(Job, "target", lambda *given: structs.replace(real(*given), path="/dev/full"))
        fails(built, "The disk is full: free space and run again")


def test_two_runs_at_once(built: Scratch) -> None:
    with run_lock(built.lake / ".sqlgen"):
        outcome = built.sqlgen("run")
    assert outcome.code == 3
    assert "another run holds the lake" in outcome.err
    assert f"pid {os.getpid()} on {socket.gethostname()} since 2" in outcome.err
    assert built.sqlgen("run", "--wait", 5).code == 0


def test_bad_memory_limit(built: Scratch) -> None:
    built.trades(BTC, DAY1, [200.0])
    outcome = built.sqlgen("run", "--memory-limit", "much")
    assert outcome.code == 2
    assert "DuckDB does not take these settings" in outcome.err


def test_ctrl_c_leaves_what_is_published_and_says_so(built: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    built.trades(BTC, DAY1, [200.0])
    monkeypatch.setattr("sqlgen.run.report.ReportStore.note", interrupt)
    outcome = built.sqlgen("run")
    assert (outcome.code, "run again to continue" in outcome.err) == (130, True)
    monkeypatch.undo()
    built.run()
    assert built.costs() == [(BTC, DAY1, 200.0), (ETH, DAY1, 10.0)]
