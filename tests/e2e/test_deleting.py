"""``delete_after_processing``: only what was read goes, no row comes twice, and no rebuild loses what is gone."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqlgen.lake import reads
from sqlgen.run import cleanup, execution
from sqlgen.run.engine import Engine
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch

NOON = 1_767_268_800_000
Change = Callable[[Path], None]


@pytest.fixture
def deleting(scratch: Scratch) -> Scratch:
    del scratch.config["models"]["pairs"]
    scratch.model("costs", output={"mode": "append"}, delete_after_processing=True)
    return scratch


def line(number: int) -> str:
    row = {"timestamp": NOON + number, "collected_at": NOON, "trade_id": f"t{number:04}", "side": "buy"}
    return json.dumps(row | {"price": 1000.0 + number, "amount": 1.0}) + "\n"


def write(project: Scratch, numbers: range, name: str = "data") -> Path:
    path = project.raw(BTC, DAY1) / f"{name}.ndjson"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(map(line, numbers)))
    return path


def ids(project: Scratch, model: str = "costs") -> list[int]:
    if not list((project.lake / f"out/{model}").rglob("*.parquet")):
        return []
    return sorted(int(name[1:]) for name in project.table(model)["trade_id"].to_pylist())


def grow(path: Path) -> None:
    with path.open("a") as file:
        file.writelines(map(line, range(100, 110)))


def replace(path: Path) -> None:
    other = path.with_name("_other")
    other.write_text("".join(map(line, range(200, 250))))
    other.replace(path)


def replace_unseen(path: Path) -> None:
    """Another file of the same size and modification time, as ``rsync --times`` leaves it."""
    stat = path.stat()
    other = path.with_name("_other")
    other.write_text("".join(map(line, range(300, 400))))
    assert other.stat().st_size == stat.st_size
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)


def rewrite_unseen(path: Path) -> None:
    """The same in place."""
    stat = path.stat()
    with path.open("r+") as file:
        file.writelines(map(line, range(300, 400)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, change: Callable[[], None]) -> None:
    """Do something once, just before a function is called."""
    real = getattr(owner, name)
    pending = [change]

    def changed(*arguments: Any, **named: Any) -> Any:
        while pending:
            pending.pop()()
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, changed)


def test_a_file_that_is_gone_before_it_is_read(deleting: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(deleting, range(3))
    before(monkeypatch, execution.Execution, "_one", path.unlink)
    error = deleting.run(code=1)["costs BTC-USDT 2026-01-01"]["error"]
    assert error.endswith(f"{path}: gone since the source was listed. Nothing was published: run again")


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (grow, [*range(110)]),
        (replace, [*range(200, 250)]),
        (replace_unseen, [*range(300, 400)]),
        (rewrite_unseen, [*range(300, 400)]),
    ],
)
def test_a_file_that_changes_while_it_is_read(
    deleting: Scratch, monkeypatch: pytest.MonkeyPatch, change: Change, after: list[int]
) -> None:
    path = write(deleting, range(100))
    before(monkeypatch, reads.Reads, "verify", lambda: change(path))
    error = deleting.run(code=1)["costs BTC-USDT 2026-01-01"]["error"]
    assert f"{path} changed between the listing of the source and the end of reading" in error
    assert (path.exists(), ids(deleting)) == (True, [])
    deleting.run()
    assert (path.exists(), ids(deleting)) == (False, after)
    assert deleting.run() == {}


@pytest.mark.parametrize("change", [grow, replace])
def test_a_file_that_changes_between_listing_and_reading(
    deleting: Scratch, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    path = write(deleting, range(100))
    before(monkeypatch, reads.Reads, "identify", lambda: change(path))
    deleting.run(code=1)
    assert (path.exists(), ids(deleting)) == (True, [])
    deleting.run()
    assert ids(deleting) == ([*range(110)] if change is grow else [*range(200, 250)])


@pytest.mark.parametrize("change", [grow, replace, replace_unseen, rewrite_unseen])
def test_a_file_that_changes_after_it_was_read(
    deleting: Scratch, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    path = write(deleting, range(100))
    before(monkeypatch, cleanup, "_processed", lambda: change(path))
    outcome = deleting.sqlgen("run")
    assert outcome.code == 0
    name = "raw/ccxt/trades/exchange=binance/symbol=BTC-USDT/date=2026-01-01/data.ndjson"
    assert f"note: {name} changed since it was read, and is not deleted" in outcome.out
    assert (path.exists(), ids(deleting)) == (True, [*range(100)])
    if change in (grow, replace):
        outcome = deleting.sqlgen("run")
        assert outcome.code == 1
        assert f"{name} changed after it was appended; its rows stay as they were, and it is not deleted" in outcome.out
        assert (path.exists(), ids(deleting)) == (True, [*range(100)])
        path.rename(path.with_name("other.ndjson"))  # as the message asks: these rows come too
        deleting.run()
        assert len(ids(deleting)) == 100 + (110 if change is grow else 50)


def test_merging_takes_in_what_changed_after_it_was_read(deleting: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    deleting.model("costs", output={"mode": "merge", "key": ["trade_id"], "order_by": ["ts"]})
    path = write(deleting, range(100))
    before(monkeypatch, cleanup, "_processed", lambda: grow(path))
    deleting.run()
    assert (path.exists(), ids(deleting)) == (True, [*range(100)])
    deleting.run()
    assert (path.exists(), ids(deleting)) == (False, [*range(110)])


def test_a_file_that_grows_in_a_table_that_is_rebuilt(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live data: what is there is published, and the next run takes the rest."""
    path = write(scratch, range(100))
    before(monkeypatch, reads.Reads, "verify", lambda: grow(path))
    task = scratch.run()["costs BTC-USDT 2026-01-01"]
    assert task["notes"] == [f"{path.relative_to(scratch.lake)} grew while it was read: the next run reads it again"]
    assert ids(scratch) == [*range(100)]
    scratch.run()
    assert ids(scratch) == [*range(110)]
    before(monkeypatch, reads.Reads, "verify", lambda: replace(path))
    scratch.model("costs", filter="cost >= 0")
    assert "changed between the listing" in scratch.run(code=1)["costs BTC-USDT 2026-01-01"]["error"]
    assert ids(scratch) == [*range(110)]


