"""Batches built by the workers of a Ray cluster: the same tables, reports and messages as of a local run."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sqlgen.run.machine import Settings
from sqlgen.run.remote.pool import messages_to_stderr
from tests.support.engine import published
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch
from tests.support.stores import Bucket, Endpoint, environment

ray = pytest.importorskip("ray")

TOTALS = """\
{#- description: Cost of all symbols -#}
WITH costs AS (
    {{ inputs.costs | indent(4) }}
)
SELECT exchange, date, sum(cost ORDER BY symbol, ts, seq) AS cost FROM costs GROUP BY ALL
"""
RARE = """\
{#- {batches: true, order_by: [ts, seq]} -#}
WITH trades AS (
    {{ inputs.trades | indent(4) }}
)
SELECT exchange, symbol, date, ts, seq, price AS cost FROM trades WHERE price > 5
"""
DEADLY = """        import os, pathlib
        if CONDITION:
            pathlib.Path(MARKER).touch()
            os.kill(os.getpid(), 9)
        costs ="""
FACTS = ("model", "partition", "status", "reason", "rows_in", "rows_out", "error", "checks", "notes")


@pytest.fixture(scope="module")
def cluster(s3: tuple[Endpoint, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray of two workers, which have the credentials of the buckets of tests."""
    import logging

    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment(s3[0], tmp_path_factory.mktemp("cache")).items():
            patched.setenv(name, value)
        for attempt in range(3):
            try:
                ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
                break
            except Exception:  # Ray gives its node 30 s to start, which may be short on a busy machine
                ray.shutdown()
                if attempt == 2:
                    raise
    with messages_to_stderr():  # those of one test may come in the next one
        yield
        ray.shutdown()


def lake(folder: Path) -> Scratch:
    """Three symbols: kernels, quarantine, lookback, files that are appended or merged, a model that crosses symbols.

    One has days without rows, whose empty files are those of a batch with kernels.
    """
    scratch = Scratch(folder)
    scratch.kernel(LEDGER)
    scratch.template("totals.sql.j2", TOTALS)
    check = {"check": "predicate", "sql": "cost < 50", "on_fail": "quarantine"}
    scratch.model("costs", udfs="ledger", checks=[check])
    output = {"path": "out/totals", "partition_by": ["exchange", "date"]}
    scratch.model("totals", sql="totals.sql.j2", inputs={"costs": "costs"}, output=output)
    inputs, output = {"trades": "raw"}, {"path": "out/log", "mode": "append"}
    scratch.model("log", sql="costs.sql.j2", inputs=inputs, output=output, checks=[check])
    output = {"path": "out/merged", "mode": "merge", "key": ["trade_id"], "order_by": ["ts"]}
    scratch.model("merged", sql="costs.sql.j2", inputs=inputs, output=output)
    scratch.template("rare.sql.j2", RARE)
    output = {"path": "out/whole", "partition_by": ["exchange", "symbol"]}
    scratch.model("whole", sql="costs.sql.j2", inputs=inputs, udfs="ledger", output=output)
    scratch.model("rare", sql="rare.sql.j2", inputs={"trades": "raw"}, udfs="ledger", output={"path": "out/rare"})
    scratch.model("scarce", sql="rare.sql.j2", inputs={"trades": "raw"}, output={"path": "out/scarce"})
    for symbol in (BTC, ETH, "O%27X%2FY"):
        for day in (DAY1, DAY2):
            scratch.trades(symbol, day, [1.0, 2.5, 60.0] if (symbol, day) != (BTC, DAY2) else [1.0, 2.5])
    return scratch


def deadly(condition: str, marker: Path) -> str:
    """A kernel that kills its process."""
    text = DEADLY.replace("CONDITION", condition).replace("MARKER", repr(str(marker)))
    return LEDGER.replace("        costs =", text)


def rows(scratch: Scratch) -> dict[str, object]:
    found: dict[str, object] = {}
    for root in sorted((scratch.lake / "out").iterdir()):
        found[root.name] = sorted(map(repr, published(root).to_pylist()))  # files that are appended tie
    states = sorted((scratch.lake / ".sqlgen/kernels").rglob("*.state"))
    return found | {str(path.parent.relative_to(scratch.lake)): path.read_bytes() for path in states}


def told(results: dict[str, dict[str, Any]]) -> dict[str, list[object]]:
    return {label: [result[name] for name in FACTS] for label, result in results.items()}


def both(remote: Scratch, local: Scratch, *options: object, code: int = 0) -> dict[str, dict[str, Any]]:
    """The same run by Ray and by threads: the same results, tables and kernel states."""
    found = remote.run("--executor", "ray", *options, code=code)
    expected = local.run(*options, code=code)
    replaced = {
        label: [str(value).replace(str(local.folder), str(remote.folder)) for value in facts]
        for label, facts in told(expected).items()
    }
    assert {label: [*map(str, facts)] for label, facts in told(found).items()} == replaced
    assert rows(remote) == rows(local)
    assert not list((remote.lake / ".sqlgen/staging").glob("*"))
    assert remote.run() == {}
    return found


@pytest.mark.slow
def test_ray_gives_what_threads_give(cluster: None, tmp_path: Path) -> None:
    """Fresh, with empty files, incremental, with a worker that dies once, pruned, and a partition that fails."""
    remote, local = lake(tmp_path / "remote"), lake(tmp_path / "local")
    found = both(remote, local)
    assert len(found) == 3 * 2 * 6 + 2 + 3
    assert found[f"rare {BTC} {DAY2}"]["rows_out"] == 0
    for scratch in (remote, local):
        scratch.trades(BTC, DAY3, [7.0, 70.0])
        scratch.trades(ETH, DAY1, [4.0, 80.0], name="more")
        scratch.trades(BTC, DAY1, [4.5])
        shutil.rmtree(scratch.raw(ETH, DAY2))
        scratch.kernel(deadly("not pathlib.Path(MARKER).exists()", tmp_path / "marker"))
    both(remote, local, "--prune")
    assert (tmp_path / "marker").exists()
    for scratch in (remote, local):
        (scratch.trades(BTC, DAY2, [7.0]) / "data.parquet").write_bytes(b"PAR1")
    # A process of its own, which finds the cluster by its address; it prints what a local run prints.
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "sqlgen", "run", str(remote.file), "--executor", "ray", "--address", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    expected = local.sqlgen("run")
    assert (done.returncode, expected.code) == (1, 1), done.stdout + done.stderr
    assert lines(done.stdout, remote) == lines(expected.out, local)
    assert done.stderr.count("data.parquet") == expected.err.count("data.parquet")
    assert rows(remote) == rows(local)


def lines(printed: str, scratch: Scratch) -> list[str]:
    """What a run has printed, in any order of its tasks, without times and run ids, and what follows from these."""
    text = printed.replace(str(scratch.folder), "").replace(f"{scratch.folder.name}/", "")
    text = re.sub(
        r"[\d.,]+ k?B|[\d.]+ s\b|[\d,]+ rows/s|\d{8}T\d{12}-\w{4}|^\[\d+/(?=\d+\])", "", text, flags=re.MULTILINE
    )
    return sorted(re.sub(" +", " ", line) for line in text.splitlines())


@pytest.mark.slow
def test_a_worker_that_dies_each_time_fails_its_partition_alone(cluster: None, tmp_path: Path) -> None:
    scratch = lake(tmp_path / "deadly")
    scratch.kernel(deadly("batch['cost'][0] == 9.0", tmp_path / "marker"))
    scratch.trades("XRP-USDT", DAY1, [9.0])
    found = scratch.run("--executor", "ray", "--select", "costs,pairs", code=1)
    failed = {label: result["error"] for label, result in found.items() if result["status"] == "failed"}
    assert list(failed) == [f"costs XRP-USDT {DAY1}"]
    assert "the Ray worker that built it died, 3 times" in failed[f"costs XRP-USDT {DAY1}"]
    assert found[f"pairs XRP-USDT {DAY1}"]["status"] == "skipped"
    assert sum(result["status"] == "published" for result in found.values()) == 12


@pytest.mark.slow
def test_a_source_in_a_bucket_is_read_by_workers(cluster: None, scratch: Scratch, bucket: Bucket) -> None:
    """The lake is on a disk that all share; each worker fetches what it reads."""
    scratch.config["sources"]["raw"]["lake"] = bucket.url
    scratch.save()
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [100.0, 101.0])
        scratch.trades(symbol, DAY2, [7.0])
    bucket.upload(scratch.lake)
    shutil.rmtree(scratch.lake / "raw")
    assert len(scratch.run("--executor", "ray", "--threads", "2")) == 8
    expected = sorted(scratch.table("pairs").to_pylist(), key=repr)
    shutil.rmtree(scratch.lake)
    scratch.lake.mkdir()
    assert len(scratch.run()) == 8
    assert sorted(scratch.table("pairs").to_pylist(), key=repr) == expected


def test_executors_that_there_are_not(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = scratch.sqlgen("run", "--executor", "rey")
    assert (outcome.code, outcome.err) == (2, "error: no executor 'rey'. Did you mean 'ray'? There are: threads, ray\n")
    outcome = scratch.sqlgen("run", "--address", "auto")
    assert (outcome.code, "give --executor ray, too" in outcome.err) == (2, True)
    scratch.trades(BTC, DAY1, [1.0])
    with monkeypatch.context() as patched, socket.create_server(("127.0.0.1", 0)) as server:
        patched.setattr(ray, "is_initialized", lambda: False)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        server.close()
        outcome = scratch.sqlgen("run", "--executor", "ray", "--address", address)
    assert outcome.code == 2
    assert f"error: no Ray cluster at {address}: " in outcome.err
    assert "Connection refused. Nothing was run" in outcome.err
    assert not (scratch.lake / "out").exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = scratch.sqlgen("run", "--executor", "ray")
    assert (outcome.code, "pip install 'sqlgen[ray]'" in outcome.err) == (2, True)
    assert Settings().executor == "threads"


@pytest.mark.slow
def test_ray_is_loaded_where_it_is_used() -> None:
    code = "import sys, sqlgen.cli.app, sqlgen.run.runner; assert not {'ray'} & sys.modules.keys()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
