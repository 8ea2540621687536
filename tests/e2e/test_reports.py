"""The report of a run: notes of tasks."""

from __future__ import annotations

from typing import Any

import pytest

from sqlgen.run import execution
from tests.support.scratch import BTC, DAY1, DAY2, Scratch


@pytest.fixture
def noting(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """A project whose tasks note that rows waited."""
    real = execution.build

    def build(space: Any, task: Any, connection: Any, sql: list[str], notes: list[str], *more: Any) -> Any:
        notes.append("20 changes waited for a snapshot")
        return real(space, task, connection, sql, notes, *more)

    monkeypatch.setattr(execution, "build", build)
    del scratch.config["models"]["pairs"]
    scratch.save()
    scratch.trades(BTC, DAY1, [1.0])
    scratch.trades(BTC, DAY2, [2.0])
    return scratch


def test_notes_of_tasks_are_printed_under_their_line_and_once_at_the_end(noting: Scratch) -> None:
    lines = noting.sqlgen("run").out.splitlines()
    task = next(i for i, line in enumerate(lines) if line.startswith("[1/2] published costs"))
    assert lines[task + 1] == "  note: 20 changes waited for a snapshot"
    where = f"exchange=binance/symbol=BTC-USDT/date={DAY1}"
    assert f"note: costs: {where} and 1 more partition(s): 20 changes waited for a snapshot" in lines


def test_notes_of_tasks_stand_in_the_json_report_also_where_they_fail(noting: Scratch) -> None:
    task = noting.run()["costs BTC-USDT 2026-01-01"]
    assert (task["status"], task["notes"]) == ("published", ["20 changes waited for a snapshot"])
    (noting.raw(BTC, DAY1) / "data.parquet").write_bytes(b"PAR1 and no more")
    task = noting.run(code=1)["costs BTC-USDT 2026-01-01"]
    assert (task["status"], task["notes"]) == ("failed", ["20 changes waited for a snapshot"])
