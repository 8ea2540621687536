"""Arrow in, kernels, Arrow out: rows stream from one statement through the kernels into the next.

Only a few batches of rows and the trades up to their end are in memory at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import Struct, field, structs
from numpy.typing import NDArray

from sqlgen.errors import TaskError
from sqlgen.project.signs import QUOTES
from sqlgen.published.states import Snapshot
from sqlgen.stream import late as late_rows
from sqlgen.stream.arrays import TYPES, arrow, integers, kind_of, numbers, repeated, times
from sqlgen.stream.lotaudit import LotAudit
from sqlgen.stream.signaudit import SignAudit
from sqlgen.stream.tradefeed import TRADE_COLUMNS, NotInOrder, TradeFeed, fields, positions
from sqlgen.stream.unitrows import RowStream
from udfs import Array, Batch, FaultyKernelError, Pipeline

BATCH_ROWS = 8_192
"""Rows per call of the kernels; the result does not depend on it."""


class Pipe(Struct, dict=True):
    """One pass of one symbol's rows through a pipeline of kernels."""

    pipeline: Pipeline
    state: Snapshot
    """Kernel state at the start of the pass; afterwards, at its end."""
    rows: RowStream | pa.RecordBatchReader
    trades: TradeFeed | None = None
    constants: dict[str, Any] = field(default_factory=dict)
    """Partition columns, for kernels whose output rows are not their input rows."""
    audit: SignAudit = field(default_factory=SignAudit)
    """Notes on the trades, where rows are quotes."""
    notes: list[str] = field(default_factory=list)
    """Notes of the kernels on the rows, once all have passed."""

    def __post_init__(self) -> None:
        self._last: int | None = None
        self._late_until: int | None = None
        """Time before which rows of this partition come late."""
        self._lots = LotAudit()
        _check(self.pipeline, self.rows.schema)

    def reader(self) -> pa.RecordBatchReader:
        """The rows with the kernels' columns."""
        return pa.RecordBatchReader.from_batches(self.schema(), self.batches())

    def end(self) -> Snapshot:
        """The state after the last row. Call it after all rows have been read."""
        last = self.state.last if self._last is None else max(self._last, self._late_until or self._last)
        if self.trades is None:
            return Snapshot(self.state.kernels, self.state.trades, last)
        trades = dict(zip(TRADE_COLUMNS, fields(self.trades.rest()), strict=False))
        return Snapshot(self.state.kernels, trades, last)

    def schema(self) -> pa.Schema:
        added = [pa.field(column.name, TYPES[column.type]) for column in self.pipeline.outputs]
        if self.pipeline.replaces_rows:
            return pa.schema([*(pa.field(name, kind_of(value)) for name, value in self.constants.items()), *added])
        return pa.schema([*self.rows.schema, *added])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the rows, and give them the kernels' columns."""
        schema = self.schema()
        for batch in _whole(self.rows) if self.pipeline.looks_ahead else self.rows:
            if batch.num_rows == 0:
                continue
            ts = self._times(batch)
            columns = {name: self._column(batch.column(name), name) for name in self.pipeline.inputs}
            computed = self._kernel_columns(Batch(ts, columns, None, positions(batch)), batch)
            added = [arrow(computed[column.name], column) for column in self.pipeline.outputs]
            carried = self._repeated(len(added[0])) if self.pipeline.replaces_rows else batch.columns
            yield pa.RecordBatch.from_arrays([*carried, *added], schema=schema)
        try:
            self.pipeline.check_states(self.state.kernels)
            self.notes += self.pipeline.notes(self.state.kernels)
            waiting = self.pipeline.waiting(self.state.kernels) if self.pipeline.replaces_rows else []
        except FaultyKernelError as error:
            raise TaskError(f"after its last row: {error}") from error
        self.notes += self._lots.notes()
        if self.pipeline.replaces_rows:
            added = [arrow(array, column) for array, column in zip(waiting, self.pipeline.outputs, strict=True)]
            yield pa.RecordBatch.from_arrays([*self._repeated(len(added[0])), *added], schema=schema)

    def _kernel_columns(self, rows: Batch, batch: pa.RecordBatch) -> dict[str, Array]:
        """The kernels' columns for some rows, late or not."""
        late = 0 if self._late_until is None else int(np.searchsorted(rows.ts, self._late_until, side="left"))
        with _where(rows):
            parts = late_rows.run(self.pipeline, late_rows.cut(rows, 0, late), self.trades is not None)
            if late < len(rows):
                parts.append(self._run(late_rows.cut(rows, late, len(rows)), batch, late))
        return (
            parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )

    def _run(self, rows: Batch, batch: pa.RecordBatch, late: int) -> dict[str, Array]:
        """The kernels' columns for rows in time order, with the trades up to the last row."""
        trades = None
        if self.trades is not None:
            trades = self.trades.up_to(int(rows.ts[-1]), int(rows.seq[-1]) if rows.seq is not None else None)
            if {*QUOTES} <= {*batch.schema.names}:
                quotes = {name: numbers(batch.column(name), name)[late:] for name in QUOTES}
                self.audit.add(rows.ts, quotes, trades)
        rows = structs.replace(rows, trades=trades)
        found = self.pipeline.run(self.state.kernels, rows)
        self._lots.add(self.pipeline.kernels, self.state.kernels, rows)
        return found

    def _column(self, column: pa.Array, name: str) -> Array:
        return integers(column, name) if name in self.pipeline.integers else numbers(column, name)

    def _repeated(self, size: int) -> list[pa.Array]:
        return [repeated(value, size) for value in self.constants.values()]

    def _times(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        ts = times(batch.column("ts"))
        if np.any(ts[1:] < ts[:-1]) or (self._last is not None and ts[0] < self._last):
            raise NotInOrder
        if self._last is None and not self.pipeline.replaces_rows:
            self._late_until = late_rows.late_until(self.state.last, int(ts[0]))
        self._last = int(ts[-1])
        return ts


def _whole(rows: RowStream | pa.RecordBatchReader) -> list[pa.RecordBatch]:
    """All rows in one batch."""
    batches = pa.Table.from_batches(iter(rows), rows.schema).combine_chunks().to_batches()
    return [*batches]


@contextlib.contextmanager
def _where(rows: Batch) -> Iterator[None]:
    """Name the rows at which a kernel fails."""
    try:
        yield
    except FaultyKernelError as error:
        raise TaskError(f"at the rows from {np.datetime64(int(rows.ts[0]), 'ns')} on: {error}") from error


def _check(pipeline: Pipeline, schema: pa.Schema) -> None:
    names = set(schema.names)
    missing = [name for name in ("ts", *pipeline.inputs) if name not in names]
    if missing:
        needy = [kernel.name for kernel in pipeline.kernels if set(kernel.inputs()) & set(missing)] or ["every kernel"]
        raise TaskError(
            f"kernel {', '.join(needy)} needs column {', '.join(missing)}, which the template does not return. "
            f"It returns: {', '.join(schema.names)}"
        )
    folded = {name.lower() for name in names}  # as DuckDB compares them
    twice = [column.name for column in pipeline.outputs if column.name.lower() in folded]
    if twice and not pipeline.replaces_rows:
        raise TaskError(f"the template and a kernel both return column {', '.join(twice)}. Rename that of the template")
