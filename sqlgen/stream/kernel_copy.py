"""One COPY whose rows pass through kernels, unit after unit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from msgspec import Struct, field, structs

from sqlgen.compile.statements import KERNEL_ROWS
from sqlgen.errors import TaskError
from sqlgen.lake.partitions import KEYS
from sqlgen.published import states
from sqlgen.published.states import Snapshot
from sqlgen.stream.pipe import BATCH_ROWS, Pipe
from sqlgen.stream.signaudit import SignAudit
from sqlgen.stream.tradefeed import NotInOrder, TradeFeed, pending_trades
from sqlgen.stream.unitrows import MarketRows, RowStream, Sight, UnitRows, read_ahead
from sqlgen.templating.connection import one, open_cursor, select_of
from udfs import Pipeline

COPY_MB = 600
"""Buffer limit of a COPY, in MB. A DuckDB thread that leaves the COPY for another statement keeps its position in
the rows, and all rows behind it would be buffered, gigabytes of them; with this limit the other threads wait."""

UPDATE_ROWS = 65_536
"""Rows per call of a kernel that gives fewer rows than it reads: changes of levels, of which a message has many."""


class Feeds(Struct, frozen=True):
    """The rows that go through the kernels, and the trades that the kernels see beside them."""

    rows: str
    trades: str | None


class Statements(Struct, frozen=True):
    """The SQL of some units of a model with kernels."""

    feeds: Feeds
    """Feeds in the order of the files."""
    sorted: Feeds
    """Feeds in time order."""
    copy: Callable[[duckdb.DuckDBPyConnection, int], str]
    """Builds the statement that reads the kernels' output, a relation of the connection, and writes the unit of this
    number, or all units."""
    numbered: bool = False
    """The last column of both feeds is the number of the unit."""
    apart: bool = True
    """Each unit has a statement of its own."""
    sights: Sequence[Sight] = ()
    """Rows that each unit sees, where they are numbered by market."""


class Pass(Struct, frozen=True):
    """One unit that goes through the kernels."""

    constants: Mapping[str, Any]
    """Values of the unit's keys."""
    start: Snapshot | None
    """State before its first row; ``None``: the state after the unit before it."""


class End(Struct, frozen=True):
    """Outcome of a pass."""

    state: bytes
    """Content of the state file."""
    notes: Sequence[str]
    audit: SignAudit


class KernelCopy(Struct):
    """Runs the statements of consecutive units."""

    pipeline: Pipeline
    statements: Statements
    passes: Sequence[Pass]
    connection: duckdb.DuckDBPyConnection
    cursors: list[duckdb.DuckDBPyConnection]
    """Connections with a running statement are registered in it."""
    sql: list[str]
    """Each statement is added before it runs."""
    _ends: list[End] = field(default_factory=list)
    _last: Pipe | None = None
    """The pass before."""
    _error: BaseException | None = None
    """The exception that stopped a pass; DuckDB passes on its text only."""

    def run(self) -> list[End]:
        """Copy the units. Their states at the start are not changed."""
        for feeds in (self.statements.feeds, self.statements.sorted):
            with contextlib.suppress(NotInOrder):
                return self._run(feeds)
        raise TaskError("its rows or trades do not come in time order, not even sorted by ts")

    def _run(self, feeds: Feeds) -> list[End]:
        self._ends, self._last, self._error = [], None, None
        each = range(len(self.passes))
        numbered = self.statements.numbered
        with contextlib.ExitStack() as stack:
            trades = None
            if feeds.trades is not None:
                trades = UnitRows(stack.enter_context(self._stream(feeds.trades)), numbered)
            needless = KEYS if self.pipeline.replaces_rows else ()  # other rows have the keys of their unit
            own = UnitRows(stack.enter_context(self._stream(feeds.rows, needless)), numbered)
            rows = MarketRows(own, self.statements.sights) if self.statements.sights else own
            writer = stack.enter_context(open_cursor(self.connection, self.cursors))
            writer.execute(f"SET operator_memory_limit = '{COPY_MB}MB'")
            # DuckDB takes a stream for one row, and would join it row by row, in time quadratic in the rows.
            writer.execute("SET asof_loop_join_threshold = 0")
            for numbers in [[number] for number in each] if self.statements.apart else [each]:
                self._copy(writer, numbers, rows, trades)
            return self._ends

    def _copy(
        self,
        writer: duckdb.DuckDBPyConnection,
        numbers: Sequence[int],
        rows: UnitRows | MarketRows,
        trades: UnitRows | None,
    ) -> None:
        """Write some units by one statement."""
        first = self._pipe(numbers[0], rows, trades)
        batches = self._guarded(numbers, first, rows, trades)
        writer.register(KERNEL_ROWS, pa.RecordBatchReader.from_batches(first.schema(), batches))
        try:
            self.sql.append(self.statements.copy(writer, numbers[0]))
            writer.execute(one(writer, self.sql[-1]))
        except duckdb.Error:
            if self._error is not None:
                raise self._error from self._error.__cause__  # not from DuckDB's
            raise
        for _ in batches:  # under a filter that is never true DuckDB reads nothing
            pass
        writer.unregister(KERNEL_ROWS)

    def _guarded(
        self, numbers: Sequence[int], first: Pipe, rows: UnitRows | MarketRows, trades: UnitRows | None
    ) -> Iterator[pa.RecordBatch]:
        try:
            for number in numbers:
                pipe = first if number == numbers[0] else self._pipe(number, rows, trades)
                yield from pipe.batches()
                state = states.encode(pipe.end(), self.pipeline.state_identity)
                self._ends.append(End(state, tuple(pipe.notes), pipe.audit))
                self._last = pipe
        except BaseException as error:
            self._error = error
            raise

    def _pipe(self, number: int, rows: UnitRows | MarketRows, trades: UnitRows | None) -> Pipe:
        mine = self.passes[number]
        start = mine.start
        if start is None:
            assert self._last is not None
            start = self._last.end()
        # Kernels may write into the arrays of their state, and a second attempt needs them as they were.
        kernels = {name: {key: array.copy() for key, array in state.items()} for name, state in start.kernels.items()}
        feed = TradeFeed(trades.of(number), pending_trades(start)) if trades is not None else None
        state = structs.replace(start, kernels=kernels)
        return Pipe(self.pipeline, state, rows.of(number), feed, dict(mine.constants))

    @contextlib.contextmanager
    def _stream(self, select: str, needless: Collection[str] = ()) -> Iterator[RowStream]:
        """The rows of a SELECT as they are asked for, without columns that nothing reads."""
        with open_cursor(self.connection, self.cursors) as cursor:
            self.sql.append(select)
            rows = select_of(cursor, select)
            if needless:
                rows = rows.select(*(duckdb.ColumnExpression(name) for name in rows.columns if name not in needless))
            size = UPDATE_ROWS if self.pipeline.replaces_rows else BATCH_ROWS
            with read_ahead(rows.to_arrow_reader(size)) as stream:
                yield stream
