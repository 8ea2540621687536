"""The command `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, Json, print_json
from sqlgen.errors import ConfigError
from sqlgen.lake.remote.address import is_remote

EXIT_UNKNOWN = 1


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="File or folder to inspect, or an address of one.")],
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
    from sqlgen.templating.templates import library_of

    file = project or write or DEFAULT_FILE
    library = library_of(file.parent / "transforms_sql")
    place, lake = _located(path, lake, file, project is not None)
    found = examine(Request(place, library, lake, full))
    if json:
        print_json(found.to_dict())
    else:
        from rich.console import Console

        from sqlgen.cli.inspect_console import print_examination

        print_examination(Console(), found)
    if write is not None:
        from sqlgen.detect.written import add_to

        typer.echo(f"added to {write}: {', '.join(add_to(write, found))}", err=json)
    if not all(finding.choices for finding in found.findings):
        raise typer.Exit(EXIT_UNKNOWN)


def _located(path: str, lake: Path | None, file: Path, asked: bool) -> tuple[Path, Path | None]:
    """Local paths of what is inspected and of its lake; for an address, those that stand for it."""
    given = _lake_of(file, asked)
    if not is_remote(path):
        folder = file.absolute().parent / given if given and not is_remote(given) else None
        return Path(path), lake or (folder if folder and (asked or folder.is_dir()) else None)
    from sqlgen.detect.files.filegroups import of_store

    return of_store(path, given)


def _lake_of(file: Path, asked: bool) -> str:
    """The lake of a project file; empty if there is none. A file found by default may be incomplete."""
    from sqlgen.project import configfile

    if not asked and not file.exists():
        return ""
    try:
        return configfile.load(file)[0].lake
    except ConfigError:
        if asked:
            raise
        return ""
