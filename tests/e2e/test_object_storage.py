"""Lakes in an object store: everything as on a local disk, over a real S3 endpoint on loopback."""

from __future__ import annotations

import collections
import gzip
import io
import itertools
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sqlgen.errors import LockedError
from sqlgen.explore import lakefiles
from sqlgen.lake.lock import Claim
from sqlgen.lake.remote import lease, mounts, store, workcopy
from sqlgen.lake.remote import s3 as s3store
from sqlgen.lake.remote.address import Address
from sqlgen.lake.remote.refusals import StoreError
from sqlgen.lake.remote.s3 import S3Store
from sqlgen.sample import SampleSpec, write_sample
from tests.support.engine import published, shipped_config, sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch
from tests.support.storelakes import all_models, ended, equal, fill, killed, local, remote, run, started, tables, told
from tests.support.stores import SECRET, Answer, Bucket, Request, Rule, forget, planted, sometimes


def slow(*values: str) -> list[Any]:
    """Parameters that are tried with the slow tests."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.slow
def test_every_kind_of_model_is_built_as_on_a_local_disk(scratch: Scratch, bucket: Bucket, tmp_path: Path) -> None:
    all_models(scratch)
    fill(scratch)
    done = [scratch.sqlgen("run").code]
    remote(scratch, bucket)
    first = run(scratch)
    assert f"{bucket.url}: read and written through fsspec (s3fs)" in first.out
    assert str(tmp_path / "cache") not in first.out + first.err
    assert "up to date" in run(scratch).out

    # A day more, and a day that changes.
    for change in (
        lambda: scratch.trades(BTC, DAY3, [200.0, 1.0]),
        lambda: scratch.trades(ETH, DAY2, [11.0, 500.0, 12.0], name="later"),
    ):
        change()
        bucket.upload(scratch.lake)
        run(scratch)

    # A day that goes: its rows stay until --prune, with those that are quarantined.
    gone = f"symbol={BTC}/date={DAY2}"
    shutil.rmtree(scratch.raw(BTC, DAY2))
    bucket.delete(f"raw/ccxt/trades/exchange=binance/{gone}/data.parquet")
    run(scratch)
    assert sum(gone in key for key in bucket.keys("out")) == 7
    run(scratch, "--prune")
    assert not [key for key in bucket.keys("") if gone in key]
    stored = tables(bucket.download("out", tmp_path / "stored"), scratch)

    done.append(local(scratch).sqlgen("run", "--prune").code)
    assert done == [0, 0]
    here = tables(scratch.lake, scratch)
    assert sum(table.num_rows for table in here.values()) > 60
    assert {"kept_quarantine", "through", "added", "merged", "pairs"} <= here.keys()
    equal(stored, here)

    # Each partition of a table that is not appended to is one object under a name that stays.
    names = {Path(key).name for key in bucket.keys("out") if "added" not in key and "quarantine" not in key}
    assert names == {"data.parquet"}
    assert not bucket.keys(".sqlgen/staging")
    assert bucket.read(".sqlgen/lock") == b"{}"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ndjson.gz", "zip", *slow("ndjson", "csv")])
def test_text_and_packed_files_are_read(scratch: Scratch, bucket: Bucket, form: str) -> None:
    if form.startswith("ndjson"):
        scratch.trades(BTC, DAY1, [100.0, 101.0], suffix=form)
    else:
        rows = "".join(f"{n},{100 + n}.0,1.0,{100 + n}.0,{1767268800000 + 60000 * n},True\n" for n in range(2))
        scratch.config["sources"]["raw"] = {
            "path": "raw/binance", "adapter": "binance/trades", "exchange": "binance",
            "pattern": "{symbol}-trades-{date}." + form,
        }  # fmt: skip
        path = scratch.lake / f"raw/binance/BTCUSDT-trades-{DAY1}.{form}"
        path.parent.mkdir(parents=True)
        content = io.BytesIO(rows.encode())
        if form == "zip":
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as archive:
                archive.writestr(f"BTCUSDT-trades-{DAY1}.csv", rows)
        path.write_bytes(content.getvalue())
    remote(scratch, bucket)
    run(scratch)
    (key,) = bucket.keys("out/costs")
    assert pq.read_table(io.BytesIO(bucket.read(key)))["cost"].to_pylist() == [100.0, 101.0]


@pytest.mark.parametrize("packing", ["gz", *slow("")])
def test_views_read_text(scratch: Scratch, bucket: Bucket, packing: str) -> None:
    """Threads of DuckDB read packed text one after the other, each from where another has ended."""
    many, suffix = 20_000, f".{packing}" if packing else ""
    pattern = "{symbol}-trades-{date}.csv" + suffix
    scratch.config["sources"]["raw"] = {
        "path": "raw/binance", "adapter": "binance/trades", "exchange": "binance", "pattern": pattern
    }  # fmt: skip
    scratch.save()
    for number, day in enumerate((DAY1, DAY2, DAY3)):
        time_ms = 1767268800000 + 86_400_000 * number
        rows = "".join(f"{n},{100 + n}.0,1.0,{100 + n}.0,{time_ms + n},True\n" for n in range(many)).encode()
        content = gzip.compress(rows) if packing else rows
        bucket.put(f"raw/binance/BTCUSDT-trades-{day}.csv{suffix}", content)
    remote(scratch, bucket)
    done = told("query", "SELECT count(*), count(DISTINCT (date, trade_id)) FROM raw", scratch.file, "--format", "csv")
    assert done.out.splitlines()[1:] == [f"{3 * many},{3 * many}"]
    assert not done.err


@pytest.mark.slow
def test_nothing_to_do_costs_few_requests_and_changes_nothing(scratch: Scratch, bucket: Bucket) -> None:
    all_models(scratch)
    scratch.trades(BTC, DAY1, [1.0])
    scratch.config["sources"]["more"] = {"path": "raw/more", "adapter": "ccxt/trades"}
    remote(scratch, bucket)
    for number in range(1001):  # of a source that no model reads
        bucket.put_at_once(f"raw/more/exchange=x/symbol=S{number}/date={DAY1}/data.parquet")
    run(scratch)
    run(scratch)  # records that all is up to date
    before = bucket.keys()
    forget()
    with bucket.endpoint.counting() as requests:
        done = sqlgen("run", scratch.file)
    assert done.code == 0
    assert "Nothing to do" in done.out
    assert len(requests) <= len(before) // 1000 + 20, requests
    assert bucket.keys() == before
    forget()
    with bucket.endpoint.counting() as requests:
        assert sqlgen("plan", scratch.file).code == 0
    assert len(requests) <= len(before) // 1000 + 20
    assert {request.method for request in requests} == {"GET"}


@pytest.mark.slow
def test_what_one_changed_file_costs(scratch: Scratch, bucket: Bucket) -> None:
    scratch.kernel(LEDGER)
    del scratch.config["models"]["pairs"]
    scratch.model("through", sql="costs.sql.j2", inputs={"trades": "raw"}, udfs=["ledger"], output={"path": "out/b"})
    fill(scratch)
    remote(scratch, bucket)
    run(scratch)
    run(scratch)
    with bucket.endpoint.counting() as idle:
        run(scratch)
    scratch.trades(BTC, DAY2, [7.0, 162.0, 8.0], name="later")
    bucket.upload(scratch.lake)
    with bucket.endpoint.counting() as requests:
        run(scratch)
    assert len(idle) == 12

    def count(method: str, below: str) -> int:
        return sum(each.method == method and f"/lake/{below}" in each.path for each in requests)

    assert count("GET", "raw/") == 1  # the other file of the day was read before
    assert (count("PUT", "out/"), count("PUT", ".sqlgen/kernels/"), count("DELETE", ".sqlgen/kernels/")) == (2, 1, 1)
    assert (count("PUT", ".sqlgen/runs/"), count("PUT", ".sqlgen/records.zip")) == (2, 1)
    assert len(requests) == len(idle) + 1 + 2 + 1 + 1 + 2 + 1


@pytest.mark.slow
def test_lost_records_are_read_from_the_ends_of_files(scratch: Scratch, bucket: Bucket) -> None:
    all_models(scratch)
    fill(scratch)
    remote(scratch, bucket)
    run(scratch)
    before = bucket.keys("out")
    bucket.delete(".sqlgen/records.zip")
    assert "up to date" in run(scratch).out
    assert bucket.keys("out") == before
    assert bucket.keys(".sqlgen/records.zip")
    bucket.put(".sqlgen/records.zip", b"PK no archive")
    done = run(scratch)
    assert "records.zip is damaged" in done.out
    assert bucket.keys("out") == before


@pytest.mark.slow
def test_views_fetch_the_files_that_a_query_reads(
    scratch: Scratch, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (workcopy, lakefiles):
        monkeypatch.setattr(module, "TAIL", 1 << 14)
    for day in (DAY1, DAY2, DAY3):
        scratch.trades(BTC, day, [1.0 + math.sin(number) ** 2 for number in range(3000)])
    remote(scratch, bucket)
    run(scratch)
    forget()
    monkeypatch.setenv("SQLGEN_CACHE", str(tmp_path / "another"))
    with bucket.endpoint.counting() as requests:
        done = sqlgen("query", f"SELECT sum(cost) FROM costs WHERE symbol = '{BTC}' AND date = '{DAY2}'", scratch.file)
    assert done.code == 0, done.err
    read = collections.Counter(each.path for each in requests if each.method == "GET" and "/out/costs/" in each.path)
    assert len(read) == 3
    assert [times for path, times in read.items() if DAY2 in path] == [2]  # its end, and all of it
    assert sum(read.values()) == 4


@pytest.mark.parametrize("mode", ["append", *slow("overwrite", "merge")])
def test_any_store_that_fsspec_knows(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    import fsspec

    monkeypatch.setenv("SQLGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "SETTLE", 0.0)
    memory, name = fsspec.filesystem("memory"), f"bucket-{os.getpid()}-{mode}"
    merging = {"key": ["trade_id"], "order_by": ["ts"]} if mode == "merge" else {}
    scratch.model("costs", output={"mode": mode, **merging})
    folder = scratch.trades(BTC, DAY1, [1.0, 2.0])
    scratch.config["lake"] = f"memory://{name}/lake"
    scratch.save()

    def upload(path: Path) -> None:
        memory.pipe_file(f"/{name}/lake/{path.relative_to(scratch.lake)}", path.read_bytes())

    upload(folder / "data.parquet")
    assert "fsspec (fsspec)" in run(scratch).out
    assert "up to date" in run(scratch).out
    scratch.trades(BTC, DAY1, [3.0], name="more")
    upload(folder / "more.parquet")
    run(scratch)
    assert "up to date" in run(scratch).out
    files = [io.BytesIO(memory.cat(path)) for path in memory.find(f"/{name}/lake/out/costs")]
    rows = [pq.read_table(file)["cost"].to_pylist() for file in files]
    assert sorted(cost for found in rows for cost in found) == [1.0, 2.0, 3.0]
    assert len(rows) == (2 if mode == "append" else 1)
    assert memory.cat(f"/{name}/lake/.sqlgen/lock") == b"{}"
    forget()


@pytest.mark.slow
def test_objects_that_cannot_be_files_are_passed_over(scratch: Scratch, bucket: Bucket, tmp_path: Path) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    (key,) = bucket.keys("raw")
    folder = "raw/ccxt/trades"
    for name in ("../../../../../../evil.parquet", "/double.parquet", f"{'x' * 250}.parquet"):
        bucket.put_at_once(f"{folder}/{name}")
    bucket.put_at_once(f"{key}/below")
    bucket.put_at_once(f"{folder}/folder/")  # as some tools make folders
    done = run(scratch)
    assert done.out.count("and is passed over. Rename it") == 4
    assert not [*tmp_path.rglob("evil.parquet")]
    assert len(bucket.keys("out/costs")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "pattern"])
def test_raw_data_in_a_store_and_output_on_disk(
    scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    source = scratch.config["sources"]["raw"]
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    if form == "pattern":
        source["pattern"] = "exchange={exchange}/symbol={symbol}/date={date}/*.parquet"
    source["lake"] = bucket.url
    remote(scratch, bucket)
    shutil.rmtree(scratch.lake / "raw")
    scratch.config["lake"] = "lake"
    scratch.save()
    monkeypatch.chdir(scratch.folder)
    with bucket.endpoint.counting() as requests:
        done = run(scratch)
        assert f"{bucket.url}: read and written through fsspec" in done.out
        assert "up to date" in run(scratch).out
        assert sum(published(scratch.lake / "out/costs")["cost"].to_pylist()) == 201.0
        forget()
        found = sqlgen("query", "SELECT sum(price) AS s FROM raw", "--format", "json")
        assert found.code == 0, found.err
        assert json.loads(found.out)[0]["s"] == 201.0
        forget()
        found = sqlgen("coverage", "raw", "--symbol", BTC)
        assert f"binance\t{BTC}\t{DAY1} 12:00:00" in found.out, found.err
    assert {request.method for request in requests} <= {"GET", "HEAD"}
    scratch.trades(BTC, DAY1, [7.0], name="more")
    bucket.upload(scratch.lake)
    shutil.rmtree(scratch.lake / "raw")
    run(scratch)
    assert sum(published(scratch.lake / "out/costs")["cost"].to_pylist()) == 208.0
    sqlgen("compile", scratch.file)
    assert f"'{bucket.url}/raw/ccxt/trades/" in (scratch.folder / "target/compiled/costs.sql").read_text()


@pytest.mark.slow
def test_processes_at_once_read_a_source_in_a_store(
    scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lake is on a disk: another process lists the source, with a working copy of its own, while a run reads it."""
    del scratch.config["models"]["pairs"]
    scratch.config["sources"]["raw"]["lake"] = bucket.url
    scratch.save()
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [100.0, 101.0])
    bucket.upload(scratch.lake)
    shutil.rmtree(scratch.lake / "raw")
    reads, codes = list[str](), list[int]()

    def rule(request: Request) -> None:
        if request.method == "GET" and re.search("raw/.*parquet", request.path):
            reads.append(request.path)
            if len(reads) == 1:
                codes.append(ended(started("plan", scratch.file, forgets=False)))

    with bucket.endpoint.doing(rule):
        told("run", scratch.file, "--threads", "1")
    assert codes == [0]
    assert len(scratch.costs()) == 4
    shards = [started("run", scratch.file, "--full-refresh", "--shard", f"{number}/4") for number in (2, 4)]
    assert [ended(each) for each in shards] == [0, 0]
    assert len(scratch.costs()) == 4

    # Where a system has no handles by number, it is told.
    def alone(place: Path, root: Path) -> Path:
        mounts._ALONE[place] = root
        return root

    monkeypatch.setattr(mounts, "_handle", alone)
    reads.clear()
    scratch.trades(BTC, DAY1, [7.0], name="more")
    bucket.upload(scratch.lake)
    with bucket.endpoint.doing(rule):
        done = told("run", scratch.file, "--threads", "1", code=1)
    assert "another process reads this source, too" in done.out
    mounts._ALONE.clear()