def test_sources_that_share_a_folder(deleting: Scratch) -> None:
    deleting.config["sources"]["same"] = {"path": "raw/ccxt", "adapter": "ccxt/trades", "pattern": PATTERN}
    deleting.model("other", sql="costs.sql.j2", inputs={"trades": "same"}, output={"path": "out/other"})
    deleting.model("other", output={"mode": "append"})
    path = write(deleting, range(10))
    deleting.run("--select", "costs")
    assert path.exists()
    deleting.run()
    assert not path.exists()
    assert ids(deleting) == ids(deleting, "other") == [*range(10)]
    deleting.model("other", output={"mode": "overwrite"})
    path = write(deleting, range(20, 25), name="more")
    outcome = deleting.sqlgen("run", "--select", "costs")
    assert path.exists()
    assert "1 file(s) are not deleted: model 'other' rebuilds partitions from them" in outcome.out


def test_files_that_another_model_has_not_published_are_told(deleting: Scratch) -> None:
    deleting.model(
        "other", sql="costs.sql.j2", inputs={"trades": "raw"}, output={"path": "out/other", "mode": "append"}
    )
    deleting.model("other", enabled=False)
    path = write(deleting, range(10))
    for _ in range(2):
        outcome = deleting.sqlgen("run")
        told = "1 processed file(s) are not deleted: model 'other' is disabled and has not published them"
        assert told in outcome.out, outcome.out + outcome.err
    deleting.model("other", enabled=True)
    outcome = deleting.sqlgen("run")
    assert not path.exists()
    assert "are not deleted" not in outcome.out


PATTERN = "trades/exchange={exchange}/symbol={symbol}/date={date}/*.ndjson"


def test_a_table_that_is_rebuilt_from_the_same_files_is_refused(deleting: Scratch) -> None:
    deleting.config["sources"]["same"] = deleting.config["sources"]["raw"]
    deleting.model("other", sql="costs.sql.j2", inputs={"trades": "same"}, output={"path": "out/other"})
    outcome = deleting.sqlgen("run")
    assert outcome.code == 2
    assert "models.other.output: files of 'same' are deleted after processing" in outcome.err


