"""The SQL functions over a lake: equal to the tables that a run builds, and the documentation's examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import yaml

import sqlgen
from sqlgen.errors import ConfigError
from tests.support.engine import ROOT, shipped_config
from tests.support.engine import sqlgen as command_line
from tests.support.scratch import BTC, DAY1, Scratch

WINDOW = 1800
PAGE = ROOT / "docs/sql-functions.md"
EXAMPLES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)

ROWS = 9_500
"""Fewer than the sample has, of whose rows some fall into gaps."""
BOOKS = """
WITH books AS (
    SELECT exchange, symbol, list(b ORDER BY date, ts, seq) AS rows
    FROM orderbook_hf b
    GROUP BY exchange, symbol
)
SELECT unnest(rows, recursive := true), unnest({expression}) AS found
FROM books
"""
TRADES = """
WITH trades AS (
    SELECT symbol, list(t ORDER BY date, ts, seq) AS rows
    FROM ccxt_trades t
    GROUP BY symbol
)
"""


def lists(*columns: str) -> str:
    """Columns of the rows, each as a list."""
    return ", ".join(f"[r.{column} for r in rows]" for column in columns)


def levels(side: str) -> str:
    """Two levels of one side of the rows."""
    fields = (f"{{price: r.{side}_price_{i:02}, size: r.{side}_size_{i:02}}}" for i in range(2))
    return f"[[{', '.join(fields)}] for r in rows]"


TOUCH = lists("bid_price_00", "bid_size_00", "ask_price_00", "ask_size_00")
TAPE = lists("price", "amount", "side")
TS = lists("ts")
IMPACT = f"{lists('ts', 'log_return', 'ofi')}, seconds := {WINDOW}"
SPREADS = f"{lists('ts', 'best_bid', 'best_ask')}, seconds := {WINDOW}"
SAME = {
    "ofi": f"ofi({TOUCH}, ts := {TS})",
    "mlofi": f"mlofi({levels('bid')}, {levels('ask')}, ts := {TS}, levels := 2)",
    "log_return": f"log_return({lists('mid_price')}, ts := {TS})",
    "ofi_sum_60s": f"rolling_sum({lists('ts', 'ofi')}, 60)",
    "mean_return_60s": f"rolling_mean({lists('ts', 'log_return')}, 60)",
    "cog_momentum_std_60s": f"rolling_std({lists('ts', 'cog_vs_mid')}, 60)",
    "rv_60s": f"realized_volatility({lists('ts', 'log_return')}, 60)",
    "ofi_impact": f"ofi_impact({IMPACT})",
    "ofi_impact_r2": f"ofi_impact_r2({IMPACT})",
    "spread_percentile": f"spread_percentile({SPREADS})",
    "spread_regime": f"spread_regime({SPREADS})",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project over a lake with faults, its books and volume bars built."""
    folder = tmp_path_factory.mktemp("functions")
    faults = "missing_levels,one_sided,crossed,gaps,unknown_side"
    arguments = ("--rows-per-day", 2500, "--days", 2, "--faults", faults)
    assert command_line("sample", folder / "lake", *arguments).code == 0
    config = shipped_config(Path("lake"))
    windows = dict.fromkeys(("impact_window", "regime_window", "kyle_window"), WINDOW)
    config["models"]["orderbook_hf"]["options"] |= {"ofi_levels": 2, "vpin_bucket_volume": "1.0", **windows}
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = command_line("run", folder / "models.yaml", "--select", "orderbook_hf,volume_bars")
    assert outcome.code == 0, outcome.out + outcome.err
    return folder


