"""``sqlgen lake stats`` and ``compact``: fewer files, the same rows, and nothing is built again for it."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sqlgen.operate.upkeep.compacting import joined
from sqlgen.operate.upkeep.rewrites import Piece, Rewrite
from sqlgen.operate.upkeep.rewriting import change_tables
from sqlgen.run.engine import Engine
from tests.support.engine import Outcome, sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, ETH, LEDGER, Scratch

UNIT = f"exchange=binance/symbol={BTC}/date={DAY1}"


def lake(project: Scratch, command: str, *arguments: object, code: int = 0) -> Outcome:
    outcome = sqlgen("lake", command, *arguments, "--project", project.file)
    assert outcome.code == code, outcome.out + outcome.err
    return outcome


def changed(outcome: Outcome) -> list[dict[str, Any]]:
    """Partitions that a command has changed."""
    return [part for table in outcome.json["tables"] for part in table["partitions"]]


def files(project: Scratch, unit: str = UNIT, table: str = "out/costs") -> list[Path]:
    return sorted((project.lake / table / unit).rglob("*.parquet"))


def copied(project: Scratch, folder: Path) -> Scratch:
    """A copy of a built project, which a test may change."""
    shutil.copytree(project.folder, folder / "project")
    made = Scratch(folder / "project")
    made.config = copy.deepcopy(project.config)
    made.save()
    for path in (project.folder / "transforms_sql").iterdir():
        made.template(path.name, path.read_text())
    return made


@pytest.fixture
def appended(built: Scratch, tmp_path: Path) -> Scratch:
    return copied(built, tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """``costs`` in mode append: five files of BTC, of three runs, and one of ETH."""
    scratch = Scratch(tmp_path_factory.mktemp("compact") / "project")
    scratch.model("costs", output={"mode": "append"})
    scratch.trades(ETH, DAY1, [7.0])
    for number in range(5):
        scratch.trades(BTC, DAY1, [10.0 + number, 20.0 + number], name=f"f{number}")
        if number != 1 and number != 3:
            scratch.run()
    return scratch


@pytest.mark.slow
def test_stats_count_files_rows_and_small_files(appended: Scratch) -> None:
    found = {one["name"]: one for one in lake(appended, "stats", "--json").json}
    assert {name: (one["files"], one["rows"], one["small_files"]) for name, one in found.items()} == {
        "raw": (6, 11, 5),
        "costs": (6, 11, 5),
        "pairs": (2, 11, 0),
    }
    paths = [*files(appended), *files(appended, UNIT.replace(BTC, ETH))]
    assert found["costs"]["bytes"] == sum(path.stat().st_size for path in paths)
    part = found["costs"]["partitions"][0]
    assert (part["partition"], part["files"], part["rows"]) == (UNIT, 5, 10)
    few = lake(appended, "stats", "costs", "--target-size", "10B", "--json").json
    assert [one["small_files"] for one in few] == [0]
    text = lake(appended, "stats", "costs").out.splitlines()
    assert text[0] == "name\tkind\tpartitions\tfiles\trows\tsize\tsmall files\tedited"
    assert text[1].startswith("costs\ttable\t2\t6\t11\t")
    assert UNIT in lake(appended, "stats", "--partitions").out


def test_compacted_rows_are_the_same_and_nothing_is_stale(appended: Scratch) -> None:
    before = appended.costs()
    would = lake(appended, "compact", "--dry-run", "--json")
    assert [(part["files_before"], part["files_after"]) for part in changed(would)] == [(5, 1)]
    assert len(files(appended)) == 5
    (part,) = changed(lake(appended, "compact", "--json"))
    assert (part["rows_before"], part["rows_after"], part["files_after"]) == (10, 10, 1)
    assert part["bytes_after"] == files(appended)[0].stat().st_size
    assert sorted(appended.costs()) == sorted(before)
    assert appended.plan() == {}
    assert lake(appended, "compact").out == "No partition has small files to join\n"


def test_after_compaction_only_new_files_are_appended(appended: Scratch) -> None:
    lake(appended, "compact", "costs")
    appended.trades(BTC, DAY1, [99.0], name="f9")
    assert appended.run()[f"costs {BTC} {DAY1}"]["rows_out"] == 11
    assert sorted(cost for symbol, _, cost in appended.costs() if symbol == BTC) == [
        *(10.0 + number for number in range(5)),
        *(20.0 + number for number in range(5)),
        99.0,
    ]
    assert len(files(appended)) == 2
    (appended.lake / ".sqlgen/manifest/costs.ndjson").unlink()  # the footers say the same
    assert appended.plan() == {}
    lake(appended, "compact", "costs")
    assert (len(files(appended)), appended.plan()) == (1, {})


def test_files_of_the_target_size_stay_as_they_are(appended: Scratch) -> None:
    """Of an appended table, each file goes on saying which inputs it holds."""
    large = files(appended)[0]
    size = large.stat().st_size
    big = [1.0 + number * 7919 % 1009 / 7 for number in range(600)]
    appended.trades(BTC, DAY1, big, name="large")
    appended.run()
    before = appended.costs()
    largest = max(files(appended), key=lambda path: path.stat().st_size)
    identity = largest.stat().st_ino, largest.stat().st_mtime_ns
    lake(appended, "compact", "costs", "--target-size", f"{6 * size}B")
    assert len(files(appended)) == 2
    assert (largest.stat().st_ino, largest.stat().st_mtime_ns) == identity
    assert sorted(appended.costs()) == sorted(before)
    (appended.lake / ".sqlgen/manifest/costs.ndjson").unlink()
    assert appended.plan() == {}
    appended.trades(BTC, DAY1, [1.0], name="g")
    assert appended.run()[f"costs {BTC} {DAY1}"]["rows_out"] == len(before) - 1 + 1


@pytest.mark.slow
def test_compaction_within_inner_partitions(scratch: Scratch) -> None:
    """Rows stay in their inner partition, and kernels and quarantine are untouched."""
    checks = [{"check": "range", "columns": ["price"], "max": 90.0}]
    scratch.config["sources"]["raw"]["checks"] = checks
    scratch.template("costs.sql.j2", (scratch.folder / "transforms_sql/costs.sql.j2").read_text().replace(
        "    trade_id,\n", "    trade_id,\n    CASE WHEN price > 15 THEN 'a' ELSE 'b' END AS kind,\n"
    ))  # fmt: skip
    scratch.model("costs", output={"mode": "append", "partition_by": ["exchange", "symbol", "date", "kind"]})
    for number in range(3):
        scratch.trades(BTC, DAY1, [10.0 + number, 20.0 + number, 95.0], name=f"f{number}")
        scratch.run()
    before, kept = scratch.costs(), files(scratch, table="out/costs_quarantine")
    assert (len(files(scratch)), len(before), len(kept)) == (6, 6, 3)
    lake(scratch, "compact", "costs")
    assert [path.parent.name for path in files(scratch)] == ["kind=a", "kind=b"]
    assert sorted(scratch.costs()) == sorted(before)
    assert (files(scratch, table="out/costs_quarantine"), scratch.plan()) == (kept, {})
    (scratch.lake / ".sqlgen/manifest/costs.ndjson").unlink()
    assert scratch.plan() == {}


def test_kernel_states_are_those_of_the_compacted_files(scratch: Scratch) -> None:
    """The next day starts from the state that the files' old build has left."""
    scratch.kernel(LEDGER)
    scratch.template("costs.sql.j2", (scratch.folder / "transforms_sql/costs.sql.j2").read_text().replace(
        "    trade_id,\n", "    trade_id,\n    trade_id AS kind,\n"
    ))  # fmt: skip
    scratch.model("costs", udfs=["ledger"], output={"partition_by": ["exchange", "symbol", "date", "kind"]})
    scratch.trades(BTC, DAY1, [10.0, 20.0])
    scratch.run()
    engine = Engine.open(scratch.file)
    old = engine.table("costs")
    (unit,) = old.records
    (done,) = change_tables(
        engine, ["costs"], lambda held: [Rewrite(unit, (Piece(held.rows(unit)),), 2)], dry_run=False, wait=0
    )
    assert done.ok
    assert done.readers == ()
    new = Engine.open(scratch.file).table("costs").records[unit]
    was = old.records[unit]
    assert (new.build != was.build, new.state, new.version) == (True, was.state, was.version)
    assert scratch.state_file("costs", UNIT).stem == new.build
    scratch.trades(BTC, DAY2, [30.0])
    scratch.run()
    rows = scratch.table("costs").to_pylist()
    assert [row["before"] for row in rows if str(row["date"]) == DAY2] == [20.0]


