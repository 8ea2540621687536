"""Lookahead, the mirror of lookback: over midnight, incremental, in batches; labels, which no live feed has."""

from __future__ import annotations

import re

import pytest

from sqlgen.errors import UsageError
from sqlgen.live.model import open_model
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, Scratch

NEXT = """\
{#-
description: Cost of the trade after each
inputs: [costs]
lookahead: "86400"
batches: true
order_by: [ts, seq]
-#}
WITH costs AS (
    {{ inputs.costs }}
)
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    lead(cost) OVER (PARTITION BY exchange, symbol ORDER BY ts, seq)
        AS next_cost -- label: q: cost of the trade after it
FROM costs
"""


@pytest.fixture
def labels(scratch: Scratch) -> Scratch:
    """Two days of BTC and one of ETH; ``pairs`` gives the cost of the next trade."""
    scratch.template("next.sql.j2", NEXT)
    scratch.config["models"]["pairs"] = {
        "sql": "next.sql.j2",
        "inputs": {"costs": "costs"},
        "output": {"path": "out/next"},
    }
    scratch.save()
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    scratch.trades(BTC, DAY2, [102.0])
    scratch.trades(ETH, DAY1, [10.0])
    scratch.run()
    return scratch


def nexts(scratch: Scratch) -> list[float | None]:
    found: list[float | None] = scratch.table("pairs")["next_cost"].to_pylist()
    return found


def test_a_day_sees_the_next_one_and_what_is_not_there_yet_is_null(labels: Scratch) -> None:
    assert nexts(labels) == [101.0, 102.0, None, None]
    assert labels.plan() == {}


def test_a_day_is_stale_when_its_lookahead_comes_and_only_then(labels: Scratch) -> None:
    labels.trades(BTC, DAY3, [103.0])
    labels.trades(ETH, DAY3, [12.0])  # two days later: out of reach
    assert labels.plan() == {
        "costs BTC-USDT 2026-01-03": "new",
        "costs ETH-USDT 2026-01-03": "new",
        "pairs BTC-USDT 2026-01-02": "costs changed (the day after)",
        "pairs BTC-USDT 2026-01-03": "new",
        "pairs ETH-USDT 2026-01-03": "new",
    }
    labels.run()
    assert nexts(labels) == [101.0, 102.0, 103.0, None, None, None]
    assert labels.plan() == {}


def test_a_late_file_rebuilds_its_day_and_the_one_that_looks_ahead_to_it(labels: Scratch) -> None:
    labels.trades(BTC, DAY2, [99.0], name="a_late")
    assert labels.plan() == {
        "costs BTC-USDT 2026-01-02": "raw: files 1 new (a_late.parquet)",
        "pairs BTC-USDT 2026-01-01": "costs changed (the day after)",
        "pairs BTC-USDT 2026-01-02": "costs changed",
    }


def test_a_lookahead_that_goes_away_leaves_null(labels: Scratch) -> None:
    next(labels.raw(BTC, DAY2).glob("*")).unlink()
    labels.run("--prune")
    assert nexts(labels) == [101.0, None, None]


@pytest.mark.slow
def test_the_order_in_which_days_come_makes_no_difference(labels: Scratch) -> None:
    labels.trades(BTC, DAY3, [103.0])
    labels.run()
    step_by_step = labels.table("pairs")
    labels.run("--full-refresh")
    assert labels.table("pairs") == step_by_step


@pytest.mark.parametrize(
    ("seconds", "first_day"), [(0, [101.0, None]), (43_200, [101.0, None]), (43_260, [101.0, 102.0])]
)
def test_models_yaml_may_say_how_far(labels: Scratch, seconds: int, first_day: list[float | None]) -> None:
    """Trades are at noon: of those of the next day a lookahead reads what is before its end."""
    labels.model("pairs", lookahead=seconds)
    labels.run()
    assert nexts(labels)[:2] == first_day
    head = labels.sqlgen("compile", "--select", "pairs", "--stdout").out
    assert re.findall(r"lookahead: +(\d+) s", head) == ([str(seconds)] if seconds else [])


def test_no_live_feed_gives_labels(labels: Scratch) -> None:
    labels.model("pairs", inputs={"costs": "raw"})
    labels.template("next.sql.j2", NEXT.replace("lead(cost)", "lead(price)"))
    message = r"model 'pairs' cannot run live: its labels \(next_cost\) know later rows, which no feed has yet"
    with pytest.raises(UsageError, match=message):
        open_model(labels.file, "pairs", exchange="binance", symbol=BTC)


def test_columns_and_catalog_mark_labels(labels: Scratch) -> None:
    labels.model("pairs", enabled=False)
    assert "label: cost of the trade after it" in labels.sqlgen("columns", "pairs").out
    labels.sqlgen("catalog")
    found = next(labels.folder.rglob("catalog.sql")).read_text()
    assert "COMMENT ON COLUMN pairs.next_cost IS 'label: q: cost of the trade after it'" in found
