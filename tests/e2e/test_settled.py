"""Symbols that planning leaves out since nothing of theirs has changed: a plan says the same without that record."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.lake.partitions import Partition
from tests.support.scratch import BTC, COSTS, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch

XRP = "XRP/USD-T"
SYMBOLS, DAYS = (BTC, ETH, XRP), (DAY1, DAY2, DAY3)
Change = Callable[[Scratch, random.Random], object]


def record(scratch: Scratch) -> Path:
    return scratch.lake / ".sqlgen/settled.json"


def both_plans(scratch: Scratch) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plan with the record of what is up to date, and without."""
    found = scratch.sqlgen("plan", "--json").json
    path, aside = record(scratch), scratch.folder / "aside.json"
    if path.exists():
        path.rename(aside)
    without = scratch.sqlgen("plan", "--json").json
    if aside.exists():
        aside.rename(path)
    return found, without


def _any(folder: Path, pattern: str, chance: random.Random) -> Path | None:
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return chance.choice(files) if files else None


def _write(scratch: Scratch, chance: random.Random, name: str = "data") -> None:
    prices = [float(chance.randrange(1, 99)) for _ in range(chance.randrange(1, 4))]
    symbol = chance.choice(SYMBOLS).replace("/", "%2F")
    scratch.trades(symbol, chance.choice(DAYS), prices, name=name)


def _write_rows(scratch: Scratch, name: str, rows: list[tuple[str, str, float]]) -> None:
    """Write one file of trades at noon, each with symbol, date and price: its path names none of them."""
    found = []
    for symbol, date, price in rows:
        noon = dt.datetime.fromisoformat(f"{date}T12:00:00+00:00")
        where = {"exchange": "binance", "symbol": symbol, "date": noon.date()}
        times = {"timestamp": int(noon.timestamp() * 1000), "collected_at": int(noon.timestamp() * 1000)}
        found.append(where | times | {"trade_id": "1", "side": "buy", "price": price, "amount": 1.0, "cost": price})
    folder = scratch.lake / "raw/ccxt/trades"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(found), folder / f"{name}.parquet")


def _touch(scratch: Scratch, chance: random.Random, folder: str) -> None:
    if path := _any(scratch.lake / folder, "*.parquet", chance):
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def _delete(scratch: Scratch, chance: random.Random, folder: str) -> None:
    if path := _any(scratch.lake / folder, "*.parquet", chance):
        path.unlink()


def _swap_lines(scratch: Scratch, chance: random.Random) -> None:
    """Let an older record of a unit come last."""
    if path := _any(scratch.lake / ".sqlgen/manifest", "*.ndjson", chance):
        lines = path.read_text().splitlines()
        chance.shuffle(lines)
        path.write_text("".join(f"{line}\n" for line in lines))


def _lose_line(scratch: Scratch, chance: random.Random) -> None:
    if path := _any(scratch.lake / ".sqlgen/manifest", "*.ndjson", chance):
        lines = path.read_text().splitlines()
        path.write_text("".join(f"{line}\n" for line in lines[1:]))


def _bad_date(scratch: Scratch, chance: random.Random) -> None:
    scratch.trades(BTC, "2026-01-01", [1.0])
    folder = scratch.raw(BTC, "2026-13-01")
    if folder.exists():
        shutil.rmtree(folder)
    else:
        shutil.copytree(scratch.raw(BTC, DAY1), folder)


def _foreign(scratch: Scratch, chance: random.Random) -> None:
    path = scratch.lake / "out/costs/exchange=binance/symbol=ETH-USDT/mine.parquet"
    if path.exists():
        path.unlink()
    elif path.parent.exists():
        path.write_bytes(b"mine")


def _template(scratch: Scratch, chance: random.Random) -> None:
    scratch.template("costs.sql.j2", COSTS.replace("amount AS", f"amount + {chance.randrange(3)} AS"))


CHANGES: list[Change] = [
    _write,
    _write,
    lambda scratch, chance: _write(scratch, chance, "late"),
    lambda scratch, chance: _touch(scratch, chance, "raw"),
    lambda scratch, chance: _touch(scratch, chance, "out"),
    lambda scratch, chance: _delete(scratch, chance, "raw"),
    lambda scratch, chance: _delete(scratch, chance, "out"),
    _swap_lines,
    _lose_line,
    _bad_date,
    _foreign,
    _template,
    lambda scratch, chance: shutil.rmtree(scratch.raw(chance.choice(SYMBOLS), chance.choice(DAYS)), ignore_errors=True),
    lambda scratch, chance: record(scratch).write_bytes(b'{"layouts": {}}'),
]


