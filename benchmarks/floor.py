"""The floor: COPY of a finished table that lies in memory, with the options of a model.

``python -m benchmarks.floor MODELS.YAML MODEL TABLE OUTPUT`` loads every file below TABLE, writes each as one file
below OUTPUT and prints the seconds of the writing alone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import duckdb

from sqlgen.compile.statements import copy_options
from sqlgen.project import project


def main(config: str, model: str, table: str, output: str) -> None:
    options = ", ".join(copy_options(project.load(Path(config)).models[model]))
    files = sorted(Path(table).rglob("*.parquet"))
    seconds = 0.0
    Path(output).mkdir(parents=True)
    for number, file in enumerate(files):
        with duckdb.connect() as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"CREATE TABLE finished AS FROM read_parquet('{file}', hive_partitioning = false)")
            begun = time.perf_counter()
            connection.execute(f"COPY finished TO '{output}/{number}.parquet' ({options})")
            seconds += time.perf_counter() - begun
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
