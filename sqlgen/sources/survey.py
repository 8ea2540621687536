"""Survey of a task's source files: the times of their rows, rows that they exclude, and notes."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import duckdb
from msgspec import Struct

from sqlgen.compile.sourcespec import LINE
from sqlgen.sources.digits.columns import Lossy
from sqlgen.templating.templates import Library

TIMED = "not_null(ts)"
"""Name of the check that rows have a time."""
NEAR = "near_date(ts)"
"""Name of the check that this time is near the date of the row's file."""
_KINDS = 8
"""Kinds of messages in messages."""
_ROW = 300
"""Characters of a row in messages."""


class FileSpan(NamedTuple):
    """Rows of one partition in one file, and their times."""

    exchange: str | None
    symbol: str | None
    date: str | None
    file: int
    """Number of the file, in reading order."""
    rows: int
    untimed: int
    far: int
    """Rows whose time is too far from their date."""
    first: int | None
    """Time in ns of the first row that has one."""
    last: int | None
    earliest: int | None
    latest: int | None
    not_positive: int
    """Rows with a price at or below zero."""
    untimed_at: int | None
    """Position in the file of the first row without a time."""
    far_at: int | None
    late: int
    """Changes of a book whose time is before that of changes before them, by more than a little."""
    late_by: int | None
    """By how much at most, in ns."""
    passed_over: Mapping[str, int] | None = None
    """Kind of messages that the adapter does not read -> their number."""
    unknown_sides: Mapping[str, int] | None = None
    """Text in the place of a trade's side that names none -> number of trades."""

    @property
    def lost(self) -> int:
        return self.untimed + self.far


class LostRows(NamedTuple):
    """Rows that no model reads because of their time."""

    check: str
    rows: int
    reason: str
    file: int
    place: int
    """Position of the first of them in its file."""


def lost_rows(spans: Sequence[FileSpan], tolerance: float | None) -> Iterator[LostRows]:
    """Rows without a time, and those that are more than ``tolerance`` days from their date."""
    untimed = [(each.file, each.untimed_at) for each in spans if each.untimed_at is not None]
    far = [(each.file, each.far_at) for each in spans if each.far_at is not None]
    if untimed:
        reason = "no time, or none between 1990 and 2100"
        yield LostRows(TIMED, sum(each.untimed for each in spans), reason, *min(untimed))
    if far:
        reason = f"its time is more than {tolerance:g} day(s) before or after its date (date_tolerance)"
        yield LostRows(NEAR, sum(each.far for each in spans), reason, *min(far))


class Survey(Struct, frozen=True):
    """All rows of some files of a source, with or without valid times."""

    library: Library
    rows: str
    """SELECT of the rows with file, line and is_far."""
    paths: Sequence[str]
    whole: Sequence[int]
    """Files without excluded lines, where row positions are line numbers."""
    passes_over: bool
    """False of an adapter that reads every message."""
    names_sides: bool
    """True of an adapter that reads the sides of trades as text."""

    @classmethod
    def of(
        cls, library: Library, select: str, tolerance: float | None, paths: Sequence[str], whole: Sequence[int]
    ) -> Survey:
        """Survey of the files ``paths``; ``select``: canonical rows by a scan with ``survey`` set."""
        rows = library.render("publish/surveyed.sql.j2", select=select, tolerance=tolerance)
        return cls(library, rows, paths, whole, "passed_over" in select, "unknown_side" in select)

    @property
    def statement(self) -> str:
        """The statement whose rows are :class:`FileSpan`."""
        says = {"passes_over": self.passes_over, "names_sides": self.names_sides}
        return self.library.render("publish/survey.sql.j2", rows=self.rows, **says)

    @property
    def has_ids(self) -> bool:
        """True for trades."""
        return "trade_id" in self.rows

    def repeated(self, files: Iterable[int]) -> str:
        """Statement of the arguments of :func:`repeated_note`, with numbers of files."""
        return self.library.render("publish/repeated.sql.j2", rows=self.rows, chosen=list(files))

    def set_aside(self, files: Iterable[int], reason: str, far: bool) -> str:
        """Statement of the rows without a time, or far from their date, as quarantined."""
        context: dict[str, Any] = {
            "rows": self.rows,
            "paths": [*self.paths],
            "chosen": [*files],
            "whole": [*self.whole],
        }
        return self.library.render("publish/set_aside.sql.j2", reason=reason, far=far, **context)


def _by_partition(spans: Iterable[FileSpan]) -> list[list[FileSpan]]:
    """Spans with a time, grouped by partition, in file order."""
    found: dict[tuple[str | None, ...], list[FileSpan]] = {}
    for span in sorted(spans, key=lambda each: each.file):
        if span.first is not None:
            found.setdefault(span[:3], []).append(span)
    return list(found.values())


def overlapping(spans: Iterable[FileSpan]) -> list[int]:
    """Files whose times overlap those of another file of the same partition, so that they may repeat rows."""
    found: set[int] = set()
    for group in _by_partition(spans):
        until: FileSpan | None = None
        for each in sorted(group, key=lambda one: (one.earliest or 0, one.file)):
            if until is not None and (each.earliest or 0) <= (until.latest or 0):
                found |= {each.file, until.file}
            if until is None or (each.latest or 0) > (until.latest or 0):
                until = each
    return sorted(found)


