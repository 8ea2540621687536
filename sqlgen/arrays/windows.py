"""Windows of consecutive rows for models that learn, read from a published table day by day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from sqlgen import DEFAULT_FILE
from sqlgen.arrays.rows import DayReader, DayRows
from sqlgen.arrays.scale import Day, Floats
from sqlgen.errors import SqlgenError, UsageError

if TYPE_CHECKING:
    from torch.utils.data import IterableDataset

EARLIEST = "no earlier day to scale by"
MISSING = "a missing value in a column"
UNLABELLED = "no label"


class WindowBatch(Struct, frozen=True):
    """Some windows of one day of one symbol."""

    exchange: str
    symbol: str
    x: npt.NDArray[Any]
    """Shape (windows, length, columns)."""
    y: npt.NDArray[np.float64] | None
    """Label of each window's last row, shape (windows,); ``None`` without a label."""
    ts: npt.NDArray[np.datetime64]
    """Time of each window's last row, UTC, ns, shape (windows,); of bars, their end."""


class WindowBatches(Struct):
    """Windows of a table, in batches; see :func:`windows`. Each iteration reads the table anew."""

    table: DayReader
    length: int
    stride: int
    scaled: bool
    symbols: tuple[str, ...]
    """All if empty."""
    start: dt.date | None
    end: dt.date | None
    batch: int
    dtype: npt.DTypeLike
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> windows that the last iteration left out for it."""

    def __iter__(self) -> Iterator[WindowBatch]:
        self.left_out = {}
        count = 0
        for (_, symbol), days in groupby(self.table.days(), key=lambda day: (day.exchange, day.symbol)):
            if not self.symbols or symbol in self.symbols:
                for found in self._of_symbol(days):
                    count += len(found.x)
                    yield found
        if not count:
            why = ", ".join(f"{number} left out: {reason}" for reason, number in self.left_out.items())
            raise SqlgenError(
                f"model '{self.table.model}' gives no windows of {self.length} rows for what was asked"
                f" ({why or 'no rows, or segments that are shorter'})"
            )

    def arrays(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None, npt.NDArray[np.datetime64]]:
        """All windows at once: x, y and ts, as in :class:`WindowBatch`."""
        found = list(self)
        x, ts = np.concatenate([each.x for each in found]), np.concatenate([each.ts for each in found])
        return x, np.concatenate([each.y for each in found if each.y is not None]) if self.table.label else None, ts

    def torch(self) -> IterableDataset[Any]:
        """A PyTorch dataset of (x, y) per window, or of x; each worker of a DataLoader gives a part of the batches."""
        try:
            from sqlgen.arrays.torch import WindowDataset
        except ModuleNotFoundError:
            raise UsageError(
                "torch() needs PyTorch. Install it: pip install torch; arrays() needs NumPy alone"
            ) from None
        return WindowDataset(self)

    def _of_symbol(self, days: Iterator[Day]) -> Iterator[WindowBatch]:
        tail = Tail(np.empty((0, len(self.table.columns))), -1, None, None)
        for day in days:
            if self.end is not None and day.date > self.end:
                break
            if self.start is not None and day.date < self.start and not self._reaches(day.date):
                continue
            rows = self.table.read(day.exchange, day.symbol, day.date, tail.after, tail.session)
            places = tail.places(rows)
            if self.start is None or day.date >= self.start:
                yield from self._of_day(day, rows, places, tail)
            tail = tail.then(rows, places, self.length)

    def _reaches(self, date: dt.date) -> bool:
        """True for the day before the first one: windows may begin there."""
        return self.start is not None and date == self.start - dt.timedelta(days=1)

    def _of_day(self, day: Day, rows: DayRows, places: npt.NDArray[np.int64], tail: Tail) -> Iterator[WindowBatch]:
        """Windows whose last row is of this day."""
        after = places - self.length + 1
        ends = np.flatnonzero((after >= 0) & (after % self.stride == 0))
        values = np.concatenate([tail.values, rows.values])
        if self.scaled:
            if len(ends) and not day.scale.count.any():
                return self._leave_out(EARLIEST, len(ends))
            values = day.scale.apply(values)
        first = ends + len(tail.values) - self.length + 1
        gaps = np.concatenate([[0], np.cumsum(~np.isfinite(values).all(axis=1))])
        whole = gaps[first + self.length] == gaps[first]
        known = np.isfinite(rows.labels[ends]) if self.table.label else np.ones(len(ends), np.bool_)
        self._leave_out(MISSING, int((~whole).sum()))
        self._leave_out(UNLABELLED, int((whole & ~known).sum()))
        first, ends = first[whole & known], ends[whole & known]
        for number in range(0, len(ends), self.batch):
            part = slice(number, number + self.batch)
            x = values[first[part, None] + np.arange(self.length)].astype(self.dtype)
            y = rows.labels[ends[part]] if self.table.label else None
            yield WindowBatch(day.exchange, day.symbol, x, y, rows.at[ends[part]].astype("datetime64[ns]"))

    def _leave_out(self, reason: str, count: int) -> None:
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count


class Tail(Struct, frozen=True):
    """The last rows of the day before, with which windows over midnight begin."""

    values: Floats
    place: int
    """Place of the last row in its segment; -1 before the first one."""
    after: int | None
    """Its time in ns."""
    session: int | None

    def places(self, rows: DayRows) -> npt.NDArray[np.int64]:
        """Place of each row in its segment, from 0, shape (rows,)."""
        numbers = np.arange(len(rows.at))
        return numbers - np.maximum.accumulate(np.where(rows.begins, numbers, -1 - self.place))

    def then(self, rows: DayRows, places: npt.NDArray[np.int64], length: int) -> Tail:
        """The tail after a day's rows."""
        if not len(places):
            return self
        values = np.concatenate([self.values, rows.values])
        return Tail(
            values[len(values) - min(length - 1, len(values)) :], int(places[-1]), int(rows.at[-1]), rows.session
        )


