"""``trades_liquidity`` against an ASOF script written by hand, and ``triple_barrier`` by its horizon."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.measure import python
from udfs import Batch, Pipeline

HORIZONS = (1, 5, 60, 300)
PARTITION = "exchange=binance/symbol=BTC-USDT/date=2026-01-02"
CONFIG = """\
version: 1
lake: lake
sources:
  trades: {path: raw/trades, adapter: ccxt/trades}
  book: {path: raw/book, adapter: ccxt/orderbook}
models:
  liquidity:
    sql: trades/liquidity.sql.j2
    inputs: {trades: trades, book: book}
    options: {horizons: [1, 5, 60, 300], max_levels: 5}
    output: {path: out}
"""
BOOK = """
SELECT t AS timestamp, t AS collected_at,
    list_transform(range(1, 6), lambda l: {'price': p - 0.1 * l, 'size': 1.0 + (i + l) % 7}) AS bids,
    list_transform(range(1, 6), lambda l: {'price': p + 0.1 * l, 'size': 1.0 + (i + 3 * l) % 5}) AS asks
FROM (SELECT i, 1767312000000 + 86400000 * i // $rows AS t,
    50000 + round(100 * sin(i / 9000) + (i * 7919 % 13) / 10, 1) AS p FROM range($rows) AS r(i))
"""
TRADES = """
SELECT t AS timestamp, t AS collected_at, CAST(i AS VARCHAR) AS trade_id,
    ['buy', 'sell', 'sell'][1 + i * 31 % 3] AS side,
    50000 + round(100 * sin(i / 18000) + (i * 104729 % 17) / 10 - 0.2, 1) AS price, 0.001 * (1 + i % 100) AS amount
FROM (SELECT i, 1767312000000 + 86400000 * i // $rows AS t FROM range($rows) AS r(i))
"""


def script(lake: Path, out: Path) -> str:
    """The same columns as a quant would write them over these two files, which have no faults."""
    joins, last = [], "quoted"
    for h in HORIZONS:
        joins.append(
            f"after_{h} AS (SELECT {last}.*, q.m AS m_{h} FROM {last} ASOF LEFT JOIN q ON ns + {h}000000000 >= q.ns_q)"
        )
        last = f"after_{h}"
    moves = ", ".join(
        f"2 * sg * (p - m_{h}) AS rs_{h}, 2e4 * sg * (p - m_{h}) / m AS rs_{h}_bps,"
        f" 2 * sg * (m_{h} - m) AS pi_{h}, 2e4 * sg * (m_{h} - m) / m AS pi_{h}_bps"
        for h in HORIZONS
    )
    return f"""COPY (WITH q AS (
    SELECT timestamp * 1000000 AS ns_q, bids[1].price AS b, asks[1].price AS a, bids[1].size AS bs, asks[1].size AS sz,
        (b + a) / 2 AS m
    FROM '{lake}/raw/book/{PARTITION}/data.parquet' WHERE a >= b),
t AS (
    SELECT timestamp * 1000000 AS ns, file_row_number AS seq, trade_id, price AS p, amount,
        CASE side WHEN 'buy' THEN 1 WHEN 'sell' THEN -1 END AS side,
        sign(p - lag(p) OVER (ORDER BY timestamp, file_row_number)) AS step
    FROM read_parquet('{lake}/raw/trades/{PARTITION}/data.parquet', file_row_number = true)),
ticks AS (
    SELECT *, last_value(nullif(step, 0) IGNORE NULLS)
        OVER (ORDER BY ns, seq ROWS UNBOUNDED PRECEDING) AS tick FROM t),
quoted AS (SELECT ticks.*, q.* FROM ticks ASOF LEFT JOIN q ON ns > q.ns_q),
{", ".join(joins)},
signed AS (SELECT *, nullif(sign(p - m), 0) AS sq, coalesce(side, sq, tick) AS sg FROM {last})
SELECT make_timestamp_ns(ns) AS ts, seq, trade_id, p, amount, side, (ns - ns_q) / 1e9 AS age, b, a, bs, sz, m,
    a - b AS qs,
    1e4 * (a - b) / m AS qs_bps, tick, sq, coalesce(sq, tick) AS lr, sg, 2 * sg * (p - m) AS es,
    2e4 * sg * (p - m) / m AS es_bps, {moves}
FROM signed ORDER BY ts, seq
) TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, ROW_GROUP_SIZE 50000)"""


def against_script(
    folder: Path, trades: int = 2_000_000, quotes: int = 1_000_000, rounds: int = 3
) -> Iterator[tuple[str, str, str]]:
    """Run and script, from process start to end."""
    lake = folder / "lake"
    for kind, select, rows in (("trades", TRADES, trades), ("book", BOOK, quotes)):
        path = lake / f"raw/{kind}/{PARTITION}"
        path.mkdir(parents=True)
        duckdb.sql(select.replace("$rows", str(rows))).write_parquet(str(path / "data.parquet"))
    (folder / "models.yaml").write_text(CONFIG)
    ours, theirs = [], []
    for _ in range(rounds):
        shutil.rmtree(lake / "out", ignore_errors=True)
        shutil.rmtree(lake / ".sqlgen", ignore_errors=True)
        ours.append(python("-m", "sqlgen", "run", folder / "models.yaml", "--json").json["seconds"])
        begun = time.perf_counter()
        duckdb.execute(script(lake, folder / "script.parquet"))
        theirs.append(time.perf_counter() - begun)
    what = f"`trades_liquidity`, {trades:,} trades and {quotes:,} quotes: run / an ASOF script written by hand"
    run, by_hand = statistics.median(ours), statistics.median(theirs)
    yield what, f"{run / by_hand:.2f}", "1.0"
    yield "the same: run, script", f"{run:.1f} s, {by_hand:.1f} s", ""


def barriers_by_horizon(rows: int = 2_000_000) -> Iterator[tuple[str, str, str]]:
    """Nanoseconds a row."""
    rng = np.random.default_rng(3)
    mid = 100.0 + np.cumsum(rng.normal(0, 1e-4, rows))
    columns = {"mid_price": mid, "barrier_upper": mid * 1.01, "barrier_lower": mid * 0.99}
    columns["starts_segment"] = np.zeros(rows)
    batch = Batch(np.arange(rows, dtype=np.int64) * 10**8, columns)
    measured = []
    for seconds in (10, 10, 1_000, 100_000):
        chain = Pipeline.of(["triple_barrier"], {"barrier_horizon": seconds})
        begun = time.perf_counter()
        chain.run(chain.start(), batch)
        measured.append((time.perf_counter() - begun) / rows * 1e9)
    shown = ", ".join(f"{nanoseconds:.0f}" for nanoseconds in measured[1:])
    yield f"`triple_barrier`, {rows:,} rows, horizons of 10, 1,000, 100,000 s: ns a row", shown, "the same"
