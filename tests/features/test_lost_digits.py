"""Times that lose digits on their way are told; those of INT96 do not lose any in a run."""

from __future__ import annotations

import datetime as dt
import gzip
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.sources.digits import scan
from tests.support.adapters import Project, rows_of

HIVE = "exchange=x/symbol=A/date=2026-01-01"
SECOND = 1_767_225_600
NS = 123_456_789


def trades(folder: Path, times: list[Any], name: str, unit: str, kind: pa.DataType | None = None) -> Project:
    project = Project.of(folder, "generic/trades", options={"time_unit": unit})
    (project.raw / HIVE).mkdir(parents=True)
    path = project.raw / HIVE / name
    if path.suffix == ".parquet":
        ones = pa.array([1.0] * len(times))
        table = pa.table({"ts": pa.array(times, kind), "price": ones, "amount": ones})
        pq.write_table(table, path, use_deprecated_int96_timestamps=unit == "timestamp")
    elif path.suffix == ".csv":
        path.write_text("\n".join(["ts;price;amount", *(f"{time};1;1" for time in times)]) + "\n")
    else:
        path.write_text("".join(f'{{"ts": {time}, "price": 1, "amount": 1}}\n' for time in times))
    return project


@pytest.mark.parametrize(
    ("times", "name", "unit", "kind", "lost"),
    [
        ([f"{SECOND}.123456789", f"{SECOND}.5"], "t.ndjson", "s", None, 1),
        ([f'"{SECOND}.123456789"', f"{SECOND}.5"], "t.ndjson", "s", None, 0),
        ([f"{SECOND}123.456789"], "t.ndjson", "ms", None, 1),
        ([f"{SECOND}123"], "t.ndjson", "ms", None, 0),
        ([f"{SECOND}.123456789"], "t.csv", "s", None, 0),
        ([SECOND + 0.123456789, SECOND + 64.0], "t.parquet", "s", pa.float64(), 1),
        ([SECOND + 64.0], "t.parquet", "s", pa.float32(), 1),
        ([SECOND * 1000 + 1], "t.parquet", "ms", pa.int64(), 0),
        ([f"{SECOND}.1234567891", f"{SECOND}.1234567890"], "t.csv", "s", None, 1),
        ([f"{SECOND}123.1234567", f"{SECOND}123.123456"], "t.csv", "ms", None, 1),
        ([SECOND + 0.123456], "t.parquet", "s", pa.float64(), 0),
        ([SECOND * 10**9 + 123_456_789.0], "t.parquet", "ns", pa.float64(), 1),
        (["2026-01-01 00:00:00.1234567891", "2026-01-01 00:00:00.1234567890"], "t.csv", "text", None, 1),
    ],
)
def test_lost_digits_are_told(
    tmp_path: Path, times: list[Any], name: str, unit: str, kind: pa.DataType | None, lost: int
) -> None:
    outcome = trades(tmp_path, times, name, unit, kind).sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    notes = [note.split(",")[0] for note in outcome.json["tasks"][0]["notes"]]
    assert notes == ([f"source 'raw': {lost} value(s) of column ts lose digits"] if lost else [])


def told(project: Project, text: str, suffix: str = "ndjson") -> list[str]:
    """Notes of a run over one file."""
    (project.raw / HIVE).mkdir(parents=True)
    (project.raw / HIVE / f"t.{suffix}").write_text(text)
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    return [note for note in outcome.json["tasks"][0]["notes"] if "lose digits" in note]


@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_whole_numbers_of_any_adapter(tmp_path: Path, suffix: str) -> None:
    """ccxt's times are whole milliseconds: a fraction would be rounded away."""
    project = Project.of(tmp_path, "ccxt/trades")
    rows = [(f"{SECOND}000.5", 1), (f"{SECOND}001", 2), (f"{SECOND}002.0", 3)]
    if suffix == "csv":
        text = "timestamp,trade_id,price,amount,side\n" + "".join(f"{ts},{k},1,1,buy\n" for ts, k in rows)
    else:
        lines = [f'{{"timestamp": {ts}, "trade_id": "{k}", "price": 1, "amount": 1, "side": "buy"}}' for ts, k in rows]
        text = "\n".join(lines) + "\n"
    [note] = told(project, text, suffix)
    said = f"source 'raw': 1 value(s) of column timestamp lose digits, {SECOND}000.5 for example, in raw/{HIVE}"
    assert note.startswith(said)
    assert note.endswith(f"t.{suffix}: it is read as whole numbers (BIGINT)")