def windows(
    model: str,
    columns: Sequence[str],
    length: int,
    stride: int = 1,
    *,
    label: str = "",
    scale: bool = True,
    where: Mapping[str, Any] | None = None,
    symbols: Sequence[str] = (),
    start: dt.date | None = None,
    end: dt.date | None = None,
    batch: int = 4096,
    dtype: npt.DTypeLike = np.float32,
    project: str | Path = DEFAULT_FILE,
) -> WindowBatches:
    """Windows of ``length`` consecutive rows of a published model, one every ``stride`` rows of a segment.

    A window never crosses the start of a segment (a gap of the feed, a session; of bars, one that is missing or that
    begins with a gap), but may cross midnight. Each column is scaled by mean and standard deviation of all earlier days
    of its symbol (``scale``), so that no window knows its own day, and the first day has none. ``label``: a column of
    the model, or of another one with the same rows (``orderbook_labels.direction_10s``), of which the window's last row
    has its value. ``where``: one value of other columns (``{"bar_seconds": 60}``). ``start`` and ``end``: the days of
    the last rows, both included. Windows with a missing value or without a label are left out and counted
    (:attr:`WindowBatches.left_out`).

    Memory: the chosen columns of one day of one symbol. Raises :class:`UsageError` for unknown models and columns, and
    for features that are labels; iterating raises :class:`SqlgenError` where nothing is left.
    """
    if length < 1 or stride < 1 or batch < 1 or not columns:
        raise UsageError("windows need at least one column, and a length, a stride and a batch of at least 1")
    labels, _, name = label.rpartition(".")
    table = DayReader(project, model, tuple(columns), dict(where or {}), name, (labels or model) if name else "")
    return WindowBatches(table, length, stride, scale, tuple(symbols), start, end, batch, dtype)
