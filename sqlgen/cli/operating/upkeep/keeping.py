"""``sqlgen lake restore`` and ``sqlgen lake vacuum``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sqlgen.cli.arguments import End, Exchanges, Json, Start, Symbols, open_engine, partitions_of, print_json, terminal
from sqlgen.cli.operating.upkeep.shared import (
    PROJECT,
    DryRun,
    ModelName,
    ProjectOption,
    Wait,
    interruptible,
    model_named,
    show,
)
from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from sqlgen.operate.upkeep.vacuuming import Garbage
    from sqlgen.plan.selection import Selection
    from sqlgen.run.engine import Engine


def restore(
    model: ModelName,
    file: ProjectOption = PROJECT,
    exchange: Exchanges = None,
    symbol: Symbols = None,
    start: Start = None,
    end: End = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the versions that are kept.")] = False,
    version: Annotated[str | None, typer.Option(help="The version, as --list shows it.")] = None,
    before: Annotated[str | None, typer.Option(help="The newest version published before this time (UTC).")] = None,
    dry_run: DryRun = False,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Bring back an earlier version of partitions, which keep_versions has kept; the newest by default.

    Exit code 0: done. 1: some partition failed, and is as it was. 2: wrong usage, or no such version.
    """
    from sqlgen.operate.upkeep.restoring import restorations
    from sqlgen.operate.upkeep.rewriting import change_tables

    engine, wanted = open_engine(file), partitions_of(exchange, symbol, start, end)
    name, time = model_named(engine.project, model), _moment(before)
    if show_list:
        _list(engine, name, wanted, json)
        return
    with interruptible():
        found = change_tables(engine, [name], lambda held: restorations(held, wanted, version, time), dry_run, wait)
    show(found, dry_run, json, "Nothing was restored")


def vacuum(
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="Tables; all by default.")] = None,
    file: ProjectOption = PROJECT,
    keep: Annotated[int | None, typer.Option(min=0, help="Versions to keep. [default: keep_versions]")] = None,
    dry_run: DryRun = False,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Remove earlier versions that are not to be kept any more, and leftovers.

    Exit code 0: done, or nothing to remove. 2: wrong usage.
    """
    from sqlgen.operate.upkeep.vacuuming import vacuum as remove

    engine = open_engine(file)
    names = [model_named(engine.project, name) for name in models or ()] or list(engine.project.order)
    with interruptible():
        found = remove(engine, names, keep, dry_run, wait)
    if json:
        fields = ("model", "what", "partition", "path", "bytes")
        garbage = [{name: getattr(one, name) for name in fields} for one in found]
        print_json({"dry_run": dry_run, "bytes": sum(one.bytes for one in found), "removed": garbage})
        return
    _print(found, dry_run)


def _moment(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--before {text}: no time. Write it like 2026-01-31T12:00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _list(engine: Engine, name: str, wanted: Selection, json: bool) -> None:
    from sqlgen.cli.operating.tables import print_rows
    from sqlgen.explore.pages.numbers import count, moment, size
    from sqlgen.operate.upkeep.restoring import versions

    found = [version.record for each in versions(engine, name, wanted).values() for version in each]
    if json:
        kept = ("unit", "build", "published_at", "run_id", "rows", "bytes", "edited")
        print_json([{key: getattr(record, key) for key in kept} for record in found])
        return
    if not found:
        typer.echo("No versions are kept: see output.keep_versions")
        return
    rows = [
        (
            record.unit or "(whole table)",
            record.build,
            moment(record.published_at),
            count(record.rows),
            size(record.bytes),
            "; ".join(record.edited),
        )
        for record in found
    ]
    print_rows(terminal(), ("partition", "version", "published", ">rows", ">size", "edited"), rows)


def _print(found: Sequence[Garbage], dry_run: bool) -> None:
    from sqlgen.cli.operating.tables import print_rows
    from sqlgen.explore.pages.numbers import size

    if not found:
        typer.echo("Nothing to remove")
        return
    rows = [(one.model, one.what, one.partition or "(whole table)", one.path.name, size(one.bytes)) for one in found]
    print_rows(terminal(), ("table", "what", "partition", "name", ">frees"), rows)
    typer.echo("Nothing was removed (--dry-run)" if dry_run else f"{size(sum(one.bytes for one in found))} freed")