@pytest.mark.slow
def test_raw_data_on_disk_and_output_in_a_store(
    scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    scratch.config["lake"] = bucket.url
    scratch.config["sources"]["raw"]["lake"] = "lake"
    scratch.save()
    run(scratch)
    assert "up to date" in run(scratch).out
    assert not bucket.keys("raw")
    (key,) = bucket.keys("out/costs")
    assert pq.read_table(io.BytesIO(bucket.read(key)))["cost"].to_pylist() == [100.0, 101.0]
    monkeypatch.chdir(scratch.folder)
    forget()
    found = sqlgen(
        "query", "SELECT sum(r.price) + sum(c.cost) AS s FROM raw r JOIN costs c USING (seq)", "--format", "json"
    )
    assert json.loads(found.out)[0]["s"] == 402.0, found.err
    scratch.trades(BTC, DAY1, [7.0], name="more")
    run(scratch)
    assert pq.read_table(io.BytesIO(bucket.read(key)))["cost"].to_pylist() == [100.0, 101.0, 7.0]


def test_model_tests_leave_other_roots_alone(scratch: Scratch, tmp_path: Path) -> None:
    scratch.trades(BTC, DAY1, [100.0])
    scratch.config["sources"]["raw"]["lake"] = "lake"
    scratch.config["lake"] = "other"
    scratch.save()
    tests = scratch.folder / "model_tests/costs.yaml"
    tests.parent.mkdir()
    tests.write_text(
        "one:\n  model: costs\n  common: {exchange: binance, symbol: BTC-USDT}\n  given:\n    trades:\n"
        '      - {timestamp: "2026-01-01 12:00:00", price: 2, amount: 3, side: buy, trade_id: a}\n'
        "  expect:\n    - {date: 2026-01-01, cost: 6}\n"
    )
    before = sorted(scratch.lake.rglob("*"))
    done = sqlgen("test", scratch.file)
    assert done.code == 0, done.out + done.err
    assert sorted(scratch.lake.rglob("*")) == before


# Requests that fail


BUSY = Answer(503, "SlowDown")
OTHER = "SOL-USDT"


def to(answer: Answer | None, method: str, like: str = "") -> Rule:
    """Rule: all requests of a kind are answered so."""
    return lambda request: answer if request.method == method and re.search(like, request.path) else None


@pytest.mark.slow
def test_requests_that_fail_for_a_while_are_tried_again(
    scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3store, "READ_SECONDS", 0.5)
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    remote(scratch, bucket)
    failing, hanging, cut = Answer(500, "InternalError"), Answer(hang=0.7), Answer(cut=True)
    kinds = {
        ("GET", "list-type.*raw"): [failing, hanging, cut],
        ("GET", r"raw/.*parquet"): [cut, BUSY, hanging, cut],
        ("PUT", "out/costs"): [failing, BUSY, hanging],
        ("PUT", "lock"): [BUSY, hanging, None],
        ("PUT", "records.zip"): [Answer(429, "TooManyRequests")],
    }
    rules = [
        sometimes(each, method=method, like=like) for (method, like), all_of in kinds.items() for each in all_of if each
    ]

    def rule(request: Request) -> Answer | None:
        return next((found for each in rules if (found := each(request))), None)

    with bucket.endpoint.doing(rule) as requests:
        run(scratch)
    for (method, like), found in kinds.items():
        times = sum(each.method == method and re.search(like, each.path) is not None for each in requests)
        assert times == len(found) + 1, (method, like)
    (key,) = bucket.keys("out/costs")
    assert pq.read_table(io.BytesIO(bucket.read(key)))["cost"].to_pylist() == [100.0, 101.0]
    assert bucket.read(".sqlgen/lock") == b"{}"
    assert "up to date" in run(scratch).out


def test_pauses_between_attempts_grow_and_differ(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five pauses, each a random part of a bound that doubles, so that many runs do not come back at once."""
    monkeypatch.setattr(store, "FIRST_PAUSE", 0.2)
    pauses = list[list[float]]()
    monkeypatch.setattr(store.time, "sleep", lambda seconds: pauses[-1].append(seconds))

    def fails() -> None:
        raise TimeoutError

    found = S3Store(Address.of(bucket.url))
    for _ in range(40):
        pauses.append([])
        with pytest.raises(StoreError, match="after 6 attempts"):
            found.attempt("read", "x", fails)
    bounds = [0.4, 0.8, 1.6, 3.2, 6.4]
    for number, bound in enumerate(bounds):
        nth = [each[number] for each in pauses]
        assert all(0 <= pause <= bound for pause in nth)
        assert max(nth) > bound / 2  # 40 draws: fails once in 10^12
        assert len({*nth}) == 40
    assert {len(each) for each in pauses} == {5}
    monkeypatch.setattr(store, "LONGEST_PAUSE", 0.1)
    pauses.append([])
    with pytest.raises(StoreError):
        found.attempt("read", "x", fails)
    assert max(pauses[-1]) <= 0.1


def test_listings_and_reads_are_made_at_once(scratch: Scratch, bucket: Bucket) -> None:
    """Each request waits a moment for others of its kind: made one after the other, none would ever meet another."""
    del scratch.config["models"]["pairs"]
    for number in range(4):
        scratch.trades(BTC, DAY1, [1.0], name=f"part-{number}")
    remote(scratch, bucket)
    kinds = {"list-type": 0, r"raw/.*\.parquet": 0}
    most, changed = dict(kinds), threading.Condition()

    def rule(request: Request) -> None:
        for like in kinds:
            if request.method == "GET" and re.search(like, request.path):
                with changed:
                    kinds[like] += 1
                    most[like] = max(most[like], kinds[like])
                    changed.notify_all()
                    changed.wait_for(lambda like=like: most[like] >= 3, 0.5)  # type: ignore[misc]
                    kinds[like] -= 1

    with bucket.endpoint.doing(rule):
        run(scratch, "--threads", "1")
    assert min(most.values()) >= 3, most


REFUSED = [
    (Answer(404, "NoSuchBucket"), "there is no such bucket. Create it"),
    (Answer(403, "AccessDenied"), "permission is denied. Allow these credentials to list there"),
    (Answer(403, "InvalidAccessKeyId"), "does not accept these credentials"),
    (Answer(403, "SignatureDoesNotMatch"), "does not accept these credentials"),
    (Answer(400, "ExpiredToken"), "the credentials have expired. Renew them"),
    (Answer(403, "RequestTimeTooSkewed"), "the clock of this machine is wrong"),
    (
        Answer(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-1"}),
        "lies in another region, eu-west-1. Set AWS_REGION",
    ),
    (Answer(400, "AuthorizationHeaderMalformed"), "lies in another region"),
    (Answer(503, "SlowDown"), "busy or failing after 6 attempts"),
]


@pytest.mark.parametrize(("answer", "said"), REFUSED, ids=[f"{a.code}" for a, _ in REFUSED])
def test_a_lake_that_cannot_be_listed_is_one_sentence(
    scratch: Scratch, bucket: Bucket, answer: Answer, said: str
) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    before = bucket.keys()
    with bucket.endpoint.doing(lambda request: answer if "list-type" in request.path else None):
        done = sqlgen("run", scratch.file)
    assert done.code == 2
    (line,) = done.err.strip().splitlines()
    assert said in line
    assert f"cannot list (bucket '{bucket.name}')" in line
    assert bucket.keys() == before


LOST = [
    (None, "there is no such bucket. Create it"),
    (None, "no credentials were found"),
    (None, "the endpoint 127.0.0.1:9 does not answer after 6 attempts"),
    *(each for each in REFUSED if each[0].code in ("AccessDenied", "ExpiredToken", "PermanentRedirect")),
]


@pytest.mark.slow
def test_sources_samples_and_what_is_inspected_are_one_sentence_too(
    scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source in a bucket under a lake on the disk, `inspect s3://` and `sample s3://`: exit code 2, nothing built."""
    scratch.trades(BTC, DAY1, [1.0])
    bucket.upload(scratch.lake)
    size = ("--symbols", "1", "--days", "1", "--rows-per-day", "20")
    for answer, said in LOST:
        url = bucket.url if "no such bucket" not in said else "s3://no-such-bucket-here/deep/lake"
        scratch.config["sources"]["raw"]["lake"] = url
        scratch.save()
        commands = (("run", scratch.file), ("inspect", f"{url}/raw"), ("sample", url, *size))
        before = bucket.keys("")
        with pytest.MonkeyPatch.context() as patched:
            if said.startswith("no credentials"):
                for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
                    patched.delenv(name)
            elif "does not answer" in said:
                patched.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            for command in commands:
                with bucket.endpoint.doing(to(answer, "GET", "list-type")):
                    done = told(*command, code=2)
                (line,) = done.err.strip().splitlines()
                assert f"cannot list (bucket '{url.split('/')[2]}'): " in line
                assert said in line
                assert not done.out
        assert bucket.keys("") == before
        assert not (scratch.lake / "out").exists()
    denied = Answer(403, "AccessDenied")
    with bucket.endpoint.doing(to(denied, "PUT")):
        done = told("sample", f"{bucket.url}/new", *size, code=2)
    assert f"cannot write (bucket '{bucket.name}'): permission is denied. Allow these credentials to write" in done.err
    assert not bucket.keys("new")


@pytest.mark.slow
def test_a_source_that_cannot_be_read_in_mid_run_fails_its_partitions(scratch: Scratch, bucket: Bucket) -> None:
    """The lake is on the disk, the source in a bucket: exit code 1, and what is published stays as it was."""
    del scratch.config["models"]["pairs"]
    scratch.config["sources"]["raw"]["lake"] = bucket.url
    scratch.save()
    scratch.trades(BTC, DAY1, [1.0])
    bucket.upload(scratch.lake)
    run(scratch)
    scratch.trades(BTC, DAY1, [2.0], name="more")
    scratch.trades(ETH, DAY1, [3.0])
    bucket.upload(scratch.lake)
    before = scratch.costs()
    for answer, said in ((Answer(400, "ExpiredToken"), "credentials have expired"), (BUSY, "after 6 attempts")):
        with bucket.endpoint.doing(to(answer, "GET", "raw/.*parquet")):
            done = told("run", scratch.file, code=1)
        assert done.out.count(f"cannot read (bucket '{bucket.name}')") == 2
        assert done.out.count(said) == 2
        assert scratch.costs() == before
    run(scratch)
    assert len(scratch.costs()) == 3


def test_a_bucket_that_is_not_there(scratch: Scratch, bucket: Bucket) -> None:
    scratch.config["lake"] = "s3://no-such-bucket-here/x"
    scratch.save()
    done = sqlgen("run", scratch.file)
    assert done.code == 2
    assert "(bucket 'no-such-bucket-here'): there is no such bucket" in done.err


def test_without_credentials(scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    remote(scratch, bucket)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    done = sqlgen("run", scratch.file)
    assert done.code == 2
    assert f"(bucket '{bucket.name}'): no credentials were found" in done.err


@pytest.mark.parametrize(("scheme", "module", "extra"), [("gs", "gcsfs", "gcs"), ("abfss", "adlfs", "azure")])
def test_a_store_whose_library_is_missing(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("SQLGEN_CACHE", str(tmp_path / "cache"))
    scratch.config["lake"] = f"{scheme}://bucket/lake"
    scratch.save()
    done = sqlgen("run", scratch.file)
    assert done.code == 2
    said = f"{scheme}://bucket/lake needs what reads such stores. Install it: pip install 'sqlgen[{extra}]'"
    assert said in done.err


@pytest.mark.parametrize(("scheme", "said"), [("gs", "GOOGLE_APPLICATION"), ("az", "AZURE_STORAGE_ACCOUNT_NAME")])
def test_a_store_that_cannot_be_opened_or_has_no_bucket(
    monkeypatch: pytest.MonkeyPatch, scheme: str, said: str
) -> None:
    import fsspec

    def no_credentials(*_: object, **__: object) -> None:
        raise ValueError(f"connect with {SECRET}")

    with monkeypatch.context() as patched:
        patched.setattr(fsspec, "filesystem", no_credentials)
        with pytest.raises(StoreError, match=rf"bucket 'b'.: no credentials were found.*{said}") as caught:
            store.Store(Address.of(f"{scheme}://b/lake"))
        assert SECRET not in str(caught.value)
    empty = fsspec.filesystem("memory")  # as adlfs, it finds nothing where there is no bucket
    monkeypatch.setattr(fsspec, "filesystem", lambda *_, **__: empty)
    with pytest.raises(StoreError, match=r"cannot list .bucket 'no-such-bucket'.: there is no such bucket"):
        list(store.Store(Address.of(f"{scheme}://no-such-bucket/lake")).objects("raw"))


def test_an_endpoint_that_is_down(scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    remote(scratch, bucket)
    for url, said in (
        ("http://127.0.0.1:9", "the endpoint 127.0.0.1:9 does not answer after 6 attempts"),
        ("http://someone:hidden-password@127.0.0.1:9", "the endpoint 127.0.0.1:9 is no address that can be used"),
        ("http://127.0.0.1:99999/hidden-password", "the endpoint 127.0.0.1 is no address that can be used"),
        ("someone:hidden-password@host", "the endpoint is no address that can be used. Correct AWS_ENDPOINT_URL"),
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        done = sqlgen("run", scratch.file)
        assert done.code == 2
        assert said in done.err
        assert "hidden-password" not in done.err


@pytest.mark.slow
def test_without_permission_to_write_nothing_is_built(scratch: Scratch, bucket: Bucket) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    before = bucket.keys()
    denied = Answer(403, "AccessDenied")
    with bucket.endpoint.doing(to(denied, "PUT")):
        done = sqlgen("run", scratch.file)
    assert done.code == 2
    assert f"cannot write (bucket '{bucket.name}'): permission is denied. Allow these credentials to write" in done.err
    assert bucket.keys() == before
    assert not done.out


@pytest.mark.slow
def test_a_failure_in_mid_run_leaves_what_was_published(scratch: Scratch, bucket: Bucket) -> None:
    fill(scratch)
    remote(scratch, bucket)
    run(scratch)
    before = bucket.keys("out")
    scratch.trades(BTC, DAY2, [7.0], name="later")
    bucket.upload(scratch.lake)
    expired = Answer(400, "ExpiredToken")
    forget()
    with bucket.endpoint.doing(
        lambda request: expired if request.method == "PUT" and "/out/" in request.path else None
    ):
        done = sqlgen("run", scratch.file)
    assert done.code == 1
    assert "the credentials have expired. Renew them, and run again" in done.out
    assert bucket.keys("out") == before
    run(scratch)
    assert bucket.keys("out") != before


IN_MID_RUN = [
    (Answer(404, "NoSuchBucket"), "there is no such bucket. Create it"),
    (Answer(403, "AccessDenied"), "permission is denied. Allow these credentials to"),
    (Answer(403, "InvalidAccessKeyId"), "does not accept these credentials"),
    (Answer(400, "ExpiredToken"), "the credentials have expired. Renew them, and run again"),
    (Answer(403, "RequestTimeTooSkewed"), "the clock of this machine is wrong. Set it"),
    (Answer(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-1"}), "in another region, eu-west-1"),
    (Answer(307, "TemporaryRedirect"), "in another region"),
    (Answer(503, "SlowDown"), "busy or failing after 6 attempts (503"),
    (Answer(500, "InternalError"), "busy or failing after 6 attempts (500"),
    (Answer(cut=True), "the connection broke or timed out after 6 attempts"),
    (Answer(hang=1.0), "the connection broke or timed out after 6 attempts"),
]


@pytest.mark.parametrize(
    ("method", "answers"),
    [
        pytest.param("PUT", IN_MID_RUN[1:9:2] + IN_MID_RUN[10:], marks=pytest.mark.slow),
        pytest.param("GET", IN_MID_RUN[:9:2] + IN_MID_RUN[9:10], marks=pytest.mark.slow),
    ],
)
def test_whatever_fails_in_mid_run_is_one_sentence(
    scratch: Scratch,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    answers: list[tuple[Answer, str]],
) -> None:
    monkeypatch.setattr(s3store, "READ_SECONDS", 0.5)
    del scratch.config["models"]["pairs"]
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    run(scratch)
    before = bucket.keys("out")
    scratch.trades(BTC, DAY1, [2.0], name="more")
    scratch.trades(ETH, DAY1, [3.0])
    bucket.upload(scratch.lake)
    for answer, said in answers:
        if method == "PUT" and answer.cut:  # an answer to a write has no body
            continue

        def rule(request: Request, answer: Answer = answer) -> Answer | None:
            at = "/raw/" if method == "GET" else "/out/"
            is_it = request.method == method and at in request.path and "list-type" not in request.path
            return answer if is_it else None

        forget()
        monkeypatch.setenv("SQLGEN_CACHE", os.environ["SQLGEN_CACHE"] + "x")
        with bucket.endpoint.doing(rule):
            done = sqlgen("run", scratch.file)
        assert done.code == 1, (answer, done.out, done.err)
        assert done.out.count(said) == 2, (answer, done.out)
        operation = {"GET": "read", "PUT": "write"}[method]
        assert f"cannot {operation} (bucket '{bucket.name}')" in done.out
        assert "Traceback" not in done.out + done.err
        assert SECRET not in done.out + done.err
        assert bucket.keys("out") == before, answer
    run(scratch)
    assert len(bucket.keys("out")) == 2


@pytest.mark.slow
def test_an_endpoint_that_goes_down_in_mid_run(scratch: Scratch, bucket: Bucket) -> None:
    fill(scratch)
    remote(scratch, bucket)
    run(scratch)
    before = bucket.keys()
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [7.0], name="later")
    bucket.upload(scratch.lake)
    down = threading.Event()

    def rule(request: Request) -> Answer | None:
        if request.method == "PUT" and "/out/" in request.path:
            down.set()
        return BUSY if down.is_set() else None

    forget()
    with bucket.endpoint.doing(rule):
        done = sqlgen("run", scratch.file)
    assert done.code == 1
    assert "Traceback" not in done.out + done.err
    assert "the records of this run are not saved" in done.out
    assert {path: tag for path, tag in before.items() if path.startswith("out/")} == bucket.keys("out")
    bucket.delete(".sqlgen/lock")
    run(scratch)
    assert bucket.keys("out") != before


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://no-such-host.invalid:9000", "the endpoint no-such-host.invalid:9000 does not answer after 6 attempts"),
        ("https://127.0.0.1:{port}", "the endpoint 127.0.0.1:{port} speaks no TLS, or has a certificate"),
    ],
)
def test_a_name_that_is_not_known_and_an_endpoint_without_tls(
    scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    remote(scratch, bucket)
    port = bucket.endpoint.url.rpartition(":")[2]
    monkeypatch.setenv("AWS_ENDPOINT_URL", url.format(port=port))
    done = sqlgen("run", scratch.file)
    assert done.code == 2
    assert said.format(port=port) in done.err


@pytest.mark.slow
def test_records_that_cannot_be_written_fail_the_run_and_lose_nothing(scratch: Scratch, bucket: Bucket) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    denied = Answer(403, "AccessDenied")
    with bucket.endpoint.doing(
        lambda request: denied if "records.zip" in request.path and request.method == "PUT" else None
    ):
        done = sqlgen("run", scratch.file)
    assert done.code == 1
    assert "the records of this run are not saved" in done.out
    before = bucket.keys("out")
    assert len(before) == 2
    assert "up to date" in run(scratch).out
    assert bucket.keys("out") == before


def test_a_file_that_changes_after_the_listing_is_not_read(scratch: Scratch, bucket: Bucket) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    (key,) = bucket.keys("raw")

    def rule(request: Request) -> None:
        if request.method == "GET" and "raw/" in request.path and "list-type" not in request.path:
            bucket.put(key, bucket.read(key) + b" more")

    with bucket.endpoint.doing(rule):
        done = sqlgen("run", scratch.file)
    assert done.code == 1
    assert "changed between the listing of the lake and its reading" in done.out
    assert not bucket.keys("out")


@pytest.mark.slow
def test_credentials_are_written_nowhere(
    scratch: Scratch, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in what is printed, logged and sent, nor in any file, here (by the fixture, for all tests) or there.

    What further commands print and write is looked at in test_object_storage_commands.py.
    """
    pytest.importorskip("openlineage.client")
    logged, events = io.StringIO(), tmp_path / "events"
    handler = logging.StreamHandler(logged)
    monkeypatch.setattr(logging.root, "handlers", [handler])
    monkeypatch.setattr(logging.root, "level", logging.DEBUG)
    monkeypatch.chdir(scratch.folder)
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(events / "each"))
    events.mkdir()
    all_models(scratch)
    fill(scratch)
    scratch.config["runs"] = {"openlineage": True}
    remote(scratch, bucket)
    run(scratch)
    assert [*events.iterdir()]
    scratch.trades(BTC, DAY1, [3.0], name="more")
    bucket.upload(scratch.lake)
    with bucket.endpoint.doing(to(BUSY, "PUT", "/out/kept")):
        told("run", code=1)
        told("--debug", "run", code=1)
    told("query", "SELECT name, value FROM duckdb_settings()")
    told("shell", "--command", "FROM duckdb_secrets();")
    told("--debug", "query", "SELECT getenv('AWS_SECRET_ACCESS_KEY')", code=1)
    with bucket.endpoint.doing(to(Answer(403, "AccessDenied"), "GET", "list-type")):
        told("run", code=2)
        with pytest.raises(StoreError) as caught:
            told("--debug", "run")
    logged.writelines(traceback.format_exception(caught.value))
    assert len(logged.getvalue()) > 500
    assert not planted(logged.getvalue().encode())
    bucket.download("", tmp_path / "down")


def test_an_address_with_credentials_is_not_repeated(scratch: Scratch, tmp_path: Path) -> None:
    for address in (
        "s3://AKIAKEY:hidden@bucket/x",
        "s3://bucket/x?a=hidden",
        "ftp://bucket/hidden",
        "s3:/bucket/hidden",
    ):
        commands = (("inspect", address), ("sample", address), ("init", tmp_path / "new", "--from", address))
        for done in (told(*command, code=2) for command in commands):
            assert "hidden" not in done.out + done.err
            assert done.err.startswith("error: ")
            assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "new").exists()
    for address in ("s3://", "s3:///"):
        assert "names no bucket" in told("inspect", address, code=2).err
    for address in (
        "s3://AKIAKEY:hidden@bucket/x",
        "s3://bucket/x?hidden=1",
        "ftp://bucket/hidden",
        "s3:/bucket/hidden",
    ):
        scratch.config["lake"] = address
        scratch.save()
        done = sqlgen("run", scratch.file)
        assert done.code == 2
        assert "lake: found an address: " in done.err
        assert "hidden" not in done.err


# The lock


def entries(bucket: Bucket) -> dict[str, Any]:
    """Runs that go on, by the lock."""
    found: dict[str, Any] = json.loads(bucket.read(".sqlgen/lock"))
    return found


def lock_of(bucket: Bucket, claim: Claim | None = None) -> lease.Lease:
    return lease.Lease(S3Store(Address.of(bucket.url)), claim)


@pytest.mark.slow
def test_a_second_run_waits_or_is_refused(scratch: Scratch, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    monkeypatch.setattr(lease, "LOOK", 0.05)
    with lock_of(bucket).held(0.0):
        done = sqlgen("run", scratch.file)
        assert done.code == 3
        assert "another run holds the lake (pid" in done.err
        assert f"lock {bucket.url}/.sqlgen/lock)" in done.err
        assert not bucket.keys("out")
        threading.Timer(0.5, lambda: bucket.put(".sqlgen/lock", b"{}")).start()
        assert sqlgen("run", scratch.file, "--wait", "20").code == 0
    with lock_of(bucket, Claim({"out/pairs": "pairs"})).held(0.0):
        done = sqlgen("run", scratch.file, "--full-refresh")
        assert done.code == 3
        assert "another run holds model 'pairs'" in done.err
        assert sqlgen("run", scratch.file, "--full-refresh", "--select", "costs").code == 0
    assert entries(bucket) == {}


@pytest.mark.slow
def test_the_lock_of_a_run_that_was_killed_is_taken_over(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.1)
    monkeypatch.setattr(lease, "LOOK", 0.02)
    process = subprocess.Popen(["true"])
    process.wait()
    mine = lock_of(bucket)._entry()
    theirs = mine | {"machine": "another"}
    times = (1.0, time.time() + 1e6, math.inf, math.nan, "soon", [], None)  # of clocks that are wrong, and of none
    for left in (mine | {"pid": process.pid}, *(theirs | {"until": until} for until in times), {}):
        bucket.put(".sqlgen/lock", json.dumps({"one": left}).encode())
        other = lock_of(bucket)
        with other.held(0.0):
            assert {*entries(bucket)} == {other.run_id}
            assert other.took_over
        assert entries(bucket) == {}
    for content in (b"torn", b"[" * 200_000):
        bucket.put(".sqlgen/lock", content)
        with lock_of(bucket).held(0.0):
            pass
    # A lease that is not over is not taken, nor one that is over by this clock alone: its run renews it.
    bucket.put(".sqlgen/lock", json.dumps({"one": mine | {"machine": "another"}}).encode())
    with pytest.raises(LockedError), lock_of(bucket).held(0.0):
        pass
    bucket.put(".sqlgen/lock", json.dumps({"one": mine | {"machine": "another", "until": 1.0}}).encode())
    plain, number = S3Store.read, itertools.count(2)

    def read(self: S3Store, path: str) -> Any:
        if path == lease.LOCK:
            renewed = mine | {"machine": "another", "until": float(next(number))}
            bucket.put(".sqlgen/lock", json.dumps({"one": renewed}).encode())
        return plain(self, path)

    monkeypatch.setattr(S3Store, "read", read)
    with pytest.raises(LockedError), lock_of(bucket).held(0.0):
        pass


def test_uploads_of_others_go_on(scratch: Scratch, bucket: Bucket) -> None:
    """The run after a killed one gives up what that was uploading, and nothing that a collector uploads."""
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    run(scratch)
    killed_one = lock_of(bucket)._entry() | {"pid": 2**22 + 1}
    for path in ("raw/symbol=X/data.parquet", "out/costs/x.parquet", ".sqlgen/kernels/x", "outer.csv"):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"deep/lake/{path}")
    bucket.put(".sqlgen/lock", json.dumps({"one": killed_one}).encode())
    run(scratch)
    left = bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    assert {each["Key"] for each in left} == {"deep/lake/raw/symbol=X/data.parquet", "deep/lake/outer.csv"}
    for each in left:
        bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=each["Key"], UploadId=each["UploadId"])


@pytest.mark.slow
def test_the_lock_is_written_by_conditional_requests(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = lock_of(bucket, Claim({"a": "a"})), lock_of(bucket, Claim({"b": "b"}))
    with bucket.endpoint.counting() as requests, first.held(0.0), second.held(0.0):
        assert {*entries(bucket)} == {first.run_id, second.run_id}
    conditions = [(each.if_none_match, bool(each.if_match)) for each in requests if each.method == "PUT"]
    assert conditions == [("*", False), *[("", True)] * 3]
    # Another run that was first is seen, whatever this one has read before.
    lost, plain = list[str](), S3Store.read

    def read(self: S3Store, path: str) -> Any:
        found = plain(self, path)
        if not lost:
            lost.append(path)
            bucket.put(path, json.dumps({"one": lock_of(bucket)._entry()}).encode())
        return found

    monkeypatch.setattr(S3Store, "read", read)
    with pytest.raises(LockedError), lock_of(bucket).held(0.0):
        pass
    assert lost


def test_a_run_that_loses_its_lock_publishes_nothing_more(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    held = lock_of(bucket)
    with held.held(0.0):
        held.check()
        bucket.put(".sqlgen/lock", json.dumps({held.run_id: {"token": "of another"}}).encode())
        deadline = time.monotonic() + 120
        while not held._lost and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(StoreError, match="the lock could not be renewed"):
            held.check()
    assert entries(bucket)  # it is another's


def test_a_store_without_conditional_requests(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SETTLE", 0.02)
    unknown, conditional, plain = Answer(501, "NotImplemented"), list[str](), S3Store._call

    def call(self: S3Store, method: str, path: str | None = None, **parameters: Any) -> Any:
        if {"IfNoneMatch", "IfMatch"} & parameters.keys() and method == "put_object":
            conditional.append(method)
            with bucket.endpoint.doing(lambda _: unknown):
                return plain(self, method, path, **parameters)
        return plain(self, method, path, **parameters)

    monkeypatch.setattr(S3Store, "_call", call)
    first, second = lock_of(bucket), lock_of(bucket)
    with first.held(0.0), pytest.raises(LockedError), second.held(0.0):
        pass
    with second.held(0.0):
        second.check()
    assert len(conditional) == 4


SHIPPED = ("ticker_features", "trades_bars", "dollar_bars", "orderbook_hf")


@pytest.mark.slow
def test_shards_of_the_shipped_models_at_once_give_what_one_run_gives_on_a_disk(bucket: Bucket, tmp_path: Path) -> None:
    """Two processes over one bucket; features, bars and kernels over books, trades and tickers."""
    lake = tmp_path / "lake"
    write_sample(lake, SampleSpec(symbols=("BTC-USDT", "SOL-USDT"), days=2, rows_per_day=60, seed=3, faults=True))
    made = Scratch(tmp_path / "shipped")
    made.config = shipped_config(lake)
    shipped = made.config["models"]
    made.config["models"] = {name: {**shipped[name], "enabled": True} for name in SHIPPED}
    made.save()
    assert made.sqlgen("run", "--threads", "1").code == 0  # as the shards
    here = tables(lake, made)
    assert {*here} == {*SHIPPED}
    assert all(table.num_rows for table in here.values())

    made.config["lake"] = bucket.url
    made.save()
    bucket.upload(lake)
    shards = [started("run", made.file, "--shard", f"{number}/2", "--threads", "1") for number in (1, 2)]
    assert [ended(each) for each in shards] == [0, 0]
    assert entries(bucket) == {}
    assert f"Nothing to do: {4 * len(here)} partition(s)" in run(made).out
    with zipfile.ZipFile(io.BytesIO(bucket.read(".sqlgen/records.zip"))) as packed:
        names = [name for name in packed.namelist() if name.startswith("manifest/trades_bars")]
    assert len(names) == 2  # a journal of each shard: neither run lost that of the other
    equal(tables(bucket.download("processed", tmp_path / "stored"), made), here)


@pytest.mark.slow
def test_shards_of_every_kind_of_model_with_one_that_is_killed(
    scratch: Scratch, bucket: Bucket, tmp_path: Path
) -> None:
    all_models(scratch)
    fill(scratch)
    odd = "O%27X%2FY"
    scratch.trades(odd, DAY1, [100.0, 200.0])
    remote(scratch, bucket)
    killed("object: written:5", "run", scratch.file, "--shard", "1/2", "--threads", "1")
    shards = [started("run", scratch.file, "--shard", f"{number}/2", "--threads", "1") for number in (1, 2)]
    assert [ended(each) for each in shards] == [0, 0]
    scratch.trades(BTC, DAY3, [200.0, 1.0])
    scratch.trades(odd, DAY2, [3.0])
    scratch.trades(ETH, DAY2, [11.0, 500.0, 12.0], name="later")
    bucket.upload(scratch.lake)
    for number in (3, 1, 2):  # another number of them
        run(scratch, "--shard", f"{number}/3")
    assert "Nothing to do" in run(scratch).out
    stored = tables(bucket.download("out", tmp_path / "stored"), scratch)
    assert local(scratch).sqlgen("run").code == 0
    equal(stored, tables(scratch.lake, scratch))


@pytest.mark.slow
def test_what_an_object_store_cannot_do_is_refused(scratch: Scratch, bucket: Bucket) -> None:
    scratch.trades(BTC, DAY1, [1.0])
    remote(scratch, bucket)
    run(scratch)
    before = bucket.keys("out")
    del scratch.config["models"]["pairs"]
    scratch.model("costs", output={"partition_by": ["exchange", "symbol"]})
    done = sqlgen("run", scratch.file, "--full-refresh")
    assert "an object store cannot replace a whole table in one step" in done.err
    assert done.code == 2
    pytest.importorskip("ray")
    scratch.model("costs", output={"partition_by": ["exchange", "symbol", "date"]})
    done = sqlgen("run", scratch.file, "--full-refresh", "--executor", "ray")
    assert "Over an object store, run --shard i/n on each machine" in done.err
    assert bucket.keys("out") == before


# Kills, readers


FAULTS = (
    "object: to be written:2",
    "object: written:3",
    "object: written:6",
    "records: written:1",
    "unit: its quarantine published:1",
    "file: staged:1",
    "file: published:2",
    "object: part to be written:1",
    "object: part to be written:3",
)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            ("object: parts written:2", "object: written:1", "records: to be written:1"),
            marks=pytest.mark.slow,
            id="some",
        ),
        pytest.param(FAULTS, marks=pytest.mark.soak, id="all"),
    ],
)
def test_a_run_killed_at_any_request_is_made_good_by_the_next(
    scratch: Scratch, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: tuple[str, ...]
) -> None:
    """Tables are uploaded in parts; the next run is one of another machine, which waits for the lease."""
    in_small_parts(monkeypatch)
    monkeypatch.setattr(lease, "RENEWED", 0.1)
    all_models(scratch)
    for name in ("pairs", "kept", "through"):
        del scratch.config["models"][name]
    scratch.trades(BTC, DAY1, [100.0, 200.0])
    remote(scratch, bucket)
    run(scratch)
    before = {path: bucket.read(path) for path in bucket.keys("")}
    scratch.trades(BTC, DAY2, [3.0, 4.0])
    scratch.trades(BTC, DAY1, [5.0], name="more")
    bucket.upload(scratch.lake)
    later = {path: bucket.read(path) for path in bucket.keys("")}
    run(scratch)
    wanted = tables(bucket.download("out", tmp_path / "wanted"), scratch)
    old_or_new = {*map(len, before.values())} | {len(bucket.read(path)) for path in bucket.keys("out")}
    for number, fault in enumerate(faults):
        for path in {*bucket.keys("")} - later.keys():
            bucket.delete(path)
        for path, content in later.items():
            bucket.put(path, content)
        killed(fault, "run", scratch.file, "--threads", "1")
        if "part" in fault:
            assert bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
        for path in bucket.keys("out"):  # nothing is half visible
            assert len(pq.read_table(io.BytesIO(bucket.read(path)))) in (1, 2, 3)
            assert len(bucket.read(path)) in old_or_new
        bucket.put(".sqlgen/lock", of_another_machine(bucket.read(".sqlgen/lock")))
        monkeypatch.setenv("SQLGEN_CACHE", str(tmp_path / f"another-{number}"))
        run(scratch)
        equal(tables(bucket.download("out", tmp_path / f"after-{number}"), scratch), wanted)
        assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.name)
        assert "up to date" in run(scratch).out


def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let objects above 1 kB be written in parts of 1 kB."""
    from moto.s3 import models

    monkeypatch.setattr(models, "S3_UPLOAD_PART_MIN_SIZE", 1)
    monkeypatch.setattr(s3store, "SINGLE", 1000)
    monkeypatch.setattr(s3store, "UPLOAD_PART", 1000)


def of_another_machine(lock: bytes) -> bytes:
    """The lock as another machine has left it, whose lease is over."""
    told = {run: entry | {"machine": "another", "until": 1.0} for run, entry in json.loads(lock).items()}
    assert told
    return json.dumps(told).encode()


def test_parts_of_an_upload_have_one_size(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last, which is smaller; one that fails is sent again; the object appears with the last request."""
    in_small_parts(monkeypatch)
    content = os.urandom(3_500)
    path = tmp_path / "large"
    path.write_bytes(content)
    large = S3Store(Address.of(bucket.url))
    seen = list[set[str]]()

    def rule(request: Request) -> Answer | None:
        seen.append({*bucket.keys("out")})
        return fails(request)

    fails = sometimes(BUSY, method="PUT", like="partNumber=2", times=2)
    with bucket.endpoint.doing(rule) as requests:
        entry = large.put("out/large", path)
    assert bucket.read("out/large") == content
    assert bucket.keys("out")["out/large"] == entry.version
    parts = [each.length for each in requests if "partNumber" in each.path]
    assert parts == [1000] * 5 + [500]
    assert seen == [set()] * (1 + 6 + 1)


@pytest.mark.slow
def test_a_reader_that_globs_sees_old_or_new(scratch: Scratch, bucket: Bucket) -> None:
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    scratch.trades(ETH, DAY1, [1.0, 2.0])
    remote(scratch, bucket)
    run(scratch)
    ended, problems, seen = threading.Event(), [], set()

    def read() -> None:
        while not ended.is_set():
            try:
                keys = bucket.keys("out/costs")
                found = [tuple(pq.read_table(io.BytesIO(bucket.read(key)))["cost"].to_pylist()) for key in keys]
                seen.update(found)
                if len(found) != 2 or {*found} - {(1.0, 2.0), (3.0, 4.0, 5.0)}:
                    problems.append(found)
            except Exception as error:
                problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for prices in ([3.0, 4.0, 5.0], [1.0, 2.0], [3.0, 4.0, 5.0]):
        for symbol in (BTC, ETH):
            folder = scratch.trades(symbol, DAY1, prices)
            path = folder / "data.parquet"
            bucket.put(path.relative_to(scratch.lake).as_posix(), path.read_bytes())
        run(scratch)
        while tuple(prices) not in seen and not problems:
            time.sleep(0.01)
    ended.set()
    reader.join()
    assert not problems
    assert len(seen) == 2
