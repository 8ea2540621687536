"""Crypto Lake Parquet: 20 levels in columns, doubles, one file per exchange, symbol and day.

https://crypto-lake.com/data/ and https://github.com/crypto-lake/lake-api
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from tests.support.vendors.rows import Book, Level, Trade, arrival

TIME = pa.timestamp("ns")
RAW_NAMES = {"origin_time": "timestamp", "received_time": "receipt_timestamp", "quantity": "amount", "trade_id": "id"}
"""Names inside the vendor's own files, where its client renames them and turns integers into times."""


def path(table: str, exchange: str, symbol: str, date: str, name: str = "1.snappy.parquet") -> str:
    """Path of a file under the bucket."""
    return f"{table}/exchange={exchange}/symbol={symbol}/dt={date}/{name}"


def books(rows: Iterable[Book], raw: bool = False, depth: int = 20) -> pa.Table:
    """book: a missing level is NULL; raw: names and integer times of the vendor's own files."""
    kept = list(rows)
    columns = _times(kept)
    columns["sequence_number"] = pa.array([book.seq for book in kept], pa.int64())
    for side, levels in (("bid", [book.bids for book in kept]), ("ask", [book.asks for book in kept])):
        for i in range(depth):
            for place, field in enumerate(("price", "size")):
                values = [_value(side_levels, i, place) for side_levels in levels]
                columns[f"{side}_{i}_{field}"] = pa.array(values, pa.float64())
    return _named(columns, raw)


def trades(rows: Iterable[Trade], raw: bool = False) -> pa.Table:
    """trades: the side is `buy` or `sell`, the taker's."""
    kept = list(rows)
    columns = {
        "side": pa.array([row.side for row in kept], pa.string()),
        "quantity": pa.array([float(row.amount) for row in kept], pa.float64()),
        "price": pa.array([float(row.price) for row in kept], pa.float64()),
        "trade_id": pa.array([row.trade_id for row in kept], pa.string()),
    }
    return _named(columns | _times(kept), raw)


def _times(rows: Sequence[Book | Trade]) -> dict[str, pa.Array]:
    return {
        "origin_time": pa.array([row.ts for row in rows], pa.int64()),
        "received_time": pa.array([arrival(row) for row in rows], pa.int64()),
    }


def _named(columns: dict[str, pa.Array], raw: bool) -> pa.Table:
    if raw:
        return pa.table({RAW_NAMES.get(name, name): values for name, values in columns.items()})
    return pa.table({name: values.cast(TIME) if name.endswith("_time") else values for name, values in columns.items()})


def _value(levels: Sequence[Level], i: int, place: int) -> float | None:
    return float(levels[i][place]) if i < len(levels) else None
