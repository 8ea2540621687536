"""Canonical rows from which the writers of all vendors write: exact decimals and integer nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Level = tuple[Decimal, Decimal]
"""Price and size; in a Delta, size 0 deletes the price."""


@dataclass(frozen=True)
class Book:
    """The best levels of one book, best level first; a side may be empty."""

    ts: int
    """Time of the exchange, nanoseconds since the epoch, UTC."""
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    received: int | None = None
    """Time of arrival, nanoseconds; None: the same as ts."""
    seq: int | None = None


@dataclass(frozen=True)
class Trade:
    """One trade; the side is the aggressor's, None where it is not known."""

    ts: int
    trade_id: str | None
    side: Literal["buy", "sell"] | None
    price: Decimal
    amount: Decimal
    received: int | None = None


@dataclass(frozen=True)
class Delta:
    """One message of an incremental feed: a whole book (snapshot) or the levels that changed."""

    ts: int
    snapshot: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    received: int | None = None
    seq: int | None = None


def arrival(row: Book | Trade | Delta) -> int:
    """Time of arrival, nanoseconds; the exchange's time where no other is known."""
    return row.ts if row.received is None else row.received


def deltas(books: Iterable[Book]) -> list[Delta]:
    """The first book as a snapshot, then what changed from book to book."""
    messages: list[Delta] = []
    before: Book | None = None
    for book in books:
        if before is None:
            bids, asks = book.bids, book.asks
        else:
            bids, asks = _changes(before.bids, book.bids), _changes(before.asks, book.asks)
        messages.append(Delta(book.ts, before is None, bids, asks, book.received, book.seq))
        before = book
    return messages


def _changes(old: tuple[Level, ...], new: tuple[Level, ...]) -> tuple[Level, ...]:
    was, now = dict(old), dict(new)
    gone = [(price, Decimal(0)) for price in was if price not in now]
    return (*gone, *((price, size) for price, size in new if was.get(price) != size))


def plain(value: Decimal) -> str:
    """The decimal without an exponent and without zeros at the end: 100, 0.5, 0.00000001."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def fixed(value: Decimal, places: int) -> str:
    """The decimal with that many places; it must fit, for a writer must not round."""
    text = f"{value:.{places}f}"
    if Decimal(text) != value:
        raise ValueError(f"{value} has more than {places} decimal places")
    return text


def units(value: Decimal, exponent: int) -> int:
    """The decimal as a whole number of 10**exponent; it must be one."""
    scaled = value.scaleb(-exponent)
    if scaled != int(scaled):
        raise ValueError(f"{value} is not a whole number of 1e{exponent}")
    return int(scaled)


def time_in(ns: int, unit: int) -> int:
    """Whole units (in nanoseconds) of a time; what is left over is cut off, as exchanges do."""
    return ns // unit


MS, US, S = 1_000_000, 1_000, 1_000_000_000
