"""How many threads of DuckDB a task has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pytest

from sqlgen.plan import batches
from sqlgen.run.machine import duckdb_threads
from sqlgen.stream import kernel_copy
from tests.support.engine import ROOT
from tests.support.scratch import BTC, COSTS, DAY1, ETH, LEDGER, Scratch

PART = """
import threading, time
from importlib.machinery import SourceFileLoader
from sqlgen import __main__ as script
script._load_late("numpy")
import numpy
begun, load, seen = threading.Event(), SourceFileLoader.exec_module, []
def slowly(loader, module):
    if module is numpy:
        begun.set()
        time.sleep(0.5)
    load(loader, module)
SourceFileLoader.exec_module = slowly
def part():
    begun.wait()
    from numpy.typing import NDArray
    seen.append("part of the whole" if "ndarray" in numpy.__dict__ else "part")
waiting = threading.Thread(target=part)
waiting.start()
numpy.ndarray
waiting.join()
print(*seen)
"""
"""Program in which a thread imports a part of NumPy while another one loads NumPy."""

LATE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from sqlgen import __main__ as script

sys.setswitchinterval(1e-6)
script._load_late("numpy")
import numpy

print(type(numpy).__name__)
with ThreadPoolExecutor(8) as pool:
    for found in pool.map(lambda number: numpy.asarray([1.0, 2.0]).sum(), range(8)):
        print(float(found))
print(type(numpy).__name__)
"""


@pytest.mark.parametrize(
    ("threads", "sizes", "wanted"),
    [
        (2, [100, 100], 1),  # one thread each
        (2, [100] * 50, 1),
        (2, [100], 2),  # nothing else to do
        (2, [100, 1], 2),  # the large one would be left alone
        (2, [100, 1, 1, 100], 1),
        (8, [100] * 4, 5),  # four threads of tasks, four of DuckDB
        (8, [100] * 7 + [900], 8),
        (1, [100, 1], 1),
        (4, [], 4),
    ],
)
def test_tasks_leave_threads_to_duckdb(threads: int, sizes: list[int], wanted: int) -> None:
    assert duckdb_threads(threads, sizes) == wanted


def test_equal_partitions_take_a_thread_each(scratch: Scratch) -> None:
    del scratch.config["models"]["pairs"]
    scratch.save()
    scratch.template("costs.sql.j2", COSTS.replace("price * amount", "current_setting('threads')"))
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [1.0])
    scratch.run("--threads", "2")
    assert scratch.costs() == [(BTC, DAY1, 1), (ETH, DAY1, 1)]
    scratch.run("--threads", "2", "--full-refresh", "--symbol", BTC)
    assert scratch.costs() == [(BTC, DAY1, 2), (ETH, DAY1, 1)]


def test_small_tasks_read_without_threads_that_read_ahead(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    del scratch.config["models"]["pairs"]
    scratch.save()
    scratch.template("costs.sql.j2", COSTS.replace("price * amount", "current_setting('async_threads')"))
    scratch.trades(BTC, DAY1, [1.0])
    scratch.run("--memory-limit", "500MB")  # with a DuckDB instance of its own
    assert scratch.costs() == [(BTC, DAY1, 0)]
    monkeypatch.setattr(batches, "LARGE", 0)
    scratch.run("--memory-limit", "500MB", "--full-refresh")
    ((_, _, threads),) = scratch.costs()
    assert threads > 0


def test_kernels_rows_wait_within_a_limit(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[str | None] = []
    opened = kernel_copy.open_cursor

    @contextmanager
    def watched(*given: object) -> Iterator[duckdb.DuckDBPyConnection]:
        with opened(*given) as cursor:  # type: ignore[arg-type]
            yield cursor
            limits.extend(cursor.execute("SELECT current_setting('operator_memory_limit')").fetchone() or ())

    monkeypatch.setattr(kernel_copy, "open_cursor", watched)
    del scratch.config["models"]["pairs"]
    scratch.kernel(LEDGER)
    scratch.model("costs", udfs=["ledger"])
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [1.0, 2.0])
    scratch.run()
    assert [limit for limit in limits if limit] == ["572.2 MiB"] * 2  # the COPY of each, not the query that feeds it
    assert [row["before"] for row in scratch.table("costs").to_pylist()] == [None, 1.0] * 2


@pytest.mark.slow
def test_a_part_of_numpy_that_is_loaded_late_loads_the_whole() -> None:
    code = "from sqlgen import __main__ as script; script._load_late('numpy'); from numpy.typing import NDArray"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.slow
def test_no_thread_imports_a_part_of_numpy_while_another_one_loads_it() -> None:
    """It would hold a lock that the other one waits for, and wait for it."""
    done = subprocess.run(
        [sys.executable, "-c", PART], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "part of the whole\n", done.stderr


@pytest.mark.slow
def test_numpy_that_is_loaded_late_is_whole_for_all_threads() -> None:
    """Many threads may be the first to use it."""
    done = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["_Late", *["3.0"] * 8, "module"], done.stderr
