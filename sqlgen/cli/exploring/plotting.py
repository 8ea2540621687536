"""``sqlgen plot``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, ProjectFile, open_engine
from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from sqlgen.explore.plot.picture import PlotPicture

EXIT_NOTHING = 1
_FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_NS = 10**9


def plot(
    name: Annotated[str, typer.Argument(metavar="MODEL|SOURCE", help="Whose rows.")],
    file: ProjectFile = DEFAULT_FILE,
    symbol: Annotated[str | None, typer.Option(help="Symbol, in any spelling.")] = None,
    exchange: Annotated[str | None, typer.Option(help="Exchange, where several have the symbol.")] = None,
    start: Annotated[str | None, typer.Option(help="First date or time, UTC. [default: a day before the end]")] = None,
    end: Annotated[str | None, typer.Option(help="Last date or time, inclusive, UTC. [default: the last row]")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Panels of these columns instead.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. [default: in target/plots]")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Write a picture beside the page, too.")] = False,
) -> None:
    """Write an interactive page: price, book, order flow, spread and depth of one symbol.

    Exit code 1: there are no rows of what was asked for. 2: bad configuration or usage.
    """
    from sqlgen.explore.pages.render import write
    from sqlgen.explore.plot.market import Asked, NothingToPlotError
    from sqlgen.explore.plot.page import page
    from sqlgen.explore.plot.picture import picture_of

    first, last = _time("--start", start, False), _time("--end", end, True)
    if first is not None and last is not None and last < first:
        raise UsageError(f"--end {end} is before --start {start}")
    engine = open_engine(file)
    try:
        picture = picture_of(engine, name, Asked(symbol, exchange, first, last), column or ())
    except NothingToPlotError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_NOTHING) from None
    path = output or engine.project.target("plots") / f"{_file_name(picture)}.html"
    write(path, page(engine.project, picture))
    typer.echo(str(path))
    if png:
        from sqlgen.explore.plot.png import png as drawn

        write(path.with_suffix(".png"), drawn(picture))
        typer.echo(str(path.with_suffix(".png")))
    for note in picture.notes:
        typer.echo(f"note: {note}", err=True)


def _time(option: str, text: str | None, is_end: bool) -> int | None:
    """A date or time in ns since 1970; the end of a date is its last nanosecond."""
    if text is None:
        return None
    for form in _FORMS:
        try:
            found = dt.datetime.strptime(text.removesuffix("Z"), form).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
        ns = int(found.timestamp()) * _NS
        return ns + 86_400 * _NS - 1 if is_end and form == _FORMS[0] else ns
    raise UsageError(f"{option} '{text}' is no date or time. Write 2026-01-31, or 2026-01-31T12:30")


def _file_name(picture: PlotPicture) -> str:
    rows = picture.rows
    begin = dt.datetime.fromtimestamp(rows.range[0] / _NS, dt.UTC)
    parts = (rows.name, rows.exchange, rows.symbol, f"{begin:%Y-%m-%d}")
    return "_".join("".join(sign if sign.isalnum() or sign == "-" else "-" for sign in part) for part in parts)
