"""``sqlgen init`` and ``sqlgen eject``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE
from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from sqlgen.detect.findings import Examination

EXIT_UNKNOWN = 1


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project.")] = Path(),
    data: Annotated[
        str | None, typer.Option("--from", metavar="PATH", help="Files to write a project for, or an address of them.")
    ] = None,
    shipped: Annotated[bool, typer.Option("--all", help="All shipped models, for ccxt data.")] = False,
) -> None:
    """Begin a project: a small one to look at, or sources and models for files that are there.

    Exit code 0: written. 1: written, but some files are not recognised. 2: nothing written.
    """
    from sqlgen.operate import starter

    if data is not None and shipped:
        raise UsageError("--all is for data of ccxt; give either that or --from")
    if data is not None:
        file, found = starter.write_for(folder, data)
        typer.echo(f"{file}: {', '.join(found.sources)}")
        _print_found(found)
        _print_next(folder, ("check", "run", "shell"))
        if not all(finding.choices for finding in found.findings):
            raise typer.Exit(EXIT_UNKNOWN)
        return
    for path in starter.write_shipped(folder) if shipped else starter.write_starter(folder):
        typer.echo(path)
    _print_next(folder, ("sample lake", "run", "shell"))


def _print_found(found: Examination) -> None:
    """Print what each group of files is, and what to look at before a run."""
    for finding in found.findings:
        files = f"{finding.layout.files} file(s), for example {finding.layout.example}"
        if not finding.choices:
            typer.echo(f"not recognised: {files}. `sqlgen inspect` on it says more")
        for choice in finding.choices:
            typer.echo(f"{choice.adapter} ({choice.sure}): {files}")
            for key, remark in choice.remarks.items():
                typer.echo(f"  look at {key}: {choice.source[key]} ({remark})")


def _print_next(folder: Path, commands: tuple[str, ...]) -> None:
    before = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    typer.echo("Next: " + "; ".join([*before, *(f"sqlgen {command}" for command in commands)]))


def eject(
    templates: Annotated[list[str], typer.Argument(metavar="TEMPLATE...", help="Such as trades/bars.sql.j2.")],
    file: Annotated[Path, typer.Option("--project", help="The project file.")] = DEFAULT_FILE,
) -> None:
    """Copy shipped templates into the project, to change them: they come before the shipped ones."""
    from sqlgen.operate import starter
    from sqlgen.project.project import load

    project = load(file)
    for name in templates:
        typer.echo(starter.eject(project, name))