FEW = 2_500


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "ndjson"])
@pytest.mark.parametrize(("zeros", "time", "lost"), [("", "123.25", 1), (".000", "123.25", 1), (".000", "123.0", 0)])
def test_far_into_a_text(tmp_path: Path, suffix: str, zeros: str, time: str, lost: int) -> None:
    """All lines of CSV and NDJSON files count, not only the first ones."""
    project = Project.of(tmp_path, "ccxt/trades")
    times = [f"{SECOND}{k % 1000:03}{zeros}" for k in range(FEW)] + [f"{SECOND}{time}", f"{SECOND}999"]
    if suffix == "ndjson":
        rest = '"price": "0.1000", "amount": 0.30000000000000004, "side": "buy"'
        text = "".join(f'{{"timestamp": {ts}, "trade_id": "{k}", {rest}}}\n' for k, ts in enumerate(times))
    else:
        rest = "0.30000000000000004,100000000000.500000000000000000,buy\r\n"
        text = "timestamp,trade_id,price,amount,side\r\n"
        text += "".join(f"{ts},{10**18 + k},{rest}" for k, ts in enumerate(times))
    (project.raw / HIVE).mkdir(parents=True)
    data = text.encode()
    (project.raw / HIVE / f"t.{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    notes = [note for note in outcome.json["tasks"][0]["notes"] if "lose digits" in note]
    assert len(notes) == lost
    assert all(
        f"1 value(s) of column timestamp lose digits, {SECOND}123.25 for example, in raw/" in each for each in notes
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "value", "lost"),
    [
        (0, '"2026-01-01T00:00:01.1234567891Z"', "nine digits after the second are kept"),
        (FEW, '"2026-01-01T00:00:01.1234567891Z"', "nine digits after the second are kept"),
        (0, '"2026-01-01T00:00:01.1234567890Z"', ""),
        (FEW, f"{SECOND}000.1234567", "nanoseconds are kept"),
        (FEW, f"{SECOND}000.123456", ""),
        (FEW, f'"{SECOND}.123456789"', ""),
    ],
)
def test_times_and_prices_of_messages(tmp_path: Path, value: str, lost: str, before: int) -> None:
    """A message that the adapter takes apart: OKX's trades."""

    def line(ts: str, price: str) -> str:
        trade = f'"instId": "BTC-USDT", "tradeId": "1", "px": "{price}", "sz": "0.00001234567", "side": "buy"'
        return f'{{"arg": {{"channel": "trades", "instId": "BTC-USDT"}}, "data": [{{{trade}, "ts": {ts}}}]}}\n'

    lines = line(f'"{SECOND}000"', "42219.9") * before + line(value, "1") + line(f"{SECOND}000", "1.23456789012345678")
    notes = told(Project.of(tmp_path, "okx/trades"), lines)
    assert len(notes) == 1
    assert f"{2 if lost else 1} value(s) of column message lose digits" in notes[0]
    assert notes[0].endswith(lost or "holds 17 digits at most")


def longest(text: bytes, limits: scan.Limits) -> set[int]:
    """Oracle: beginnings of suspect numbers, by a regular expression."""
    found = set()
    for match in re.finditer(rb"[0-9./]{%d,}" % limits.shortest, text):
        whole, point, rest = match[0].partition(b".")
        fraction = len(rest) - len(rest) + len(rest.rstrip(b"0")) if point else 0
        digits = len((whole + rest).lstrip(b"0").rstrip(b"0")) if rest.rstrip(b"0") else len(whole.lstrip(b"0"))
        before = text[match.start() - 1 : match.start()]
        clock = len(whole) == 6 or (len(whole) == 2 and before == b":")
        kept = limits.text if before == b'"' else limits.number
        if point and (digits > 17 or (len(whole) in (10, 13, 16, 19) and fraction > kept) or (clock and fraction > 9)):
            found.add(match.start())
    return found


@given(
    st.lists(st.from_regex(rb"[ :,\"][0-9]{0,19}(\.[0-9]{0,19})?", fullmatch=True), max_size=12).map(b"".join),
    st.sampled_from([scan.Limits(13, 6, 9), scan.Limits(14, 0, 0), scan.Limits(14, 3, 6)]),
    st.integers(20, 60),
)
def test_long_numbers(text: bytes, limits: scan.Limits, piece: int) -> None:
    """Numbers of many digits are found wherever they lie in the pieces that are searched."""
    text += b"\n"
    before, scan._PIECE = scan._PIECE, piece
    try:
        assert set(scan.long_numbers(np.frombuffer(text, np.uint8), limits).tolist()) == longest(text, limits)
    finally:
        scan._PIECE = before


