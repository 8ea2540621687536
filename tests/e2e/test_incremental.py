"""Which partitions a run builds: new, changed, late, deleted inputs, and changes of the project itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.support.engine import ROOT
from tests.support.scratch import BTC, COSTS, DAY1, DAY2, DAY3, ETH, Scratch


@pytest.fixture
def built(scratch: Scratch) -> Scratch:
    """Two days of BTC and one of ETH, built."""
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    scratch.trades(BTC, DAY2, [102.0])
    scratch.trades(ETH, DAY1, [10.0])
    assert {result["status"] for result in scratch.run().values()} == {"published"}
    return scratch


def test_the_first_run_builds_everything(scratch: Scratch) -> None:
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    scratch.trades(ETH, DAY1, [10.0])
    assert scratch.plan() == {
        "costs BTC-USDT 2026-01-01": "new",
        "costs ETH-USDT 2026-01-01": "new",
        "pairs BTC-USDT 2026-01-01": "new",
        "pairs ETH-USDT 2026-01-01": "new",
    }
    results = scratch.run()
    assert results["costs BTC-USDT 2026-01-01"]["rows_in"] == 2
    assert results["costs BTC-USDT 2026-01-01"]["rows_out"] == 2
    assert scratch.costs() == [(BTC, DAY1, 100.0), (BTC, DAY1, 101.0), (ETH, DAY1, 10.0)]
    assert scratch.table("pairs")["pair"].to_pylist() == [None, 201.0, None]


LOADED = """
import sys
from sqlgen.__main__ import main
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
heavy = ("numba", "pandas", "numpy._core", "duckdb", "pyarrow.lib", "sqlgen.sources.decode")
print(*(name for name in heavy if name in sys.modules))
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["plan", "catalog"])
def test_what_binds_new_models_loads_nothing_that_decodes_files(scratch: Scratch, command: str) -> None:
    """Their columns come from empty tables."""
    scratch.trades(BTC, DAY1, [1.0])
    loaded = LOADED.replace('"numpy._core", "duckdb", "pyarrow.lib"', '"pyarrow.compute"')
    arguments = [sys.executable, "-c", loaded, command, str(scratch.file)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1].strip() == "", done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "plan", "ls"])
def test_nothing_to_do_loads_nothing_heavy(built: Scratch, command: str) -> None:
    """Neither Numba, NumPy nor what reads files, although kernels are declared."""
    arguments = [sys.executable, "-c", LOADED, command, str(built.file)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1].strip() == "", done.stdout + done.stderr
    built.trades(BTC, DAY3, [1.0])
    arguments[3] = "run"
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1].strip() == "duckdb"  # Parquet is not decoded
    assert "leaked" not in done.stderr  # as DuckDB says of what Python did not free at the end


def test_a_second_run_touches_nothing(built: Scratch) -> None:
    """Except, once, the record of what is up to date."""
    snapshots = [built.snapshot()]
    for _ in range(2):
        assert built.run() == {}
        snapshots.append(built.snapshot())
    for snapshot in snapshots:
        snapshot.pop("lake/.sqlgen/lock")
    assert snapshots[1] == snapshots[2]
    for snapshot in snapshots:
        snapshot.pop("lake/.sqlgen/settled.json", None)
    assert snapshots[0] == snapshots[1]


def test_dry_run_and_plan_touch_nothing_at_all(scratch: Scratch) -> None:
    scratch.trades(BTC, DAY1, [100.0])
    before = scratch.snapshot()
    outcome = scratch.sqlgen("run", "--dry-run")
    assert (outcome.code, scratch.snapshot()) == (0, before)
    assert "costs\texchange=binance/symbol=BTC-USDT/date=2026-01-01\tbuild\tnew" in outcome.out
    scratch.plan()
    assert scratch.snapshot() == before
    assert sorted(path.name for path in scratch.lake.iterdir()) == ["raw"]


def test_a_new_day_reaches_the_day_after_by_lookback(built: Scratch) -> None:
    built.model("pairs", lookback=86_400)
    built.run()
    built.trades(BTC, DAY3, [103.0])
    assert built.plan() == {"costs BTC-USDT 2026-01-03": "new", "pairs BTC-USDT 2026-01-03": "new"}
    built.run()
    assert built.table("pairs")["pair"].to_pylist() == [None, 201.0, 203.0, 205.0, None]


