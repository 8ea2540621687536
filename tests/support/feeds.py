"""Messages of level feeds as exchanges send them, in NDJSON, and projects that read them."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.oracles.books import Message
from tests.support.realdata import data_file

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MS = 1_000_000
Line = dict[str, Any]


def bybit_archive() -> list[Line]:
    """The messages of the sample of Bybit's archive."""
    with zipfile.ZipFile(data_file("bybit_2024-12-01_XRPUSDT_ob500.data.zip")) as archive:
        return [json.loads(line) for line in archive.read(archive.namelist()[0]).decode().splitlines()]


def bybit_messages(lines: Iterable[Line]) -> list[Message]:
    """Messages of Bybit, at their ``cts``."""
    return [
        Message(
            line["cts"] * MS,
            tuple(
                (side, float(price), float(size))
                for side, name in ((1, "b"), (-1, "a"))
                for price, size in line["data"][name]
            ),
            snapshot=line["type"] == "snapshot" or line["data"]["u"] == 1,
            first=line["data"]["u"],
            last=line["data"]["u"],
        )
        for line in lines
    ]


def texts(message: Message, side: int) -> list[list[str]]:
    """Levels of a side as [price, size] in text."""
    return [[f"{price:.3f}", f"{size:.3f}"] for one, price, size in message.levels if one == side]


def bybit_line(message: Message) -> Line:
    kind = "snapshot" if message.snapshot else "delta"
    data = {"s": "BTCUSDT", "b": texts(message, 1), "a": texts(message, -1), "u": message.last, "seq": 5}
    if message.outside:
        return {"retCode": 0, "result": data | {"ts": message.ts // MS, "cts": message.ts // MS}, "time": 1}
    ts = message.ts // MS
    return {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": ts + 3, "data": data, "cts": ts}


def binance_line(message: Message) -> Line:
    if message.outside:
        levels = {"bids": texts(message, 1), "asks": texts(message, -1)}
        # Collected a little later than the events that came before it, by another clock.
        return {"lastUpdateId": message.last, **levels, "collected_at": message.ts // MS + 7}
    event: Line = {"e": "depthUpdate", "E": message.ts // MS, "s": "BTCUSDT", "U": message.first, "u": message.last}
    event |= {} if message.prev is None else {"pu": message.prev, "T": message.ts // MS - 1}
    return event | {"b": texts(message, 1), "a": texts(message, -1)}


def coinbase_line(message: Message, number: int) -> Line:
    moment = EPOCH + dt.timedelta(microseconds=message.ts // 1000)
    time = f"{moment:%Y-%m-%dT%H:%M:%S.%f}{message.ts % 1000:03}Z"
    head = {"client_id": "", "timestamp": time, "sequence_num": number}
    if not message.levels and not message.snapshot:
        return {"channel": "heartbeats", **head, "events": [{"current_time": time, "heartbeat_counter": "3049"}]}
    updates = [
        {
            "side": "bid" if side == 1 else "offer",
            "event_time": time,
            "price_level": f"{price:.2f}",
            "new_quantity": f"{size:.3f}",
        }
        for side, price, size in message.levels
    ]
    kind = "snapshot" if message.snapshot else "update"
    event = {"type": kind, "product_id": "BTC-USD", "updates": updates}
    return {"channel": "l2_data", **head, "events": [event]}


def write_lines(lake: Path, source: str, date: str, lines: Iterable[Line], name: str = "data") -> None:
    """One file of a partition of ``exchange=x/symbol=BTC-USDT``."""
    folder = lake / f"raw/{source}/exchange=x/symbol=BTC-USDT/date={date}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_project(folder: Path, adapter: str, options: Mapping[str, Any], **hf: Any) -> Path:
    """A project with the book of one feed, its features and bars of these; its models.yaml."""
    flow = {"order_flow": False, "feed_resets": True, "bar_durations": [60], "emit_open_bars": True}
    book = {"sql": "orderbook/book.sql.j2", "inputs": {"updates": "updates"}, "udfs": "book", "options": dict(options)}
    depth = options.get("max_levels", 20)
    features = {
        "sql": "orderbook/hf.sql.j2",
        "inputs": {"orderbook": "book"},
        "udfs": ["returns", "ofi", "rolling"],
        "options": {"max_levels": depth, "feed_resets": True} | hf,
    }
    bars = {"sql": "orderbook/bars.sql.j2", "inputs": {"hf": "hf"}, "options": flow}
    models = {"book": book, "hf": features, "bars": bars}
    config = {
        "version": 1,
        "lake": "lake",
        "sources": {"updates": {"path": "raw/updates", "adapter": adapter}},
        "models": {name: model | {"output": {"path": name}} for name, model in models.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / "models.yaml"
