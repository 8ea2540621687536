"""The command `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, Json
from sqlgen.errors import ConfigError

EXIT_UNKNOWN = 1


def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="File or folder to inspect.")],
    project: Annotated[Path | None, typer.Option(help="Project file, for its lake and adapters.")] = None,
    lake: Annotated[Path | None, typer.Option(help="Root of the data. [default: of the project file]")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read all files, not a sample.")] = False,
    json: Json = False,
    write: Annotated[Path | None, typer.Option("--write", help="Add the entries, and models, to this file.")] = None,
) -> None:
    """Recognise unknown files, and print their sources entry for models.yaml.

    Exit code 0: all recognised. 1: some not. 2: no files.
    """
    from sqlgen.detect.examine import Request, examine
    from sqlgen.templating.templates import Library

    file = project or write or DEFAULT_FILE
    own = file.parent / "transforms_sql"
    library = Library(own.resolve() if own.is_dir() else None)
    found = examine(Request(path, library, lake or _lake_of(file, project is not None), full))
    if json:
        import json as jsonlib

        typer.echo(jsonlib.dumps(found.to_dict(), indent=1, default=str))
    else:
        from rich.console import Console

        from sqlgen.cli.inspect_console import print_examination

        print_examination(Console(), found)
    if write is not None:
        from sqlgen.detect.written import add_to

        typer.echo(f"added to {write}: {', '.join(add_to(write, found))}", err=json)
    if not all(finding.choices for finding in found.findings):
        raise typer.Exit(EXIT_UNKNOWN)


def _lake_of(file: Path, asked: bool) -> Path | None:
    """The lake of a project file; a file found by default may be incomplete."""
    from sqlgen.project import configfile

    if not asked and not file.exists():
        return None
    try:
        lake = file.absolute().parent / configfile.load(file)[0].lake
        return lake if asked or lake.is_dir() else None
    except ConfigError:
        if asked:
            raise
        return None
