"""``sqlgen check``."""

from __future__ import annotations

import typer
from msgspec import structs

from sqlgen.cli.arguments import DEFAULT_FILE, Exclude, Json, ProjectFile, Select, models_of, open_engine, print_json

EXIT_FAULTS = 2


def check(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    json: Json = False,
) -> None:
    """Bind every model's SQL once, without data, and print each fault with its line.

    Exit code 0: no fault. 2: faults.
    """
    from sqlgen.operate.checking import check as check_models

    engine = open_engine(file)
    project = engine.project
    found = check_models(engine, models_of(project, select, exclude) if select or exclude else project.order)
    if json:
        print_json({**structs.asdict(found), "ok": found.ok})
    else:
        for problem in found.problems:
            typer.echo(f"error: {problem}", err=True)
        for name in found.unknown:
            typer.echo(f"{name}: not bound: its columns, or those of an input, depend on data that is not there")
        for name in found.blocked:
            typer.echo(f"{name}: not bound: a model that it reads has a fault")
        typer.echo(f"{len(found.bound)} model(s) bound, {len(found.problems)} fault(s)")
    if not found.ok:
        raise typer.Exit(EXIT_FAULTS)
