"""Kernels in a run: their columns, their state from day to day, and what happens when something is wrong with it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.lake.partitions import Partition
from sqlgen.plan.publishedunits import Forecast
from sqlgen.plan.selection import Selection
from sqlgen.project.model import Model
from sqlgen.run.engine import Engine
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch

FOLDER = "out/costs/exchange=binance/symbol={}/date={}"


@pytest.fixture
def ledger(scratch: Scratch) -> Scratch:
    """``costs`` with a kernel that remembers the last cost; three days of BTC, two of ETH, built."""
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    scratch.trades(BTC, DAY2, [102.0, 103.0])
    scratch.trades(BTC, DAY3, [104.0])
    scratch.trades(ETH, DAY1, [10.0])
    scratch.trades(ETH, DAY2, [11.0])
    scratch.run()
    return scratch


def before(project: Scratch, symbol: str = BTC) -> list[float | None]:
    rows = project.table("costs").to_pylist()
    return [row["before"] for row in rows if row["symbol"] == symbol]


def state_file(project: Scratch, symbol: str, date: str) -> Path:
    return project.state_file("costs", f"exchange=binance/symbol={symbol}/date={date}")


def test_a_day_continues_where_the_day_before_ended(ledger: Scratch) -> None:
    assert before(ledger) == [None, 100.0, 101.0, 102.0, 103.0]
    assert before(ledger, ETH) == [None, 10.0]


@pytest.mark.slow
def test_one_day_at_a_time_gives_the_same_files(ledger: Scratch, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Scratch(tmp_path_factory.mktemp("days") / "project")
    other.kernel(LEDGER)
    other.model("costs", udfs=["ledger"])
    for date, prices in ((DAY1, [100.0, 101.0]), (DAY2, [102.0, 103.0]), (DAY3, [104.0])):
        other.trades(BTC, date, prices)
        other.run()
    for date in (DAY1, DAY2, DAY3):
        ours, theirs = (pq.read_table(p.lake / FOLDER.format(BTC, date)) for p in (other, ledger))
        assert ours.equals(theirs)
        assert state_file(other, BTC, date).read_bytes() == state_file(ledger, BTC, date).read_bytes()


def test_a_second_run_does_nothing(ledger: Scratch) -> None:
    assert ledger.run() == {}


@pytest.mark.slow
def test_late_data_goes_forward_from_its_day(ledger: Scratch) -> None:
    ledger.trades(BTC, DAY2, [102.0, 150.0])
    results = ledger.run()
    assert results["costs BTC-USDT 2026-01-02"]["status"] == "published"
    assert results["costs BTC-USDT 2026-01-03"]["status"] == "published"
    assert "costs BTC-USDT 2026-01-01" not in results
    assert "costs ETH-USDT 2026-01-02" not in results
    assert before(ledger) == [None, 100.0, 101.0, 102.0, 150.0]


def test_it_stops_where_the_state_comes_out_as_it_was(ledger: Scratch) -> None:
    ledger.trades(BTC, DAY1, [90.0, 101.0])
    plan = ledger.plan()
    assert plan["costs BTC-USDT 2026-01-02"] == "the kernel state before it may change"
    assert plan["costs BTC-USDT 2026-01-03"] == "the kernel state before it may change"
    results = ledger.run()
    assert {label: result["status"] for label, result in results.items()} == {
        "costs BTC-USDT 2026-01-01": "published",
        "costs BTC-USDT 2026-01-02": "unchanged",
        "costs BTC-USDT 2026-01-03": "unchanged",
        "pairs BTC-USDT 2026-01-01": "published",
        "pairs BTC-USDT 2026-01-02": "published",  # it looks back into the day before
        "pairs BTC-USDT 2026-01-03": "unchanged",
    }
    assert before(ledger) == [None, 90.0, 101.0, 102.0, 103.0]
    assert ledger.run() == {}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flipped", "torn", "empty", "gone", "of another day"])
def test_a_damaged_state_is_built_again_and_never_used(ledger: Scratch, damage: str) -> None:
    path = state_file(ledger, BTC, DAY2)
    content = path.read_bytes()
    spoilt = {
        "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "torn": content[:-5],
        "empty": b"",
        "gone": b"",
        "of another day": state_file(ledger, BTC, DAY1).read_bytes(),
    }[damage]
    path.write_bytes(spoilt)
    if damage == "gone":
        path.unlink()
    assert ledger.run() == {}, "nobody needs it"
    ledger.trades(BTC, DAY3, [104.0, 105.0])
    plan = ledger.plan()
    assert plan["costs BTC-USDT 2026-01-02"].startswith("its kernel state cannot be used")
    results = ledger.run()
    assert results["costs BTC-USDT 2026-01-02"]["status"] == "published"
    assert "costs BTC-USDT 2026-01-01" not in results
    assert before(ledger) == [None, 100.0, 101.0, 102.0, 103.0, 104.0]
    assert state_file(ledger, BTC, DAY2).read_bytes() == content
    assert ledger.run() == {}


@pytest.mark.slow
def test_damage_that_goes_back_several_days(ledger: Scratch) -> None:
    for date in (DAY1, DAY2):
        state_file(ledger, BTC, date).unlink()
    ledger.trades(BTC, DAY3, [104.0, 105.0])
    assert {label for label in ledger.run() if label.startswith("costs")} == {
        f"costs BTC-USDT {date}" for date in (DAY1, DAY2, DAY3)
    }
    assert before(ledger) == [None, 100.0, 101.0, 102.0, 103.0, 104.0]


@pytest.mark.slow
def test_planning_does_not_nest_deeper_the_further_back_it_goes(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lake of years may have been copied without its hidden files."""
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    days = [f"2026-01-{day:02}" for day in range(1, 8)]
    for date in days:
        scratch.trades(BTC, date, [1.0])
    scratch.run("--select", "costs")
    for date in days:
        state_file(scratch, BTC, date).unlink()
    scratch.trades(BTC, "2026-01-08", [2.0])
    depths, check_state = [], Forecast.check_state

    def checked(forecast: Forecast, model: Model, previous: Partition) -> str:
        depths.append(len(inspect.stack()))
        return check_state(forecast, model, previous)

    monkeypatch.setattr(Forecast, "check_state", checked)
    plan = Engine.open(scratch.file).plan(Selection(("costs",)))
    assert [str(task.unit.date) for task in plan.tasks] == [*days, "2026-01-08"]
    assert plan.fresh == 0
    assert len(depths) >= len(days)
    assert len(set(depths)) == 1


