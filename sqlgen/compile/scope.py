"""Scope of a statement: the files of each input, and their position in the timeline of their keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from msgspec import Struct

from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import UNOPENED
from sqlgen.templating.quoting import exact_path

Edge = Literal["first", "open"]
EDGES: tuple[Edge, ...] = ("first", "open")


@dataclass(frozen=True)
class Scan:
    """The files of one input that a statement reads."""

    files: tuple[str, ...]
    format: str = "parquet"
    hive_keys: tuple[str, ...] = KEYS
    single: bool = False
    """All files belong to one (exchange, symbol, date)."""
    single_file: bool = False
    """There is exactly one file, named without a glob."""
    predicate: str | None = None
    """Predicate of the rows that are read."""
    decoded: str = ""
    """Original format of decoded files, whose folders name all keys; otherwise empty."""
    survey: bool = False
    """All rows are read with their raw times, rows without a time too; ``seq`` holds file and line."""
    by_name: bool = False
    """DuckDB would misread the keys in the folders' names: they are taken from the file paths."""
    types: Mapping[str, str] = field(default_factory=dict, hash=False)
    """SQL types of published partition columns other than exchange, symbol and date, where known."""
    alike: bool = False
    """All files are known to have the same columns."""
    one_each: bool = False
    """No partition has more than one file."""
    twins: frozenset[str] = frozenset()
    """See :class:`SourceLayout`."""
    dates: tuple[dt.date, dt.date] | None = None
    """First and last date of the rows, where known: those of which sessions are needed."""
    positive_lists: bool = False
    """No number in a list is at or below zero: a survey need not look."""
    evaluated: tuple[tuple[str, str], ...] = ()
    """Column of decoded files -> SQL over their lines that it was made by."""


class StagedInput(Struct, frozen=True):
    """Files of one source, ready to be scanned."""

    paths: tuple[str, ...]
    format: str
    hive_keys: tuple[str, ...]
    decoded: str = ""
    """Original format of decoded files; otherwise empty."""
    evaluated: tuple[tuple[str, str], ...] = ()
    """See :class:`Scan`."""

    @classmethod
    def of(cls, path: Path, keys: tuple[str, ...]) -> StagedInput:
        """One Parquet file as it is."""
        mounts.fetch([path])
        return cls((str(path),), "parquet", keys)

    def scan(self, single: bool = False, predicate: str | None = None, survey: bool = False) -> Scan:
        """A scan of these files; see :class:`Scan`."""
        files = tuple(map(exact_path, self.paths))
        alone = len(files) == 1
        return Scan(
            files,
            self.format,
            self.hive_keys,
            single,
            alone,
            predicate,
            self.decoded,
            survey,
            evaluated=self.evaluated,
        )


@dataclass(frozen=True)
class Scope:
    """Files, dates and edges that one statement covers."""

    inputs: Mapping[str, Scan | None]
    """Input name -> its files; ``None`` for an optional input without any."""
    edges: frozenset[Edge] = frozenset(EDGES)
    """``first``: no rows of these keys come before the scope. ``open``: none come after it, yet."""
    date: dt.date | None = None
    """Date of the unit; none where the scope is not one date."""
    market: Partition = field(default_factory=Partition)
    """Exchange and symbol of all rows; empty where these are of several."""
    emit: str | None = None
    """Predicate of the task's own rows; rows read for lookback or lookahead are not among them."""
    emit_trades: str | None = None
    """Predicate of the trades that the kernels read."""
    begins: int | None = None
    """Time in ns of the date's midnight, or of its first row before that, where the unit reads rows beside its own."""
    batch: bool = False
    """The units are several, and their rows are sorted as they are written."""
    read: set[str] = field(default_factory=set, compare=False)
    """Edges that a template has asked for: the SQL does not depend on the others."""


class ScopeInTemplate(SimpleNamespace):
    """Scope as a template sees it; it notes which edges are read."""

    __slots__ = ("_read",)

    def __init__(self, scope: Scope) -> None:
        edges = {edge: edge in scope.edges for edge in EDGES}
        market = {"exchange": None, "symbol": None} | dict(scope.market.values)
        known = {"date": scope.date, "begins": scope.begins, "batch": scope.batch}
        super().__init__(**edges, **market, **known, one_market=bool(scope.market.values))
        self._read = scope.read

    def __getattribute__(self, name: str) -> Any:
        if name in EDGES:
            self._read.add(name)
        return super().__getattribute__(name)


class SourceLayout(Struct, frozen=True):
    """Layout of a source's files in the lake."""

    format: str = "parquet"
    hive_keys: tuple[str, ...] = KEYS
    zipped: bool = False
    """Some file is packed as DuckDB does not unpack it."""
    ambiguous: bool = False
    """DuckDB would misread the keys in the folders of some file."""
    twins: frozenset[str] = frozenset()
    """Names, in lower case, of columns of a file that differ in case only; set by ``compile`` alone."""
    shuffled: bool = False
    """Such columns come in different orders."""
    dates: tuple[dt.date, dt.date] | None = None
    """First and last date of its files; set by ``compile`` alone."""

    @property
    def foreign(self) -> str:
        """Kind of files that DuckDB alone cannot read; otherwise empty."""
        if self.shuffled:
            return "columns that differ in case only, in different orders"
        return f"files packed as {', '.join(UNOPENED)}" if self.zipped else "DBN files" if self.format == "dbn" else ""
