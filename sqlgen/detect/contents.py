"""Statistics of a sample of a source, read through its adapter."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
from msgspec import Struct, field

from sqlgen.detect.files.excerpts import excerpt
from sqlgen.detect.files.sniff import sniff
from sqlgen.detect.findings import Contents, Gap
from sqlgen.detect.trial import TrialSource
from sqlgen.errors import SqlgenError, first_line
from sqlgen.project.config import Source
from sqlgen.sources.schemas import columns_of
from sqlgen.sources.survey import passed_over
from sqlgen.templating.connection import Setting, confined, folders_of
from sqlgen.templating.templates import Library

GAP_SECONDS = 300
TRIAL_ROWS = 1_000
_KINDS = {
    "book": {"bid_price_00", "ask_price_00"},
    "trades": {"price", "amount", "side"},
    "ticker": {"bid", "ask", "last"},
    "bars": {"open", "high", "low", "close"},
    "orders": {"order_id", "price", "size"},
    "updates": {"side", "price", "size", "is_snapshot"},
}
_SPARSE = ("updates", "orders")
"""Kinds in which many rows have no price."""
_VALUE = {
    "book": "coalesce(bid, ask)",
    "trades": "price",
    "bars": "close",
    "ticker": "coalesce(bid, ask)",
    "updates": "price",
    "orders": "price",
}


class Trial(Struct, frozen=True):
    """Result of a trial read of a few rows."""

    kind: str = ""
    rows: int = 0
    share: float = 0.0
    """Share of lines with a time and a price."""
    error: str = ""
    mixture: str = ""
    """Reason why its rows are not of the one market that their paths name."""

    early: bool = False
    """True if a row is from before the date in its path."""
    odd: Mapping[str, float] = field(default_factory=dict)
    """Description of rows that make no sense -> their share."""
    nulls: Mapping[str, float] = field(default_factory=dict)
    """Column -> share of NULLs."""
    nameless: bool = False
    """True if no row names its symbol, though the adapter takes it from the rows."""

    @property
    def works(self) -> bool:
        return self.share >= 0.5

    @property
    def nonsense(self) -> float:
        """Largest share of rows without a value, or that make no sense."""
        return max(1 - self.share, *self.odd.values(), 0.0)


class Sampler(Struct, frozen=True):
    """Makes small lakes of a source's files, and reads them."""

    library: Library
    lake: Path
    folder: Path
    """Folder for temporary files."""

    def trial(self, source: Source, files: Sequence[str]) -> Trial:
        """Read the first rows of ``files`` (paths in the lake)."""
        try:
            with self._trial_source(source, files, TRIAL_ROWS) as (trial_source, _):
                kind = _load(trial_source)
                if kind == "other":
                    return Trial(error="it returns no book, trades or tickers")
                assert trial_source.connection is not None
                counted = trial_source.library.render("inspect/sense.sql.j2", column=_VALUE[kind], kind=kind)
                rows, valued, early, odd, nulls, nameless = trial_source.connection.execute(counted).fetchall()[0]
                lost = sum(untimed for _, untimed, _, _ in _files(trial_source)) + len(_bad(trial_source))
                share = valued / max(rows + lost, 1)
                reason = "" if share else _far(trial_source) or "no row has both a time and a price"
                share = float(bool(valued)) if kind in _SPARSE else share
                return Trial(kind, rows, share, reason, self.plain(trial_source.mixture()), early, odd, nulls, nameless)
        except (SqlgenError, duckdb.Error) as error:
            return Trial(error=self.plain(first_line(error)))

    def contents(
        self, source: Source, files: Sequence[str], rows: int | None, followed: Collection[str] = ()
    ) -> Contents:
        """Read ``files``, of each the first ``rows``, and count. ``followed``: those whose next one is read too."""
        with self._trial_source(source, files, rows) as (trial_source, cut):
            kind = _load(trial_source)
            summary = _rows(trial_source, "inspect/summary.sql.j2", kind=kind)[0] if kind != "other" else {}
            keys = _rows(trial_source, "inspect/keys.sql.j2") if kind != "other" else []
            gaps: list[dict[str, Any]] = []
            read = _files(trial_source)
            if kind != "other":
                whole = {*followed} - cut
                order = [file.path for file in trial_source.files()]
                ends = sorted({last for file, _, last, _ in read if last is not None and order[file] not in whole})
                stops = {"across": rows is None, "ends": ends if rows is not None else []}
                gaps = _rows(trial_source, "inspect/gaps.sql.j2", kind=kind, seconds=GAP_SECONDS, **stops)
            bad = _bad(trial_source)
            return Contents(
                kind=kind,
                files=len(files),
                cut=len(cut),
                rows=int(summary.get("rows", 0)),
                summary=summary,
                keys=tuple(keys),
                gaps=int(gaps[0]["gaps"]) if gaps else 0,
                longest_gaps=tuple(_gap(row) for row in gaps if row["whole_hours"] is None),
                hours_without_rows=int(gaps[0]["hours"]) if gaps else 0,
                untimed=sum(untimed for _, untimed, _, _ in read),
                passed_over=passed_over(passed for *_, passed in read)[1],
                unreadable=len(bad),
                first_unreadable=self.plain(bad[0]) if bad else "",
                table=self._kept(trial_source, kind) if kind in ("book", "ticker", "trades") else "",
            )

    def _kept(self, trial_source: TrialSource, kind: str) -> str:
        """File of the quotes or trades that were read."""
        target = str(self.folder / f"kept-{len(list(self.folder.glob('kept-*')))}.parquet")
        assert trial_source.connection is not None
        trial_source.connection.execute(self.library.render("inspect/kept.sql.j2", kind=kind, target=target))
        return target

    @contextlib.contextmanager
    def _trial_source(
        self, source: Source, files: Iterable[str], rows: int | None
    ) -> Iterator[tuple[TrialSource, set[str]]]:
        """The source over a lake with (the beginnings of) these files, and those that are cut."""
        lake = self.folder / "lake"
        shutil.rmtree(lake, ignore_errors=True)
        try:
            cut, read = set(), [*files]
            for file in read:
                path = self.lake / file
                if excerpt(path, lake / file, sniff(path), rows):
                    cut.add(file)
            spill: dict[str, Setting] = {"temp_directory": str(self.folder / "spill")}
            with confined([self.folder, *folders_of(lake, read)], spill) as connection:
                yield TrialSource(self.library, lake, source, connection), cut
        finally:
            shutil.rmtree(lake, ignore_errors=True)

    def plain(self, text: str) -> str:
        """A message about a file of the small lake, as one about the file itself."""
        return text.replace(str(self.folder / "lake"), str(self.lake))


