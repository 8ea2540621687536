"""Databento MBP-10, MBP-1, trades and MBO as CSV and Parquet; DBN is written by dbn.py from the same events.

https://databento.com/docs/schemas/mbp-10, .../mbp-1, .../trades, .../mbo
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any, Literal

import pyarrow as pa

from tests.support.vendors.rows import Book, Level, S, Trade, arrival, fixed, units
from tests.support.vendors.tables import Table

Prices = Literal["pretty", "raw", "float"]
"""Nine decimal places; integers of 1e-9; the shortest text of a double, as data frames write it."""

UNDEFINED_PRICE = 2**63 - 1
RTYPES = {"trades": 0, "mbp-1": 1, "mbp-10": 10, "mbo": 160}
DEPTHS = {"trades": 0, "mbp-1": 1, "mbp-10": 10}
LAST, TOB, SNAPSHOT, MBP, BAD_TS_RECV, MAYBE_BAD_BOOK = 128, 64, 32, 16, 8, 4
AGGRESSOR = {"buy": "B", "sell": "A", None: "N"}
HEAD = ("ts_recv", "ts_event", "rtype", "publisher_id", "instrument_id", "action", "side")


@dataclass(frozen=True)
class Pair:
    """One level of both sides; a price that is not there is None, its size and count are 0."""

    bid_px: Decimal | None
    ask_px: Decimal | None
    bid_sz: int
    ask_sz: int
    bid_ct: int
    ask_ct: int


@dataclass(frozen=True)
class Event:
    """One record of MBP-10, MBP-1 or trades; times in nanoseconds since the epoch."""

    ts_recv: int
    ts_event: int
    publisher_id: int
    instrument_id: int
    action: str
    side: str
    depth: int
    price: Decimal | None
    size: int
    flags: int
    ts_in_delta: int
    sequence: int
    levels: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Order:
    """One record of MBO."""

    ts_recv: int
    ts_event: int
    publisher_id: int
    instrument_id: int
    action: str
    side: str
    price: Decimal | None
    size: int
    channel_id: int
    order_id: int
    flags: int
    ts_in_delta: int
    sequence: int


def file_name(dataset: str, date: str, schema: str, suffix: str) -> str:
    """Name of a file of a batch job split by day: dataset, day and schema; suffix such as `csv.zst` or `dbn.zst`."""
    return f"{dataset.lower().replace('.', '-')}-{date.replace('-', '')}.{schema}.{suffix}"


def columns(schema: str) -> tuple[str, ...]:
    """Columns of the CSV file, without the symbol."""
    if schema == "mbo":
        return (*HEAD, "price", "size", "channel_id", "order_id", "flags", "ts_in_delta", "sequence")
    levels = tuple(
        f"{side}_{field}_{i:02d}"
        for i in range(DEPTHS[schema])
        for field in ("px", "sz", "ct")
        for side in ("bid", "ask")
    )
    return (*HEAD, "depth", "price", "size", "flags", "ts_in_delta", "sequence", *levels)


def _pretty(price: Decimal | None) -> str:
    return "" if price is None else fixed(price, 9)


def _raw(price: Decimal | None) -> str:
    return str(UNDEFINED_PRICE if price is None else units(price, -9))


def _float(price: Decimal | None) -> str:
    return "" if price is None else repr(float(price))


_PRICES: dict[str, Callable[[Decimal | None], str]] = {"pretty": _pretty, "raw": _raw, "float": _float}


def iso(ns: int) -> str:
    """UTC with nine decimal places and a Z."""
    return f"{dt.datetime.fromtimestamp(ns // S, dt.UTC):%Y-%m-%dT%H:%M:%S}.{ns % S:09d}Z"


def table(
    events: Iterable[Event | Order],
    schema: str,
    symbol: str | None = "AAPL",
    prices: Prices = "pretty",
    raw_times: bool = False,
) -> Table:
    """CSV of one schema; without a symbol there is no symbol column (map_symbols off)."""
    price = _PRICES[prices]
    time = str if raw_times else iso
    end = () if symbol is None else (symbol,)
    rows = tuple(
        (
            *(time(event.ts_recv), time(event.ts_event), str(RTYPES[schema])),
            *map(str, (event.publisher_id, event.instrument_id, event.action, event.side)),
            *(_order_cells(event, price) if isinstance(event, Order) else _event_cells(event, schema, price)),
            *end,
        )
        for event in events
    )
    return Table((*columns(schema), *(("symbol",) if end else ())), rows)


def _order_cells(order: Order, price: Callable[[Decimal | None], str]) -> tuple[str, ...]:
    rest = (order.size, order.channel_id, order.order_id, order.flags, order.ts_in_delta, order.sequence)
    return price(order.price), *map(str, rest)


def _event_cells(event: Event, schema: str, price: Callable[[Decimal | None], str]) -> tuple[str, ...]:
    numbers = (event.size, event.flags, event.ts_in_delta, event.sequence)
    levels = chain.from_iterable(
        (price(pair.bid_px), price(pair.ask_px), *map(str, (pair.bid_sz, pair.ask_sz, pair.bid_ct, pair.ask_ct)))
        for pair in event.levels[: DEPTHS[schema]]
    )
    return str(event.depth), price(event.price), *map(str, numbers), *levels


def events(books: Iterable[Book], trades: Iterable[Trade] = (), depth: int = 10) -> list[Event]:
    """A modification of the best bid a book, a trade a trade, by time; a trade carries the book before it."""
    rows: list[Book | Trade] = sorted([*trades, *books], key=lambda row: (row.ts, isinstance(row, Book)))
    levels = _pairs(Book(0, (), ()), depth)
    made = []
    for number, row in enumerate(rows):
        if isinstance(row, Book):
            levels = _pairs(row, depth)
            action, side, price, size = "M", "B", levels[0].bid_px, levels[0].bid_sz
        else:
            action, side, price, size = "T", AGGRESSOR[row.side], row.price, units(row.amount, 0)
        sequence = (row.seq if isinstance(row, Book) else None) or number + 1
        made.append(Event(arrival(row), row.ts, 2, 38, action, side, 0, price, size, LAST, 150_000, sequence, levels))
    return made


def trades_only(rows: Iterable[Event]) -> list[Event]:
    """Records of the schema trades, out of those of an MBP schema."""
    return [row for row in rows if row.action == "T"]


def _pairs(book: Book, depth: int) -> tuple[Pair, ...]:
    def cell(side: Sequence[Level], i: int) -> tuple[Decimal | None, int, int]:
        return (side[i][0], units(side[i][1], 0), 1) if i < len(side) else (None, 0, 0)

    pairs = []
    for i in range(depth):
        (bid_px, bid_sz, bid_ct), (ask_px, ask_sz, ask_ct) = cell(book.bids, i), cell(book.asks, i)
        pairs.append(Pair(bid_px, ask_px, bid_sz, ask_sz, bid_ct, ask_ct))
    return tuple(pairs)


_TYPES: dict[str, Any] = {
    "rtype": pa.uint8(),
    "publisher_id": pa.uint16(),
    "instrument_id": pa.uint32(),
    "depth": pa.uint8(),
    "flags": pa.uint8(),
    "channel_id": pa.uint8(),
    "order_id": pa.uint64(),
    "ts_in_delta": pa.int32(),
    "sequence": pa.uint32(),
    "size": pa.uint32(),
    "action": pa.string(),
    "side": pa.string(),
    "symbol": pa.string(),
}


def arrow(rows: Iterable[Event | Order], schema: str, symbol: str = "AAPL", integers: bool = False) -> pa.Table:
    """What the vendor's Python client writes as Parquet: the index ts_recv is the last column.

    Prices are doubles (price_type float) or integers of 1e-9 and times then integers too (price_type fixed, pretty_ts
    off).
    """
    cells = table(rows, schema, symbol, prices="raw", raw_times=True)
    order = (*cells.columns[1:], cells.columns[0])
    return pa.table({name: _column(name, cells.column(name), integers) for name in order})


def _column(name: str, texts: list[str], integers: bool) -> pa.Array:
    if name in ("ts_recv", "ts_event"):
        times = pa.array([int(text) for text in texts], pa.int64())
        return times.cast(pa.uint64()) if integers else times.cast(pa.timestamp("ns", "UTC"))
    if name == "price" or "_px_" in name:
        prices = [int(text) for text in texts]
        if integers:
            return pa.array(prices, pa.int64())
        return pa.array([None if price == UNDEFINED_PRICE else price / 1e9 for price in prices], pa.float64())
    kind = _TYPES.get(name, pa.uint32())
    return pa.array(texts if pa.types.is_string(kind) else [int(text) for text in texts], kind)
