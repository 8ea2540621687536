"""Views of a book and of trades whose rows are exported, day by day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import duckdb
from msgspec import Struct, structs

from sqlgen import connect
from sqlgen.errors import UsageError, nearest
from sqlgen.lake.partitions import Partition
from sqlgen.plan.missing import none_selected
from sqlgen.plan.selection import Selection, spelled
from sqlgen.templating.queries import query

BOOK = ("bid_price_00", "bid_size_00", "ask_price_00", "ask_size_00")
TRADES = ("price", "amount", "side")


class FeedDay(NamedTuple):
    """One day of one symbol."""

    exchange: str
    symbol: str
    date: dt.date


class FeedTimes(Struct, frozen=True):
    """SQL of the two times of a view's rows, in ns since 1970."""

    sent: str
    """By the exchange."""
    arrived: str
    """At the trader."""

    @classmethod
    def of(cls, columns: Sequence[str], latency_ms: float) -> FeedTimes:
        """Times of a source with ``clock``, or of one with the exchange's alone, to which ``latency_ms`` is added."""
        if "received_ts" in columns:
            return cls("epoch_ns(ts)", "epoch_ns(received_ts)")
        if "exchange_ts" in columns:
            return cls("epoch_ns(exchange_ts)", "epoch_ns(ts)")
        return cls("epoch_ns(ts)", f"epoch_ns(ts) + {round(latency_ms * 1e6)}")


@dataclass
class FeedViews:
    """A book, trades, or both: sources or published models with the columns of canonical rows."""

    project: str | Path
    book: str = ""
    trades: str = ""
    latency_ms: float = 0.0
    connection: duckdb.DuckDBPyConnection = field(init=False)
    times: dict[str, FeedTimes] = field(init=False)
    levels: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if not self.book and not self.trades:
            raise UsageError("nothing to export: name a book or trades, sources or models with their columns")
        self.connection = connect(self.project)
        known: dict[str, list[str]] = {}
        for view, column, _ in self.connection.execute(query("described_columns")).fetchall():
            known.setdefault(view, []).append(column)
        for view, needed in ((self.book, BOOK), (self.trades, TRADES)):
            if view and view not in known:
                raise UsageError(f"there are no rows of '{view}' to read here.{nearest(view, known)}")
            missing = [name for name in needed if view and name not in known[view]]
            if missing:
                self.connection.table(view).limit(1).fetchall()  # of a view without rows, the reason
                what = "book" if needed is BOOK else "trades"
                raise UsageError(f"'{view}' is no {what}: it has no column {', '.join(missing)}")
        self.times = {view: FeedTimes.of(known[view], self.latency_ms) for view in (self.book, self.trades) if view}
        while self.book and f"bid_price_{self.levels:02d}" in known[self.book]:
            self.levels += 1

    @property
    def views(self) -> list[str]:
        """The views that are there."""
        return [view for view in (self.book, self.trades) if view]

    def days(self, asked: Selection) -> list[FeedDay]:
        """Days that have rows, of symbols in any spelling; :class:`UsageError` with what there is instead of none."""
        if found := self._days(asked):
            return found
        there = {Partition.of(**{**day._asdict(), "date": str(day.date)}): day for day in self._days(Selection(()))}
        symbols = spelled(asked.symbols, {day.symbol for day in there.values()})
        asked = structs.replace(asked, symbols=symbols)
        if problems := [*none_selected(there, asked)] or ([] if there else ["there are no rows"]):
            raise UsageError(f"nothing to export of {' and '.join(self.views)}: {'. '.join(problems)}")
        return [day for unit, day in there.items() if asked.covers(unit)]

    def _days(self, asked: Selection) -> list[FeedDay]:
        chosen = {"exchange": asked.exchanges, "symbol": asked.symbols}
        values_of = {name: values for name, values in chosen.items() if values}
        text = query("export_days", views=self.views, chosen=values_of, start=asked.start, end=asked.end)
        return [FeedDay(*row) for row in self.connection.execute(text).fetchall()]
