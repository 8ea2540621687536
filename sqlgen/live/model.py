"""A model row by row: the features of each row as soon as it arrives, as a run over files would compute them.

It uses the same SQL, kernels and states: a feed continues where a run ended, and a run verifies a feed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sqlgen.compile.scope import Scan, Scope
from sqlgen.errors import SqlgenError, UsageError
from sqlgen.lake.partitions import Partition
from sqlgen.live.feed import ROWS, Feed, LateError, blank_rows, clock, value
from sqlgen.live.kernelpass import KernelPass, PendingTrades
from sqlgen.live.refusals import covers, dated, refuse
from sqlgen.live.start import FeedPosition, Start
from sqlgen.project.feeds import shares_feed
from sqlgen.project.model import Model
from sqlgen.project.project import Project
from sqlgen.project.signs import TRADES
from sqlgen.published import states
from sqlgen.published.states import Snapshot
from sqlgen.stream.tradefeed import pending_trades

_TRADES = "live_trades"
_A_TRADE: states.Arrays = {
    "ts": np.zeros(1, np.int64),
    "price": np.ones(1),
    "amount": np.ones(1),
    "side": np.ones(1, np.int8),
}


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
    return LiveModel.open(refuse, path, model, exchange, symbol, state)


class LiveModel(Feed):
    """A model with one row for each row of its input."""

    def __init__(self, project: Project, model: Model, where: Partition, start: Start) -> None:
        super().__init__(project, model, where, start)
        self._one_feed = shares_feed(project, model)
        sees_trades = model.trades is not None and covers(model.trades, where)
        self._trades = self._raw(model.trades) if sees_trades and model.trades is not None else None
        self._pass = self._open(start.state)

    def trade(self, trade: Mapping[str, Any]) -> None:
        """Add a raw trade in the form of the source's files. The next row that is not earlier sees it."""
        self._check_whole()
        if self._trades is None or self._model.trades is None:
            raise UsageError(f"model '{self._model.name}' sees no trades of {self._where}")
        time = self._trades.time(trade)
        last = self._position.last
        if last is not None and (time < last or (time == last and not self._one_feed)):
            raise LateError(
                f"{self._trades.what}: the trade of {clock(time)} comes after the row of {clock(last)},"
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
        time, date, seq = self._next(row)
        found = self._run(ROWS, self._rows, row, time, date, seq)
        try:
            found = self._pass.row(found)
        except BaseException as error:
            self._stopped(time, error)
        self._position = FeedPosition(time, date, seq + 1)
        given = dict(zip(found.schema.names, map(value, found.columns), strict=True))
        return {name: given[name] for name in self._model.columns} or given

    def _snapshot(self) -> Snapshot:
        return self._pass.state

    def _scans(self) -> dict[str, Scan | None]:
        trades = {TRADES: Scan((_TRADES,), "table")} if self._model.trades is not None else {}
        return super()._scans() | trades

    def _select(self, table: str) -> str:
        if table == _TRADES:
            return self._compiler.trades(self._model, Scope(self._scans())) or ""
        return super()._select(table)

    def _open(self, state: Snapshot) -> KernelPass:
        """Plan the statements, compile the kernels, and check both on rows that are discarded."""
        schema = self._statement(ROWS, self._rows).schema
        if self._trades is not None:
            self._statement(_TRADES, self._trades)
        try:
            trial = self._pass_from(Snapshot(self._pipeline.start(), _A_TRADE), schema)
            for row in blank_rows(schema):
                trial.row(row)
        except Exception as error:
            raise SqlgenError(f"model '{self._model.name}' cannot run live: {error}") from error
        return self._pass_from(state, schema)

    def _pass_from(self, state: Snapshot, schema: pa.Schema) -> KernelPass:
        trades = PendingTrades(None, pending_trades(state)) if self._trades is not None else None
        return KernelPass(self._pipeline, state, schema, trades)