def repeated_note(count: int, first: str, one: str, other: str) -> str:
    """A note on trades whose ids are in several files."""
    return (
        f"{count} trade id(s) are in several files, {first} for example in {one} and in {other}. If these hold the same"
        " rows (a month beside its days), trades count twice: make a source of each kind, or move one away"
    )


def passed_over(counts: Iterable[Mapping[str, int] | None]) -> tuple[int, str]:
    """Number of messages that were passed over, and how many there are of each kind, in words."""
    return _counted(counts, str)


def _counted(counts: Iterable[Mapping[str, int] | None], named: Callable[[str], str]) -> tuple[int, str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one or {})
    ranked = sorted(total.items(), key=lambda kind: (-kind[1], kind[0]))
    kinds = ", ".join(f"{named(kind)} {number:,}" for kind, number in ranked[:_KINDS])
    return total.total(), kinds + (", ..." if len(total) > _KINDS else "")


def order_note(spans: Iterable[FileSpan], paths: Sequence[str]) -> str:
    """A note on times that go back from the end of one file to the beginning of the next; empty if none do."""
    groups = _by_partition(spans)
    steps = [pair for group in groups for pair in pairwise(group)]
    back = [(one, other) for one, other in steps if (other.first or 0) < (one.last or 0)]
    if not back:
        return ""
    one, other = back[0]
    more = f" ({len(back)} times in {len(steps) + len(groups)} files)" if len(back) > 1 else ""
    return (
        f"times go back between files: {paths[one.file]} ends at {moment(one.last)}, and {paths[other.file]}, which is"
        f" read after it, begins at {moment(other.first)}{more}. Files are read in the natural order of their paths:"
        " rename them if that is not the order in which they were recorded"
    )


def _where(found: Sequence[FileSpan], paths: Sequence[str]) -> str:
    """The first file of some, and the number of the others."""
    more = f" and {len(found) - 1} more file(s)" if len(found) > 1 else ""
    return f"{paths[found[0].file]}{more}"


def late_note(spans: Iterable[FileSpan], paths: Sequence[str]) -> str:
    """A note on changes of a book with times before those of changes before them; empty if there are none."""
    found = [each for each in spans if each.late]
    if not found:
        return ""
    by = max(each.late_by or 0 for each in found) / 1e9
    return (
        f"{sum(each.late for each in found)} change(s) in {_where(found, paths)} have a time before that of a"
        f" change before them, by up to {by:g} s: changes count in the order of their arrival, so that these books have"
        " the later time. One clock ahead does this: date_tolerance sets such rows aside"
    )


def price_note(spans: Iterable[FileSpan], paths: Sequence[str]) -> str:
    """A note on prices at or below zero that are left out; empty where there are none."""
    found = [each for each in spans if each.not_positive]
    if not found:
        return ""
    return (
        f"{sum(each.not_positive for each in found)} row(s) with a price at or below 0 in {_where(found, paths)}:"
        " such prices are left out; negative_prices: true in the source reads them"
    )


def side_note(spans: Iterable[FileSpan], paths: Sequence[str]) -> str:
    """A note on texts in the place of a side that name none; empty where there are none."""
    found = [each for each in spans if each.unknown_sides]
    if not found:
        return ""
    number, words = _counted((each.unknown_sides for each in found), repr)
    where = _where(found, paths)
    return f"{number} trade(s) in {where} have a side that the adapter does not know, and NULL for it: {words}"


def digits_note(lossy: Lossy, path: str, first_rows: bool) -> str:
    """A note on values with more digits than are kept; ``first_rows``: only these were counted."""
    number = f"{'at least ' if lossy.more else ''}{lossy.count} value(s)" if lossy.count else "values"
    where = "in" if not first_rows else "among the first rows of" if lossy.count else "after the first rows of"
    return f"{number} of column {lossy.column} lose digits, {lossy.example} for example, {where} {path}: {lossy.why}"


def moment(nanoseconds: int | None) -> str:
    """A time in ns since 1970 as ISO text, UTC."""
    seconds, rest = divmod(nanoseconds or 0, 10**9)
    text = (dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)).isoformat(sep=" ")
    return f"{text}.{rest:09}".rstrip("0").rstrip(".")


def first_row(connection: duckdb.DuckDBPyConnection, path: str) -> str:
    """The first row of a Parquet file, for messages."""
    return f"In the first row {describe_row(connection, path, 0)}"


def describe_row(connection: duckdb.DuckDBPyConnection, path: str, place: int) -> str:
    """A row of a Parquet file, column by column."""
    rows = connection.from_parquet(path).limit(1, place)
    found = rows.project("CAST(to_json(COLUMNS(*)) AS VARCHAR)").fetchall()
    values = zip(rows.columns, found[0] if found else (), strict=False)
    text = ", ".join(f"{name} is {value}" for name, value in values if not name.startswith(LINE))
    return text[:_ROW]
