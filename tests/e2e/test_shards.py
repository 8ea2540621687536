"""Shards: runs over parts of the symbols, side by side, that together give what one run gives."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from pathlib import Path

import duckdb
import pytest

from sqlgen.errors import LockedError
from sqlgen.lake.lock import Claim, claimed
from sqlgen.lake.partitions import Partition, Shard
from sqlgen.plan.selection import Coverage, Selection, covered
from sqlgen.project import project as projects
from sqlgen.published.manifest import Manifest
from sqlgen.published.records import Published
from tests.support.engine import ROOT, published
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch

SYMBOLS = (BTC, ETH, "SOL-USDT", "O%27X%2FY")
"""As their folders are named."""
TOTALS = """\
{#- description: Cost of all symbols -#}
WITH costs AS (
    {{ inputs.costs | indent(4) }}
)
SELECT exchange, date, sum(cost ORDER BY symbol, ts, seq) AS cost FROM costs GROUP BY ALL
"""


def shard_of(symbol: str, count: int, exchange: str = "binance") -> int:
    """The number of a symbol's shard, from its folder's name."""
    digits = hashlib.md5(f"exchange={exchange}/symbol={symbol}".encode()).hexdigest()[:15]
    return int(digits, 16) % count + 1


@pytest.fixture
def lake(scratch: Scratch) -> Scratch:
    """Four symbols, one with two days; kernels, quarantine, and a model that crosses symbols."""
    scratch.kernel(LEDGER)
    scratch.template("totals.sql.j2", TOTALS)
    scratch.model("costs", udfs="ledger", checks=[{"check": "predicate", "sql": "cost < 50", "on_fail": "quarantine"}])
    output = {"path": "out/totals", "partition_by": ["exchange", "date"]}
    scratch.model("totals", sql="totals.sql.j2", inputs={"costs": "costs"}, output=output)
    later = output | {"path": "out/later"}
    scratch.model("later", sql="totals.sql.j2", inputs={"costs": "costs"}, depends_on=["pairs"], output=later)
    for number, symbol in enumerate(SYMBOLS):
        for day in (DAY1, DAY2) if symbol == ETH else (DAY1,):
            scratch.trades(symbol, day, [1.0 + number, 2.5, 60.0])
    return scratch


def rows(scratch: Scratch) -> dict[str, object]:
    """Rows of all tables, quarantine included, and the bytes of the kernel states."""
    found: dict[str, object] = {}
    for root in sorted((scratch.lake / "out").iterdir()):
        found[root.name] = published(root).to_pylist()
    states = sorted((scratch.lake / ".sqlgen/kernels").rglob("*.state"))
    return found | {str(path.parent.relative_to(scratch.lake)): path.read_bytes() for path in states}


def files(scratch: Scratch) -> dict[str, tuple[int, int]]:
    return {path: stat for path, stat in scratch.snapshot().items() if "/out/" in path or "/kernels/" in path}


def copy_of(scratch: Scratch, folder: Path) -> Scratch:
    other = Scratch(folder)
    shutil.copytree(scratch.folder, folder, dirs_exist_ok=True)
    other.config = scratch.config
    other.save()
    return other


@pytest.mark.slow
def test_shards_give_what_one_run_gives(lake: Scratch, tmp_path: Path) -> None:
    other = copy_of(lake, tmp_path / "whole")
    other.run()
    for index in (3, 1, 2):
        found = lake.run("--shard", f"{index}/3")
        symbols = {label.split()[1] for label in found}
        assert symbols == {symbol for symbol in SYMBOLS if shard_of(symbol, 3) == index}
    before = files(lake)
    assert {label.split()[0] for label in lake.run("--exclude", "totals,later")} == set()
    assert {label.split()[0] for label in lake.run()} == {"totals", "later"}
    assert rows(lake) == rows(other)
    assert before.items() <= files(lake).items()
    assert lake.run() == {}
    after = lake.snapshot()
    assert lake.run() == {}
    assert lake.snapshot() == after  # nothing to do touches nothing
    for index in (1, 2, 3):
        assert lake.run("--shard", f"{index}/3") == {}


@pytest.mark.slow
def test_another_number_of_shards_and_none(lake: Scratch) -> None:
    for index in (1, 2):
        lake.run("--shard", f"{index}/2")
    lake.run()
    first = rows(lake)
    for index in (1, 2, 3):
        assert lake.run("--shard", f"{index}/3") == {}
    lake.trades(BTC, DAY2, [3.0])
    shutil.rmtree(lake.raw(ETH, DAY2))
    built: set[str] = set()
    for index in range(1, 5):
        built |= set(lake.run("--shard", f"{index}/4", "--prune"))
    assert built == {f"{model} {where}" for model in ("costs", "pairs") for where in (f"{BTC} {DAY2}", f"{ETH} {DAY2}")}
    assert lake.run("--exclude", "totals,later") == {}
    lake.run("--prune")
    assert rows(lake) != first
    assert not (lake.lake / f"out/costs/exchange=binance/symbol={ETH}/date={DAY2}").exists()
    assert lake.run() == {}


def record(unit: str, build: str) -> Published:
    """A record written before now."""
    build = f"0{build}"
    return Published(unit, ("exchange", "symbol"), build, "sql", "options", {}, build=build)


def units(manifest: Manifest) -> dict[str, str]:
    return {unit.path: record.build[1:] for unit, record in manifest.load("m").items()}


def test_journals_of_shards(tmp_path: Path) -> None:
    """The newest line about a unit counts, in whatever journal; compacting makes one of all, or of the own lines."""
    btc, eth = (Partition.of(exchange="binance", symbol=symbol) for symbol in (BTC, ETH))  # shards 2/4 and 4/4; 1/3
    whole, mine, other = (Manifest(tmp_path, shard) for shard in (None, Shard(2, 4), Shard(1, 3)))
    whole.note("m", [record(btc.path, "1"), record(eth.path, "1")])
    assert units(mine) == {btc.path: "1"}
    assert units(other) == {btc.path: "1", eth.path: "1"}
    for build in range(200, 500):
        mine.note("m", [record(btc.path, str(build))])
    assert units(whole) == units(other) == {btc.path: "499", eth.path: "1"}
    other.note("m", [record(eth.path, "2")], [btc])
    assert units(whole) == {eth.path: "2"}
    assert units(mine) == {}
    mine.compact("m")
    assert len((tmp_path / "m.2-of-4.ndjson").read_text().splitlines()) == 1
    assert units(whole) == {eth.path: "2"}
    assert [path.name for path in whole.journals("m")] == ["m.1-of-3.ndjson", "m.2-of-4.ndjson", "m.ndjson"]
    assert [path.name for path in mine.journals("m")] == ["m.1-of-3.ndjson", "m.ndjson", "m.2-of-4.ndjson"]
    assert [path.name for path in Manifest(tmp_path, Shard(4, 4)).journals("m")] == ["m.1-of-3.ndjson", "m.ndjson"]
    whole.compact("m")
    assert len(whole.journals("m")) == 3  # not worth it
    for build in range(200):
        whole.note("m", [record(eth.path, f"9{build:03}")])
    whole.compact("m")
    assert [path.name for path in tmp_path.iterdir()] == ["m.ndjson"]
    assert units(whole) == units(other) == {eth.path: "9199"}
    assert units(mine) == {}


def test_what_crosses_symbols_waits_and_says_so(lake: Scratch) -> None:
    outcome = lake.sqlgen("run", "--shard", "1/2", "--json")
    notes = [note for note in outcome.json["notes"] if "waits for all shards" in note]
    assert notes == [
        "totals, later: waits for all shards, because its partitions are not each of one exchange and symbol, or it is"
        " built after all of another model. Run it without --shard once all shards are done"
    ]
    assert outcome.json["shard"] == "1/2"
    outcome = lake.sqlgen("run", "--shard", "1/2", "--select", "totals,later")
    assert (outcome.code, "no shard builds this" in outcome.err) == (2, True)
    assert projects.load(ROOT / "models.yaml").crossing == frozenset()


def test_symbols_and_dates_of_other_shards_are_no_error(lake: Scratch) -> None:
    mine, other = shard_of(BTC, 2), 3 - shard_of(BTC, 2)
    assert {label.split()[1] for label in lake.run("--shard", f"{mine}/2", "--symbol", "btc/usdt")} == {BTC}
    assert lake.run("--shard", f"{other}/2", "--symbol", "btc/usdt") == {}
    outcome = lake.sqlgen("run", "--shard", f"{other}/2", "--symbol", "BTX-USDT")
    assert (outcome.code, "no partition has symbol 'BTX-USDT'. Did you mean 'BTC-USDT'?" in outcome.out) == (1, True)
    empty = next(index for index in range(1, 100) if index not in {shard_of(symbol, 99) for symbol in SYMBOLS})
    outcome = lake.sqlgen("run", "--shard", f"{empty}/99")
    assert (outcome.code, f"shard {empty}/99 has none of the 4 symbols" in outcome.out) == (0, True)
    plan = lake.sqlgen("plan", "--shard", f"{mine}/2", "--json").json
    assert plan["shard"] == f"{mine}/2"
    assert {task["partition"].split("/")[1] for task in plan["tasks"]} <= {
        f"symbol={symbol}" for symbol in SYMBOLS if shard_of(symbol, 2) == mine
    }


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/2", "1/2/3", "\u0661/\u0662", "", "1.0/2"])
def test_bad_shards(scratch: Scratch, text: str) -> None:
    for command in ("run", "plan", "ls", "watch"):
        outcome = scratch.sqlgen(command, f"--shard={text}")
        assert outcome.code == 2
        assert outcome.err.splitlines() == [
            f"error: --shard '{text}' names no shard. Give i/n with i from 1 to n: --shard 1/4 is the first of four"
        ]


def test_the_hash_is_what_the_documentation_says() -> None:
    """As SQL over the names of folders, in DuckDB; and the numbers of some symbols, for all time."""
    for exchange, symbol in (("binance", "BTC-USDT"), ("kraken", "O'X/Y é"), ("x", "")):
        unit = Partition.of(exchange=exchange, symbol=symbol)
        sql = "SELECT CAST('0x' || left(md5(?), 15) AS BIGINT) % 7 + 1"
        [(index,)] = duckdb.execute(sql, [unit.path]).fetchall()
        assert [i for i in range(1, 8) if Shard(i, 7).holds(unit)] == [index]
    assert [shard_of(symbol, 4) for symbol in ("BTC-USDT", "ETH-USDT", "SOL-USDT")] == [2, 4, 1]
    assert Shard(4, 4).holds(Partition.of(exchange="binance", symbol="ETH-USDT", date=DAY1).symbol)


@pytest.mark.slow
def test_keys_in_rows(scratch: Scratch) -> None:
    """Files with rows of several symbols: each shard reads all of them, and builds its own symbols."""
    scratch.config["sources"]["raw"].update(path="raw/all", adapter="generic/trades", exchange="binance", options=ROWS)
    scratch.save()
    for day in (DAY1,):
        lines = [
            {"sym": symbol, "t": f"{day}T12:00:0{i}Z", "p": 1.0 + i, "q": 2.0, "s": "buy"}
            for i, symbol in enumerate((BTC, ETH, "XRP-USDT", "SOL-USDT"))
        ] + [{"sym": BTC, "t": "nonsense", "p": 1.0, "q": 2.0, "s": "buy"}]
        path = scratch.lake / f"raw/all/{day}.ndjson"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    other = copy_of(scratch, scratch.folder.parent / "whole")
    other.run()
    for index in (1, 2, 3):
        scratch.run("--shard", f"{index}/3")
    assert scratch.run() == {}
    assert rows(scratch) == rows(other)
    assert (scratch.lake / "out/costs_quarantine").exists() == (other.lake / "out/costs_quarantine").exists()


ROWS = {"columns": {"symbol": "sym", "ts": "t", "price": "p", "amount": "q", "side": "s"}, "time_unit": "text"}


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_modes(scratch: Scratch, mode: str) -> None:
    more = {"key": ["trade_id"], "order_by": ["ts"]} if mode == "merge" else {}
    scratch.model("costs", output={"mode": mode, **more})
    for symbol in (BTC, "SOL-USDT"):
        scratch.trades(symbol, DAY1, [1.0, 2.0])
    for count in (2, 3):
        for symbol in (BTC, "SOL-USDT"):
            scratch.trades(symbol, DAY1, [3.0, 4.0], name=f"more{count}")
        for index in range(1, count + 1):
            scratch.run("--shard", f"{index}/{count}")
    assert scratch.run() == {}
    assert sorted(scratch.costs()) == sorted(
        (symbol, DAY1, price) for symbol in (BTC, "SOL-USDT") for price in (1.0, 2.0, 3.0, 4.0, 3.0, 4.0)
    )


@pytest.mark.slow
def test_shards_run_at_once(lake: Scratch, tmp_path: Path) -> None:
    other = copy_of(lake, tmp_path / "whole")
    other.run()
    codes: dict[int, object] = {}

    def run(index: int) -> None:
        from sqlgen.run.engine import Engine

        engine = Engine.open(lake.file)
        selection = Selection(("costs", "pairs"), shard=Shard(index, 4))
        codes[index] = engine.run(selection).ok

    threads = [threading.Thread(target=run, args=(index,)) for index in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == dict.fromkeys(range(1, 5), True)
    lake.run()
    assert rows(lake) == rows(other)
    assert not [*(lake.lake / ".sqlgen/staging").iterdir(), *(lake.lake / ".sqlgen/locks").glob("*.json")]


def test_source_files_are_deleted_by_a_run_of_all(scratch: Scratch) -> None:
    scratch.model("costs", delete_after_processing=True, output={"mode": "append"})
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [1.0])
    for index in (1, 2):
        report = scratch.sqlgen("run", "--shard", f"{index}/2", "--json").json
        assert "source files are deleted after processing by runs without --shard alone" in report["notes"]
    assert scratch.raw(BTC, DAY1).exists()
    assert scratch.run() == {}
    assert not list((scratch.lake / "raw").rglob("*.parquet"))
    assert sorted(scratch.costs()) == [(BTC, DAY1, 1.0), (ETH, DAY1, 1.0)]


def test_retry_and_due_are_of_the_shard(scratch: Scratch) -> None:
    scratch.model("costs", schedule="* * * * *")
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [1.0])
    mine, other = shard_of(BTC, 4), shard_of(ETH, 4)
    (scratch.raw(BTC, DAY1) / "data.parquet").write_bytes(b"PAR1")
    scratch.run("--shard", f"{mine}/4", code=1)
    scratch.run("--shard", f"{other}/4")
    scratch.trades(BTC, DAY1, [5.0])
    assert scratch.run("--shard", f"{other}/4", "--retry") == {}
    assert set(scratch.run("--shard", f"{mine}/4", "--retry")) == {f"costs {BTC} {DAY1}", f"pairs {BTC} {DAY1}"}
    outcome = scratch.sqlgen("run", "--retry")
    assert (outcome.code, "there is no earlier run to retry" in outcome.err) == (2, True)


def test_coverage_of_shards() -> None:
    def run(text: str | None, **chosen: object) -> Coverage:
        return Coverage(Selection((), shard=Shard.parse(text) if text else None, **chosen))  # type: ignore[arg-type]

    assert covered([run(None)])
    assert covered([run("1/2"), run("2/2")])
    assert not covered([run("1/2"), run("2/3"), run("3/3")])
    assert not covered([run("1/2"), run("2/2", symbols=("a",))])
    assert covered([run("1/2")], Shard(1, 2))
    assert not covered([run("1/2")], Shard(2, 2))
    mine = Partition.of(exchange="binance", symbol=BTC, date=DAY1)
    assert [run(f"{i}/4").covers(mine) for i in (1, 2, 3, 4)] == [False, True, False, False]


# Locks


def claim(tables: str, shard: str | None = None) -> Claim:
    return Claim({table: table for table in tables}, Shard.parse(shard) if shard else None)


def tidy(going: frozenset[str]) -> list[Path]:
    return []


@pytest.mark.parametrize(
    ("first", "second", "free"),
    [
        (("a", None), ("b", None), True),
        (("ab", None), ("bc", None), False),
        (("a", "1/2"), ("a", "2/2"), True),
        (("a", "1/2"), ("a", "1/2"), False),
        (("a", "1/2"), ("a", "2/3"), False),
        (("a", "1/2"), ("a", None), False),
        (("a", None), ("a", "1/2"), False),
        (("a", "1/2"), ("b", None), True),
    ],
)
def test_which_runs_exclude_each_other(
    tmp_path: Path, first: tuple[str, str | None], second: tuple[str, str | None], free: bool
) -> None:
    with claimed(tmp_path, claim(*first), 0, tidy):
        if free:
            with claimed(tmp_path, claim(*second), 0, tidy):
                pass
        else:
            with pytest.raises(LockedError, match=r"another run holds model '[ab]' \(pid \d+ on .* since 2"):
                claimed(tmp_path, claim(*second), 0, tidy).__enter__()
    with claimed(tmp_path, claim(*second), 0, tidy):
        pass
    assert not list((tmp_path / "locks").glob("*.json"))


@pytest.mark.slow
def test_a_backfill_does_not_block_other_models(lake: Scratch) -> None:
    lake.run()
    lake.trades(BTC, DAY3, [1.0])
    with claimed(lake.lake / ".sqlgen", Claim({"out/pairs": "pairs"}), 0, tidy) as backfill:
        staged = lake.lake / ".sqlgen/staging" / backfill.run_id
        staged.mkdir(parents=True)
        draft = lake.lake / ".sqlgen/.settled.json.1234567890.draft"
        draft.write_text("{")
        assert set(lake.run("--select", "costs")) == {f"costs {BTC} {DAY3}"}
        assert staged.exists()
        assert draft.exists()
        outcome = lake.sqlgen("run")
        assert outcome.code == 3
        assert "another run holds model 'pairs' (pid" in outcome.err
        assert "Wait for it to end, or give --wait SECONDS. Nothing was run" in outcome.err
        assert lake.sqlgen("doctor", "--fix").code == 3
    lake.run()
    assert not staged.exists()
    assert not draft.exists()


def test_an_input_that_another_run_publishes_anew_meanwhile(scratch: Scratch) -> None:
    """A run of costs while one of pairs is between plan and tasks: these say so, and the next run builds them."""
    from sqlgen.plan.plan import Plan
    from sqlgen.run.engine import Engine
    from sqlgen.run.watcher import Watcher

    class Meddler(Watcher):
        def started(self, plan: Plan) -> None:
            assert Engine.open(scratch.file).run(Selection(("costs",), full_refresh=True)).ok

    scratch.trades(BTC, DAY1, [1.0])
    scratch.run("--select", "costs")
    report = Engine.open(scratch.file).run(Selection(("pairs",)), Meddler())
    [result] = report.tasks
    assert result.status == "failed"
    assert "Another run has published costs anew meanwhile: run again" in (result.error or "")
    assert set(scratch.run()) == {f"pairs {BTC} {DAY1}"}


def test_a_lock_that_cannot_be_read_excludes_all(tmp_path: Path) -> None:
    with claimed(tmp_path, claim("a"), 0, tidy):
        [path] = (tmp_path / "locks").glob("*.json")
        path.write_text("{")
        with pytest.raises(LockedError, match="another run holds the lake"):
            claimed(tmp_path, claim("b"), 0, tidy).__enter__()
    (tmp_path / "locks/20260101T000000000000-abcd.json").write_text("{")  # of a killed run
    with claimed(tmp_path, claim("b"), 0, tidy):
        assert len(list((tmp_path / "locks").glob("*.json"))) == 1
