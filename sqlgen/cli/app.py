"""The command line. Heavy imports stand inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import gc
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
    ShardOption,
    models_of,
    open_engine,
    print_json,
    refuse_others,
    shard_of,
    terminal,
)
from sqlgen.cli.columns import columns
from sqlgen.cli.exploring.cataloging import catalog
from sqlgen.cli.exploring.documenting import docs
from sqlgen.cli.exploring.lineage import compiled_column, lineage, refuse_uncompiled
from sqlgen.cli.exploring.plotting import plot
from sqlgen.cli.inspect import inspect
from sqlgen.cli.modeltests import run_model_tests
from sqlgen.cli.operating.beginning import eject, init
from sqlgen.cli.operating.checking import check
from sqlgen.cli.operating.coverage import coverage
from sqlgen.cli.operating.exporting import export
from sqlgen.cli.operating.health import doctor
from sqlgen.cli.operating.looking_back import history, status
from sqlgen.cli.operating.querying import query
from sqlgen.cli.operating.upkeep.app import lake
from sqlgen.cli.operating.watching import watch
from sqlgen.cli.running import plan, run
from sqlgen.errors import LockedError, SqlgenError, UsageError, first_line, system_hint
from sqlgen.templating.secrets import hide_output

EXIT_USAGE, EXIT_LOCKED = 2, 3

app = typer.Typer(
    name="sqlgen",
    help="Market microstructure features and bars in SQL: correct, reproducible, incremental.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


GARBAGE = 100_000
"""New objects after which Python looks for cycles. Those of a plan live to its end: each look would pass over them."""


def main() -> None:
    """Run the command line; every error a user can cause is a message. ``-- `` begins SQL, and no option."""
    signals.escape_unprintable()
    hide_output()
    gc.set_threshold(GARBAGE)
    debug = "--debug" in sys.argv
    arguments = [f"\n{one}" if one.startswith(("-- ", "--\n")) else one for one in sys.argv[1:] if one != "--debug"]
    try:
        _with_command(*arguments[:1])(args=arguments, prog_name="sqlgen")
    except SqlgenError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(f"note: {note}", file=sys.stderr)
        sys.exit(EXIT_LOCKED if isinstance(error, LockedError) else EXIT_USAGE)
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):  # typer's own
            raise
        signals.mute()
        sys.exit(signals.NOT_READ)
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}. {system_hint(error.errno)}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except Exception as error:
        if debug or type(error).__module__ not in ("duckdb", "_duckdb"):  # which is not loaded for this
            raise
        print(f"error: {first_line(error)}", file=sys.stderr)
        sys.exit(EXIT_USAGE)


@functools.cache
def _with_command(name: str = "") -> typer.Typer:
    """The application with the one command that is called, as preparing all takes longer than many a command."""
    called = copy.copy(app)
    called.registered_commands = [
        each for each in app.registered_commands if name == (each.name or getattr(each.callback, "__name__", ""))
    ]
    called.registered_groups = [
        each for each in app.registered_groups if each.typer_instance and name == each.typer_instance.info.name
    ]
    return called if called.registered_commands or called.registered_groups else app


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
app.add_typer(lake)


@app.command(name="compile")
def compile_models(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Print the SQL instead of writing files.")] = False,
    output: Annotated[Path | None, typer.Option(help="Folder to write to. [default: target/compiled]")] = None,
    column: Annotated[str | None, typer.Option(help="Only the SQL that leads to this column of one model.")] = None,
) -> None:
    """Write every model's SQL to target/compiled/MODEL.sql."""
    from sqlgen.compile.compiledfile import WHOLE_TABLES
    from sqlgen.lake.storage import replace_text

    engine = open_engine(file)
    project = engine.project
    names = models_of(project, select, exclude)
    if not names:
        raise UsageError("no model to compile: models.yaml has none, or all of them are disabled")
    if column is not None:
        texts = compiled_column(engine, names, column)
    else:
        texts = {name: model.sql for name, model in engine.compile(names).items()}
    if stdout:
        typer.echo("\n".join(texts.values()), nl=False)
        return
    folder = output or project.target("compiled")
    (project.folder / WHOLE_TABLES).mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.sql" for name in texts}
    refuse_uncompiled(paths.values())
    for name, text in texts.items():
        replace_text(paths[name], text)
        typer.echo(f"{name}\t{paths[name]}")


@app.command()
def sample(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Lake to write: a folder, or s3://bucket/prefix.")],
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
    from sqlgen.lake.remote.mount import lake_to_fill
    from sqlgen.sample import SampleSpec, write_sample
    from sqlgen.templating.secrets import show_as

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
    with lake_to_fill(folder) as place:
        show_as(str(place), folder)
        summary = write_sample(place, spec, overwrite=overwrite)
    if json:
        print_json(summary)
    else:
        from sqlgen.explore.pages.numbers import count, size

        rows = ", ".join(f"{count(number)} {kind}" for kind, number in summary.rows.items())
        typer.echo(f"{folder}: {rows} in {count(summary.files)} files, {size(summary.bytes)}, {summary.seconds:.1f} s")


@app.command()
def ls(
    file: ProjectFile = DEFAULT_FILE,
    select: Select = None,
    exclude: Exclude = None,
    tree: Annotated[bool, typer.Option("--tree", help="Show what each model is built from.")] = False,
    symbols: Annotated[bool, typer.Option("--symbols", help="List the symbols of the sources.")] = False,
    shard: ShardOption = None,
    json: Json = False,
) -> None:
    """List sources and models in build order; or the symbols of the models' sources, of one shard or of all."""
    from sqlgen.cli import overview
    from sqlgen.project.project import load

    part = shard_of(shard)
    project = load(file)
    names = models_of(project, select, exclude) if select or exclude else project.order
    found = None
    if symbols or part is not None:
        from sqlgen.operate.symbols import symbols as symbols_of

        found = symbols_of(open_engine(file), names, part)
    if json:
        print_json(overview.as_dict(project, names) | overview.symbols_as_dict(found))
    elif found is not None:
        overview.print_symbols(terminal(), found)
        if not found:
            of = "" if part is None else f" of shard {part}"
            typer.echo(f"note: no symbols{of} in {', '.join(project.sources_of(names)) or 'no source'}", err=True)
    elif tree:
        terminal().print(overview.as_tree(project, names))
    else:
        overview.print_table(terminal(), project, names)


app.command()(columns)
app.command()(lineage)
app.command()(inspect)


app.command()(catalog)


@app.command()
def shell(
    file: ProjectFile = DEFAULT_FILE,
    command: Annotated[str | None, typer.Option("--command", "-c", help="Run this SQL and leave.")] = None,
) -> None:
    """Open a DuckDB prompt with sources and models as views, and the kernels as SQL functions."""
    from sqlgen.explore.shell import run as run_shell

    with signals.keyboard():
        code = run_shell(file, command)
    raise typer.Exit(code)


app.command()(plot)
app.command()(docs)
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
        refuse_others(output, "schema", text[: text.index("{", 1) + 1])
        output.write_text(text, encoding="utf-8")
