"""The features of a book do not depend on the vendor whose files hold it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.support.adapters import EXCHANGE, HIVE, SYMBOL, random_books, random_trades
from tests.support.engine import published, shipped_config, sqlgen
from tests.support.vendors import binance, ccxt, crypto_lake, tardis
from tests.support.vendors.files import save
from tests.support.vendors.rows import MS

pytestmark = pytest.mark.slow

BOOKS = [replace(book, ts=book.ts // MS * MS, received=None) for book in random_books(31, 300, 20, full=0.8)]
TRADES = [replace(trade, ts=trade.ts // MS * MS, received=None) for trade in random_trades(32, 400, unknown=False)]
OBJECTS = {"levels": "objects"}
Writer = Callable[[Path], Any]
Side = tuple[str, dict[str, Any], str, Writer]
"""Adapter, its options, name of the file, what writes it."""


def arrow(table: Callable[[], pa.Table]) -> Writer:
    return lambda path: pq.write_table(table(), path)


def text(content: Callable[[], Any]) -> Writer:
    return lambda path: save(path, content())


def objects() -> pa.Table:
    records = ccxt.order_books(BOOKS, "BTC/USDT", "objects")
    return pa.Table.from_pylist([json.loads(line) for line in ccxt.ndjson(records).splitlines()])


PAIRS = text(lambda: ccxt.ndjson(ccxt.order_books(BOOKS, "BTC/USDT", "pairs", strings=True)))
CCXT: Side = (
    "ccxt/trades",
    {"trade_id": "id"},
    "x.ndjson",
    text(lambda: ccxt.ndjson(ccxt.trades(TRADES, "BTC/USDT"))),
)
LAKE = {"ts": "origin_time", "amount": "quantity", "side": "side", "trade_id": "trade_id"}
VENDORS: dict[str, tuple[Side, Side]] = {
    "ccxt pairs": (("ccxt/orderbook", {"levels": "pairs"}, "x.ndjson.gz", PAIRS), CCXT),
    "Tardis.dev": (
        (
            "tardis/book_snapshot_25",
            {},
            "x.csv.gz",
            text(lambda: tardis.book_snapshot(BOOKS, 25, EXCHANGE, SYMBOL)),
        ),
        ("tardis/trades", {}, "x.csv.gz", text(lambda: tardis.trades(TRADES, EXCHANGE, SYMBOL))),
    ),
    "Crypto Lake": (
        ("crypto_lake/orderbook", {}, "x.parquet", arrow(lambda: crypto_lake.books(BOOKS))),
        ("crypto_lake/trades", {}, "x.parquet", arrow(lambda: crypto_lake.trades(TRADES))),
    ),
    "generic and Binance": (
        (
            "generic/orderbook",
            {"columns": {"ts": "origin_time"}, "time_unit": "timestamp"},
            "x.parquet",
            arrow(lambda: crypto_lake.books(BOOKS)),
        ),
        ("binance/trades", {}, "x.csv.zip", text(lambda: binance.trades(TRADES, "spot", "2026-01-02"))),
    ),
    "generic": (
        ("generic/orderbook", OBJECTS | {"columns": {"ts": "timestamp"}}, "x.parquet", arrow(objects)),
        (
            "generic/trades",
            {"columns": LAKE, "time_unit": "timestamp"},
            "x.parquet",
            arrow(lambda: crypto_lake.trades(TRADES)),
        ),
    ),
}


def features(folder: Path, books: Side, trades: Side) -> pa.Table:
    """orderbook_hf with all kernels."""
    config = shipped_config(folder / "lake")
    model = config["models"]["orderbook_hf"] | {"inputs": {"orderbook": "books", "trades": "trades"}}
    model["options"] |= {"vpin_bucket_volume": "1.0"}  # one day knows no volume of days before
    config["models"] = {"orderbook_hf": model}
    config["sources"] = {}
    for name, (adapter, options, file, write) in (("books", books), ("trades", trades)):
        config["sources"][name] = {"path": f"raw/{name}", "adapter": adapter, "options": options}
        config["sources"][name] |= {"captured_levels": 20} if name == "books" else {}
        path = folder / "lake/raw" / name / HIVE / file
        path.parent.mkdir(parents=True)
        write(path)
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return published(folder / "lake/processed/ccxt/orderbook/hf")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Of the same rows in ccxt form."""
    table = features(tmp_path_factory.mktemp("ccxt"), ("ccxt/orderbook", OBJECTS, "x.parquet", arrow(objects)), CCXT)
    assert table.num_rows == len(BOOKS)
    assert table.num_columns > 200
    assert table["vpin"].null_count < len(BOOKS)
    return table


@pytest.mark.parametrize(("books", "trades"), VENDORS.values(), ids=VENDORS)
def test_features_of_orderbook_hf(tmp_path: Path, expected: pa.Table, books: Side, trades: Side) -> None:
    table = features(tmp_path, books, trades)
    different = [name for name in expected.column_names if not table[name].equals(expected[name])]
    assert different == []
    assert table.schema.equals(expected.schema)
