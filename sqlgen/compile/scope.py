"""Scope of a statement: the files of each input, and their position in the timeline of their keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlgen.lake.partitions import KEYS

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
    types: Mapping[str, str] = field(default_factory=dict)
    """SQL types of published partition columns other than exchange, symbol and date, where known."""
    alike: bool = False
    """All files are known to have the same columns."""
    twins: frozenset[str] = frozenset()
    """See :class:`SourceLayout`."""


@dataclass(frozen=True)
class Scope:
    """Files, dates and edges that one statement covers."""

    inputs: Mapping[str, Scan | None]
    """Input name -> its files; ``None`` for an optional input without any."""
    edges: frozenset[Edge] = frozenset(EDGES)
    """``first``: no rows of these keys come before the scope. ``open``: none come after it, yet."""
    date: dt.date | None = None
    """Date of the unit; none where the scope is not one date."""
    emit: str | None = None
    """Predicate of the task's own rows; rows read for lookback or lookahead are not among them."""
    emit_trades: str | None = None
    """Predicate of the trades that the kernels read."""


@dataclass(frozen=True)
class SourceLayout:
    """Layout of a source's files in the lake."""

    format: str = "parquet"
    hive_keys: tuple[str, ...] = KEYS
    zipped: bool = False
    ambiguous: bool = False
    """DuckDB would misread the keys in the folders of some file."""
    twins: frozenset[str] = frozenset()
    """Names, in lower case, of columns of a file that differ in case only; set by ``compile`` alone."""
    shuffled: bool = False
    """Such columns come in different orders."""

    @property
    def foreign(self) -> str:
        """Kind of files that DuckDB alone cannot read; otherwise empty."""
        if self.shuffled:
            return "columns that differ in case only, in different orders"
        return "zip archives" if self.zipped else "DBN files" if self.format == "dbn" else ""
