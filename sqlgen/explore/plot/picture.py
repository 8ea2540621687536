"""All that a plot shows, whether on a page or in a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct, field

from sqlgen.errors import SqlgenError, UsageError, first_line, nearest
from sqlgen.explore.columns import Described
from sqlgen.explore.plot.market import Asked
from sqlgen.explore.plot.panels import Panel, panels, price_columns, price_lines
from sqlgen.explore.plot.rows import MOST_BARS, Book, Candles, PlotLine, PlottedRows, plotted_rows
from sqlgen.project.model import Model
from sqlgen.run.engine import Engine

_CANDLES = 240
"""Candles of prices that are no bars."""


class PlotPicture(Struct):
    """Panels of one symbol."""

    rows: PlottedRows
    described: dict[str, Described]
    """Column -> unit and meaning."""
    candles: Candles | None = None
    price_lines: tuple[str, ...] = ()
    panels: list[Panel] = field(default_factory=list)
    lines: dict[str, PlotLine] = field(default_factory=dict)
    book: Book | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.rows.symbol} on {self.rows.exchange}"

    def unit(self, column: str) -> str:
        """Unit of a column; empty if it has none, or is a plain number."""
        unit = self.described[column].unit if column in self.described else ""
        return {"q": "price", "u": "size", "1": "", "q*u": "value"}.get(unit, unit)

    def shown(self) -> Iterator[tuple[str, Described | None, float, float]]:
        """Columns that are drawn, with their descriptions, least and greatest values."""
        for name, line in self.lines.items():
            if not line.is_empty:
                yield name, self.described.get(name), float(np.nanmin(line.values)), float(np.nanmax(line.values))


def picture_of(engine: Engine, name: str, asked: Asked, columns: Sequence[str] = ()) -> PlotPicture:
    """The rows that are asked for, in panels; ``columns``: panels of these instead of those that are usual.

    Raises:
        UsageError: there are no rows, or no such column.
    """
    rows = plotted_rows(engine, name, asked)
    with rows.connection:
        for column in columns:
            if column not in rows.numeric:
                known = ", ".join(rows.numeric)
                raise UsageError(
                    f"{name} has no column '{column}' of numbers.{nearest(column, rows.numeric)} It has: {known}"
                )
        found = PlotPicture(rows, _described(engine, name))
        prices = price_columns(rows.numeric)
        bars = bool(prices) and prices[0] != prices[1]
        if prices:
            found.candles = rows.candles(prices, MOST_BARS if bars else _CANDLES, _least_seconds(rows))
        found.price_lines = price_lines(rows.numeric) if prices else ()
        found.panels = panels(rows.numeric, columns)
        wanted = [*found.price_lines, *(column for panel in found.panels for column in panel.columns)]
        found.lines = rows.lines([*dict.fromkeys(wanted)])
    found.notes += _notes(found, bars)
    if not bars and (prices or "bid_price_00" in rows.columns):
        _add_book(engine, name, found)
    return found


def _least_seconds(rows: PlottedRows) -> float:
    return float(rows.bar_seconds or 1)


def _described(engine: Engine, name: str) -> dict[str, Described]:
    """Descriptions of the columns of a model, and of the models that it reads."""
    project = engine.project
    texts: dict[str, str] = {}
    todo = [name]
    while todo:
        one = todo.pop()
        if one in project.models:
            texts = engine.compiler([one]).compile(one).descriptions | texts
            todo += sorted(project.upstream(one))
    return {column: Described.of(column, "", text) for column, text in texts.items()}


def _notes(found: PlotPicture, bars: bool) -> Iterator[str]:
    rows = found.rows
    if rows.bar_seconds is not None and len(rows.lengths) > 1:
        others = ", ".join(str(one) for one in rows.lengths if one != rows.bar_seconds)
        yield f"Bars of {rows.bar_seconds} seconds; the table has bars of {others} seconds too."
    if rows.thinned:
        drawn = max((len(line.values) for line in found.lines.values()), default=0)
        kept = "of each column, the least and the greatest value in each of equal parts of time: no extreme is lost"
        yield f"{rows.count:,} rows are thinned to at most {drawn:,} points a line: {kept}."
    else:
        yield f"All {rows.count:,} rows are drawn."
    if empty := [name for name, line in found.lines.items() if line.is_empty]:
        yield f"Nothing is drawn of {', '.join(empty)}: NULL in all of these rows."
    if found.candles is not None and not bars:
        yield f"Candles of {found.candles.seconds:g} seconds of {price_columns(rows.numeric)[0]}."


def _add_book(engine: Engine, name: str, found: PlotPicture) -> None:
    """Add the sizes of the book: of the rows themselves, or of the order books that the model is made from."""
    rows = found.rows
    try:
        if "bid_price_00" in rows.columns and "bid_size_00" in rows.columns:
            of, books = name, plotted_rows(engine, name, _same(rows))
        else:
            ref = _books_of(engine, name)
            if ref is None:
                return
            of, books = ref, plotted_rows(engine, ref, _same(rows))
        books.start, books.end = rows.range
        with books.connection:
            found.book = books.book()
    except SqlgenError as error:
        found.notes.append(f"No book: {first_line(error)}")
        return
    if found.book is not None:
        found.notes.append(f"Book: sizes by price of the last snapshot of {of} in each part of time.")


def _same(rows: PlottedRows) -> Asked:
    return Asked(rows.symbol, rows.exchange, *rows.range)


def _books_of(engine: Engine, name: str) -> str | None:
    """The order books that a model is made from."""
    model: Model | None = engine.project.models.get(name)
    if model is None:
        return None
    for entry in model.inputs:
        if entry.name in ("orderbook", "book"):
            return entry.ref
    return next((found for entry in model.inputs if (found := _books_of(engine, entry.ref)) is not None), None)
