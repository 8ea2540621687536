"""LOBSTER: an order book file and a message file of as many lines, no header, price in 1/10000 dollar.

https://lobsterdata.com/info/DataStructure.php
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from zoneinfo import ZoneInfo

from tests.support.vendors.rows import Book, Level, S, Trade, units
from tests.support.vendors.tables import Table

NEW_YORK = ZoneInfo("America/New_York")
MISSING = 9_999_999_999
"""Price of a missing ask level; a missing bid level has it with a minus."""
MESSAGE = ("time", "type", "order_id", "size", "price", "direction")
SUBMISSION, CANCELLATION, DELETION, EXECUTION, HIDDEN, CROSS, HALT = range(1, 8)
DIRECTION = {"buy": -1, "sell": 1}
"""Direction of the resting order by the side of the aggressor."""


@dataclass(frozen=True)
class Message:
    """One line of a message file; price in 1/10000 dollar, time in nanoseconds after midnight of New York."""

    time: int
    type: int
    order_id: int
    size: int
    price: int
    direction: int


def file_name(ticker: str, date: str, kind: str, levels: int) -> str:
    """Name of a file of the trading hours, 09:30 to 16:00, times in milliseconds after midnight."""
    return f"{ticker}_{date}_34200000_57600000_{kind}_{levels}.csv"


def midnight(date: str) -> int:
    """Midnight in New York, nanoseconds since the epoch."""
    return int(dt.datetime.fromisoformat(date).replace(tzinfo=NEW_YORK).timestamp()) * S


def seconds(ns: int) -> str:
    """Seconds with up to nine decimal places, none at the end that is 0."""
    whole, fraction = divmod(ns, S)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")


def messages(rows: Iterable[Message]) -> Table:
    return Table(
        MESSAGE,
        tuple(
            (seconds(row.time), *map(str, (row.type, row.order_id, row.size, row.price, row.direction))) for row in rows
        ),
        header=False,
    )


def order_books(books: Iterable[Book], levels: int) -> Table:
    """Ask price, ask size, bid price, bid size, level by level."""
    columns = tuple(
        f"{side}_{field}_{i}" for i in range(levels) for side in ("ask", "bid") for field in ("price", "size")
    )
    rows = tuple(
        tuple(
            chain.from_iterable(
                (*_cells(book.asks, i, MISSING), *_cells(book.bids, i, -MISSING)) for i in range(levels)
            )
        )
        for book in books
    )
    return Table(columns, rows, header=False)


def _cells(side: Sequence[Level], level: int, missing: int) -> tuple[str, str]:
    if level >= len(side):
        return str(missing), "0"
    price, size = side[level]
    return str(units(price, -4)), str(units(size, 0))


def pair(books: Sequence[Book], trades: Iterable[Trade], levels: int, date: str) -> tuple[Table, Table]:
    """Order book and message file of one day: a submission a book, an execution a trade, by time.

    An execution stands before a book of the same time and repeats the state before it, as far as there is one.
    """
    start = midnight(date)
    events: list[Trade | Book] = sorted([*trades, *books], key=lambda event: (event.ts, isinstance(event, Book)))
    states: list[Book] = []
    lines: list[Message] = []
    state = Book(0, (), ())
    for number, event in enumerate(events):
        if isinstance(event, Book):
            state = event
            price, size = event.bids[0] if event.bids else (Decimal(0), Decimal(0))
            kind, direction = SUBMISSION, 1
        else:
            price, size = event.price, event.amount
            kind, direction = EXECUTION, _direction(event)
        states.append(state)
        lines.append(Message(event.ts - start, kind, number + 1, units(size, 0), units(price, -4), direction))
    return order_books(states, levels), messages(lines)


def _direction(trade: Trade) -> int:
    if trade.side is None:
        raise ValueError("LOBSTER has no code for a side that is not known")
    return DIRECTION[trade.side]
