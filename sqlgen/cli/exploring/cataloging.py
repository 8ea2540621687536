"""``sqlgen catalog``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, ProjectFile, open_engine, refuse_others
from sqlgen.errors import UsageError
from sqlgen.templating.secrets import hidden

if TYPE_CHECKING:
    from sqlgen.run.engine import Engine


def catalog(
    file: ProjectFile = DEFAULT_FILE,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print the SQL instead of writing a file.")] = False,
    ducklake: Annotated[
        Path | None, typer.Option(help="Register the published tables in a DuckLake catalog, this file, instead.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write the DuckLake catalog anew.")] = False,
) -> None:
    """Write target/catalog.sql: a view per source and model, for `duckdb -init target/catalog.sql`."""
    from sqlgen.explore.catalog import catalog_sql
    from sqlgen.lake.storage import replace_text

    engine = open_engine(file)
    if ducklake is not None:
        _register(engine, ducklake.absolute(), stdout, overwrite)
        return
    if overwrite:
        raise UsageError("--overwrite is for --ducklake: target/catalog.sql is always written anew")
    text = catalog_sql(engine)
    if stdout:
        typer.echo(text, nl=False)
        return
    path = engine.project.target() / "catalog.sql"
    refuse_others(path, "catalog", text[: text.index(engine.project.path.name)])
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, hidden(text))
    typer.echo(f"{path}\nOpen it with: duckdb -init {path}")


def _register(engine: Engine, path: Path, stdout: bool, overwrite: bool) -> None:
    from sqlgen.explore.ducklake import catalog_script, register, tables_of

    tables = tables_of(engine)
    if stdout:
        typer.echo(hidden(catalog_script(tables, path)))
        return
    register(tables, path, overwrite)
    for table in tables:
        typer.echo(f"{table.name}: {len(table.files):,} files")
    typer.echo(f"{path}\nOpen it with: ATTACH 'ducklake:{path}'")
