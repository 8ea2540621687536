"""Prices at or below zero: left out and counted, or read where the source says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import updates
from tests.support.adapters import SHELL, Project, rows_of
from tests.support.engine import published
from tests.support.vendors.lake import VendorLake

HIVE = "exchange=x/symbol=A/date=2026-01-01"
MS = 1_767_225_600_000
BOOKS = [  # bids, asks: as sent
    ([(1.0, 1), (-1.0, 2)], [(2.0, 1), (3.0, 2)]),
    ([(-2.0, 1), (-3.0, 2)], [(-1.0, 5), (0.0, 6)]),
    ([(-3.0, 1), (-2.0, 2), (-2.0, 4)], [(0.0, 0), (0.5, 1)]),  # out of order, merged; a missing level
    ([(float("inf"), 1), (1.0, 1)], [(2.0, 1)]),
]


def run(project: Project) -> tuple[list[dict[str, Any]], list[str]]:
    outcome = project.sqlgen("run", "--json", "--full-refresh")
    assert outcome.code == 0, outcome.out + outcome.err
    found = rows_of(project.run())
    if SHELL is not None:
        assert rows_of(project.in_shell()) == found
    return found, outcome.json["tasks"][0]["notes"]


def cleaned(levels: list[tuple[float, float]], negative: bool, sign: int) -> list[tuple[float, float]]:
    """The levels of a side, best first, by the rules of features.md."""
    found: dict[float, float] = {}
    for price, size in levels:
        if size > 0 and abs(price) < float("inf") and (negative or price > 0):
            found[price] = found.get(price, 0) + size
    return sorted(found.items(), key=lambda level: -sign * level[0])


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("form", ["columns", "objects", "pairs"])
def test_books(tmp_path: Path, form: str, negative: bool) -> None:
    options = {"levels": form, "file_levels": 3, "max_levels": 3}
    project = Project.of(tmp_path, "generic/orderbook", options=options, negative_prices=negative)
    records = []
    for number, (bids, asks) in enumerate(BOOKS):
        record: dict[str, Any] = {"ts": MS + number}
        for side, levels in (("bid", bids), ("ask", asks)):
            if form == "columns":
                padded = [*levels, (None, None), (None, None)][:3]
                for i, (price, size) in enumerate(padded):
                    record |= {f"{side}_{i}_price": price, f"{side}_{i}_size": size}
            else:
                record[f"{side}s"] = [
                    {"price": price, "size": size} if form == "objects" else [price, size] for price, size in levels
                ]
        records.append(record)
    (project.raw / HIVE).mkdir(parents=True)
    text = "".join(json.dumps(record).replace("Infinity", "1e999") + "\n" for record in records[:3])
    (project.raw / HIVE / "a.ndjson").write_text(text)
    rows, notes = run(project)
    for row, (bids, asks) in zip(rows, BOOKS[:3], strict=True):
        for side, sign, levels in (("bid", 1, bids), ("ask", -1, asks)):
            expected = cleaned(levels, negative, sign)
            found = [(row[f"{side}_price_{i:02d}"], row[f"{side}_size_{i:02d}"]) for i in range(3)]
            assert found == [*expected, (None, None), (None, None), (None, None)][:3]
            assert row[f"{side}_levels"] == len(expected)
    said = [f"source 'raw': 3 row(s) with a price at or below 0 in raw/{HIVE}/a.ndjson"] if not negative else []
    assert [note.split(":", 2)[0] + ":" + note.split(":", 2)[1] for note in notes] == said
    assert all("negative_prices: true in the source reads them" in note for note in notes)


@pytest.mark.parametrize("negative", [False, True])
def test_trades(tmp_path: Path, negative: bool) -> None:
    prices = [10.0, 0.0, -37.63, 0.01, -1.0]
    project = Project.of(tmp_path, "generic/trades", negative_prices=negative)
    (project.raw / HIVE).mkdir(parents=True)
    for name, part in (("a", prices[:3]), ("b", prices[3:])):
        lines = [f"{MS + ord(name)},{price},1" for price in part]
        (project.raw / HIVE / f"{name}.csv").write_text("\n".join(["ts,price,amount", *lines]) + "\n")
    rows, notes = run(project)
    assert [row["price"] for row in rows] == [price if negative or price > 0 else None for price in prices]
    assert len(notes) == (0 if negative else 1)
    assert negative or "3 row(s) with a price at or below 0 in" in notes[0]
    assert negative or "a.csv and 1 more file(s): such prices are left out" in notes[0]


@pytest.mark.slow
@pytest.mark.parametrize("negative", [False, True])
def test_updates(tmp_path: Path, negative: bool) -> None:
    source = {"adapter": "bybit/orderbook", "negative_prices": negative}
    config = updates.project(tmp_path, source, max_levels=2)
    folder = tmp_path / "lake/raw" / HIVE
    folder.mkdir(parents=True)
    messages: list[tuple[str, dict[str, Any]]] = [
        ("snapshot", {"b": [["-1", "1"], ["-2", "2"]], "a": [["0", "3"], ["1", "4"]], "u": 1}),
        ("delta", {"b": [["-1", "0"]], "a": [["0", "5"]], "u": 2}),
    ]
    lines = [
        {"type": kind, "ts": MS + i, "cts": MS + i, "data": data | {"s": "A"}}
        for i, (kind, data) in enumerate(messages)
    ]
    (folder / "a.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = updates.run(config)
    assert ("2 row(s) with a price at or below 0" in " ".join(outcome.out.split())) != negative
    best = [(row["bid_price_00"], row["ask_price_00"], row["ask_size_00"]) for row in updates.book_rows(tmp_path)]
    assert best == ([(-1, 0, 3), (-2, 0, 5)] if negative else [(None, 1, 4)])


@pytest.mark.parametrize("negative", [False, True])
def test_tickers(tmp_path: Path, negative: bool) -> None:
    project = Project.of(tmp_path, "ccxt/ticker", negative_prices=negative)
    (project.raw / HIVE).mkdir(parents=True)
    prices = ("bid", "ask", "last", "open", "high", "low", "close", "vwap")
    sent = [(1.0, 2.0, 1.5), (-3.0, -1.0, -2.0), (0.0, 0.5, None), (None, 1.0, 1.0)]
    lines = [
        {"timestamp": MS + number, "bid_volume": 1, "ask_volume": -1, "change": -5, "percentage": -1, "base_volume": 0}
        | dict.fromkeys(prices)
        | {"bid": bid, "ask": ask, "last": last, "quote_volume": -1}
        for number, (bid, ask, last) in enumerate(sent)
    ]
    (project.raw / HIVE / "a.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows, notes = run(project)
    for row, values in zip(rows, sent, strict=True):
        expected = tuple(v if v is not None and (negative or v > 0) else None for v in values)
        assert (row["bid"], row["ask"], row["last"]) == expected
        assert (row["bid_volume"], row["ask_volume"], row["base_volume"], row["quote_volume"]) == (1, None, 0, None)
        assert (row["change"], row["percentage"]) == (-5, -1)
    assert len(notes) == (0 if negative else 1)
    assert negative or notes[0].startswith(f"source 'raw': 2 row(s) with a price at or below 0 in raw/{HIVE}/a.ndjson")


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("kind", ["orderbook", "trades"])
def test_lobster(tmp_path: Path, kind: str, negative: bool) -> None:
    """Sizes of 0 and prices of 9999999999 stand for missing levels: these are no prices."""
    lake = VendorLake(tmp_path)
    lake.raw.mkdir(parents=True)
    messages = [
        "34200.1,1,1,10,-20000,1",
        "34200.2,4,2,10,-15000,1",
        "34200.3,5,3,10,0,1",
        "x,y",
        "34200.4,4,4,1,5000,1",
    ]
    books = [
        "-10000,5,-20000,7,9999999999,0,-9999999999,0",
        "10000,5,-9999999999,0,20000,1,-9999999999,0",
        "10000,5,0,7,9999999999,0,-9999999999,0",
        "10000,5,0,0,9999999999,0,-9999999999,0",
        "10000,5,5000,1,9999999999,0,-9999999999,0",
    ]
    for name, lines in (("message", messages), ("orderbook", books)):
        text = "".join(f"{line}\n" for line in lines)
        (lake.raw / f"A_2012-06-21_34200000_57600000_{name}_2.csv").write_text(text)
    source = {"pattern": "{symbol}_{date}_*.csv", "exchange": "nasdaq", "negative_prices": negative}
    options = {"levels": 2, "max_levels": 2} if kind == "orderbook" else {}
    outcome = lake.run(source | {"adapter": f"lobster/{kind}", "options": options}, "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    task = outcome.json["tasks"][0]
    name = "orderbook" if kind == "orderbook" else "message"
    said = f"source 'it': 2 row(s) with a price at or below 0 in raw/A_2012-06-21_34200000_57600000_{name}_2.csv"
    assert [note.split(": such")[0] for note in task["notes"]] == ([] if negative else [said])
    assert [check["check"] for check in task["checks"]] == ["readable"]
    rows = published(tmp_path / "lake/rows").to_pylist()
    if kind == "trades":
        assert [row["price"] for row in rows] == ([-1.5, 0.0, 0.5] if negative else [None, None, 0.5])
    else:
        best = [(row["bid_price_00"], row["ask_price_00"]) for row in rows]
        assert best == (
            [(-2, -1), (None, 1), (0, 1), (0.5, 1)] if negative else [(None, None), (None, 1), (None, 1), (0.5, 1)]
        )
