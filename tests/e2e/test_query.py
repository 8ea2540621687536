"""``sqlgen query``, and the macros of the catalog, against sums in plain Python."""

from __future__ import annotations

import bz2
import csv
import io
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

import sqlgen as package
from tests.support.engine import sqlgen
from tests.support.lakes import write_orderbook, write_trades
from tests.support.scratch import BTC, DAY1, ETH, Scratch

NOON = 1_767_268_800_000
"""2026-01-01 12:00 UTC, in ms."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    scratch = Scratch(tmp_path_factory.mktemp("query") / "project")
    scratch.trades(BTC, DAY1, [1.0, 2.5])
    scratch.trades(ETH, DAY1, [4.0])
    scratch.run()
    return scratch


def query(project: Scratch, text: str, *more: object) -> tuple[int, str, str]:
    outcome = sqlgen("query", text, project.file, *more)
    return outcome.code, outcome.out, outcome.err


SYMBOLS = "SELECT symbol, sum(cost) AS cost FROM costs GROUP BY ALL ORDER BY ALL"


@pytest.mark.slow
def test_formats(built: Scratch, tmp_path: Path) -> None:
    """The same rows in each; comments, semicolons and several statements before do no harm."""
    expected = [{"symbol": BTC, "cost": 3.5}, {"symbol": ETH, "cost": 4.0}]
    code, out, err = query(built, f"SET threads = 1; {SYMBOLS}; -- all of them")
    assert (code, err) == (0, "")
    assert f"│ {BTC} │    3.5 │" in out
    for text in (
        SYMBOLS,
        f"{SYMBOLS} -- x",
        f"CREATE TABLE t AS {SYMBOLS}; FROM t;",
        f"PIVOT ({SYMBOLS}) ON symbol USING sum(cost)",
    ):
        assert query(built, text, "--format", "json")[0] == 0, text
    assert json.loads(query(built, SYMBOLS, "--format", "json")[1]) == expected
    rows = csv.DictReader(io.StringIO(query(built, SYMBOLS, "--format", "csv")[1]))
    assert [{"symbol": row["symbol"], "cost": float(row["cost"])} for row in rows] == expected
    assert query(built, SYMBOLS, "--format", "parquet", "--output", tmp_path / "x.parquet") == (0, "", "")
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == expected
    assert json.loads(query(built, f"{SYMBOLS} LIMIT 0", "--format", "json")[1]) == []


def test_numbers_that_json_has_not(built: Scratch) -> None:
    code, out, _ = query(
        built, "SELECT 'nan'::DOUBLE AS \"a b\", 'inf'::FLOAT AS b, 1.5::DOUBLE AS c", "--format", "json"
    )
    assert (code, out) == (0, '[\n\t{"a b":null,"b":null,"c":1.5}\n]\n')


def test_standard_input(built: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SYMBOLS};\n"))
    assert query(built, "-", "--format", "csv")[1].splitlines() == ["symbol,cost", f"{BTC},3.5", f"{ETH},4.0"]


@pytest.mark.parametrize("form", ["table", "csv"])
def test_statements_that_fail(built: Scratch, form: str) -> None:
    code, out, err = query(built, "SELECT cots FROM costs", "--format", form)
    assert (code, out) == (1, "")
    assert err.startswith('error: Binder Error: Referenced column "cots" not found')
    assert query(built, "-- nothing", "--format", form) == (2, "", "error: there is no statement\n")
    if form == "csv":
        told = query(built, "CREATE TABLE t AS SELECT 1", "--format", form)
        assert told == (2, "", "error: the last statement has no rows to write\n")
    code, _, err = query(built, "SELECT 1", "--output", "x")
    assert (code, err) == (2, "error: --output writes csv, json or parquet: give --format\n")


@pytest.mark.slow
def test_tables_that_are_not_there_yet(scratch: Scratch) -> None:
    """A view says so, whatever is read of it; its columns are known before it is built."""
    code, _, err = query(scratch, "SELECT count(*) FROM raw")
    assert code == 1
    assert "source raw: no files in raw/ccxt/trades yet" in err
    for text in ("FROM costs", "SELECT cost FROM costs", "SELECT count(*) FROM costs", "SUMMARIZE costs"):
        code, _, err = query(scratch, text)
        assert code == 1
        assert "model costs: nothing published yet. Build it: sqlgen run --select +costs" in err, text
    columns = query(scratch, "SELECT column_name FROM (DESCRIBE pairs)", "--format", "csv")[1].split()
    assert columns == ["column_name", "exchange", "symbol", "date", "ts", "seq", "trade_id", "cost", "pair"]


@pytest.mark.parametrize(("pack", "suffix"), [(bz2.compress, "bz2"), (lzma.compress, "xz")])
def test_sources_that_duckdb_does_not_unpack_say_so(
    scratch: Scratch, pack: Callable[[bytes], bytes], suffix: str
) -> None:
    """A run does, and says nothing of it; neither do views of other tables."""
    pattern = "{symbol}/{date}.csv." + suffix
    scratch.config["sources"]["raw"] |= {"adapter": "binance/trades", "exchange": "binance", "pattern": pattern}
    scratch.save()
    file = scratch.lake / f"raw/ccxt/trades/BTCUSDT/{DAY1}.csv.{suffix}"
    file.parent.mkdir(parents=True)
    file.write_bytes(pack(b"1,100.0,1.0,100.0,1767268800000,True\n"))
    scratch.run()
    assert query(scratch, "SELECT count(*) AS n FROM costs", "--format", "csv") == (0, "n\n1\n", "")
    assert "source raw: DuckDB alone cannot read its files packed as .zip, .bz2, .xz" in "".join(
        query(scratch, "FROM raw")[1:]
    )


def test_a_symbol_in_another_spelling(scratch: Scratch) -> None:
    """``--symbol BTC/USDT`` finds BTC-USDT, and what was run counts as that; others get the nearest names."""
    scratch.trades(BTC, DAY1, [1.0])
    scratch.trades(ETH, DAY1, [1.0])
    assert {key.split()[1] for key in scratch.plan("--symbol", "btc/usdt")} == {BTC}
    assert {key.split()[1] for key in scratch.run("--symbol", "BTCUSDT")} == {BTC}
    report = json.loads(next((scratch.lake / ".sqlgen/runs").glob("*.json")).read_text())
    assert report["scope"]["symbols"] == [BTC]
    outcome = scratch.sqlgen("plan", "--symbol", "BTC-USD")
    assert outcome.code == 1
    assert f"no partition has symbol 'BTC-USD'. Did you mean '{BTC}'?" in outcome.out + outcome.err


MIDS = [(0, 100.0), (1500, 101.0), (1500, 102.0), (4000, 99.0), (9000, 98.0)]
"""Milliseconds after noon, and mid price; the second of two at one time counts."""
TRADES = [(0, 100.5, "buy"), (600, 100.5, "sell"), (3000, 101.0, "buy"), (7500, 99.0, None), (8000, 98.0, "sell")]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    lake = tmp_path_factory.mktemp("lake")
    levels = [
        {
            "timestamp": NOON + ms,
            "bids": [(mid - 0.5 - level, 1.0 + level) for level in range(3)],
            "asks": [(mid + 0.5 + level, 2.0 + level) for level in range(2)],
        }
        for ms, mid in MIDS
    ]
    write_orderbook(lake, "binance", BTC, DAY1, levels)
    trades = [
        {"timestamp": NOON + ms, "price": price, "side": side, "amount": 1.0, "trade_id": str(ms)}
        for ms, price, side in TRADES
    ]
    write_trades(lake, "binance", BTC, DAY1, [*trades, {**trades[0], "timestamp": NOON + 200_000, "trade_id": "z"}])
    assert sqlgen("init", lake.parent / "macros", "--from", lake / "raw").code == 0
    file = lake.parent / "macros/models.yaml"
    file.write_text(file.read_text().replace("bar_durations: [1, 10, 60]", "bar_durations: [1, 60]"))
    outcome = sqlgen("run", file)
    assert outcome.code == 0, outcome.out + outcome.err
    return package.connect(file)


@pytest.mark.slow
def test_bars(books: duckdb.DuckDBPyConnection) -> None:
    found = books.sql("SELECT close, trade_count FROM bars('BTC/USDT', 60) ORDER BY bar_start").fetchall()
    assert found == [(98.0, 5)]
    with pytest.raises(duckdb.Error, match="no bars of 5 seconds"):
        books.sql("FROM bars('btcusdt', 5)").fetchall()
    with pytest.raises(duckdb.Error, match=r"'BTC-USD' in ccxt_trades_bars\. The nearest are: BTC-USDT"):
        books.sql("FROM bars('BTC-USD', 60)").fetchall()


@pytest.mark.slow
def test_book_at(books: duckdb.DuckDBPyConnection) -> None:
    text = "SELECT level, bid_size, bid_price, ask_price, ask_size FROM book_at('btcusdt', ?) ORDER BY level"
    expected = [(0, 1.0, 101.5, 102.5, 2.0), (1, 2.0, 100.5, 103.5, 3.0), (2, 3.0, 99.5, None, None)]
    assert books.execute(text, ["2026-01-01 12:00:03.999"]).fetchall() == expected
    assert books.execute(text, ["2026-01-01 12:00:04"]).fetchone() == (0, 1.0, 98.5, 99.5, 2.0)
    assert books.execute(text, ["2026-01-01 11:59:59"]).fetchall() == []
    with pytest.raises(duckdb.Error, match="The nearest are: BTC-USDT"):
        books.execute(text.replace("btcusdt", "eth"), ["2026-01-01 12:00:04"]).fetchall()


@pytest.mark.parametrize("seconds", [0, 1, 2.5, 5])
def test_markout(books: duckdb.DuckDBPyConnection, seconds: float) -> None:
    """The side times the move from the price to the last mid of the time after; NULL after the end of the books."""
    sides = {"buy": 1, "sell": -1, None: None}
    expected = []
    for ms, price, side in TRADES:
        at = ms + 1000 * seconds
        mid = [mid for time, mid in MIDS if time <= at][-1] if at <= MIDS[-1][0] else None
        known = mid is not None and sides[side] is not None
        expected.append((mid, 1e4 * sides[side] * (mid - price) / price if known else None))  # type: ignore[operator]
    found = books.sql(f"SELECT mid_after, markout_bps FROM markout('BTC/USDT', {seconds}) ORDER BY ts, seq").fetchall()
    assert found[:-1] == [
        (mid, pytest.approx(value, rel=1e-12) if value is not None else None) for mid, value in expected
    ]
    assert found[-1] == (None, None)


@pytest.mark.slow
def test_macros_of_a_project_without_such_rows_say_so(built: Scratch) -> None:
    """Whatever columns are asked for, as if there were rows."""
    for call, why in (
        ("open, close FROM bars('BTC', 60)", "bars: no model is made with trades/bars.sql.j2 or orderbook/bars.sql.j2"),
        ("level, bid_price FROM book_at('BTC', '2026-01-01')", "book_at: no model reads books as its input orderbook"),
        ("mid_after FROM markout('BTC', 5) ORDER BY ts", "markout: a model must read trades as its input trades, and"),
    ):
        outcome = sqlgen("query", f"SELECT {call}", built.file)
        assert (outcome.code, outcome.out) == (1, "")
        assert why in outcome.err


@pytest.mark.slow
def test_macros_in_a_shell_of_duckdb(books: duckdb.DuckDBPyConnection, built: Scratch, tmp_path: Path) -> None:
    """The catalog alone, without sqlgen's functions, in the version of DuckDB that the command line has."""
    shell = Path(sys.executable).parent / "duckdb"
    (catalog,) = tmp_path.parent.glob("macros/models.yaml")
    (tmp_path / "catalog.sql").write_text(sqlgen("catalog", catalog, "--stdout").out)
    text = (
        "SELECT count(*) AS n FROM markout('BTC/USDT', 1); SELECT max(level) AS m FROM book_at('BTCUSDT', '2026-01-02')"
    )
    done = subprocess.run(
        [shell, "-csv", "-init", tmp_path / "catalog.sql", "-c", text], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["n", "6", "m", "2"], done.stderr
