"""Order books from messages, with dictionaries: slow and obvious.

Level feeds: a book is known from a snapshot on. A delta continues it by the feed's rule, is old, or shows that
something is missing. Then nothing is known until a snapshot that the deltas continue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
DAY = 86_400 * 10**9


@dataclass(frozen=True)
class Message:
    """One message of a level feed."""

    ts: int
    levels: tuple[tuple[int | None, float | None, float | None], ...] = ()
    """Side (1, -1), price, size. What could not be read is None, a side also 0."""
    snapshot: bool = False
    feed_break: bool = False
    first: int | None = None
    last: int | None = None
    prev: int | None = None
    other: int | None = None
    """Its other time."""

    @property
    def outside(self) -> bool:
        """A snapshot that was asked for beside the feed."""
        return self.snapshot and self.first is None and self.last is not None

    @property
    def unreadable(self) -> bool:
        """Some value of a level is not known."""
        return any(
            side in (None, 0) or value is None or math.isnan(value) for side, *values in self.levels for value in values
        )


Book = dict[tuple[int, float], float]
"""(side, price) -> size."""


def change(book: Book, message: Message) -> None:
    """Apply a message's levels."""
    for side, price, size in message.levels:
        assert side is not None
        assert price is not None
        assert size is not None
        if not (price > 0 and math.isfinite(price)):
            continue
        book.pop((side, price), None)
        if size > 0 and math.isfinite(size):
            book[side, price] = size


