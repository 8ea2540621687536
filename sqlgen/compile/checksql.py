"""Checks as SQL: rows that pass, counts of failures, rows for the quarantine. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from sqlgen.lake.partitions import KEYS
from sqlgen.project.rowchecks import Check, nesting, removing
from sqlgen.templating.templates import Library

PASSING_TEMPLATE = "publish/passing.sql.j2"
COUNTS_TEMPLATE = "publish/counts.sql.j2"
QUARANTINED_TEMPLATE = "publish/quarantined.sql.j2"
QUARANTINE_TEMPLATE = "publish/quarantine.sql.j2"

CANONICAL = (*KEYS, "ts", "seq")
"""Columns that every row of a source has."""


class FileRange(Struct, frozen=True):
    """Rows of a partition that come from one file: those from ``seq`` ``first`` on."""

    exchange: str
    symbol: str
    date: str
    first: int
    path: str
    counted: bool
    """True if row n after ``first`` is row n of the file: none was left out."""

    def holds(self, row: Mapping[str, str]) -> bool:
        """True if a row of this partition comes from this file or a later one."""
        return all(row[key] == getattr(self, key) for key in KEYS) and int(row["seq"]) >= self.first


class CheckedRows(Struct, frozen=True):
    """Rows and their checks."""

    of: str
    """The source or the model."""
    rows: str
    """SELECT of the rows before any check."""
    checks: tuple[Check, ...]
    keys: tuple[str, ...] = KEYS
    """Partition keys: rows of different partitions are not compared."""
    predicate: str | None = None
    """Predicate of the rows to check; it selects whole partitions."""
    names: tuple[str, ...] = CANONICAL
    """Columns of the rows."""


def passing(library: Library, checked: CheckedRows, order: Sequence[str] = ()) -> str:
    """SELECT of the rows that pass; the SELECT of all rows, unchanged, if no check removes any.

    Comparing rows loses their order: they are then sorted by ``order``, or by their original position.
    """
    checks = removing(checked.checks)
    if not checks:
        return checked.rows
    compares = any(check.compares for check in checks)
    return library.render(
        PASSING_TEMPLATE,
        rows=checked.rows,
        levels=nesting(checks),
        keys=checked.keys,
        order=list(order) if compares else [],
        place=compares and not order,
    )


def counts(library: Library, checked: CheckedRows, by: Sequence[str] = ()) -> str:
    """``rows``, and of each check ``failed_N`` and ``first_N``, from 1 on: one row, or one for each of the keys ``by``.

    ``first_N`` is a struct of texts: the reason, and keys, time and position as far as the rows have them.
    """
    return library.render(
        COUNTS_TEMPLATE,
        rows=checked.rows,
        checks=checked.checks,
        keys=checked.keys,
        predicate=checked.predicate,
        names=checked.names,
        by=list(by),
    )


def quarantined(
    library: Library, checked: CheckedRows, constants: Mapping[str, str], places: Sequence[FileRange] = ()
) -> str:
    """Rows that a check quarantines. ``constants``: keys without a column in the rows."""
    return library.render(
        QUARANTINED_TEMPLATE,
        of=checked.of,
        rows=checked.rows,
        checks=checked.checks,
        keys=checked.keys,
        predicate=checked.predicate,
        names=checked.names,
        constants=dict(constants),
        places=list(places),
    )


def quarantine(library: Library, select: str, keys: Sequence[str]) -> str:
    """``select`` with all columns of the quarantine table but ``keys``, which its path names.

    Columns that ``select`` does not give are NULL.
    """
    return library.render(QUARANTINE_TEMPLATE, select=select, keys=list(keys))


def quarantined_rows(library: Library, files: str, keys: Sequence[str]) -> str:
    """The rows of published files of a quarantine, by a pattern."""
    return library.render("publish/quarantine_files.sql.j2", files=[files], keys=list(keys))
