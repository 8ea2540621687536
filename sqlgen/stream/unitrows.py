"""Rows of several units in one stream."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from msgspec import Struct

from sqlgen.errors import TaskError
from sqlgen.stream.arrays import values
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
            numbers = batch.column(batch.num_columns - 1)
            if numbers.null_count:
                raise TaskError("a row belongs to another partition")
            units = values(numbers, -1)
            begins = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist()]
            rows = pa.RecordBatch.from_arrays(batch.columns[:-1], schema=self._schema)
            for begin, end in zip(begins, [*begins[1:], len(units)], strict=True):
                yield int(units[begin]), rows.slice(begin, end - begin)