def test_times_within_a_message(tmp_path: Path) -> None:
    """A message of Bybit has its times and ids in an object of its own."""
    book = f'{{"s": "BTCUSDT", "b": [["1", "1"]], "a": [["2", "1"]], "u": 1, "ts": {SECOND}000.25, "cts": {SECOND}000}}'
    [note] = told(
        Project.of(tmp_path, "bybit/orderbook"),
        f'{{"topic": "orderbook.50.BTCUSDT", "type": "snapshot", "ts": {SECOND}000, "data": {book}}}\n',
    )
    assert f"1 value(s) of column ts lose digits, {SECOND}000.25 for example" in note


@pytest.mark.parametrize(
    "amount", ['"1.234567890123456789"', '"1.23456789012345678"', '"1.2345678901234567"', "0.1000"]
)
def test_prices_and_sizes(tmp_path: Path, amount: str) -> None:
    digits = len(amount.strip('"').replace(".", ""))
    line = f'{{"timestamp": {SECOND}000, "trade_id": "1", "price": 1, "amount": {amount}, "side": "buy"}}\n'
    notes = told(Project.of(tmp_path / "trades", "ccxt/trades"), line)
    assert len(notes) == (digits > 17)
    assert all("of column amount lose digits" in note and "holds 17 digits at most" in note for note in notes)
    line = f'{{"timestamp": {SECOND}000, "bids": [["1.0", {amount}]], "asks": [["2.0", "1"]]}}\n'
    book = Project.of(tmp_path / "book", "ccxt/orderbook", options={"levels": "pairs", "max_levels": 1})
    assert (len(told(book, line)) > 0) == (digits > 17)


def test_ids_and_sizes_in_parquet(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "generic/trades", options={"columns": {"trade_id": "id"}})
    (project.raw / HIVE).mkdir(parents=True)
    table = pa.table(
        {
            "ts": pa.array([SECOND * 1000]),
            "price": pa.array(["1.5"]).cast(pa.decimal128(38, 20)),
            "amount": pa.array(["1.234567890123456789"]).cast(pa.decimal128(38, 20)),
            "id": pa.array([2.0**60]),
        }
    )
    pq.write_table(table, project.raw / HIVE / "t.parquet")
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    notes = outcome.json["tasks"][0]["notes"]
    assert sorted(note.split(" lose digits")[0] for note in notes) == [
        "source 'raw': 1 value(s) of column amount",
        "source 'raw': 1 value(s) of column id",
    ]


def test_decimals_of_more_than_38_digits(tmp_path: Path) -> None:
    """DuckDB has no type for them."""
    project = Project.of(tmp_path, "generic/trades")
    (project.raw / HIVE).mkdir(parents=True)
    wide = pa.decimal256(50, 20)
    table = pa.table(
        {
            "ts": pa.array([SECOND * 1000]),
            "price": pa.array([Decimal("0.1")], wide),
            "amount": pa.array([Decimal("1.234567890123456789")], wide),
        }
    )
    pq.write_table(table, project.raw / HIVE / "t.parquet")
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    (note,) = outcome.json["tasks"][0]["notes"]
    assert "1 value(s) of column amount lose digits" in note
    assert "of more than 38 digits is read as a float64" in note


def test_int96(tmp_path: Path) -> None:
    moment = pa.scalar(SECOND * 10**9 + NS, pa.timestamp("ns"))
    project = trades(tmp_path, [moment], "t.parquet", "timestamp", pa.timestamp("ns"))
    assert pq.ParquetFile(project.raw / HIVE / "t.parquet").schema.column(0).physical_type == "INT96"
    [row] = rows_of(project.run())
    assert row["ts"] == SECOND * 10**9 + NS
    assert str(row["date"]) == str(dt.date(2026, 1, 1))


@pytest.mark.parametrize("big", [2**53 - 1, 2**53 + 2])
def test_ids_far_into_a_parquet_file(tmp_path: Path, big: int) -> None:
    """The footer says the largest value of a column: ids as floating point numbers after the first rows are told."""
    project = Project.of(tmp_path, "ccxt/trades")
    count = 5_000
    table = {
        "timestamp": pa.array([SECOND * 1000 + i for i in range(count)], pa.int64()),
        "trade_id": pa.array([*map(float, range(count - 1)), float(big)], pa.float64()),
        "price": pa.array([1.0] * count),
        "amount": pa.array([2.0] * count),
        "side": pa.array(["buy"] * count),
    }
    (project.raw / HIVE).mkdir(parents=True)
    pq.write_table(pa.table(table), project.raw / HIVE / "t.parquet", row_group_size=1_000)
    outcome = project.sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    notes = [note for note in outcome.json["tasks"][0]["notes"] if "lose digits" in note]
    assert len(notes) == (big >= 2**53)
    for note in notes:
        assert "values of column trade_id lose digits, 9007199254740994.0 for example, after the first rows of" in note