@pytest.fixture(scope="module")
def db(project: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The project's views and the functions."""
    with sqlgen.connect(project / "models.yaml") as connection:
        yield connection


def same(table: pa.Table, column: str) -> None:
    """``column`` equals ``found``, bit by bit, and says something."""
    expected, found = table[column].to_pylist(), table["found"].to_pylist()
    known = [value for value in expected if value is not None]
    assert len(set(known)) > 2, column
    assert len(known) < len(expected), "faults make some of them NULL"
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("column", SAME)
def test_a_function_gives_the_column_of_the_table(db: duckdb.DuckDBPyConnection, column: str) -> None:
    table = db.sql(f"SELECT {column}, found FROM ({BOOKS.format(expression=SAME[column])})").to_arrow_table()
    assert table.num_rows > ROWS
    same(table, column)


@pytest.mark.slow
def test_kyle_lambda_gives_the_column_of_the_table(db: duckdb.DuckDBPyConnection) -> None:
    query = f"""
        {TRADES},
        tapes AS (
            SELECT symbol, {TS} AS trade_ts, {lists("amount")} AS amounts, {lists("side")} AS sides
            FROM trades
        ),
        books AS (
            SELECT symbol, list(b ORDER BY date, ts, seq) AS rows FROM orderbook_hf b GROUP BY symbol
        )
        SELECT
            unnest({lists("kyle_lambda")}) AS kyle_lambda,
            unnest(kyle_lambda({lists("ts", "mid_price")}, trade_ts, amounts, sides, seconds := {WINDOW})) AS found
        FROM books
        JOIN tapes USING (symbol)
    """
    same(db.sql(query).to_arrow_table(), "kyle_lambda")


def test_vpin_at_the_last_trade_is_that_of_the_next_book(db: duckdb.DuckDBPyConnection) -> None:
    """Up to the first gap of the books, where the table drops the open bucket; a tape by itself has none."""
    query = f"""
        {TRADES},
        toxic AS (
            SELECT
                symbol,
                unnest({TS}) AS ts,
                unnest(range(len(rows))) AS place,
                unnest(vpin({TAPE}, ts := {TS})) AS vpin
            FROM trades
        ),
        last_at AS (
            SELECT symbol, ts, arg_max_null(vpin, place) AS found FROM toxic GROUP BY symbol, ts
        ),
        books AS (
            SELECT *, epoch_ns(ts) - min(epoch_ns(ts)) OVER (PARTITION BY symbol) AS age_ns FROM orderbook_hf
        )
        SELECT vpin, found
        FROM books
        ASOF JOIN last_at USING (symbol, ts)
        WHERE abs(age_ns / 1e9 - segment_age_s) < 1e-3
    """
    table = db.sql(query).to_arrow_table()
    assert table.num_rows > 200
    same(table, "vpin")


def test_parts_add_up_to_the_bars_of_the_table(db: duckdb.DuckDBPyConnection) -> None:
    query = f"""
        {TRADES},
        parts AS (
            SELECT symbol, unnest(volume_bars({TS}, {TAPE}, size := 10), recursive := true) FROM trades
        )
        SELECT symbol, bar_id, min(ts), max(ts), max(price), sum(lots) / 1e8
        FROM parts
        WHERE is_closed
        GROUP BY symbol, bar_id
        ORDER BY symbol, bar_id
    """
    table = "SELECT symbol, bar_id, start_time, end_time, high, volume FROM volume_bars ORDER BY symbol, bar_id"
    bars = db.execute(table).fetchall()
    assert len(bars) > 100
    assert db.execute(query).fetchall() == bars


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_of_the_documentation_run(db: duckdb.DuckDBPyConnection, number: int) -> None:
    table = db.sql(EXAMPLES[number].rstrip().rstrip(";")).to_arrow_table()
    assert table.num_rows > 0
    for name in table.column_names:
        assert table[name].null_count < table.num_rows, f"{name} is NULL throughout"


def test_cursors_know_views_and_functions(db: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT len(log_return(list(mid_price ORDER BY date, ts, seq))) = count(*) FROM orderbook_hf"
    assert db.cursor().execute(query).fetchall() == [(True,)]


def test_views_have_comments(db: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT comment FROM duckdb_columns() WHERE table_name = 'orderbook_hf' AND column_name = 'ofi'"
    ((comment,),) = db.execute(query).fetchall()
    assert comment.startswith("u: order flow imbalance: B if b > b', B - B' if b = b'")
    assert comment.endswith("[Cont 2014]")


def test_a_damaged_table_is_a_warning(scratch: Scratch) -> None:
    """The others are there."""
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    scratch.run()
    (file,) = (scratch.lake / "out/pairs").rglob("*.parquet")
    file.write_bytes(b"not Parquet")
    with pytest.warns(UserWarning, match=r"CREATE OR REPLACE VIEW pairs AS Invalid Input Error: .*out/pairs"):
        connection = sqlgen.connect(scratch.file)
    with connection:
        assert connection.execute("SELECT count(*) FROM costs").fetchall() == [(2,)]


def test_without_a_project_there_are_the_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for connection in (sqlgen.connect(), sqlgen.connect(None)):
        with connection:
            assert connection.execute("SELECT log_return([1, 1])").fetchall() == [([None, 0.0],)]
            assert connection.execute("SHOW TABLES").fetchall() == []
    with pytest.raises(ConfigError, match="no such file"):
        sqlgen.connect(tmp_path / "other.yaml")
