"""Rows without a value that cannot be known are NULL, and the report counts them: built alone, and in one statement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import yaml

from tests.features.made import MIDNIGHT, keyed
from tests.support.engine import published, shipped_config, sqlgen
from tests.support.lakes import Row, write_rows
from tests.support.scratch import BTC, Scratch

DAY = 86_400_000
MODELS = {"trades_liquidity": "trades/liquidity", "orderbook_labels": "orderbook/labels"}


def rows() -> tuple[list[Row], list[Row]]:
    """Three days: trades before the first quote, books of one side, a day without a book."""
    books, trades = list[Row](), list[Row]()
    for day in range(3):
        for i in range(40):
            time = MIDNIGHT + day * DAY + i * 1000
            trades.append({"timestamp": time, "trade_id": f"{day}-{i}", "side": "buy", "price": 100.0, "amount": 1.0})
            if day < 2 and i > 9:
                bids = [] if i % 7 == 0 else [(100.0 - i % 3, 1.0)]
                books.append({"timestamp": time, "bids": bids, "asks": [(101.0, 1.0)]})
    return books, trades


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_counts_are_those_of_the_table(tmp_path: Path, threads: int) -> None:
    books, trades = rows()
    write_rows(tmp_path / "lake", "orderbook", keyed(books))
    write_rows(tmp_path / "lake", "trades", keyed(trades))
    config = shipped_config(Path("lake"))
    config["models"] = {name: config["models"][name] | {"enabled": True} for name in MODELS}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", tmp_path / "models.yaml", "--threads", threads, *(["--json"] if threads == 1 else []))
    assert outcome.code == 0, outcome.err
    nulls: dict[str, dict[str, int]] = {}
    for model, path in MODELS.items():
        table = published(tmp_path / "lake/processed/ccxt" / path)
        nulls[model] = {name: table[name].null_count for name in table.column_names}
        assert table.num_rows == pc.sum(pc.is_valid(table["ts"])).as_py()
    assert nulls["trades_liquidity"]["mid_price"] == 11 + 11 + 40
    if threads == 2:
        assert "NULL: trades_liquidity: no quote prevails at the trade: mid_price 62 row(s)" in outcome.out
        return
    told: dict[str, dict[str, int]] = {}
    for task in outcome.json["tasks"]:
        for check in task["checks"]:
            assert check["on_fail"] == "null"
            counts = told.setdefault(task["model"], {})
            counts[check["check"]] = counts.get(check["check"], 0) + check["rows"]
    for model, counts in told.items():
        assert counts == {name: nulls[model][name] for name in counts}, model
    assert {*told["trades_liquidity"]} == {"mid_price", *(f"realized_spread_{h}s" for h in (1, 5, 60, 300))}
    named: set[Any] = {*told["orderbook_labels"]}
    assert {"fwd_return_1s", "smooth_return_10", "barrier_label"} <= named


def test_rows_that_were_appended_before_are_not_counted_again(scratch: Scratch) -> None:
    """With inner keys, they are linked beside the new ones."""
    header = "{#-\ndescription: Sides\nnulls: {known: it is never known}\n-#}\n"
    select = "SELECT exchange, symbol, date, ts, seq, side, CAST(NULL AS DOUBLE) AS known FROM ({{ inputs.trades }})"
    scratch.template("sides.sql.j2", header + select)
    scratch.config["models"] = {}
    output = {"path": "out/sides", "mode": "append", "partition_by": ["exchange", "symbol", "date", "side"]}
    scratch.model("sides", sql="sides.sql.j2", inputs={"trades": "raw"}, output=output)
    for name, prices in (("first", [1.0, 2.0, 3.0]), ("second", [4.0])):
        scratch.trades(BTC, "2026-01-01", prices, name=name)
        (task,) = scratch.sqlgen("run", "--json").json["tasks"]
        assert [check["rows"] for check in task["checks"]] == [len(prices)]