@pytest.mark.slow
def test_a_run_of_later_days_only_starts_without_a_state_that_is_not_there(ledger: Scratch) -> None:
    state_file(ledger, BTC, DAY2).unlink()
    ledger.trades(BTC, DAY3, [104.0, 105.0])
    outcome = ledger.sqlgen("run", "--start", DAY3)
    assert outcome.code == 0
    assert "starts without the kernel state of 2026-01-02: it cannot be read" in outcome.out
    assert before(ledger) == [None, 100.0, 101.0, 102.0, None, 104.0]
    results = ledger.run()
    assert {label for label in results if label.startswith("costs")} == {
        "costs BTC-USDT 2026-01-02",
        "costs BTC-USDT 2026-01-03",
    }
    assert before(ledger) == [None, 100.0, 101.0, 102.0, 103.0, 104.0]


def test_days_that_come_before_are_taken_into_account(scratch: Scratch) -> None:
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    scratch.trades(BTC, DAY3, [104.0])
    scratch.run()
    scratch.trades(BTC, DAY1, [100.0])
    results = scratch.run()
    assert results["costs BTC-USDT 2026-01-03"]["reason"] == "the kernel state before it may change"
    assert before(scratch) == [None, 100.0], "over the missing day"
    scratch.trades(BTC, DAY2, [102.0])
    scratch.run()
    assert before(scratch) == [None, 100.0, 102.0]


def test_a_day_that_waits_for_an_input_does_not_cut_the_history(scratch: Scratch) -> None:
    """The day after it goes on from the nearest day that left a state."""
    scratch.kernel(LEDGER)
    scratch.config["sources"]["more"] = {"path": "raw/more", "adapter": "ccxt/trades"}
    scratch.model("costs", udfs=["ledger"], inputs={"trades": "raw", "more": "more"})
    for date, prices in ((DAY1, [100.0, 101.0]), (DAY2, [102.0]), (DAY3, [104.0])):
        raw = scratch.trades(BTC, date, prices)
        folder = scratch.lake / "raw/more" / raw.relative_to(scratch.lake / "raw/ccxt/trades")
        if date != DAY2:
            folder.mkdir(parents=True)
            (folder / "data.parquet").write_bytes((raw / "data.parquet").read_bytes())
    scratch.run("--select", "costs")
    assert before(scratch) == [None, 100.0, 101.0]
    assert scratch.plan("--select", "costs") == {}


