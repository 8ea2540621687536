"""The market whose rows are plotted: found without reading those of others, nor all days of it."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Sequence

import duckdb
from msgspec import Struct

from sqlgen.errors import UsageError, nearest
from sqlgen.explore.filed import Dates, Markets, filed_between, filed_markets, spelled_as_filed
from sqlgen.plan.selection import plain_symbol
from sqlgen.run.engine import Engine
from sqlgen.templating.queries import query

_DAY_NS = 86_400 * 10**9
_DAY = dt.timedelta(days=1)

Market = tuple[str, str, int, int]
"""Exchange, symbol, first and last time in ns."""


class NothingToPlotError(UsageError):
    """There are no rows of what was asked for."""


class Asked(Struct, frozen=True):
    """Part of the rows that is asked for."""

    symbol: str | None = None
    exchange: str | None = None
    start: int | None = None
    """ns since 1970."""
    end: int | None = None
    """ns since 1970, inclusive."""


class MarketFinder(Struct, frozen=True):
    """Markets of a source or model."""

    engine: Engine
    connection: duckdb.DuckDBPyConnection
    name: str
    select: str
    time: str
    dated: bool
    """True if rows have a date."""

    def find(self, asked: Asked) -> Market:
        """The exchange and symbol that are meant, with the first and last time of the rows that may be plotted."""
        context = {"select": self.select, "time": self.time}
        markets = filed_markets(self.engine, self.name)
        symbols = spelled_as_filed(markets, [asked.symbol] if asked.symbol else ())
        dates = self._dates(asked, markets, symbols) if self.dated else (None, None)
        narrow = query("plot_symbols", **context, exchange=asked.exchange, symbols=symbols, dates=dates)
        known = self.connection.execute(narrow).fetchall()
        if not known:  # what there is instead
            everything = query("plot_symbols", **context, exchange=None, symbols=(), dates=(None, None))
            known = self.connection.execute(everything).fetchall()
        return _chosen(self.name, known, asked)

    def _dates(self, asked: Asked, markets: Markets, symbols: Sequence[str]) -> Dates:
        """Dates under which rows are filed that are asked for, or that are the last ones: a day more on each side."""
        first, last = filed_between(*(None if ns is None else date_of(ns) for ns in (asked.start, asked.end)))
        if first is not None:
            return first, last
        meant = [
            dates
            for (exchange, symbol), dates in markets.items()
            if asked.exchange in (None, exchange) and (asked.symbol is None or symbol in symbols)
        ]
        filed = [date for date in meant[0] if last is None or date <= last] if len(meant) == 1 else []
        return (max(filed) - 2 * _DAY if filed else None), last


def _chosen(name: str, known: Sequence[Market], asked: Asked) -> Market:
    """The exchange and symbol that are meant, with their first and last times."""
    if not known:
        raise NothingToPlotError(f"{name} has no rows")
    symbols = [*dict.fromkeys(row[1] for row in known)]
    found = [row for row in known if asked.symbol is None or plain_symbol(row[1]) == plain_symbol(asked.symbol)]
    if not found:
        shown = ", ".join(sorted(symbols)[:8])
        keys = difflib.get_close_matches(plain_symbol(str(asked.symbol)), [*map(plain_symbol, symbols)], n=1)
        close = next((f" Did you mean '{one}'?" for one in symbols if plain_symbol(one) in keys), "")
        raise NothingToPlotError(f"{name} has no rows of symbol '{asked.symbol}'.{close} There are: {shown}")
    exchanges = [*dict.fromkeys(row[0] for row in found)]
    found = [row for row in found if asked.exchange in (None, row[0])]
    if not found:
        of = f"exchange '{asked.exchange}'.{nearest(str(asked.exchange), exchanges)}"
        raise NothingToPlotError(f"{name} has no rows of {of} There are: {', '.join(exchanges)}")
    if len(found) > 1:
        shown = ", ".join(f"{row[0]} {row[1]}" for row in found[:8])
        raise NothingToPlotError(
            f"{name} has rows of several markets: choose one with --symbol and --exchange: {shown}"
        )
    return found[0]


def date_of(ns: int) -> dt.date:
    """Date of a time in ns since 1970."""
    return dt.date(1970, 1, 1) + dt.timedelta(days=ns // _DAY_NS)
