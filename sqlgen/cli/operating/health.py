"""``sqlgen doctor``."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import structs

from sqlgen.cli.arguments import DEFAULT_FILE, Json, ProjectFile, open_engine, print_json

EXIT_AILING = 1


def doctor(
    file: ProjectFile = DEFAULT_FILE,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired without losing anything.")] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read Parquet files to their end, not only footers, and unpack raw files."),
    ] = False,
    json: Json = False,
) -> None:
    """Look for damage: in tables, records, kernel states, staged and raw files.

    Exit code 0: nothing is wrong, or all of it is repaired or harmless. 1: something is left. 2: bad configuration.
    """
    from sqlgen.operate.doctor import examine, repair

    engine = open_engine(file)
    found = examine(engine, full)
    if fix and found:
        repair(engine, found)
    left = [ailment for ailment in found if not (ailment.fixed or ailment.harmless)]
    if json:
        rows = [{key: value for key, value in structs.asdict(ailment).items() if key != "repair"} for ailment in found]
        print_json({"ailments": rows, "ok": not left})
    else:
        for ailment in found:
            how = "fixed" if ailment.fixed else "note" if ailment.harmless else "error"
            typer.echo(f"{how}: {ailment.kind}: {ailment.where}: {ailment.text}")
        fixable = sum(ailment.repair is not None and not ailment.fixed for ailment in found)
        hint = f"; {fixable} can be repaired with --fix" if fixable else ""
        typer.echo(f"{len(found)} finding(s), {len(left)} of them to be seen to{hint}")
    if left:
        raise typer.Exit(EXIT_AILING)
