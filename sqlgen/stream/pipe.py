"""Arrow in, kernels, Arrow out: rows stream from one statement through the kernels into the next.

Only one batch of rows and the trades up to its end are in memory at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sqlgen.errors import TaskError
from sqlgen.project.signs import QUOTES
from sqlgen.published.states import Snapshot
from sqlgen.stream import late as late_rows
from sqlgen.stream.signaudit import SignAudit
from udfs import NO_INTEGER, NO_TRADES, Array, Batch, Column, FaultyKernelError, Pipeline, Trades

BATCH_ROWS = 8_192
"""Rows that pass through the kernels at once; what comes out does not depend on it."""

TRADE_COLUMNS = ("ts", "price", "amount", "side", "seq")
"""``seq`` only where rows and trades share a feed."""

_TYPES: dict[str, pa.DataType] = {
    "double": pa.float64(),
    "bigint": pa.int64(),
    "smallint": pa.int16(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("ns"),
    "varchar": pa.dictionary(pa.int8(), pa.string()),
}


class NotInOrder(Exception):  # noqa: N818 - not an error: the statement is run again, sorted
    """Rows do not come in time order."""


class TradeFeed:
    """Trades in time order, handed out up to a time."""

    def __init__(self, reader: pa.RecordBatchReader | None, pending: Trades = NO_TRADES) -> None:
        self._batches: Iterator[pa.RecordBatch] = iter(reader) if reader is not None else iter(())
        self._held = pending
        self._pulled: int | None = None
        """Time of the last trade that was read. Those that were pending may be later."""

    def up_to(self, ts: int, seq: int | None = None) -> Trades:
        """Those not handed out yet that are not later than ``ts``.

        Where rows and trades share a feed, those at ``ts`` are not later in it than ``seq``.
        """
        while self._pulled is None or self._pulled <= ts:
            if not self._pull():
                break
        end = int(np.searchsorted(self._held.ts, ts, side="right"))
        if seq is not None and self._held.seq is not None:
            begin = int(np.searchsorted(self._held.ts, ts, side="left"))
            end = begin + int(np.searchsorted(self._held.seq[begin:end], seq, side="right"))
        taken, self._held = _cut(self._held, 0, end), _cut(self._held, end, len(self._held))
        return taken

    def rest(self) -> Trades:
        """All that is left."""
        while self._pull():
            pass
        return self._held

    def _pull(self) -> bool:
        batch = next(self._batches, None)
        if batch is None:
            return False
        came = _trades(batch)
        if len(came) == 0:
            return True
        if np.any(came.ts[1:] < came.ts[:-1]) or (self._pulled is not None and came.ts[0] < self._pulled):
            raise NotInOrder
        held = came
        if len(self._held):
            before = _with_seq(self._held) if came.seq is not None else self._held
            held = Trades(*(np.concatenate(pair) for pair in zip(_fields(before), _fields(came), strict=True)))
            if came.ts[0] < before.ts[-1]:
                # Trades of the day before that wait here may be later than the first of this day, which came late.
                order = np.argsort(held.ts, kind="stable")
                held = Trades(*(part[order] for part in _fields(held)))
        self._pulled = int(came.ts[-1])
        self._held = held
        return True


@dataclass
class Pipe:
    """One pass of one symbol's rows through a chain of kernels."""

    chain: Pipeline
    state: Snapshot
    """Where the pass starts; afterwards, where it ended."""
    rows: pa.RecordBatchReader
    trades: TradeFeed | None = None
    constants: dict[str, Any] = field(default_factory=dict)
    """Columns of the partition, for kernels that give other rows than they were given."""
    audit: SignAudit = field(default_factory=SignAudit)
    """Notes on the trades, where rows are quotes."""
    notes: list[str] = field(default_factory=list)
    """Notes of the kernels on the rows, once all have passed."""
    error: BaseException | None = None
    """What stopped the pass; DuckDB would tell only its text."""

    def __post_init__(self) -> None:
        self._last: int | None = None
        self._late_until: int | None = None
        """Time before which rows of this partition come late."""
        _check(self.chain, self.rows.schema)

    def reader(self) -> pa.RecordBatchReader:
        """The rows with the kernels' columns."""
        return pa.RecordBatchReader.from_batches(self._schema(), self._guarded())

    def drain(self) -> None:
        """Pass on what was not read: a filter that is never true reads nothing."""
        for _ in self._batches():
            pass

    def end(self) -> Snapshot:
        """The state after the last row. Call it once every row was read."""
        last = self.state.last if self._last is None else max(self._last, self._late_until or self._last)
        if self.trades is None:
            return Snapshot(self.state.kernels, self.state.trades, last)
        trades = dict(zip(TRADE_COLUMNS, _fields(self.trades.rest()), strict=False))
        return Snapshot(self.state.kernels, trades, last)

    def _schema(self) -> pa.Schema:
        added = [pa.field(column.name, _TYPES[column.type]) for column in self.chain.outputs]
        if self.chain.replaces_rows:
            return pa.schema([*(pa.field(name, scalar.type) for name, scalar in self._constants().items()), *added])
        return pa.schema([*self.rows.schema, *added])

    def _constants(self) -> dict[str, pa.Scalar]:
        return {name: pa.scalar(value) for name, value in self.constants.items()}

    def _guarded(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches()
        except BaseException as error:
            self.error = error
            raise

    def _batches(self) -> Iterator[pa.RecordBatch]:
        schema = self._schema()
        for batch in self.rows:
            if batch.num_rows == 0:
                continue
            ts = self._times(batch)
            columns = {name: self._column(batch.column(name), name) for name in self.chain.inputs}
            given = self._given(Batch(ts, columns, None, _places(batch)), batch)
            added = [arrow(given[column.name], column) for column in self.chain.outputs]
            kept = self._repeated(len(added[0])) if self.chain.replaces_rows else batch.columns
            yield pa.RecordBatch.from_arrays([*kept, *added], schema=schema)
        for kernel in self.chain.kernels:
            self.notes += kernel.notes(self.state.kernels[kernel.name])
        if self.chain.replaces_rows:
            kernel = self.chain.kernels[0]
            waiting = kernel.waiting(self.state.kernels[kernel.name])
            added = [arrow(array, column) for array, column in zip(waiting, kernel.outputs(), strict=True)]
            yield pa.RecordBatch.from_arrays([*self._repeated(len(added[0])), *added], schema=schema)

    def _given(self, rows: Batch, batch: pa.RecordBatch) -> dict[str, Array]:
        """The columns of the kernels for some rows, which come late or do not."""
        late = 0 if self._late_until is None else int(np.searchsorted(rows.ts, self._late_until, side="left"))
        with _where(rows):
            parts = late_rows.run(self.chain, late_rows.cut(rows, 0, late), self.trades is not None)
            if late < len(rows):
                parts.append(self._run(late_rows.cut(rows, late, len(rows)), batch, late))
        return (
            parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )

    def _run(self, rows: Batch, batch: pa.RecordBatch, late: int) -> dict[str, Array]:
        """The columns of the kernels for rows in time, with the trades up to the last of them."""
        trades = None
        if self.trades is not None:
            trades = self.trades.up_to(int(rows.ts[-1]), int(rows.seq[-1]) if rows.seq is not None else None)
            if {*QUOTES} <= {*batch.schema.names}:
                quotes = {name: numbers(batch.column(name), name)[late:] for name in QUOTES}
                self.audit.add(rows.ts, quotes, trades)
        return self.chain.run(self.state.kernels, dataclasses.replace(rows, trades=trades))

    def _column(self, column: pa.Array, name: str) -> Array:
        return integers(column, name) if name in self.chain.integers else numbers(column, name)

    def _repeated(self, size: int) -> list[pa.Array]:
        return [pa.repeat(scalar, size) for scalar in self._constants().values()]

    def _times(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        ts = times(batch.column("ts"))
        if np.any(ts[1:] < ts[:-1]) or (self._last is not None and ts[0] < self._last):
            raise NotInOrder
        if self._last is None and not self.chain.replaces_rows:
            self._late_until = late_rows.late_until(self.state.last, int(ts[0]))
        self._last = int(ts[-1])
        return ts


@contextlib.contextmanager
def _where(rows: Batch) -> Iterator[None]:
    """Name the rows at which a kernel fails."""
    try:
        yield
    except FaultyKernelError as error:
        raise TaskError(f"at the rows from {np.datetime64(int(rows.ts[0]), 'ns')} on: {error}") from error


def times(column: pa.Array) -> NDArray[np.int64]:
    """Nanoseconds since the epoch."""
    if column.null_count:
        raise TaskError(f"{column.null_count} row(s) have no ts: kernels need the time of every row")
    values: NDArray[np.int64] = column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
    return values


def numbers(column: pa.Array, name: str) -> NDArray[np.float64]:
    """float64 with NaN for NULL."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise TaskError(f"kernels need column '{name}' as numbers, and the template gives {kind}. Cast it to DOUBLE")
    values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def integers(column: pa.Array, name: str) -> NDArray[np.int64]:
    """int64 with ``NO_INTEGER`` for NULL; the bits of what is unsigned."""
    if not pa.types.is_integer(column.type):
        raise TaskError(f"kernels need column '{name}' as integers, and the template gives {column.type}. Cast it")
    if column.type == pa.uint64():
        column = column.view(pa.int64())
    values: NDArray[np.int64] = column.cast(pa.int64()).fill_null(NO_INTEGER).to_numpy(zero_copy_only=False)
    return values


def arrow(values: Array, column: Column) -> pa.Array:
    """A kernel's output as an Arrow array."""
    if column.type == "double":  # as pa.array(values, from_pandas=True), at a quarter of its time
        doubles = np.ascontiguousarray(values, np.float64)
        finite = np.isfinite(doubles)
        valid = None
        if not finite.all():
            if np.isinf(doubles).any():
                raise TaskError(f"a kernel gives inf in column {column.name}: what is not known is NaN")
            valid = pa.py_buffer(np.packbits(finite, bitorder="little"))
        return pa.Array.from_buffers(pa.float64(), len(doubles), [valid, pa.py_buffer(doubles)])
    if column.type == "varchar":
        return pa.DictionaryArray.from_arrays(
            pa.array(values, pa.int8(), mask=values < 0), pa.array(column.values, pa.string())
        )
    return pa.array(values, _TYPES[column.type])


def pending_trades(snapshot: Snapshot) -> Trades:
    """The trades that wait in a state."""
    if not snapshot.trades:
        return NO_TRADES
    return Trades(*(snapshot.trades[name] for name in TRADE_COLUMNS if name in snapshot.trades))


def _check(chain: Pipeline, schema: pa.Schema) -> None:
    names = set(schema.names)
    missing = [name for name in ("ts", *chain.inputs) if name not in names]
    if missing:
        needy = [kernel.name for kernel in chain.kernels if set(kernel.inputs()) & set(missing)] or ["every kernel"]
        raise TaskError(
            f"kernel {', '.join(needy)} needs column {', '.join(missing)}, which the template does not give."
            f" It gives: {', '.join(schema.names)}"
        )
    twice = [column.name for column in chain.outputs if column.name in names]
    if twice and not chain.replaces_rows:
        raise TaskError(f"the template and a kernel both give column {', '.join(twice)}. Rename that of the template")


def _trades(batch: pa.RecordBatch) -> Trades:
    side = pc.fill_null(batch.column("side").cast(pa.int8()), 0).to_numpy()
    return Trades(
        times(batch.column("ts")),
        numbers(batch.column("price"), "price"),
        numbers(batch.column("amount"), "amount"),
        side,
        _places(batch),
    )


def _places(batch: pa.RecordBatch) -> NDArray[np.int64] | None:
    """The column ``seq``, if there is one."""
    if "seq" not in batch.schema.names or not pa.types.is_integer(batch.schema.field("seq").type):
        return None
    return integers(batch.column("seq"), "seq")


def _with_seq(trades: Trades) -> Trades:
    """The trades with a place in the feed; those of a state that knows none come first."""
    if trades.seq is not None:
        return trades
    return Trades(trades.ts, trades.price, trades.amount, trades.side, np.full(len(trades), NO_INTEGER))


def _fields(trades: Trades) -> tuple[Array, ...]:
    fields = trades.ts, trades.price, trades.amount, trades.side
    return fields if trades.seq is None else (*fields, trades.seq)


def _cut(trades: Trades, start: int, end: int) -> Trades:
    return Trades(*(part[start:end] for part in _fields(trades)))
