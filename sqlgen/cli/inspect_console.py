"""Output of `inspect`: tables on a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sqlgen.cli.console import plain, print_notes
from sqlgen.detect.findings import Choice, Contents, Examination, FileCoverage, Finding, shares
from sqlgen.explore.pages.numbers import count, size
from sqlgen.project import signs

_BOOK = {"crossed": "crossed", "locked": "locked", "one_sided": "one-sided", "empty": "empty"}
_COUNTS = {
    "out_of_order": "earlier than the row before",
    "repeated_rows": "repeated rows",
    **_BOOK,
    "price_null": "without a price",
    "amount_null": "without an amount",
    "size_null": "without a size",
    "side_null": "without a side",
    "repeated_trade_ids": "repeated trade ids",
    "repeated_times": "with the time of another one",
    "last_null": "without a last price",
}
"""Column of the summary -> description of the rows it counts; printed if it is not 0."""
_SHOWN = 10


def print_examination(console: Console, found: Examination) -> None:
    """Print all findings, then the entry for models.yaml."""
    for number, finding in enumerate(found.findings):
        if number:
            plain(console, "")
        _print_finding(console, finding)
    print_notes(console, found.notes)
    text = found.yaml()
    if text:
        plain(console, "")
        console.print("[dim]# for models.yaml[/]" if console.is_terminal else "# for models.yaml", highlight=False)
        plain(console, text.rstrip("\n"))


def _print_finding(console: Console, finding: Finding) -> None:
    title = f"{finding.layout.folder}: {_files(finding)}"
    if console.is_terminal:
        console.print(f"[bold]{escape(title)}[/]", highlight=False, soft_wrap=True)
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for label, text in _lines(finding):
            table.add_row(f"[dim]{label}[/]", escape(text))
        console.print(table)
    else:
        plain(console, title)
        for label, text in _lines(finding):
            plain(console, f"{label}\t{text}")
    print_notes(console, finding.notes)


def _files(finding: Finding) -> str:
    layout = finding.layout
    packing = f" in {finding.packing}" if finding.packing else ""
    kind = f"{finding.format or 'not recognised'}{packing}"
    if finding.delimiter not in ("", ","):
        kind += f", delimiter {finding.delimiter!r}"
    files = "1 file" if layout.files == 1 else f"{count(layout.files)} files"
    empty = f", {layout.empty} of those looked at empty" if layout.empty else ""
    return f"{files}, {size(layout.bytes)}, {kind}{empty}"


def _lines(finding: Finding) -> Iterator[tuple[str, str]]:
    for choice in finding.choices:
        yield "adapter", _choice(choice)
    for choice in finding.others:
        yield "or", _choice(choice)
    if not finding.choices and finding.columns:
        yield "columns", _some(finding.columns, 30)
    yield from _layout(finding.layout)
    for contents in finding.contents:
        yield from _contents(contents)


def _choice(choice: Choice) -> str:
    return f"{choice.adapter} ({choice.sure}): {'; '.join(choice.why)}"


def _layout(layout: FileCoverage) -> Iterator[tuple[str, str]]:
    yield "keys", f"by {layout.by}; for example {layout.example}"
    if layout.exchanges:
        yield "exchanges", _some(layout.exchanges)
    if layout.symbols:
        yield "symbols", f"{count(len(layout.symbols))}: {_some(layout.symbols)}"
    if layout.dates:
        yield "dates", f"{layout.first_date} to {layout.last_date}, {count(layout.dates)} of them"
    if layout.missing_dates:
        yield "days without files", f"{count(len(layout.missing_dates))}: {_some(layout.missing_dates, 5)}"
    if layout.strangers:
        yield "not fitting", f"{count(layout.strangers)} file(s) do not fit the pattern"


def _contents(contents: Contents) -> Iterator[tuple[str, str]]:
    summary = contents.summary
    cut = f", the first rows of {contents.cut} of them" if contents.cut else ""
    yield "read", f"{count(contents.rows)} rows ({contents.kind}) of {contents.files} file(s){cut}"
    if contents.rows:
        yield "times", f"{summary['first']} to {summary['last']} UTC, to the {_UNITS[summary['resolution']]}"
        yield "of", _some([f"{row['exchange']} {row['symbol']}: {count(row['rows'])}" for row in contents.keys])
    if "most_levels" in summary and contents.rows:
        yield (
            "levels",
            f"up to {summary['most_levels']}; median {_number(summary['median_bid_levels'])} bids,"
            + (f" {_number(summary['median_ask_levels'])} asks"),
        )
    if summary.get("median_spread_bps") is not None:
        yield "spread", f"median {summary['median_spread_bps']:.3g} bps"
    if summary.get("buys") is not None and contents.rows:
        yield "buys", f"{summary['buys'] / contents.rows:.1%}"
    if "sides_judged" in summary:
        yield "sides", signs.finding(summary["sides_judged"], summary["sides_against"])
    if contents.gaps:
        longest = contents.longest_gaps[0]
        yield (
            "gaps",
            (
                f"{count(contents.gaps)} over 300 s; the longest {longest.seconds:,.0f} s,"
                f" {longest.exchange} {longest.symbol} from {longest.start} to {longest.end}"
            ),
        )
    else:
        yield "gaps", "none over 300 s" if contents.kind != "bars" else "none longer than the bars are apart"
    if contents.hours_without_rows:
        yield "hours without rows", f"{count(contents.hours_without_rows)}, which are not counted as gaps"
    if contents.rows and "nulls" in summary:
        yield "NULL", shares(summary["nulls"]) or "none"
    yield "odd rows", "; ".join(_odd(contents)) or "none"
    if contents.passed_over:
        yield "passed over", contents.passed_over
    if contents.unreadable:
        yield "unreadable lines", f"{count(contents.unreadable)}; first: {contents.first_unreadable}"


_UNITS = {"s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond"}


def _odd(contents: Contents) -> Iterator[str]:
    for name, text in _COUNTS.items():
        number = contents.summary.get(name)
        if number:
            yield f"{count(number)} {text}"
    if contents.untimed:
        yield f"{count(contents.untimed)} without a time"


def _number(value: Any) -> str:
    return "no" if value is None else f"{value:g}"


def _some(values: Any, most: int = _SHOWN) -> str:
    more = f", ... ({count(len(values))})" if len(values) > most else ""
    return ", ".join(values[:most]) + more