def test_a_late_file_rebuilds_its_day_and_what_looks_back_on_it(built: Scratch) -> None:
    built.model("pairs", lookback=86_400)
    built.run()
    built.trades(BTC, DAY1, [99.0], name="late")
    assert built.plan() == {
        "costs BTC-USDT 2026-01-01": "raw: files 1 new (late.parquet)",
        "pairs BTC-USDT 2026-01-01": "costs changed",
        "pairs BTC-USDT 2026-01-02": "costs changed (the day before)",
    }
    built.run()
    assert built.costs()[:3] == [(BTC, DAY1, 100.0), (BTC, DAY1, 99.0), (BTC, DAY1, 101.0)]
    assert built.plan() == {}


def test_a_changed_file_rebuilds_its_day(built: Scratch) -> None:
    built.trades(BTC, DAY2, [200.0, 201.0])
    assert built.plan() == {
        "costs BTC-USDT 2026-01-02": "raw: files 1 changed (data.parquet)",
        "pairs BTC-USDT 2026-01-02": "costs changed",
    }
    built.run()
    assert built.costs()[2:4] == [(BTC, DAY2, 200.0), (BTC, DAY2, 201.0)]


def test_a_touched_file_counts_as_changed(built: Scratch) -> None:
    os.utime(built.raw(ETH, DAY1) / "data.parquet", ns=(1, 1))
    assert built.plan()["costs ETH-USDT 2026-01-01"] == "raw: files 1 changed (data.parquet)"


def test_a_deleted_file_rebuilds_its_day(built: Scratch) -> None:
    built.trades(BTC, DAY1, [99.0], name="late")
    built.run()
    (built.raw(BTC, DAY1) / "late.parquet").unlink()
    assert built.plan()["costs BTC-USDT 2026-01-01"] == "raw: files 1 gone (late.parquet)"
    built.run()
    assert built.costs() == [(BTC, DAY1, 100.0), (BTC, DAY1, 101.0), (BTC, DAY2, 102.0), (ETH, DAY1, 10.0)]


def test_partitions_whose_inputs_are_gone_stay_until_pruned(built: Scratch) -> None:
    shutil.rmtree(built.raw(BTC, DAY2))
    outcome = built.sqlgen("plan", "--json").json
    assert outcome["tasks"] == []
    assert "--prune" in outcome["notes"][0]
    built.run()
    assert (BTC, DAY2, 102.0) in built.costs()
    pruned = built.run("--prune")
    assert {key: result["status"] for key, result in pruned.items()} == {
        "costs BTC-USDT 2026-01-02": "removed",
        "pairs BTC-USDT 2026-01-02": "removed",
    }
    assert built.costs() == [(BTC, DAY1, 100.0), (BTC, DAY1, 101.0), (ETH, DAY1, 10.0)]
    assert not (built.lake / "out/costs/exchange=binance/symbol=BTC-USDT/date=2026-01-02").exists()
    assert built.plan("--prune") == {}


def test_pruning_the_last_partition_of_a_symbol_removes_its_folder(built: Scratch) -> None:
    shutil.rmtree(built.raw(ETH, DAY1).parent)
    built.run("--prune")
    assert not (built.lake / "out/costs/exchange=binance/symbol=ETH-USDT").exists()
    assert (built.lake / "out/costs/exchange=binance/symbol=BTC-USDT").exists()


def test_a_changed_template_rebuilds_its_model_and_what_reads_it(built: Scratch) -> None:
    built.template("costs.sql.j2", COSTS.replace("price * amount AS", "2 * price * amount AS"))
    reasons = built.plan()
    assert reasons["costs BTC-USDT 2026-01-01"] == "SQL changed (template costs.sql.j2)"
    assert reasons["pairs BTC-USDT 2026-01-02"].startswith("costs changed")
    assert len(reasons) == 6
    built.run()
    assert built.costs()[0] == (BTC, DAY1, 200.0)


def test_a_comment_in_a_template_makes_nothing_stale(built: Scratch) -> None:
    built.template("costs.sql.j2", COSTS.replace("price times amount", "another sentence") + "\n-- a remark\n")
    assert built.plan() == {}


def test_a_changed_option_or_output_option_makes_stale(built: Scratch) -> None:
    built.model("costs", output={"compression": "snappy"})
    compression = "output.compression: zstd -> snappy, output.compression_level: 3 -> none"
    assert built.plan()["costs BTC-USDT 2026-01-01"] == f"options changed ({compression})"


