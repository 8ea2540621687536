"""Two shards as two processes, and Ray's workers, against threads of one process."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.measure import ROOT, Line, Process, median, python

SYMBOLS = "BTC-USDT,SOL-USDT"
"""The second of two shards, and the first."""
DAYS, ROWS, ROUNDS = 8, 100_000, 3
MODEL = "orderbook_hf"


def two_shards(folder: Path) -> Iterator[Line]:
    """One thread against two shards of a thread each."""
    lake = _sampled(folder / "shards")

    def shards() -> Process:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(_run, lake, "--threads", 1, "--shard", f"{index}/2") for index in (1, 2)]
        return max((run.result() for run in runs), key=lambda run: run.cpu)

    pairs = _pairs(lake, lambda: _run(lake, "--threads", 1), shards)
    yield from _lines(pairs, "one thread / two shards of one thread each", "1.7")
    cpu = statistics.median(one.cpu / two.cpu for one, two in pairs)
    yield "the same by CPU: one thread / the longer of two shards", f"{cpu:.2f}", "1.7"


def ray_and_threads(folder: Path) -> Iterator[Line]:
    """Two Ray workers, of a cluster that is there before, against two threads."""
    import ray

    lake = _sampled(folder / "ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        workers = ("--executor", "ray", "--address", ray.get_runtime_context().gcs_address)
        pairs = _pairs(lake, lambda: _run(lake, *workers), lambda: _run(lake, "--threads", 2))
    finally:
        ray.shutdown()
    yield from _lines(pairs, "two Ray workers / two threads", "1.2")


def _sampled(lake: Path) -> Path:
    size = ("--symbols", SYMBOLS, "--days", DAYS, "--rows-per-day", ROWS)
    python("sqlgen", "sample", lake, *size)
    _run(lake, "--start", "2026-01-01", "--end", "2026-01-01")  # kernels are compiled once
    return lake


def _run(lake: Path, *options: object) -> Process:
    select = ("--json", "--select", MODEL)
    run = python("sqlgen", "run", ROOT / "models.yaml", *select, *options, SQLGEN_LAKE=str(lake))
    assert run.json["ok"]
    return run


def _pairs(lake: Path, one: Callable[[], Process], other: Callable[[], Process]) -> list[tuple[Process, Process]]:
    def fresh(run: Callable[[], Process]) -> Process:
        shutil.rmtree(lake / "processed", ignore_errors=True)
        shutil.rmtree(lake / ".sqlgen", ignore_errors=True)
        os.sync()
        return run()

    return [(fresh(one), fresh(other)) for _ in range(ROUNDS)]


def _lines(pairs: Sequence[tuple[Process, Process]], which: str, goal: str) -> Iterator[Line]:
    what = f"`{MODEL}`, {2 * DAYS} partitions of {ROWS:,} snapshots: {which}"
    yield what, f"{statistics.median(one.seconds / other.seconds for one, other in pairs):.2f}", goal
    yield "the same", ", ".join(median(runs) for runs in zip(*pairs, strict=True)), ""
