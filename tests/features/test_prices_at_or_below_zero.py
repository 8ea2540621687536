"""Prices at or below zero: left out and counted, or read where the source says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import updates
from tests.support.adapters import SHELL, Project, rows_of

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
