"""Looks of a message: a book, a change of one, trades, quotes or bars, and where in it these stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from sqlgen.detect.columns.lookalikes import CHANGES, column_of_changes
from sqlgen.detect.columns.names import FORCED, KEYS, LISTS, PRICES_OF_BARS, QUOTE, RATES, TRADE
from sqlgen.detect.columns.times import find, find_each

Steps = tuple[str, ...]
"""Way to a value: names of fields, ``[]`` for the items of a list."""

_DEEPEST = 5
_COUNT = re.compile(r"1\d{9}(\d{3}|\d{6}|\d{9})?([.]\d+)?")
_TEXT = re.compile(r"20\d\d-[01]\d-[0-3]\d[T ][0-2]\d:.*")
_TIME = re.compile(r"(t|e)|.*(time|date|stamp|created|received|_at|ts).*", re.IGNORECASE)
_MARKET = re.compile(r"(?=..)[A-Za-z0-9]+([./:_-]?[A-Za-z0-9]+)*")
_SYMBOLS = (
    *KEYS["symbol"],
    "s",
    "asset_id",
    "market_id",
    "marketcode",
    "instrumentid",
    "instrument_id",
    "currency_pair_code",
)
_BOOKS = r"book|depth|level|l2|order_?changed"
"""Words of messages, or of fields around, whose prices and sizes are levels."""
_DEALS = r"trade|deal|transaction|match|fill|execution"
"""Words of messages, or of fields around, that are trades."""
_PRICE, _AMOUNT = r"[a-z]{2}_?[Pp]rice$", r"[a-z]_?([Qq]ty|[Qq]uantity|[Ss]ize|[Aa]mount|[Vv]olume)$"
_IDS = ("first_update_id", "final_update_id", "prevSeqId", "prevSeqNum", "prev_change_id", "prevTs", "lastUpdateId")
"""Fields of changes of a book alone, apart from the words for them."""


class Look(Struct, frozen=True):
    """Likeness of a message to something that is known."""

    what: str
    """``trades``, ``book``, ``change``, ``quotes``, ``bars``, ``tickers``, ``liquidations``, ``rates``; else empty."""
    steps: Steps = ()
    """Way to the object, or to the list of values, that looks so."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Our names -> fields of it that tell it."""
    time: Steps = ()
    symbol: Steps = ()
    """Ways to its time and to the name of its market; empty if there are none."""


def look_of(record: Mapping[str, Any], says: str) -> Look:
    """Look of a message, by its outermost object that has one; ``says``: its own words for what it is."""
    for steps, value, above in _parts(record):
        what, fields = _listed(value) if isinstance(value, list) else _told(value, f"{says} {' '.join(steps)}")
        if what == "book" and (CHANGES & {*re.split(r"[^a-z0-9]+", says.lower())} or _is_change(value, fields)):
            what = "change"
        if what == "trades" and (
            re.search(_BOOKS, f"{says} {' '.join(steps)}", re.IGNORECASE) or _says_change(value, says)
        ):
            what = "change"
        if what == "bars" and "ticker" in says:
            what = "tickers"
        if what:
            forced = re.search(FORCED, says, re.IGNORECASE)
            whole = [*above, *([(steps, value)] if isinstance(value, Mapping) else [])][::-1]
            return Look("liquidations" if forced else what, steps, fields, _time(whole), _symbol(whole))
    return Look("")


def _says_change(value: Any, says: str) -> bool:
    """True if a field of an object says that it changes orders, and nothing around says that it is a trade."""
    if not isinstance(value, Mapping) or re.search(_DEALS, says, re.IGNORECASE):
        return False
    return column_of_changes(value, lambda name: [value[name]]) is not None


def _parts(record: Mapping[str, Any]) -> Iterator[tuple[Steps, Any, list[tuple[Steps, Mapping[str, Any]]]]]:
    """Objects and lists of a message, outermost first, with the objects around each, the innermost last."""
    level: list[tuple[Steps, Any, list[tuple[Steps, Mapping[str, Any]]]]] = [((), record, [])]
    for _ in range(_DEEPEST):
        yield from level
        inner = []
        for steps, value, above in level:
            around = [*above, (steps, value)] if isinstance(value, Mapping) else above
            items = value.items() if isinstance(value, Mapping) else [("[]", each) for each in value[:1]]
            inner += [((*steps, name), item, around) for name, item in items if isinstance(item, Mapping | list)]
        level = inner


