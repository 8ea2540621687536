"""Tables without a vendor: no header, decimal commas, cells in quotes, one level, and what is no trades."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.detect.examine import Request, examine
from tests.e2e.test_streams import LIBRARY, found_in, rows

S = 1_767_355_200
NS = 10**9


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # (time, id, price, amount, side)
        (
            "".join(f"{S + k}.5,{900 + k},{42_500 + k}.25,0.0{k + 1},{1 + k % 2}\n" for k in range(4)),
            [((S + k) * NS + NS // 2, str(900 + k), 42_500.25 + k, (k + 1) / 100, (-1, 1)[k % 2]) for k in range(4)],
        ),
        (
            "".join(f"{S + 60 * k},12{k}.00000,0.{k + 1}\n" for k in range(3)),
            [((S + 60 * k) * NS, None, 120.0 + k, (k + 1) / 10, None) for k in range(3)],
        ),
        (
            "time;px;qty;side\n" + "".join(f"{S + k}000;12{k},75;0,5;b\n" for k in range(3)),
            [((S + k) * NS, None, 120.75 + k, 0.5, 1) for k in range(3)],
        ),
        (
            "time,conditions,price,size,side\n" + "".join(f'{S + k}000,"12,3{k}",9.5,{k + 1},sell\n' for k in range(3)),
            [((S + k) * NS, None, 9.5, k + 1, -1) for k in range(3)],
        ),
        (
            "Date and Time,Price,Volume,Taker Side\n2026/01/02 12:00:00.250,5.5,2,buy\n2026/01/02 12:00:01,5,1,sell\n",
            [(S * NS + NS // 4, None, 5.5, 2, 1), ((S + 1) * NS, None, 5, 1, -1)],
        ),
    ],
    ids=["ids and codes of sides", "three columns", "decimal commas", "some cells in quotes", "names of words"],
)
def test_trades(content: str, expected: list[tuple[object, ...]], tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, "a.csv").findings
    [choice] = finding.choices
    assert (choice.adapter, choice.sure) == ("generic/trades", "likely")
    read = rows(tmp_path, choice.source)
    assert [(row["ns"], row["trade_id"], row["price"], row["amount"], row["side"]) for row in read] == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"time,price,qty,side,update_type\n{S}000,1,2,b,set\n", "level updates (columns update_type)"),
        (f"time,price,qty,side\n{S}000,1,2,b\n{S}001,1,0,b\n", "level updates (qty is 0 in some rows"),
        (f"time,id,price,amount,action\n{S}000,1,2,3,created\n", "single orders (columns action)"),
    ],
)
def test_no_trades(content: str, says: str, tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, "a.csv").findings
    assert finding.choices == ()
    assert any(says in note for note in finding.notes), finding.notes


@pytest.mark.parametrize(
    ("content", "adapter"),
    [
        (f"time,open,high,low,close,volume\n{S}000,1,2,1,2,9\n", "generic/bars"),
        (f"time,bid,ask\n{S}000,1.5,1.6\n", "generic/ticker"),
        (f"EURUSD,{S}000,1.1212,1.1217\nEURUSD,{S}001,1.1213,1.1219\n", "generic/ticker"),
        ("20240101 170000065,1.10427,1.10493,0\n20240101 170001065,1.10426,1.10494,0\n", "generic/ticker"),
        (
            "20240101 170000;1.1042;1.1060;1.1030;1.1049;0\n20240101 170100;1.1042;1.1061;1.1030;1.105;0\n",
            "generic/bars",
        ),
        ("Gmt time,Ask,Bid,AskVolume,BidVolume\n01.02.2024 00:00:01.123,1.12,1.11,0.9,1.1\n", "generic/ticker"),
        (f"ticker,volume,open,close,high,low,window_start\nA,9000,1,2,3,1,{S}000000000\n", "generic/bars"),
    ],
)
def test_bars_and_quotes_without_sizes(content: str, adapter: str, tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, "a.csv").findings
    assert [choice.adapter for choice in finding.choices] == [adapter]


def test_days_of_another_time_zone(tmp_path: Path) -> None:
    """A file of a day that begins at 16:00 UTC the day before: the dates of its rows count."""
    lines = "".join(f"{k},buy,{100 + k},1,{S * 1000 + 3_600_000 * (4 + k)}\n" for k in range(16))
    content = "trade_id,side,price,size,created_time\n" + lines
    [finding] = found_in(tmp_path, content, "BTC-USDT-trades-2026-01-03.csv").findings
    [choice] = finding.choices
    assert choice.source["pattern"] == "{symbol}-trades-*.csv"
    assert any("before the date of its name" in note for note in finding.notes)
    dates = sorted(str(row["date"]) for row in rows(tmp_path, choice.source))
    assert dates == ["2026-01-02"] * 8 + ["2026-01-03"] * 8


@pytest.mark.parametrize("suffix", ["ndjson", "parquet"])
@pytest.mark.parametrize("kind", ["market", None])
def test_trades_as_ccxt_gives_them(suffix: str, kind: str | None, tmp_path: Path) -> None:
    """With `id` and `type`, and without `collected_at`."""
    made = [
        {
            "id": str(70 + k),
            "timestamp": 1000 * (S + k),
            "datetime": "2026-01-02T12:00:00.000Z",
            "symbol": "BTC/USDT",
            "type": kind,
            "side": "sell" if k else "buy",
            "price": 9.5 + k,
            "amount": 2.0,
            "cost": 19.0,
        }
        for k in range(3)
    ]
    if suffix == "parquet":
        folder = tmp_path / "lake/raw/feed"
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(made), folder / "trades_binance_2026-01-02.parquet")
        found = examine(Request(tmp_path / "lake/raw", LIBRARY, tmp_path / "lake"))
    else:
        content = "".join(json.dumps(row) + "\n" for row in made)
        found = found_in(tmp_path, content, "trades_binance_2026-01-02.ndjson")
    [choice] = found.findings[0].choices
    assert choice.adapter == "ccxt/trades"
    assert choice.source["options"] == {"trade_id": "id"}
    read = rows(tmp_path, choice.source)
    assert [(row["ns"], row["trade_id"], row["price"], row["side"]) for row in read] == [
        ((S + k) * NS, str(70 + k), 9.5 + k, -1 if k else 1) for k in range(3)
    ]
