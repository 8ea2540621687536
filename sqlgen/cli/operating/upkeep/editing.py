"""``sqlgen lake delete``, ``update`` and ``upsert``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqlgen.cli.arguments import End, Exchanges, Json, Start, Symbols, open_engine, partitions_of
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
    from sqlgen.operate.upkeep.rewriting import Find

Where = Annotated[str, typer.Option("--where", help="SQL predicate over the columns of a row.")]


def delete(
    model: ModelName,
    where: Where,
    file: ProjectOption = PROJECT,
    exchange: Exchanges = None,
    symbol: Symbols = None,
    start: Start = None,
    end: End = None,
    dry_run: DryRun = False,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Delete rows of a published table.

    Exit code 0: done, or no row matches. 1: some partition failed, and is as it was. 2: wrong usage.
    """
    from sqlgen.operate.upkeep.editing import deletions

    wanted = partitions_of(exchange, symbol, start, end)
    _edit(file, model, lambda held: deletions(held, wanted, where), dry_run, wait, json)


def update(
    model: ModelName,
    where: Where,
    values: Annotated[list[str], typer.Option("--set", metavar="COLUMN=EXPRESSION", help="Another value; repeatable.")],
    file: ProjectOption = PROJECT,
    exchange: Exchanges = None,
    symbol: Symbols = None,
    start: Start = None,
    end: End = None,
    dry_run: DryRun = False,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Change values of rows of a published table.

    Exit code 0: done, or no row matches. 1: some partition failed, and is as it was. 2: wrong usage.
    """
    from sqlgen.operate.upkeep.editing import updates

    wanted, assigned = partitions_of(exchange, symbol, start, end), _assigned(values)
    _edit(file, model, lambda held: updates(held, wanted, where, assigned), dry_run, wait, json)


def upsert(
    model: ModelName,
    rows: Annotated[Path, typer.Option("--from", metavar="FILE", help="Rows: Parquet, CSV or NDJSON.")],
    key: Annotated[list[str], typer.Option("--key", help="Column that identifies a row of a partition; repeatable.")],
    file: ProjectOption = PROJECT,
    dry_run: DryRun = False,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Replace rows of a published table by those of a file that have the same key, and add the others.

    Exit code 0: done. 1: some partition failed, and is as it was. 2: wrong usage.
    """
    from sqlgen.operate.upkeep.editing import upserts

    names = [name for given in key for name in given.split(",") if name]
    _edit(file, model, lambda held: upserts(held, rows, names), dry_run, wait, json, [rows.absolute().parent])


def _edit(
    file: Path, model: str, find: Find, dry_run: bool, wait: float, json: bool, reads: Sequence[Path] = ()
) -> None:
    from sqlgen.operate.upkeep.rewriting import change_tables

    engine = open_engine(file)
    name = model_named(engine.project, model)
    with interruptible():
        found = change_tables(engine, [name], find, dry_run, wait, [folder.resolve() for folder in reads])
    show(found, dry_run, json, "No row matches: nothing was changed")


def _assigned(values: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for given in values:
        name, equals, expression = given.partition("=")
        if not equals or not name.strip() or not expression.strip():
            raise UsageError(f"--set {given}: write COLUMN=EXPRESSION, like price='price / 100'")
        if name.strip() in found:
            raise UsageError(f"--set {name.strip()} is given twice")
        found[name.strip()] = expression
    return found
