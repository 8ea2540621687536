"""Heat maps of coverage: rows by symbol and day, and hours by day."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterable, Sequence

from msgspec import Struct

from sqlgen.operate.datacoverage import FEW, FEWEST_DAYS, MANY, SymbolCoverage
from sqlgen.published.tables import Table


class HeatCell(Struct, frozen=True):
    """Rows of one symbol on one day."""

    day: dt.date
    rows: int
    kind: str
    """``none``, ``few``, ``full`` or ``many``."""
    shade: float
    """Opacity: rows against their usual number."""
    missing_hours: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        hours = f", no rows in {len(self.missing_hours)} hours" if self.missing_hours else ""
        return f"{self.day}: {f'{self.rows:,} rows' if self.rows else 'no rows'}{hours}"


class HeatRow(Struct, frozen=True):
    """Days of one symbol."""

    label: str
    cells: tuple[HeatCell, ...]

    @property
    def days(self) -> int:
        """Days with rows."""
        return sum(cell.kind != "none" for cell in self.cells)


class HeatMap(Struct, frozen=True):
    """Days of all symbols, each with the same first and last day."""

    rows: tuple[HeatRow, ...] = ()
    first: dt.date | None = None
    last: dt.date | None = None

    @property
    def months(self) -> list[tuple[int, str]]:
        """Place of the first day of each month, and its name; always that of the first day."""
        if self.first is None or self.last is None:
            return []
        days = [self.first + dt.timedelta(days=place) for place in range((self.last - self.first).days + 1)]
        marked = [(place, day) for place, day in enumerate(days) if place == 0 or day.day == 1]
        if len(marked) > 1 and marked[1][0] < 3:
            marked = marked[1:]
        return [(place, f"{day:%Y-%m-%d}" if place == 0 else f"{day:%b %Y}") for place, day in marked]

    @property
    def summary(self) -> str:
        """A sentence for those who do not see it."""
        missing = sum(len(row.cells) - row.days for row in self.rows)
        return f"{len(self.rows)} symbols from {self.first} to {self.last}, {missing} days without rows"


def of_table(table: Table) -> HeatMap:
    """Rows by day of a published table, as its records tell them: no file is read."""
    counted: dict[str, dict[dt.date, int]] = {}
    for unit, record in table.records.items():
        if unit.date is not None and record.rows:
            days = counted.setdefault(unit.market or "all", {})
            days[unit.date] = days.get(unit.date, 0) + record.rows
    return _heat_map((label, days, {}) for label, days in sorted(counted.items()))


def of_coverage(found: Sequence[SymbolCoverage]) -> HeatMap:
    """Rows by day, with the hours that are missing."""
    return _heat_map(
        (
            f"{one.exchange} {one.symbol}",
            {day.day: day.rows for day in one.days},
            {day.day: day.missing_hours for day in one.days},
        )
        for one in found
    )


def _heat_map(counted: Iterable[tuple[str, dict[dt.date, int], dict[dt.date, tuple[int, ...]]]]) -> HeatMap:
    known = [*counted]
    every = [day for _, days, _ in known for day in days]
    if not every:
        return HeatMap()
    first, last = min(every), max(every)
    span = [first + dt.timedelta(days=place) for place in range((last - first).days + 1)]
    rows = []
    for label, days, hours in known:
        usual = statistics.median(days.values())
        enough = len(days) >= FEWEST_DAYS
        rows.append(
            HeatRow(label, tuple(_cell(day, days.get(day, 0), usual, enough, hours.get(day, ())) for day in span))
        )
    return HeatMap(tuple(rows), first, last)


def _cell(day: dt.date, rows: int, usual: float, enough: bool, hours: tuple[int, ...]) -> HeatCell:
    share = rows / usual if usual else 0.0
    if not rows:
        return HeatCell(day, 0, "none", 1.0)
    kind = "full" if not enough or FEW <= share <= MANY else "few" if share < FEW else "many"
    return HeatCell(day, rows, kind, min(1.0, 0.35 + 0.65 * share) if kind == "full" else 1.0, hours)
