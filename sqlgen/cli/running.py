"""``sqlgen run`` and ``sqlgen plan``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import structs

from sqlgen.cli import signals
from sqlgen.cli.arguments import (
    DEFAULT_FILE,
    AllowEmpty,
    DiscardEdits,
    End,
    Exchanges,
    Exclude,
    FullRefresh,
    Json,
    ProjectFile,
    Prune,
    Retry,
    Select,
    ShardOption,
    Start,
    Symbols,
    Verbose,
    open_engine,
    print_json,
    selection_of,
    terminal,
)
from sqlgen.lake import sealed

if TYPE_CHECKING:
    from rich.console import Console

    from sqlgen.plan.selection import Selection
    from sqlgen.run.engine import Engine
    from sqlgen.run.report import Report

EXIT_FAILED = 1


def run(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    exchange: Exchanges = None,
    symbol: Symbols = None,
    start: Start = None,
    end: End = None,
    shard: ShardOption = None,
    full_refresh: FullRefresh = False,
    prune: Prune = False,
    discard_edits: DiscardEdits = False,
    allow_empty: AllowEmpty = False,
    retry: Retry = False,
    due: Annotated[bool, typer.Option("--due", help="Only models whose schedule is due.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")] = False,
    verbose: Verbose = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads, and partitions built at once.")] = None,
    memory_limit: Annotated[str | None, typer.Option(help="DuckDB's memory limit, for example 4GB.")] = None,
    executor: Annotated[str, typer.Option(help="threads, or the workers of a ray cluster.")] = "threads",
    address: Annotated[
        str | None, typer.Option(help="Ray cluster: auto, ray://HOST:PORT. [default: a new one on this machine]")
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start no new task after a failure.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for another run to end.")] = 0.0,
    json: Json = False,
) -> None:
    """Build and publish stale partitions, one by one.

    Exit code 0: all published, or up to date. 1: some task failed (others still ran), or selected data does not exist.
    2: bad configuration or usage. 3: another run holds what is to be built. 130: interrupted.
    """
    engine = open_engine(file, threads, memory_limit, fail_fast, executor=executor, address=address)
    chosen = selection_of(engine, select, exclude, exchange, symbol, start, end, shard)
    flags = {"full_refresh": full_refresh, "prune": prune, "discard_edits": discard_edits, "allow_empty": allow_empty}
    chosen = _with(chosen, **flags)
    if retry:
        chosen = engine.reports.unfinished(chosen)
    if due:
        chosen = engine.due(chosen)
    if dry_run:
        _show_plan(engine, chosen, json, verbose)
        return
    console = None if json else terminal()
    try:
        with signals.raised(), _watcher(console, verbose) as watcher:
            report = _run(engine, chosen, watcher, wait, due)
        _show_report(console, report, f"sqlgen run {file} --retry")
    except KeyboardInterrupt as stop:
        raise _ended(signals.name(stop), signals.code(stop)) from None
    except BrokenPipeError:
        signals.mute()
        raise _ended("stopped: the output is no longer read (broken pipe)", signals.NOT_READ) from None
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


def _run(engine: Engine, chosen: Selection, watcher: Any, wait: float, due: bool) -> Report:
    from sqlgen.operate.aftermath import run_and_tell

    report, problems = run_and_tell(engine, chosen, watcher, wait, always_report=due)
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)
    return report


def plan(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    exchange: Exchanges = None,
    symbol: Symbols = None,
    start: Start = None,
    end: End = None,
    shard: ShardOption = None,
    full_refresh: FullRefresh = False,
    prune: Prune = False,
    discard_edits: DiscardEdits = False,
    allow_empty: AllowEmpty = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Show the tasks of a run, and why each partition is stale.

    Exit code 1: run would fail before it begins, or selected data does not exist.
    """
    engine = open_engine(file)
    chosen = selection_of(engine, select, exclude, exchange, symbol, start, end, shard)
    flags = {"full_refresh": full_refresh, "prune": prune, "discard_edits": discard_edits, "allow_empty": allow_empty}
    _show_plan(engine, _with(chosen, **flags), json, verbose)


def _with(selection: Selection, **changes: Any) -> Selection:

    return structs.replace(selection, **changes)


def _show_plan(engine: Engine, selection: Selection, json: bool, verbose: bool) -> None:
    plan = engine.plan(selection)
    if json:
        print_json(plan.to_dict())
    else:
        from sqlgen.cli.console import print_plan

        print_plan(terminal(), plan, verbose)
    if plan.refused:
        raise typer.Exit(EXIT_FAILED)


def _show_report(console: Console | None, report: Report, retry: str) -> None:
    if console is None:
        typer.echo(sealed.lines(report.to_dict()), nl=False)
        return
    from sqlgen.cli.console import print_report

    print_report(console, report, retry)


def _ended(how: str, code: int) -> typer.Exit:
    """End of a run before its time, with a message."""
    with contextlib.suppress(OSError):
        typer.echo(f"{how}: published partitions stay; run again to continue", err=True)
    return typer.Exit(code)


def _watcher(console: Console | None, verbose: bool) -> Any:
    if console is None:
        return contextlib.nullcontext()
    from sqlgen.cli.console import BarWatcher, LineWatcher

    return BarWatcher(console) if console.is_terminal else LineWatcher(console, verbose)
