"""The engine as tests use it: through its command line, in this process."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pyarrow as pa
import typer.main
import yaml

from sqlgen.cli import app as cli
from sqlgen.run import engine
from sqlgen.run.machine import Instance, Settings

HIVE = ("exchange", "symbol", "date")
ROOT = Path(__file__).resolve().parents[2]
DUMPER: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Writes the same as SafeDumper, in a fifth of the time."""

# The commands' parameters are worked out once, not for each command that a test gives.
typer.main.get_command = functools.cache(typer.main.get_command)


@functools.cache
def _instance() -> duckdb.DuckDBPyConnection:
    """One DuckDB instance for all that reads and runs here: opening one takes longer than a small run.

    It keeps nothing of files, which tests write anew within the resolution of their times.
    """
    return duckdb.connect(config={"enable_external_file_cache": False, "temp_directory": ""})


def _opening(settings: Settings) -> Instance:
    """A cursor of the instance above for a run that asks for nothing but threads; otherwise an instance of its own."""
    alone = threading.current_thread() is threading.main_thread()
    if settings.instance is not None or settings.memory_limit is not None or not alone:
        return opening(settings)
    connection = _instance().cursor()
    try:
        connection.execute(f"SET threads = {settings.threads}")
    except duckdb.Error:
        return opening(settings)
    return lambda folders, temp: connection


opening, engine.opening = engine.opening, _opening


def own_instances() -> None:
    """Open an instance for each run of this process from now on, as outside of tests."""
    engine.opening = opening


@dataclass(frozen=True)
class Outcome:
    """What a command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def sqlgen(*arguments: object) -> Outcome:
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["sqlgen", *map(str, arguments)]
    code = 0
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Outcome(code, out.getvalue(), err.getvalue())


def shipped_config(lake: Path, **options: Any) -> dict[str, Any]:
    """The shipped models.yaml over another lake; ``options`` go to every model whose template has them.

    ``captured_levels`` goes to the source of books.
    """
    from sqlgen.templating.templates import packaged
    from udfs.registry import registry

    config = copy.deepcopy(_shipped())
    config |= {"lake": str(lake), "state": ".sqlgen"}
    if options.get("captured_levels") is not None:
        config["sources"]["ccxt_orderbook"]["captured_levels"] = options["captured_levels"]
    for model in config["models"].values():
        known = {*packaged().header(model["sql"]).options}
        udfs = [model["udfs"]] if isinstance(model.get("udfs"), str) else model.get("udfs", [])
        known |= {option for name in udfs for option in registry()[name].options}
        known |= {"max_gap"} if udfs else set()
        known |= {"max_levels", "keep_book"} if "orderbook" in model["inputs"] else set()
        model["options"] = model.get("options", {}) | {name: value for name, value in options.items() if name in known}
    return config


@functools.cache
def _shipped() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "models.yaml").read_text())
    return config


def run_model(lake: Path, model: str, **options: Any) -> pa.Table:
    """Run ``+model`` of the shipped project over ``lake``; the published table in its natural order."""
    config = lake / "models.yaml"
    lake.mkdir(parents=True, exist_ok=True)
    shipped = shipped_config(lake, **options)
    shipped["models"] = _with_upstream(shipped["models"], model)
    config.write_text(yaml.dump(shipped, Dumper=DUMPER, sort_keys=False))
    outcome = sqlgen("run", config, "--select", f"+{model}")
    assert outcome.code == 0, outcome.out + outcome.err
    return published(lake / shipped["models"][model]["output"]["path"])


def _with_upstream(models: dict[str, Any], name: str) -> dict[str, Any]:
    """A model and the models that it reads, all enabled."""
    found = {name: {key: value for key, value in models[name].items() if key != "enabled"}}
    for entry in models[name]["inputs"].values():
        ref = entry["ref"] if isinstance(entry, dict) else entry
        found |= _with_upstream(models, ref) if ref in models else {}
    return found


def published(folder: Path) -> pa.Table:
    """A published table, ordered by its keys and its time; the columns that its folders name come first."""
    with _instance().cursor() as connection:
        table = published_sql(folder)
        columns = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
        keys = ("exchange", "symbol", "date", "ts", "seq", "bar_id", "bar_seconds", "bar_start")
        order = [name for name in keys if name in columns]
        return connection.sql(f"{table} ORDER BY {', '.join(order)}").to_arrow_table()


def published_file(file: Path) -> pa.Table:
    """The rows of one published file in their order, with the columns that its folders name."""
    with _instance().cursor() as connection:
        return connection.sql(published_sql(file)).to_arrow_table()


def published_sql(folder: Path) -> str:
    """A SELECT of all rows of a published table, or of one file, by the hive convention alone."""
    file = folder if folder.is_file() else next(iter(sorted(folder.rglob("*.parquet"))), folder)
    keys = [part.partition("=")[0] for part in file.parts if "=" in part]
    types = ", ".join(f"{key}: {'DATE' if key == 'date' else 'VARCHAR'}" for key in keys if key in HIVE)
    first = f"{', '.join(keys)}, * EXCLUDE ({', '.join(keys)})" if keys else "*"
    files = folder if folder.is_file() else f"{folder}/**/*.parquet"
    how = f", hive_types = {{{types}}}" if types else ""
    return f"SELECT {first} FROM read_parquet('{files}', hive_partitioning = {str(bool(keys)).lower()}{how})"
