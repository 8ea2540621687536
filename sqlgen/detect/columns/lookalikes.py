"""Rows that have the columns of trades, and are none by their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from sqlgen.detect.columns.names import (
    CHANGES_BESIDE,
    CHANGES_OF_ORDERS,
    EVENTS,
    FORCED,
    KEYS,
    ORDER_STATES,
    SIDES_OF_LEVELS,
    TRADE,
    TRADED,
)
from sqlgen.detect.columns.times import find, joined
from sqlgen.detect.files.sniff import Sniffed

_DELTAS, _UPDATES = {"delta", "incremental", "diff"}, {"update", "updated", "change"}
_WHOLES = {"snapshot", "partial"}
"""Words by which messages of order books say what they are."""
CHANGES = _DELTAS | _UPDATES | {"changes", "l2update", "updates"}
"""Words of messages that change a book."""
_KEYS = {joined(name) for known in KEYS.values() for name in known}
_KINDS = 9
"""Number of words that a column which says what rows are has fewer of."""


def other_rows(sniffed: Sniffed) -> str:
    """Kind of the rows where their values show that they are no trades; empty if they do not."""
    names = sniffed.columns
    kind, side, status = (find(names, known) for known in (["type", "entry_type"], ["side"], ["status", "state"]))
    if kind is not None and says(sniffed, kind, SIDES_OF_LEVELS):
        return f"levels of order books, one a row (column {kind})"
    unnamed = find(names, TRADE["trade_id"]) is None
    if side is not None and unnamed and says(sniffed, side, [word for word in SIDES_OF_LEVELS if len(word) > 1]):
        return f"levels of order books, one a row (column {side} says bid or ask, and no column is the id of a trade)"
    if status is not None and says(sniffed, status, ORDER_STATES):
        return f"single orders (column {status})"
    kind, order = find(names, ["order_type", "action"]), find(names, ["order_id", "oid"])
    if kind is not None and order is not None and unnamed:
        return f"single orders (columns {kind}, {order})"
    change = column_of_changes(names, sniffed.values)
    if change is not None:
        return f"changes of orders, or of levels (column {change})"
    if any(
        re.search(FORCED, str(record.get(name, "")), re.IGNORECASE) for record in sniffed.records for name in EVENTS
    ):
        return "liquidations, orders that were closed by force"
    return ""


def trades_beside_quotes(sniffed: Sniffed) -> str:
    """Column that calls some rows of a table trades and others quotes; empty if none does."""
    for name in sniffed.columns:
        words = {value.lower() for value in sniffed.values(name) if isinstance(value, str)}
        if (
            1 < len(words) < _KINDS
            and any("trade" in word for word in words)
            and any("quote" in word for word in words)
        ):
            return name
    return ""


def calls_rows_changes(sniffed: Sniffed) -> bool:
    """True if a column calls some rows changes of a book, by a word that whole books do not have, or beside them."""
    for name in sniffed.columns:
        words = {value.lower() for value in sniffed.values(name) if isinstance(value, str)}
        if words & _DELTAS or (words & _UPDATES and words & _WHOLES):
            return True
    return False


def are_changes(values: Iterable[object]) -> bool:
    """True if the values of a column say that rows enter, change or remove orders or levels, or execute them."""
    words = {str(value).strip().lower() for value in values}
    return bool(words & CHANGES_OF_ORDERS) and words <= CHANGES_OF_ORDERS | CHANGES_BESIDE | {*TRADED, *ORDER_STATES}


def column_of_changes(names: Iterable[str], values: Callable[[str], Iterable[object]]) -> str | None:
    """The first column that says so, apart from names of markets, which may be such a word."""
    return next((name for name in names if joined(name) not in _KEYS and are_changes(values(name))), None)


def says(sniffed: Sniffed, name: str, words: Collection[str]) -> bool:
    """True if all first values of a column are among some words, however they are written."""
    values = {str(value).strip().lower() for value in sniffed.values(name)}
    return bool(values) and values <= {*words}
