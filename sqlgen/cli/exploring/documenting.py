"""``sqlgen docs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, open_engine


def docs(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder to write to. [default: target/docs]")
    ] = None,
    file: Annotated[Path, typer.Option("--project", help="The project file.")] = DEFAULT_FILE,
    no_stats: Annotated[bool, typer.Option("--no-stats", help="Read no rows: no NULLs, no distributions.")] = False,
) -> None:
    """Write pages on every model and source: graph, columns, SQL, lineage, statistics, coverage, runs.

    Exit code 2: bad configuration, or the folder has files of others.
    """
    from sqlgen.operate.site.pages import DocsSite

    engine = open_engine(file)
    target = folder or engine.project.target("docs")
    pages = DocsSite(engine, not no_stats).write(target)
    typer.echo(f"{target / 'index.html'}\n{len(pages)} files, which open from disk: no server, no network")