def sides(book: Book) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Bids and asks, best first."""
    bids = sorted(((price, size) for (side, price), size in book.items() if side == 1), reverse=True)
    asks = sorted((price, size) for (side, price), size in book.items() if side == -1)
    return bids, asks


def crossed(book: Book) -> bool:
    bids, asks = sides(book)
    return bool(bids and asks and bids[0][0] > asks[0][0])


@dataclass
class Output:
    """Which states of a book become rows."""

    depth: int
    interval: int = 0
    """ns."""
    hold: bool = True
    max_crossed: int = 10 * 10**9
    other_time: str = ""
    """Column of the other time of the message after which the book was so; empty: there is none."""
    rows: list[Row] = field(default_factory=list)
    reset: bool = False
    held: int = 0
    since: int | None = None

    def row(self, ts: int, book: Book, other: int | None = None) -> bool:
        """The book after a message; whether it has been crossed for too long."""
        if self.hold and crossed(book):
            self.since = ts if self.since is None else self.since
            self.held += 1
            return ts - self.since > self.max_crossed
        self.since = None
        bids, asks = sides(book)
        row: Row = {"ts": ts} | ({self.other_time: other} if self.other_time else {})
        row |= {"bid_levels": min(len(bids), self.depth), "ask_levels": min(len(asks), self.depth)}
        for i in range(self.depth):
            row[f"bid_price_{i:02}"], row[f"bid_size_{i:02}"] = bids[i] if i < len(bids) else (None, None)
            row[f"ask_price_{i:02}"], row[f"ask_size_{i:02}"] = asks[i] if i < len(asks) else (None, None)
        self.rows.append(row | {"feed_reset": self.reset, "held_messages": self.held})
        self.reset, self.held = False, 0
        return False

    def finished(self) -> list[Row]:
        """One row per interval: the last, which also tells what the others told of what went before."""
        if not self.interval:
            return self.rows
        intervals: dict[tuple[int, int], list[Row]] = {}
        for row in self.rows:
            intervals.setdefault((row["ts"] // DAY, row["ts"] % DAY // self.interval), []).append(row)
        return [
            rows[-1]
            | {
                "feed_reset": any(row["feed_reset"] for row in rows),
                "held_messages": sum(row["held_messages"] for row in rows),
            }
            for rows in intervals.values()
        ]


def fits(message: Message, known: int | None, from_outside: bool) -> str:
    """Whether a delta continues a book that is known up to an id: ``next``, ``old`` or ``gap``."""
    if message.last is None or known is None:
        return "next"
    assert message.first is not None
    if message.prev is None:  # ids without holes: Binance spot, Bybit, Coinbase
        if message.last <= known:
            return "old"
        return "next" if message.first <= known + 1 else "gap"
    if from_outside:  # Binance futures, first event: U <= L <= u, or pu is L or before it
        if message.last < known:
            return "old"
        return "next" if message.first <= known or message.prev <= known else "gap"
    if message.prev == known:
        return "next"
    return "old" if message.last <= known else "gap"


@dataclass
class Feed:
    """One level feed."""

    output: Output
    book: Book | None = None
    known: int | None = None
    from_outside: bool = False
    unused: list[Message] = field(default_factory=list)
    """Deltas that came while no book was known."""
    spare: Message | None = None
    """The newest snapshot from outside that the book is not past."""

    def lose(self) -> None:
        if self.book is not None:
            self.output.reset = True
            self.output.since = None
        self.book = self.known = self.spare = None
        self.from_outside = False
        self.unused = []

    def seed(self, snapshot: Message) -> None:
        self.book = {}
        change(self.book, snapshot)
        self.known, self.from_outside = snapshot.last, True

    def take(self, message: Message) -> bool:
        """A message; whether the book is another one after it."""
        if message.feed_break:
            self.lose()
        if message.snapshot and not message.outside and message.unreadable:
            self.book = {}  # it begins, and is no book
            self.lose()
            return False
        if message.outside:
            return self.take_outside(message)
        if message.snapshot:
            joins = None in (self.known, message.first) or self.known in (message.first, message.first - 1)  # type: ignore[operator]
            if self.book is not None and not joins:
                self.lose()
            self.unused, self.spare, self.book = [], None, {}
            change(self.book, message)
            self.known, self.from_outside = message.last, False
            return True
        return self.take_delta(message)

    def take_delta(self, message: Message) -> bool:
        if self.book is None:
            if message.last is not None:
                self.unused = [] if message.unreadable else [*self.unused, message]
            return False
        found = fits(message, self.known, self.from_outside)
        if found == "gap" and self.spare is not None:
            spare = self.spare
            self.lose()
            self.seed(spare)
            found = fits(message, self.known, True)
        if found == "gap":
            self.lose()
            self.unused = [] if message.unreadable else [message]
        if found == "next" and message.unreadable:
            self.lose()
            return False
        if found != "next":
            return False
        change(self.book, message)
        self.from_outside = False
        if message.last is not None:
            self.known = message.last
        if self.spare is not None and self.known is not None and self.known >= (self.spare.last or 0):
            self.spare = None
        return bool(message.levels)

    def take_outside(self, message: Message) -> bool:
        assert message.last is not None
        if self.book is not None:
            newest = max(-1 if self.known is None else self.known, (self.spare.last or 0) if self.spare else -1)
            if self.known is None or message.last > newest:
                self.spare = None if message.unreadable else message
            return False
        if message.unreadable:
            return False
        self.seed(message)
        for number, delta in enumerate(self.unused):
            found = fits(delta, self.known, self.from_outside)
            if found == "gap":
                self.book, self.known, self.from_outside = None, None, False
                self.unused = self.unused[number:]
                return False
            if found == "next":
                change(self.book, delta)  # type: ignore[arg-type]
                self.known, self.from_outside = delta.last, False
        self.unused = []
        return False


def level_books(messages: list[Message], **output: Any) -> list[Row]:
    """Rows of a level feed."""
    feed = Feed(Output(**output))
    for message in messages:
        if feed.take(message):
            assert feed.book is not None
            if feed.output.row(message.ts, feed.book, message.other):
                feed.lose()
    return feed.output.finished()


@dataclass(frozen=True)
class Event:
    """One record of a feed of orders."""

    ts: int
    action: str
    side: int | None = None
    number: int = 0
    price: float | None = None
    size: float | None = None
    flags: int = 0
    other: int | None = None
    """Its other time."""


LAST, TOP_OF_BOOK, SNAPSHOT, BAD = 128, 64, 32, 4


@dataclass
class OrderFeed:
    """One feed of orders."""

    output: Output
    orders: dict[int, tuple[int, float, float]] | None = None
    """Id -> side, price, size; None: not known."""
    shown: dict[int, tuple[float, float] | None] = field(default_factory=dict)
    """Venues that show a best level only: side -> price, size."""

    def lose(self) -> None:
        if self.orders is not None:
            self.output.reset = True
            self.output.since = None
        self.orders, self.shown = None, {}

    def take(self, event: Event) -> bool:
        """A record; whether it is one that changes books."""
        if event.flags & BAD and not event.flags & SNAPSHOT:
            self.lose()
        if event.action == "R":
            if not event.flags & SNAPSHOT:
                self.lose()
            self.orders, self.shown = {}, {}
            return True
        if event.action == "A" and event.flags & TOP_OF_BOOK:
            self.orders = self.orders or {}
            assert event.side is not None
            good = event.price is not None and event.size is not None and event.price > 0 and event.size > 0
            self.shown[event.side] = (event.price, event.size) if good else None  # type: ignore[assignment]
            return True
        if self.orders is None or event.action not in "ACM":
            return False
        known = self.orders.pop(event.number, None)
        if event.action == "C":
            left = known[2] - (event.size or 0) if known else 0
            if known and left > 0:
                self.orders[event.number] = (*known[:2], left)
            return True
        side = event.side if event.side is not None or event.action == "A" or known is None else known[0]
        if side is not None and event.price is not None and event.size and event.price > 0:
            self.orders[event.number] = (side, event.price, event.size)
        return True

    def book(self) -> Book:
        book: Book = {}
        for side, price, size in (self.orders or {}).values():
            book[side, price] = book.get((side, price), 0.0) + size
        for side, best in self.shown.items():
            if best is not None:
                book[side, best[0]] = best[1]
        return book


def order_books(events: list[Event], **output: Any) -> list[Row]:
    """Rows of a feed of orders."""
    feed = OrderFeed(Output(**output))
    changed = False
    for event in events:
        changed = feed.take(event) or changed
        if event.flags & LAST:
            if changed and feed.orders is not None and feed.output.row(event.ts, feed.book(), event.other):
                feed.lose()
            changed = False
    return feed.output.finished()
