"""A project as Python users have it: ``sqlgen.open("models.yaml")``."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict, Unpack

from duckdb import DuckDBPyConnection
from msgspec import structs

from sqlgen.errors import UsageError
from sqlgen.explore import session
from sqlgen.lake.partitions import Shard
from sqlgen.operate.aftermath import run_and_tell
from sqlgen.operate.checking import Checked, check
from sqlgen.operate.datacoverage import SymbolCoverage, Wanted, coverage
from sqlgen.operate.history import RunSummary, history
from sqlgen.operate.status import Status, status
from sqlgen.plan.plan import Plan
from sqlgen.plan.selection import Selection, in_shard
from sqlgen.project.selectors import select as choose
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from sqlgen.run.report import Report

Names = str | Iterable[str]
Day = dt.date | str


class ChosenOptions(TypedDict, total=False):
    """Models and partitions, as options of ``sqlgen run`` choose them."""

    select: Names
    """Names, globs, ``tag:x``, ``+m``, ``m+``; all enabled models by default."""
    exclude: Names
    exchange: Names
    symbol: Names
    start: Day
    """First UTC date, as a date or as text."""
    end: Day
    """Last UTC date, inclusive."""
    shard: str
    """``"1/4"``: the symbols of the first of four shards."""
    full_refresh: bool
    prune: bool
    discard_edits: bool
    allow_empty: bool


class OpenProject:
    """Plans, runs and looks at one project. Each call sees the lake as it is then."""

    def __init__(self, path: Path | str, settings: Settings | None = None) -> None:
        self._path, self._settings = Path(path), settings
        self.engine  # noqa: B018  # a mistake in the project is told here

    @property
    def engine(self) -> Engine:
        """The engine, over the project as it is now."""
        return Engine.open(self._path, self._settings)

    def plan(self, **chosen: Unpack[ChosenOptions]) -> Plan:
        """The tasks of a run, and why each partition is stale; changes nothing."""
        engine = self.engine
        return engine.plan(_selection(engine, chosen))

    def run(self, *, wait: float = 0.0, **chosen: Unpack[ChosenOptions]) -> Report:
        """Build and publish stale partitions; failures are in the report (``ok``, ``counts``, ``tasks``, ``errors``).

        Args:
            wait: seconds to wait for another run on the lake to end.
            **chosen: see :class:`ChosenOptions`.
        """
        engine = self.engine
        report, problems = run_and_tell(engine, _selection(engine, chosen), wait=wait)
        for problem in problems:
            warnings.warn(problem, stacklevel=2)
        return report

    def check(self) -> Checked:
        """Bind the SQL of all models without data; every fault with its line."""
        engine = self.engine
        return check(engine, engine.project.order)

    def compile(self, model: str) -> str:
        """SQL of a model over the whole lake, as ``sqlgen compile`` writes it."""
        engine = self.engine
        (name,) = choose(engine.project, [model])
        return engine.compile([name])[name].sql

    def connect(self) -> DuckDBPyConnection:
        """A DuckDB connection with sources and models as views, see :func:`sqlgen.connect`."""
        return session.connect(self._path)

    def status(self) -> Status:
        """Per model how far its table reaches, what is stale, due and failing."""
        engine = self.engine
        return status(engine, engine.project.order, dt.datetime.now(dt.UTC))

    def history(self, last: int | None = 20) -> list[RunSummary]:
        """The newest runs, the newest first."""
        engine = self.engine
        return history(engine.reports, engine.project.order, last, only_failed=False)

    def coverage(
        self, name: str, *, symbol: Names = (), start: Day | None = None, end: Day | None = None, gap: float = 300.0
    ) -> list[SymbolCoverage]:
        """Missing days and hours, gaps and unusual days of a source or table, by symbol."""
        return coverage(self.engine, name, Wanted(_names(symbol), _day(start), _day(end), gap))


def _selection(engine: Engine, chosen: ChosenOptions) -> Selection:
    models = choose(engine.project, _names(chosen.get("select", ())), _names(chosen.get("exclude", ())))
    start, end = _day(chosen.get("start")), _day(chosen.get("end"))
    if start and end and end < start:
        raise UsageError(f"end {end} is before start {start}")
    names = ("full_refresh", "prune", "discard_edits", "allow_empty")
    flags: dict[str, Any] = {name: chosen.get(name, False) for name in names}
    found = Selection(models, _names(chosen.get("exchange", ())), _names(chosen.get("symbol", ())), start, end)
    shard = Shard.parse(text) if (text := chosen.get("shard")) is not None else None
    return in_shard(structs.replace(found, **flags), engine.project, shard)


def _names(value: Names) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _day(value: Day | None) -> dt.date | None:
    return dt.date.fromisoformat(value) if isinstance(value, str) else value
