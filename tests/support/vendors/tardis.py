"""Tardis.dev datasets: gzip CSV with header, microseconds, one file per exchange, data type, day and symbol.

https://docs.tardis.dev/downloadable-csv-files/data-types
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.support.vendors.rows import US, Book, Delta, Level, Trade, arrival, plain, time_in
from tests.support.vendors.tables import Table

KEY = ("exchange", "symbol", "timestamp", "local_timestamp")
TRADES = (*KEY, "id", "side", "price", "amount")
QUOTES = (*KEY, "ask_amount", "ask_price", "bid_price", "bid_amount")
INCREMENTAL = (*KEY, "is_snapshot", "side", "price", "amount")


def file_name(exchange: str, data_type: str, date: str, symbol: str) -> str:
    """Name that the vendor's clients give to a downloaded file."""
    return f"{exchange}_{data_type}_{date}_{symbol}.csv.gz"


def url_path(exchange: str, data_type: str, date: str, symbol: str) -> str:
    """Path of the file on the vendor's server, after the version."""
    return f"{exchange}/{data_type}/{date.replace('-', '/')}/{symbol}.csv.gz"


def book_columns(depth: int) -> tuple[str, ...]:
    """Ask before bid, price before amount, level by level."""
    return KEY + tuple(
        f"{side}[{i}].{field}" for i in range(depth) for side in ("asks", "bids") for field in ("price", "amount")
    )


def _key(exchange: str, symbol: str, row: Book | Trade | Delta) -> tuple[str, ...]:
    return exchange, symbol, str(time_in(row.ts, US)), str(time_in(arrival(row), US))


def _cells(side: Sequence[Level], level: int) -> tuple[str, str]:
    if level >= len(side):
        return "", ""
    price, size = side[level]
    return plain(price), plain(size)


def book_snapshot(books: Iterable[Book], depth: int, exchange: str, symbol: str) -> Table:
    """book_snapshot_5 or book_snapshot_25; a missing level is two empty cells."""
    rows = tuple(
        _key(exchange, symbol, book)
        + tuple(cell for i in range(depth) for side in (book.asks, book.bids) for cell in _cells(side, i))
        for book in books
    )
    return Table(book_columns(depth), rows)


def trades(rows: Iterable[Trade], exchange: str, symbol: str) -> Table:
    """trades; a side that is not known is `unknown`, an id that is not there an empty cell."""
    return Table(
        TRADES,
        tuple(
            (
                *_key(exchange, symbol, row),
                row.trade_id or "",
                row.side or "unknown",
                plain(row.price),
                plain(row.amount),
            )
            for row in rows
        ),
    )


def quotes(books: Iterable[Book], exchange: str, symbol: str) -> Table:
    """quotes: the best level; amount before price at the ask, after it at the bid."""
    rows = []
    for book in books:
        ask_price, ask_amount = _cells(book.asks, 0)
        rows.append((*_key(exchange, symbol, book), ask_amount, ask_price, *_cells(book.bids, 0)))
    return Table(QUOTES, tuple(rows))


def incremental(messages: Iterable[Delta], exchange: str, symbol: str) -> Table:
    """incremental_book_L2: one row a level; rows of one message have one local_timestamp."""
    return Table(
        INCREMENTAL,
        tuple(
            (*_key(exchange, symbol, message), str(message.snapshot).lower(), side, plain(price), plain(size))
            for message in messages
            for side, levels in (("bid", message.bids), ("ask", message.asks))
            for price, size in levels
        ),
    )
