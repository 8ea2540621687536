"""An open-ended pass of a live feed's rows through kernels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from sqlgen.published.states import Snapshot
from sqlgen.stream.pipe import Pipe
from sqlgen.stream.tradefeed import TradeFeed
from udfs import Pipeline


class PendingTrades(TradeFeed):
    """Trades pending for the next row."""

    def add(self, rows: pa.RecordBatch) -> None:
        self._held = TradeFeed(pa.RecordBatchReader.from_batches(rows.schema, [rows]), self._held).rest()


class KernelPass:
    """Rows that pass through kernels one at a time. ``constants``: keys of the unit, of kernels that give bars."""

    def __init__(
        self,
        pipeline: Pipeline,
        state: Snapshot,
        schema: pa.Schema,
        trades: PendingTrades | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        self.trades = trades
        self._waiting: deque[pa.RecordBatch] = deque()
        rows = pa.RecordBatchReader.from_batches(schema, _taken(self._waiting))
        self._pipe = Pipe(pipeline, state, rows, trades, dict(constants or {}))
        self._batches = self._pipe.batches()

    @property
    def state(self) -> Snapshot:
        """Kernel state after the last row."""
        return self._pipe.end()

    def row(self, row: pa.RecordBatch) -> pa.RecordBatch:
        """Rows that the kernels give for one more: it with their columns, or the bars that it closes."""
        self._waiting.append(row)
        return next(self._batches)

    def end(self) -> pa.RecordBatch:
        """Bars that end with the unit."""
        return next(self._batches)


def _taken(waiting: deque[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    while waiting:
        yield waiting.popleft()
