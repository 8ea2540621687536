"""``sqlgen history`` and ``sqlgen status``."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from sqlgen.cli.arguments import (
    DEFAULT_FILE,
    Exclude,
    Json,
    ProjectFile,
    Select,
    models_of,
    open_engine,
    print_json,
    terminal,
)
from sqlgen.errors import first_line

if TYPE_CHECKING:
    from sqlgen.operate.history import RunSummary, Totals
    from sqlgen.operate.status import Status

EXIT_FAILED = 1
_SHOWN = 3


def history(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    last: Annotated[int, typer.Option(min=1, help="Number of runs, the newest ones.")] = 20,
    by_model: Annotated[bool, typer.Option("--by-model", help="A line per model of each run.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that did not succeed.")] = False,
    json: Json = False,
) -> None:
    """List runs, the newest first: what they published, how long they took, what failed."""
    from sqlgen.operate.history import history as runs_of

    engine = open_engine(file)
    project = engine.project
    models = models_of(project, select, exclude) if select or exclude else project.order
    runs = runs_of(engine.reports, models, last, failed)
    if json:
        print_json(runs)
        return
    _print_history(runs, by_model, "No run of these failed" if failed else "No runs with tasks yet")
    for problem in engine.reports.problems:
        typer.echo(f"note: {problem}", err=True)


def _print_history(runs: list[RunSummary], by_model: bool, none: str) -> None:
    from sqlgen.cli.operating.tables import print_rows, span
    from sqlgen.explore.pages.numbers import moment

    console = terminal()
    if not runs:
        typer.echo(none)
        return
    rows = []
    for run in runs:
        head = (run.run_id, moment(run.started_at), run.outcome)
        if by_model:
            rows += [(*head, name, *_numbers(one), span(one.seconds)) for name, one in run.models.items()]
        else:
            rows.append((*head, *_numbers(run.totals), span(run.seconds)))
    model = ("model",) if by_model else ()
    numbers = (">tasks", ">failed", ">left", ">rows in", ">rows out", ">size", ">took")
    print_rows(console, ("run", "began", "outcome", *model, *numbers), rows)
    for run in runs:
        messages = [*dict.fromkeys(first_line(text) for text in (*run.errors, *run.failures))]
        for text in messages[:_SHOWN]:
            typer.echo(f"{run.run_id}: {text}")
        if len(messages) > _SHOWN:
            typer.echo(f"{run.run_id}: and {len(messages) - _SHOWN} more: --json has all")


def _numbers(totals: Totals) -> tuple[str, ...]:
    from sqlgen.explore.pages.numbers import count, size

    numbers = (totals.tasks, totals.failed, totals.left, totals.rows_in, totals.rows_out)
    return (*map(count, numbers), size(totals.bytes))


def status(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Print Prometheus's text format.")] = False,
    json: Json = False,
) -> None:
    """Show per model how far its table reaches, what is stale, what is due and what failed last.

    Exit code 0: nothing failed. 1: partitions of some model failed and are not built since, or there can be no plan.
    """
    from sqlgen.operate import status as state

    engine = open_engine(file)
    project = engine.project
    models = models_of(project, select, exclude) if select or exclude else project.order
    found = state.status(engine, models, dt.datetime.now(dt.UTC))
    if prometheus:
        typer.echo(state.prometheus(found, next(engine.reports.newest(), None)), nl=False)
    elif json:
        print_json(found)
    else:
        _print_status(found)
    if found.problems or any(model.failing for model in found.models):
        raise typer.Exit(EXIT_FAILED)


def _print_status(found: Status) -> None:
    from sqlgen.cli.console import print_errors
    from sqlgen.cli.operating.tables import print_rows, span
    from sqlgen.explore.pages.numbers import count, moment, size

    console = terminal()
    rows = [
        (
            one.model if one.enabled else f"{one.model} (disabled)",
            count(one.partitions),
            count(one.rows),
            size(one.bytes),
            moment(one.watermark),
            span(one.lag),
            "" if one.stale is None else count(one.stale),
            count(one.failing),
            ("now" if one.due <= found.at else moment(one.due)) if one.due is not None else "",
            moment(one.last_run),
        )
        for one in found.models
    ]
    numbers = (">partitions", ">rows", ">size")
    print_rows(console, ("model", *numbers, "until", ">lag", ">stale", ">failing", "due", "last run"), rows)
    for one in found.models:
        if one.behind:
            more = f" and {len(one.behind) - _SHOWN} more" if len(one.behind) > _SHOWN else ""
            typer.echo(f"{one.model}: behind: {', '.join(one.behind[:_SHOWN])}{more}")
        if one.failing and one.last_failure is not None:
            typer.echo(f"{one.model}: failed {moment(one.last_failure.at)}: {one.last_failure.error}")
    print_errors(console, found.problems)
