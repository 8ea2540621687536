"""Models of SQL over earlier rows, live: batches of rows come in, and the rows that a run would publish come out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Edge, Scan, Scope
from sqlgen.compile.unitsql import near, partition_predicate, recent
from sqlgen.errors import SqlgenError, UsageError, first_line
from sqlgen.lake.partitions import Partition
from sqlgen.live.feed import LateError, clock, opened, raw_rows, values
from sqlgen.live.refusals import dated, refuse_batches
from sqlgen.live.rowwise import RawRows, RowError
from sqlgen.live.start import FeedPosition
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.templating.connection import confined
from sqlgen.templating.queries import query
from udfs import NANOSECONDS

_GIVEN = "live_given"
"""Table of the keys of the date's rows that have been given."""


def open_batches(
    path: Path | str = "models.yaml", model: str = "trades_features", *, exchange: str, symbol: str
) -> LiveBatches:
    """Open a model of SQL alone for one symbol.

    Its history begins with the first batch: for windows that are full from the start, give the rows of its lookback
    first.
    """
    engine, known, where = opened(refuse_batches, path, model, exchange, symbol)
    return LiveBatches(engine.project, known, where)


@dataclass
class _Recent:
    """Raw rows of an input, of the current date and as many before it as a run reads."""

    entry: ModelInput
    raw: RawRows
    rows: pa.Table = field(init=False)
    position: FeedPosition = field(default_factory=FeedPosition)

    def __post_init__(self) -> None:
        self.rows = self.raw.schema.empty_table()

    @property
    def table(self) -> str:
        return f"live_{self.entry.name}"

    @property
    def last(self) -> int:
        return -1 if self.position.last is None else self.position.last

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.rows = pa.concat_tables([self.rows, pa.Table.from_batches(batches)]).combine_chunks()

    def forget(self, oldest: dt.date) -> None:
        """Drop rows of dates before ``oldest``."""
        self.rows = self.rows.filter(pc.greater_equal(self.rows["date"], pa.scalar(oldest)))

    def before(self, date: dt.date) -> bool:
        """True if there are rows of earlier dates."""
        return bool(self.rows.num_rows) and self.rows["date"][0].as_py() < date


_Pushed = dict[dt.date, dict[str, list[pa.RecordBatch]]]


