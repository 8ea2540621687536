"""Books and trades of one feed are numbered alike, also where a line is one that only books cannot read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine import published, sqlgen

SECOND = 1_729_517_400
NAMES = "ts_recv,ts_event,publisher_id,action,side,price,size,sequence,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,symbol"


def record(i: int, action: str, symbol: str, bid: str = "100") -> str:
    """All records of a symbol have one time: their places alone tell which trades a row has seen."""
    time = SECOND * 10**9
    return f"{time},{time},2,{action},B,100.5,{i + 1},{i},{bid},101,5,6,{symbol}"


def rows(tmp_path: Path, model: str) -> list[dict[str, Any]]:
    return sorted(published(tmp_path / "lake" / model).to_pylist(), key=lambda row: (row["symbol"], row["seq"]))


@pytest.mark.slow
@pytest.mark.parametrize("in_rows", [False, True])
def test_a_line_that_only_books_cannot_read(tmp_path: Path, in_rows: bool) -> None:
    symbols = ["AAPL", "MSFT"] * 4 if in_rows else ["AAPL"] * 8
    actions = ["A", "A", "A", "A", "T", "T", "A", "A"]
    lines = [
        record(i, *pair, bid="2 33" if i in (2, 3) else "100")
        for i, pair in enumerate(zip(actions, symbols, strict=True))
    ]
    pattern = "*_{date}.csv" if in_rows else "{symbol}_{date}.csv"
    source = {"path": "raw", "pattern": pattern, "exchange": "nasdaq"}
    config: dict[str, Any] = {"version": 1, "lake": "lake", "models": {}, "sources": {}}
    for name, adapter in (("books", "mbp1"), ("trades", "trades")):
        config["sources"][name] = source | {"adapter": f"databento/{adapter}"}
    hf = {"sql": "orderbook/hf.sql.j2", "inputs": {"orderbook": "books", "trades": "trades"}, "udfs": ["tfi"]}
    config["models"]["hf"] = hf | {"output": {"path": "hf"}, "options": {"max_levels": 2, "top_levels": 2}}
    (tmp_path / "lake/raw").mkdir(parents=True)
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "lake/raw/AAPL_2024-10-21.csv").write_text("\n".join([NAMES, *lines]) + "\n")
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    readable = [i for i in range(8) if i not in (2, 3)]
    expected = sorted((symbols[i], i) for i in readable)
    found = rows(tmp_path, "hf")
    assert [(row["symbol"], row["seq"]) for row in found] == expected
    for row in found:
        seen = [i + 1.0 for i in range(row["seq"] + 1) if actions[i] == "T" and symbols[i] == row["symbol"]]
        assert row["trade_vol_60s"] == (sum(seen) if seen else None)
