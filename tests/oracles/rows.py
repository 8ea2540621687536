"""From raw ccxt rows to canonical rows: keys, time, order and cleaning."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]
Level = tuple[float, float]


KEY_COLUMNS = ("exchange", "symbol", "date", "ts", "seq")
NS = 1_000_000_000


def number_rows(raw: Iterable[Row]) -> list[Row]:
    """Copies of ``raw`` with ``seq``: the position of each row in its partition, in the given order."""
    counts: dict[tuple[str, str, dt.date], int] = {}
    numbered = []
    for row in raw:
        partition = (row["exchange"], row["symbol"], row["date"])
        counts[partition] = counts.get(partition, -1) + 1
        numbered.append({**row, "seq": counts[partition]})
    return numbered


def key_of(raw: Row) -> Row:
    """``exchange, symbol, date, ts, seq``: exchange time, or collection time where there is none."""
    milliseconds = raw["timestamp"] if raw.get("timestamp") is not None else raw["collected_at"]
    return {
        "exchange": raw["exchange"],
        "symbol": raw["symbol"],
        "date": raw["date"],
        "ts": milliseconds * 1_000_000,
        "seq": raw["seq"],
    }


def output_order(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order in which tables are compared: partition by partition, in time order."""
    return sorted(rows, key=lambda row: tuple(row[name] for name in KEY_COLUMNS))


def by_key(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each (exchange, symbol) over all days, each list in event order."""
    keys: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        keys.setdefault((row["exchange"], row["symbol"]), []).append(row)
    return [sorted(keys[key], key=lambda row: (row["ts"], row["date"], row["seq"])) for key in sorted(keys)]


def positive(value: float | None) -> float | None:
    """A price or traded amount; None if it is missing, not finite or not above zero."""
    return float(value) if value is not None and math.isfinite(value) and value > 0 else None


def price_of(raw: Row, value: float | None) -> float | None:
    """A price of a raw row: above zero, or any number where the row says ``negative_prices``."""
    return finite(value) if raw.get("negative_prices") else positive(value)


def not_negative(value: float | None) -> float | None:
    """A volume; None if it is missing, not finite or below zero."""
    return float(value) if value is not None and math.isfinite(value) and value >= 0 else None


def finite(value: float | None) -> float | None:
    """Any number; None if it is missing or not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def clean_side(
    levels: Sequence[Any] | None, *, bids: bool, max_levels: int, negative: bool = False
) -> list[Level] | None:
    """One side of a book, best first: bad levels dropped, equal prices merged, ``max_levels`` kept.

    ``levels`` holds (price, size) pairs, any of them None. None stays None: the side was not seen.
    """
    if levels is None:
        return None
    sizes: dict[float, list[float]] = {}
    for level in levels:
        if level is None:
            continue
        price, size = price_of({"negative_prices": negative}, level[0]), positive(level[1])
        if price is not None and size is not None:
            sizes.setdefault(price, []).append(size)
    return [(price, math.fsum(sizes[price])) for price in sorted(sizes, reverse=bids)][:max_levels]


def sign_of(side: str | None) -> int | None:
    """+1 for a buyer-initiated trade, -1 for a seller-initiated one, None where it is not known."""
    return {"buy": 1, "sell": -1}.get(side.lower()) if side is not None else None
