"""No setting is decoration: flipping any field of models.yaml changes the SQL, the plan or the result."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sqlgen.plan.selection import Selection
from sqlgen.project import config
from sqlgen.project.rowchecks import Check
from sqlgen.project.selectors import select
from sqlgen.run.engine import Engine
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch

Change = Callable[[Scratch], None]


def model(**fields: Any) -> Change:
    return lambda project: project.model("costs", **fields)


def output(**fields: Any) -> Change:
    return lambda project: project.model("costs", output=fields)


def node(kind: str, name: str, **fields: Any) -> Change:
    def change(project: Scratch) -> None:
        project.config[kind][name].update(fields)
        project.save()

    return change


def sessions(**fields: Any) -> Change:
    return node("sources", "raw", sessions=fields)


def source_check(**fields: Any) -> Change:
    """A check of the source; a field that is ``None`` is left out."""
    said = {"check": "not_null", "columns": "price"} | fields
    return node("sources", "raw", checks=[{key: value for key, value in said.items() if value is not None}])


def signs(share: float | None) -> Change:
    """A sign audit of the model's rows, whose price is its own quote."""
    check = {"check": "sign_audit", "columns": ["side", "price", "price", "price"]}
    return model(checks=[check | ({"share": share} if share else {})])


def top(**fields: Any) -> Change:
    def change(project: Scratch) -> None:
        project.config.update(fields)
        project.save()

    return change


def entry(**fields: Any) -> Change:
    return model(inputs={"trades": {"ref": "raw"} | fields})


def books(**fields: Any) -> Change:
    """The source has order books, and the model their features."""

    def change(project: Scratch) -> None:
        node("sources", "raw", adapter="ccxt/orderbook", **fields)(project)
        project.model("costs", sql="orderbook/hf.sql.j2", inputs={"orderbook": "raw"})

    return change


def merge(**fields: Any) -> Change:
    return output(**{"mode": "merge", "key": ["trade_id"], "order_by": ["ts"]} | fields)


def second_input(optional: bool) -> Change:
    def change(project: Scratch) -> None:
        project.config["sources"]["more"] = {"path": "raw/more", "adapter": "ccxt/trades"}
        project.model("costs", inputs={"trades": "raw", "more": {"ref": "more", "optional": optional}})

    return change


