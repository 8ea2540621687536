"""Statistics of a sample of a source, read through its adapter."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sqlgen.detect.files.excerpts import excerpt
from sqlgen.detect.files.sniff import sniff
from sqlgen.detect.findings import Contents, Gap
from sqlgen.detect.trial import Bench
from sqlgen.errors import SqlgenError, first_line
from sqlgen.project.config import Source
from sqlgen.sources.schemas import columns_of
from sqlgen.templating.quoting import quoted
from sqlgen.templating.templates import Library

GAP_SECONDS = 300
TRIAL_ROWS = 1_000
_KINDS = {
    "book": {"bid_price_00", "ask_price_00"},
    "trades": {"price", "amount", "side"},
    "ticker": {"bid", "ask", "last"},
    "updates": {"side", "price", "size", "is_snapshot"},
    "orders": {"order_id", "action", "price", "size"},
}
_SPARSE = ("updates", "orders")
"""Kinds in which many rows have no price."""
_VALUE = {
    "book": "coalesce(bid, ask)",
    "trades": "price",
    "ticker": "coalesce(bid, ask)",
    "updates": "price",
    "orders": "price",
}


@dataclass(frozen=True)
class Trial:
    """Result of a trial read of a few rows."""

    kind: str = ""
    rows: int = 0
    share: float = 0.0
    """Share of lines with a time and a price."""
    error: str = ""
    mixture: str = ""
    """Reason why its rows are not of the one market that their paths name."""

    @property
    def works(self) -> bool:
        return self.share >= 0.5


@dataclass(frozen=True)
class Sampler:
    """Makes small lakes of a source's files, and reads them."""

    library: Library
    lake: Path
    folder: Path
    """Folder for temporary files."""

    def trial(self, source: Source, files: Sequence[str]) -> Trial:
        """Read the first rows of ``files`` (paths in the lake)."""
        try:
            with self._bench(source, files, TRIAL_ROWS) as (bench, _):
                kind = _load(bench)
                if kind == "other":
                    return Trial(error="it returns no book, trades or tickers")
                assert bench.connection is not None
                counted = bench.library.render("inspect/valued.sql.j2", column=_VALUE[kind])
                rows, valued = bench.connection.execute(counted).fetchall()[0]
                lost = _untimed(bench) + len(_bad(bench))
                share = valued / max(rows + lost, 1)
                reason = "" if share else "no row has both a time and a price"
                share = float(bool(valued)) if kind in _SPARSE else share
                return Trial(kind, rows, share, reason, self.plain(bench.mixture()))
        except (SqlgenError, duckdb.Error) as error:
            return Trial(error=self.plain(first_line(error)))

    def contents(self, source: Source, files: Sequence[str], rows: int | None) -> Contents:
        """Read ``files``, of each the first ``rows``, and count."""
        with self._bench(source, files, rows) as (bench, cut):
            kind = _load(bench)
            summary = _rows(bench, "inspect/summary.sql.j2", kind=kind)[0] if kind != "other" else {}
            keys = _rows(bench, "inspect/keys.sql.j2") if kind != "other" else []
            gaps: list[dict[str, Any]] = []
            if kind != "other":
                gaps = _rows(bench, "inspect/gaps.sql.j2", seconds=GAP_SECONDS, across=rows is None)
            bad = _bad(bench)
            return Contents(
                kind=kind,
                files=len(files),
                cut=cut,
                rows=int(summary.get("rows", 0)),
                summary=summary,
                keys=tuple(keys),
                gaps=int(gaps[0]["gaps"]) if gaps else 0,
                longest_gaps=tuple(_gap(row) for row in gaps),
                untimed=_untimed(bench),
                unreadable=len(bad),
                first_unreadable=self.plain(bad[0]) if bad else "",
                kept=self._kept(bench, kind) if kind in ("book", "ticker", "trades") else "",
            )

    def _kept(self, bench: Bench, kind: str) -> str:
        """File of the quotes or trades that were read."""
        target = str(self.folder / f"kept-{len(list(self.folder.glob('kept-*')))}.parquet")
        assert bench.connection is not None
        bench.connection.execute(self.library.render("inspect/kept.sql.j2", kind=kind, target=target))
        return target

    @contextlib.contextmanager
    def _bench(self, source: Source, files: Iterable[str], rows: int | None) -> Iterator[tuple[Bench, int]]:
        """The source over a lake with (the beginnings of) these files, and how many are cut."""
        lake = self.folder / "lake"
        shutil.rmtree(lake, ignore_errors=True)
        try:
            cut = 0
            for file in files:
                path = self.lake / file
                cut += excerpt(path, lake / file, sniff(path), rows)
            with duckdb.connect() as connection:
                connection.execute(f"SET temp_directory = {quoted(str(self.folder / 'spill'))}")
                yield Bench(self.library, lake, source, connection), cut
        finally:
            shutil.rmtree(lake, ignore_errors=True)

    def plain(self, text: str) -> str:
        """A message about a file of the small lake, as one about the file itself."""
        return text.replace(str(self.folder / "lake"), str(self.lake))


def _load(bench: Bench) -> str:
    """Load the rows to count into table ``inspected``; returns their kind."""
    assert bench.connection is not None
    select = bench.select()
    names = columns_of(bench.connection, select).keys()
    kind = next((kind for kind, columns in _KINDS.items() if columns <= names), "other")
    if kind != "other":
        bench.connection.execute(bench.library.render("inspect/rows.sql.j2", kind=kind, select=select))
    return kind


def _rows(bench: Bench, template: str, **context: Any) -> list[dict[str, Any]]:
    assert bench.connection is not None
    result = bench.connection.execute(bench.library.render(template, **context))
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, map(_readable, row), strict=True)) for row in result.fetchall()]


def _readable(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _gap(row: Mapping[str, Any]) -> Gap:
    return Gap(row["exchange"], row["symbol"], row["gap_start"], row["gap_end"], row["seconds"])


def _untimed(bench: Bench) -> int:
    assert bench.connection is not None
    if bench.takes_lines:
        return 0
    untimed = bench.library.render("inspect/untimed.sql.j2", select=bench.select(survey=True))
    return int(bench.connection.execute(untimed).fetchall()[0][0])


def _bad(bench: Bench) -> list[str]:
    """A message per unreadable line."""
    decoded = bench.stager.decoded.get(bench.entry.ref, {}) if bench.stager is not None else {}
    return [
        f"{bench.lake / file.path} line {bad.line}: {first_line(bad.reason)}"
        for file, found in decoded.items()
        for bad in found.bad
    ]
