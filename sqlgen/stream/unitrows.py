"""Rows of several units in one stream."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from sqlgen.errors import TaskError
from sqlgen.stream.arrays import numbers, times, values
from sqlgen.stream.tradefeed import NotInOrder

_AHEAD = 2
"""Batches that are read before they are asked for."""


class RowStream(Struct, frozen=True):
    """Rows of one unit, which can be read once."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.batches


@contextlib.contextmanager
def read_ahead(reader: pa.RecordBatchReader) -> Iterator[RowStream]:
    """The rows of a statement, which runs in a thread of its own, a few batches ahead of who reads them."""
    pool = ThreadPoolExecutor(1)
    try:
        yield RowStream(reader.schema, _batches_ahead(reader, pool))
    finally:
        pool.shutdown(cancel_futures=True)


def _batches_ahead(reader: pa.RecordBatchReader, pool: ThreadPoolExecutor) -> Iterator[pa.RecordBatch]:
    coming = deque(pool.submit(next, reader, None) for _ in range(_AHEAD))
    while (batch := coming.popleft().result()) is not None:
        coming.append(pool.submit(next, reader, None))
        yield batch


class UnitRows:
    """Rows with the number of their unit in the last column, unit after unit; without numbers, those of one unit."""

    def __init__(self, reader: RowStream, numbered: bool) -> None:
        self._reader = reader
        self._schema = pa.schema(list(reader.schema)[:-1]) if numbered else reader.schema
        self._pieces = self._cut() if numbered else ((0, batch) for batch in reader)
        self._held: tuple[int, pa.RecordBatch] | None = None

    def of(self, unit: int) -> RowStream:
        """The rows of the next unit, which are to be read before those of the one after it."""
        return RowStream(self._schema, self._of(unit))

    def _of(self, unit: int) -> Iterator[pa.RecordBatch]:
        while True:
            self._held = self._held or next(self._pieces, None)
            if self._held is None or self._held[0] > unit:
                return
            number, batch = self._held
            if number < unit:
                raise NotInOrder
            self._held = None
            yield batch

    def _cut(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        for batch in self._reader:
            if batch.num_rows == 0:
                continue
            last = batch.column(batch.num_columns - 1)
            if last.null_count:
                raise TaskError("a row belongs to another partition")
            units = values(last, -1)
            begins = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist()]
            rows = pa.RecordBatch.from_arrays(batch.columns[:-1], schema=self._schema)
            for begin, end in zip(begins, [*begins[1:], len(units)], strict=True):
                yield int(units[begin]), rows.slice(begin, end - begin)


class Sight(Struct, frozen=True):
    """The rows that a unit sees: those of its date, and near ones of the dates beside it."""

    market: int
    """Number of its market's rows."""
    date: dt.date
    days: tuple[int, int]
    """Number of dates before and after its own whose rows may be near."""
    lookback: float
    """Seconds before its first row, or midnight."""
    lookahead: float
    """Seconds after its last row, or midnight; infinite at the end of the timeline."""

    def sees(self, dates: NDArray[np.float64], ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """True for the rows that it sees, of rows with a date (days since 1970) and a time (ns)."""
        day = (self.date - dt.date(1970, 1, 1)).days
        own = ts[dates == day]
        begin, end = (86_400_000_000_000 * each for each in (day, day + 1))
        if len(own):
            begin, end = min(begin, int(own.min())), max(end, int(own.max()) + 1_000)
        since = begin // 1_000 * 1_000 - self.lookback * 1e9
        until = end // 1_000 * 1_000 + self.lookahead * 1e9
        before, after = self.days
        return (
            (dates >= day - before)
            & (dates <= day + after)
            & ((dates >= day) | (ts >= since))
            & ((dates <= day) | (ts < until))
        )


class MarketRows:
    """Rows of markets, market after market, of which units see some that others see too."""

    def __init__(self, rows: UnitRows, sights: Sequence[Sight]) -> None:
        self._rows, self._sights = rows, sights
        self._market = -1

    def of(self, unit: int) -> RowStream:
        """The rows that a unit sees; those of its market are in memory."""
        sight = self._sights[unit]
        if sight.market < self._market:
            raise NotInOrder
        if sight.market > self._market:
            rows = self._rows.of(sight.market)
            self._market, self._table = sight.market, pa.Table.from_batches(rows, rows.schema)
            dates, ts = (self._table.column(name).combine_chunks() for name in ("date", "ts"))
            self._dates, self._ts = numbers(dates, "date"), times(ts)
        seen = sight.sees(self._dates, self._ts)
        turns = np.flatnonzero(np.diff(seen, prepend=False, append=False)).tolist()
        slices = (self._table.slice(begin, end - begin) for begin, end in zip(turns[::2], turns[1::2], strict=True))
        return RowStream(self._table.schema, (batch for rows in slices for batch in rows.to_batches()))
