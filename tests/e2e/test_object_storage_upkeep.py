"""Maintenance of tables in an object store: edits, earlier versions, raw files that stay for some days."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sqlgen.lake.remote import mounts
from tests.support.engine import Outcome, sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, ETH, LEDGER, Scratch
from tests.support.storelakes import killed
from tests.support.stores import Bucket, Request, forget


@pytest.fixture
def project(scratch: Scratch, bucket: Bucket) -> Scratch:
    """Costs with a kernel, a quarantine and two earlier versions, in a bucket."""
    scratch.kernel(LEDGER)
    quarantine = [{"check": "range", "columns": ["cost"], "max": 150.0}]
    scratch.model("costs", udfs=["ledger"], checks=quarantine, output={"keep_versions": 2})
    for symbol in (BTC, ETH):
        for day in (DAY1, DAY2):
            scratch.trades(symbol, day, [1.0, 2.0, 300.0])
    scratch.config["lake"] = bucket.url
    scratch.save()
    bucket.upload(scratch.lake)
    return scratch


def told(scratch: Scratch, command: str, *more: object, code: int = 0) -> Outcome:
    """A command, in a process of its own as far as lakes are concerned."""
    forget()
    given = ("lake", *command.split(), *more, "--project", scratch.file) if command != "run" else ("run", scratch.file)
    done = sqlgen(*given, *(more if command == "run" else ()))
    assert done.code == code, done.out + done.err
    assert "copy-" not in done.out + done.err
    return done


def rows(bucket: Bucket) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of costs, by the object that they are in."""
    found = {}
    for key in bucket.keys("out/costs/"):
        table = pq.read_table(io.BytesIO(bucket.read(key))).select(["seq", "cost", "before"])
        found[key] = [(row["seq"], row["cost"], row["before"]) for row in table.to_pylist()]
    return found


def versions(bucket: Bucket) -> int:
    return sum(key.endswith("record.json") for key in bucket.keys(".sqlgen/versions"))


