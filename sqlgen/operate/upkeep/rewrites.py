"""New files of published units, and what came of them."""

from __future__ import annotations

from msgspec import Struct

from sqlgen.lake.partitions import Partition
from sqlgen.published.versions import Version


class Piece(Struct, frozen=True):
    """Rows of one new file, or of one in each inner partition."""

    select: str = ""
    contributed: tuple[tuple[str, int, int], ...] = ()
    """Mode append: input files whose rows it holds; all of the unit's if empty."""
    files: tuple[str, ...] = ()
    """Files of the unit that are joined, where there is no ``select``; it has no inner partitions."""


class Rewrite(Struct, frozen=True):
    """New files of one published unit."""

    unit: Partition
    pieces: tuple[Piece, ...]
    rows: int
    """Rows that they must hold."""
    retained: tuple[str, ...] = ()
    """Files that stay as they are."""
    edit: str = ""
    """Change of the rows, in words; empty if they stay the same."""
    restored: Version | None = None
    """The earlier publication whose rows, quarantine and kernel state come back."""
    matched: int = 0
    """Rows that are changed."""


class Rewritten(Struct, frozen=True):
    """One unit before and after; with an error, nothing of it has changed."""

    partition: str
    rows_before: int
    rows_after: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    matched: int = 0
    error: str | None = None


class TableChange(Struct, frozen=True):
    """Changed units of one table."""

    model: str
    partitions: tuple[Rewritten, ...] = ()
    error: str | None = None
    """Reason why nothing of the table can be changed."""
    readers: tuple[str, ...] = ()
    """Models that read the table and are stale now."""

    @property
    def ok(self) -> bool:
        return self.error is None and all(part.error is None for part in self.partitions)