def _load(trial_source: TrialSource) -> str:
    """Load the rows to count into table ``inspected``; returns their kind."""
    assert trial_source.connection is not None
    select = trial_source.select()
    names = columns_of(trial_source.connection, select).keys()
    kind = next((kind for kind, columns in _KINDS.items() if columns <= names), "other")
    if kind != "other":
        trial_source.connection.execute(trial_source.library.render("inspect/rows.sql.j2", kind=kind, select=select))
    return kind


def _rows(trial_source: TrialSource, template: str, **context: Any) -> list[dict[str, Any]]:
    assert trial_source.connection is not None
    result = trial_source.connection.execute(trial_source.library.render(template, **context))
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, map(_readable, row), strict=True)) for row in result.fetchall()]


def _readable(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str | dict) else str(value)


def _gap(row: Mapping[str, Any]) -> Gap:
    return Gap(row["exchange"], row["symbol"], row["gap_start"], row["gap_end"], row["seconds"])


def _files(trial_source: TrialSource) -> list[tuple[int, int, int | None, Mapping[str, int] | None]]:
    """Number of a file, its rows without a time, last time in ns, and messages passed over; for each market in it."""
    assert trial_source.connection is not None
    if trial_source.takes_lines:
        return []
    survey = trial_source.library.render("inspect/untimed.sql.j2", select=trial_source.select(survey=True))
    rows = trial_source.connection.execute(survey).fetchall()
    return [row[2:] for row in rows]


def _far(trial_source: TrialSource) -> str:
    """Reason why no row is read if that is the date that its path names; otherwise empty."""
    assert trial_source.connection is not None
    library, tolerance = trial_source.library, trial_source.source.date_tolerance
    if tolerance is None:
        return ""
    select = trial_source.select(survey=True)
    rows = library.render("publish/surveyed.sql.j2", select=select, tolerance=tolerance)
    found = trial_source.connection.execute(library.render("inspect/far.sql.j2", rows=rows)).fetchall()
    first, date = found[0]
    if date is None:
        return ""
    return (
        f"its rows are of {first}, more than {tolerance:g} day(s) from {date}, the date in its path. If that is the"
        " date of something else, write * for {date} in its pattern; otherwise raise date_tolerance"
    )


def _bad(trial_source: TrialSource) -> list[str]:
    """A message per unreadable line."""
    decoded = trial_source.stager.decoded.get(trial_source.entry.ref, {}) if trial_source.stager is not None else {}
    return [
        f"{trial_source.lake / file.path} line {bad.line}: {first_line(bad.reason)}"
        for file, found in decoded.items()
        for bad in found.bad
    ]