def _told(record: Mapping[str, Any], says: str) -> tuple[str, dict[str, str]]:
    """Look of an object, by the names of its fields and by what is said around it."""
    called = re.search(_DEALS, says, re.IGNORECASE) is not None
    trade = _trade(record, called)
    lists = find_each(record, LISTS)
    lists = {side: name for side, name in lists.items() if isinstance(record[name], list | Mapping) and record[name]}
    if lists and all(_are_levels(record[name]) for name in lists.values()):
        return "book", lists
    changes = find(record, ["changes"])
    if changes is not None and isinstance(record[changes], list):
        return "change", {"levels": changes}
    if len(lists) == len(LISTS) and all(_is_level(record[name]) for name in lists.values()):
        return "quotes", lists
    if "side" in trade and find(record, ["best_bid"]) is not None:
        return "change", trade  # of Polymarket, which names the best prices beside each level
    if trade and called:
        return "trades", trade
    for known in ({side: (*QUOTE[side], f"{side[0]}p") for side in ("bid", "ask")}, LISTS):
        quotes = _named(record, known)
        if len(quotes) == len(known):
            return "quotes", quotes
    bars = _named(record, PRICES_OF_BARS)
    if len(bars) == len(PRICES_OF_BARS):
        return "bars", bars
    if trade:
        return "trades", trade
    rates = _named(record, {name: (name,) for name in RATES})
    return ("rates", rates) if rates else ("", {})


def _named(record: Mapping[str, Any], known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Our names -> fields with single values."""
    found = find_each(record, known)
    return {ours: name for ours, name in found.items() if not isinstance(record[name], list | Mapping)}


def _trade(record: Mapping[str, Any], called: bool) -> dict[str, str]:
    """Fields of a trade; empty if there is no price, or no amount. If it is called one, longer names count too."""
    found = _named(record, TRADE)
    for ours, form in (("price", _PRICE), ("amount", _AMOUNT)):
        if not _is_number(record.get(found.get(ours, ""))):
            longer = (name for name, value in record.items() if called and re.search(form, name) and _is_number(value))
            found[ours] = next(longer, "")
    return found if found["price"] and found["amount"] else {}


def _listed(items: list[Any]) -> tuple[str, dict[str, str]]:
    """Look of a list of values without names: a trade has a word for its side among numbers."""
    plain = [item for item in items if not isinstance(item, list | Mapping)]
    numbers = [item for item in plain if _is_number(item)]
    sides = {str(item).lower() for item in plain} & {"buy", "sell", "b", "s"}
    return ("trades", {}) if len(numbers) > 1 and sides and len(plain) == len(items) else ("", {})


def _are_levels(value: Any) -> bool:
    """True for a list of levels, or for an object of sizes by price."""
    if isinstance(value, Mapping):
        return all(_is_number(price) and _is_number(size) for price, size in value.items())
    first = value[0]
    if isinstance(first, list):
        return len(first) > 1 and any(map(_is_number, first[:3]))
    return isinstance(first, Mapping) and any("p" in name.lower() or "rate" in name.lower() for name in first)


def _is_level(value: Any) -> bool:
    """True for one level: [price, size], or an object with a price."""
    if isinstance(value, Mapping):
        return find(value, TRADE["price"]) is not None
    return isinstance(value, list) and len(value) > 1 and all(map(_is_number, value[:2]))


def _is_change(record: Mapping[str, Any], lists: Mapping[str, str]) -> bool:
    """True if a book has fields of changes, or a level of size 0."""
    levels = [level for name in lists.values() if isinstance(record[name], list) for level in record[name]]
    sizes = [level[1] if isinstance(level, list) else _size(level) for level in levels if level]
    return any(name in record for name in _IDS) or any(_is_number(size) and float(size) == 0 for size in sizes)


def _size(level: Any) -> Any:
    name = find(level, TRADE["amount"]) if isinstance(level, Mapping) else None
    return level[name] if name is not None else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (
        isinstance(value, str) and re.fullmatch(r"-?\d+([.]\d+)?([eE]-?\d+)?", value) is not None
    )


def _time(objects: list[tuple[Steps, Mapping[str, Any]]]) -> Steps:
    """Way to the time, the innermost object first."""
    return next(
        (
            (*steps, name)
            for steps, one in objects
            for name, value in one.items()
            if _TIME.fullmatch(name) and (_COUNT.fullmatch(str(value)) or _TEXT.match(str(value)))
        ),
        (),
    )


def _symbol(objects: list[tuple[Steps, Mapping[str, Any]]]) -> Steps:
    """Way to the name of the market, the innermost object first."""
    for steps, one in objects:
        name = find(one, _SYMBOLS)
        if name is not None and isinstance(one[name], str) and _MARKET.fullmatch(one[name]):
            return (*steps, name)
    return ()