@pytest.mark.slow
def test_a_filter_that_is_never_true_still_moves_the_state(ledger: Scratch) -> None:
    ledger.model("costs", filter="1 = 2")
    state = state_file(ledger, BTC, DAY3).read_bytes()
    ledger.run()
    assert state_file(ledger, BTC, DAY3).read_bytes() == state


@pytest.mark.slow
def test_raw_days_may_be_taken_away(ledger: Scratch) -> None:
    """The state of a published day lives on without its inputs, until it is pruned."""
    for path in ledger.raw(BTC, DAY2).iterdir():
        path.unlink()
    assert [label for label in ledger.run() if label.startswith("costs")] == []
    ledger.trades(BTC, DAY3, [105.0])
    ledger.run()
    assert before(ledger) == [None, 100.0, 101.0, 102.0, 103.0]
    ledger.run("--prune")
    assert before(ledger) == [None, 100.0, 101.0]


@pytest.mark.slow
def test_a_new_version_or_option_of_a_kernel_builds_everything(ledger: Scratch) -> None:
    ledger.kernel(LEDGER.replace("version = 1", "version = 2"))
    reasons = {reason for label, reason in ledger.plan().items() if label.startswith("costs")}
    changed = r"kernels changed \(ledger: version 1, code [0-9a-f]+ -> version 2, code [0-9a-f]+\)"
    assert {re.sub(changed, "changed", reason) for reason in reasons} == {
        "changed",
        "changed; the kernel state before it may change",
    }
    ledger.run()
    ledger.model("costs", options={"factor": 2.0})
    assert ledger.plan()["costs ETH-USDT 2026-01-01"] == "options changed (factor: 1.0 -> 2.0)"
    ledger.run()
    assert before(ledger) == [None, 200.0, 202.0, 204.0, 206.0]


@pytest.mark.slow
def test_a_state_of_other_options_is_not_used(ledger: Scratch) -> None:
    ledger.model("costs", options={"factor": 2.0})
    outcome = ledger.sqlgen("run", "--start", DAY2, "--symbol", BTC)
    assert "starts without the kernel state of 2026-01-01: other kernels" in outcome.out
    assert before(ledger) == [None, 100.0, None, 204.0, 206.0]
    ledger.run()
    assert before(ledger) == [None, 200.0, 202.0, 204.0, 206.0]


def test_a_failed_day_stops_the_days_after_it(ledger: Scratch) -> None:
    published = before(ledger)
    (ledger.raw(BTC, DAY1) / "data.parquet").write_bytes(b"not parquet")
    ledger.trades(ETH, DAY2, [12.0])
    results = ledger.run(code=1)
    assert results["costs BTC-USDT 2026-01-01"]["status"] == "failed"
    assert results["costs BTC-USDT 2026-01-02"]["status"] == "skipped"
    assert "2026-01-01 failed" in results["costs BTC-USDT 2026-01-02"]["error"]
    assert results["costs BTC-USDT 2026-01-03"]["status"] == "skipped"
    assert results["costs ETH-USDT 2026-01-02"]["status"] == "published"
    assert before(ledger) == published


@pytest.mark.slow
def test_an_empty_day_passes_the_state_on(ledger: Scratch) -> None:
    file = ledger.raw(BTC, DAY2) / "data.parquet"
    pq.write_table(pq.read_table(file, partitioning=None).slice(0, 0), file)
    results = ledger.run()
    assert results["costs BTC-USDT 2026-01-02"]["status"] == "empty"
    assert before(ledger) == [None, 100.0, 101.0]
    assert ledger.run() == {}


def test_rows_out_of_order_are_sorted_once(scratch: Scratch) -> None:
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    file = scratch.trades(BTC, DAY1, [100.0, 101.0, 102.0, 103.0]) / "data.parquet"
    table = pq.read_table(file, partitioning=None)
    pq.write_table(table.take(pa.array([2, 0, 3, 1])), file)
    scratch.run()
    table = scratch.table("costs").sort_by("ts")
    assert table["cost"].to_pylist() == [100.0, 101.0, 102.0, 103.0]
    assert table["before"].to_pylist() == [None, 100.0, 101.0, 102.0]
    ours = pq.read_table(scratch.lake / FOLDER.format(BTC, DAY1))
    assert ours["ts"].to_pylist() == sorted(ours["ts"].to_pylist())


@pytest.mark.slow
def test_columns_and_filter_apply_to_what_the_kernels_gave(ledger: Scratch) -> None:
    ledger.model("costs", columns=["exchange", "symbol", "date", "ts", "seq", "before", "cost"], filter="before > 101")
    ledger.run()
    assert before(ledger) == [102.0, 103.0]


