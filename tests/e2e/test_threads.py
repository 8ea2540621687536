"""How many threads of DuckDB a task has."""

from __future__ import annotations

import pytest

from sqlgen.runner import duckdb_threads
from tests.support.scratch import BTC, COSTS, DAY1, ETH, Scratch


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
