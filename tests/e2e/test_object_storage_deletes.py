"""Source files in an object store that are deleted after processing: those alone that were read."""

from __future__ import annotations

import io
import json

import pyarrow.parquet as pq
import pytest

from tests.support.engine import Outcome, sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch
from tests.support.storelakes import killed
from tests.support.stores import Answer, Bucket, Request, forget

LEAVES = "changed since it was read, and is not deleted"


@pytest.fixture
def project(scratch: Scratch, bucket: Bucket) -> Scratch:
    """A project that appends trades of a bucket and deletes their files."""
    del scratch.config["models"]["pairs"]
    scratch.model("costs", delete_after_processing=True, output={"mode": "append"})
    scratch.config["lake"] = bucket.url
    scratch.save()
    for symbol in (BTC, ETH):
        for day in (DAY1, DAY2):
            scratch.trades(symbol, day, [1.0, 2.0])
    bucket.upload(scratch.lake)
    return scratch


def run(scratch: Scratch, code: int = 0) -> Outcome:
    """A run, in a process of its own as far as lakes are concerned."""
    forget()
    done = sqlgen("run", scratch.file)
    assert done.code == code, done.out + done.err
    assert "copy-" not in done.out + done.err
    return done


def other(scratch: Scratch, prices: list[float]) -> bytes:
    """Another content of the first file."""
    return (scratch.trades(BTC, DAY1, prices, name="other") / "other.parquet").read_bytes()


def costs(bucket: Bucket) -> list[float]:
    files = [pq.read_table(io.BytesIO(bucket.read(key))) for key in bucket.keys("out/costs")]
    return sorted(cost for file in files for cost in file["cost"].to_pylist())


@pytest.mark.slow
def test_what_was_read_is_deleted(project: Scratch, bucket: Bucket) -> None:
    with bucket.endpoint.counting() as requests:
        assert run(project).out.count("deleted after processing: raw/") == 4
    assert not bucket.keys("raw")
    assert costs(bucket) == [1.0] * 4 + [2.0] * 4
    deleted = [each for each in requests if each.method == "DELETE"]
    assert len(deleted) == 4
    assert all(each.if_match for each in deleted)  # an object that is another by now stays
    forget()
    assert sqlgen("run", project.file, "--allow-empty").code == 0
    bucket.put(f"raw/ccxt/trades/exchange=binance/symbol={BTC}/date={DAY1}/data.parquet", other(project, [7.0]))
    assert run(project).out.count("deleted after processing: raw/") == 1
    assert costs(bucket) == [1.0] * 4 + [2.0] * 4 + [7.0]


@pytest.mark.slow
def test_raw_files_of_a_store_are_deleted_once_a_disk_has_their_rows(project: Scratch, bucket: Bucket) -> None:
    project.config["sources"]["raw"]["lake"] = bucket.url
    project.config["lake"] = "lake"
    project.save()
    assert run(project).out.count("deleted after processing: ") == 4
    assert not bucket.keys("raw")
    assert project.table("costs").num_rows == 8
    assert sqlgen("run", project.file, "--allow-empty").code == 0


@pytest.mark.parametrize(
    "at", ["deleted", *(pytest.param(at, marks=pytest.mark.slow) for at in ("published", "asked"))]
)
def test_an_object_that_is_replaced_in_mid_run_stays(project: Scratch, bucket: Bucket, at: str) -> None:
    first, *_ = sorted(bucket.keys("raw"))
    content, done = other(project, [7.0, 8.0]), list[str]()

    def rule(request: Request) -> None:
        path = request.path.replace("%3D", "=")
        moments = {
            "published": request.method == "PUT" and "out/costs" in path,
            "asked": request.method == "HEAD" and first in path,
            "deleted": request.method == "DELETE" and first in path,
        }
        if moments[at] and not done:
            done.append(path)
            bucket.put(first, content)

    with bucket.endpoint.doing(rule):
        assert f"{first} {LEAVES}" in run(project).out
    assert done
    assert {*bucket.keys("raw")} == {first}
    assert "changed after it was appended; its rows stay as they were, and it is not deleted" in run(project, 1).out
    assert bucket.read(first) == content
    assert costs(bucket) == [1.0] * 4 + [2.0] * 4


@pytest.mark.slow
def test_a_file_that_was_not_published_stays(project: Scratch, bucket: Bucket) -> None:
    denied = Answer(403, "AccessDenied")
    with bucket.endpoint.doing(
        lambda each: denied if each.method == "PUT" and "ETH" in each.path and "out/" in each.path else None
    ):
        assert "permission is denied" in run(project, code=1).out
    assert all(ETH in key for key in bucket.keys("raw"))
    assert len(bucket.keys("raw")) == 2


@pytest.mark.slow
def test_without_permission_to_delete_the_run_fails_and_loses_nothing(project: Scratch, bucket: Bucket) -> None:
    before = {*bucket.keys("raw")}
    denied = Answer(403, "AccessDenied")
    with bucket.endpoint.doing(lambda each: denied if each.method == "DELETE" else None):
        done = run(project, code=1)
    assert (
        f"cannot delete (bucket '{bucket.name}'): permission is denied. Allow these credentials to delete" in done.out
    )
    assert {*bucket.keys("raw")} == before
    run(project)
    assert not bucket.keys("raw")
    assert costs(bucket) == [1.0] * 4 + [2.0] * 4


@pytest.mark.slow
def test_a_store_without_conditional_deletes(project: Scratch, bucket: Bucket) -> None:
    unknown = Answer(501, "NotImplemented")
    with bucket.endpoint.doing(lambda each: unknown if each.method == "DELETE" and each.if_match else None):
        run(project)
    assert not bucket.keys("raw")
    assert json.loads(bucket.read(".sqlgen/lock")) == {}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["input: to be deleted:1", "input: deleted:2"])
def test_a_run_that_is_killed_while_it_deletes(project: Scratch, bucket: Bucket, fault: str) -> None:
    killed(fault, "run", project.file)
    left = bucket.keys("raw")
    assert len(left) == {"1": 4, "2": 2}[fault[-1]]
    bucket.put(sorted(left)[0], other(project, [7.0]))  # comes before the next run
    run(project)
    assert costs(bucket) == [1.0] * 4 + [2.0] * 4 + [7.0]
    assert not bucket.keys("raw")