def test_the_other_source_cannot_be_listed(deleting: Scratch) -> None:
    deleting.config["sources"]["same"] = {"path": "raw/ccxt", "adapter": "ccxt/trades", "pattern": "{symbol}.nothing"}
    deleting.config["sources"]["same"] |= {"format": "ndjson"}
    deleting.model("other", sql="costs.sql.j2", inputs={"trades": "same"}, output={"path": "out/other"})
    path = write(deleting, range(10))
    outcome = deleting.sqlgen("run", "--select", "costs")
    assert "nothing is deleted after processing, while a source cannot be listed" in outcome.out
    assert path.exists()


def test_without_the_journal_of_deletions_nothing_comes_twice(deleting: Scratch) -> None:
    path = write(deleting, range(10))
    deleting.run()
    path = write(deleting, range(10, 30))
    deleting.run()  # known to be deleted: another file
    assert (path.exists(), ids(deleting)) == (False, [*range(30)])
    (deleting.lake / ".sqlgen/deleted.ndjson").unlink()
    path = write(deleting, range(30, 35))
    outcome = deleting.sqlgen("run")
    assert (outcome.code, "If these are other rows, give the file another name" in outcome.out) == (1, True)
    assert (path.exists(), ids(deleting)) == (True, [*range(30)])


def test_a_torn_journal_of_deletions(deleting: Scratch) -> None:
    write(deleting, range(10))
    deleting.run()
    with (deleting.lake / ".sqlgen/deleted.ndjson").open("a") as file:
        file.write('["raw/x", 1')
    write(deleting, range(10, 12))
    deleting.run()
    assert ids(deleting) == [*range(12)]