class LiveBatches:
    """A model of SQL over recent rows of one symbol. Not for several threads at once.

    Each batch runs the statement of a run over the rows of its date so far and those of the lookback, so that the
    numbers are the run's, and a batch costs what the date so far costs.
    """

    def __init__(self, project: Project, model: Model, where: Partition) -> None:
        self._model, self._where = model, where
        self._compiler = Compiler(project)
        self._connection = confined((), {"threads": 1})
        self._inputs = {
            entry.name: _Recent(entry, raw_rows(self._compiler, model, entry, self._connection))
            for entry in model.inputs
        }
        self._given: dict[dt.date, pa.Table] = {}
        """Keys of the rows that have been given, of the dates that may have more."""
        self._broken = ""

    def update(self, **rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add raw rows by input, in the form of the sources' files, and return the rows that are known with them.

        All rows up to the last one's time must be in this batch or one before. NULL is ``None``; times are ns.
        """
        self._check_whole()
        pushed = self._read(rows)
        found = list[dict[str, Any]]()
        try:
            for date in sorted(pushed):
                found += self._begin(date)
                for name, batches in pushed[date].items():
                    self._inputs[name].add(batches)
                found += [row for open_date in sorted(self._given) for row in self._new_rows(open_date, {"open"})]
                found += self._end(date)
        except duckdb.Error as error:
            self._broken = first_line(error)
            self._check_whole()
        return found

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> LiveBatches:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_whole(self) -> None:
        if self._broken:
            raise SqlgenError(
                f"model '{self._model.name}' at {self._where}: {self._broken}. Open it again, without the rows that"
                " its SQL cannot read"
            )

    def _read(self, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> _Pushed:
        """Batches by date and input, once all rows are known to be rows, and not late."""
        if unknown := rows.keys() - self._inputs.keys():
            names = ", ".join(sorted(unknown))
            raise UsageError(f"model '{self._model.name}' has no input {names}. It has {', '.join(self._inputs)}")
        pushed, positions = _Pushed(), dict[str, FeedPosition]()
        for name, some in rows.items():
            entry = self._inputs[name]
            others = max((other.last for other in self._inputs.values() if other is not entry), default=-1)
            position = entry.position
            for row in some:
                time = entry.raw.time(row)
                if time <= others or (position.last is not None and time < position.last):
                    late = max(others, position.last or 0)
                    raise LateError(
                        f"{entry.raw.what}: the row of {clock(time)} comes after that of {clock(late)}. Leave it out:"
                        " a run over the lake will count it"
                    )
                date, seq = position.next(time)
                if not dated(entry.entry, date):
                    raise RowError(f"{entry.raw.what}: models.yaml excludes rows of {date} (date_start, date_end)")
                keyed = entry.raw.batch(row, **dict(self._where.values), date=date, seq=seq)
                pushed.setdefault(date, {}).setdefault(name, []).append(keyed)
                position = FeedPosition(time, date, seq + 1)
            positions[name] = position
        for name, position in positions.items():
            self._inputs[name].position = position
        return pushed

    def _begin(self, date: dt.date) -> list[dict[str, Any]]:
        """Begin a date; the rows of those before it that no row of it can change."""
        if date in self._given:
            return []
        reaches = {date - dt.timedelta(days=1)} if self._model.lookahead else set()
        found = [row for before in sorted(self._given.keys() - reaches) for row in self._new_rows(before, set())]
        self._given = {known: keys for known, keys in self._given.items() if known in reaches}
        oldest = min([date, *self._given]) - dt.timedelta(days=self._model.days_before)
        for entry in self._inputs.values():
            entry.forget(oldest)
        self._given[date] = self._no_keys(date)
        return found

    def _end(self, date: dt.date) -> list[dict[str, Any]]:
        """The last rows of the date before, once its lookahead has passed."""
        before, last = date - dt.timedelta(days=1), max(entry.last for entry in self._inputs.values())
        settled, _ = FeedPosition().next(last - round(self._model.lookahead * NANOSECONDS))
        if before not in self._given or settled < date:
            return []
        found = self._new_rows(before, set())
        del self._given[before]
        return found

    def _no_keys(self, date: dt.date) -> pa.Table:
        select = query("no_given", rows=self._select(date, {"open"}), keys=self._model.file_order)
        return self._connection.sql(select).to_arrow_table()

    def _new_rows(self, date: dt.date, edges: set[Edge]) -> list[dict[str, Any]]:
        """Rows of a date that were not given before; ``edges`` as a run has them."""
        rows, keys = self._select(date, edges), self._model.file_order
        self._connection.register(_GIVEN, self._given[date])
        found = self._connection.sql(query("rows_not_given", rows=rows, given=_GIVEN, keys=keys)).to_arrow_table()
        self._given[date] = pa.concat_tables([self._given[date], found.select(keys)]).combine_chunks()
        return [values(batch, row) for batch in found.to_batches() for row in range(batch.num_rows)]

    def _select(self, date: dt.date, edges: set[Edge]) -> str:
        """The statement of a run's task of one date, over tables of recent rows."""
        for entry in self._inputs.values():
            self._connection.register(entry.table, entry.rows)
        first: set[Edge] = set() if any(entry.before(date) for entry in self._inputs.values()) else {"first"}
        terms = [] if first else [f"({recent(self._model, date)})"]
        terms += [] if edges else [near(self._model, date)]
        scans = {name: self._scan(entry, date, " AND ".join(terms)) for name, entry in self._inputs.items()}
        emit = partition_predicate(Partition.of(**dict(self._where.values), date=date.isoformat()))
        reads_others = self._model.header.own_dates or not first
        market = self._where.symbol
        return self._compiler.rows(
            self._model, Scope(scans, frozenset(edges | first), date, market, emit if reads_others else None)
        )

    def _scan(self, entry: _Recent, date: dt.date, predicate: str) -> Scan | None:
        if entry.entry.spec.optional and not entry.rows.num_rows:
            return None
        dates = (date - dt.timedelta(days=self._model.days_before), date + dt.timedelta(days=self._model.days_after))
        return Scan((entry.table,), "table", predicate=predicate or None, dates=dates)
