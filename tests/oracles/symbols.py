"""Symbols in common terms: base, quote and the class of the quote, character by character."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from tests.oracles.rows import Row

DOLLARS = {"USD", "USDC", "USDT", "BUSD", "DAI", "TUSD", "GUSD", "USDP", "PYUSD", "FRAX", "LUSD", "FDUSD"}
UST_BROKE = dt.date(2022, 5, 1)


def pair(symbol: str) -> tuple[str, str] | None:
    """Base and quote in upper case; None where the symbol does not say."""
    parts = [""]
    for character in symbol.upper():
        if character == ":":
            break
        if character in "-/_":
            parts.append("")
        else:
            parts[-1] += character
    if len(parts) < 2 or not parts[0] or not parts[1][:1] or parts[1][0] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        return None
    return parts[0], parts[1]


def columns(symbol: str, date: dt.date) -> Row:
    """The columns ``base, quote, quote_class, symbol_norm`` of a row."""
    found = pair(symbol)
    if found is None:
        return dict.fromkeys(("base", "quote", "quote_class", "symbol_norm"))
    base, quote = found
    kind = "USD" if quote in DOLLARS or (quote == "UST" and date < UST_BROKE) else quote
    return {"base": base, "quote": quote, "quote_class": kind, "symbol_norm": f"{base}-{kind}"}


def symbols(rows: Iterable[Row]) -> list[Row]:
    """Rows of the model ``symbols``."""
    dates: dict[tuple[str, str], list[dt.date]] = {}
    for row in rows:
        dates.setdefault((row["exchange"], row["symbol"]), []).append(row["date"])
    return [
        {"exchange": exchange, "symbol": symbol}
        | columns(symbol, max(days))
        | {"first_date": min(days), "last_date": max(days)}
        for (exchange, symbol), days in sorted(dates.items())
    ]
