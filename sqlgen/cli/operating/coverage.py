"""``sqlgen coverage``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import structs

from sqlgen.cli.arguments import DEFAULT_FILE, End, Json, Start, Symbols, open_engine, print_json, terminal
from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from sqlgen.operate.datacoverage import SymbolCoverage, Wanted
    from sqlgen.run.engine import Engine

EXIT_TOO_LITTLE, EXIT_NO_ROWS = 1, 2
_SHOWN = 5


def coverage(
    name: Annotated[str, typer.Argument(metavar="SOURCE|MODEL", help="Whose rows; without it, all sources.")] = "",
    file: Annotated[Path, typer.Option("--project", help="The project file.")] = DEFAULT_FILE,
    symbol: Symbols = None,
    start: Start = None,
    end: End = None,
    gap: Annotated[float, typer.Option(min=0, help="Seconds without a row that count as a gap.")] = 300.0,
    fail_under: Annotated[float, typer.Option(min=0, max=100, help="Least percent of hours with rows.")] = 0.0,
    html: Annotated[Path | None, typer.Option(help="Write heat maps of days and hours to this page.")] = None,
    json: Json = False,
) -> None:
    """Show which days and hours are missing, gaps, and days with unusually many or few rows, by symbol.

    Exit code 0: covered. 1: a symbol has fewer hours with rows than --fail-under. 2: there are no rows.
    """
    from sqlgen.operate.datacoverage import Wanted

    if start and end and end < start:
        raise UsageError(f"--end {end.date()} is before --start {start.date()}")
    wanted = Wanted(tuple(symbol or ()), start.date() if start else None, end.date() if end else None, gap)
    engine = open_engine(file)
    found = _coverage(engine, name, wanted, html)
    if json:
        print_json([_as_dict(of, one) for of, ones in found.items() for one in ones])
    for number, (of, ones) in enumerate(() if json else found.items()):
        if not name:
            typer.echo(f"\nsource {of}" if number else f"source {of}")
        _print(ones)
    poor = [one for ones in found.values() for one in ones if one.percent < fail_under]
    for one in poor:
        where = f"{one.exchange} {one.symbol}"
        typer.echo(f"{where}: {one.percent:.2f}% of the hours have rows, fewer than {fail_under:g}%", err=True)
    if not name and len(found) < len(engine.project.sources):
        raise typer.Exit(EXIT_NO_ROWS)
    if poor:
        raise typer.Exit(EXIT_TOO_LITTLE)


def _coverage(engine: Engine, name: str, wanted: Wanted, html: Path | None) -> dict[str, list[SymbolCoverage]]:
    """Coverage of a source or model; without a name, of all sources that have rows: the others are named."""
    from sqlgen.operate.datacoverage import coverage as coverage_of

    if name:
        found = {name: coverage_of(engine, name, wanted)}
    elif html is not None:
        raise UsageError("--html is of one SOURCE or MODEL: name it")
    else:
        found = {}
        for source in engine.project.sources:
            try:
                found[source] = coverage_of(engine, source, wanted)
            except UsageError as error:
                typer.echo(f"error: {error}", err=True)
    if html is not None:
        from sqlgen.explore.pages.render import write
        from sqlgen.operate.site.pages import coverage_page

        write(html, coverage_page(engine, name, found[name]))
        typer.echo(f"heat maps: {html}", err=True)
    return found


def _as_dict(name: str, one: SymbolCoverage) -> dict[str, Any]:
    return {
        "name": name,
        **structs.asdict(one),
        "percent": one.percent,
        "unusual_days": [day.day for day in one.unusual_days],
    }


def _print(found: Sequence[SymbolCoverage]) -> None:
    from sqlgen.cli.operating.tables import print_rows, span
    from sqlgen.explore.pages.numbers import count, moment

    rows = [
        (
            one.exchange,
            one.symbol,
            moment(one.first),
            moment(one.last),
            count(len(one.missing_days)),
            count(one.missing_hours),
            f"{one.percent:.2f}",
            count(one.gaps),
            span(one.longest_gap),
            count(one.rows),
            count(round(one.usual_rows)),
            count(len(one.unusual_days)),
        )
        for one in found
    ]
    numbers = (">missing days", ">missing hours", ">percent", ">gaps", ">longest", ">rows", ">a day", ">unusual days")
    print_rows(terminal(), ("exchange", "symbol", "first", "last", *numbers), rows)
    for one in found:
        where = f"{one.exchange} {one.symbol}"
        _list(f"{where}: no rows on", ranges(one.missing_days))
        hours = [f"{day.day} {', '.join(f'{hour:02}h' for hour in day.missing_hours)}" for day in one.days]
        _list(f"{where}: hours without rows:", [text for text in hours if text.endswith("h")])
        unusual = [f"{day.day} ({count(day.rows)}, {day.share:.2f} of usual)" for day in one.unusual_days]
        _list(f"{where}: unusual days:", unusual)


def _list(head: str, items: Sequence[str]) -> None:
    if items:
        more = f" and {len(items) - _SHOWN} more: --json has all" if len(items) > _SHOWN else ""
        typer.echo(f"{head} {'; '.join(items[:_SHOWN])}{more}")


def ranges(days: Sequence[dt.date]) -> list[str]:
    """Days with those that follow each other as one: ``2026-01-03 to 2026-01-05``."""
    runs: list[list[dt.date]] = []
    for day in days:
        if runs and day - runs[-1][-1] == dt.timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    return [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
