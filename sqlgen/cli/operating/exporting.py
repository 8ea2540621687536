"""The command `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, End, Exchanges, ProjectFile, Start, Symbols, partitions_of
from sqlgen.errors import UsageError, nearest

EXIT_NOTHING = 1
KINDS = ("hftbacktest", "nautilus")


def export(
    kind: Annotated[str, typer.Argument(help="What reads the files: hftbacktest or nautilus.", metavar="KIND")],
    project: ProjectFile = DEFAULT_FILE,
    book: Annotated[str, typer.Option("--book", help="A source or model of order books.")] = "",
    trades: Annotated[str, typer.Option("--trades", help="A source or model of trades.")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files; nothing there is replaced.")] = (
        Path("export")
    ),
    latency_ms: Annotated[
        float,
        typer.Option("--latency-ms", min=0, help="From the exchange to the trader, where no arrival is known."),
    ] = 0.0,
    exchange: Exchanges = None,
    symbol: Symbols = None,
    start: Start = None,
    end: End = None,
) -> None:
    """Write books and trades as files that a backtesting engine reads, one or two a day and symbol.

    Exit code 1: there is nothing to export.
    """
    if kind not in KINDS:
        raise UsageError(f"export: unknown kind '{kind}'.{nearest(kind, KINDS)} Known: {', '.join(KINDS)}")
    from sqlgen.exports import hftbacktest, nautilus
    from sqlgen.exports.feed import FeedViews

    write_day = {"hftbacktest": hftbacktest, "nautilus": nautilus}[kind].write_day
    asked = partitions_of(exchange, symbol, start, end)
    feed = FeedViews(project, book, trades, latency_ms)
    try:
        days = feed.days(asked)
    except UsageError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_NOTHING) from None
    for day in days:
        for path, rows in write_day(feed, day, output):
            typer.echo(f"{path}: {rows:,} {'events' if kind == 'hftbacktest' else 'rows'}")