@pytest.mark.slow
@pytest.mark.parametrize("more", [["again"], ["again", "new"]], ids=["one file", "two files"])
def test_another_machine_appends(
    scratch: Scratch, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    """It has none of the published files, and reads their ids: trades that come twice are told."""
    del scratch.config["models"]["pairs"]
    scratch.model("costs", output={"mode": "append"})
    scratch.trades(BTC, DAY1, [1.0, 2.0], name="first")
    scratch.config["lake"] = bucket.url
    scratch.save()
    bucket.upload(scratch.lake)
    told(scratch, "run")
    for name in more:
        folder = scratch.trades(BTC, DAY1, [3.0], name=name)
    (folder / "again.parquet").write_bytes((folder / "first.parquet").read_bytes())
    bucket.upload(scratch.lake)
    monkeypatch.setenv("SQLGEN_CACHE", str(tmp_path / "another"))
    done = told(scratch, "run")
    assert "2 trade(s), the one with id first-0 for example, occur in several of the appended files" in done.out
    found = [pq.read_table(io.BytesIO(bucket.read(key)))["cost"].to_pylist() for key in bucket.keys("out/costs/")]
    assert sorted(found) == sorted([[1.0, 2.0]] * 2 + [[3.0]] * (len(more) - 1))


PLACE = f"out/costs/exchange=binance/symbol={BTC}/date={DAY1}/data.parquet"


@pytest.mark.slow
def test_rows_are_edited_and_come_back(project: Scratch, bucket: Bucket, tmp_path: Path) -> None:
    told(project, "run")
    before = rows(bucket)
    assert len(before) == 4
    day = ("--symbol", BTC, "--start", DAY1, "--end", DAY1)
    with bucket.endpoint.counting() as requests:
        assert f"{BTC}/date={DAY1}\t2\t1\t1\t1" in told(project, "delete costs", "--where", "cost > 1.5", *day).out
    after = rows(bucket)
    assert [len(after[key]) for key in (PLACE, *sorted({*after} - {PLACE}))] == [1, 2, 2, 2]
    writes = [each for each in requests if each.method == "PUT" and "lake/out/" in each.path]
    assert len(writes) == 1  # readers see the old rows or the new ones
    assert not [each for each in requests if each.method == "DELETE" and "lake/out/" in each.path]
    assert versions(bucket) == 1

    told(project, "update costs", "--where", "cost = 1", "--set", "cost=cost * 10", *day)
    assert rows(bucket)[PLACE] == [(0, 10.0, before[PLACE][0][2])]
    upserted = tmp_path / "new.csv"
    table = pq.read_table(io.BytesIO(bucket.read(PLACE)))
    names = [*table.schema.names, "exchange", "symbol", "date"]
    values = {**{name: table[name][0].as_py() for name in table.schema.names}, "exchange": "binance", "symbol": BTC}
    values |= {"date": DAY1, "cost": 11.0, "seq": 1}
    upserted.write_text(
        ",".join(names) + "\n" + ",".join("" if values[name] is None else str(values[name]) for name in names) + "\n"
    )
    told(project, "upsert costs", "--from", upserted, "--key", "seq")
    assert [cost for _, cost, _ in rows(bucket)[PLACE]] == [10.0, 11.0]
    assert versions(bucket) == 2  # as many as keep_versions says

    told(project, "restore costs", *day)
    assert [cost for _, cost, _ in rows(bucket)[PLACE]] == [10.0]
    told(project, "run", "--select", "costs", "--full-refresh", "--discard-edits")
    assert rows(bucket) == before
    assert versions(bucket) == 5  # two of the partition that was edited, one of each other
    assert len(told(project, "restore costs", "--list", *day).out.splitlines()) == 3
    told(project, "vacuum", "--keep", "0")
    assert not bucket.keys(".sqlgen/versions")
    assert "up to date" in told(project, "run", "--select", "costs").out
    assert rows(bucket) == before


@pytest.mark.slow
def test_what_would_replace_several_objects_is_refused(project: Scratch, bucket: Bucket) -> None:
    project.model("added", sql="costs.sql.j2", inputs={"trades": "raw"}, output={"path": "out/added", "mode": "append"})
    told(project, "run")
    project.trades(BTC, DAY1, [5.0], name="more")
    bucket.upload(project.lake)
    told(project, "run")
    before = bucket.keys("out")
    said = "this replaces several files at once, and an object store replaces one object after the other"
    for command in ("compact added", "repartition costs"):
        assert said in told(project, command, code=2).err
    assert said in told(project, "delete added", "--where", "cost = 5", code=2).err
    assert bucket.keys("out") == before
    assert "no partition has small files to join" in told(project, "compact costs").out.lower()


@pytest.mark.slow
def test_an_edit_that_is_killed_is_done_or_not(project: Scratch, bucket: Bucket) -> None:
    project.model("costs", output={"keep_versions": 1})
    told(project, "run")
    before = rows(bucket)
    told(project, "delete costs", "--where", "cost > 1.5", "--symbol", BTC)
    told(project, "restore costs", "--symbol", BTC)
    assert rows(bucket) == before
    for fault in (
        "maintenance: staged",
        "version: to be kept",
        "maintenance: verified, its kernel state written",
        "maintenance: published",
        "version: to be removed",
    ):
        command = ("lake", "delete", "costs", "--where", "cost > 1.5", "--symbol", BTC, "--project", project.file)
        killed(f"{fault}:1", *command)
        for key, found in rows(bucket).items():
            assert found in (before[key], before[key][:1]), (fault, key)
        told(project, "delete costs", "--where", "cost > 1.5", "--symbol", BTC)
        assert {len(found) for key, found in rows(bucket).items() if BTC in key} == {1}
        told(project, "restore costs", "--symbol", BTC)
        assert rows(bucket) == before, fault
    told(project, "vacuum")
    assert "up to date" in told(project, "run", "--select", "costs").out
    assert rows(bucket) == before


@pytest.mark.slow
def test_raw_files_stay_for_some_days(scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    del scratch.config["models"]["pairs"]
    scratch.model("costs", delete_after_processing=True, keep_days=2, output={"mode": "append"})
    scratch.trades(BTC, DAY1, [1.0])
    scratch.config["lake"] = bucket.url
    scratch.save()
    bucket.upload(scratch.lake)
    done = told(scratch, "run")
    assert "1 processed file(s) are deleted once their partition is as old as keep_days says" in done.out
    assert len(bucket.keys("raw")) == 1
    written = mounts.written_ns
    monkeypatch.setattr(mounts, "written_ns", lambda path: written(path) - int(2.1 * 86_400e9))
    told(scratch, "run")
    assert not bucket.keys("raw")


@pytest.mark.slow
def test_a_run_keeps_what_it_replaces(project: Scratch, bucket: Bucket) -> None:
    told(project, "run")
    before = rows(bucket)
    project.trades(BTC, DAY1, [4.0], name="more")
    bucket.upload(project.lake)

    def never_twice(request: Request) -> None:
        if request.method == "PUT" and "/out/costs/" in request.path:
            assert {*bucket.keys("out/costs/")} == {*before}

    with bucket.endpoint.doing(never_twice):
        told(project, "run")
    assert len(rows(bucket)[PLACE]) == 3
    assert versions(bucket) == 1
    told(project, "restore costs", "--symbol", BTC)
    assert rows(bucket) == before
