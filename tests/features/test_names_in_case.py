"""Columns whose names differ in upper and lower case only, which are one to SQL."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.adapters import SHELL, Project, rows_of

MS = 1_767_225_600_000
"""2026-01-01 in ms."""
HIVE = "exchange=x/symbol=A/date=2026-01-01"
FORMATS = ["parquet", "csv", "ndjson"]


def write(path: Path, records: list[dict[str, Any]], header: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        columns = [pa.array([record[name] for record in records]) for name in records[0]]
        pq.write_table(pa.table(columns, names=list(records[0])), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([list(records[0])] * header + [list(record.values()) for record in records])
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


def check(project: Project, expected: list[dict[str, Any]], shell: bool = True) -> None:
    tables = [project.run(), *([project.in_shell()] if shell and SHELL is not None else [])]
    for table in tables:
        assert [{name: row[name] for name in expected[0]} for row in rows_of(table)] == expected


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("suffix", FORMATS)
def test_trades(tmp_path: Path, suffix: str, swapped: bool) -> None:
    """Two files, of which the second has its columns in another order."""
    columns = {"ts": "T", "trade_id": "t", "price": "p", "amount": "P", "side": "S"}
    project = Project.of(tmp_path, "generic/trades", options={"columns": columns})
    for number in (1, 2):
        record = {"t": number, "T": MS + number, "p": 10.5, "P": 2.0 + number, "S": "buy", "s": "ignored", "e": 1}
        if swapped and number == 2:
            record = dict(reversed(record.items()))
        write(project.raw / HIVE / f"{number}.{suffix}", [record])
    expected = [
        {"ts": (MS + i) * 10**6, "trade_id": str(i), "price": 10.5, "amount": 2.0 + i, "side": 1} for i in (1, 2)
    ]
    mixed = swapped and suffix != "ndjson"
    check(project, expected, shell=not mixed)
    assert project.sqlgen("compile").code == 0
    script = (project.folder / "target/compiled/rows.sql").read_text()
    said = "(columns that differ in case only, in different orders); a DuckDB shell cannot read them"
    assert (said in script.replace("\n-- ", " ")) is mixed


@pytest.mark.parametrize("suffix", FORMATS)
def test_books_and_a_symbol_in_rows(tmp_path: Path, suffix: str) -> None:
    columns = {"ts": "T", "bid_price": "b", "bid_size": "B", "ask_price": "a", "ask_size": "A", "symbol": "s"}
    options = {"columns": columns, "file_levels": 1, "max_levels": 1}
    project = Project.of(tmp_path, "generic/orderbook", exchange="x", options=options)
    write(project.raw / f"f.{suffix}", [{"b": 1.0, "B": 2.0, "a": 3.0, "A": 4.0, "T": MS, "s": "X"}])
    expected = {"symbol": "X", "bid_price_00": 1.0, "bid_size_00": 2.0, "ask_price_00": 3.0, "ask_size_00": 4.0}
    check(project, [expected])


@pytest.mark.parametrize("suffix", FORMATS)
def test_levels(tmp_path: Path, suffix: str) -> None:
    names = {"bid_price": "b{i}", "bid_size": "B{i}", "ask_price": "a{i}", "ask_size": "A{i}"}
    options = {"columns": {"ts": "ts", **names}, "file_levels": 2, "max_levels": 2}
    project = Project.of(tmp_path, "generic/orderbook", options=options)
    record = {"ts": MS, "b0": 9.0, "B0": 1.0, "a0": 10.0, "A0": 2.0, "b1": 8.0, "B1": 3.0, "a1": 11.0, "A1": 4.0}
    write(project.raw / HIVE / f"f.{suffix}", [record])
    prices = {"bid_price_00": 9.0, "bid_size_00": 1.0, "ask_price_01": 11.0, "ask_size_01": 4.0}
    check(project, [prices])


def test_lists(tmp_path: Path) -> None:
    options = {"columns": {"ts": "E", "bids": "b", "asks": "B"}, "levels": "pairs", "max_levels": 1}
    project = Project.of(tmp_path, "generic/orderbook", options=options)
    write(project.raw / HIVE / "f.ndjson", [{"e": "depth", "E": MS, "b": [["9", "1"]], "B": [["10", "2"]]}])
    check(project, [{"bid_price_00": 9.0, "bid_size_00": 1.0, "ask_price_00": 10.0, "ask_size_00": 2.0}])


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_that_is_not_read(tmp_path: Path, suffix: str) -> None:
    """It is passed over, also where it comes first."""
    project = Project.of(tmp_path, "generic/trades", options={"columns": {"ts": "T", "amount": "Amount"}})
    record = {"t": 7, "T": MS, "price": 1.0, "PRICE": 9.0, "amount": 8.0, "Amount": 2.0}
    write(project.raw / HIVE / f"f.{suffix}", [record])
    check(project, [{"ts": MS * 10**6, "price": 1.0, "amount": 2.0}])


def test_columns_without_a_header(tmp_path: Path) -> None:
    options = {
        "header": False,
        "fields": "t,T,p,q",
        "columns": {"ts": "T", "trade_id": "t", "price": "p", "amount": "q"},
    }
    project = Project.of(tmp_path, "generic/trades", options=options)
    write(project.raw / HIVE / "f.csv", [{"t": 7, "T": MS, "p": 1.0, "q": 2.0}], header=False)
    check(project, [{"ts": MS * 10**6, "trade_id": "7", "price": 1.0, "amount": 2.0}])


def test_bad_lines_and_values_are_told_by_the_names_in_the_file(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "generic/trades", options={"columns": {"ts": "T", "trade_id": "t", "amount": "a"}})
    records = [{"T": MS + i, "t": i, "price": 1.0, "a": 1.0} for i in range(3)]
    path = project.raw / HIVE / "f.ndjson"
    write(path, records)
    path.write_text(path.read_text() + '{"T": "soon", "t": 3, "price": 1, "a": 1}\nno object\n')
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    [task] = outcome.json["tasks"]
    assert task["rows_out"] == 3
    [found] = task["checks"]
    assert (found["check"], found["rows"]) == ("readable", 2)
    assert "T is not DECIMAL(28, 9): soon" in found["first"]


def test_a_name_that_fits_two_columns(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "generic/trades")
    write(project.raw / HIVE / "f.parquet", [{"ts": MS, "Price": 1.0, "PRICE": 2.0, "amount": 1.0}])
    assert "it has no column 'price', but Price, PRICE" in " ".join(project.failure().split())