def broken(path: Path) -> None:
    path.write_bytes(b"PAR1")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (broken, "the files of 1 partition(s) are not as they were published, the first of them exchange=binance"),
        (lambda path: path.with_name("mine.parquet").write_bytes(b"x"), "files that it did not publish lie where"),
    ],
)
def test_a_table_with_damaged_or_foreign_files_is_left_alone(
    appended: Scratch, harm: Callable[[Path], None], message: str
) -> None:
    harm(files(appended)[0])
    outcome = lake(appended, "compact", "costs", code=2)
    assert f"model 'costs': {message}" in outcome.err
    whole = lake(appended, "compact", code=1)  # of all tables: the others go on
    assert message in whole.out
    assert len(files(appended)) >= 5


def test_one_partition_that_fails_stays_and_the_others_go_on(appended: Scratch) -> None:
    for number in range(2):
        appended.trades(ETH, DAY2, [float(number)], name=f"f{number}")
        appended.run()
    victim = files(appended)[2]
    content = victim.read_bytes()
    rows = pq.read_table(victim, partitioning=None)
    stat = victim.stat()
    data = bytearray(content)
    data[4:40] = bytes(36)  # pages that cannot be unpacked; size, time and footer are those of before
    victim.write_bytes(data)
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    outcome = lake(appended, "compact", "costs", "--json", code=1)
    errors = [part["error"] for part in changed(outcome)]
    assert errors[1:] == [None]
    assert UNIT in errors[0]
    assert (len(files(appended)), len(files(appended, UNIT.replace(BTC, ETH).replace(DAY1, DAY2)))) == (5, 1)
    assert rows.num_rows == 2


