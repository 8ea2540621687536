"""Output modes: overwrite, append, merge; inner partitions; deleting processed inputs."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.support.lakes import write_trades
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch

IDS = """\
WITH trades AS (
    {{ inputs.trades | indent(4) }}
)
SELECT *, CAST(epoch_ms(ts) AS BIGINT) AS version FROM trades
"""


@pytest.fixture
def single(scratch: Scratch) -> Scratch:
    """Only the model ``costs``."""
    del scratch.config["models"]["pairs"]
    scratch.save()
    return scratch


@pytest.fixture
def append(single: Scratch) -> Scratch:
    single.model("costs", output={"mode": "append"})
    return single


@pytest.fixture
def merge(single: Scratch) -> Scratch:
    single.template("costs.sql.j2", IDS)
    single.model("costs", output={"mode": "merge", "key": ["trade_id"], "order_by": ["version"]})
    return single


def test_append_takes_each_file_once(append: Scratch) -> None:
    append.trades(BTC, DAY1, [100.0], name="a")
    append.run()
    append.trades(BTC, DAY1, [101.0, 102.0], name="b")
    assert append.plan() == {"costs BTC-USDT 2026-01-01": "1 new input file(s) (raw)"}
    append.run()
    assert append.plan() == {}
    assert sorted(append.costs()) == [(BTC, DAY1, 100.0), (BTC, DAY1, 101.0), (BTC, DAY1, 102.0)]


@pytest.mark.parametrize("inner", [False, True])
def test_append_tells_trades_that_several_files_have(append: Scratch, inner: bool) -> None:
    """In one run, and where one of the files came with an earlier one; its raw file may be gone by now."""
    append.template("costs.sql.j2", "SELECT * FROM (\n    {{ inputs.trades }}\n)")
    if inner:
        append.model("costs", output={"mode": "append", "partition_by": ["exchange", "symbol", "date", "side"]})

    def write(name: str, numbers: list[int], day: str = DAY1) -> None:
        noon = int(dt.datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp() * 1000)
        sides = ("buy", "sell")
        rows = [
            {"timestamp": noon + n, "trade_id": str(n), "side": sides[n % 2], "price": 1.0, "amount": 1.0}
            for n in numbers
        ]
        write_trades(append.lake, "binance", BTC, day, rows, name=name)

    write("a", [0, 1, 1, 2])  # what one file repeats is its own
    write("later", [7])
    write("a", [0, 1], DAY2)
    assert [result["notes"] for result in append.run().values()] == [[], []]
    (append.raw(BTC, DAY1) / "a.parquet").unlink()
    write("b", [1, 2, 3])
    write("c", [3, 4])
    [result] = append.run().values()
    [note] = result["notes"]
    assert note.startswith("3 trade(s), the one with id 1 for example, occur in several of the appended files.")


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_rows_without_a_value_of_an_inner_partition_column_are_told(single: Scratch, mode: str) -> None:
    single.template("costs.sql.j2", "SELECT * FROM (\n    {{ inputs.trades }}\n)")
    keys = ["exchange", "symbol", "date", "side"]
    single.model("costs", output={"mode": mode, "partition_by": keys})
    row = {"timestamp": 1767268800000, "trade_id": "1", "price": 1.0, "amount": 1.0}
    write_trades(single.lake, "binance", BTC, DAY1, [row | {"side": "buy"}, row | {"side": None}])
    write_trades(single.lake, "binance", ETH, DAY1, [row | {"side": "buy"}])
    notes = {result["partition"].split("/")[1]: result["notes"] for result in single.run().values()}
    assert notes[f"symbol={ETH}"] == []
    [note] = notes[f"symbol={BTC}"]
    assert note.startswith("rows without a value of side, by which the table is partitioned, lie under side=__HIVE_")


def test_append_keeps_rows_of_deleted_files_and_says_when_one_changed(append: Scratch) -> None:
    append.trades(BTC, DAY1, [100.0], name="a")
    append.trades(BTC, DAY1, [101.0], name="b")
    append.run()
    (append.raw(BTC, DAY1) / "a.parquet").unlink()
    append.trades(BTC, DAY1, [101.0, 102.0], name="b")
    append.trades(BTC, DAY1, [103.0], name="c")
    append.run()
    assert sorted(append.costs()) == [(BTC, DAY1, 100.0), (BTC, DAY1, 101.0), (BTC, DAY1, 103.0)]
    append.trades(BTC, DAY1, [103.0, 104.0], name="c")
    outcome = append.sqlgen("plan", "--json").json
    assert outcome["tasks"] == []
    assert "date=2026-01-01/c.parquet changed after it was appended" in outcome["notes"][-1]
    refused = append.sqlgen("run", "--full-refresh")
    assert (refused.code, "date=2026-01-01/a.parquet is gone" in refused.out) == (1, True)
    append.trades(BTC, DAY1, [100.0], name="a")
    append.run("--full-refresh")
    assert sorted(cost for _, _, cost in append.costs()) == [100.0, 101.0, 102.0, 103.0, 104.0]


def test_append_exactly_once_when_the_record_was_lost_after_publishing(append: Scratch) -> None:
    append.trades(BTC, DAY1, [100.0], name="a")
    append.run()
    journal = append.lake / ".sqlgen/manifest/costs.ndjson"
    before = journal.read_bytes()
    append.trades(BTC, DAY1, [101.0], name="b")
    append.run()
    journal.write_bytes(before + b'{"unit": "exchange=bin')  # as a crash between the swap and the record leaves it
    assert append.run() == {}
    append.trades(BTC, DAY1, [102.0], name="c")
    journal.write_bytes(before)
    append.run()
    assert sorted(append.costs()) == [(BTC, DAY1, 100.0), (BTC, DAY1, 101.0), (BTC, DAY1, 102.0)]


def test_merge_keeps_the_newest_row_of_each_key(merge: Scratch) -> None:
    merge.trades(BTC, DAY1, [100.0, 101.0], name="a")
    merge.run()
    folder = merge.raw(BTC, DAY1)
    (folder / "a.parquet").unlink()
    merge.trades(BTC, DAY1, [200.0], name="a")
    merge.trades(BTC, DAY1, [300.0], name="b")
    merge.run()
    rows = {row["trade_id"]: row["price"] for row in merge.table("costs").to_pylist()}
    assert rows == {"a-0": 200.0, "a-1": 101.0, "b-0": 300.0}
    merge.run("--full-refresh")
    rows = {row["trade_id"]: row["price"] for row in merge.table("costs").to_pylist()}
    assert rows == {"a-0": 200.0, "b-0": 300.0}


def test_merge_by_order_not_by_arrival(merge: Scratch) -> None:
    merge.trades(BTC, DAY1, [100.0, 101.0], name="a")
    merge.run()
    late = IDS.replace("CAST(epoch_ms(ts) AS BIGINT)", "-1").replace(
        "SELECT *", "SELECT * REPLACE (price + 1 AS price)"
    )
    merge.template("costs.sql.j2", late)
    merge.run()
    assert merge.table("costs")["price"].to_pylist() == [100.0, 101.0]


def test_merge_within_one_build(merge: Scratch) -> None:
    merge.trades(BTC, DAY1, [100.0], name="a")
    merge.trades(BTC, DAY1, [50.0, 60.0], name="b")
    merge.model("costs", output={"mode": "merge", "key": ["side"], "order_by": ["version", "price"]})
    merge.run()
    assert [(row["trade_id"], row["price"]) for row in merge.table("costs").to_pylist()] == [("b-1", 60.0)]


def test_an_empty_result_removes_what_was_published(single: Scratch) -> None:
    single.trades(BTC, DAY1, [100.0])
    single.trades(ETH, DAY1, [10.0])
    single.run()
    single.model("costs", filter="cost < 50")
    results = single.run()
    assert results["costs BTC-USDT 2026-01-01"]["status"] == "empty"
    assert single.costs() == [(ETH, DAY1, 10.0)]
    assert not (single.lake / "out/costs/exchange=binance/symbol=BTC-USDT").exists()
    assert single.plan() == {}


def test_models_after_an_empty_one_are_empty(scratch: Scratch) -> None:
    scratch.trades(BTC, DAY1, [100.0])
    scratch.model("costs", filter="cost < 50")
    assert {key: result["status"] for key, result in scratch.run().items()} == {
        "costs BTC-USDT 2026-01-01": "empty",
        "pairs BTC-USDT 2026-01-01": "empty",
    }
    assert scratch.plan() == {}


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_partition_columns_of_the_result_lie_below_the_unit(single: Scratch, mode: str) -> None:
    single.trades(BTC, DAY1, [100.0, 101.0, 102.0])
    single.model("costs", output={"mode": mode, "partition_by": ["exchange", "symbol", "date", "trade_id"]})
    single.run()
    assert single.costs() == [(BTC, DAY1, 100.0), (BTC, DAY1, 101.0), (BTC, DAY1, 102.0)]
    assert len(list(single.lake.glob("out/costs/**/trade_id=data-1/*.parquet"))) == (
        1 if mode == "overwrite" else 0
    ) or (mode == "append")
    single.trades(BTC, DAY1, [100.0])
    single.run("--full-refresh")
    assert single.costs() == [(BTC, DAY1, 100.0)]


def test_a_unit_may_hold_many_input_partitions(single: Scratch) -> None:
    single.model("costs", output={"partition_by": ["date"]})
    single.trades(BTC, DAY1, [100.0])
    single.trades(ETH, DAY1, [10.0])
    single.trades(ETH, DAY2, [11.0])
    assert set(single.run()) == {"costs 2026-01-01", "costs 2026-01-02"}
    single.trades(ETH, DAY1, [12.0])
    assert set(single.run()) == {"costs 2026-01-01"}
    assert single.costs() == [(BTC, DAY1, 100.0), (ETH, DAY1, 12.0), (ETH, DAY2, 11.0)]


def test_a_table_without_partitions(single: Scratch) -> None:
    single.model("costs", output={"partition_by": []})
    single.trades(BTC, DAY1, [100.0])
    single.trades(ETH, DAY2, [11.0])
    assert set(single.run()) == {"costs"}
    assert single.costs() == [(BTC, DAY1, 100.0), (ETH, DAY2, 11.0)]
    assert single.plan() == {}


def test_processed_files_are_deleted_once_every_reader_has_published(append: Scratch) -> None:
    append.config["models"]["other"] = {
        "sql": "costs.sql.j2",
        "inputs": {"trades": "raw"},
        "output": {"path": "out/other", "mode": "append"},
        "filter": "cost / (cost - 100) > 0",
    }
    append.model("costs", delete_after_processing=True)
    folder = append.trades(BTC, DAY1, [101.0])
    append.run("--select", "costs")
    assert (folder / "data.parquet").exists()
    append.run()
    assert not (folder / "data.parquet").exists()
    assert append.run() == {}
    append.trades(BTC, DAY1, [102.0], name="more")
    append.run()
    assert sorted(append.costs()) == [(BTC, DAY1, 101.0), (BTC, DAY1, 102.0)]
    assert not list(folder.glob("*.parquet"))


def test_deleting_what_is_rebuilt_is_refused(single: Scratch) -> None:
    single.model("costs", delete_after_processing=True)
    outcome = single.sqlgen("run")
    assert outcome.code == 2
    assert "Use mode append or merge, without lookback" in outcome.err
