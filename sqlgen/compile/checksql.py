"""Checks as SQL: the rows they leave, how many fail, and those that go to the quarantine. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlgen.lake.partitions import KEYS
from sqlgen.project.rowchecks import Check, levels, removing
from sqlgen.templating.templates import Library

PASSING_TEMPLATE = "publish/passing.sql.j2"
COUNTS_TEMPLATE = "publish/counts.sql.j2"
QUARANTINED_TEMPLATE = "publish/quarantined.sql.j2"
QUARANTINE_TEMPLATE = "publish/quarantine.sql.j2"

CANONICAL = (*KEYS, "ts", "seq")
"""Columns that every row of a source has."""


@dataclass(frozen=True)
class FileRange:
    """Where rows of a partition stand: in this file from row ``first`` of the partition on."""

    exchange: str
    symbol: str
    date: str
    first: int
    path: str
    counted: bool
    """Whether the rows after ``first`` are those of the file, one for one."""

    def holds(self, row: Mapping[str, str]) -> bool:
        """Whether a row of this partition stands here, or in a later file."""
        return all(row[key] == getattr(self, key) for key in KEYS) and int(row["seq"]) >= self.first


@dataclass(frozen=True)
class CheckedRows:
    """Rows and what is checked of them."""

    of: str
    """The source or the model."""
    rows: str
    """SELECT of the rows as they come."""
    checks: tuple[Check, ...]
    keys: tuple[str, ...] = KEYS
    """Columns that keep partitions apart: rows of one are not compared with those of another."""
    predicate: str | None = None
    """Which of the rows are meant; of a partition, all or none."""
    names: tuple[str, ...] = CANONICAL
    """The columns there are; those that need not be asked for may be left out."""


def passing(library: Library, checked: CheckedRows, order: Sequence[str] = ()) -> str:
    """The SELECT of the rows that stay; the SELECT of all rows, as it is, where no check takes any away.

    Comparing rows loses their order: then they are sorted by ``order``, or put back into the order in which they came.
    """
    checks = removing(checked.checks)
    if not checks:
        return checked.rows
    compares = any(check.compares for check in checks)
    return library.render(
        PASSING_TEMPLATE,
        rows=checked.rows,
        levels=levels(checks),
        keys=checked.keys,
        order=list(order) if compares else [],
        place=compares and not order,
    )


def counts(library: Library, checked: CheckedRows) -> str:
    """One row: ``rows``, and of each check ``failed_N`` and ``first_N``, from 1 on.

    ``first_N`` is a struct of texts: the reason, and those of the keys, the time and the position that there are.
    """
    return library.render(
        COUNTS_TEMPLATE,
        rows=checked.rows,
        checks=checked.checks,
        keys=checked.keys,
        predicate=checked.predicate,
        names=checked.names,
    )


def quarantined(
    library: Library, checked: CheckedRows, constants: Mapping[str, str], places: Sequence[FileRange] = ()
) -> str:
    """The rows that a check quarantines. ``constants``: keys that the rows do not carry."""
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
