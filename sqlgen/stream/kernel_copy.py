"""One COPY whose rows pass through kernels."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from sqlgen.compile.statements import KERNEL_ROWS, in_order
from sqlgen.errors import TaskError
from sqlgen.published.states import Snapshot
from sqlgen.stream.pipe import BATCH_ROWS, Pipe
from sqlgen.stream.signaudit import SignAudit
from sqlgen.stream.tradefeed import NotInOrder, TradeFeed, pending_trades
from udfs import Pipeline

COPY_MB = 600
"""Buffer limit of a COPY, in MB. A DuckDB thread that leaves the COPY for another statement keeps its position in
the rows, and all rows behind it would be buffered, gigabytes of them; with this limit the other threads wait."""


@contextlib.contextmanager
def open_cursor(
    connection: duckdb.DuckDBPyConnection, running: list[duckdb.DuckDBPyConnection]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor that is registered in ``running`` while it is open, so that an interrupt reaches it."""
    cursor = connection.cursor()
    running.append(cursor)
    try:
        cursor.execute("SET enable_progress_bar = false")  # it would print into the output of the command
        yield cursor
    finally:
        running.remove(cursor)
        cursor.close()


@dataclass(frozen=True)
class Statements:
    """The SQL of one unit of a model with kernels."""

    feed: str
    """The rows that go through the kernels."""
    trades: str | None
    """The trades that the kernels see beside them."""
    copy: Callable[[duckdb.DuckDBPyConnection], str]
    """Builds the statement that reads the kernels' output, a relation of the connection, and writes the unit."""


@dataclass
class KernelCopy:
    """Runs the statements of one unit."""

    chain: Pipeline
    statements: Statements
    constants: Mapping[str, Any]
    """Values of the unit's keys."""
    connection: duckdb.DuckDBPyConnection
    cursors: list[duckdb.DuckDBPyConnection]
    """Connections with a running statement are registered in it."""
    sql: list[str]
    """Each statement is added before it runs."""
    notes: list[str]
    """The kernels' notes are added."""
    audit: SignAudit = field(default_factory=SignAudit)
    """Notes on the trades that passed."""

    def run(self, start: Snapshot) -> Snapshot:
        """Copy the unit and return the state after its last row. ``start`` is not changed."""
        try:
            return self._run(start, self.statements.feed, self.statements.trades)
        except NotInOrder:
            trades = self.statements.trades
        try:
            return self._run(start, in_order(self.statements.feed), in_order(trades) if trades else None)
        except NotInOrder:
            raise TaskError("its rows or trades do not come in time order, not even sorted by ts") from None

    def _run(self, start: Snapshot, feed: str, trades: str | None) -> Snapshot:
        # Kernels may write into the arrays of their state, and a second attempt needs them as they were.
        kernels = {name: {key: array.copy() for key, array in state.items()} for name, state in start.kernels.items()}
        state = dataclasses.replace(start, kernels=kernels)
        with contextlib.ExitStack() as stack:
            trade_feed = None
            if trades is not None:
                trade_feed = TradeFeed(stack.enter_context(self._stream(trades)), pending_trades(start))
            rows = stack.enter_context(self._stream(feed))
            pipe = Pipe(self.chain, state, rows, trade_feed, dict(self.constants))
            writer = stack.enter_context(open_cursor(self.connection, self.cursors))
            writer.execute(f"SET operator_memory_limit = '{COPY_MB}MB'")
            writer.register(KERNEL_ROWS, pipe.reader())
            try:
                self.sql.append(self.statements.copy(writer))
                writer.execute(self.sql[-1])
            except duckdb.Error:
                if pipe.error is not None:
                    raise pipe.error from None
                raise
            pipe.drain()
            self.notes += pipe.notes
            self.audit = pipe.audit
            return pipe.end()

    @contextlib.contextmanager
    def _stream(self, select: str) -> Iterator[pa.RecordBatchReader]:
        """The rows of a SELECT as they are asked for."""
        with open_cursor(self.connection, self.cursors) as cursor:
            self.sql.append(select)
            yield cursor.sql(select).to_arrow_reader(BATCH_ROWS)