def refusal(project: Scratch) -> str:
    """Message of a run that does not begin, because the SQL of a model cannot be bound."""
    outcome = project.sqlgen("run", "--select", "costs")
    assert outcome.code == 2
    return outcome.err


def failure(project: Scratch) -> str:
    return str(project.run("--select", "costs", code=1)["costs BTC-USDT 2026-01-01"]["error"])


def test_a_column_that_the_template_does_not_give(ledger: Scratch) -> None:
    ledger.kernel(LEDGER.replace('return ("cost",)', 'return ("cost", "price")'))
    ledger.model("costs", checkpoint_enabled=False)
    assert "kernel ledger needs column price, which the template does not return. It returns: exchange" in refusal(
        ledger
    )


@pytest.mark.slow
def test_a_column_that_is_not_a_number(ledger: Scratch) -> None:
    ledger.kernel(LEDGER.replace('return ("cost",)', 'return ("cost", "trade_id")'))
    ledger.model("costs", checkpoint_enabled=False)
    assert "kernels need column 'trade_id' as numbers, and the template gives string" in failure(ledger)


def test_a_column_that_both_give(ledger: Scratch) -> None:
    ledger.kernel(LEDGER.replace('Column("before"', 'Column("trade_id"'))
    assert "the template and a kernel both return column trade_id" in refusal(ledger)


@pytest.mark.slow
def test_a_kernel_that_fails(ledger: Scratch) -> None:
    ledger.kernel(LEDGER.replace("costs = np", "raise ValueError('no such cost')\n        costs = np"))
    ledger.model("costs", checkpoint_enabled=False)
    message = failure(ledger)
    assert "costs: exchange=binance/symbol=BTC-USDT/date=2026-01-01: " in message
    assert "no such cost" in message
    assert before(ledger) == [None, 100.0, 101.0, 102.0, 103.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"udfs": ["ledgr"]}, "unknown kernel 'ledgr'. Did you mean 'ledger'?"),
        ({"options": {"factor": 0}}, "models.costs.options.factor: Input should be greater than 0, found 0"),
        ({"output": {"partition_by": ["date"]}}, "kernels see one symbol at a time"),
        ({"output": {"mode": "append"}}, "found append: with kernels only overwrite is possible"),
        ({"udfs": ["tfi"]}, "kernel tfi reads trades"),
    ],
)
def test_what_does_not_fit_is_a_configuration_error(ledger: Scratch, change: dict[str, object], message: str) -> None:
    if change.get("udfs") == ["tfi"]:
        ledger.config["models"]["costs"]["inputs"] = {"prices": "raw"}
        ledger.template("costs.sql.j2", "SELECT * FROM ({{ inputs.prices }})")
    ledger.model("costs", **change)
    outcome = ledger.sqlgen("plan")
    assert outcome.code == 2
    assert message in outcome.err


def test_a_kernel_file_that_does_not_load(ledger: Scratch) -> None:
    ledger.kernel("import no_such_module\n")
    outcome = ledger.sqlgen("plan")
    assert outcome.code == 2
    assert "mine.py: ModuleNotFoundError: No module named 'no_such_module'" in outcome.err


def test_the_compiled_file_shows_the_kernels(ledger: Scratch) -> None:
    text = Engine.open(ledger.file).compile(["costs"])["costs"].sql
    assert "-- kernel ledger, version 1: Cost of the row before" in text
    assert "--   options factor = 1.0" in text
    assert "--   reads ts, cost" in text
    assert "--   gives before: double; q: cost of the row before" in text


def test_states_are_the_same_bytes_for_the_same_state() -> None:
    from sqlgen.published import states

    one = states.Snapshot({"a": {"x": np.arange(3), "y": np.zeros((0, 2))}, "b": {}}, {"ts": np.arange(2)})
    two = states.Snapshot({"b": {}, "a": {"y": np.zeros((0, 2)), "x": np.arange(3)}}, {"ts": np.arange(2)})
    content = states.encode(one, [("a", 1, {})])
    assert content == states.encode(two, [("a", 1, {})])
    again = states.decode(content, [["a", 1, {}]])
    assert again.kernels["a"]["y"].shape == (0, 2)
    assert again.kernels["b"] == {}
    assert again.trades["ts"].tolist() == [0, 1]
    with pytest.raises(states.StateError, match="other kernels"):
        states.decode(content, [("a", 2, {})])
