"""Readers of a table while its partitions are replaced: what they see, and how often they fail.

``python -m tests.support.readers [SECONDS]`` prints the table of docs/publishing.md.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.lake import swap

PARTITIONS = 8
ROWS = 2_000
WIDTH = 12
PARTS = 4
"""Files of a partition with an inner partition column."""

SEEN = ("reads", "failed", "missing", "mixed", "short")
Rows = list[tuple[str, int, int, int]]
"""Symbol, how many rows it has, and the lowest and the highest version of them."""


# The table


def write(folder: Path, version: int, several: bool, stem: str) -> None:
    """One partition of a version: as one file, or as one per value of the column ``part``."""
    rows = ROWS + version % 7
    table = pa.table({"version": [version] * rows} | {f"x{n}": [float(n)] * rows for n in range(WIDTH)})
    for part in range(PARTS) if several else [0]:
        place = folder / f"part={part}" if several else folder
        place.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(part, rows if not several else rows // PARTS), place / f"{stem}_0.parquet")


def expected(version: int, several: bool) -> int:
    rows = ROWS + version % 7
    return sum(min(rows // PARTS, rows - part) for part in range(PARTS)) if several else rows


def replace_partitions(lake: Path, way: str, several: bool, stop: Callable[[], bool]) -> int:
    """Publish new versions of all partitions until told to stop; how many were published."""
    count = 0
    version = 0
    while not stop():
        version += 1
        for number in range(PARTITIONS):
            staged, target = lake / "staging" / str(number), lake / f"table/exchange=e/symbol=s{number}"
            write(staged, version, several, "data" if way != "new names" else f"v{version}")
            if way == "rename":
                swap.publish_file(staged / "data_0.parquet", target / "data_0.parquet")
            else:
                swap.publish_folder(staged, target)
            count += 1
    return count


# The readers, each in a process of its own

QUERY = "SELECT symbol, count(*), min(version), max(version) FROM {} GROUP BY symbol"
SCAN = "read_parquet('{}/**/*.parquet', hive_partitioning = true{})"


def by_duckdb(folder: Path) -> Iterator[Rows]:
    import duckdb

    while True:
        with duckdb.connect() as connection:
            yield connection.execute(QUERY.format(SCAN.format(folder, ""))).fetchall()


def by_open_duckdb(folder: Path, options: str = "") -> Iterator[Rows]:
    """One connection, with a view as the catalog has it."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW t AS FROM {SCAN.format(folder, options)}")
    while True:
        yield connection.execute(QUERY.format("t")).fetchall()


def by_open_duckdb_by_name(folder: Path) -> Iterator[Rows]:
    return by_open_duckdb(folder, ", union_by_name = true")


def by_catalog(folder: Path) -> Iterator[Rows]:
    """The view that ``sqlgen catalog`` has written."""
    import duckdb

    connection = duckdb.connect()
    connection.execute((folder.parents[2] / "target/catalog.sql").read_text())
    while True:
        yield connection.execute(QUERY.format(folder.name)).fetchall()


def by_pandas(folder: Path) -> Iterator[Rows]:
    import pandas

    while True:
        frame = pandas.read_parquet(folder, columns=["version", "symbol"])
        grouped = frame.groupby("symbol", observed=True)["version"].agg(["count", "min", "max"])
        yield [(str(name), *map(int, row)) for name, row in zip(grouped.index, grouped.to_numpy(), strict=True)]


def by_polars(folder: Path) -> Iterator[Rows]:
    import polars

    version = polars.col("version")
    columns = [version.count().alias("rows"), version.min().alias("low"), version.max().alias("high")]
    while True:
        yield polars.scan_parquet(folder, hive_partitioning=True).group_by("symbol").agg(columns).collect().rows()


def by_pyarrow(folder: Path) -> Iterator[Rows]:
    import pyarrow.dataset

    functions = [("version", "count"), ("version", "min"), ("version", "max")]
    while True:
        table = pyarrow.dataset.dataset(folder, partitioning="hive").to_table(columns=["version", "symbol"])
        found = table.group_by("symbol").aggregate(functions).to_pylist()
        yield [(r["symbol"], r["version_count"], r["version_min"], r["version_max"]) for r in found]


READERS: dict[str, Callable[[Path], Iterator[Rows]]] = {
    "duckdb glob": by_duckdb,
    "duckdb view": by_open_duckdb,
    "duckdb union_by_name": by_open_duckdb_by_name,
    "pandas": by_pandas,
    "polars": by_polars,
    "pyarrow": by_pyarrow,
}


CATALOG = "view of the catalog"
BY_NAME = READERS | {CATALOG: by_catalog}


@contextlib.contextmanager
def held(lock: Path | None) -> Iterator[None]:
    """Hold a lock alone, as ``flock`` does."""
    if lock is None:
        yield
        return
    with lock.open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    time.sleep(0.02)  # a run may begin


def read(name: str, folder: Path, several: bool, seconds: float, lock: Path | None = None) -> dict[str, Any]:
    """What a reader saw: reads, those that failed and why, and those that saw a partition that is not whole.

    ``lock``: held during each read.
    """
    seen: collections.Counter[str] = collections.Counter(dict.fromkeys(SEEN, 0))
    why: collections.Counter[str] = collections.Counter()
    with contextlib.suppress(Exception):
        next(BY_NAME[name](folder))  # which imports what it needs
    end = time.monotonic() + seconds
    reader = BY_NAME[name](folder)
    while time.monotonic() < end:
        seen["reads"] += 1
        try:
            with held(lock):
                rows = next(reader)
        except Exception as error:
            seen["failed"] += 1
            why[f"{type(error).__name__}: {str(error).splitlines()[0]}".replace(str(folder), "")] += 1
            reader = BY_NAME[name](folder)
            continue
        seen["missing"] += len(rows) < PARTITIONS
        seen["mixed"] += any(low != high for _, _, low, high in rows)
        seen["short"] += any(low == high and count != expected(low, several) for _, count, low, high in rows)
    return {**seen, "why": dict(why.most_common(2))}


def started(name: str, folder: Path, several: bool, seconds: float, lock: Path | str = "") -> subprocess.Popen[str]:
    """A reader in a process of its own, which prints what it has seen."""
    arguments = [name, str(folder), str(several), str(seconds), str(lock)]
    command = [sys.executable, "-m", "tests.support.readers", "--read", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measure(way: str, several: bool, seconds: float, names: list[str]) -> dict[str, dict[str, Any]]:
    """What each reader saw while partitions were replaced."""
    with tempfile.TemporaryDirectory() as scratch:
        lake = Path(scratch)
        for number in range(PARTITIONS):
            stem = "data" if way != "new names" else "v0"
            write(lake / f"table/exchange=e/symbol=s{number}", 0, several, stem)
        running = {name: started(name, lake / "table", several, seconds) for name in names}
        published = replace_partitions(lake, way, several, lambda: all(p.poll() is not None for p in running.values()))
        found = {name: json.loads(process.communicate()[0]) for name, process in running.items()}
        return found | {"published": {"count": published}}


def main() -> None:
    if sys.argv[1:2] == ["--read"]:
        name, folder, several, seconds_, lock = sys.argv[2:]
        found = read(name, Path(folder), several == "True", float(seconds_), Path(lock) if lock else None)
        print(json.dumps(found))
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    ways = [("rename", False), ("fixed names", False), ("new names", False), ("fixed names", True), ("new names", True)]
    for way, several in ways:
        for name in READERS:
            found = measure(way, several, seconds, [name])
            print(way, "several" if several else "one", name, found, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
