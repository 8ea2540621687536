"""Rows of a live feed: what all live models have in common."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan, Scope, SourceLayout
from sqlgen.errors import SqlgenError, UsageError, nearest
from sqlgen.lake.partitions import Partition
from sqlgen.live import start as live_start
from sqlgen.live.refusals import dated
from sqlgen.live.rowwise import RawRows, RowError, RowStatement
from sqlgen.live.start import NO_KERNELS, Start
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.published import states
from sqlgen.published.states import Snapshot
from sqlgen.run.engine import Engine
from sqlgen.templating.connection import confined
from udfs import NANOSECONDS

ROWS = "live_rows"
"""Table of the raw rows of the first input."""
Refusal = Callable[[Project, Model, Partition], None]
"""Raises if a model cannot run live."""


class LateError(SqlgenError):
    """A row or a trade comes after a later one. The state has not changed; skip it, and go on with the next."""


class Feed(ABC):
    """A model of one symbol that is fed row by row. Not for several threads at once."""

    def __init__(self, project: Project, model: Model, where: Partition, start: Start) -> None:
        self._model = model
        self._pipeline = model.pipeline or NO_KERNELS
        self._where = where
        self._position = start.position
        self._broken = ""
        self._compiler = Compiler(project)
        self._connection = confined((), {"threads": 1})
        self._statements: dict[str, RowStatement] = {}
        self._rows = self._raw(model.primary)

    @classmethod
    def open(
        cls, refuse: Refusal, path: Path | str, model: str, exchange: str, symbol: str, state: Path | str | None
    ) -> Self:
        """Open a model of a project; ``state`` as :func:`sqlgen.live.open_model` takes it."""
        engine, known, where = opened(refuse, path, model, exchange, symbol)
        return cls(engine.project, known, where, live_start.find(engine, known, where, state))

    @property
    def last(self) -> int | None:
        """Time of the last row in ns since the epoch. Rows must not be earlier, trades must be later."""
        return self._position.last

    def state(self) -> bytes:
        """Content of the state file of a run whose partition ends here."""
        self._check_whole()
        return states.encode(self._snapshot(), self._pipeline.state_identity)

    def save(self, path: Path | str) -> None:
        """Write a file from which the model is opened again, also in the middle of a day."""
        self._check_whole()
        live_start.save(Path(path), self._model, self._where, Start(self._snapshot(), self._position))

    def close(self) -> None:
        self._close_statements()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def _snapshot(self) -> Snapshot:
        """Kernel state after the last row."""

    def _next(self, row: Mapping[str, Any]) -> tuple[int, dt.date, int]:
        """Time, date and number of a row, which may not be earlier than the last one."""
        self._check_whole()
        time = self._rows.time(row)
        if self._position.last is not None and time < self._position.last:
            raise LateError(
                f"{self._rows.what}: the row of {clock(time)} comes after the row of {clock(self._position.last)}."
                " Leave it out: a run over the lake will sort it in"
            )
        date, seq = self._position.next(time)
        if not dated(self._model.primary, date):
            raise RowError(f"{self._rows.what}: models.yaml excludes rows of {date} (date_start, date_end)")
        return time, date, seq

    def _stopped(self, time: int, error: BaseException) -> None:
        """Raise that the kernels stopped at a row: some have seen it, others have not."""
        self._broken = f"its kernels stopped at the row of {clock(time)}: {error}"
        if isinstance(error, Exception):
            raise self._lost() from error
        raise error

    def _raw(self, entry: ModelInput) -> RawRows:
        return raw_rows(self._compiler, self._model, entry, self._connection)

    def _scans(self) -> dict[str, Scan | None]:
        others: dict[str, Scan | None] = {entry.name: None for entry in self._model.inputs}
        return others | {self._model.primary.name: Scan((ROWS,), "table")}

    def _select(self, table: str) -> str:
        """The SELECT of the rows that go through the kernels."""
        return self._compiler.feed(self._model, Scope(self._scans()))

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

    def _close_statements(self) -> None:
        while self._statements:
            self._statements.popitem()[1].close()


def opened(
    refuse: Refusal, path: Path | str, model: str, exchange: str, symbol: str
) -> tuple[Engine, Model, Partition]:
    """Project, model and keys of a feed that is not refused."""
    engine = Engine.open(path)
    known = engine.project.models
    if model not in known:
        raise UsageError(f"unknown model '{model}'.{nearest(model, known)} Known: {', '.join(known)}")
    where = Partition.of(exchange=exchange, symbol=symbol)
    refuse(engine.project, known[model], where)
    return engine, known[model], where


def raw_rows(compiler: Compiler, model: Model, entry: ModelInput, connection: duckdb.DuckDBPyConnection) -> RawRows:
    """Conversion of the raw rows of an input."""
    types = compiler.raw_form(model, entry, SourceLayout("table")).known_columns
    clock = (entry.source.clock if entry.source is not None else "") or ""
    return RawRows.of(f"model '{model.name}', input '{entry.name}'", types, connection, clock)


def blank_rows(schema: pa.Schema, count: int = 2) -> list[pa.RecordBatch]:
    """Rows without values, a second apart, on which kernels are compiled before the first row arrives."""
    arrays, found = [pa.nulls(1, column.type) for column in schema], []
    at = schema.get_field_index("ts")
    for second in range(count):
        arrays[at] = pa.array([second * NANOSECONDS]).cast(schema.field(at).type)
        found.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return found


def values(rows: pa.RecordBatch, row: int) -> dict[str, Any]:
    """A row by column; times as ns since the epoch."""
    return {name: value(column, row) for name, column in zip(rows.schema.names, rows.columns, strict=True)}


def value(column: pa.Array, row: int = 0) -> Any:
    """A value as Python has it; times as ns since the epoch."""
    found = column[row]
    if isinstance(found, pa.TimestampScalar):
        return (found if found.type.unit == "ns" else found.cast(pa.timestamp("ns", found.type.tz))).value
    return found.as_py()


def clock(time: int) -> str:
    """A time in ns as text."""
    return f"{np.datetime64(time, 'ns')}".replace("T", " ")
