"""What a statement reads: the files of each input, and where they lie in the history of their keys."""

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
    """Which of the rows are read."""
    decoded: str = ""
    """Format in which the rows came, where the files are made from others; their folders name all keys."""
    survey: bool = False
    """All rows are read with the times that stand in them, also those without one; their ``seq`` says file and line."""
    by_name: bool = False
    """DuckDB would read other keys from the folders than there are: they are taken from the names of the files."""
    types: Mapping[str, str] = field(default_factory=dict)
    """SQL types of published partition columns other than exchange, symbol and date, where known."""
    alike: bool = False
    """All files are known to have the same columns."""
    twins: frozenset[str] = frozenset()
    """See :class:`SourceLayout`."""


@dataclass(frozen=True)
class Scope:
    """What one statement covers."""

    inputs: Mapping[str, Scan | None]
    """Input name -> its files; ``None`` for an optional input without any."""
    edges: frozenset[Edge] = frozenset(EDGES)
    """``first``: no rows of these keys come before the scope. ``open``: none come after it, yet."""
    date: dt.date | None = None
    """Date of the unit; none where the scope is not one date."""
    emit: str | None = None
    """Predicate of the task's own rows; rows read for lookback or lookahead are not among them."""
    emit_trades: str | None = None
    """Predicate of the trades that the kernels see."""


@dataclass(frozen=True)
class SourceLayout:
    """How the files of a source lie in the lake."""

    format: str = "parquet"
    hive_keys: tuple[str, ...] = KEYS
    zipped: bool = False
    ambiguous: bool = False
    """DuckDB reads other keys from the folders of some file than there are."""
    twins: frozenset[str] = frozenset()
    """Names, in lower case, of columns of some file that differ in upper and lower case only; known to ``compile``."""
    shuffled: bool = False
    """Such columns come in another order in some files."""

    @property
    def foreign(self) -> str:
        """What the files are, where DuckDB alone cannot read them; otherwise empty."""
        if self.shuffled:
            return "columns that differ in case only, in different orders"
        return "zip archives" if self.zipped else "DBN files" if self.format == "dbn" else ""
