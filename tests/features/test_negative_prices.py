"""Prices at or below zero (CL on 2020-04-20): logs and ratios to such a price are NULL, all else has its value.

A model before the one that is tested moves prices down, so that no adapter has to let such prices through.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features import made
from tests.features.made import MIDNIGHT, event_times, keyed
from tests.oracles import bars, orderbook, ticker, trades
from tests.oracles.compare import assert_same, table_rows
from tests.support.engine import published, sqlgen
from tests.support.lakes import read_rows, write_rows

Row = dict[str, Any]
MOVED = """\
{#-
description: The rows of the input, their prices moved down
options:
  by: {type: float, default: 0, doc: how far}
-#}
SELECT
    * REPLACE (
{% for column in options.columns %}
        {{ column | ident }} - {{ options.by }} AS {{ column | ident }}{{ ',' if not loop.last }}
{% endfor %}
    )
FROM (
    {{ inputs.rows | indent(4) }}
)
"""
LEVELS = 6
PRICES = {
    "orderbook": [f"{side}_price_{i:02d}" for i in range(LEVELS) for side in ("bid", "ask")],
    "trades": ["price"],
    "ticker": ["bid", "ask", "last", "high", "low"],
}
TEMPLATES = {
    "orderbook": {"hf": "orderbook/hf.sql.j2", "bars": "orderbook/bars.sql.j2"},
    "trades": {"features": "trades/features.sql.j2", "bars": "trades/bars.sql.j2"},
    "ticker": {"features": "ticker/features.sql.j2"},
}
PRIMARY = {"hf": "orderbook", "features": None, "bars": None}


def run(lake: Path, kind: str, by: float) -> dict[str, Any]:
    """Every model over rows of ``kind`` whose prices are moved down: name -> table."""
    folder = lake.parent
    (folder / "transforms_sql").mkdir()
    header = MOVED.replace("-#}", '  columns: {type: "list[str]", default: [x], doc: which}\n-#}', 1)
    (folder / "transforms_sql/moved.sql.j2").write_text(header)
    levels = {"max_levels": LEVELS} if kind == "orderbook" else {}
    moved = {"sql": "moved.sql.j2", "inputs": {"rows": "raw"}, "options": {"by": by, "columns": PRICES[kind]} | levels}
    models: dict[str, Any] = {"moved": moved | {"output": {"path": "out/moved"}}}
    for name, template in TEMPLATES[kind].items():
        over = "hf" if template == "orderbook/bars.sql.j2" else kind
        options: dict[str, Any] = {"hf": levels, "bars": {"emit_open_bars": True}}.get(name, {})
        options = options | ({"order_flow": False} if over == "hf" else {})
        models[name] = {"sql": template, "inputs": {over: "hf" if over == "hf" else "moved"}, "options": options}
        models[name]["output"] = {"path": f"out/{name}"}
    source = {"path": f"raw/ccxt/{kind}", "adapter": f"ccxt/{kind}"}
    config = {"version": 1, "lake": "lake", "sources": {"raw": source}, "models": models}
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return {name: published(lake / f"out/{name}") for name in TEMPLATES[kind]}


def moved(rows: Sequence[Row], by: float) -> list[Row]:
    """Raw rows as the oracles take them, with the prices that the models see."""
    names = ("price", "bid", "ask", "last", "high", "low")

    def down(price: float | None) -> float | None:
        return price - by if price is not None else None

    out = []
    for row in rows:
        changed = {name: down(row[name]) for name in names if name in row}
        sides = {
            side: [(down(price), size) for price, size in row[side] or ()] for side in ("bids", "asks") if side in row
        }
        out.append(row | changed | sides | {"negative_prices": True})
    return out


def check(lake: Path, kind: str, rows: Sequence[Row], by: float) -> dict[str, list[Row]]:
    write_rows(lake, kind, rows)
    got = run(lake, kind, by)
    seen = moved(read_rows(lake, kind), by)
    if kind == "orderbook":
        hf = orderbook.features(seen, max_levels=LEVELS)
        expected = {"hf": hf, "bars": bars.book_bars(hf, emit_open_bars=True)}
        flows = ("sum_ofi", "sum_mlofi")
        expected["bars"] = [{name: bar[name] for name in bar if name not in flows} for bar in expected["bars"]]
    elif kind == "trades":
        expected = {"features": trades.features(seen), "bars": bars.trade_bars(seen, emit_open_bars=True)}
    else:
        expected = {"features": ticker.features(seen)}
    for name, table in got.items():
        assert_same(table, expected[name])
    return {name: table_rows(table) for name, table in got.items()}


def make(kind: str, rng: random.Random, count: int) -> list[Row]:
    times = event_times(rng, count, MIDNIGHT - 200_000)
    make = {"orderbook": made.walking_books, "trades": made.trades, "ticker": made.tickers}[kind]
    return keyed(make(rng, times) if kind == "orderbook" else make(rng, times, bad=0))  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(PRICES))
@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**6), place=st.sampled_from([0.0, 0.5, 40.0]))
def test_any_walk_through_zero(tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int, place: float) -> None:
    """Prices walk around ``place`` below their start, so that zero is crossed, or lies above all of them."""
    rows = make(kind, random.Random(seed), 60)
    by = 1000.4 + place
    out = check(tmp_path_factory.mktemp("walk") / "lake", kind, rows, by)
    if kind == "trades":
        assert all(row["vwap_60s"] is not None for row in out["features"] if row["volume_60s"])


@pytest.mark.slow
def test_crude_oil(tmp_path: Path) -> None:
    """From 10.01 through 0.0 to -37.63 and back."""
    prices = [10.01, 5.0, 0.0, -14.0, -37.63, 0.01, 2.0]
    books = [
        {"timestamp": MIDNIGHT + i * 1000, "bids": [(p + 990 - 0.01, 2.0)], "asks": [(p + 990 + 0.03, 1.0)]}
        for i, p in enumerate(prices)
    ]
    out = check(tmp_path / "lake", "orderbook", keyed(books), 990)
    for row, price in zip(out["hf"], prices, strict=True):
        assert row["mid_price"] == pytest.approx(price + 0.01)
        assert row["micro_minus_mid"] == pytest.approx(0.04 / 2 * (2 - 1) / 3)
        assert (row["spread_bps"] is None) == (row["cog_vs_mid"] is None) == (row["smart_bid_depth"] is None)
        assert (row["spread_bps"] is not None) == (price + 0.01 > 0)
        assert row["center_of_gravity"] is not None
    bar = out["bars"][0]
    assert (bar["open"], bar["low"]) == pytest.approx((10.02, -37.62))
    assert bar["return"] == pytest.approx((2.01 - 10.02) / 10.02)


def test_a_bar_that_opens_at_zero_has_no_return(tmp_path: Path) -> None:
    rows = [
        {"timestamp": MIDNIGHT + i * 1000, "trade_id": str(i), "price": 100 + p, "amount": 2.0, "side": "buy"}
        for i, p in enumerate([0.0, -3.0, 4.0, 8.0])
    ]
    bar = check(tmp_path / "lake", "trades", keyed(rows), 100)["bars"][0]
    assert [bar[name] for name in ("return", "log_return", "range", "vwap", "dollar_volume")] == [
        None,
        None,
        None,
        2.25,
        18.0,
    ]
    assert bar["realized_variance"] == pytest.approx(0.4804530139182014)  # ln(8 / 4) ** 2
