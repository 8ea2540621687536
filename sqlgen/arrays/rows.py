"""Rows of a published table, day by day, and the places where windows over them begin anew."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from sqlgen import connect
from sqlgen.arrays.scale import Day, Floats, Scale
from sqlgen.errors import UsageError, nearest
from sqlgen.templating.queries import query

Times = npt.NDArray[np.int64]

KEYS = ("exchange", "symbol", "date")
_TOLERANCE = 1_000
"""ns: ages are seconds as DOUBLE."""


_STARTED = "epoch_ns({}) - CAST(round(r.segment_age_s * 1e9) AS BIGINT)"
"""Start of the segment of a row, by its time."""
_NO_BREAK, _ONE_SESSION = "false", "0"


class Shape(Struct, frozen=True):
    """The columns that tell the time of a table's rows and where a segment begins."""

    key: tuple[str, ...]
    at: str
    since: str
    order: str
    breaks: str = _NO_BREAK
    """True for a row within which the feed broke."""
    session: str = _ONE_SESSION
    """Number of the session that a row lies in."""

    @classmethod
    def of(cls, model: str, columns: Mapping[str, Any]) -> Shape:
        """Shape of bars, or of rows with the age of their segment; :class:`UsageError` for other tables."""
        if {"bar_start", "bar_end"} <= columns.keys():
            more = tuple(name for name in ("bar_seconds", "session_date") if name in columns)
            since = "epoch_ns(bar_start)"
            if "segment_age_s" in columns:
                since = f"greatest({since}, {_STARTED.format('r.bar_end')})"
            breaks = "coalesce(r.has_gap, false)" if "has_gap" in columns else _NO_BREAK
            session = "session_date - DATE '1970-01-01'" if "session_date" in columns else _ONE_SESSION
            order = ", ".join(("bar_start", *more[-1:]))
            return cls((*KEYS, *more, "bar_start"), "epoch_ns(r.bar_end)", since, order, breaks, session)
        if {"ts", "seq", "segment_age_s"} <= columns.keys():
            return cls((*KEYS, "ts", "seq"), "epoch_ns(ts)", _STARTED.format("ts"), "ts, seq")
        raise UsageError(
            f"model '{model}' has neither bar_start and bar_end nor ts, seq and segment_age_s: it is not known where"
            " its segments begin. Add these columns to it"
        )


class DayRows(Struct, frozen=True):
    """Rows of one day of one symbol, in order."""

    at: Times
    """Time in ns since 1970, shape (rows,)."""
    begins: npt.NDArray[np.bool_]
    """True where a row continues nothing, shape (rows,)."""
    values: Floats
    """Shape (rows, columns)."""
    labels: Floats
    """Shape (rows,)."""
    session: int | None
    """Session of the last row; ``None`` without rows."""


@dataclass
class DayReader:
    """Columns of a published table, read day by day."""

    project: str | Path
    model: str
    columns: Sequence[str]
    chosen: Mapping[str, Any]
    """Column -> the one value of it that is read."""
    label: str = ""
    labels: str = ""
    """The label, and the model that has it."""
    shape: Shape = field(init=False)
    _connections: dict[int, duckdb.DuckDBPyConnection] = field(default_factory=dict, repr=False)
    """By process: workers that read in parallel cannot share one."""

    def __post_init__(self) -> None:
        known = self._columns(self.model)
        for name in [*self.columns, *self.chosen]:
            _require(self.model, name, known)
        future = [name for name in self.columns if known[name].startswith("label:")]
        if future:
            raise UsageError(
                f"column '{future[0]}' of '{self.model}' is a label: it knows the future. Give it as the label"
            )
        self.shape = Shape.of(self.model, known)
        if self.label:
            theirs = self._columns(self.labels)
            for name in [self.label, *self.shape.key]:
                _require(self.labels, name, theirs)
        if "bar_seconds" in known and "bar_seconds" not in self.chosen:
            raise UsageError(f"'{self.model}' has bars of several durations. Choose one: where={{'bar_seconds': 60}}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connections": {}}

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """A connection with the project's tables."""
        if os.getpid() not in self._connections:
            self._connections[os.getpid()] = connect(self.project)
        return self._connections[os.getpid()]

    def days(self) -> Iterator[Day]:
        """Days of each symbol, with the statistics of the days before."""
        text = query("window_days", model=self.model, columns=self.columns, chosen=self.chosen)
        scale, of = Scale.empty(len(self.columns)), ("", "")
        for exchange, symbol, date, *found in self.connection.execute(text).fetchall():
            if (exchange, symbol) != of:
                scale, of = Scale.empty(len(self.columns)), (exchange, symbol)
            yield Day(exchange, symbol, date, scale)
            count, mean, variance = (np.array(each, dtype=np.float64) for each in found)
            scale = scale.add(count, mean, variance)

    def read(self, exchange: str, symbol: str, date: dt.date, after: int | None, session: int | None) -> DayRows:
        """Rows of a day; ``after``, ``session``: time and session of the row before its first one."""
        day = {"exchange": exchange, "symbol": symbol, "date": date}
        context = {"model": self.model, "columns": self.columns, "chosen": {**day, **self.chosen}}
        label = {"label": self.label, "labels": self.labels, "times": self.shape, "key": self.shape.key}
        text = query("window_rows", **context, **label)
        found = self.connection.execute(text).fetchnumpy()
        at, since = np.asarray(found["at"], np.int64), np.asarray(found["since"], np.int64)
        before = np.concatenate([[at[0] if after is None else after], at[:-1]]) if len(at) else at
        is_first = np.arange(len(at)) == 0 if after is None else np.zeros(len(at), np.bool_)
        begins = is_first | (since > before + _TOLERANCE) | ((since == at) & (before != at))
        begins |= np.asarray(found["breaks"], np.bool_)
        sessions = _floats(found["session"])
        begins |= np.diff(sessions, prepend=sessions[:1] if session is None else session) != 0
        values = [_floats(found[f"x{number}"]) for number in range(len(self.columns))]
        return DayRows(
            at, begins, np.stack(values, axis=1), _floats(found["label"]), int(sessions[-1]) if len(at) else None
        )

    def _columns(self, model: str) -> dict[str, str]:
        """Columns of a view of the catalog, with their descriptions."""
        views: dict[str, dict[str, str]] = {}
        for view, column, description in self.connection.execute(query("described_columns")).fetchall():
            views.setdefault(view, {})[column] = description
        if model not in views:
            raise UsageError(f"no table '{model}' is published here.{nearest(model, views)} Build it first: sqlgen run")
        return views[model]


def _require(model: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise UsageError(f"'{model}' has no column '{name}'.{nearest(name, known)} 'sqlgen columns' lists them")


def _floats(column: Any) -> Floats:
    """A column as DOUBLE, with NaN for NULL."""
    filled = np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
    return np.asarray(filled, dtype=np.float64)
