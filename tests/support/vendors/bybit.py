"""Bybit order book archive: zip with one file of JSON messages, as its public WebSocket feed sends them.

https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from tests.support.vendors.rows import MS, Delta, Level, arrival, fixed, plain, time_in

Order = Literal["type_first", "ts_first"]
"""Keys of a message: topic, type, ts (files of 2024) or topic, ts, type (of 2025)."""


def file_name(date: str, symbol: str, depth: int) -> str:
    """Name of the archive of a day; its member has the name without .zip."""
    return f"{date}_{symbol}_ob{depth}.data.zip"


def messages(
    rows: Iterable[Delta], symbol: str, depth: int, order: Order = "type_first", places: tuple[int, int] | None = None
) -> list[dict[str, Any]]:
    """One message a row; `ts` is the time of arrival (of the system), `cts` that of the matching engine.

    The exchange writes prices with the places of the tick size (`places`: of price and size); a deleted level is "0".
    """
    made = []
    for number, row in enumerate(rows):
        kind = {"type": "snapshot" if row.snapshot else "delta"}
        sent = {"ts": time_in(arrival(row), MS)}
        update = number + 1 if row.seq is None else row.seq
        data = {
            "s": symbol,
            "b": _levels(row.bids, places),
            "a": _levels(row.asks, places),
            "u": update,
            "seq": update * 10,
        }
        keys = (kind | sent) if order == "type_first" else (sent | kind)
        made.append({"topic": f"orderbook.{depth}.{symbol}"} | keys | {"data": data, "cts": time_in(row.ts, MS)})
    return made


def text(rows: Iterable[dict[str, Any]], newline: str = "\r\n") -> str:
    """One message a line; lines of the archive end in CRLF."""
    return "".join(json.dumps(row, separators=(",", ":")) + newline for row in rows)


def _levels(levels: Iterable[Level], places: tuple[int, int] | None) -> list[list[str]]:
    if places is None:
        return [[plain(price), plain(size)] for price, size in levels]
    return [[fixed(price, places[0]), fixed(size, places[1]) if size else "0"] for price, size in levels]