SQL, PLAN, RUN, SHOWN, AFTER, KEPT = "sql", "plan", "run", "shown", "after", "kept"
FLIPS: dict[tuple[type[config.Node], str], tuple[Change, Change, str]] = {
    (config.Config, "version"): (top(), top(version=2), RUN),
    (config.Config, "lake"): (top(), top(lake="elsewhere"), SQL),
    (config.Config, "state"): (top(), top(state=".other"), PLAN),
    (config.Config, "defaults"): (top(), top(defaults={"output": {"compression": "gzip"}}), SQL),
    (config.Config, "sources"): (top(), node("sources", "raw", path="raw/other"), SQL),
    (config.Config, "runs"): (top(), top(runs={"keep": 1}), AFTER),
    (config.Runs, "keep"): (top(), top(runs={"keep": 1}), AFTER),
    (config.Runs, "on_failure"): (top(), top(runs={"on_failure": "touch failed"}), AFTER),
    (config.Runs, "metrics"): (top(), top(runs={"metrics": "target/sqlgen.prom"}), AFTER),
    (config.Runs, "openlineage"): (top(), top(runs={"openlineage": True}), AFTER),
    (config.Config, "models"): (top(), model(filter="true"), SQL),
    (config.Defaults, "output"): (top(), top(defaults={"output": {"row_group_size": 4096}}), SQL),
    (config.Source, "path"): (top(), node("sources", "raw", path="raw/other"), PLAN),
    (config.Source, "adapter"): (top(), node("sources", "raw", adapter="ccxt/ticker"), SQL),
    (config.Source, "format"): (top(), node("sources", "raw", format="ndjson"), PLAN),
    (config.Source, "pattern"): (
        top(),
        node("sources", "raw", pattern="exchange={exchange}/symbol={symbol}/date={date}/*.parquet"),
        SQL,
    ),
    (config.Source, "exchange"): (top(), node("sources", "raw", exchange="kraken"), SQL),
    (config.Source, "symbol"): (top(), node("sources", "raw", symbol=ETH), SQL),
    (config.Source, "options"): (
        node("sources", "raw", adapter="ccxt/orderbook"),
        node("sources", "raw", adapter="ccxt/orderbook", options={"max_levels": 5}),
        SQL,
    ),
    (config.Source, "description"): (top(), node("sources", "raw", description="Trades"), SHOWN),
    (config.Source, "unreadable"): (top(), node("sources", "raw", unreadable="drop"), SQL),
    (config.Source, "lake"): (top(), node("sources", "raw", lake="elsewhere"), SQL),
    (config.Source, "date_tolerance"): (top(), node("sources", "raw", date_tolerance=2), SQL),
    (config.Source, "negative_prices"): (top(), node("sources", "raw", negative_prices=True), SQL),
    (config.Source, "side_is"): (top(), node("sources", "raw", side_is="maker"), SQL),
    (config.Source, "sessions"): (top(), node("sources", "raw", sessions="XNYS"), SQL),
    (config.Sessions, "calendar"): (sessions(calendar="XNYS"), sessions(calendar="XLON"), SQL),
    (config.Sessions, "before"): (sessions(calendar="XNYS"), sessions(calendar="XNYS", before=60), SQL),
    (config.Sessions, "after"): (sessions(calendar="XNYS"), sessions(calendar="XNYS", after=60), SQL),
    (config.Source, "clock"): (top(), node("sources", "raw", clock="received"), SQL),
    (config.Source, "captured_levels"): (books(), books(captured_levels=20), SQL),
    (config.Source, "checks"): (top(), source_check(), SQL),
    (config.ModelConfig, "checks"): (model(), model(checks=[{"check": "not_null", "columns": "cost"}]), SQL),
    (Check, "check"): (source_check(), source_check(check="positive"), SQL),
    (Check, "columns"): (source_check(), source_check(columns=["price", "amount"]), SQL),
    (Check, "share"): (signs(share=None), signs(share=0.4), SQL),
    (Check, "on_fail"): (source_check(), source_check(on_fail="warn"), SQL),
    (Check, "name"): (source_check(), source_check(name="priced"), RUN),
    (Check, "min"): (source_check(check="range", max=1e6), source_check(check="range", max=1e6, min=100.5), SQL),
    (Check, "max"): (source_check(check="range", min=1), source_check(check="range", min=1, max=100.5), SQL),
    (Check, "seconds"): (
        source_check(check="max_gap", columns="ts", seconds=30),
        source_check(check="max_gap", columns="ts", seconds=90),
        SQL,
    ),
    (Check, "sql"): (
        source_check(check="predicate", columns=None, sql="price > 0"),
        source_check(check="predicate", columns=None, sql="price > 100"),
        SQL,
    ),
    (Check, "order_by"): (
        source_check(check="unique", columns="side"),
        source_check(check="unique", columns="side", order_by="trade_id"),
        SQL,
    ),
    (config.Input, "ref"): (
        lambda project: node("sources", "raw")(project),
        lambda project: (second_input(True)(project), model(inputs={"trades": "more"})(project))[0],
        PLAN,
    ),
    (config.Input, "optional"): (second_input(False), second_input(True), PLAN),
    (config.Input, "exchange"): (entry(), entry(exchange="kraken"), PLAN),
    (config.Input, "symbol"): (entry(), entry(symbol=[ETH]), PLAN),
    (config.Input, "date_start"): (entry(), entry(date_start=dt.date(2026, 1, 2)), PLAN),
    (config.Input, "date_end"): (entry(), entry(date_end=dt.date(2026, 1, 1)), PLAN),
    (config.ModelConfig, "description"): (model(), model(description="Other"), SHOWN),
    (config.ModelConfig, "sql"): (model(), model(sql="trades/features.sql.j2"), SQL),
    (config.ModelConfig, "inputs"): (model(), entry(symbol=ETH), SQL),
    (config.ModelConfig, "output"): (model(), output(path="elsewhere"), SQL),
    (config.ModelConfig, "options"): (
        model(sql="trades/features.sql.j2"),
        model(sql="trades/features.sql.j2", options={"windows": [30]}),
        SQL,
    ),
    (config.ModelConfig, "udfs"): (model(), model(udfs=["segments"]), SQL),
    (config.ModelConfig, "depends_on"): (model(), model(depends_on=["pairs"]), RUN),
    (config.ModelConfig, "lookback"): (model(lookback=0), model(lookback=86_400), PLAN),
    (config.ModelConfig, "lookahead"): (model(lookahead=0), model(lookahead=86_400), PLAN),
    (config.ModelConfig, "features"): (model(), model(features=["cost"]), SQL),
    (config.ModelConfig, "columns"): (model(), model(columns=["exchange", "symbol", "date", "cost"]), SQL),
    (config.ModelConfig, "filter"): (model(), model(filter="cost > 50"), SQL),
    (config.ModelConfig, "batch_size"): (model(), model(batch_size=4096), SQL),
    (config.ModelConfig, "checkpoint_enabled"): (model(), model(checkpoint_enabled=False), PLAN),
    (config.ModelConfig, "delete_after_processing"): (
        output(mode="append"),
        model(output={"mode": "append"}, delete_after_processing=True),
        RUN,
    ),
    (config.ModelConfig, "keep_days"): (
        model(output={"mode": "append"}, delete_after_processing=True),
        model(output={"mode": "append"}, delete_after_processing=True, keep_days=1),
        RUN,
    ),
    (config.ModelConfig, "tags"): (model(), model(tags=["x"]), SHOWN),
    (config.ModelConfig, "schedule"): (model(), model(schedule="0 0 1 1 *"), SHOWN),
    (config.ModelConfig, "enabled"): (model(), model(enabled=False), PLAN),
    (config.Output, "path"): (output(), output(path="elsewhere"), PLAN),
    (config.Output, "format"): (output(), output(format="csv"), RUN),
    (config.Output, "storage"): (output(), output(storage="small"), SQL),
    (config.Output, "float"): (output(), output(float="single"), PLAN),
    (config.Output, "compression"): (output(), output(compression="snappy"), SQL),
    (config.Output, "compression_level"): (output(), output(compression_level=9), SQL),
    (config.Output, "partition_by"): (output(), output(partition_by=["exchange", "date"]), SQL),
    (config.Output, "mode"): (output(), output(mode="append"), PLAN),
    (config.Output, "key"): (merge(), merge(key=["side_of_trade"]), SQL),
    (config.Output, "order_by"): (merge(), merge(order_by=["cost"]), SQL),
    (config.Output, "row_group_size"): (output(), output(row_group_size=4096), SQL),
    (config.Output, "keep_versions"): (output(), output(keep_versions=1), KEPT),
    (config.OutputDefaults, "keep_versions"): (top(), top(defaults={"output": {"keep_versions": 1}}), KEPT),
    **{
        (config.OutputDefaults, name): (top(), top(defaults={"output": {name: value}}), SQL)
        for name, value in {
            "storage": "fast",
            "float": "single",
            "compression": "gzip",
            "compression_level": 9,
            "partition_by": ["exchange", "date"],
            "row_group_size": 4096,
        }.items()
    },
    (config.OutputDefaults, "format"): (top(), top(defaults={"output": {"format": "csv"}}), RUN),
    (config.OutputDefaults, "mode"): (top(), top(defaults={"output": {"mode": "merge"}}), RUN),
}


