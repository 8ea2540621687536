"""SQL is bound before anything runs: a typo is one message with its line, and what fails alike is told once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sqlgen.run.engine import Engine
from sqlgen.templating.sqllines import template_line
from tests.support.adapters import Project
from tests.support.engine import ROOT
from tests.support.scratch import BTC, COSTS, DAY1, DAY2, DAY3, ETH, LEDGER, PAIRS, Scratch


@pytest.fixture
def many(scratch: Scratch) -> Scratch:
    for symbol in (BTC, ETH):
        for date in (DAY1, DAY2, DAY3):
            scratch.trades(symbol, date, [1.0])
    return scratch


def says(project: Scratch, *phrases: str, commands: tuple[str, ...] = ("run", "plan", "compile")) -> None:
    """Each command fails with one message, and touches nothing."""
    before = {path for path in project.snapshot() if not path.endswith(("lock", "guard", "settled.json"))}
    for command in commands:
        outcome = project.sqlgen(command)
        assert outcome.code == 2, outcome.out
        for phrase in phrases:
            assert phrase in outcome.err, outcome.err
        assert len([line for line in outcome.err.splitlines() if line.startswith(("error", "model"))]) == 1
    assert {path for path in project.snapshot() if not path.endswith(("lock", "guard", "settled.json"))} == before


@pytest.mark.slow
def test_a_typo_in_a_template(many: Scratch) -> None:
    many.template("costs.sql.j2", COSTS.replace("price * amount AS", "price * amuont AS"))
    line = COSTS.splitlines().index("    price * amount AS cost -- quote: price times amount") + 1
    path = many.folder / "transforms_sql/costs.sql.j2"
    says(many, f"error: model 'costs': {path}:{line}: Binder Error: Referenced column \"amuont\" not found")
    many.template("costs.sql.j2", COSTS.replace("FROM trades", "FORM trades"))
    line = COSTS.splitlines().index("FROM trades") + 1
    says(many, f"{path}:{line}: Parser Error: syntax error")
    many.template("costs.sql.j2", COSTS)
    assert len(many.run()) == 12


@pytest.mark.slow
def test_a_column_that_is_there_twice(many: Scratch) -> None:
    """DuckDB would publish the second as ``Price_1``, also that of a stage."""
    for rows in ("{}", "WITH rows AS (WITH a AS (SELECT 1) {}) FROM rows"):
        twice = rows.format("SELECT *, 2 * price AS Price FROM ({{ inputs.trades }})")
        many.template("costs.sql.j2", twice)
        says(many, "costs.sql.j2: duplicate column: Price. Name one of them otherwise")
    many.template("costs.sql.j2", twice.replace("Price", "price_1"))
    many.template("pairs.sql.j2", "SELECT * FROM ({{ inputs.costs }})")
    assert len(many.run()) == 12


def test_a_model_that_reads_one_of_several_with_kernels(many: Scratch) -> None:
    """Each model with kernels has columns of its own, in whatever order they are bound."""
    many.kernel(LEDGER)
    many.model("costs", udfs="ledger")
    many.template("pairs.sql.j2", PAIRS.replace("lag(cost)", "lag(before)"))
    bars = {"sql": "trades/event_bars.sql.j2", "inputs": {"trades": "raw"}, "udfs": "tick_bars"}
    many.model("ticks", **bars, options={"tick_bar_size": 1}, output={"path": "ticks"})
    outcome = many.sqlgen("plan")
    assert outcome.code == 0, outcome.err


def test_a_typo_in_a_line_with_expressions(many: Scratch) -> None:
    many.template("costs.sql.j2", COSTS.replace("price * amount AS", "price * {{ 1 + 1 }} * amuont AS"))
    says(many, "costs.sql.j2:12: Binder Error: Referenced column")


@pytest.mark.parametrize("text", ["cost > 'much'", "ts > '2026-13-01'", "date = 'today'", "'x'"])
def test_constants_that_cannot_be_converted(many: Scratch, text: str) -> None:
    """They would fail in every partition."""
    many.model("costs", filter=text)
    says(many, "models.costs.filter: Conversion Error: ", commands=("plan",))
    many.model("costs", filter="cost > '0.5' AND date >= '2026-01-01' AND ts IS NOT NULL")
    many.model("costs", checks=[{"name": "dear", "check": "predicate", "sql": text}])
    says(many, "models.costs.checks.0: check 'dear' of 'costs' cannot be run: Conversion Error: ", commands=("run",))
    many.model("costs", checks=[{"name": "dear", "check": "predicate", "sql": "cost > '0.5'"}])
    assert many.sqlgen("plan").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"timezone": "America/New_Yrok"},
            "timezone: found 'America/New_Yrok': Not implemented Error: Unknown",
        ),
        ({"time_format": ["%Y-%m-%d", "%Q"]}, "time_format: found '%Q': Invalid Input Error: Failed to parse format"),
        ({"time_format": [""]}, "time_format: found '': "),
        ({"timezone": "America/New_York"}, ""),
        ({"time_format": ["%d.%m.%Y %H:%M:%S.%f"], "timezone": "Asia/Tokyo"}, ""),
    ],
)
def test_zones_and_formats_of_times(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    project = Project.of(tmp_path, "generic/trades", options={"time_unit": "text", **options})
    folder = project.raw / "exchange=x/symbol=A/date=2026-01-01"
    folder.mkdir(parents=True)
    (folder / "t.csv").write_text("ts;price;amount\n2026-01-01 00:00:05;1;1\n")
    outcome = project.sqlgen("plan")
    assert outcome.code == (2 if said else 0), outcome.err
    assert f"sources.raw.options.{said}" in outcome.err if said else not outcome.err


def test_typos_in_a_header(many: Scratch) -> None:
    body = COSTS[COSTS.index("-#}") if "-#}" in COSTS else COSTS.index("#}") :]
    many.template("costs.sql.j2", "{#- {inputs: [trades], order_by: [ts, sqe]} " + body)
    says(many, "costs.sql.j2: order_by of its header: no column 'sqe'. Did you mean 'seq'?", commands=("plan",))
    many.template("costs.sql.j2", "{#- {input: [trades], lookback: [1]} " + body)
    says(many, "input: unknown key. Allowed: ", "lookback: found [1]: ", commands=("plan",))


def test_a_typo_in_a_model_that_reads_another(many: Scratch) -> None:
    many.template("pairs.sql.j2", PAIRS.replace("lag(cost)", "lag(csot)"))
    says(many, 'pairs.sql.j2:8: Binder Error: Referenced column "csot" not found')


def test_two_mistakes_are_told_at_once(many: Scratch) -> None:
    many.template("costs.sql.j2", COSTS.replace("AS cost", "AS cost, pric"))
    many.config["models"]["also"] = many.config["models"]["costs"] | {"output": {"path": "out/also"}}
    many.model("also", sql="also.sql.j2")
    many.template("also.sql.j2", COSTS.replace("AS cost", "AS cost, amuont"))
    outcome = many.sqlgen("run")
    assert ("pric" in outcome.err, "amuont" in outcome.err, outcome.code) == (True, True, 2)


@pytest.mark.parametrize(
    ("fields", "key", "phrase"),
    [
        ({"columns": ["exchange", "symbol", "date", "csot"]}, "columns", "no column 'csot'. Did you mean 'cost'?"),
        ({"filter": "csot > 0"}, "filter", 'Binder Error: Referenced column "csot" not found'),
        ({"filter": "cost >"}, "filter", "Parser Error"),
        (
            {"checks": [{"check": "positive", "columns": "csot", "on_fail": "warn"}]},
            "checks",
            "check 'positive(csot)' of 'costs': there is no column 'csot'. Did you mean 'cost'?",
        ),
        (
            {"checks": [{"check": "predicate", "sql": "cost > 'x' + [1]", "on_fail": "warn"}]},
            "checks",
            "cannot be run: Binder Error",
        ),
        (
            {"output": {"mode": "merge", "key": ["trade"], "order_by": ["ts"]}},
            "output",
            "no column 'trade'. Did you mean 'trade_id'?",
        ),
        ({"output": {"partition_by": ["exchange", "symbol", "date", "venue"]}}, "output", "no column 'venue'"),
    ],
)
def test_a_typo_in_models_yaml(many: Scratch, fields: dict[str, Any], key: str, phrase: str) -> None:
    many.model("costs", **fields)
    lines = many.file.read_text().splitlines()
    outcome = many.sqlgen("run")
    assert (outcome.code, phrase in outcome.err) == (2, True), outcome.err
    where = outcome.err.partition("models.yaml:")[2]
    line = int(where.partition(":")[0])
    inner = next((name for name in ("key", "partition_by") if name in fields.get("output", {})), key)
    assert lines[line - 1].strip().startswith((f"{inner}:", "- check:")), lines[line - 1]
    says(many, phrase, commands=("plan", "compile"))


def test_a_typo_in_a_check_of_a_source(many: Scratch) -> None:
    many.config["sources"]["raw"]["checks"] = [{"check": "predicate", "sql": "pric > 0", "on_fail": "warn"}]
    many.save()
    says(many, "sources.raw.checks.0: check 'predicate(pric > 0)' of 'raw' cannot be run: Binder Error")


def test_a_kernel_that_lacks_a_column(many: Scratch) -> None:
    many.kernel(LEDGER)
    many.template("costs.sql.j2", COSTS.replace("AS cost", "AS csot"))
    many.model("costs", udfs="ledger")
    many.model("pairs", enabled=False)
    says(many, "kernel ledger needs column cost, which the template does not return")


def test_a_typo_in_an_adapter_of_the_users_own(many: Scratch) -> None:
    adapter = (ROOT / "transforms_sql/sources/ccxt/trades.sql.j2").read_text()
    many.template("sources/own.sql.j2", adapter.replace("FROM positioned", "FROM postioned"))
    many.config["sources"]["raw"]["adapter"] = "own"
    many.save()
    many.sqlgen("run")
    outcome = many.sqlgen("run")
    if "postioned" in (many.folder / "transforms_sql/sources/own.sql.j2").read_text():
        assert (outcome.code, "source 'raw': " in outcome.err) == (2, True), outcome.err


def test_a_source_without_files_is_bound_by_the_columns_that_its_adapter_reads(scratch: Scratch) -> None:
    scratch.template("costs.sql.j2", COSTS.replace("price * amount AS", "price * amuont AS"))
    outcome = scratch.sqlgen("compile")
    assert (outcome.code, 'Referenced column "amuont" not found' in outcome.err) == (2, True)


def test_keys_of_decoded_files_that_path_and_source_share(scratch: Scratch) -> None:
    """One key in models.yaml, the others in the names of the files: there is no folder of any of them."""
    path = scratch.lake / f"raw/ccxt/trades/{BTC}_{DAY1}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("timestamp,trade_id,price,amount,side\n1767268800000,1,1.0,2.0,buy\n")
    scratch.config["sources"]["raw"] |= {"pattern": "{symbol}_{date}.csv", "exchange": "x"}
    scratch.save()
    for command in ("compile", "plan", "run"):
        outcome = scratch.sqlgen(command, "--select", "costs")
        assert outcome.code == 0, outcome.err


def test_models_that_are_not_selected_do_not_matter(many: Scratch) -> None:
    many.template("pairs.sql.j2", PAIRS.replace("lag(cost)", "lag(csot)"))
    assert many.sqlgen("run", "--select", "costs").code == 0
    many.template("costs.sql.j2", COSTS.replace("price * amount AS", "price * amuont AS"))
    outcome = many.sqlgen("run", "--select", "pairs")
    assert (outcome.code, "amuont" in outcome.err) == (1, False)  # what costs gives is not known: found when it runs
    assert outcome.out.count('Referenced column "csot" not found') == 2


@pytest.mark.slow
def test_what_was_bound_is_not_bound_again(many: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlgen.run import binder

    many.run()
    many.trades(BTC, DAY1, [2.0])
    monkeypatch.setattr(binder.Binder, "bind", lambda *_: pytest.fail("bound again"))
    many.run()
    many.sqlgen("compile")
    monkeypatch.undo()
    many.template("costs.sql.j2", COSTS.replace("price * amount AS", "price * amuont AS"))
    assert many.sqlgen("run").code == 2
    (many.lake / ".sqlgen/bound.json").write_text("[1")
    assert many.sqlgen("run").code == 2


def test_compile_binds_once_without_a_state_folder(
    many: Scratch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sqlgen.run import binder, binding

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bound: list[object] = []
    bind = binder.Binder.bind
    monkeypatch.setattr(binder.Binder, "bind", lambda self, names: (bound.append([*names]), bind(self, names)))
    for _ in range(2):
        monkeypatch.setattr(binding, "_BOUND", set())
        assert many.sqlgen("compile").code == 0
    assert len(bound) == 1
    assert not (many.lake / ".sqlgen").exists()
    many.template("costs.sql.j2", COSTS.replace("price * amount AS", "price * amuont AS"))
    assert many.sqlgen("compile").code == 2


def test_columns_that_models_yaml_names_later_are_looked_for(many: Scratch) -> None:
    many.run()
    many.model("costs", output={"partition_by": ["exchange", "symbol", "date", "venue"]})
    outcome = many.sqlgen("plan", "--full-refresh")
    assert (outcome.code, "no column 'venue'" in outcome.err) == (2, True), outcome.out + outcome.err


@pytest.mark.slow
def test_a_run_with_nothing_to_do_imports_no_binder(many: Scratch) -> None:
    many.run()
    code = "import sys; from sqlgen.cli import app as cli; sys.argv[1:] = ['run', sys.argv[1]]\n"
    code += "try: cli.main()\nfinally: print('sqlgen.run.binding' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(many.file)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=dict(os.environ),
        timeout=180,
    )
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.slow
def test_the_shipped_models_can_be_bound(tmp_path: Path) -> None:
    from tests.support.engine import shipped_config
    from tests.support.scratch import Scratch as Folder

    project = Folder(tmp_path / "p")
    project.config = shipped_config(project.lake)
    project.save()
    engine = Engine.open(project.file)
    assert set(engine.compile(engine.project.models)) == set(engine.project.models)


# Failures that are alike


@pytest.mark.slow
def test_identical_failures_are_one_message(many: Scratch) -> None:
    cost = "CAST(CASE WHEN price > 0 THEN 'seven' END AS DOUBLE) AS cost"
    many.template("costs.sql.j2", COSTS.replace("price * amount AS cost", cost))
    outcome = many.sqlgen("run", "--threads", "1")
    assert outcome.code == 1
    assert outcome.out.count("FAILED costs") == 1
    assert outcome.out.count("skipped pairs") == 1
    assert f"failed: costs: 6 partitions for one reason, the first exchange=binance/symbol={BTC}/date={DAY1}: " in (
        outcome.out
    )
    assert "skipped: pairs: 6 partitions for one reason" in outcome.out
    results = many.run(code=1)
    assert [result["status"] for result in results.values()].count("failed") == 6
    assert all("Could not convert" in result["error"] for name, result in results.items() if name.startswith("costs"))


def test_failures_that_differ_in_their_file_alone(many: Scratch) -> None:
    """A column that no file has is one mistake: a few files are named, the rest are counted."""
    del many.config["models"]["pairs"]
    many.config["sources"]["raw"] |= {
        "adapter": "generic/trades",
        "options": {"columns": {"ts": "timestamp", "price": "prise"}},
    }
    many.save()
    outcome = many.sqlgen("run", "--threads", "1")
    assert outcome.code == 1
    assert outcome.out.count("FAILED costs") == 3, outcome.out
    assert f"failed: costs: 6 partitions for one reason, the first exchange=binance/symbol={BTC}/date={DAY1}: " in (
        outcome.out
    )
    assert outcome.out.count("prise") == 4
    assert all("prise" in result["error"] for result in many.run(code=1).values())


def test_failures_that_differ_are_each_told(many: Scratch) -> None:
    for date in (DAY1, DAY2):
        (many.raw(BTC, date) / "data.parquet").write_bytes(b"PAR1")
    outcome = many.sqlgen("run", "--threads", "1")
    assert outcome.out.count("FAILED costs") == 2
    assert "failed: costs" not in outcome.out


# Lines


@pytest.mark.parametrize(
    ("template", "sql", "message", "line"),
    [
        ("a\nb,\nc", "x\nb,\nc", 'no "q"\nLINE 2: b,', 2),
        ("a\n  {{ x }} * amount AS y,\n", "  7 * amount AS y,", "\nLINE 1: ...", 2),
        ("sum(a),\nsum(b),\nsum(a),\n", "sum(a),", 'Column "b"\nLINE 1: sum(a)', 1),
        ("{% for i in x %}\nbid_{{ i }}_pric,\n{% endfor %}", "bid_1_pric,", 'Column "bid_1_pric"\nLINE 1: bid', 2),
        ("a\n{{ macro() }}\n", "z\ny", 'Column "nowhere"\nLINE 2: y', None),
    ],
)
def test_the_line_of_a_template(template: str, sql: str, message: str, line: int | None) -> None:
    assert template_line(template, sql, message) == line


def test_check_tells_every_fault_at_once(scratch: Scratch) -> None:
    """Without any data: a template that does not render, one that does not bind, a column, a filter and a check."""
    trades = {"trades": "raw"}
    scratch.template("undefined.sql.j2", "SELECT *\nFROM ({{ inputs.trades }})\nWHERE price > {{ options.depht }}\n")
    scratch.template("typo.sql.j2", COSTS.replace("price * amount AS", "prise * amount AS"))
    faults: dict[str, dict[str, Any]] = {
        "undefined": {"sql": "undefined.sql.j2"},
        "typo": {"sql": "typo.sql.j2"},
        "narrow": {"sql": "costs.sql.j2", "columns": ["ts", "cots"]},
        "few": {"sql": "costs.sql.j2", "filter": "cots > 1"},
        "checked": {"sql": "costs.sql.j2", "checks": [{"check": "not_null", "columns": ["cots"], "on_fail": "warn"}]},
    }
    for name, config in faults.items():
        scratch.config["models"][name] = {**config, "inputs": trades, "output": {"path": f"out/{name}"}}
    after = {"sql": "pairs.sql.j2", "inputs": {"costs": "typo"}, "output": {"path": "out/after"}}
    scratch.config["models"]["after"] = after
    scratch.save()
    outcome = scratch.sqlgen("check")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    templates, yaml_lines = scratch.folder / "transforms_sql", scratch.file.read_text().splitlines()
    at = {name: f"{scratch.file}:{yaml_lines.index(f'  {name}:') + 1}" for name in ("narrow", "few", "checked")}
    assert lines[0].startswith(f"error: model 'undefined': {templates}/undefined.sql.j2:3: ")
    where = COSTS.splitlines().index("    price * amount AS cost -- quote: price times amount") + 1
    assert lines[1].startswith(f"error: model 'typo': {templates}/typo.sql.j2:{where}: Binder Error: ")
    for name, line in zip(at, lines[2:], strict=True):
        assert f"models.{name}." in line
        assert "cots" in line
        assert int(line.split(":")[2]) > int(at[name].split(":")[1])
    assert outcome.out.splitlines() == [
        "after: not bound: a model that it reads has a fault",
        "2 model(s) bound, 5 fault(s)",
    ]
    found = scratch.sqlgen("check", "--json", "--select", "typo+,costs").json
    assert (found["bound"], found["blocked"], len(found["problems"])) == (["costs"], ["after"], 1)
    assert scratch.sqlgen("check", "--select", "+pairs").out == "2 model(s) bound, 0 fault(s)\n"
    assert not (scratch.lake / ".sqlgen").exists()
