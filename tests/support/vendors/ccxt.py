"""ccxt order books and trades as NDJSON, in the forms that collectors write.

https://docs.ccxt.com/#/README?id=order-book-structure
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal

from tests.support.vendors.rows import MS, Book, Level, Trade, arrival, plain, time_in

Levels = Literal["objects", "pairs", "triples"]
"""`{"price": ..., "size": ...}`; `[price, size]`; `[price, size, count]`."""


_LEVELS: dict[str, Callable[[Any, Any], Any]] = {
    "objects": lambda price, size: {"price": price, "size": size},
    "pairs": lambda price, size: [price, size],
    "triples": lambda price, size: [price, size, 1],
}


def order_books(rows: Iterable[Book], symbol: str, levels: Levels = "pairs", strings: bool = False) -> list[Any]:
    """One record a book; numbers as JSON numbers or, with strings, as texts."""

    def side(values: Iterable[Level]) -> list[Any]:
        return [_LEVELS[levels](_cell(price, strings), _cell(size, strings)) for price, size in values]

    return [
        {"symbol": symbol, **_times(row), "nonce": row.seq, "bids": side(row.bids), "asks": side(row.asks)}
        for row in rows
    ]


def trades(rows: Iterable[Trade], symbol: str, strings: bool = False) -> list[Any]:
    """One record a trade, with the fields of ccxt's trade structure that collectors keep."""
    return [
        {
            "id": row.trade_id,
            "symbol": symbol,
            **_times(row),
            "side": row.side,
            "price": _cell(row.price, strings),
            "amount": _cell(row.amount, strings),
        }
        for row in rows
    ]


def ndjson(records: Iterable[Any], newline: str = "\n") -> str:
    """One record a line."""
    return "".join(_text(record) + newline for record in records)


def _text(value: Any) -> str:
    # json knows no decimals, and a double may not hold all digits.
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)


def _cell(value: Decimal, strings: bool) -> Any:
    return plain(value) if strings else value


def _times(row: Book | Trade) -> dict[str, Any]:
    ms = time_in(row.ts, MS)
    whole = dt.datetime.fromtimestamp(ms // 1000, dt.UTC)
    return {
        "timestamp": ms,
        "datetime": f"{whole:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z",
        "collected_at": time_in(arrival(row), MS),
    }