def test_removed_published_files_are_built_again(built: Scratch) -> None:
    shutil.rmtree(built.lake / "out/costs/exchange=binance/symbol=ETH-USDT")
    assert built.plan() == {"costs ETH-USDT 2026-01-01": "published files are missing"}
    built.run()
    assert (ETH, DAY1, 10.0) in built.costs()


def test_lost_state_is_taken_from_the_published_folders(built: Scratch) -> None:
    before = {path: stat for path, stat in built.snapshot().items() if "/.sqlgen/" not in path}
    shutil.rmtree(built.lake / ".sqlgen")
    assert built.plan() == {}
    assert built.run() == {}
    assert before == {path: stat for path, stat in built.snapshot().items() if "/.sqlgen/" not in path}
    assert (built.lake / ".sqlgen/manifest/costs.ndjson").exists()


def test_full_refresh_builds_what_is_selected(built: Scratch) -> None:
    results = built.run("--full-refresh", "--select", "costs", "--symbol", ETH)
    assert {key: (result["status"], result["reason"]) for key, result in results.items()} == {
        "costs ETH-USDT 2026-01-01": ("published", "--full-refresh")
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--symbol", ETH), {"costs ETH-USDT 2026-01-01", "pairs ETH-USDT 2026-01-01"}),
        (("--exchange", "kraken"), set()),
        (("--select", "costs", "--start", DAY2), {"costs BTC-USDT 2026-01-02"}),
        (("--select", "costs", "--end", DAY1), {"costs BTC-USDT 2026-01-01", "costs ETH-USDT 2026-01-01"}),
        (("--select", "+pairs", "--symbol", ETH), {"costs ETH-USDT 2026-01-01", "pairs ETH-USDT 2026-01-01"}),
    ],
)
def test_selection(scratch: Scratch, arguments: tuple[str, ...], expected: set[str]) -> None:
    scratch.trades(BTC, DAY1, [100.0])
    scratch.trades(BTC, DAY2, [102.0])
    scratch.trades(ETH, DAY1, [10.0])
    assert set(scratch.plan(*arguments)) == expected


def test_a_model_whose_upstream_is_not_selected_reads_what_is_published(built: Scratch) -> None:
    built.trades(BTC, DAY2, [200.0])
    assert built.run("--select", "pairs") == {}
    built.run("--select", "costs")
    assert set(built.run("--select", "pairs")) == {"pairs BTC-USDT 2026-01-02"}


