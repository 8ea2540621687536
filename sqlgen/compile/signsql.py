"""The sign audit as a check: SQL of the trades that it judges, and their counts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlgen.project import signs
from sqlgen.project.model import Model
from sqlgen.project.rowchecks import Check, CheckCount
from sqlgen.templating.templates import Library

JUDGED_TEMPLATE = "publish/judged_trades.sql.j2"
QUOTED_TEMPLATE = "publish/quoted_trades.sql.j2"
BEST = (signs.QUOTES, ("bid_price_00", "ask_price_00"), ("bid", "ask"))
"""Columns of the best bid and ask of features, books and tickers."""


def judged(library: Library, rows: str, check: Check) -> str:
    """SELECT of the rows of a result that a sign audit judges."""
    return library.render(JUDGED_TEMPLATE, rows=rows, columns=check.tested)


def beside(library: Library, trades: str, quotes: str, columns: Sequence[str], check: Check) -> str:
    """SELECT of trades with the quote before each; empty if ``columns`` are not those of quotes."""
    found = next((pair for pair in BEST if {*pair} <= {*columns}), None)
    if found is None:
        return ""
    has_seq = {"date", "seq"} <= {*columns}
    seconds = check.quote_seconds
    return library.render(
        QUOTED_TEMPLATE, trades=trades, quotes=quotes, bid=found[0], ask=found[1], has_seq=has_seq, seconds=seconds
    )


def counted(model: Model, of: str, check: Check, rows: int, total: int, first: str) -> CheckCount:
    """Count of the rows that fail a check; 0 for a sign audit whose share is small, or that judged few trades."""
    if check.is_sign_audit and not signs.is_reversed(total, rows, check.share):
        return CheckCount(of, check.title, check.on_fail, 0, total)
    if check.is_sign_audit:
        sources = [entry.source for entry in model.inputs if entry.source and of in (entry.ref, model.name)]
        side_is = "maker" if any(source.side_is == "maker" for source in sources) else "auto"
        first = f"{first}. {signs.finding(total, rows)}. {signs.advice(side_is)}"
    return CheckCount(of, check.title, check.on_fail, rows, total, first)
