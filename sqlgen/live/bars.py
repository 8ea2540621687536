"""Bars of a kernel, live: each as soon as it closes, as a run over files would publish it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sqlgen.compile.scope import EDGES, Edge, Scope
from sqlgen.compile.statements import KERNEL_ROWS
from sqlgen.errors import SqlgenError, first_line
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.live.feed import ROWS, Feed, blank_rows, values
from sqlgen.live.kernelpass import KernelPass
from sqlgen.live.refusals import refuse_bars
from sqlgen.live.start import FeedPosition, Start
from sqlgen.project.model import Model
from sqlgen.project.project import Project
from sqlgen.published.states import Snapshot


def open_bars(
    path: Path | str = "models.yaml",
    model: str = "ofi_bars",
    *,
    exchange: str,
    symbol: str,
    state: Path | str | None = None,
) -> LiveBars:
    """Open a model whose kernel gives bars, ready for its first row; arguments as those of ``open_model``."""
    return LiveBars.open(refuse_bars, path, model, exchange, symbol, state)


class LiveBars(Feed):
    """A model whose kernel gives bars: none, one or several for a row of its input."""

    def __init__(self, project: Project, model: Model, where: Partition, start: Start) -> None:
        super().__init__(project, model, where, start)
        if start.position.last is None:  # bars have not the times of all rows
            self._position = FeedPosition(start.state.last, start.position.date, start.position.seq)
        self._cursor = self._connection.cursor()
        self._schema = self._statement(ROWS, self._rows).schema
        self._selects = {is_open: self._of_kernel_rows(is_open) for is_open in (True, False)}
        try:
            trial = self._pass_from(Snapshot(self._pipeline.start()), blank=True)
            for row in blank_rows(self._schema):
                self._select_bars(trial.row(row), is_open=True)
            self._select_bars(trial.end(), is_open=False)
        except Exception as error:
            raise SqlgenError(f"model '{model.name}' cannot run live: {first_line(error)}") from error
        self._pass = self._pass_from(start.state)

    def update(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add a raw row in the form of the source's files, and return the bars that are complete with it.

        NULL is ``None``; times are ns since the epoch. What a run gives of a bar that is still open never comes out.
        """
        time, date, seq = self._next(row)
        batch = self._run(ROWS, self._rows, row, time, date, seq)
        try:
            ended = self._begin(date) if date != self._position.date else []
            closed = self._bars(self._pass.row(batch))
        except BaseException as error:
            self._stopped(time, error)
        self._position = FeedPosition(time, date, seq + 1)
        return [*ended, *closed]

    def close(self) -> None:
        self._cursor.close()
        super().close()

    def _snapshot(self) -> Snapshot:
        return self._pass.state

    def _begin(self, date: dt.date) -> list[dict[str, Any]]:
        """Begin a date; the bars that end with the one before."""
        ended, state = list[dict[str, Any]](), self._pass.state
        if self._position.date is not None and "date" in self._model.unit_keys:
            ended = self._bars(self._pass.end(), is_open=False)
            state = self._pass.state
        elif self._position.date is not None:
            return ended
        self._position = FeedPosition(self._position.last, date)
        self._pass = self._pass_from(state)
        return ended

    def _pass_from(self, state: Snapshot, blank: bool = False) -> KernelPass:
        """A pass over the rows of one unit, whose keys are all that a live feed has."""
        first = FeedPosition().next(0)[0]
        known = dict(self._where.values) | {"date": first if blank else self._position.date or first}
        constants = {key: known[key] for key in KEYS if key in self._model.unit_keys}
        return KernelPass(self._pipeline, state, self._schema, constants=constants)

    def _of_kernel_rows(self, is_open: bool) -> str:
        """The SELECT over the rows of the kernel, of a unit that goes on, or that has ended."""
        edges: frozenset[Edge] = frozenset(EDGES) if is_open else frozenset(EDGES) - {"open"}
        return self._compiler.rows(self._model, Scope(self._scans(), edges))

    def _bars(self, rows: pa.RecordBatch, is_open: bool = True) -> list[dict[str, Any]]:
        return self._select_bars(rows, is_open) if rows.num_rows else []

    def _select_bars(self, rows: pa.RecordBatch, is_open: bool) -> list[dict[str, Any]]:
        self._cursor.register(KERNEL_ROWS, pa.Table.from_batches([rows]))
        try:
            found = self._cursor.sql(self._selects[is_open]).to_arrow_table()
        except duckdb.Error as error:
            raise SqlgenError(first_line(error)) from error
        bars = [values(batch, row) for batch in found.to_batches() for row in range(batch.num_rows)]
        return [{name: bar[name] for name in self._model.columns} or bar for bar in bars]
