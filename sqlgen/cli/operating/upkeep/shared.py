"""Arguments, and the output, of the commands that change the lake."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import structs

from sqlgen.cli import signals
from sqlgen.cli.arguments import DEFAULT_FILE, print_json, terminal
from sqlgen.errors import UsageError, nearest

if TYPE_CHECKING:
    from sqlgen.operate.upkeep.rewrites import TableChange
    from sqlgen.project.project import Project

EXIT_FAILED = 1
PROJECT = DEFAULT_FILE
ProjectOption = Annotated[Path, typer.Option("--project", help="The project file.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Whose table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be changed; change nothing.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for a run on the lake to end.")]
Size = Annotated[str, typer.Option("--target-size", help="Size of a file: 64MB, 1GB.")]
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(B|kB|MB|GB)", re.IGNORECASE)


def bytes_of(text: str) -> int:
    """Bytes in ``128MB``."""
    found = _SIZE.fullmatch(text.strip())
    number = float(found[1]) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[found[2].upper()] if found else 0
    if number < 1:
        raise UsageError(f"'{text}' is no size. Write a number and B, kB, MB or GB: 128MB")
    return int(number)


def model_named(project: Project, name: str) -> str:
    """Name of a model; :class:`UsageError` if there is none."""
    if name not in project.models:
        kind = " It is a source: only `lake compact --source` changes those." if name in project.sources else ""
        raise UsageError(f"no model '{name}'.{kind}{nearest(name, project.models)} Known: {', '.join(project.models)}")
    return name


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """End a command on a signal with its exit code: partitions that are changed stay so."""
    try:
        with signals.raised():
            yield
    except KeyboardInterrupt as stop:
        typer.echo(f"{signals.name(stop)}: partitions that are done stay; the others are as they were", err=True)
        raise typer.Exit(signals.code(stop)) from None


def show(found: Sequence[TableChange], dry_run: bool, json: bool, nothing: str) -> None:
    """Print what was changed; exit code 1 if something failed."""
    if json:
        tables = [{**structs.asdict(one), "ok": one.ok} for one in found]
        print_json({"dry_run": dry_run, "ok": all(one.ok for one in found), "tables": tables})
    else:
        _print(found, dry_run, nothing)
    if not all(one.ok for one in found):
        raise typer.Exit(EXIT_FAILED)


def _print(found: Sequence[TableChange], dry_run: bool, nothing: str) -> None:
    from sqlgen.cli.console import print_errors
    from sqlgen.cli.operating.tables import print_rows
    from sqlgen.explore.pages.numbers import count, size

    done = [(one.model, part) for one in found for part in one.partitions if part.error is None]
    edited = any(part.matched for _, part in done)
    rows = [
        (
            model,
            part.partition or "(whole table)",
            count(part.rows_before),
            *([count(part.matched)] if edited else []),
            count(part.rows_after),
            count(part.files_before),
            count(part.files_after),
            size(part.bytes_before),
            "" if dry_run else size(part.bytes_after),
        )
        for model, part in done
    ]
    console = terminal()
    if rows:
        changed = (">rows changed",) if edited else ()
        numbers = (">rows", *changed, ">rows after", ">files", ">files after", ">size", ">size after")
        print_rows(console, ("table", "partition", *numbers), rows)
    if dry_run and rows:
        typer.echo("Nothing was changed (--dry-run)")
    elif not rows and all(one.ok for one in found):
        typer.echo(nothing)
    for one in found:
        if one.readers and one.partitions:
            typer.echo(f"{one.model}: the next run rebuilds what reads it: {', '.join(one.readers)}")
    errors = [part.error for one in found for part in one.partitions if part.error is not None]
    print_errors(console, [*(one.error for one in found if one.error is not None), *errors])
