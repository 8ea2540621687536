"""All benchmarks: ``python -m benchmarks`` and names among them (start, structural, features, kernels, ...), or all."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks.kernels import cost_by_window, kernels_against_oracle
from benchmarks.measure import ROOT, Pair, Process, median, python

SYMBOLS, ROWS, LEVELS, ROUNDS = 2, 400_000, 20, 5


def line(what: str, measured: str, goal: str) -> None:
    print(f"| {what} | {measured} | {goal} |", flush=True)


def structural(folder: Path) -> None:
    """Structural features of 800,000 snapshots of 20 levels against the COPY of the finished table."""
    config = folder / "structural.yaml"
    text = (ROOT / "models.yaml").read_text(encoding="utf-8").split("  orderbook_bars:")[0]
    text = re.sub(r"    udfs: \[.*\n", "", text).replace(", trades: {ref: ccxt_trades, optional: true}", "")
    text = text.replace(", row_group_size: 30720", "")
    config.write_text(re.sub(r"ofi_levels: .*?\], ", "", text), encoding="utf-8")
    _against_floor("orderbook_hf without kernels", folder / "day", config, "1.3", "1,500 MB")


def features(folder: Path) -> None:
    """The same with all kernels, over as many trades, and with ten times the rows."""
    lake = folder / "day"
    peak = _against_floor("orderbook_hf", lake, ROOT / "models.yaml", "1.4", "1,200 MB")
    tenfold = folder / "tenfold"
    _sample(tenfold, ROWS * 10)
    run = _run(tenfold, ROOT / "models.yaml")
    line(
        f"the same over {SYMBOLS * ROWS * 10:,} snapshots: peak memory",
        f"{run.peak_mb:,.0f} MB",
        f"{1.2 * peak:,.0f} MB",
    )
    shutil.rmtree(tenfold)


CHOSEN = (
    "mid_price, microprice, spread_bps, imbalance_top1, imbalance_top5, total_imbalance, depth_0_5bps, log_return,"
    " ofi, ofi_sum_60s, mlofi, tfi_60s, vpin, kyle_lambda, rv_60s"
)


def chosen(folder: Path) -> None:
    """Fifteen columns of ``orderbook_hf`` against all of them."""
    lake, table = folder / "day", folder / "day/processed/ccxt/orderbook/hf"
    few = folder / "chosen.yaml"
    text = (ROOT / "models.yaml").read_text(encoding="utf-8").split("  orderbook_bars:")[0]
    few.write_text(
        text.replace("    udfs: [returns,", f"    features: [{CHOSEN}]\n    udfs: [returns,"), encoding="utf-8"
    )
    _sample(lake, ROWS)
    found: dict[Path, list[tuple[float, float, int]]] = {ROOT / "models.yaml": [], few: []}
    for _ in range(ROUNDS):
        for config, measured in found.items():
            run = _run(lake, config)
            size = sum(file.stat().st_size for file in table.rglob("*.parquet"))
            measured.append((run.json["seconds"], run.cpu, size))
    (every, cpu_of_all, bytes_of_all), (some, cpu_of_some, bytes_of_some) = (
        map(statistics.median, zip(*rows, strict=True)) for rows in found.values()
    )
    what = f"15 columns of orderbook_hf, {SYMBOLS * ROWS:,} snapshots x {LEVELS} levels: run / run of all"
    line(what, f"{some / every:.2f}; by CPU {cpu_of_some / cpu_of_all:.2f}", "0.35")
    line("the same: bytes / bytes of all", f"{bytes_of_some / bytes_of_all:.3f}", "0.15")
    line("the same: runs", f"{some:.2f} s, {every:.2f} s", "")


def _sample(lake: Path, rows: int) -> None:
    """A day of ``rows`` snapshots of each symbol, and as many trades."""
    if lake.exists():
        return
    size = ("--symbols", SYMBOLS, "--days", 1, "--rows-per-day", rows, "--levels", LEVELS)
    python("sqlgen", "sample", lake, *size)
    for file in (lake / "raw/ccxt/trades").rglob("*.parquet"):
        # The sample market has about one trade for two snapshots: each of them comes twice.
        once = f"FROM read_parquet('{file}', hive_partitioning = false)"
        twice = f"FROM ({once} UNION ALL {once}) ORDER BY timestamp"
        duckdb.execute(f"COPY ({twice}) TO '{file}.tmp' (FORMAT parquet)")
        Path(f"{file}.tmp").replace(file)


def _run(lake: Path, config: Path, model: str = "orderbook_hf") -> Process:
    shutil.rmtree(lake / "processed", ignore_errors=True)
    shutil.rmtree(lake / ".sqlgen", ignore_errors=True)
    os.sync()  # neither of the two pays for what the other left to be written
    return python("sqlgen", "run", config, "--json", "--select", model, SQLGEN_LAKE=str(lake))


def _against_floor(what: str, lake: Path, config: Path, goal: str, memory: str) -> float:
    _sample(lake, ROWS)
    _run(lake, config)  # kernels are compiled once
    ratios, walls, peaks, floors = [], [], [], []
    for _ in range(ROUNDS):
        run = _run(lake, config)
        os.sync()
        shutil.rmtree(lake / "floor", ignore_errors=True)
        table = lake / "processed/ccxt/orderbook/hf"
        floor = python("benchmarks.floor", config, "orderbook_hf", table, lake / "floor")
        walls.append(run.json["seconds"])
        floors.append(floor.json["seconds"])
        peaks.append(run.peak_mb)
        ratios.append(run.json["seconds"] / floor.json["seconds"])
    rows = f"{SYMBOLS * ROWS:,} snapshots x {LEVELS} levels"
    line(f"{what}, {rows}: run / COPY from memory", f"{statistics.median(ratios):.2f}", goal)
    line("the same: run, COPY from memory", f"{statistics.median(walls):.2f} s, {statistics.median(floors):.2f} s", "")
    line("the same: peak memory of the run", f"{max(peaks):,.0f} MB", memory)
    return max(peaks)


def kernels(folder: Path) -> None:
    """The kernels alone: against row-by-row Python, and by the length of their windows."""
    for what, measured, goal in (*kernels_against_oracle(), *cost_by_window()):
        line(what, measured, goal)


def vendors(folder: Path) -> None:
    """A day of a vendor's packed CSV, read and featured, against the same rows in Parquet."""
    from benchmarks.vendors import FORMATS, config, write

    rows = 1_000_000
    write(folder / "vendors", rows)
    for what, project in (("orderbook_hf without kernels", False), ("orderbook_hf with all kernels", True)):
        file = config(folder / "vendors", project)
        rounds = [[_run(folder / "vendors" / name, file) for name in FORMATS] for _ in range(3)]
        packed, plain = ([both[place] for both in rounds] for place in range(len(FORMATS)))
        pair = Pair(plain, packed)
        line(
            f"{what}, {rows:,} rows x 25 levels of Tardis CSV.gz: rows/s / those of Parquet",
            f"{pair.ratio(lambda p: p.seconds):.2f}; by CPU {pair.ratio(lambda p: p.cpu):.2f}",
            "0.5",
        )
        line("the same: CSV.gz, Parquet", f"{median(packed)}; {median(plain)}", "")
        line("the same: peak memory of CSV.gz", f"{max(p.peak_mb for p in packed):,.0f} MB", "1,200 MB")


