"""Sign audit of `inspect`: trades against the quotes of the same markets in other files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import duckdb
from msgspec import structs

from sqlgen.detect.findings import Contents, Finding
from sqlgen.project import signs
from sqlgen.templating.templates import Library

SIGNS_TEMPLATE = "inspect/signs.sql.j2"


def with_sign_audit(library: Library, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings, with the sign audit of their trades."""
    quotes = [part.table for finding in findings for part in finding.contents if part.table and part.kind != "trades"]
    with duckdb.connect() if quotes else contextlib.nullcontext() as connection:
        return tuple(_with_sign_audit(library, connection, finding, quotes) for finding in findings)


def _with_sign_audit(
    library: Library, connection: duckdb.DuckDBPyConnection | None, finding: Finding, quotes: Sequence[str]
) -> Finding:
    contents, notes = [], []
    for part in finding.contents:
        judged = against = 0
        for file in quotes if part.kind == "trades" and part.table else ():
            assert connection is not None  # as there are quotes
            counts = connection.execute(_query(library, part.table, file)).fetchall()[0]
            judged, against = judged + int(counts[0]), against + int(counts[1])
        contents.append(_with_sides(part, judged, against))
        if signs.is_reversed(judged, against):
            notes.append(f"{signs.finding(judged, against)}. {signs.advice('auto')}")
    return structs.replace(finding, contents=tuple(contents), notes=(*finding.notes, *notes))


def _query(library: Library, trades: str, quotes: str) -> str:
    return library.render(SIGNS_TEMPLATE, trades=trades, quotes=quotes, seconds=signs.QUOTE_SECONDS)


def _with_sides(part: Contents, judged: int, against: int) -> Contents:
    counts_of_sides = {"sides_judged": judged, "sides_against": against} if judged else {}
    return structs.replace(part, table="", summary={**part.summary, **counts_of_sides})
