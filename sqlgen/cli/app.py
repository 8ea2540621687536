"""The command line. Heavy imports stand inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from sqlgen import __version__
from sqlgen.cli import signals
from sqlgen.cli.arguments import (
    DEFAULT_FILE,
    Exclude,
    Json,
    ProjectFile,
    Select,
    models_of,
    open_engine,
    print_json,
    terminal,
)
from sqlgen.cli.columns import columns
from sqlgen.cli.inspect import inspect
from sqlgen.cli.modeltests import run_model_tests
from sqlgen.cli.operating.beginning import eject, init
from sqlgen.cli.operating.checking import check
from sqlgen.cli.operating.coverage import coverage
from sqlgen.cli.operating.exporting import export
from sqlgen.cli.operating.health import doctor
from sqlgen.cli.operating.looking_back import history, status
from sqlgen.cli.operating.querying import query
from sqlgen.cli.operating.watching import watch
from sqlgen.cli.running import plan, run
from sqlgen.errors import SqlgenError, system_hint
from sqlgen.templating.secrets import hidden, hide_output

EXIT_USAGE = 2

app = typer.Typer(
    name="sqlgen",
    help="Market microstructure features and bars in SQL: correct, reproducible, incremental.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; every error a user can cause is a message, not a traceback."""
    signals.escape_unprintable()
    hide_output()
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments, prog_name="sqlgen")
    except SqlgenError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(f"note: {note}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except BrokenPipeError:
        signals.mute()
        sys.exit(signals.NOT_READ)
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}. {system_hint(error.errno)}", file=sys.stderr)
        sys.exit(EXIT_USAGE)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    if version:
        typer.echo(f"sqlgen {__version__}")
        raise typer.Exit


app.command()(init)
app.command()(check)
app.command()(doctor)
app.command()(eject)
app.command()(run)
app.command()(plan)
app.command()(history)
app.command()(status)
app.command()(coverage)
app.command()(watch)


@app.command(name="compile")
def compile_models(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print the SQL instead of writing files.")] = False,
    output: Annotated[Path | None, typer.Option(help="Folder to write to. [default: target/compiled]")] = None,
) -> None:
    """Write every model's SQL to target/compiled/MODEL.sql."""
    from sqlgen.compile.compiledfile import WHOLE_TABLES
    from sqlgen.lake.storage import replace_text

    engine = open_engine(file)
    project = engine.project
    compiled = engine.compile(models_of(project, select, exclude))
    if stdout:
        typer.echo("\n".join(model.sql for model in compiled.values()), nl=False)
        return
    folder = output or project.folder / "target" / "compiled"
    (project.folder / WHOLE_TABLES).mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in compiled.items():
        path = folder / f"{name}.sql"
        replace_text(path, model.sql)
        typer.echo(f"{name}\t{path}")


@app.command()
def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Lake to write.")],
    symbols: Annotated[str, typer.Option(help="How many symbols, or their names: BTC-USDT,ETH-USDT.")] = "2",
    exchanges: Annotated[str, typer.Option(help="Names of exchanges.")] = "binance",
    days: Annotated[int, typer.Option(help="UTC days.")] = 2,
    start: Annotated[dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = dt.datetime(2026, 1, 1),
    rows_per_day: Annotated[int, typer.Option(help="Book snapshots a day and symbol.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same lake.")] = 0,
    layout: Annotated[str, typer.Option(help="date or ymdh (hourly folders).")] = "date",
    file_format: Annotated[str, typer.Option("--format", help="parquet or ndjson.")] = "parquet",
    levels: Annotated[int, typer.Option(help="Book levels on each side.")] = 20,
    faults: Annotated[
        str | None, typer.Option(help="Faults of real feeds: all, or names such as gaps,crossed.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite raw data in the folder.")] = False,
    json: Json = False,
) -> None:
    """Write a realistic sample lake: order books, trades and tickers."""
    from sqlgen.sample import SampleSpec, write_sample

    spec = SampleSpec(
        symbols=int(symbols) if symbols.isdigit() else tuple(symbols.split(",")),
        exchanges=tuple(exchanges.split(",")),
        days=days,
        start=start.date(),
        rows_per_day=rows_per_day,
        seed=seed,
        layout=layout,
        format=file_format,
        levels=levels,
        faults=faults == "all" if faults in (None, "all") else tuple(faults.split(",")),
    )
    summary = write_sample(folder, spec, overwrite=overwrite)
    if json:
        import dataclasses

        print_json(dataclasses.asdict(summary))
    else:
        from sqlgen.cli.console import count, size

        rows = ", ".join(f"{count(number)} {kind}" for kind, number in summary.rows.items())
        typer.echo(f"{folder}: {rows} in {count(summary.files)} files, {size(summary.bytes)}, {summary.seconds:.1f} s")


@app.command()
def ls(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    tree: Annotated[bool, typer.Option("--tree", help="Show what each model is built from.")] = False,
    json: Json = False,
) -> None:
    """List sources and models in build order."""
    from sqlgen.cli import overview
    from sqlgen.project.project import load

    project = load(file)
    names = models_of(project, select, exclude) if select or exclude else project.order
    if json:
        print_json(overview.as_dict(project, names))
    elif tree:
        terminal().print(overview.as_tree(project, names))
    else:
        overview.print_table(terminal(), project, names)


app.command()(columns)
app.command()(inspect)


@app.command()
def catalog(
    file: ProjectFile = DEFAULT_FILE,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print the SQL instead of writing a file.")] = False,
) -> None:
    """Write target/catalog.sql: a view per source and model, for `duckdb -init target/catalog.sql`."""
    from sqlgen.explore.catalog import catalog_sql
    from sqlgen.lake.storage import replace_text

    engine = open_engine(file)
    text = catalog_sql(engine)
    if stdout:
        typer.echo(text, nl=False)
        return
    path = engine.project.folder / "target" / "catalog.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, hidden(text))
    typer.echo(f"{path}\nOpen it with: duckdb -init {path}")


@app.command()
def shell(
    file: ProjectFile = DEFAULT_FILE,
    command: Annotated[str | None, typer.Option("--command", "-c", help="Run this SQL and leave.")] = None,
) -> None:
    """Open a DuckDB prompt with sources and models as views, and the kernels as SQL functions."""
    from sqlgen.explore.shell import run as run_shell

    raise typer.Exit(run_shell(file, command))


app.command()(query)
app.command()(export)
app.command(name="test")(run_model_tests)


@app.command()
def schema(
    output: Annotated[Path | None, typer.Option(help="File to write; standard output by default.")] = None,
    tests: Annotated[bool, typer.Option("--tests", help="The schema of model test files instead.")] = False,
) -> None:
    """Print the JSON Schema of models.yaml, for completion and validation in editors."""
    import json as jsonlib

    from sqlgen.modeltests.file import json_schema
    from sqlgen.project.config import Config

    text = jsonlib.dumps(json_schema() if tests else Config.model_json_schema(), indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
