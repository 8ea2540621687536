"""Rows of one symbol in a range of time, thinned so that a page stays quick."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from sqlgen.errors import UsageError
from sqlgen.explore.catalog import confined_to, rows_of
from sqlgen.explore.columns import NUMBERS
from sqlgen.explore.filed import Dates, filed_between
from sqlgen.explore.plot.market import Asked, MarketFinder, NothingToPlotError, date_of
from sqlgen.project.keys import TIMES
from sqlgen.run.engine import Engine
from sqlgen.templating.connection import select_of
from sqlgen.templating.queries import query

POINTS = 20_000
"""Rows up to which all are drawn."""
MOST_BARS = 1_500
"""Bars up to which all are drawn."""
_LOW = 0.25
"""Part of the height of a panel below which books are drawn around their mid price."""
_GAP = 300
"""Seconds without a row over which no line is drawn."""
_NS, _MS = 10**9, 10**6
_DAY = 86_400 * _NS

Floats = NDArray[np.floating[Any]]


class PlotLine(Struct, frozen=True):
    """Values of one column: times in ms since 1970; NaN where a line breaks."""

    times: Floats
    values: Floats

    @property
    def is_empty(self) -> bool:
        """True without any value."""
        return bool(np.isnan(self.values).all())


class Candles(Struct, frozen=True):
    """Open, high, low and close in equal parts of the range."""

    seconds: float
    times: Floats
    open: Floats
    high: Floats
    low: Floats
    close: Floats


class Book(Struct, frozen=True):
    """Sizes by time and price."""

    times: Floats
    prices: Floats
    bids: Floats
    """One row a price; NaN where there is no size."""
    asks: Floats
    relative: bool
    """Prices are distances from the mid price, in bps: the price moves further than the book reaches."""


class PlottedRows(Struct):
    """Rows of one symbol of a source or model, in a range of time."""

    connection: duckdb.DuckDBPyConnection
    name: str
    select: str
    time: str
    columns: tuple[str, ...]
    exchange: str
    symbol: str
    start: int | None
    end: int | None
    count: int = 0
    bar_seconds: int | None = None
    """Length of the bars that are shown, where the table has several."""
    lengths: tuple[int, ...] = ()
    """Lengths of bars that there are."""
    numeric: tuple[str, ...] = field(default=())
    """Columns with numbers."""

    @property
    def dates(self) -> Dates | None:
        """Dates under which the rows may be filed: a day more on each side."""
        if "date" not in self.columns or self.start is None or self.end is None:
            return None
        return filed_between(date_of(self.start), date_of(self.end))

    @property
    def thinned(self) -> bool:
        return self.count > POINTS

    @property
    def range(self) -> tuple[int, int]:
        """First and last time, in ns."""
        assert self.start is not None
        assert self.end is not None
        return self.start, self.end

    def lines(self, columns: Sequence[str]) -> dict[str, PlotLine]:
        """Values of columns: of all rows, or the least and the greatest in each of many equal parts of the range."""
        if not columns:
            return {}
        if not self.thinned:
            found = self._fetch("plot_rows", columns=columns)
            return {name: _line(found["ns"], found[name], _GAP * _NS) for name in columns}
        first, last = self.range
        step = max(1, -(-(last - first + 1) // (POINTS // 2)))
        found = self._fetch("plot_extremes", columns=columns, first=first, step=step)
        return {name: _extremes(found, name, max(2 * step, _GAP * _NS)) for name in columns}

    def candles(self, prices: Sequence[str], most: int, seconds: float = 0.0) -> Candles:
        """Candles of columns for open, high, low and close, at most ``most``, of at least so many seconds."""
        first, last = self.range
        step = _round_step(max((last - first) / most / _NS, seconds))
        start = first // (step * _NS) * step * _NS
        names = dict(zip(("open", "high", "low", "close"), prices, strict=True))
        found = self._fetch("plot_candles", **names, first=start, step=step * _NS)
        return Candles(step, _in_ms(found["ns"]), *(_floats(found[name]) for name in names))

    def book(self, parts: int = 300, bins: int = 90) -> Book | None:
        """Sizes of the book's levels; ``None`` without any."""
        levels = [name.removeprefix("bid_price_") for name in self.columns if name.startswith("bid_price_")]
        levels = [level for level in levels if f"ask_size_{level}" in self.columns and level.isdigit()]
        first, last = self.range
        step = max(1, -(-(last - first + 1) // parts))
        context = {"levels": levels, "first": first, "step": step, "bins": bins}
        found = self._fetch("plot_book", **context, relative=False)
        if not len(found["part"]):
            return None
        relative = _height(found) < _LOW * bins
        if relative:
            found = self._fetch("plot_book", **context, relative=True)
        least, height = float(found["least"][0]), float(found["bin_height"][0])
        sides = {side: np.full((bins, parts), np.nan) for side in (1, -1)}
        for side, grid in sides.items():
            chosen = found["side"] == side
            grid[found["bin"][chosen], found["part"][chosen]] = found["size"][chosen]
        times = _in_ms(first + (np.arange(parts) * 2 + 1) * step // 2)
        return Book(times, least + (np.arange(bins) + 0.5) * height, sides[1], sides[-1], relative)

    def _fetch(self, name: str, **context: Any) -> Mapping[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = self.connection.execute(query(name, rows=self, **context)).fetchnumpy()
        return found


def plotted_rows(engine: Engine, name: str, asked: Asked) -> PlottedRows:
    """The rows that are asked for; by default the last day of them.

    Raises:
        NothingToPlotError: there are none, or several symbols that could be meant.
        UsageError: the source or model has no rows with times and keys.
    """
    connection, select = confined_to(engine, name, rows_of(engine, name))
    relation = select_of(connection, select)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    time = next((column for column in ("bar_start", *TIMES) if column in types), None)
    if time is None or not {"exchange", "symbol"} <= {*types}:
        needs = f"exchange, symbol and one of {', '.join(TIMES)}"
        raise UsageError(f"{name} cannot be plotted by symbol and time: it needs {needs}, and has {', '.join(types)}")
    finder = MarketFinder(engine, connection, name, select, time, "date" in types)
    exchange, symbol, first, last = finder.find(asked)
    end = last if asked.end is None else asked.end
    start = asked.start
    if start is None:
        start = max(first, min(end, last) // _DAY * _DAY)
    rows = PlottedRows(connection, name, select, time, (*types,), exchange, symbol, start, end)
    rows.numeric = tuple(column for column, kind in types.items() if kind in NUMBERS)
    if not _measure(rows):
        *_, first, last = finder.find(Asked(symbol, exchange))
        until = f"to {_moment(end)}" if end != last else "on"
        where = f"{name} has no rows of {exchange} {symbol} from {_moment(start)} {until}"
        raise NothingToPlotError(f"{where}. Its rows are from {_moment(first)} to {_moment(last)}")
    return rows


def _measure(rows: PlottedRows) -> bool:
    """Count the rows, choose the length of bars, and narrow the range to the rows; false if there are none."""
    by_seconds = "bar_seconds" in rows.columns
    extent = query("plot_extent", rows=rows, by_seconds=by_seconds)
    (found,) = rows.connection.execute(extent).fetchall()
    rows.count, least, most, lengths = found
    if not rows.count:
        return False
    rows.start, rows.end = least, most
    if by_seconds:
        counts = {int(entry["key"]): int(entry["value"]) for entry in lengths}
        rows.lengths = tuple(sorted(counts))
        rows.bar_seconds = next((one for one in rows.lengths if counts[one] <= MOST_BARS), rows.lengths[-1])
        rows.count = counts[rows.bar_seconds]
    return True


def _moment(ns: int | None) -> str:
    return f"{dt.datetime.fromtimestamp((ns or 0) / _NS, dt.UTC):%Y-%m-%d %H:%M:%S}"


def _in_ms(ns: NDArray[Any]) -> Floats:
    """Times in ms, to the precision of a double: whole ns have more digits."""
    whole = np.asarray(ns, np.int64)
    return np.asarray(whole // _MS + (whole % _MS) / _MS)


def _floats(values: NDArray[Any]) -> Floats:
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


def _line(ns: NDArray[Any], values: NDArray[Any], gap: int) -> PlotLine:
    """A line that breaks where no row comes for longer than ``gap``."""
    times, numbers = np.asarray(ns, np.int64), _floats(values)
    breaks = np.flatnonzero(np.diff(times) > gap) + 1
    times = np.insert(times, breaks, times[breaks] - 1) if len(breaks) else times
    return PlotLine(_in_ms(times), np.insert(numbers, breaks, np.nan) if len(breaks) else numbers)


def _extremes(found: Mapping[str, NDArray[Any]], name: str, gap: int) -> PlotLine:
    """The least and greatest values of each part, in the order of their times."""
    values = np.stack([_floats(found[f"low {name}"]), _floats(found[f"high {name}"])], axis=1)
    has = ~np.isnan(values[:, 0])
    masked = [np.ma.filled(np.ma.asarray(found[f"{end} ns {name}"]), 0).astype(np.int64) for end in ("low", "high")]
    times = np.stack(masked, axis=1)[has]
    values = values[has]
    order = np.argsort(times, axis=1, kind="stable")
    ordered = np.take_along_axis(times, order, axis=1).ravel(), np.take_along_axis(values, order, axis=1).ravel()
    return _line(*ordered, gap)


def _height(found: Mapping[str, NDArray[Any]]) -> float:
    """Median number of steps of price from the lowest to the highest level of a book."""
    ends = np.flatnonzero(np.diff(found["part"], append=found["part"][-1] + 1)) + 1
    bins = np.split(found["bin"], ends[:-1])
    return float(np.median([part.max() - part.min() + 1 for part in bins]))


def _round_step(seconds: float) -> int:
    """The next longer step that people use."""
    steps: Iterable[int] = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
    return next((step for step in steps if step >= seconds), -(-int(seconds) // 86_400) * 86_400)
