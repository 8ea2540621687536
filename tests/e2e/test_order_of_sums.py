"""Rows on one thread and on two, built alone and together: equal to the bit, except columns that docs/ names."""

from __future__ import annotations

import datetime as dt
import fnmatch
import math
import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from sqlgen.plan import batches
from tests.support.engine import ROOT
from tests.support.lakes import write_trades
from tests.support.scratch import BTC, Scratch

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
EVENT_BARS = "trades/event_bars.sql.j2"
MODELS = {
    "trades/features.sql.j2": {},
    "trades/bars.sql.j2": {"bar_durations": [60, 3600]},
    EVENT_BARS: {"tick_bar_size": 100},
}


def may_differ(template: str) -> list[str]:
    """Patterns of the columns that the documentation names."""
    text = (ROOT / "docs/publishing.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("|") and f"`{template}`" in line)
    return re.findall(r"`([^`]+)`", row.split("|")[2])


def trades(day: str) -> Iterator[dict[str, Any]]:
    """A trade every ten seconds."""
    midnight = int(dt.datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp() * 1000)
    for number in range(2500):
        yield {
            "timestamp": midnight + 10_000 * number,
            "trade_id": f"{day} {number}",
            "side": ("buy", "sell", "sell")[number % 3],
            "price": 100 + (number * 7919 % 1009) / 997,
            "amount": (number * 104_729 % 1013) / 999 + 0.001,
        }


def rows(scratch: Scratch) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns, and all rows in order."""
    table = duckdb.read_parquet(f"{scratch.lake}/out/t/**/*.parquet", hive_partitioning=True)
    order = next(name for name in ("seq", "bar_start", "bar_id") if name in table.columns)
    seconds = "bar_seconds, " if "bar_seconds" in table.columns else ""
    return table.columns, table.order(f"date, {seconds}{order}").fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("template", MODELS)
def test_rows_depend_on_data_alone(scratch: Scratch, template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices and amounts whose sums depend on their order; windows of hundreds of trades."""
    scratch.config["models"] = {}
    scratch.model(
        "t",
        sql=template,
        inputs={"trades": "raw"},
        options=MODELS[template],
        output={"path": "out/t"},
        **({"udfs": ["tick_bars"]} if template == EVENT_BARS else {}),
    )
    for day in DAYS:
        write_trades(scratch.lake, "binance", BTC, day, list(trades(day)))
    found = []
    for threads, units in ((1, 1), (1, 256), (2, 256)):
        monkeypatch.setattr(batches, "MAX_UNITS", units)
        scratch.run("--full-refresh", "--threads", threads)
        found.append(rows(scratch))
    names, first = found[0]
    assert len(first) > 60
    patterns = may_differ(template)
    inexact = {name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}
    assert len(inexact) >= len(patterns)
    for _, others in found[1:]:
        assert len(others) == len(first)
        for one, other in zip(first, others, strict=True):
            unlike = [
                (name, ours, theirs)
                for name, ours, theirs in zip(names, one, other, strict=True)
                if ours != theirs and not (name in inexact and math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-9))
            ]
            assert not unlike
