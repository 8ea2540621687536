"""Numbers in text that are NaN or infinite are counted and told, whatever the form of the files."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from sqlgen.sources.digits import finite
from tests.support.adapters import HIVE, MIDNIGHT, Project, rows_of
from tests.support.engine import published

VALUES = ["1", "1e400", "NaN", "Infinity", '"-inf"', '"1e+999"', "2", "null", "-1e400"]
"""Six of them are no finite numbers."""
BAD = 6


def outcome(project: Project, name: str, text: str) -> list[str]:
    """Notes of a run over one file."""
    (project.raw / HIVE).mkdir(parents=True)
    (project.raw / HIVE / name).write_text(text)
    done = project.sqlgen("run", "--json")
    assert done.code == 0, done.out
    return [note for note in done.json["tasks"][0]["notes"] if "NaN" in note]


def told(count: int, column: str, name: str, example: str = "inf") -> list[str]:
    return [
        f"source 'raw': {count} value(s) of column {column} are NaN or infinite, or have such a number in them,"
        f" {example} for example, in raw/{HIVE}/{name}: these numbers count as missing"
    ]


@pytest.mark.parametrize("name", ["t.ndjson", "t.csv"])
def test_prices_of_trades(tmp_path: Path, name: str) -> None:
    project = Project.of(tmp_path, "generic/trades", options={"time_unit": "ns"})
    if name == "t.csv":
        cells = [value.strip('"').replace("null", "") for value in VALUES]
        text = "ts,price,amount\n" + "".join(f"{MIDNIGHT + n},{cell},1\n" for n, cell in enumerate(cells))
    else:
        lines = [f'{{"ts": {MIDNIGHT + n}, "price": {value}, "amount": 1}}\n' for n, value in enumerate(VALUES)]
        text = "".join(lines)
    assert outcome(project, name, text) == told(BAD, "price", name)
    prices = [row["price"] for row in rows_of(published(tmp_path / "lake/out"))]
    assert prices == [1.0, *[None] * 5, 2.0, None, None]


@pytest.mark.slow
def test_levels_of_books_and_numbers_in_messages(tmp_path: Path) -> None:
    book = {"timestamp": MIDNIGHT // 10**6, "bids": [{"price": 1.0, "size": float("nan")}], "asks": []}
    project = Project.of(tmp_path / "lists", "ccxt/orderbook")
    assert outcome(project, "t.ndjson", json.dumps(book) + "\n") == told(1, "bids", "t.ndjson", "nan")
    lines = [
        {"data": {"id": 1, "microtimestamp": "1767312000000000", "amount_str": "0.1", "price_str": price, "type": 0}}
        | {"event": "trade", "channel": "live_trades_inf"}
        for price in ("1", "1e400", "5e3")
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    project = Project.of(tmp_path / "messages", "bitstamp/trades")
    assert outcome(project, "t.ndjson", text) == told(1, "message", "t.ndjson", "1e400")


def test_clean_files_have_no_note(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "generic/trades", options={"time_unit": "ns", "columns": {"trade_id": "nan"}})
    line = {"ts": MIDNIGHT, "price": 1e308, "amount": 1e-308, "nan": "inf"}
    assert outcome(project, "t.ndjson", json.dumps(line) + "\n") == []


KINDS = {"DOUBLE": "x", "DOUBLE[]": "[0, x]", "STRUCT(p DOUBLE)[]": "[{'p': 0}, {'p': x}]", "DOUBLE[][]": "[[x], []]"}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_statistics_that_duckdb_writes_tell_such_numbers(tmp_path: Path, value: str) -> None:
    """Columns are searched only where the footer does not say that all is finite."""
    file, types = tmp_path / "x.parquet", {f"c{place}": kind for place, kind in enumerate(KINDS)}
    cells = ", ".join(f"{cell} AS {name}" for name, cell in zip(types, KINDS.values(), strict=True))
    options = "FORMAT parquet, COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1, ROW_GROUP_SIZE 2048"
    for odd in ("3000, 9999", "-1"):
        x = f"CASE WHEN i IN ({odd}) THEN CAST('{value}' AS DOUBLE) WHEN i BETWEEN 4096 AND 6143 THEN NULL ELSE i END"
        duckdb.execute(
            f"COPY (SELECT {cells} FROM (SELECT {x} AS x FROM range(10_000) AS t(i))) TO '{file}' ({options})"
        )
        found = finite.of_decoded(file, types, {})
        assert found == tuple(finite.NotFinite(name, 2, value) for name in types if odd != "-1")
