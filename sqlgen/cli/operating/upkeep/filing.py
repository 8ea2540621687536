"""``sqlgen lake stats`` and ``sqlgen lake compact``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import structs

from sqlgen.cli.arguments import End, Exchanges, Json, Start, Symbols, open_engine, partitions_of, print_json, terminal
from sqlgen.cli.operating.upkeep.shared import (
    PROJECT,
    DryRun,
    ModelName,
    ProjectOption,
    Size,
    Wait,
    bytes_of,
    interruptible,
    model_named,
    show,
)
from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from sqlgen.lake.partitions import Partition
    from sqlgen.operate.upkeep.held import HeldTable
    from sqlgen.operate.upkeep.rewrites import Rewrite
    from sqlgen.operate.upkeep.stats import TableStats
    from sqlgen.project.project import Project

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Models and sources; all by default.")]


def stats(
    names: Names = None,
    file: ProjectOption = PROJECT,
    target_size: Size = "128MB",
    partitions: Annotated[bool, typer.Option("--partitions", help="A line per partition.")] = False,
    json: Json = False,
) -> None:
    """Show files, rows, bytes and small files of tables and sources."""
    from sqlgen.operate.upkeep.stats import stats as stats_of

    engine = open_engine(file)
    tables, sources = _named(engine.project, names or ())
    found = stats_of(engine, tables, sources, bytes_of(target_size))
    if json:
        totals = ("files", "bytes", "small_files")
        print_json(
            [structs.asdict(one) | {"rows": one.rows} | {what: one.total(what) for what in totals} for one in found]
        )
    elif partitions:
        _print_partitions(found)
    else:
        _print_tables(found)


def compact(
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="Tables; all by default.")] = None,
    file: ProjectOption = PROJECT,
    exchange: Exchanges = None,
    symbol: Symbols = None,
    start: Start = None,
    end: End = None,
    source: Annotated[list[str] | None, typer.Option("--source", help="Raw files of this source, too.")] = None,
    target_size: Size = "128MB",
    settle: Annotated[float, typer.Option(min=0, help="Seconds since a raw folder was last written into.")] = 60.0,
    dry_run: DryRun = False,
    wait: Wait = 0.0,
    json: Json = False,
) -> None:
    """Join the small files of each partition of published tables, or of sources, into files of a target size.

    Exit code 0: done, or nothing to join. 1: some partition failed, and is as it was. 2: wrong usage.
    """
    from sqlgen.operate.upkeep.compacting import compactions
    from sqlgen.operate.upkeep.rawfiles import compact_source
    from sqlgen.operate.upkeep.rewriting import change_tables
    from sqlgen.plan.missing import none_selected

    engine = open_engine(file)
    target, wanted = bytes_of(target_size), partitions_of(exchange, symbol, start, end)
    names = [model_named(engine.project, name) for name in models or ()]
    names = names or [name for name in engine.project.order if engine.manifest.knows(name) and not source]
    there: list[Partition] = []
    covered: list[Partition] = []

    def joining(held: HeldTable) -> list[Rewrite]:
        units = held.units(wanted, may_be_none=not models)
        there.extend(unit for unit, record in held.table.records.items() if record.files)
        covered.extend(units)
        return compactions(held, units, target)

    with interruptible():
        found = change_tables(engine, names, joining, dry_run, wait)
        for name in source or ():
            found.append(compact_source(engine, name, wanted, target, settle, dry_run, wait))
    if there and not covered:
        raise UsageError(". ".join(none_selected(there, wanted)))
    show(found, dry_run, json, "No partition has small files to join")


def repartition(
    model: ModelName, file: ProjectOption = PROJECT, dry_run: DryRun = False, wait: Wait = 0.0, json: Json = False
) -> None:
    """Write a published table in the partitions that its partition_by in models.yaml says now, from its own rows.

    Exit code 0: done. 2: wrong usage, or it has to be built anew.
    """
    from sqlgen.operate.upkeep.repartitioning import repartition as change

    engine = open_engine(file)
    name = model_named(engine.project, model)
    with interruptible():
        found = change(engine, name, dry_run, wait)
    show([found], dry_run, json, "Nothing was changed")


def _named(project: Project, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Models and sources of these names; all if there are none."""
    from sqlgen.project.selectors import check_name

    wanted = [check_name(project, name) for name in names] or [*project.models, *project.sources]
    return [name for name in project.order if name in wanted], [name for name in project.sources if name in wanted]


def _print_tables(found: Sequence[TableStats]) -> None:
    from sqlgen.cli.operating.tables import print_rows
    from sqlgen.explore.pages.numbers import count, size

    rows = [
        (
            one.name,
            one.kind,
            count(len(one.partitions)),
            count(one.total("files")),
            "" if one.rows is None else count(one.rows),
            size(one.total("bytes")),
            count(one.total("small_files")),
            count(sum(bool(part.edited) for part in one.partitions)),
        )
        for one in found
    ]
    numbers = (">partitions", ">files", ">rows", ">size", ">small files", ">edited")
    print_rows(terminal(), ("name", "kind", *numbers), rows)


def _print_partitions(found: Sequence[TableStats]) -> None:
    from sqlgen.cli.operating.tables import print_rows
    from sqlgen.explore.pages.numbers import count, size

    rows = [
        (
            one.name,
            one.kind,
            part.partition or "(whole table)",
            count(part.files),
            "" if part.rows is None else count(part.rows),
            size(part.bytes),
            count(part.small_files),
            "; ".join(part.edited),
        )
        for one in found
        for part in one.partitions
    ]
    print_rows(terminal(), ("name", "kind", "partition", ">files", ">rows", ">size", ">small files", "edited"), rows)