def messages(folder: Path) -> None:
    """Messages of order books in NDJSON, made books."""
    from benchmarks.messages import ADAPTERS, write

    updates = 2_000_000
    for venue in ADAPTERS:
        lake = folder / "messages" / venue
        file = write(lake, venue, updates)
        runs = [_run(lake, file, "book") for _ in range(3)]
        seconds, cpu = statistics.median(run.seconds for run in runs), statistics.median(run.cpu for run in runs)
        line(
            f"books from {updates:,} level updates of {venue} messages: updates a second",
            f"{updates / seconds:,.0f}; by CPU {updates / cpu:,.0f}",
            "400,000",
        )


def builds(folder: Path) -> None:
    """10,000 small partitions: the first build, then runs with nothing to do, and with one file changed."""
    from benchmarks.many import builds as lines

    for each in lines(folder):
        line(*each)


def many(folder: Path) -> None:
    """Small partitions, built in batches, against scripts written by hand."""
    from benchmarks.many import against_script

    for model in ("trades_bars", "trades_features"):
        for each in against_script(folder / model, model):
            line(*each)


def wide(folder: Path) -> None:
    """Planning over 200,000 partitions."""
    from benchmarks.wide import lines

    for each in lines(folder):
        line(*each)


def hf(folder: Path) -> None:
    """Small partitions of order books, through all kernels, against the COPY of the finished table."""
    from benchmarks.many import against_floor

    for each in against_floor(folder / "hf"):
        line(*each)


def shards(folder: Path) -> None:
    """Two shards as two processes of one thread each, against one thread; Ray's workers against threads."""
    from benchmarks.shards import ray_and_threads, two_shards

    for what, measured, goal in itertools.chain(two_shards(folder), ray_and_threads(folder)):
        line(what, measured, goal)


def liquidity(folder: Path) -> None:
    """Trades joined with quotes, against a script; first barriers by their horizon."""
    from benchmarks.liquidity import against_script, barriers_by_horizon

    for what, measured, goal in (*against_script(folder / "liquidity"), *barriers_by_horizon()):
        line(what, measured, goal)


def store(folder: Path) -> None:
    """The lake in an object store, against the lake on a disk."""
    from benchmarks.objectstore import disk_and_store

    for what, measured, goal in disk_and_store(folder):
        line(what, measured, goal)


def compact(folder: Path) -> None:
    """Small files joined, against pyarrow file by file."""
    from benchmarks.compaction import compaction

    for what, measured, goal in compaction(folder / "compact"):
        line(what, measured, goal)


def start(folder: Path) -> None:
    """Seconds that the command line takes to answer."""
    compiled = folder / "compiled"
    for what, arguments, goal in (
        ("`python -m sqlgen --help`", ("--help",), "0.5 s"),
        ("`compile` of the shipped project", ("compile", ROOT / "models.yaml", "--output", compiled), "0.8 s"),
    ):
        line(what, median([python("sqlgen", *arguments) for _ in range(5)]), goal)


def sample(folder: Path) -> None:
    """A million snapshots of the sample market."""
    begun = time.perf_counter()
    out = python(
        "sqlgen", "sample", folder / "sample", "--symbols", 2, "--days", 1, "--rows-per-day", 500_000, "--json"
    )
    rows = out.json["rows"]["orderbook"]
    line(f"`sample`, {rows:,} snapshots", f"{time.perf_counter() - begun:.1f} s, {out.peak_mb:,.0f} MB", "30 s")


BENCHMARKS: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        start,
        structural,
        features,
        chosen,
        kernels,
        vendors,
        messages,
        many,
        hf,
        builds,
        wide,
        shards,
        store,
        compact,
        liquidity,
        sample,
    )
}


def main() -> None:
    wanted = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    print("| what | measured | goal |\n|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="sqlgen-bench-") as folder:
        for name in wanted:
            BENCHMARKS[name](Path(folder))


if __name__ == "__main__":
    main()
