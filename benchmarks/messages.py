"""Messages of order books as venues send them, and the project that makes books of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

LEVELS = 20
"""Levels that change with a message, of each side."""
WIDTH = 500
"""Levels of a book on each side."""
MIDNIGHT = 1_767_312_000_000
"""2026-01-02 in milliseconds."""
ADAPTERS = {"bybit": "bybit/orderbook", "binance": "binance/depth_futures"}


def write(folder: Path, venue: str, updates: int) -> Path:
    """A day of a venue's messages with so many changes of levels, and models.yaml; the lake is ``folder``."""
    file = folder / f"raw/exchange={venue}/symbol=BTCUSDT/date=2026-01-02/x.ndjson"
    file.parent.mkdir(parents=True)
    with file.open("w", encoding="utf-8") as lines:
        for message in (bybit if venue == "bybit" else binance)(updates // (2 * LEVELS)):
            lines.write(json.dumps(message, separators=(",", ":")) + "\n")
    made = {
        "version": 1,
        "lake": "${SQLGEN_LAKE}",
        "sources": {"messages": {"path": "raw", "adapter": ADAPTERS[venue]}},
        "models": {
            "book": {
                "sql": "orderbook/book.sql.j2",
                "inputs": {"updates": "messages"},
                "udfs": "book",
                "output": {"path": "processed/book"},
            }
        },
    }
    config = folder / "models.yaml"
    config.write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")
    return config


def bybit(messages: int) -> Iterator[dict[str, Any]]:
    """Messages of ``orderbook.500``, the first one whole."""
    for number, (bids, asks) in enumerate(_changes(messages), 1):
        time = MIDNIGHT + 40 * number
        data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": 7_000_000 + number, "seq": 9_000_000 + 3 * number}
        kind = "snapshot" if number == 1 else "delta"
        yield {"topic": "orderbook.500.BTCUSDT", "type": kind, "ts": time + 3, "data": data, "cts": time}


def binance(messages: int) -> Iterator[dict[str, Any]]:
    """An answer of /fapi/v1/depth and the events of ``btcusdt@depth`` after it."""
    for number, (bids, asks) in enumerate(_changes(messages)):
        time, last = MIDNIGHT + 40 * (number + 1), 5_000_000_000 + 31 * number
        if number == 0:
            yield {"lastUpdateId": last, "bids": bids, "asks": asks, "collected_at": time}
            continue
        event = {"e": "depthUpdate", "E": time + 2, "T": time, "s": "BTCUSDT", "U": last - 30, "u": last}
        yield event | {"pu": last - 31, "b": bids, "a": asks}


def _changes(messages: int) -> Iterator[tuple[list[list[str]], list[list[str]]]]:
    """Bids and asks of messages, a fifth of them taken away; first the whole book."""
    rng = np.random.default_rng(5)
    prices = [[f"{(880_000 + side * (1 + step)) / 10:.1f}" for step in range(WIDTH)] for side in (-1, 1)]
    bids, asks = ([[price, f"{rng.integers(1, 50_000) / 1000:.3f}"] for price in side] for side in prices)
    yield bids, asks
    places = np.sort(rng.integers(0, WIDTH - LEVELS, (messages, 2, LEVELS))) + np.arange(LEVELS)
    sizes = rng.integers(1, 50_000, places.shape) * (rng.random(places.shape) > 0.2) / 1000
    for where, what in zip(places[1:].tolist(), sizes[1:].tolist(), strict=True):
        bids, asks = (
            [[side[place], f"{size:.3f}"] for place, size in zip(at, amounts, strict=True)]
            for side, at, amounts in zip(prices, where, what, strict=True)
        )
        yield bids, asks
