"""``sqlgen query``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, ProjectFile
from sqlgen.errors import UsageError

EXIT_FAILED = 1


class ResultForm(StrEnum):
    """Form of a result."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="Statements; - reads them from standard input.")],
    file: ProjectFile = DEFAULT_FILE,
    shape: Annotated[ResultForm, typer.Option("--format", help="Form of the result.")] = ResultForm.table,
    output: Annotated[Path | None, typer.Option(help="File to write; standard output by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --output.")] = False,
) -> None:
    """Run SQL over sources and models, and print or write the result.

    Exit code 0: done. 1: a statement failed. 2: bad configuration or usage.
    """
    import duckdb

    from sqlgen.explore import session
    from sqlgen.explore.query import result, write_result
    from sqlgen.functions.sqlfunction import plain_error

    if shape == ResultForm.table and output is not None:
        raise UsageError("--output writes csv, json or parquet: give --format")
    if shape == ResultForm.parquet and output is None and sys.stdout.isatty():
        raise UsageError("Parquet is not text: give --output FILE, or a pipe")
    if output is not None and output.is_file() and not overwrite:
        raise UsageError(f"{output} is there already. --overwrite replaces it")
    text = sys.stdin.read() if sql == "-" else sql
    connection, problems = session.begin(file)
    with connection:
        for problem in problems:
            typer.echo(f"note: {problem}", err=True)
        connection.execute("SET python_enable_replacements = false")  # a Python variable is no table
        try:
            if shape == ResultForm.table:
                rows = result(connection, text)
                if rows is not None:
                    session.show(rows)
            elif output is not None:
                write_result(connection, text, shape.value, output)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "result")
                    write_result(connection, text, shape.value, path)
                    _print(path, binary=shape == ResultForm.parquet)
        except duckdb.Error as error:
            typer.echo(f"error: {plain_error(error)}", err=True)
            raise typer.Exit(EXIT_FAILED) from None


def _print(path: Path, binary: bool) -> None:
    if binary:
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    else:
        with path.open(encoding="utf-8", newline="") as text:
            shutil.copyfileobj(text, sys.stdout)
