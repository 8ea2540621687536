"""The floor: COPY of a finished table that lies in memory, with the options of a model.

``python -m benchmarks.floor MODELS.YAML MODEL TABLE OUTPUT [1]`` loads every file below TABLE, writes each as one file
below OUTPUT and prints the seconds of the writing alone. With ``1`` at its end, all of them are one table, which
one COPY writes by its partitions.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from sqlgen.compile.statements import copy_options
from sqlgen.project import project


def copies(files: list[Path], output: str, as_one: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Files to load, target of their COPY, and its further options."""
    if as_one:
        names = ", ".join(f"'{file}'" for file in files)
        yield f"[{names}], hive_partitioning = true", output, ["PARTITION_BY (exchange, symbol, date)"]
    else:
        for number, file in enumerate(files):
            yield f"'{file}', hive_partitioning = false", f"{output}/{number}.parquet", []


def main(config: str, model: str, table: str, output: str, as_one: str = "") -> None:
    options = copy_options(project.load(Path(config)).models[model])
    files = sorted(Path(table).rglob("*.parquet"))
    seconds = cpu = 0.0
    Path(output).mkdir(parents=True)
    for read, target, more in copies(files, output, bool(as_one)):
        with duckdb.connect() as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"CREATE TABLE finished AS FROM read_parquet({read})")
            begun, before = time.perf_counter(), os.times()
            connection.execute(f"COPY finished TO '{target}' ({', '.join([*options, *more])})")
            seconds += time.perf_counter() - begun
            after = os.times()
            cpu += after.user + after.system - before.user - before.system
    print(json.dumps({"seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main(*sys.argv[1:])
