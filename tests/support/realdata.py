"""Readers of the public sample data, into raw ccxt rows without partition columns.

The folder is named by the environment variable ``SQLGEN_DATA``; without it, ``../shared/data`` beside
the repository is taken. Tests that need a file that is not there are skipped, and say so.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

Row = dict[str, Any]
Side = list[tuple[float | None, float | None]]

LOBSTER_BUY, LOBSTER_SELL = -1, 1
"""Direction of the resting order: the taker of an executed sell order (-1) is a buyer."""
LOBSTER_EXECUTIONS = ("4", "5")


def data_file(name: str) -> Path:
    """Path of a sample file; skips the calling test where it is missing."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    path = Path(os.environ.get("SQLGEN_DATA") or beside) / name
    if not path.exists():
        pytest.skip(f"sample data {path} is not there (set SQLGEN_DATA to its folder)")
    return path


def databento_events() -> list[Row]:
    """Events of AAPL MBP-10 on 2024-10-21, as text by column; prices in dollars."""
    with gzip.open(data_file("databento_mbp10_AAPL_2024-10-21.csv.gz"), "rt", newline="") as file:
        return list(csv.DictReader(file))


def databento_books() -> list[Row]:
    """One book of 10 levels per event."""
    return [
        {
            "timestamp": _utc_ms(event["ts_event"]),
            "collected_at": _utc_ms(event["ts_recv"]),
            "nonce": int(event["sequence"]),
            "bids": _databento_side(event, "bid"),
            "asks": _databento_side(event, "ask"),
        }
        for event in databento_events()
    ]


def databento_trades() -> list[Row]:
    """The trades among the events; the side is the aggressor's, None where it is not known."""
    return [
        {
            "timestamp": _utc_ms(event["ts_event"]),
            "collected_at": _utc_ms(event["ts_recv"]),
            "trade_id": event["sequence"],
            "side": {"B": "buy", "A": "sell"}.get(event["side"]),
            "price": float(event["price"]),
            "amount": float(event["size"]),
        }
        for event in databento_events()
        if event["action"] == "T"
    ]


def _databento_side(event: Row, side: str) -> Side:
    return [(_number(event[f"{side}_px_{i:02d}"]), _number(event[f"{side}_sz_{i:02d}"])) for i in range(10)]


def databento_unreadable() -> list[tuple[int, str, str]]:
    """Level cells that hold text but no number: (event, column, text). The readers take them as missing."""
    return [
        (number, column, text)
        for number, event in enumerate(databento_events())
        for column, text in event.items()
        if column[:7] in ("bid_px_", "bid_sz_", "ask_px_", "ask_sz_") and text and _number(text) is None
    ]


def _number(text: str) -> float | None:
    # The file has one damaged price ("2 33.53"). What was meant is a guess, so the level counts as missing.
    try:
        return float(text)
    except ValueError:
        return None


def _utc_ms(text: str) -> int:
    """Milliseconds since the epoch of an ISO time with nanoseconds; the rest of the fraction is cut off."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = dt.datetime.fromisoformat(seconds).replace(tzinfo=dt.UTC)
    return int(whole.timestamp()) * 1000 + int(fraction.ljust(3, "0")[:3])


_LOBSTER = "AAPL_2012-06-21_34200000_57600000_{}_10.csv"


def lobster_books() -> list[Row]:
    """One book of 10 levels per message, prices in dollars; missing levels keep their marker and size 0."""
    books = _lobster_lines("orderbook")
    messages = _lobster_lines("message")
    return [
        {
            "timestamp": _new_york_ms("2012-06-21", message[0]),
            "bids": _lobster_side(book, 2),
            "asks": _lobster_side(book, 0),
        }
        for book, message in zip(books, messages, strict=True)
    ]


def lobster_trades() -> list[Row]:
    """Executions, of visible and of hidden orders."""
    return [
        {
            "timestamp": _new_york_ms("2012-06-21", time),
            "trade_id": str(number),
            "side": "buy" if int(direction) == LOBSTER_BUY else "sell",
            "price": int(price) / 10_000,
            "amount": float(size),
        }
        for number, (time, kind, _, size, price, direction) in enumerate(_lobster_lines("message"))
        if kind in LOBSTER_EXECUTIONS
    ]


def _lobster_lines(kind: str) -> Iterator[list[str]]:
    for line in data_file(_LOBSTER.format(kind)).read_text().splitlines():
        yield line.replace(";", ",").split(",")


def _lobster_side(book: list[str], offset: int) -> Side:
    return [(int(book[i + offset]) / 10_000, float(book[i + offset + 1])) for i in range(0, len(book), 4)]


def _new_york_ms(date: str, seconds_after_midnight: str) -> int:
    midnight = dt.datetime.fromisoformat(date).replace(tzinfo=ZoneInfo("America/New_York"))
    return int(midnight.timestamp()) * 1000 + int(float(seconds_after_midnight) * 1000)


def bybit_books() -> list[Row]:
    """Whole books of up to 500 levels, rebuilt from the snapshot and the deltas of the archive."""
    with zipfile.ZipFile(data_file("bybit_2024-12-01_XRPUSDT_ob500.data.zip")) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    sides: dict[str, dict[float, float]] = {"b": {}, "a": {}}
    books = []
    for message in map(json.loads, lines):
        for name, levels in sides.items():
            if message["type"] == "snapshot":
                levels.clear()
            levels.update({float(price): float(size) for price, size in message["data"][name]})
            sides[name] = {price: size for price, size in levels.items() if size > 0}
        bids = sorted(sides["b"].items(), reverse=True)
        asks = sorted(sides["a"].items())
        books.append({"timestamp": message["ts"], "nonce": message["data"]["u"], "bids": bids, "asks": asks})
    return books


def binance_trades() -> list[Row]:
    """Trades of BTCUSDT on 2021-01-08; a buyer who is the maker means a seller-initiated trade."""
    table = pq.ParquetFile(data_file("binance_BTCUSDT_trades.parquet")).read()
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return [
        {
            "timestamp": (row["timestamp"] - epoch) // dt.timedelta(milliseconds=1),
            "trade_id": str(row["trade_id"]),
            "side": "sell" if row["buyer_maker"] == "True" else "buy",
            "price": row["price"],
            "amount": row["quantity"],
        }
        for row in table.to_pylist()
    ]
