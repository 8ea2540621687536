"""``trades_liquidity`` against an ASOF script written by hand, and ``triple_barrier`` by its horizon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.measure import Line, Pair, python
from benchmarks.scripts import script
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
    output: {path: out, row_group_size: 50000}
"""


def against_script(folder: Path, trades: int = 2_000_000, quotes: int = 1_000_000, rounds: int = 3) -> Iterator[Line]:
    """Run and script, from process start to end; a run before them, which is not counted, binds the SQL."""
    lake = folder / "lake"
    for kind, rows in (("trades", trades), ("book", quotes)):
        path = lake / f"raw/{kind}/{PARTITION}"
        path.mkdir(parents=True)
        duckdb.sql(script(f"made_{kind}", rows=rows)).write_parquet(str(path / "data.parquet"))
    (folder / "models.yaml").write_text(CONFIG)
    by_hand = json.dumps({"horizons": HORIZONS, "partition": PARTITION})
    runs, scripts = [], []
    python("sqlgen", "run", folder / "models.yaml", "--json")
    for _ in range(rounds):
        runs.append(python("sqlgen", "run", folder / "models.yaml", "--json", "--full-refresh"))
        scripts.append(python("benchmarks.scripts", "trades_liquidity", lake, folder / "script.parquet", by_hand))
    what = f"`trades_liquidity`, {trades:,} trades and {quotes:,} quotes"
    yield from Pair(runs, scripts).lines(what, "an ASOF script written by hand", "1.0")


def barriers_by_horizon(rows: int = 2_000_000) -> Iterator[Line]:
    """Nanoseconds a row."""
    rng = np.random.default_rng(3)
    mid = 100.0 + np.cumsum(rng.normal(0, 1e-4, rows))
    columns = {"mid_price": mid, "barrier_upper": mid * 1.01, "barrier_lower": mid * 0.99}
    columns["starts_segment"] = np.zeros(rows)
    batch = Batch(np.arange(rows, dtype=np.int64) * 10**8, columns)
    measured = []
    for seconds in (10, 10, 1_000, 100_000):
        pipeline = Pipeline.of(["triple_barrier"], {"barrier_horizon": seconds})
        begun = time.perf_counter()
        pipeline.run(pipeline.start(), batch)
        measured.append((time.perf_counter() - begun) / rows * 1e9)
    shown = ", ".join(f"{nanoseconds:.0f}" for nanoseconds in measured[1:])
    yield f"`triple_barrier`, {rows:,} rows, horizons of 10, 1,000, 100,000 s: ns a row", shown, "the same"
