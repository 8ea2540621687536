"""``sqlgen watch``."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from sqlgen.cli import signals
from sqlgen.cli.arguments import (
    DEFAULT_FILE,
    Exclude,
    ProjectFile,
    Select,
    ShardOption,
    models_of,
    open_engine,
    shard_of,
)

if TYPE_CHECKING:
    from sqlgen.operate.watch import Event


def watch(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    shard: ShardOption = None,
    on_change: Annotated[
        bool, typer.Option("--on-change", help="Run models without a schedule when source files have come.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks.")] = 10.0,
    settle: Annotated[float, typer.Option(min=0, help="Seconds that source files stay as they are.")] = 30.0,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="End after so many seconds.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads, and partitions built at once.")] = None,
    memory_limit: Annotated[str | None, typer.Option(help="DuckDB's memory limit, for example 4GB.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Run models when their schedule comes up, and when source files have come, until stopped.

    Exit code 0: stopped between two runs. 130, 143, 129: stopped in a run, as `run` is.
    """
    from sqlgen.operate.watch import Watch

    models = models_of(open_engine(file).project, select, exclude)
    watching = Watch(
        lambda: open_engine(file, threads, memory_limit),
        models,
        on_change,
        lambda event: _print(event, json),
        every,
        settle,
        shard=shard_of(shard),
    )
    end = watching.clock.now() + dt.timedelta(seconds=seconds) if seconds is not None else None
    try:
        with signals.raised():
            watching.until(end)
    except KeyboardInterrupt as stop:
        typer.echo(f"{signals.name(stop)}: published partitions stay", err=True)
        if watching.running:
            raise typer.Exit(signals.code(stop)) from None


def _print(event: Event, json: bool) -> None:
    at = f"{event.at:%Y-%m-%dT%H:%M:%SZ}"
    if json:
        import json as jsonlib

        typer.echo(jsonlib.dumps({"at": at, "what": event.what, "message": event.message, **event.details}))
    else:
        typer.echo(f"{at} {event.what} {event.message}")
