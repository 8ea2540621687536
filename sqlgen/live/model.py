"""A model row by row: the features of each row as soon as it arrives, as a run over files would compute them.

It uses the same SQL, kernels and states: a feed continues where a run ended, and a run verifies a feed.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan, Scope, SourceLayout
from sqlgen.errors import SqlgenError, UsageError, nearest
from sqlgen.lake.partitions import Partition
from sqlgen.live import start as live_start
from sqlgen.live.refusals import covers, dated, refuse
from sqlgen.live.rowwise import RawRows, RowError, RowStatement
from sqlgen.live.start import NO_KERNELS, FeedPosition, Start
from sqlgen.project.feeds import shares_feed
from sqlgen.project.model import TRADES, Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.published import states
from sqlgen.published.states import Snapshot
from sqlgen.run.engine import Engine
from sqlgen.stream.pipe import Pipe
from sqlgen.stream.tradefeed import TradeFeed, pending_trades
from sqlgen.templating.connection import confined
from udfs import NANOSECONDS, Pipeline

_ROWS, _TRADES = "live_rows", "live_trades"
_A_TRADE: states.Arrays = {
    "ts": np.zeros(1, np.int64),
    "price": np.ones(1),
    "amount": np.ones(1),
    "side": np.ones(1, np.int8),
}


class LateError(SqlgenError):
    """A row or a trade comes after a later one. The state has not changed; skip it, and go on with the next."""


def open_model(
    path: Path | str = "models.yaml",
    model: str = "orderbook_hf",
    *,
    exchange: str,
    symbol: str,
    state: Path | str | None = None,
) -> LiveModel:
    """Open a model for one symbol, ready for its first row.

    Args:
        path: models.yaml.
        model: name of the model.
        exchange: as in the lake.
        symbol: as in the lake.
        state: ``None`` starts a history, ``"last"`` goes on after the newest published partition, a path after that
            published partition or saved state.
    """
    engine = Engine.open(path)
    known = engine.project.models
    if model not in known:
        raise UsageError(f"unknown model '{model}'.{nearest(model, known)} Known: {', '.join(known)}")
    where = Partition.of(exchange=exchange, symbol=symbol)
    refuse(engine.project, known[model], where)
    return LiveModel(engine.project, known[model], where, live_start.find(engine, known[model], where, state))


class _PendingTrades(TradeFeed):
    """Trades pending for the next row."""

    def add(self, rows: pa.RecordBatch) -> None:
        self._held = TradeFeed(pa.RecordBatchReader.from_batches(rows.schema, [rows]), self._held).rest()


class _Pass:
    """An open-ended pass through kernels."""

    def __init__(self, chain: Pipeline, state: Snapshot, schema: pa.Schema, trades: bool) -> None:
        self.trades = _PendingTrades(None, pending_trades(state)) if trades else None
        self._schema = schema
        self._waiting: deque[pa.RecordBatch] = deque()
        self._pipe = Pipe(chain, state, pa.RecordBatchReader.from_batches(schema, _taken(self._waiting)), self.trades)
        self._reader = self._pipe.reader()

    @property
    def state(self) -> Snapshot:
        """Kernel state after the last row."""
        return self._pipe.end()

    def row(self, row: pa.RecordBatch) -> pa.RecordBatch:
        """A row with the columns of the kernels."""
        self._waiting.append(row)
        return self._reader.read_next_batch()

    def try_out(self) -> None:
        """Pass two rows without values, so that kernels are compiled before the first row arrives."""
        arrays = [pa.nulls(1, column.type) for column in self._schema]
        at = self._schema.get_field_index("ts")
        for second in range(2):
            arrays[at] = pa.array([second * NANOSECONDS]).cast(self._schema.field(at).type)
            self.row(pa.RecordBatch.from_arrays(arrays, schema=self._schema))


def _taken(waiting: deque[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    while waiting:
        yield waiting.popleft()


class LiveModel:
    """A model of one symbol, fed row by row. Not for several threads at once."""

    def __init__(self, project: Project, model: Model, where: Partition, start: Start) -> None:
        self._model = model
        self._chain = model.chain or NO_KERNELS
        self._where = where
        self._position = start.position
        self._broken = ""
        self._compiler = Compiler(project)
        self._one_feed = shares_feed(project, model)
        self._connection = confined((), {"threads": 1})
        self._statements: dict[str, RowStatement] = {}
        self._rows = self._raw(model.primary)
        sees_trades = model.trades is not None and covers(model.trades, where)
        self._trades = self._raw(model.trades) if sees_trades and model.trades is not None else None
        self._pass = self._open(start.state)

    @property
    def last(self) -> int | None:
        """Time of the last row in ns since the epoch. Rows must not be earlier, trades must be later."""
        return self._position.last

    def trade(self, trade: Mapping[str, Any]) -> None:
        """Add a raw trade in the form of the source's files. The next row that is not earlier sees it."""
        self._check_whole()
        if self._trades is None or self._model.trades is None:
            raise UsageError(f"model '{self._model.name}' sees no trades of {self._where}")
        time = self._trades.time(trade)
        last = self._position.last
        if last is not None and (time < last or (time == last and not self._one_feed)):
            raise LateError(
                f"{self._trades.what}: the trade of {_clock(time)} comes after the row of {_clock(last)},"
                " which should have seen it. Leave it out: a run over the lake will count it"
            )
        date, seq = self._position.next(time)
        rows = self._run(_TRADES, self._trades, trade, time, date, seq)
        if self._pass.trades is not None and dated(self._model.trades, date):
            self._pass.trades.add(rows)

    def update(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Add a raw row in the form of the source's files, and return the row that a run would publish.

        NULL is ``None``; times are ns since the epoch.
        """
        self._check_whole()
        time = self._rows.time(row)
        if self._position.last is not None and time < self._position.last:
            raise LateError(
                f"{self._rows.what}: the row of {_clock(time)} comes after the row of {_clock(self._position.last)}."
                " Leave it out: a run over the lake will sort it in"
            )
        date, seq = self._position.next(time)
        if not dated(self._model.primary, date):
            raise RowError(f"{self._rows.what}: models.yaml excludes rows of {date} (date_start, date_end)")
        found = self._run(_ROWS, self._rows, row, time, date, seq)
        try:
            found = self._pass.row(found)
        except BaseException as error:
            # Some kernels have seen the row, others have not.
            self._broken = f"its kernels stopped at the row of {_clock(time)}: {error}"
            if isinstance(error, Exception):
                raise self._lost() from error
            raise
        self._position = FeedPosition(time, date, seq + 1)
        given = dict(zip(found.schema.names, map(_value, found.columns), strict=True))
        return {name: given[name] for name in self._model.columns} or given

    def state(self) -> bytes:
        """Content of the state file of a run whose partition ends here."""
        self._check_whole()
        return states.encode(self._pass.state, self._chain.state_identity)

    def save(self, path: Path | str) -> None:
        """Write a file from which ``open_model`` continues, also in the middle of a day."""
        self._check_whole()
        live_start.save(Path(path), self._model, self._where, Start(self._pass.state, self._position))

    def close(self) -> None:
        self._close_statements()
        self._connection.close()

    def __enter__(self) -> LiveModel:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _raw(self, entry: ModelInput) -> RawRows:
        types = self._compiler.raw_form(self._model, entry, SourceLayout("table")).known_columns
        return RawRows.of(f"model '{self._model.name}', input '{entry.name}'", types, self._connection)

    def _select(self, table: str) -> str:
        scans: dict[str, Scan | None] = {self._model.primary.name: Scan((_ROWS,), "table")}
        if self._model.trades is not None:
            scans[TRADES] = Scan((_TRADES,), "table")
        scope = Scope(scans)
        select = self._compiler.feed(self._model, scope)
        if table == _TRADES:
            select = self._compiler.trades(self._model, scope) or ""
        return select

    def _statement(self, table: str, rows: RawRows) -> RowStatement:
        if table not in self._statements:
            self._statements[table] = RowStatement(self._select(table), table, rows, self._connection)
        return self._statements[table]

    def _run(
        self, table: str, rows: RawRows, row: Mapping[str, Any], time: int, date: dt.date, seq: int
    ) -> pa.RecordBatch:
        batch = rows.batch(row, **dict(self._where.values), date=date, seq=seq)
        try:
            return self._statement(table, rows).row(batch, time)
        except BaseException:
            self._close_statements()  # statements may hold rows in flight
            raise

    def _check_whole(self) -> None:
        if self._broken:
            raise self._lost()

    def _lost(self) -> SqlgenError:
        return SqlgenError(
            f"model '{self._model.name}' at {self._where}: {self._broken}. Its state is lost: open it again from one"
            " that was saved or published before"
        )

    def _open(self, state: Snapshot) -> _Pass:
        """Plan the statements, compile the kernels, and check both on rows that are discarded."""
        schema = self._statement(_ROWS, self._rows).schema
        if self._trades is not None:
            self._statement(_TRADES, self._trades)
        try:
            _Pass(self._chain, Snapshot(self._chain.start(), _A_TRADE), schema, self._trades is not None).try_out()
        except Exception as error:
            raise SqlgenError(f"model '{self._model.name}' cannot run live: {error}") from error
        return _Pass(self._chain, state, schema, self._trades is not None)

    def _close_statements(self) -> None:
        while self._statements:
            self._statements.popitem()[1].close()


def _value(column: pa.Array) -> Any:
    value = column[0]
    if isinstance(value, pa.TimestampScalar):
        return (value if value.type.unit == "ns" else value.cast(pa.timestamp("ns", value.type.tz))).value
    return value.as_py()


def _clock(time: int) -> str:
    return f"{np.datetime64(time, 'ns')}".replace("T", " ")