def test_a_file_that_cannot_be_deleted(deleting: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(deleting, range(10))
    real = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self != path:
            return real(self, missing_ok)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    outcome = deleting.sqlgen("run")
    assert outcome.code == 1
    assert f"{path} is processed and cannot be deleted: Permission denied" in outcome.out
    monkeypatch.undo()
    grow(path)
    assert deleting.sqlgen("run").code == 1
    assert ids(deleting) == [*range(10)]


# Rebuilding where raw files are gone


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_full_refresh_that_would_lose_rows_is_refused(deleting: Scratch, mode: str) -> None:
    extra = {"key": ["trade_id"], "order_by": ["ts"]} if mode == "merge" else {}
    deleting.model("costs", output={"mode": mode, **extra})
    write(deleting, range(10))
    deleting.run()
    write(deleting, range(10, 15), name="more")
    for command in ("run", "plan"):
        outcome = deleting.sqlgen(command, "--full-refresh")
        assert outcome.code == (1 if command == "run" else outcome.code)
        assert "model 'costs': --full-refresh would lose published rows whose raw files are gone" in outcome.out
        assert "in 1 partition(s), which hold 10 rows" in outcome.out
    assert ids(deleting) == [*range(10)]
    deleting.run()
    assert ids(deleting) == [*range(15)]


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_new_layout_that_would_lose_rows_is_refused(scratch: Scratch, mode: str) -> None:
    del scratch.config["models"]["pairs"]
    scratch.model("costs", output={"mode": mode})
    scratch.trades(BTC, DAY1, [1.0])
    scratch.trades(BTC, DAY2, [2.0])
    scratch.trades(ETH, DAY2, [3.0])
    scratch.run()
    shutil.rmtree(scratch.raw(BTC, DAY1))
    scratch.model("costs", output={"partition_by": ["exchange", "date"]})
    outcome = scratch.sqlgen("run", "--full-refresh")
    assert outcome.code == 1
    assert "in 1 partition(s), which hold 1 rows, the first of them exchange=binance/symbol=BTC-USDT" in outcome.out
    assert [cost for _, _, cost in scratch.costs()] == [1.0, 2.0, 3.0]
    if mode == "overwrite":
        scratch.run("--full-refresh", "--prune")
        assert sorted(cost for _, _, cost in scratch.costs()) == [2.0, 3.0]


def test_a_full_refresh_where_all_files_are_there(deleting: Scratch) -> None:
    deleting.model("costs", delete_after_processing=False)
    write(deleting, range(10))
    deleting.run()
    deleting.run("--full-refresh")
    assert ids(deleting) == [*range(10)]


# Any order of events


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_no_row_is_lost_and_none_comes_twice(deleting: Scratch, seed: int) -> None:
    """A collector writes, adds to and replaces files while runs go on; every row it left is in the table or on disk."""
    chance = random.Random(seed)
    folder = deleting.raw(BTC, DAY1)
    folder.mkdir(parents=True)
    written = 0
    left: dict[Path, set[int]] = {}

    def collect() -> None:
        nonlocal written
        path = folder / f"{chance.choice('abc')}.ndjson"
        rows = range(written, written + chance.randint(1, 5))
        written = rows.stop
        if path.exists() and chance.random() < 0.5:
            with path.open("a") as file:
                file.writelines(map(line, rows))
            left[path] |= {*rows}
        else:  # a new file, or one in the place of another
            path.with_name("_new").write_text("".join(map(line, rows)))
            path.with_name("_new").replace(path)
            left[path] = {*rows}

    hooks = [(reads.Reads, "identify"), (reads.Reads, "verify"), (cleanup, "_processed")]
    for _ in range(8):
        for _ in range(chance.randint(0, 2)):
            collect()
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in chance.sample(hooks, chance.randint(0, 2)):
                before(patch, owner, name, collect)
            there = {path: set(left.get(path, ())) for path in left}
            deleting.sqlgen("run")
        published = Counter(ids(deleting))
        assert not [number for number, count in published.items() if count > 1]
        for path in [path for path in there if not path.exists()]:
            assert left.pop(path) <= published.keys()


def test_the_engine_reports_what_it_deleted(deleting: Scratch) -> None:
    path = write(deleting, range(3))
    report = Engine.open(deleting.file).run(_everything(deleting))
    assert report.notes == [f"deleted after processing: {path.relative_to(deleting.lake)}"]
    kept = json.loads((deleting.lake / f".sqlgen/runs/{report.run_id}.json").read_text())
    assert kept["notes"] == report.notes


def _everything(project: Scratch) -> Any:
    from sqlgen.plan.selection import Selection

    return Selection(tuple(project.config["models"]))


def days_old(path: Path, days: float) -> None:
    written = time.time_ns() - int(days * 86_400e9)
    os.utime(path, ns=(written, written))


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_processed_files_stay_for_some_days(deleting: Scratch, mode: str) -> None:
    """Those of a partition go together, once the last of them is old enough; no row comes twice meanwhile."""
    keys = {"key": ["trade_id"], "order_by": ["ts"]} if mode == "merge" else {}
    deleting.model("costs", output={"mode": mode, **keys}, keep_days=7)
    old, young = write(deleting, range(10), "a"), write(deleting, range(10, 15), "b")
    other = deleting.raw(BTC, DAY2) / "data.ndjson"
    other.parent.mkdir(parents=True)
    other.write_text("".join(map(line, range(15, 17))).replace("17672", "17673"))
    days_old(old, 8), days_old(young, 6.9), days_old(other, 7.1)
    outcome = deleting.sqlgen("run")
    assert outcome.code == 0
    assert "2 processed file(s) are deleted once their partition is as old as keep_days says" in outcome.out
    assert [old.exists(), young.exists(), other.exists()] == [True, True, False]
    assert (ids(deleting), deleting.plan()) == ([*range(17)], {})
    late = write(deleting, range(17, 20), "c")
    days_old(late, 9)
    deleting.run()
    assert [old.exists(), young.exists(), late.exists()] == [True, True, True]
    deleting.model("costs", keep_days=6)
    outcome = deleting.sqlgen("run")  # with nothing to build
    assert "0 partition(s) to build" in outcome.out or "Nothing to do" in outcome.out
    assert [old.exists(), young.exists(), late.exists()] == [False, False, False]
    assert ids(deleting) == [*range(20)]


def test_days_without_deletion_are_a_mistake(deleting: Scratch) -> None:
    deleting.model("costs", delete_after_processing=False, keep_days=7)
    outcome = deleting.sqlgen("plan")
    assert outcome.code == 2
    assert "costs.keep_days: nothing is deleted without delete_after_processing: true" in outcome.err


def test_the_longest_of_several_keep_days_counts(deleting: Scratch) -> None:
    second = {"sql": "costs.sql.j2", "inputs": {"trades": "raw"}, "output": {"path": "out/second", "mode": "append"}}
    deleting.config["models"]["second"] = second | {"delete_after_processing": True, "keep_days": 3}
    deleting.save()
    path = write(deleting, range(5))
    days_old(path, 2)
    deleting.run()
    assert path.exists()
    deleting.model("second", keep_days=1)
    deleting.run()
    assert not path.exists()