def test_another_order_of_rows_makes_files_stale(tmp_path: Path) -> None:
    project = Scratch(tmp_path / "project")
    project.trades(BTC, DAY1, [100.0, 101.0])
    output()(project)
    project.run()
    output(order_by=["cost"])(project)
    plan = " ".join(project.sqlgen("plan", "--verbose").out.split())
    assert "output.order_by: none -> cost" in plan
    project.run()
    assert "0 partition(s) to build" in project.sqlgen("plan").out


def test_every_field_is_flipped() -> None:
    nodes = (
        config.Config,
        config.Defaults,
        config.OutputDefaults,
        config.Source,
        config.Sessions,
        config.Input,
        config.ModelConfig,
        config.Output,
        config.Runs,
        Check,
    )
    assert {(kind, name) for kind in nodes for name in kind.model_fields} == FLIPS.keys()


def effect(project: Scratch, kind: str) -> object:
    if kind == RUN:
        outcome = project.sqlgen("run", "--json")
        files = sorted(str(path.relative_to(project.lake)) for path in project.lake.rglob("raw/**/*.parquet"))
        tasks = outcome.json["tasks"] if outcome.code == 0 else []
        order = [(task["model"], [check["check"] for check in task["checks"]]) for task in tasks]
        return outcome.code, files, order
    if kind == KEPT:
        project.run()
        project.trades(BTC, DAY1, [1.0])
        project.run()
        return len([*(project.lake / ".sqlgen/versions").rglob("*.version")])
    if kind == AFTER:
        (project.raw(BTC, DAY1) / "data.parquet").write_bytes(b"PAR1 and no more")
        project.run(code=1)
        with mock.patch.dict(os.environ, {"SQLGEN_TRUSTED": str(project.file)}):
            told = project.sqlgen("run").err
        reports = (project.lake / ".sqlgen/runs").glob("*.json")
        return len([*reports]), sorted(path.name for path in project.folder.iterdir()), "runs.openlineage" in told
    engine = Engine.open(project.file)
    if kind == SQL:
        compiled = engine.compiler(["costs"]).compile("costs")
        return compiled.sql.partition("fingerprint")[2] + compiled.sql.partition("publishes:")[2].splitlines()[0]
    if kind == SHOWN:
        return project.sqlgen("ls", "--json").out
    project.run()
    return [(str(task.id), task.reason) for task in engine.plan(Selection(select(engine.project))).tasks]


