"""Many small partitions: runs against scripts written by hand, first builds, and runs with little or nothing to do."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.measure import ROOT, Line, Pair, Process, median, python

ROUNDS = 3
TRADE_COLUMNS = """
    {midnight} + (j * 86000000 / {trades})::BIGINT + CAST(100 * random() AS BIGINT) AS timestamp,
    {midnight} + (j * 86000000 / {trades})::BIGINT + 2000 AS collected_at,
    '{name}-' || j AS trade_id,
    round(100 + random(), 2) AS price,
    round(random(), 3) AS amount,
    CASE WHEN random() < 0.5 THEN 'buy' ELSE 'sell' END AS side
"""


def write(lake: Path, symbols: int, days: int, trades: int) -> int:
    """Write a file of trades for each symbol and day; the number of files."""
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        for symbol in range(symbols):
            for day in range(days):
                date = dt.date(2026, 1, 1) + dt.timedelta(day)
                folder = lake / f"raw/ccxt/trades/exchange=binance/symbol=S{symbol:03}-USDT/date={date}"
                folder.mkdir(parents=True)
                midnight = int(dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC).timestamp() * 1000)
                columns = TRADE_COLUMNS.format(midnight=midnight, name=f"{symbol}-{day}", trades=trades)
                rows = f"SELECT {columns} FROM range({trades}) AS t(j)"
                connection.execute(f"COPY ({rows}) TO '{folder}/data.parquet' (FORMAT parquet)")
    return symbols * days


def run(lake: Path, *arguments: object) -> Process:
    """A run of the shipped project; it must succeed."""
    done = python("sqlgen", "run", "--json", *arguments, SQLGEN_LAKE=str(lake))
    assert done.json["ok"], done.out
    return done


def against_script(folder: Path, model: str, trades: int = 500) -> Iterator[Line]:
    """A run over 1,000 partitions against a script, in turn; both replace a table that is there."""
    lake, out = folder / "many", folder / "script"
    partitions = write(lake, 20, 50, trades)
    runs, scripts = [], []
    for _ in range(ROUNDS):
        runs.append(run(lake, "--full-refresh", "--select", model))
        scripts.append(python("benchmarks.scripts", model, lake, out))
    kind = model.removeprefix("trades_")
    assert _shape(lake / "processed/ccxt/trades" / kind) == _shape(out)
    what = f"`{model}`, {partitions:,} partitions of {trades} trades"
    yield from Pair(runs, scripts).lines(what, "a script written by hand", "1.5")


def against_floor(folder: Path, symbols: int = 10, days: int = 50, rows: int = 1_000) -> Iterator[Line]:
    """A run of orderbook_hf over small partitions against the COPY of its finished table from memory."""
    size = ("--symbols", symbols, "--days", days, "--rows-per-day", rows, "--levels", 20)
    python("sqlgen", "sample", folder, *size)
    run(folder, "--select", "orderbook_hf", "--symbol", "BTC-USDT")  # kernels are compiled once
    runs, copies = [], []
    table = folder / "processed/ccxt/orderbook/hf"
    for _ in range(ROUNDS):
        shutil.rmtree(folder / "processed")
        shutil.rmtree(folder / ".sqlgen")
        runs.append(run(folder, "--select", "orderbook_hf"))
        shutil.rmtree(folder / "floor", ignore_errors=True)
        floor = python("benchmarks.floor", ROOT / "models.yaml", "orderbook_hf", table, folder / "floor", "1")
        copies.append(dataclasses.replace(floor, seconds=floor.json["seconds"], cpu=floor.json["cpu"]))
    what = f"`orderbook_hf`, {symbols * days:,} partitions of {rows:,} rows"
    yield from Pair(runs, copies).lines(what, "COPY of the finished table from memory", "2")


def _shape(table: Path) -> tuple[object, ...]:
    """Names of the columns of a table, and its number of rows."""
    rows = duckdb.read_parquet(f"{table}/**/*.parquet", hive_partitioning=True)
    return sorted(rows.columns), rows.shape[0]


def builds(folder: Path, symbols: int = 100, days: int = 100, trades: int = 100) -> Iterator[Line]:
    """First build of 10,000 partitions, then runs with nothing to do, then with one file changed."""
    lake, select = folder / "builds", ("--select", "trades_bars")
    partitions = write(lake, symbols, days, trades)
    first = run(lake, *select)
    yield f"first build, {partitions:,} partitions of {trades} trades", median([first]), "60 s"
    idle = [run(lake, *select) for _ in range(5)]
    yield f"nothing to do, {partitions:,} partitions", median(idle), "1.0 s"
    changed = []
    for symbol in range(5):
        file = lake / f"raw/ccxt/trades/exchange=binance/symbol=S{symbol:03}-USDT/date=2026-01-02/data.parquet"
        shutil.copyfile(file, file.with_suffix(".new"))
        file.with_suffix(".new").replace(file)
        changed.append(run(lake, *select))
    more = Pair(changed, idle).difference
    yield f"one file changed among {partitions:,} partitions: over nothing to do", more, "+0.3 s"
    shutil.rmtree(lake)
