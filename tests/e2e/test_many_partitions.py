"""Output of plans and runs over many partitions: groups instead of a line each."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.support.scratch import BTC, ETH, Scratch

FIRST = dt.date(2026, 1, 1)


@pytest.mark.slow
def test_many_partitions_are_printed_in_groups(scratch: Scratch) -> None:
    for day in range(28):
        for symbol in (BTC, ETH):
            scratch.trades(symbol, str(FIRST + dt.timedelta(day)), [1.0])
    plan = scratch.sqlgen("plan")
    assert plan.out.splitlines() == [
        "costs: 56 partitions, 2026-01-01 to 2026-01-28, 2 symbols: new",
        "pairs: 56 partitions, 2026-01-01 to 2026-01-28, 2 symbols: new",
        "112 partition(s) to build, 0 up to date",
    ]
    listed = scratch.sqlgen("plan", "--verbose").out.splitlines()
    assert len(listed) == 113
    assert listed[0] == "costs\texchange=binance/symbol=BTC-USDT/date=2026-01-01\tbuild\tnew"
    assert len(scratch.sqlgen("plan", "--json").json["tasks"]) == 112

    lines = scratch.sqlgen("run", "--select", "costs").out.splitlines()
    finished = [line for line in lines if line.startswith("[")]
    assert 1 <= len(finished) < 56
    # What ended since the last line is one group; a group of one names its partition.
    assert finished[-1].startswith(("[56/56] published costs: ", "[56/56] published costs exchange=binance/"))
    assert all(" (new)" in line and " rows, " in line for line in finished)
    verbose = scratch.sqlgen("run", "--verbose", "--full-refresh", "--select", "costs").out.splitlines()
    assert len([line for line in verbose if line.startswith("[")]) == 56

    scratch.trades(BTC, str(FIRST), [1.0, 2.0], name="late")
    few = scratch.sqlgen("plan", "--select", "costs").out.splitlines()
    assert few[0].endswith("\tbuild\traw: files 1 new (late.parquet)")
    scratch.run()
    for day in range(28):
        for symbol in (BTC, ETH):
            scratch.trades(symbol, str(FIRST + dt.timedelta(day)), [3.0, 4.0], name=f"more {day}")
    assert scratch.sqlgen("plan", "--select", "costs").out.splitlines() == [
        "costs: 56 partitions, 2026-01-01 to 2026-01-28, 2 symbols: raw: files 1 new",
        "56 partition(s) to build, 0 up to date",
    ]