def _change_and_run(scratch: Scratch, chance: random.Random, changes: list[Change], steps: int = 12) -> None:
    """Change the lake and run, and compare the plan with the record with that without it each time."""
    for day in DAYS[:2]:
        for symbol in SYMBOLS:
            scratch.trades(symbol.replace("/", "%2F"), day, [1.0, 2.0])
    used = 0
    for _ in range(steps):
        for _ in range(chance.randrange(1, 3)):
            scratch.sqlgen("run", "--json", *chance.choice([(), (), (), ("--select", "costs")]))
        used += record(scratch).exists()
        for change in chance.sample(changes, chance.randrange(0, 3)):
            change(scratch, chance)
        found, without = both_plans(scratch)
        assert found == without
    assert used


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["overwrite", "append"])
@pytest.mark.parametrize("seed", range(2))
def test_a_plan_is_the_same_without_the_record(scratch: Scratch, mode: str, seed: int) -> None:
    scratch.model("costs", output={"mode": mode})
    _change_and_run(scratch, random.Random(f"{mode} {seed}"), CHANGES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_plan_of_models_that_build_on_each_other_is_the_same_without_the_record(scratch: Scratch, seed: int) -> None:
    """Kernels, whose days depend on those before; rows that a check puts aside; units without rows; hidden files."""
    scratch.kernel(LEDGER)
    scratch.model("costs", checks=[{"check": "range", "columns": ["cost"], "max": 90, "on_fail": "quarantine"}])
    scratch.model("sums", sql="costs.sql.j2", inputs={"trades": "raw"}, udfs=["ledger"], output={"path": "out/sums"})
    scratch.template("some.sql.j2", "SELECT * FROM ({{ inputs.costs }}) WHERE cost > 50\n")
    scratch.model("some", sql="some.sql.j2", inputs={"costs": "costs"}, output={"path": "out/some"})

    def hide(scratch: Scratch, chance: random.Random) -> None:
        if path := _any(scratch.lake / "out", "*.parquet", chance):
            path.with_name("_note").write_text(f"{chance.random()}")

    _change_and_run(scratch, random.Random(f"models {seed}"), [*CHANGES, hide])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_plan_of_symbols_that_rows_alone_name_is_the_same_without_the_record(scratch: Scratch, seed: int) -> None:
    """Partitions that fail, and runs of some models and shards."""
    scratch.model("costs", checks=[{"check": "range", "columns": ["cost"], "max": 70, "on_fail": "fail"}])
    chance = random.Random(f"rows {seed}")
    for _ in range(8):
        rows = [(chance.choice(SYMBOLS), chance.choice(DAYS), float(chance.randrange(1, 99))) for _ in range(3)]
        _write_rows(scratch, chance.choice("ab"), rows)
        for _ in range(chance.randrange(1, 4)):
            scratch.sqlgen("run", *chance.choice([(), (), ("--select", "costs"), ("--shard", "1/2")]))
        found, without = both_plans(scratch)
        assert found == without


@pytest.fixture
def settled(scratch: Scratch) -> Scratch:
    """Two days of three symbols, built and known to be up to date."""
    for day in DAYS[:2]:
        for symbol in (BTC, ETH, "XRP-USDT"):
            scratch.trades(symbol, day, [1.0, 2.0])
    scratch.run()
    assert scratch.run() == {}
    return scratch


def test_only_symbols_with_changes_are_planned(settled: Scratch) -> None:
    from sqlgen.plan.selection import Selection
    from sqlgen.run.engine import Engine

    def symbols() -> set[str]:
        plan = Engine.open(settled.file).plan(Selection(("costs", "pairs")))
        assert plan.fresh + len(plan.tasks) == 12
        found = [*plan.picture.source_files["raw"].partitions, *plan.picture.records["pairs"]]
        return {partition["symbol"] for partition in found}

    assert symbols() == set()
    settled.trades(ETH, DAY1, [1.0, 2.0, 3.0])
    (settled.lake / "out/pairs/exchange=binance/symbol=BTC-USDT/date=2026-01-01").joinpath("x").mkdir()
    assert symbols() == {ETH}
    settled.template("costs.sql.j2", COSTS.replace("price * amount AS", "price * amount * 2 AS"))
    assert symbols() == {BTC, ETH, "XRP-USDT"}


def test_what_a_run_has_built_is_up_to_date_for_the_next_plan(settled: Scratch) -> None:
    from sqlgen.plan.selection import Selection
    from sqlgen.run.engine import Engine

    def planned() -> tuple[int, int, dict[str, int]]:
        """Units that are up to date, those of them in symbols that are left out, and builds by symbol."""
        plan = Engine.open(settled.file).plan(Selection(("costs", "pairs")))
        return plan.fresh, plan.left_out, Counter(task.unit["symbol"] for task in plan.tasks)

    assert planned() == (12, 12, {})
    settled.trades(ETH, DAY3, [1.0, 2.0])
    settled.trades("NEW-USDT", DAY1, [1.0, 2.0])
    assert planned() == (12, 8, {ETH: 2, "NEW-USDT": 2})
    assert len(settled.run()) == 4
    assert planned() == (16, 16, {})
    settled.trades(ETH, DAY1, [3.0])
    settled.sqlgen("run", "--select", "costs")
    assert planned() == (14, 10, {ETH: 2})  # its day, and the one that looks back on it
    assert len(settled.run()) == 2
    assert planned() == (16, 16, {})


def test_a_model_that_is_built_at_each_run_is_never_up_to_date(settled: Scratch) -> None:
    settled.model("pairs", checkpoint_enabled=False)
    settled.trades(ETH, DAY1, [1.0, 2.0, 3.0])
    for _ in range(3):
        assert {name.split()[0] for name in settled.run()} >= {"pairs"}
        found, without = both_plans(settled)
        assert found == without
        assert len(found["tasks"]) == 6


def test_a_symbol_of_which_a_partition_has_failed_is_planned_again(settled: Scratch) -> None:
    settled.trades(ETH, DAY1, [1.0, 2.0, 3.0])
    damaged = settled.trades(ETH, DAY3, [1.0]) / "data.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    settled.trades(BTC, DAY3, [1.0])
    assert settled.sqlgen("run").code == 1
    assert set(settled.plan()) == {"costs ETH-USDT 2026-01-03", "pairs ETH-USDT 2026-01-03"}


def test_a_symbol_that_rows_alone_name_is_planned_until_it_is_built(scratch: Scratch) -> None:
    """One file has the rows of several symbols, so that nothing else tells of one whose partition has failed."""
    scratch.model("costs", checks=[{"check": "range", "columns": ["cost"], "max": 50, "on_fail": "fail"}])

    def write(*rows: tuple[str, float]) -> None:
        _write_rows(scratch, "all", [(symbol, DAY1, price) for symbol, price in rows])

    write((BTC, 99.0))
    for _ in range(3):
        assert scratch.run(code=1)[f"costs {BTC} {DAY1}"]["status"] == "failed"
    write((BTC, 1.0), (ETH, 99.0))
    for _ in range(3):
        assert scratch.run(code=1)[f"costs {ETH} {DAY1}"]["status"] == "failed"
    write((BTC, 1.0), (ETH, 1.0))
    assert f"costs {ETH} {DAY1}" in scratch.run()
    found, without = both_plans(scratch)
    assert found == without
    assert found["tasks"] == []


def test_a_unit_that_starts_without_the_state_before_it_is_told_at_each_run(settled: Scratch) -> None:
    settled.kernel(LEDGER)
    settled.model("costs", udfs=["ledger"])
    settled.run()
    settled.state_file("costs", f"exchange=binance/symbol={BTC}/date={DAY2}").write_bytes(b"damaged")
    shutil.rmtree(settled.raw(BTC, DAY2))
    settled.trades(BTC, DAY3, [3.0])
    for _ in range(3):
        assert f"date={DAY3} starts without the kernel state of {DAY2}" in settled.sqlgen("run").out
        found, without = both_plans(settled)
        assert found == without


def test_a_foreign_file_that_comes_while_a_run_builds_is_seen(
    settled: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlgen.plan.selection import Selection
    from sqlgen.run.engine import Engine
    from sqlgen.run.reading import LakeReading

    note = LakeReading.note_built

    def come(*arguments: Any) -> None:
        shutil.copy(settled.raw(ETH, DAY1) / "data.parquet", settled.lake / f"out/costs/exchange=binance/symbol={ETH}")
        note(*arguments)

    monkeypatch.setattr(LakeReading, "note_built", come)
    settled.trades(ETH, DAY1, [1.0, 2.0, 3.0])
    assert Engine.open(settled.file).run(Selection(("costs", "pairs"))).ok
    assert "files that it did not publish" in settled.sqlgen("plan").out


@pytest.mark.slow
def test_journals_of_a_symbol_that_changes_over_and_over_stay_short(
    settled: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run looks for its lines alone, and yet finds when most lines are superseded."""
    from sqlgen.plan.selection import Selection
    from sqlgen.published import manifest
    from sqlgen.run.engine import Engine

    monkeypatch.setattr(manifest, "SPARE", 10)
    journal, lengths = settled.lake / ".sqlgen/manifest/costs.ndjson", list[int]()
    for price in range(30):
        settled.trades(ETH, DAY1, [float(price)])
        assert Engine.open(settled.file).run(Selection(("costs",))).ok
        lengths.append(len(journal.read_text().splitlines()))
    assert max(lengths) <= 2 * 6 + 10 + 3
    assert sum(later < earlier for earlier, later in itertools.pairwise(lengths)) == 1
    found, without = both_plans(settled)
    assert found == without


def test_a_line_that_a_killed_run_has_left_incomplete_takes_no_other_with_it(settled: Scratch) -> None:
    """A run of another model has seen the journal so; the next one that adds to it reads few symbols of it."""
    journal = settled.lake / ".sqlgen/manifest/costs.ndjson"
    with journal.open("a") as file:
        file.write('{"unit":"exchange=binance/sym')
    assert settled.run("--select", "pairs") == {}
    settled.trades(ETH, DAY3, [1.0])
    settled.run("--select", "costs")
    assert {json.loads(line)["unit"][-10:] for line in journal.read_text().splitlines()} == {*DAYS}
    found, without = both_plans(settled)
    assert found == without


def test_a_run_goes_on_while_another_one_begins_a_journal_of_a_table_that_it_reads(
    settled: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlgen.published.tablefiles import Unread

    narrow, done = Unread.narrow, list[int]()

    def come(there: Unread, symbols: Set[Partition]) -> None:
        narrow(there, symbols)
        if there.name == "costs" and not done:
            settled.trades(BTC, DAY3, [3.0])
            done.extend(settled.sqlgen("run", "--select", "costs", "--shard", f"{each}/2").code for each in (1, 2))

    settled.trades(ETH, DAY1, [1.0])
    settled.run("--select", "costs")
    monkeypatch.setattr(Unread, "narrow", come)
    assert len(settled.run("--select", "pairs")) == 2
    assert done == [0, 0]
    found, without = both_plans(settled)
    assert found == without
    assert len(found["tasks"]) == 1


def test_journals_are_read_once_they_change(settled: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlgen.plan.selection import Selection
    from sqlgen.published import manifest
    from sqlgen.run.engine import Engine

    def read() -> list[str]:
        names = list[str]()
        content = manifest._bytes
        with monkeypatch.context() as patch:
            patch.setattr(manifest, "_bytes", lambda path: names.append(path.stem) or content(path))
            Engine.open(settled.file).run(Selection(("costs", "pairs")))
        return names

    assert read() == []
    journal = settled.lake / ".sqlgen/manifest/costs.ndjson"
    with journal.open("a") as file:
        file.write('{"unit":"exchange=binance/sym')  # a crash while writing
    assert read() == ["costs"]
    assert journal.read_text().endswith("}\n")
    assert read() == ["costs"]
    assert read() == []
    for path in settled.raw(ETH, DAY1).iterdir():
        os.utime(path)
    assert sorted(read()) == ["costs", "pairs"]


def test_a_selection_is_planned_in_full(settled: Scratch) -> None:
    assert settled.plan("--full-refresh").keys() >= {"costs BTC-USDT 2026-01-01", "pairs XRP-USDT 2026-01-02"}
    shutil.rmtree(settled.raw(BTC, DAY1))
    assert "--prune removes them" in settled.sqlgen("plan").out
    assert settled.run() == {}
    said = "inputs of 1 published partition(s) are gone, for example exchange=binance/symbol=BTC-USDT/date=2026-01-01"
    for _ in range(2):  # known to be up to date, and said again
        assert said in settled.sqlgen("run").out
    assert settled.run("--prune", "--select", "costs").keys() == {"costs BTC-USDT 2026-01-01"}


@pytest.mark.slow
def test_units_of_several_symbols_are_planned_with_all_of_their_inputs(settled: Scratch) -> None:
    template = "SELECT date, count(*) AS number FROM ({{ inputs.costs }}) GROUP BY date ORDER BY date\n"
    settled.template("market.sql.j2", template)
    output = {"path": "out/market", "partition_by": ["date"]}
    settled.model("market", sql="market.sql.j2", inputs={"costs": "costs"}, output=output)
    settled.run()
    assert settled.run() == {}
    settled.trades(ETH, DAY1, [1.0])
    settled.run()
    assert sorted(settled.table("market")["number"].to_pylist()) == [5, 6]
    assert settled.run() == {}
    found, without = both_plans(settled)
    assert found == without