@pytest.mark.slow
def test_building_a_partition_alone_equals_building_all(
    built: Scratch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = Scratch(tmp_path_factory.mktemp("whole") / "project")
    for project in (built, whole):
        project.model("pairs", lookback=86_400)
        project.trades(BTC, DAY3, [103.0, 104.0])
    built.run("--start", DAY3)
    built.run()
    whole.trades(BTC, DAY1, [100.0, 101.0])
    whole.trades(BTC, DAY2, [102.0])
    whole.trades(ETH, DAY1, [10.0])
    whole.run()
    assert built.table("pairs").equals(whole.table("pairs"))


def test_a_changed_partition_layout_needs_a_full_refresh(built: Scratch) -> None:
    built.model("costs", output={"partition_by": ["exchange", "date"]})
    del built.config["models"]["pairs"]
    built.save()
    outcome = built.sqlgen("run")
    assert "is published by (exchange, symbol, date), and models.yaml now says (exchange, date)" in outcome.out
    assert len(built.costs()) == 4
    built.run("--full-refresh")
    assert sorted(path.name for path in (built.lake / "out/costs/exchange=binance").iterdir()) == [
        "date=2026-01-01",
        "date=2026-01-02",
    ]
    assert len(built.costs()) == 4


def test_the_plan_says_which_option_changed(scratch: Scratch) -> None:
    """From the footers of what is published, also if the records are lost."""
    del scratch.config["models"]["pairs"]
    scratch.model("costs", sql="trades/features.sql.j2", options={"windows": [60]})
    for day in (DAY1, DAY2):
        scratch.trades(BTC, day, [1.0, 2.0])
    scratch.run()
    scratch.model("costs", options={"windows": [60, 300], "max_gap": 30.0})
    said = "options changed (windows: [60] -> [60, 300], max_gap: null -> 30.0)"
    assert {*scratch.plan().values()} == {said}
    (scratch.lake / ".sqlgen/manifest/costs.ndjson").unlink()
    assert {*scratch.plan().values()} == {said}
    scratch.run()
    assert scratch.plan() == {}


def test_the_plan_says_which_option_changed_though_the_first_partition_has_no_rows(scratch: Scratch) -> None:
    """Bars of the day before begin with a partition without files, and so without a footer."""
    scratch.config["models"] = {}
    options = {"bar_durations": [60, 3600]}
    scratch.model("bars", sql="trades/bars.sql.j2", inputs={"trades": "raw"}, options=options, output={"path": "bars"})
    for day in (DAY1, DAY2):
        scratch.trades(BTC, day, [1.0, 2.0])
    scratch.run()
    scratch.model("bars", options={"bar_durations": [60]})
    assert {*scratch.plan().values()} == {"options changed (bar_durations: [60, 3600] -> [60])"}


SETTINGS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"filter": "cost > (1)"}, 'SQL changed (filter: none -> "cost > (1)")'),
    ({}, {"columns": ["ts", "cost"]}, 'SQL changed (columns: none -> ["ts", "cost"])'),
    ({}, {"features": ["cost*"]}, 'SQL changed (features: none -> ["cost*"])'),
    ({}, {"output": {"storage": "fast"}}, "options changed (output.compression: zstd -> lz4, "),
    ({}, {"checks": [{"check": "not_null", "columns": "cost"}]}, "checks changed (costs: not_null(cost): none -> "),
    ({"side_is": "maker"}, {}, 'SQL changed (raw.side_is: none -> "maker")'),
    ({"negative_prices": True}, {}, "SQL changed (raw.negative_prices: none -> true)"),
    ({"date_tolerance": 2}, {}, "SQL changed (raw.date_tolerance: none -> 2.0)"),
    ({"unreadable": "fail"}, {}, 'SQL changed (raw.unreadable: none -> "fail")'),
    ({"checks": [{"check": "not_null", "columns": "price"}]}, {}, "checks changed (raw: not_null(price): none -> "),
    (
        {"negative_prices": True},
        {"filter": "cost > 1", "output": {"compression": "snappy", "compression_level": None}},
        "options changed (output.compression: zstd -> snappy, output.compression_level: 3 -> none);"
        ' SQL changed (filter: none -> "cost > 1", raw.negative_prices: none -> true)',
    ),
]


@pytest.mark.slow
def test_the_plan_says_which_setting_changed_from_what_to_what(scratch: Scratch) -> None:
    """Each kind of setting in models.yaml by itself, several at once, and back; also as printed."""
    scratch.template("costs.sql.j2", COSTS.replace("-- quote: price times amount", "-- quote: price times amount [x]"))
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    scratch.run("--select", "costs")
    source, model = scratch.config["sources"]["raw"], scratch.config["models"]["costs"]
    for of_source, of_model, said in SETTINGS:
        scratch.config["sources"]["raw"] = source | of_source
        scratch.config["models"]["costs"] = model | of_model
        scratch.config["models"]["costs"]["output"] = model["output"] | of_model.get("output", {})
        scratch.save()
        reason = scratch.plan("--select", "costs")[f"costs {BTC} {DAY1}"]
        assert reason.startswith(said), (reason, said)
        assert said.split(" (")[1] in scratch.sqlgen("plan", "--select", "costs").out.replace("\n", " ")
    scratch.run("--select", "costs")
    scratch.config["sources"]["raw"], scratch.config["models"]["costs"] = source, model
    scratch.save()
    assert {*scratch.plan("--select", "costs").values()} == {
        "options changed (output.compression: snappy -> zstd, output.compression_level: none -> 3);"
        ' SQL changed (filter: "cost > 1" -> none, raw.negative_prices: true -> none)'
    }


def test_the_plan_names_the_macro_that_changed(scratch: Scratch) -> None:
    scratch.template("macros/own.sql.j2", "{% macro twice(x) %}2 * {{ x }}{% endmacro %}")
    text = "{% from 'macros/own.sql.j2' import twice %}\n" + COSTS.replace(
        "price * amount AS", "{{ twice('price') }} AS"
    )
    scratch.template(
        "costs.sql.j2", COSTS[: COSTS.index("WITH")] + text[: text.index("{#-")] + text[text.index("WITH") :]
    )
    scratch.trades(BTC, DAY1, [1.0])
    scratch.run("--select", "costs")
    scratch.template("macros/own.sql.j2", "{% macro twice(x) %}3 * {{ x }}{% endmacro %}")
    assert {*scratch.plan("--select", "costs").values()} == {"SQL changed (template macros/own.sql.j2)"}