@pytest.mark.parametrize("field", FLIPS, ids=lambda field: f"{field[0].__name__}.{field[1]}")
def test_flipping_a_field_has_an_effect(
    field: tuple[type[config.Node], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, after, kind = FLIPS[field]
    seen = []
    for change in (before, after):
        project = Scratch(tmp_path_factory.mktemp("flip") / "project")
        project.trades(BTC, DAY1, [100.0, 101.0])
        project.trades(BTC, DAY2, [102.0])
        project.trades(ETH, DAY1, [10.0])
        if field[1] == "partition_by":
            del project.config["models"]["pairs"]  # it could not tell symbols apart any more
        if field[1] in ("depends_on", "delete_after_processing", "keep_days"):
            del project.config["models"]["pairs"]
            project.config["models"]["pairs"] = {
                "sql": "costs.sql.j2",
                "inputs": {"trades": "raw"},
                "output": {"path": "out/pairs", "mode": "append"},
            }
        if kind == PLAN:
            project.run()
            change(project)
            engine = Engine.open(project.file)
            plan = engine.plan(Selection(select(engine.project)))
            seen.append([(str(task.id), task.reason) for task in plan.tasks] + [plan.fresh, *plan.notes])
        else:
            change(project)
            seen.append(effect(project, kind))
    assert seen[0] != seen[1]
