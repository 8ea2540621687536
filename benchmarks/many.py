"""Many small partitions: a run against the compiled file, which builds the same table in one statement of DuckDB."""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.measure import python

SYMBOLS, DAYS, TRADES, ROUNDS = 20, 50, 500, 3
TRADE_COLUMNS = """
    {midnight} + j * 172000 + CAST(1000 * random() AS BIGINT) AS timestamp,
    {midnight} + j * 172000 + 2000 AS collected_at,
    '{name}-' || j AS trade_id,
    round(100 + random(), 2) AS price,
    round(random(), 3) AS amount,
    CASE WHEN random() < 0.5 THEN 'buy' ELSE 'sell' END AS side
"""


def write(lake: Path) -> int:
    """Write a file of trades for each symbol and day; the number of files."""
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        for symbol in range(SYMBOLS):
            for day in range(DAYS):
                date = dt.date(2026, 1, 1) + dt.timedelta(day)
                folder = lake / f"raw/ccxt/trades/exchange=binance/symbol=S{symbol:02}-USDT/date={date}"
                folder.mkdir(parents=True)
                midnight = int(dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC).timestamp() * 1000)
                columns = TRADE_COLUMNS.format(midnight=midnight, name=f"{symbol}-{day}")
                rows = f"SELECT {columns} FROM range({TRADES}) AS t(j)"
                connection.execute(f"COPY ({rows}) TO '{folder}/data.parquet' (FORMAT parquet)")
    return SYMBOLS * DAYS


def run_and_script(lake: Path, folder: Path, model: str) -> Iterator[tuple[float, float]]:
    """Seconds of a run, and of the compiled file in a DuckDB process of its own, in turn."""
    script = folder / f"{model}.sql"
    python("-m", "sqlgen", "compile", "--select", model, "--output", folder, SQLGEN_LAKE=str(lake))
    text = script.read_text(encoding="utf-8").replace("target/tables/", f"{folder}/")
    script.write_text(text, encoding="utf-8")
    for _ in range(ROUNDS):
        run = python("-m", "sqlgen", "run", "--json", "--full-refresh", "--select", model, SQLGEN_LAKE=str(lake))
        assert run.json["ok"]
        begun = time.perf_counter()
        python("-c", f"import duckdb; duckdb.execute(open({str(script)!r}).read())")
        yield run.seconds, time.perf_counter() - begun


def ratio(folder: Path, model: str) -> tuple[int, float, float, float]:
    """Number of partitions, medians of seconds of run and script, and of their ratio."""
    lake = folder / "many"
    partitions = write(lake)
    pairs = list(run_and_script(lake, folder, model))
    runs, scripts = ([pair[which] for pair in pairs] for which in (0, 1))
    return (
        partitions,
        statistics.median(runs),
        statistics.median(scripts),
        statistics.median(run / script for run, script in pairs),
    )
