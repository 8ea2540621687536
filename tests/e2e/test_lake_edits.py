"""``sqlgen lake delete``, ``update`` and ``upsert``: rows as SQL says, and no rebuild discards them in silence."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.test_lake_compact import UNIT, changed, copied, files, lake
from tests.support.engine import sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, ETH, LEDGER, Scratch

PRICES = {(BTC, DAY1): [10.0, 20.0, 30.0], (BTC, DAY2): [40.0, 50.0], (ETH, DAY1): [5.0, 60.0]}
Row = tuple[str, str, str, float]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """A built project that no test changes."""
    made = Scratch(tmp_path_factory.mktemp("edits") / "project")
    for (symbol, date), prices in PRICES.items():
        made.trades(symbol, date, prices)
    made.run()
    return made


@pytest.fixture
def built(still: Scratch, tmp_path: Path) -> Scratch:
    """A copy of it."""
    return copied(still, tmp_path)


def rows(project: Scratch) -> list[Row]:
    found = project.table("costs").to_pylist()
    return [(row["symbol"], str(row["date"]), row["trade_id"], row["cost"]) for row in found]


def all_rows() -> list[Row]:
    return [(s, d, f"data-{n}", cost) for (s, d), prices in sorted(PRICES.items()) for n, cost in enumerate(prices)]


@pytest.mark.slow
def test_deleted_rows_are_gone_and_what_reads_them_is_built_again(built: Scratch) -> None:
    untouched = files(built, UNIT.replace(DAY1, DAY2))
    would = lake(built, "delete", "costs", "--where", "cost BETWEEN 20 AND 30 OR cost = 60", "--dry-run")
    assert "Nothing was changed (--dry-run)" in would.out
    assert rows(built) == all_rows()
    outcome = lake(built, "delete", "costs", "--where", "cost BETWEEN 20 AND 30 OR cost = 60")
    assert "costs: the next run rebuilds what reads it: pairs" in outcome.out
    expected = [row for row in all_rows() if not (20 <= row[3] <= 30 or row[3] == 60)]
    assert rows(built) == expected
    assert files(built, UNIT.replace(DAY1, DAY2)) == untouched
    # pairs looks back, so that the day after is stale, too.
    assert built.plan() == {f"pairs {BTC} {DAY1}": "costs changed", f"pairs {ETH} {DAY1}": "costs changed",
                            f"pairs {BTC} {DAY2}": "costs changed (the day before)"}  # fmt: skip
    built.run()
    assert [row["cost"] for row in built.table("pairs").to_pylist()] == [row[3] for row in expected]
    assert built.plan() == {}
    again = lake(built, "delete", "costs", "--where", "cost = 60")
    assert again.out == "No row matches: nothing was changed\n"


@pytest.mark.slow
def test_a_rebuild_that_would_discard_an_edit_is_refused(built: Scratch) -> None:
    """The manifest and the footers know it; other partitions go on."""
    lake(built, "delete", "costs", "--where", "cost = 10 -- wrong print")
    built.run()
    (built.lake / ".sqlgen/manifest/costs.ndjson").unlink()
    assert built.plan() == {}
    built.trades(BTC, DAY1, [11.0], name="late")
    built.trades(ETH, DAY2, [12.0])
    refused = built.sqlgen("plan")
    assert refused.code == 1
    assert (
        f"model 'costs': a rebuild of 1 partition(s) would discard edits of their rows, and is refused, the first of"
        f" them exchange=binance/symbol={BTC}/date={DAY1} (delete where cost = 10 -- wrong print, 20"
    ) in refused.out
    assert "stale because: raw: files 1 new (late.parquet). --discard-edits rebuilds them" in refused.out
    assert set(built.run(code=1)) == {f"costs {ETH} {DAY2}", f"pairs {ETH} {DAY2}"}
    assert 10.0 not in [row[3] for row in rows(built)]
    assert built.sqlgen("run", "--full-refresh").code == 1
    assert 10.0 not in [row[3] for row in rows(built)]
    failed = built.run("--discard-edits", "--memory-limit", "1MB", code=1)
    assert failed[f"costs {BTC} {DAY1}"]["status"] == "failed"
    assert built.run("--retry")[f"costs {BTC} {DAY1}"]["status"] == "published"  # goes on with --discard-edits
    assert [row[3] for row in rows(built) if row[:2] == (BTC, DAY1)] == [10.0, 11.0, 20.0, 30.0]
    assert built.sqlgen("run").code == 0
    edited = {
        part["partition"]: part["edited"] for part in lake(built, "stats", "costs", "--json").json[0]["partitions"]
    }
    assert set(map(tuple, edited.values())) == {()}


@pytest.mark.slow
def test_an_edit_stands_in_the_way_of_another_layout(built: Scratch) -> None:
    lake(built, "delete", "costs", "--where", "cost = 10")
    built.run()
    built.config["models"].pop("pairs")
    built.model("costs", output={"partition_by": ["exchange", "date"]})
    outcome = built.sqlgen("run", "--full-refresh", "--select", "costs")
    assert outcome.code == 1
    assert "Building it anew would discard edits, for example those of exchange=binance/symbol=BTC-USDT" in outcome.out
    built.run("--full-refresh", "--discard-edits", "--select", "costs")
    assert len(rows(built)) == 7


def test_all_rows_of_a_partition_may_go(built: Scratch) -> None:
    """A file without rows says so, also when the records are lost."""
    lake(built, "delete", "costs", "--where", "TRUE", "--symbol", "eth/usdt")
    assert [row[0] for row in rows(built)] == [BTC] * 5
    (built.lake / ".sqlgen/manifest/costs.ndjson").unlink()
    built.run()
    assert [row[0] for row in rows(built)] == [BTC] * 5
    assert built.plan() == {}


def test_updates_are_computed_from_the_rows_before(built: Scratch) -> None:
    lake(
        built, "update", "costs", "--where", "cost >= 30 AND symbol = 'BTC-USDT'",
        "--set", "cost=-cost / 4", "--set", "trade_id=trade_id || '*' || cost::INT",
    )  # fmt: skip
    assert rows(built) == [
        (s, d, f"{i}*{cost:.0f}", -cost / 4) if cost >= 30 and s == BTC else (s, d, i, cost)
        for s, d, i, cost in all_rows()
    ]
    types = pq.read_schema(files(built)[0])
    assert types.field("cost").type == pa.float64()


def test_a_dry_run_counts_the_rows_that_it_would_change(built: Scratch) -> None:
    update = ("update", "costs", "--where", "cost >= 30", "--set", "cost=0", "--dry-run")
    head, *lines, end, readers = lake(built, *update).out.splitlines()
    assert head.split("\t") == [
        *("table", "partition", "rows", "rows changed", "rows after", "files", "files after", "size", "size after")
    ]
    changed = [int(line.split("\t")[3]) for line in lines]
    assert sum(changed) == sum(cost >= 30 for _, _, _, cost in all_rows()) > len(changed) == len(lines) > 1
    assert end == "Nothing was changed (--dry-run)"
    assert readers.startswith("costs: the next run rebuilds what reads it")


def test_an_update_of_times_keeps_files_in_order(built: Scratch) -> None:
    lake(built, "update", "costs", "--where", "cost = 30", "--set", "ts=ts - INTERVAL 1 HOUR", "--set", "seq=0")
    ids = pq.read_table(files(built)[0], partitioning=None)["trade_id"].to_pylist()
    assert ids == ["data-2", "data-0", "data-1"]


@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson"])
def test_upserted_rows_replace_those_with_their_key(built: Scratch, tmp_path: Path, kind: str) -> None:
    """Against a dictionary by key, with random rows."""
    chance = random.Random(len(kind))
    table = built.table("costs").to_pylist()
    by_key: dict[Any, dict[str, Any]] = {(row["symbol"], row["date"], row["trade_id"]): row for row in table}
    new = [
        {**row, "trade_id": f"data-{chance.randrange(6)}", "cost": chance.uniform(0, 9)}
        for row in chance.sample(table, 4)
    ]
    new = list({(row["symbol"], row["date"], row["trade_id"]): row for row in new}.values())
    by_key |= {(row["symbol"], row["date"], row["trade_id"]): row for row in new}
    file = write(tmp_path / f"fix.{kind}", new)
    lake(built, "upsert", "costs", "--from", file, "--key", "trade_id")
    found = built.table("costs").to_pylist()
    assert sorted(found, key=repr) == sorted(by_key.values(), key=repr)
    for path in files(built, table="out/costs", unit="exchange=binance"):
        times = pq.read_table(path, partitioning=None)["ts"].to_pylist()
        assert times == sorted(times)


def write(file: Path, found: list[dict[str, Any]]) -> Path:
    """Rows as text where the file is text, in another order of columns."""
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(found), file)
        return file
    texts = [{name: str(value) for name, value in reversed(row.items())} for row in found]
    lines = [json.dumps(text) for text in texts]
    if file.suffix == ".csv":
        lines = [",".join(texts[0]), *(",".join(text.values()) for text in texts)]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_file_that_does_not_fit_changes_nothing(built: Scratch, tmp_path: Path) -> None:
    row = built.table("costs").to_pylist()[0]
    before = built.snapshot()

    def refused(rows: list[dict[str, Any]], *arguments: str) -> str:
        file = write(tmp_path / "fix.parquet", rows)
        return lake(built, "upsert", "costs", "--from", file, *(arguments or ("--key", "trade_id")), code=2).err

    short = {name: value for name, value in row.items() if name != "cost"}
    assert "has no column cost; has the unknown column coast" in refused([short | {"coast": 1.0}])
    assert "trade_id=data-0 is there 2 times. A key is one row" in refused([row, row])
    assert "trade_id=NULL has no value in its key" in refused([row, row | {"trade_id": None}])
    assert "--key trade: no such column. Did you mean 'trade_id'?" in refused([row], "--key", "trade")
    away = refused([row, row | {"symbol": "SOL-USDT"}])
    assert "1 partition(s) of its rows are not published, the first of them exchange=binance/symbol=SOL-USDT" in away
    file = tmp_path / "fix.csv"
    file.write_text(",".join(row) + "\n" + ",".join(map(str, (row | {"cost": "much"}).values())) + "\n")
    assert (
        "fix.csv: Conversion Error: CSV Error on Line: 2"
        in lake(built, "upsert", "costs", "--from", file, "--key", "trade_id", code=2).err
    )
    missing = lake(built, "upsert", "costs", "--from", tmp_path / "no.csv", "--key", "trade_id", code=2)
    assert f"there is no file {tmp_path / 'no.csv'}" in missing.err
    file = write(tmp_path / "fix.parquet", [row]).rename(tmp_path / "fix.txt")
    other = lake(built, "upsert", "costs", "--from", file, "--key", "trade_id", code=2)
    assert "fix.txt: no Parquet, CSV or NDJSON file, by its name" in other.err
    assert {name: stat for name, stat in built.snapshot().items() if "/raw/" in name or "/out/" in name} == {
        name: stat for name, stat in before.items() if "/raw/" in name or "/out/" in name
    }


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("cost > 1; SELECT 1", "it is more than one SQL expression"),
        ("cost > 1) OR (1 = 1", "it is not one SQL expression"),
        ("1 = 1 GROUP BY cost", "it is more than one SQL expression"),
        ("trade_id IN (SELECT content FROM read_text('/etc/passwd'))", "its subquery reads read_text"),
        ("getenv('HOME') = '/root'", "getenv() reads or changes more than a row's columns"),
        ("count(*) > 1", "cannot contain aggregates"),
        ("row_number() OVER () = 1", "cannot contain window functions"),
        ("coast > 1", 'Referenced column "coast" not found'),
        ("trade_id", "Could not convert string 'data-0' to BOOL"),
        ("", "it is not one SQL expression"),
    ],
)
def test_a_predicate_is_a_predicate_and_nothing_else(still: Scratch, where: str, message: str) -> None:
    outcome = lake(still, "delete", "costs", "--where", where, code=2)
    assert message in outcome.err
    assert rows(still) == all_rows()


def test_a_predicate_that_changes_its_mind_deletes_nothing(built: Scratch) -> None:
    where = "random() < 0.5 AND random() < 0.7 OR random() > 0.6"
    before = rows(built)
    found = sqlgen("lake", "delete", "costs", "--where", where, "--project", built.file)
    if found.code == 1:
        assert "does an expression give another result each time (random())? Nothing was replaced" in found.out
    left = rows(built)
    assert {*left} <= {*before}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("symbol='X'", "--set symbol: the table is partitioned by it"),
        ("coast=1", "--set coast: no such column. Did you mean 'cost'?"),
        ("cost", "--set cost: write COLUMN=EXPRESSION"),
        ("cost=lag(cost) OVER ()", "--set cost = lag(cost) OVER (): Binder Error: WHERE clause cannot contain window"),
        ("cost=(SELECT 1 FROM '/etc/passwd')", "its subquery reads /etc/passwd"),
    ],
)
def test_an_assignment_is_one_expression_of_a_column(still: Scratch, assignment: str, message: str) -> None:
    assert message in lake(still, "update", "costs", "--where", "TRUE", "--set", assignment, code=2).err


def test_a_value_that_does_not_fit_its_column_fails_its_partition(built: Scratch) -> None:
    outcome = lake(
        built, "update", "costs", "--where", "TRUE", "--set", "cost=CASE cost WHEN 60 THEN 'x' ELSE '1' END",
        "--json", code=1,
    )  # fmt: skip
    errors = {part["partition"]: part["error"] for part in changed(outcome)}
    assert [error is None for error in errors.values()] == [True, True, False]
    assert "Could not convert string 'x' to DOUBLE" in errors[UNIT.replace(BTC, ETH)]
    assert [row[3] for row in rows(built)] == [1.0] * 5 + [5.0, 60.0]


def test_edits_of_appended_tables_stay_as_files_come(scratch: Scratch) -> None:
    scratch.model("costs", output={"mode": "append"})
    for number in range(2):
        scratch.trades(BTC, DAY1, [10.0 + number, 95.0 + number], name=f"f{number}")
        scratch.run()
    lake(scratch, "delete", "costs", "--where", "cost > 90")
    scratch.trades(BTC, DAY1, [99.0], name="f2")
    scratch.run()
    assert sorted(cost for _, _, cost in scratch.costs()) == [10.0, 11.0, 99.0]
    lake(scratch, "compact", "costs")
    (part,) = lake(scratch, "stats", "costs", "--json").json[0]["partitions"]
    assert (part["files"], [text.partition(",")[0] for text in part["edited"]]) == (1, ["delete where cost > 90"])
    assert scratch.sqlgen("run", "--full-refresh").code == 1
    assert len(scratch.costs()) == 3


def test_the_state_of_kernels_is_that_of_the_inputs(scratch: Scratch) -> None:
    """Rows of features are edited, not what the next day starts from."""
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    scratch.trades(BTC, DAY1, [10.0, 20.0])
    scratch.run()
    lake(scratch, "delete", "costs", "--where", "cost = 20")
    scratch.trades(BTC, DAY2, [30.0])
    assert f"costs {BTC} {DAY1}" not in scratch.run()
    found = {str(row["date"]): row["before"] for row in scratch.table("costs").to_pylist()}
    assert found == {DAY1: None, DAY2: 20.0}
    scratch.state_file("costs", UNIT).unlink()  # the day after needs it, and would have it rebuilt
    scratch.trades(BTC, DAY2, [31.0], name="late")
    outcome = scratch.sqlgen("plan")
    assert outcome.code == 1
    assert f"{DAY2} needs its kernel state. --discard-edits rebuilds them" in outcome.out
