"""Fields that a filter of an adapter reads and a row lacks: the row is kept, or counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.adapters import Project, rows_of
from tests.support.engine import published

SECOND = 1_729_517_400
NAMES = "ts_recv,ts_event,publisher_id,action,side,price,size,sequence,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,symbol"


def record(i: int, action: str = "A", publisher: str = "2", price: str = "100.5") -> str:
    time = (SECOND + i) * 10**9
    return f"{time},{time},{publisher},{action},B,{price},10,{i},100.{i},101.{i},5,6,AAPL"


RECORDS = [
    record(0),
    record(1, action=""),
    record(2, action="T"),
    record(3, publisher=""),
    record(4, price="abc"),
    record(5, price=""),
    record(6, action="T", publisher=""),
]
WORDLESS = "record whose price is no number 1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "options", "kept", "left_out"),
    [
        ("mbp1", {}, [0, 1, 2, 3, 5, 6], WORDLESS),
        ("mbp1", {"trade_records": False}, [0, 1, 3, 5], WORDLESS),
        ("mbp1", {"publisher_id": 2}, [0, 1, 2, 5], f"record without publisher_id 2, {WORDLESS}"),
        ("trades", {}, [1, 2, 6], ""),
        ("trades", {"publisher_id": 2}, [1, 2], "record without publisher_id 1"),
    ],
)
def test_databento(tmp_path: Path, adapter: str, options: dict[str, Any], kept: list[int], left_out: str) -> None:
    source = {"exchange": "nasdaq", "pattern": "{symbol}_{date}.csv", "options": options}
    project = Project.of(tmp_path, f"databento/{adapter}", **source)
    (project.raw / "AAPL_2024-10-21.csv").write_text("\n".join([NAMES, *RECORDS]) + "\n")
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    assert [row["seq"] for row in rows_of(published(tmp_path / "lake/out"))] == kept
    checks = outcome.json["tasks"][0]["checks"]
    assert [check["first"].split(": ", 1)[1] for check in checks] == ([left_out] if left_out else [])


def updates(project: Project, lines: list[dict[str, Any]]) -> list[tuple[int, Any, Any, Any]]:
    """Place, side, price and size of the updates of a file of messages."""
    (project.raw / "A_2024-10-21.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [(row["seq"], row["side"], row["price"], row["size"]) for row in rows_of(project.run())]


@pytest.mark.slow
def test_a_level_without_a_price_is_one_that_cannot_be_read(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "kucoin/level2", exchange="kucoin", pattern="{symbol}_{date}.ndjson")
    levels = [["1.5", "2", "7"], [None, "3", "8"], ["0", "0", "9"]]
    change = {"symbol": "A", "time": SECOND * 1000, "sequenceStart": 1, "sequenceEnd": 9}
    line = {"subject": "trade.l2update", "data": change | {"changes": {"bids": levels, "asks": []}}}
    assert updates(project, [line]) == [(0, 1, 1.5, 2.0), (0, 1, None, 3.0)]


@pytest.mark.slow
def test_an_event_without_a_product_may_be_of_any(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "coinbase/level2", exchange="coinbase", pattern="A_{date}.ndjson")
    change = {"side": "bid", "price_level": "1.5", "new_quantity": "2"}
    events = [{"type": "update", "product_id": "A-USD", "updates": [change]}, {"type": "update", "updates": [change]}]
    lines = [
        {"channel": "l2_data", "timestamp": f"2024-10-21T00:00:0{n}Z", "sequence_num": n, "events": chosen}
        for n, chosen in enumerate([events[:1], events, events[1:]])
    ]
    lost = (0, None, None)
    assert updates(project, lines) == [(0, 1, 1.5, 2.0), (1, 1, 1.5, 2.0), (1, *lost), (2, *lost)]


def test_an_update_of_no_type_cannot_be_read(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "binance/depth_archive", exchange="binance", pattern="{symbol}_{date}.csv")
    names = "symbol,timestamp,trans_id,first_update_id,last_update_id,side,update_type,price,qty,pu"
    rows = [f"A,{SECOND}000,,{n},{n},b,{kind},1.5,2,{n - 1}" for n, kind in enumerate(["snap", "set", ""], 1)]
    (project.raw / "A_2024-10-21.csv").write_text("\n".join([names, *rows]) + "\n")
    found = [(row["side"], row["is_snapshot"]) for row in rows_of(project.run())]
    assert found == [(1, True), (1, False), (0, False)]