def test_sizes_and_names_that_are_none(appended: Scratch) -> None:
    assert (
        "'12' is no size. Write a number and B, kB, MB or GB: 128MB"
        in lake(appended, "compact", "--target-size", "12", code=2).err
    )
    assert "no model 'cost'. Did you mean 'costs'?" in lake(appended, "compact", "cost", code=2).err
    assert "It is a source: only `lake compact --source`" in lake(appended, "compact", "raw", code=2).err
    assert (
        "model 'costs': no partition has symbol 'BTC-USDC'. Did you mean 'BTC-USDT'?"
        in lake(appended, "compact", "costs", "--symbol", "BTC-USDC", code=2).err
    )
    assert changed(lake(appended, "compact", "costs", "--symbol", "eth/usdt", "--json")) == []
    assert "error: no partition has symbol 'BTC-USDC'." in lake(appended, "compact", "--symbol", "BTC-USDC", code=2).err
    late = lake(appended, "compact", "--source", "raw", "--start", "2030-01-01", "--settle", "0", code=2).err
    assert "source 'raw': model 'costs' reads it in mode append" in late


def test_groups_are_as_large_as_the_target() -> None:
    sizes = [("a", 4), ("b", 4), ("c", 3), ("d", 20), ("e", 1), ("f", 9)]
    assert [*joined(sizes, 10)] == [["a", "b"], ["c"], ["d"], ["e", "f"]]
