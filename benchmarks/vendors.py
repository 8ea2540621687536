"""Raw files of a vendor and the same rows in Parquet."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import yaml

from benchmarks.measure import ROOT

FORMATS = ("csv", "parquet")
MIDNIGHT = 1_767_312_000_000_000
"""2026-01-02 in microseconds."""
DAY = 86_000_000_000
"""Over how many microseconds the rows are spread."""
HIVE = "exchange=binance/symbol=BTCUSDT/date=2026-01-02"


def books(rows: int, levels: int) -> pa.Table:
    """book_snapshot_N of Tardis.dev: a random walk of full books, prices in tenths, sizes in thousandths."""
    rng = np.random.default_rng(3)
    columns = _times(rng, rows)
    bid = 880_000 + np.cumsum(rng.integers(-1, 2, rows))
    ask = bid + rng.integers(1, 6, rows)
    for level in range(levels):
        for side, price in (("asks", ask), ("bids", bid)):
            columns[f"{side}[{level}].price"] = price / 10
            columns[f"{side}[{level}].amount"] = rng.integers(1, 50_000, rows) / 1000
        ask, bid = ask + rng.integers(1, 4, rows), bid - rng.integers(1, 4, rows)
    return pa.table(columns)


def trades(rows: int) -> pa.Table:
    """trades of Tardis.dev."""
    rng = np.random.default_rng(4)
    columns = _times(rng, rows)
    columns["id"] = np.arange(rows)
    columns["side"] = np.where(rng.integers(0, 2, rows) == 0, "buy", "sell")
    columns["price"] = (880_000 + np.cumsum(rng.integers(-1, 2, rows))) / 10
    columns["amount"] = rng.integers(1, 50_000, rows) / 1000
    return pa.table(columns)


def _times(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    stamps = MIDNIGHT + np.cumsum(rng.integers(1, 2 * DAY // rows, rows))
    return {"timestamp": stamps, "local_timestamp": stamps + rng.integers(100, 5000, rows)}


def write(folder: Path, rows: int) -> None:
    """One day below ``folder/csv`` as the vendor packs it, and the same rows below ``folder/parquet``."""
    for kind, table in (("books", books(rows, 25)), ("trades", trades(rows // 2))):
        plain = folder / "plain.csv"
        targets = {name: folder / name / kind / HIVE for name in FORMATS}
        for target in targets.values():
            target.mkdir(parents=True)
        with duckdb.connect() as connection:
            connection.register("rows", table)
            keyed = "(SELECT 'binance' AS exchange, 'BTCUSDT' AS symbol, * FROM rows)"
            connection.execute(f"COPY {keyed} TO '{plain}' (FORMAT csv)")
            connection.execute(f"COPY {keyed} TO '{targets['parquet']}/x.parquet' (FORMAT parquet, COMPRESSION zstd)")
        with plain.open("rb") as source, gzip.open(targets["csv"] / "x.csv.gz", "wb", compresslevel=6) as packed:
            while chunk := source.read(1 << 22):
                packed.write(chunk)
        plain.unlink()


def config(folder: Path, kernels: bool) -> Path:
    """models.yaml with ``orderbook_hf`` over files of Tardis.dev; the lake is SQLGEN_LAKE."""
    shipped = yaml.safe_load((ROOT / "models.yaml").read_text(encoding="utf-8"))
    model = shipped["models"]["orderbook_hf"] | {"inputs": {"orderbook": "books", "trades": "trades"}}
    if not kernels:
        del model["udfs"], model["inputs"]["trades"], model["options"]["ofi_levels"], model["options"]["horizons"]
    adapters = {"books": "tardis/book_snapshot_25", "trades": "tardis/trades"}
    made = {
        "version": 1,
        "lake": "${SQLGEN_LAKE}",
        "defaults": shipped["defaults"],
        "sources": {name: {"path": name, "adapter": adapter} for name, adapter in adapters.items()},
        "models": {"orderbook_hf": model},
    }
    path = folder / f"{'kernels' if kernels else 'sql'}.yaml"
    path.write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")
    return path
