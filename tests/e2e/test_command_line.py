"""The command line as a user meets it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer

from sqlgen.cli import app as cli
from sqlgen.cli.operating.upkeep.app import lake
from tests.support.engine import ROOT, sqlgen
from tests.support.scratch import BTC, DAY1, ETH, Scratch

COMMANDS = {command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback}
LAKE = {command.callback.__name__ for command in lake.registered_commands if command.callback}
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/command-line.md").read_text()
    root = typer.main.get_command(cli.app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        assert f"## {name}" in text
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for part, inner in getattr(command, "commands", {}).items():
            assert f"### {name} {part}\n" in section
            check_options(f"{name} {part}", inner, section.partition(f"### {name} {part}\n")[2].partition("\n### ")[0])
        check_options(name, command, section)


def check_options(name: str, command: Any, section: str) -> None:
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert f"`{option}" in section, f"{name} {option}"


@pytest.mark.parametrize("command", ["", *sorted(COMMANDS), "lake", *(f"lake {name}" for name in sorted(LAKE))])
def test_help(command: str) -> None:
    outcome = sqlgen(*command.split(), "--help")
    assert outcome.code == 0
    assert "Usage: sqlgen" in outcome.out


@pytest.mark.parametrize("arguments", [("run", "--thread", "2"), ("frobnicate",), ("run", "--start", "yesterday")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert sqlgen(*arguments).code == 2


def test_no_such_project_file(tmp_path: Path) -> None:
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 2
    assert outcome.err == (
        f"error: {tmp_path}/models.yaml: no such file. Name it: sqlgen COMMAND path/to/models.yaml\n"
    )
    assert sqlgen("compile", tmp_path / "trades_bars").err.endswith("If it is a model: --select trades_bars\n")


def test_an_unknown_model(scratch: Scratch) -> None:
    outcome = scratch.sqlgen("run", "--select", "cost")
    assert outcome.code == 2
    assert outcome.err == "error: no model matches 'cost'. Did you mean 'costs'? Known: costs, pairs\n"


def test_dates_the_wrong_way_round(scratch: Scratch) -> None:
    outcome = scratch.sqlgen("run", "--start", "2026-01-02", "--end", "2026-01-01")
    assert (outcome.code, outcome.err) == (2, "error: --end 2026-01-01 is before --start 2026-01-02\n")


def test_an_undefined_variable_in_a_template(scratch: Scratch) -> None:
    scratch.template("costs.sql.j2", "SELECT {{ options.depth }} FROM ({{ inputs.trades }})")
    scratch.trades(BTC, DAY1, [1.0])
    outcome = scratch.sqlgen("run")
    assert outcome.code == 2
    assert "transforms_sql/costs.sql.j2:1: 'types.SimpleNamespace object' has no attribute 'depth'" in outcome.err
    known = (
        "inputs (trades), model (description, kernels, name, partition_by), options, other_times (trades),"
        " scope (batch, begins, date, exchange, first, one_market, open, symbol)"
    )
    assert f"Known here: captured (trades), feeds (trades), {known}, sessions (trades)" in outcome.err


def test_a_template_cannot_reach_outside(scratch: Scratch) -> None:
    scratch.template("costs.sql.j2", "{{ inputs.__class__.__mro__ }}")
    outcome = scratch.sqlgen("compile")
    assert outcome.code == 2
    assert "costs.sql.j2:1" in outcome.err


def test_a_template_with_a_syntax_error(scratch: Scratch) -> None:
    scratch.template("costs.sql.j2", "SELECT 1\n{% if %}")
    assert "costs.sql.j2:2: Expected an expression" in sqlgen("compile", scratch.file).err


@pytest.mark.slow
def test_debug_shows_the_traceback(scratch: Scratch) -> None:
    code = f"import sys; sys.argv = ['sqlgen', 'run', {str(scratch.file)!r}, '--select', 'x', '--debug'];"
    code += "from sqlgen.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr


def test_run_prints_one_line_a_task_and_a_summary(scratch: Scratch) -> None:
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    lines = scratch.sqlgen("run").out.splitlines()
    assert lines[0] == "2 partition(s) to build, 0 up to date"
    assert re.match(
        r"\[1/2\] published costs exchange=binance/symbol=BTC-USDT/date=2026-01-01: 2 -> 2 rows, [\d.]+ kB,"
        r" [\d.]+ s, [\d,]+ rows/s \(new\)$",
        lines[1],
    )
    assert re.match(r"2 published in [\d.]+ s \(run \S+\)$", lines[-1])


def test_json_is_one_document_and_the_report_is_kept(scratch: Scratch) -> None:
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    data = scratch.sqlgen("run", "--json").json
    assert (data["ok"], data["counts"], data["totals"]["rows_out"]) == (True, {"published": 2}, 4)
    kept = json.loads((scratch.lake / f".sqlgen/runs/{data['run_id']}.json").read_text())
    kept["notes"] = data["notes"]
    assert kept == data
    assert {
        "model",
        "partition",
        "status",
        "reason",
        "rows_in",
        "rows_out",
        "bytes",
        "seconds",
        "error",
        "checks",
        "notes",
    } == set(data["tasks"][0])


def test_ls_shows_the_order_and_the_tree(scratch: Scratch) -> None:
    lines = scratch.sqlgen("ls").out.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["source", "raw"], ["model", "costs"], ["model", "pairs"]]
    scratch.model("pairs", enabled=False)
    tree = scratch.sqlgen("ls", "--tree").out
    assert "pairs (disabled) out/pairs" in tree
    assert "costs out/costs" in tree
    assert tree.index("raw") < tree.index("costs") < tree.index("pairs")
    assert scratch.sqlgen("ls", "--json").json["models"]["pairs"]["lookback"] == 3600


def test_compile_to_standard_output_and_to_files(scratch: Scratch) -> None:
    printed = scratch.sqlgen("compile", "--stdout", "--select", "costs").out
    assert printed.startswith("-- model:       costs\n")
    scratch.sqlgen("compile")
    assert (scratch.folder / "target/compiled/costs.sql").read_text() == printed


def test_schema_accepts_the_shipped_file(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    assert sqlgen("schema", "--output", path).code == 0
    schema = json.loads(path.read_text())
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["ModelConfig"]["properties"]["tags"]["description"]


def test_the_catalog_shows_sources_and_models(scratch: Scratch) -> None:
    assert "nothing published yet" in scratch.sqlgen("catalog", "--stdout").out
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    scratch.trades(ETH, DAY1, [3.0])
    scratch.run()
    scratch.sqlgen("catalog")
    with duckdb.connect() as connection:
        connection.execute((scratch.folder / "target/catalog.sql").read_text())
        assert connection.execute("SELECT count(*), sum(price) FROM raw").fetchall() == [(3, 6.0)]
        assert connection.execute("SELECT sum(cost) FROM costs WHERE symbol = 'ETH-USDT'").fetchall() == [(3.0,)]
        comments = "SELECT comment FROM duckdb_columns() WHERE table_name = 'costs' AND column_name = 'cost'"
        assert connection.execute(comments).fetchall() == [("quote: price times amount",)]


def test_due_runs_what_is_scheduled(scratch: Scratch) -> None:
    scratch.model("costs", schedule="* * * * *")
    scratch.trades(BTC, DAY1, [1.0])
    assert set(scratch.run("--due")) == {"costs BTC-USDT 2026-01-01"}
    scratch.model("costs", schedule="0 0 29 2 *")
    scratch.trades(ETH, DAY1, [1.0])
    assert scratch.run("--due") == {}


@pytest.mark.slow
def test_a_progress_bar_on_a_terminal(scratch: Scratch) -> None:
    """Under ``script``, which gives a terminal."""
    if shutil.which("script") is None:
        pytest.skip("the command script is not installed")
    scratch.trades(BTC, DAY1, [1.0])
    command = f"{sys.executable} -m sqlgen run {scratch.file}"
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"], capture_output=True, text=True, check=True, timeout=120
    )
    assert "2 published" in done.stdout
    assert "[1/2]" not in done.stdout


@pytest.mark.slow
def test_the_wheel_runs_from_another_folder(tmp_path: Path) -> None:
    """Built, installed into a fresh environment with what it declares, and run elsewhere."""
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", tmp_path / "dist", ROOT], check=True, timeout=600)
    (wheel,) = (tmp_path / "dist").glob("sqlgen-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=120)
    fresh = tmp_path / "venv/bin/python"
    install(fresh, "--constraint", constraints(tmp_path), wheel)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(ROOT / "models.yaml", elsewhere)
    # One kernel compiled shows that it can be, and the others run as plain Python: they are compiled in other tests.
    plain = {"NUMBA_DISABLE_JIT": "1"}
    for arguments, environment in (
        (("--help",), {}),
        (("ls",), {}),
        (("sample", "lake", "--rows-per-day", "100", "--days", "1", "--symbols", "1"), plain),
        (("run", "--select", "tick_bars"), {}),
        (("run",), plain),
        (("compile",), {}),
    ):
        done = subprocess.run(
            [fresh, "-I", "-m", "sqlgen", *arguments],
            cwd=elsewhere,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "orderbook_bars" in done.stdout
    assert next((elsewhere / "lake/processed/ccxt/orderbook/bars").rglob("*.parquet"))


def install(python: Path, *arguments: str | Path) -> None:
    """By uv, in a tenth of the time of pip, which installs where uv is not or does not find the registry."""
    if uv := shutil.which("uv", path=str(Path(sys.executable).parent)):
        command = [uv, "pip", "install", "--quiet", "--python", python, *arguments]
        if subprocess.run(command, check=False, capture_output=True, timeout=900).returncode == 0:
            return
    subprocess.run([*PIP, "--python", python, "install", "--no-compile", *arguments], check=True, timeout=900)


def constraints(folder: Path) -> Path:
    """The locked versions, without hashes."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.removesuffix(" \\") for line in lines if re.match(r"[A-Za-z]", line)]
    path = folder / "constraints.txt"
    path.write_text("\n".join(pins) + "\n")
    return path
