"""Compaction of many small files, against reading and writing all of them in pyarrow."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.measure import Line, Process, python
from sqlgen.compile.statements import FOOTER_KEY
from sqlgen.lake.partitions import Partition
from sqlgen.published.footers import Stamp, new_build
from sqlgen.published.records import Publication

ROWS, ROUNDS = 100, 3
KEYS = ("exchange", "symbol", "date")


def project(lake: Path) -> Path:
    """A project whose table ``small`` is in mode append."""
    model = {
        "sql": "rows.sql.j2",
        "inputs": {"trades": "raw"},
        "output": {"path": "small", "mode": "append"},
    }
    sources = {"raw": {"path": "raw", "adapter": "ccxt/trades"}}
    (lake / "transforms_sql").mkdir(parents=True)
    (lake / "transforms_sql/rows.sql.j2").write_text("{#- description: Rows -#}\n{{ inputs.trades }}\n")
    file = lake / "models.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "lake": ".", "sources": sources, "models": {"small": model}}))
    return file


def publish(lake: Path, partitions: int, files: int) -> None:
    """Files as that many runs in mode append would have published them, each of one input file."""
    chance = np.random.default_rng(0)
    for number in range(partitions):
        unit = Partition.of(exchange="binance", symbol=f"S{number:03}-USDT", date="2026-01-01")
        folder = lake / "small" / unit.path
        folder.mkdir(parents=True)
        for place in range(files):
            build = new_build()
            record = Publication(
                unit.path, KEYS, "v", "sql", "options", {"trades": "d"}, mode="append", build=build,
                contributed=((f"raw/{number}/{place}.parquet", 1, 1),), published_at="2026-01-01T00:00:00+00:00",
            )  # fmt: skip
            stem = f"append_{build}_0"
            stamp = Stamp("small", ".sqlgen", stem, record).to_json()
            first = (number * files + place) * ROWS
            table = pa.table(
                {
                    "ts": pa.array(np.arange(first, first + ROWS) * 1_000_000, pa.timestamp("ns")),
                    "seq": np.arange(ROWS),
                    "trade_id": [f"t{first + row}" for row in range(ROWS)],
                    "price": chance.uniform(100, 101, ROWS).round(2),
                    "amount": chance.uniform(0, 1, ROWS).round(3),
                    "side": chance.choice([1, -1], ROWS).astype("int8"),
                }
            ).replace_schema_metadata({FOOTER_KEY: stamp})
            pq.write_table(table, folder / f"{stem}.parquet", compression="zstd")


def by_hand(table: Path, target: Path) -> None:
    """Read all files of a partition, file by file, and write them as one."""
    for folder in sorted(path.parent for path in table.rglob("*.parquet")):
        out = target / folder.relative_to(table)
        if not out.exists():
            out.mkdir(parents=True)
            tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.glob("*.parquet"))]
            pq.write_table(pa.concat_tables(tables), out / "data.parquet", compression="zstd")


def compaction(folder: Path) -> Iterator[Line]:
    """10,000 files in 100 partitions; memory against a tenth and a third of the files."""
    runs: dict[int, Process] = {}
    for files in (10, 30, 100):
        lake = folder / f"of-{files}"
        file = project(lake)
        publish(lake, 100, files)
        compact = ("sqlgen", "lake", "compact", "small", "--project", file, "--json")
        python(*compact, "--target-size", "1B")  # records of the files, as runs would have written them
        shutil.copytree(lake, folder / "copy")
        found, hands = [], []
        for _ in range(ROUNDS if files == 100 else 1):
            shutil.rmtree(lake)
            shutil.copytree(folder / "copy", lake)
            hands.append(python("benchmarks.compaction", folder / "copy/small", folder / "hand"))
            shutil.rmtree(folder / "hand")
            found.append(python(*compact))
            parts = json.loads(found[-1].out)["tables"][0]["partitions"]
            assert [(part["files_after"], part["rows_after"]) for part in parts] == [(1, files * ROWS)] * 100
        shutil.rmtree(folder / "copy")
        shutil.rmtree(lake)
        runs[files] = sorted(found, key=lambda run: run.seconds)[len(found) // 2]
    seconds, cpu = (statistics.median(each) for each in ([h.seconds for h in hands], [h.cpu for h in hands]))
    mine = runs[100]
    what = "`lake compact`, 10,000 files of 100 rows in 100 partitions: pyarrow file by file / compact"
    yield what, f"{seconds / mine.seconds:.1f} (CPU: {cpu / mine.cpu:.1f})", "5"
    yield "the same: pyarrow, compact, both with start", f"{seconds:.1f} s, {mine.seconds:.1f} s", ""
    peaks = ", ".join(f"{runs[files].peak_mb:,.0f} MB" for files in runs)
    yield "the same: peak memory with 1,000, 3,000 and 10,000 files", peaks, "the same"


if __name__ == "__main__":
    by_hand(Path(sys.argv[1]), Path(sys.argv[2]))
