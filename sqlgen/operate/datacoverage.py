"""Coverage of sources and tables: days and hours that are missing, gaps, and rows by day against their usual number."""

from __future__ import annotations

import datetime as dt
import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import duckdb
from msgspec import Struct

from sqlgen.errors import UsageError, first_line, nearest
from sqlgen.explore.catalog import confined_to, rows_of
from sqlgen.explore.filed import Dates, filed_between, filed_markets, spelled_as_filed
from sqlgen.plan.selection import plain_symbol
from sqlgen.project.keys import TIMES
from sqlgen.run.engine import Engine
from sqlgen.templating.connection import select_of
from sqlgen.templating.queries import query

FEW, MANY = 0.5, 2.0
"""Rows of a day as a share of their usual number, below or above which a day is unusual."""
FEWEST_DAYS = 3
"""Days that are needed for a usual number."""


class Wanted(Struct, frozen=True):
    """Part of the data whose coverage is wanted."""

    symbols: tuple[str, ...] = ()
    start: dt.date | None = None
    end: dt.date | None = None
    """Inclusive."""
    gap: float = 300.0
    """Seconds without a row that count as a gap."""


class DayCoverage(Struct, frozen=True):
    """Rows of one symbol on one day (UTC)."""

    day: dt.date
    rows: int
    share: float | None
    """Part of the usual number, which is the median of all days; ``None`` with fewer than three days."""
    missing_hours: tuple[int, ...]
    """Hours without a row, between the first and the last row of the symbol, or in the wanted days."""
    gaps: int
    longest_gap: float
    """Seconds."""

    @property
    def is_unusual(self) -> bool:
        return self.share is not None and not FEW <= self.share <= MANY


class SymbolCoverage(Struct, frozen=True):
    """Coverage of one symbol."""

    exchange: str
    symbol: str
    first: dt.datetime
    last: dt.datetime
    rows: int
    usual_rows: float
    """Median of rows a day."""
    missing_days: tuple[dt.date, ...]
    missing_hours: int
    """Number of hours without a row, also of missing days."""
    expected_hours: int
    gaps: int
    longest_gap: float
    gap_seconds: float
    days: tuple[DayCoverage, ...]

    @property
    def percent(self) -> float:
        """Hours with rows, of all that are expected."""
        return 100.0 * (self.expected_hours - self.missing_hours) / self.expected_hours

    @property
    def unusual_days(self) -> list[DayCoverage]:
        return [day for day in self.days if day.is_unusual]


def coverage(engine: Engine, name: str, wanted: Wanted) -> list[SymbolCoverage]:
    """Coverage of a source or model, by exchange and symbol.

    Raises:
        UsageError: there are no rows, or none with times and keys.
    """
    select = rows_of(engine, name)
    try:
        connection, select = confined_to(engine, name, select)
        with connection:
            columns = select_of(connection, select).columns
            time = next((column for column in TIMES if column in columns), None)
            if time is None or not {"exchange", "symbol"} <= {*columns}:
                needs = f"exchange, symbol and one of {', '.join(TIMES)}"
                raise UsageError(f"{name} has no coverage by symbol and time: it needs {needs}, and has {columns}")
            dates = filed_between(wanted.start, wanted.end) if "date" in columns else (None, None)
            filed = spelled_as_filed(filed_markets(engine, name), wanted.symbols)
            found = _rows(connection, select, time, wanted, dates, filed) or _rows(connection, select, time, wanted)
            if not found:
                everything = _rows(connection, select, time, Wanted())
                raise UsageError(_nothing(name, everything, wanted))
    except duckdb.Error as error:
        raise UsageError(f"{name}: its rows cannot be read: {first_line(error)}") from error
    by_symbol = itertools.groupby(found, lambda row: (row["exchange"], row["symbol"]))
    return [_of_symbol(exchange, symbol, [*rows], wanted) for (exchange, symbol), rows in by_symbol]


def _rows(
    connection: duckdb.DuckDBPyConnection,
    select: str,
    time: str,
    wanted: Wanted,
    dates: Dates = (None, None),
    filed: Sequence[str] = (),
) -> list[dict[str, Any]]:
    symbols = [plain_symbol(symbol) for symbol in wanted.symbols]
    start, end, gap_ns = wanted.start, wanted.end, round(wanted.gap * 1e9)
    context = {"start": start, "end": end, "dates": dates, "filed": filed, "symbols": symbols, "gap_ns": gap_ns}
    text = query("coverage", select=select, time=time, **context)
    result: list[dict[str, Any]] = connection.sql(text).to_arrow_table().to_pylist()
    return result


def _nothing(name: str, there: Sequence[dict[str, Any]], wanted: Wanted) -> str:
    if not there:
        return f"{name} has no rows"
    symbols = {row["symbol"] for row in there}
    unknown = [symbol for symbol in wanted.symbols if symbol not in symbols]
    if unknown:
        shown = ", ".join(sorted(symbols)[:5])
        return f"{name} has no rows of symbol '{unknown[0]}'.{nearest(unknown[0], symbols)} There are: {shown}"
    first, last = (_moment(pick(row["first_us"] for row in there)).date() for pick in (min, max))
    asked = f"from {wanted.start or 'the beginning'} to {wanted.end or 'the end'}"
    return f"{name} has no rows {asked}. It has rows from {first} to {last}"


def _of_symbol(exchange: str, symbol: str, rows: Sequence[dict[str, Any]], wanted: Wanted) -> SymbolCoverage:
    first, last = _moment(min(row["first_us"] for row in rows)), _moment(max(row["last_us"] for row in rows))
    begin = _midnight(wanted.start) if wanted.start else first
    end = _midnight(wanted.end + dt.timedelta(days=1)) - dt.timedelta(hours=1) if wanted.end else last
    expected = _hours(begin, end)
    by_day = {row["day"]: row for row in rows}
    usual = statistics.median(row["rows"] for row in rows)
    days = []
    for day, hours in expected.items():
        row = by_day.get(day)
        if row is not None:
            missing = tuple(sorted(hours - {*row["hours"]}))
            share = row["rows"] / usual if len(rows) >= FEWEST_DAYS else None
            days.append(DayCoverage(day, row["rows"], share, missing, row["gaps"], row["longest_gap"]))
    missing_days = tuple(day for day in expected if day not in by_day)
    return SymbolCoverage(
        exchange=exchange,
        symbol=symbol,
        first=first,
        last=last,
        rows=sum(row["rows"] for row in rows),
        usual_rows=usual,
        missing_days=missing_days,
        missing_hours=sum(len(day.missing_hours) for day in days) + sum(len(expected[day]) for day in missing_days),
        expected_hours=sum(map(len, expected.values())),
        gaps=sum(row["gaps"] for row in rows),
        longest_gap=max(row["longest_gap"] for row in rows),
        gap_seconds=sum(row["gap_seconds"] for row in rows),
        days=tuple(days),
    )


def _hours(begin: dt.datetime, end: dt.datetime) -> dict[dt.date, set[int]]:
    """The hours from one time to another, by day."""
    found: dict[dt.date, set[int]] = {}
    hour = begin.replace(minute=0, second=0, microsecond=0)
    while hour <= end:
        found.setdefault(hour.date(), set()).add(hour.hour)
        hour += dt.timedelta(hours=1)
    return found


def _moment(us: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=us)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
