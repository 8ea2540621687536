"""Write and read tiny ccxt lakes, without the engine.

A raw row is a dictionary with the fields of its kind; a book holds ``bids`` and ``asks`` as lists of
(price, size). What a row leaves out is null, apart from ``collected_at`` and ``capture_ts``, which
follow from ``timestamp``.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

_TIMES = {"collected_at": pa.int64(), "capture_ts": pa.timestamp("us", tz="UTC"), "timestamp": pa.int64()}
_SIDE = pa.list_(pa.struct({"price": pa.float64(), "size": pa.float64()}))
_PRICES = ("bid", "ask", "last", "open", "high", "low", "close", "vwap")
_TICKER = (*_PRICES, "bid_volume", "ask_volume", "base_volume", "quote_volume", "change", "percentage")
SCHEMAS = {
    "orderbook": pa.schema({**_TIMES, "nonce": pa.int64(), "bids": _SIDE, "asks": _SIDE}),
    "trades": pa.schema(
        {
            "collected_at": pa.int64(),
            "capture_ts": pa.timestamp("us", tz="UTC"),
            "trade_id": pa.string(),
            "timestamp": pa.int64(),
            "side": pa.string(),
            **dict.fromkeys(("price", "amount", "cost"), pa.float64()),
        }
    ),
    "ticker": pa.schema({**_TIMES, **dict.fromkeys(_TICKER, pa.float64())}),
}


def write_rows(
    root: Path, kind: str, rows: Iterable[Row], *, layout: str = "date", suffix: str = "parquet", name: str = "data"
) -> None:
    """Write rows that carry ``exchange``, ``symbol`` and ``date`` under ``root/raw/ccxt/kind``.

    Args:
        root: the lake.
        kind: ``orderbook``, ``trades`` or ``ticker``.
        rows: in file order; they stay in the partition they name.
        layout: ``date`` (``date=2026-01-01``) or ``ymdh`` (``year=/month=/day=/hour=``, by exchange time).
        suffix: ``parquet``, ``ndjson`` or ``ndjson.gz``.
        name: of every file, without suffix.
    """
    folders: dict[Path, list[Row]] = {}
    for row in rows:
        base = root / "raw" / "ccxt" / kind / f"exchange={row['exchange']}" / f"symbol={row['symbol']}"
        folders.setdefault(base / _date_folder(row, layout), []).append(row)
    for folder, inside in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        _write_file(folder / f"{name}.{suffix}", SCHEMAS[kind], [_complete(row) for row in inside])


def write_orderbook(root: Path, exchange: str, symbol: str, date: str, rows: Iterable[Row], **where: str) -> list[Row]:
    """Write book snapshots of one partition; the rows as :func:`read_rows` would give them but for ``seq``."""
    return _write_partition(root, "orderbook", (exchange, symbol, date), rows, where)


def write_trades(root: Path, exchange: str, symbol: str, date: str, rows: Iterable[Row], **where: str) -> list[Row]:
    """Write trades of one partition; see :func:`write_orderbook`."""
    return _write_partition(root, "trades", (exchange, symbol, date), rows, where)


def write_ticker(root: Path, exchange: str, symbol: str, date: str, rows: Iterable[Row], **where: str) -> list[Row]:
    """Write tickers of one partition; see :func:`write_orderbook`."""
    return _write_partition(root, "ticker", (exchange, symbol, date), rows, where)


def _write_partition(
    root: Path, kind: str, keys: tuple[str, str, str], rows: Iterable[Row], where: dict[str, str]
) -> list[Row]:
    exchange, symbol, date = keys
    day = dt.date.fromisoformat(date)
    keyed = [{**row, "exchange": exchange, "symbol": symbol, "date": day} for row in rows]
    write_rows(root, kind, keyed, **where)
    return keyed


def read_rows(root: Path, kind: str) -> list[Row]:
    """All raw rows of a lake, with their partition and ``seq``: the position in its files, in path order."""
    folder = root / "raw" / "ccxt" / kind
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: _path_order(path, folder))
    counts: dict[tuple[str, str, dt.date], int] = {}
    rows = []
    for path in files:
        keys = dict(part.split("=", 1) for part in path.relative_to(folder).parts[:-1])
        partition = (keys["exchange"], keys["symbol"], _date_of(keys))
        for row in _read_file(path):
            seq = counts.get(partition, 0)
            counts[partition] = seq + 1
            rows.append({**row, **dict(zip(("exchange", "symbol", "date"), partition, strict=True)), "seq": seq})
    return rows


def _date_folder(row: Row, layout: str) -> str:
    day = row["date"]
    if layout == "date":
        return f"date={day.isoformat()}"
    moment = dt.datetime.fromtimestamp(_milliseconds(row) / 1000, dt.UTC)
    return f"year={day.year}/month={day.month}/day={day.day}/hour={moment.hour}"


def _date_of(keys: dict[str, str]) -> dt.date:
    if "date" in keys:
        return dt.date.fromisoformat(keys["date"])
    return dt.date(int(keys["year"]), int(keys["month"]), int(keys["day"]))


def _path_order(path: Path, folder: Path) -> tuple[Any, ...]:
    parts = path.relative_to(folder).parts
    return tuple((int(m.group(2)), "") if (m := re.fullmatch(r"(\w+)=(\d+)", part)) else (-1, part) for part in parts)


def _milliseconds(row: Row) -> int:
    chosen = row["timestamp"] if row.get("timestamp") is not None else row["collected_at"]
    return int(chosen)


def _complete(row: Row) -> Row:
    collected = row.get("collected_at") or _milliseconds(row) + 5
    capture = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=collected)
    full = {"capture_ts": capture, **row, "collected_at": collected}
    for side in {"bids", "asks"} & set(full):
        full[side] = _structs(full[side])
    return full


def _structs(levels: Sequence[Any] | None) -> list[Row | None] | None:
    if levels is None:
        return None
    return [None if level is None else {"price": level[0], "size": level[1]} for level in levels]


def _write_file(path: Path, schema: pa.Schema, rows: list[Row]) -> None:
    rows = [{name: row.get(name) for name in schema.names} for row in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows, schema), path)
        return
    text = "".join(json.dumps(_plain(row), allow_nan=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())


def _plain(value: Any) -> Any:
    """``value`` as JSON can say it; a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _read_file(path: Path) -> list[Row]:
    rows: list[Row]
    if path.suffix == ".parquet":
        table = pq.ParquetFile(path).read()
        rows = table.select([name for name in table.column_names if name != "capture_ts"]).to_pylist()
    else:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = [json.loads(line) for line in data.decode().splitlines()]
    for row in rows:
        for side in {"bids", "asks"} & set(row):
            row[side] = _pairs(row[side])
    return rows


def _pairs(levels: list[Row | None] | None) -> list[tuple[Any, Any] | None] | None:
    if levels is None:
        return None
    return [None if level is None else (level["price"], level["size"]) for level in levels]
