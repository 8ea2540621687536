"""The code of docs/python.md, run as it stands, and mistakes in what is given."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest

import sqlgen as package
from sqlgen.errors import ConfigError, UsageError
from tests.support.engine import ROOT, sqlgen
from tests.support.scratch import BTC, DAY1, DAY2, ETH, Scratch


@pytest.mark.slow
def test_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sqlgen("init", tmp_path)
    page, _, live = (ROOT / "docs/python.md").read_text().partition("## Live\n")
    assert "sqlgen.live.open_model(" in live  # has a test of its own
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path):
        for block in blocks:
            exec(compile(block, "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "6 partitions to build: {'new'}" in printed
    assert {task.partition.split("/")[1] for task in names["report"].tasks} == {"symbol=BTC-USDT"}
    assert names["table"].num_rows >= 23
    assert "large_trades" in printed
    assert "100.0% of the hours, " in printed
    names["connection"].close()


def test_what_is_public() -> None:
    assert callable(package.live.open_model)
    for name in ("open", "connect", "live", "arrays", "functions", "sample"):
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="module 'sqlgen' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_a_project_follows_its_files(scratch: Scratch) -> None:
    """What is chosen is chosen as on the command line; the project is loaded anew at each call."""
    for symbol in (BTC, ETH):
        scratch.trades(symbol, DAY1, [1.0, 2.0])
        scratch.trades(symbol, DAY2, [3.0])
    project = package.open(scratch.file, threads=1)
    assert len(project.plan().tasks) == 8
    report = project.run(select=["costs"], symbol=[ETH], end=dt.date.fromisoformat(DAY1))
    assert (report.counts, report.tasks[0].rows_out) == ({"published": 1}, 2)
    assert len(project.run(select="+pairs", exclude="pairs").tasks) == 3
    assert project.check().ok
    assert "price * amount AS cost" in project.compile("costs")
    scratch.template("costs.sql.j2", "SELEC 1")
    assert "costs.sql.j2:1: Parser Error" in project.check().problems[0]
    with pytest.raises(UsageError, match="end 2026-01-01 is before start 2026-01-02"):
        project.plan(start=DAY2, end=DAY1)
    with pytest.raises(UsageError, match="no model matches 'cots'"):
        project.run(select="cots")


def test_mistakes_in_the_project_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text("version: 2\nlake: lake\nmodel: {}\n")
    with pytest.raises(ConfigError) as caught:
        package.open(tmp_path / "models.yaml")
    assert len(caught.value.problems) == 2
