"""Tables: aligned on a terminal, lines with tabs in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from sqlgen.cli.console import plain


def print_rows(console: Console, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below headings; a heading that begins with ``>`` is of numbers."""
    if not console.is_terminal:
        for row in ([heading.removeprefix(">") for heading in headings], *rows):
            plain(console, "\t".join(row))
        return
    columns = [Column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left") for name in headings]
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def span(seconds: float | None) -> str:
    """Seconds in days, hours, minutes; empty for none."""
    if seconds is None:
        return ""
    if abs(seconds) < 100:
        return f"{seconds:.0f} s"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds / 60:.1f} min"
