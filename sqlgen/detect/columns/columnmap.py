"""Column mapping of unknown files, guessed by the columns' names and first values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from sqlgen.detect.columns.amounts import are_signed, base_amount
from sqlgen.detect.columns.lookalikes import calls_rows_changes, other_rows, says, trades_beside_quotes
from sqlgen.detect.columns.names import (
    BAR,
    DEALS,
    IDS_OF_CHANGES,
    KEYS,
    LISTS,
    NO_TRADES,
    PRICES,
    PRICES_OF_BARS,
    QUOTE,
    SIDES,
    SIZES,
    TRADE,
    TRADED,
    TRUTHS,
    TYPES_OF_TAKERS,
    ZONES,
)
from sqlgen.detect.columns.times import find, find_each, joined, plain, times_of
from sqlgen.detect.files.sniff import Sniffed

_OF_TRADES = (*TRADED, *DEALS, *TYPES_OF_TAKERS)
_COUNT = re.compile(r"\d+(\.\d*)?")
_MARKET = re.compile(r"[A-Z0-9]{2,}([./:_-]?[A-Z0-9]+)*")


class ColumnMap(Struct, frozen=True):
    """Options of a generic adapter."""

    options: Mapping[str, Any]
    columns: tuple[str, ...]
    """The raw columns that were recognised."""


def no_trades(sniffed: Sniffed) -> str:
    """Kind of the rows where their columns or sizes show that they are no trades; empty if nothing does."""
    names = {joined(name): name for name in sniffed.columns}
    for what, known in NO_TRADES.items():
        found = [names[joined(name)] for name in known if joined(name) in names]
        found = [name for name in found if not says(sniffed, name, _OF_TRADES)]
        if found and (what != "bars" or _bars(sniffed) is not None):
            return f"{what} (columns {', '.join(found)})"
    if other := other_rows(sniffed):
        return other
    if column := trades_beside_quotes(sniffed):
        return f"quotes and trades in one table (column {column}), of which each needs a file of its own"
    book = book_levels(sniffed.columns)
    if book is not None and "bids" in book and calls_rows_changes(sniffed):
        return f"changes of an order book (lists {book['bids']}, {book['asks']}), not whole ones"
    quotes = _quotes(sniffed)
    if quotes is not None:
        return f"quotes without sizes (columns {quotes['bid']}, {quotes['ask']})"
    amount = find(sniffed.columns, TRADE["amount"])
    if amount is not None and any(_is_zero(value) for value in sniffed.values(amount)) and "side" in names:
        return f"level updates ({amount} is 0 in some rows, which removes a level)"
    return ""


def guess_columns(kind: str, sniffed: Sniffed) -> ColumnMap | None:
    """Options of ``generic/KIND``; ``None`` if a file does not look like that."""
    names, times = sniffed.columns, times_of(sniffed)
    mapped = _mapped(kind, sniffed)
    if (
        mapped is None
        or trades_beside_quotes(sniffed)
        or times is None
        or times.problem
        or times.clocks
        or (times.days and kind != "bars")
    ):
        return None
    keys = {key: name for key, known in KEYS.items() if (name := find(names, known) or _by_value(key, sniffed))}
    keys = {key: name for key, name in keys.items() if name != key}
    inner, form = _form(mapped, sniffed) if kind == "orderbook" else ({}, {})
    columns = {**times.columns, **mapped, **inner, **keys}
    options: dict[str, Any] = {"columns": columns, **times.options, **form}
    if (
        kind == "trades"
        and "side" not in mapped
        and "buyer_maker" not in mapped
        and are_signed(mapped["amount"], sniffed)
    ):
        options["signed_amounts"] = True
    if kind == "ticker" and _are_changed_alone(mapped, sniffed):
        options["unchanged"] = True
    zone = next((ZONES[word] for word in map(plain, names) if word in ZONES), "")
    if zone and times.unit == "text":
        options["timezone"] = zone
    if sniffed.format == "csv" and sniffed.delimiter != ",":
        options["delimiter"] = sniffed.delimiter
    if sniffed.title_lines:
        options["title_lines"] = sniffed.title_lines
    used = {name for value in columns.values() for name in ([value] if isinstance(value, str) else value)}
    used |= {value.format(i=i) for value in mapped.values() if "{i" in value for i in _numbers(value, names)}
    return ColumnMap(options, tuple(name for name in names if name in used))


def _by_value(key: str, sniffed: Sniffed) -> str | None:
    """Column ``S``, or ``s``, of market names: a letter that means a size or a side as well."""
    for name in ("S", "s") if key == "symbol" else ():
        values = [str(value) for value in sniffed.values(name)] if name in sniffed.columns else []
        words = values and not says(sniffed, name, DEALS) and all(re.search("[A-Z]", value) for value in values)
        if words and all(_MARKET.fullmatch(value) for value in values):
            return name
    return None


def problem_of_times(sniffed: Sniffed) -> str:
    """Reason why a file whose columns are known cannot be mapped; empty if there is none."""
    times = times_of(sniffed)
    if times is None or not any(_mapped(kind, sniffed) for kind in ("trades", "orderbook", "ticker", "bars")):
        return ""
    return times.problem or ("its times are dates without a time of day" if times.days else "")


def _mapped(kind: str, sniffed: Sniffed) -> dict[str, str] | None:
    """Our names for values -> columns, for one kind of rows."""
    book = book_levels(sniffed.columns)
    if kind == "bars":
        return _bars(sniffed) if _quotes(sniffed) is None else None
    if kind == "ticker":
        return _quotes(sniffed)
    if book is not None and "bids" in book and not _are_lists(sniffed.values(book["bids"])):
        return None
    if kind == "orderbook":
        return None if book is None or _are_changes(book, sniffed) else book
    return _trade(sniffed) if book is None and not no_trades(sniffed) else None


def _bars(sniffed: Sniffed) -> dict[str, str] | None:
    # Volumes of MetaTrader are 0 where it counts ticks alone.
    idle = {name for name in sniffed.columns if (values := sniffed.values(name)) and all(map(_is_zero, values))}
    names = tuple(name for name in sniffed.columns if name not in idle)
    found = find_each(names, PRICES_OF_BARS)
    if len(found) < len(PRICES_OF_BARS):
        return None
    found |= find_each(names, BAR)
    volume = next((name for name in names if plain(name).startswith("volume")), None)
    return found if "volume" in found or volume is None else {**found, "volume": volume}


def _quotes(sniffed: Sniffed) -> dict[str, str] | None:
    """Best quotes, without sizes or with such as have no price beside them in their names."""
    book = book_levels(sniffed.columns)
    if book is not None and ("bids" not in book or _are_lists(sniffed.values(book["bids"]))):
        return None
    found = find_each(sniffed.columns, QUOTE)
    return found if found.keys() >= {"bid", "ask"} else None


def _are_changed_alone(mapped: Mapping[str, str], sniffed: Sniffed) -> bool:
    """True if rows name the one of bid and ask that has changed, as MetaTrader writes ticks."""
    places = [sniffed.columns.index(mapped[side]) for side in ("bid", "ask")] if sniffed.format == "csv" else []
    names = {plain(name) for name in sniffed.columns}
    empty = any(place < len(row) and not row[place] for row in sniffed.rows for place in places)
    return bool(places) and (empty or "flags" in names)


def _trade(sniffed: Sniffed) -> dict[str, str] | None:
    names = sniffed.columns
    found = find_each(names, TRADE)
    if not {"price", "amount"} <= found.keys():
        return None
    maker = found.get("buyer_maker")
    if maker == "M" or (maker is not None and sniffed.values(maker) and not says(sniffed, maker, TRUTHS)):
        del found["buyer_maker"]
    if "side" not in found and "buyer_maker" not in found:
        sides = [name for name in names if "maker" not in plain(name) and says(sniffed, name, DEALS)]
        found |= {"side": sides[0]} if sides else {}
    if "side" in found:
        found.pop("buyer_maker", None)
    return found | {"amount": base_amount(found, sniffed)}


def book_levels(names: tuple[str, ...]) -> dict[str, str] | None:
    """Columns of levels: of price and size of both sides, or of lists; ``None`` if one is missing."""
    for look in (_levels, _best):
        found = {
            f"{side}_{field}": name
            for side in SIDES
            for field, words in (("price", PRICES), ("size", SIZES))
            if (name := look(names, SIDES[side], words)) is not None
        }
        if len(found) == 2 * len(SIDES):
            return found
    lists = find_each(names, LISTS)
    return lists if len(lists) == len(LISTS) else None


def _form(mapped: Mapping[str, str], sniffed: Sniffed) -> tuple[dict[str, str], dict[str, Any]]:
    """Notation of levels: the keys of price and size in an object; options for columns or lists."""
    if "bids" not in mapped:
        if "{i" not in mapped["bid_price"]:
            return {}, {"file_levels": 1}
        numbers = _numbers(mapped["bid_price"], sniffed.columns)
        return {}, {"file_levels": len(numbers), **({"first_level": numbers[0]} if numbers[0] else {})}
    sides = [value for side in ("bids", "asks") for value in sniffed.values(mapped[side])]
    level = next((side[0] for side in sides if isinstance(side, list) and side), None)
    if not isinstance(level, dict):
        return {}, {"levels": "pairs"}
    named = {"level_price": find(level, TRADE["price"]), "level_size": find(level, [*TRADE["amount"], "liquidity"])}
    return {key: name for key, name in named.items() if name is not None}, {"levels": "objects"}


def _are_lists(values: list[Any]) -> bool:
    """True if the values of a column may be lists of levels: not if they are numbers."""
    return not any(_COUNT.fullmatch(str(value).strip()) for value in values)


def _are_changes(mapped: Mapping[str, str], sniffed: Sniffed) -> bool:
    """True if lists of levels are changes of a book: changes remove levels with size 0, snapshots have none."""
    if "bids" not in mapped:
        return False
    if calls_rows_changes(sniffed):
        return True
    ids = IDS_OF_CHANGES & {*sniffed.columns}
    sides = [value for side in ("bids", "asks") for value in sniffed.values(mapped[side]) if isinstance(value, list)]
    return len(ids) > 1 or any(_removes(level) for side in sides for level in side)


def _removes(level: Any) -> bool:
    size = level[1] if isinstance(level, list) and len(level) > 1 else None
    if isinstance(level, dict):
        size = level.get(find(level, TRADE["amount"]) or "")
    return _is_zero(size)


def _is_zero(value: Any) -> bool:
    try:
        return value is not None and float(value) == 0
    except (TypeError, ValueError):
        return False


def _numbers(pattern: str, names: Iterable[str]) -> list[int]:
    """The level numbers that a pattern matches, from the best one on."""
    there = set(names)
    first = 0 if pattern.format(i=0) in there else 1
    return list(itertools.takewhile(lambda i: pattern.format(i=i) in there, itertools.count(first)))


def _best(names: tuple[str, ...], side: str, words: str) -> str | None:
    """Column of the best price, or of its size, where files have but one level."""
    form = rf"(?:best_?)?(?:(?:{side})_?(?:{words})|(?:{words})_?(?:{side}))"
    return next((name for name in names if re.fullmatch(form, plain(name))), None)


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
