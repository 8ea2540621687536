"""Binance public data: zip with one CSV file, without a header for spot, with one for futures since 2022-08-11.

https://github.com/binance/binance-public-data
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from tests.support.vendors.rows import MS, US, Trade, fixed, plain, time_in
from tests.support.vendors.tables import Table

Market = Literal["spot", "um", "cm"]
"""Spot, USD-margined futures, coin-margined futures."""

MICROSECONDS_SINCE = "2025-01-01"
"""First day of spot files with times in microseconds."""
HEADER_SINCE = "2022-08-11"
"""First day of futures files with a header."""

TRADES = {
    "spot": ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"),
    "um": ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker"),
    "cm": ("id", "price", "qty", "base_qty", "time", "is_buyer_maker"),
}
AGG_TRADES = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker")


def file_name(symbol: str, data_type: str, date: str) -> str:
    """Name of the archive of a day (YYYY-MM-DD) or a month (YYYY-MM); the member ends in .csv instead."""
    return f"{symbol}-{data_type}-{date}.zip"


def url_path(market: Market, symbol: str, data_type: str, date: str) -> str:
    """Path of the archive on the server, after the host."""
    product = "spot" if market == "spot" else f"futures/{market}"
    span = "daily" if len(date) == len("2025-01-01") else "monthly"
    return f"data/{product}/{span}/{data_type}/{symbol}/{file_name(symbol, data_type, date)}"


def trades(rows: Iterable[Trade], market: Market, date: str, header: bool | None = None) -> Table:
    """trades; header and unit of time are those of the product and the day, if header does not say otherwise."""
    best = ("True",) if market == "spot" else ()
    return Table(
        TRADES[market],
        tuple(
            (
                row.trade_id or "",
                _number(row.price, market),
                _number(row.amount, market),
                _number(_value(row, market), market),
                _time(row, market, date),
                _maker(row, market),
                *best,
            )
            for row in rows
        ),
        header=_header(market, date) if header is None else header,
    )


def agg_trades(rows: Iterable[Trade], market: Market, date: str, header: bool | None = None) -> Table:
    """aggTrades, each of one trade."""
    best = ("True",) if market == "spot" else ()
    columns = (*AGG_TRADES, "is_best_match") if best else AGG_TRADES
    return Table(
        columns,
        tuple(
            (
                row.trade_id or "",
                _number(row.price, market),
                _number(row.amount, market),
                row.trade_id or "",
                row.trade_id or "",
                _time(row, market, date),
                _maker(row, market),
                *best,
            )
            for row in rows
        ),
        header=_header(market, date) if header is None else header,
    )


def _header(market: Market, date: str) -> bool:
    return market != "spot" and date >= HEADER_SINCE


def _number(value: Decimal, market: Market) -> str:
    return fixed(value, 8) if market == "spot" else plain(value)


def _value(row: Trade, market: Market) -> Decimal:
    worth = row.amount / row.price if market == "cm" else row.amount * row.price
    return round(worth, 8)


def _time(row: Trade, market: Market, date: str) -> str:
    return str(time_in(row.ts, US if market == "spot" and date >= MICROSECONDS_SINCE else MS))


def _maker(row: Trade, market: Market) -> str:
    if row.side is None:
        raise ValueError("Binance has no code for a side that is not known")
    maker = row.side == "sell"
    return str(maker) if market == "spot" else str(maker).lower()
