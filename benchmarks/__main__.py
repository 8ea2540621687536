"""All benchmarks: ``python -m benchmarks`` and names among them (start, structural, features, kernels, ...), or all."""

from __future__ import annotations

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
from benchmarks.measure import ROOT, Process, python

SYMBOLS, ROWS, LEVELS, ROUNDS = 2, 400_000, 20, 5


def line(what: str, measured: str, goal: str) -> None:
    print(f"| {what} | {measured} | {goal} |", flush=True)


def structural(folder: Path) -> None:
    """Structural features of 800,000 snapshots of 20 levels against the COPY of the finished table."""
    config = folder / "structural.yaml"
    text = (ROOT / "models.yaml").read_text(encoding="utf-8")
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


def _sample(lake: Path, rows: int) -> None:
    """A day of ``rows`` snapshots of each symbol, and as many trades."""
    if lake.exists():
        return
    size = ("--symbols", SYMBOLS, "--days", 1, "--rows-per-day", rows, "--levels", LEVELS)
    python("-m", "sqlgen", "sample", lake, *size)
    for file in (lake / "raw/ccxt/trades").rglob("*.parquet"):
        # The sample market has about one trade for two snapshots: each of them comes twice.
        once = f"FROM read_parquet('{file}', hive_partitioning = false)"
        twice = f"FROM ({once} UNION ALL {once}) ORDER BY timestamp"
        duckdb.execute(f"COPY ({twice}) TO '{file}.tmp' (FORMAT parquet)")
        Path(f"{file}.tmp").replace(file)


def _run(lake: Path, config: Path) -> Process:
    shutil.rmtree(lake / "processed", ignore_errors=True)
    shutil.rmtree(lake / ".sqlgen", ignore_errors=True)
    os.sync()  # neither of the two pays for what the other left to be written
    return python("-m", "sqlgen", "run", config, "--json", "--select", "orderbook_hf", SQLGEN_LAKE=str(lake))


def _against_floor(what: str, lake: Path, config: Path, goal: str, memory: str) -> float:
    _sample(lake, ROWS)
    _run(lake, config)  # kernels are compiled once
    ratios, walls, peaks, floors = [], [], [], []
    for _ in range(ROUNDS):
        run = _run(lake, config)
        os.sync()
        shutil.rmtree(lake / "floor", ignore_errors=True)
        table = lake / "processed/ccxt/orderbook/hf"
        floor = python("-m", "benchmarks.floor", config, "orderbook_hf", table, lake / "floor")
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
        seconds: dict[str, list[float]] = {name: [] for name in FORMATS}
        peak = 0.0
        for _ in range(3):
            for name in FORMATS:
                run = _run(folder / "vendors" / name, file)
                seconds[name].append(run.json["seconds"])
                peak = max(peak, run.peak_mb)
        packed, plain = (statistics.median(seconds[name]) for name in FORMATS)
        line(
            f"{what}, {rows:,} rows x 25 levels of Tardis CSV.gz: rows/s / those of Parquet",
            f"{plain / packed:.2f}",
            "0.5",
        )
        line("the same: CSV.gz, Parquet, peak memory", f"{packed:.1f} s, {plain:.1f} s, {peak:,.0f} MB", "")


def noop(folder: Path) -> None:
    """A run over 10,000 published partitions that finds nothing to do."""
    lake = folder / "noop"
    python("-m", "sqlgen", "sample", lake, "--symbols", 1, "--days", 1, "--rows-per-day", 100)
    first = next((lake / "raw/ccxt/ticker").rglob("*.parquet"))
    raw = lake / "raw/ccxt/ticker"
    keep = first.read_bytes()
    shutil.rmtree(raw)
    for symbol in range(100):
        for day in range(100):
            path = (
                raw
                / f"exchange=binance/symbol=S{symbol}/date=20{26 + day // 28:02}-{1 + day % 12:02}-{1 + day % 28:02}"
            )
            path.mkdir(parents=True, exist_ok=True)
            (path / "data.parquet").write_bytes(keep)
    partitions = sum(1 for _ in raw.rglob("*.parquet"))
    select = ("--select", "ticker_features", "--json")
    first_run = python("-m", "sqlgen", "run", *select, SQLGEN_LAKE=str(lake))
    assert first_run.json["ok"]
    seconds = [python("-m", "sqlgen", "run", *select, SQLGEN_LAKE=str(lake)).seconds for _ in range(ROUNDS)]
    line(f"no-op run over {partitions:,} partitions", f"{statistics.median(seconds):.2f} s", "3 s")
    line("first run over them", f"{first_run.seconds:.0f} s", "")


def many(folder: Path) -> None:
    """Small partitions, built in batches, against the compiled file in DuckDB alone."""
    from benchmarks.many import TRADES, ratio

    for model in ("trades_bars", "trades_features"):
        partitions, run, script, times = ratio(folder / model, model)
        what = f"`{model}`, {partitions:,} partitions of {TRADES} trades: run / the compiled file in DuckDB"
        line(what, f"{times:.2f}", "1.5")
        line("the same: run, compiled file", f"{run:.1f} s, {script:.1f} s", "")


def liquidity(folder: Path) -> None:
    """Trades joined with quotes, against a script; first barriers by their horizon."""
    from benchmarks.liquidity import against_script, barriers_by_horizon

    for what, measured, goal in (*against_script(folder / "liquidity"), *barriers_by_horizon()):
        line(what, measured, goal)


def start(folder: Path) -> None:
    """Seconds that the command line takes to answer."""
    compiled = folder / "compiled"
    for what, arguments, goal in (
        ("`python -m sqlgen --help`", ("--help",), "0.5 s"),
        ("`compile` of the shipped project", ("compile", ROOT / "models.yaml", "--output", compiled), "1.5 s"),
    ):
        seconds = [python("-m", "sqlgen", *arguments).seconds for _ in range(5)]
        line(what, f"{statistics.median(seconds):.2f} s", goal)


def sample(folder: Path) -> None:
    """A million snapshots of the sample market."""
    begun = time.perf_counter()
    out = python(
        "-m", "sqlgen", "sample", folder / "sample", "--symbols", 2, "--days", 1, "--rows-per-day", 500_000, "--json"
    )
    rows = out.json["rows"]["orderbook"]
    line(f"`sample`, {rows:,} snapshots", f"{time.perf_counter() - begun:.1f} s, {out.peak_mb:,.0f} MB", "30 s")


BENCHMARKS: dict[str, Callable[[Path], None]] = {
    f.__name__: f for f in (start, structural, features, kernels, vendors, many, liquidity, noop, sample)
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
