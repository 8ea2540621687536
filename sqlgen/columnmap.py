"""Guesses what the columns of an unknown file mean, by their names and their first values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlgen.sniff import Sniffed

_NAMES: Mapping[str, tuple[str, ...]] = {
    "ts": (
        *("exchange_time", "origin_time", "event_time", "ts_event", "exchange_timestamp", "timestamp", "transact_time"),
        *("trade_time", "time", "ts", "t", "datetime", "date_time", "timestamp_ns", "timestamp_us", "timestamp_ms"),
        *("received_time", "local_timestamp", "ts_recv", "recv_time", "receipt_timestamp", "collected_at"),
    ),
    "price": ("price", "px", "p", "trade_price", "last_price", "rate"),
    "amount": ("amount", "size", "quantity", "qty", "volume", "q", "sz", "trade_size", "base_qty", "vol", "v"),
    "side": ("side", "taker_side", "aggressor", "aggressor_side", "direction", "trade_side"),
    "buyer_maker": ("is_buyer_maker", "buyer_maker", "isbuyermaker", "buyer_is_maker", "m"),
    "trade_id": ("trade_id", "tradeid", "id", "tid", "trade_no", "execution_id"),
}
_LIST_NAMES = {"bids": ("bids", "bid", "b", "buy"), "asks": ("asks", "ask", "a", "sell", "offers")}
_SIDES = {"bid": r"bids?|b|buy", "ask": r"asks?|a|sell|offers?"}
_PRICES, _SIZES = r"price|px|p|prc|rate", r"size|sz|s|amount|amt|qty|quantity|volume|vol|v|q"
_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}


@dataclass(frozen=True)
class Proposal:
    """Options of a generic adapter."""

    options: Mapping[str, Any]
    columns: tuple[str, ...]
    """The raw columns that have a meaning."""


def propose(kind: str, sniffed: Sniffed) -> Proposal | None:
    """Options of ``generic/KIND`` (``trades`` or ``orderbook``); ``None`` where a file does not look like that."""
    columns = _trades(sniffed.columns) if kind == "trades" else _book(sniffed.columns)
    if columns is None:
        return None
    raw = [name for name in sniffed.columns if name in columns.values()]
    time = columns["ts"]
    unit = time_unit(sniffed.values(time))
    options: dict[str, Any] = {"columns": columns, **({"time_unit": unit} if unit else {})}
    if kind == "orderbook" and "{i" in columns.get("bid_price", ""):
        options["first_level"] = _first_level(columns["bid_price"], sniffed.columns)
    return Proposal(options, tuple(raw))


def time_unit(values: Iterable[Any]) -> str:
    """Unit of counts since 1970 by their size; empty where they are no counts."""
    digits = {len(text) for value in values if (text := str(value).strip()).isdigit()}
    return _UNITS.get(digits.pop(), "") if len(digits) == 1 else ""


def _find(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(list(names))}
    return next((lower[name] for name in wanted if name in lower), None)


def _trades(names: tuple[str, ...]) -> dict[str, str] | None:
    found = {meaning: name for meaning, known in _NAMES.items() if (name := _find(names, known)) is not None}
    if not {"ts", "price", "amount"} <= found.keys() or _book(names) is not None:
        return None
    if "side" in found:
        found.pop("buyer_maker", None)
    return found


def _book(names: tuple[str, ...]) -> dict[str, str] | None:
    time = _find(names, _NAMES["ts"])
    if time is None:
        return None
    lists = {side: name for side, known in _LIST_NAMES.items() if (name := _find(names, known)) is not None}
    if len(lists) == len(_LIST_NAMES):
        return {"ts": time, **lists}
    levels = {
        f"{side}_{field}": pattern
        for side in _SIDES
        for field, words in (("price", _PRICES), ("size", _SIZES))
        if (pattern := _levels(names, _SIDES[side], words)) is not None
    }
    return {"ts": time, **levels} if len(levels) == 2 * len(_SIDES) else None


def _levels(names: tuple[str, ...], side: str, words: str) -> str | None:
    """Names of one field of all levels, as a pattern with ``{i}`` (``{i:02d}`` where numbers have two digits)."""
    number, mark = r"(\d+)", r"[\s._\[\]-]*"
    forms = (
        rf"(?:{side}){mark}{number}{mark}(?:{words})",
        rf"(?:{side}){mark}(?:{words}){mark}{number}{mark}",
        rf"(?:{words}){mark}(?:{side}){mark}{number}{mark}",
        rf"level{mark}{number}{mark}(?:{side}){mark}(?:{words})",
    )
    patterns: dict[str, int] = {}
    for name in names:
        match = next((match for form in forms if (match := re.fullmatch(form, name, re.IGNORECASE))), None)
        if match is not None:
            digits = match.group(1)
            field = "{i:02d}" if len(digits) > 1 and digits.startswith("0") else "{i}"
            pattern = name[: match.start(1)] + field + name[match.end(1) :]
            patterns[pattern] = patterns.get(pattern, 0) + 1
    padded = {pattern.replace("{i:02d}", "{i}"): pattern for pattern in patterns if "{i:02d}" in pattern}
    best = max(patterns, key=lambda pattern: patterns[pattern], default=None)
    return padded.get(best, best) if best is not None else None


def _first_level(pattern: str, names: Iterable[str]) -> int:
    """The number of the best level: 0 or 1."""
    return 0 if pattern.replace("{i:02d}", "00").replace("{i}", "0") in set(names) else 1
