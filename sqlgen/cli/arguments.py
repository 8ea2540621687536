"""Arguments and options that several commands share."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct, structs

import sqlgen
from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from sqlgen.lake.partitions import Shard
    from sqlgen.plan.selection import Selection
    from sqlgen.project.project import Project
    from sqlgen.run.engine import Engine

DEFAULT_FILE = Path(sqlgen.DEFAULT_FILE)
ProjectFile = Annotated[Path, typer.Argument(help="The project file.", metavar="models.yaml")]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", "-s", help="Models: names, globs, tag:x, +m (with upstream), m+ (with downstream)."),
]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", help="Models to leave out; as --select.")]
Exchanges = Annotated[list[str] | None, typer.Option("--exchange", help="Only these exchanges.")]
Symbols = Annotated[list[str] | None, typer.Option("--symbol", help="Only these symbols.")]
Start = Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First date, UTC.")]
End = Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last date, inclusive, UTC.")]
FullRefresh = Annotated[bool, typer.Option("--full-refresh", help="Rebuild all selected partitions, stale or not.")]
Prune = Annotated[bool, typer.Option("--prune", help="Remove published partitions whose inputs are all gone.")]
DiscardEdits = Annotated[bool, typer.Option("--discard-edits", help="Rebuild partitions whose rows were edited, too.")]
Retry = Annotated[bool, typer.Option("--retry", help="Only failed and pending tasks of the last run.")]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Only the symbols of one of N shards, from 1/N to N/N."),
]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="No error for selected data that does not exist.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print every partition, however many.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def models_of(project: Project, select: list[str] | None, exclude: list[str] | None) -> tuple[str, ...]:
    """Names of the models that ``--select`` and ``--exclude`` leave."""
    from sqlgen.project.selectors import select as choose

    return choose(project, select or (), exclude or ())


def selection_of(
    engine: Engine,
    select: list[str] | None,
    exclude: list[str] | None,
    exchange: list[str] | None,
    symbol: list[str] | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    shard: str | None = None,
) -> Selection:
    """The selection made by the options."""
    from sqlgen.plan.selection import in_shard

    chosen = partitions_of(exchange, symbol, start, end, models_of(engine.project, select, exclude))
    return in_shard(chosen, engine.project, shard_of(shard))


def partitions_of(
    exchange: list[str] | None,
    symbol: list[str] | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    models: tuple[str, ...] = (),
) -> Selection:
    """Partitions that options choose."""
    from sqlgen.plan.selection import Selection

    if start and end and end < start:
        raise UsageError(f"--end {end.date()} is before --start {start.date()}")
    first, last = (time.date() if time else None for time in (start, end))
    return Selection(models, tuple(exchange or ()), tuple(symbol or ()), first, last)


def shard_of(text: str | None) -> Shard | None:
    """The shard that ``--shard`` names."""
    from sqlgen.lake.partitions import Shard

    return None if text is None else Shard.parse(text)


def open_engine(
    file: Path, threads: int | None = None, memory_limit: str | None = None, fail_fast: bool = False, **more: Any
) -> Engine:
    """The engine of a project on its lake, with the command's settings; ``more`` of :class:`Settings`."""
    from sqlgen.run.engine import Engine
    from sqlgen.run.machine import Settings

    more |= {"threads": threads} if threads is not None else {}
    return Engine.open(file, Settings(memory_limit=memory_limit, fail_fast=fail_fast, **more))


def terminal() -> Console:
    """Console that commands print to."""
    from sqlgen.cli.console import OutputConsole

    return OutputConsole()


def print_json(data: Any) -> None:
    """Print one JSON document; Structs are objects of their fields."""
    import json as jsonlib

    typer.echo(jsonlib.dumps(data, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    return structs.asdict(value) if isinstance(value, Struct) else str(value)


def refuse_others(path: Path, what: str, *heads: str) -> None:
    """:class:`UsageError` where a path is a file that does not begin as those that a command writes."""
    if path.is_file() and not path.read_text(errors="replace").startswith(heads):
        raise UsageError(f"{path} is there already, and no {what}. Remove it, or choose another place")
