"""Raw files as they come: what can be read is read, and what cannot be is said so that a user can act on it."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlgen.errors import TaskError
from sqlgen.sources import rawfile
from sqlgen.sources.decode import Decoded, Decoder
from sqlgen.templating.header import CsvFormat
from sqlgen.templating.templates import Library
from tests.support.adapters import EXCHANGE, HIVE, SYMBOL, Project, random_books, random_trades, rows_of, trade_rows
from tests.support.engine import published
from tests.support.vendors import binance, ccxt, crypto_lake, tardis
from tests.support.vendors.files import save, truncated, with_broken_line
from tests.support.vendors.rows import MS, US
from tests.support.vendors.tables import (
    Table,
    broken_line,
    repeated,
    scaled,
    shuffled,
    with_cell,
    with_columns,
    with_crlf,
    with_delimiter,
)

TRADES = random_trades(21, 300)
TABLE = tardis.trades(TRADES, EXCHANGE, SYMBOL)
GOOD = trade_rows(TRADES, US)
OBJECTS = ccxt.ndjson(ccxt.trades(TRADES, "BTC/USDT"))


def tardis_trades(folder: Path, content: Table | str | bytes, name: str = "x.csv.gz") -> Project:
    project = Project.of(folder, "tardis/trades")
    save(project.raw / HIVE / name, content)
    return project


def ccxt_trades(folder: Path, content: str | bytes, name: str = "x.ndjson") -> Project:
    project = Project.of(folder, "ccxt/trades", options={"trade_id": "id"})
    save(project.raw / HIVE / name, content)
    return project


def without(rows: list[dict[str, Any]], *places: int) -> list[dict[str, Any]]:
    """The rows that are left, counted anew."""
    kept = [row for place, row in enumerate(rows) if place not in places]
    return [row | {"seq": seq} for seq, row in enumerate(kept)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.98, 0.9999])
@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst", "x.csv.zip"])
def test_a_file_that_is_cut_off(tmp_path: Path, name: str, share: float) -> None:
    """It fails its partition and names itself; what was published stays."""
    project = tardis_trades(tmp_path, TABLE, name)
    before = project.run()
    truncated(project.raw / HIVE / name, share)
    said = project.failure()
    assert f"{HIVE}/{name}" in said
    assert "Fetch it again" in said
    assert rows_of(before) == GOOD
    assert published(project.folder / "lake/out").equals(before)


@pytest.mark.parametrize("name", ["x.ndjson.gz", "x.ndjson.zst"])
def test_objects_that_are_cut_off(tmp_path: Path, name: str) -> None:
    project = ccxt_trades(tmp_path, OBJECTS, name)
    truncated(project.raw / HIVE / name)
    assert "Fetch it again" in project.failure()


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 400_000), min_size=1, max_size=3), data=st.data())
def test_every_cut_of_a_zstd_file_is_found(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    """DuckDB itself reads up to the cut and says nothing. Several frames in one file are whole."""
    path = tmp_path_factory.mktemp("zstd") / "x.csv.zst"
    pattern = bytes(i * 7919 % 251 for i in range(251))
    contents = [(pattern * (size // 251 + 1))[:size] for size in sizes]
    frames = [save(path, content).read_bytes() for content in contents]
    whole = b"".join(frames)
    path.write_bytes(whole)
    with rawfile.readable(path, path.with_suffix(".x")) as found:
        assert found.read_bytes() == b"".join(contents)
    ends = {sum(map(len, frames[:count])) for count in range(1, len(frames) + 1)}
    cut = data.draw(st.integers(0, len(whole) - 1).filter(lambda place: place not in ends))
    path.write_bytes(whole[:cut])
    with pytest.raises(TaskError, match="Fetch it again"), rawfile.readable(path, path.with_suffix(".x")):
        pass


def test_files_of_several_members(tmp_path: Path) -> None:
    """bgzip and parallel packers write gzip and zstd files of many members."""
    lines = TABLE.text().splitlines(keepends=True)
    parts = ["".join(lines[:100]).encode(), "".join(lines[100:]).encode()]
    zipped = tardis_trades(tmp_path / "gz", b"", "y.csv.gz")
    (zipped.raw / HIVE / "y.csv.gz").write_bytes(b"".join(map(gzip.compress, parts)) + bytes(512))
    assert rows_of(zipped.run()) == GOOD
    packed = tardis_trades(tmp_path / "zst", b"", "y.csv.zst")
    path = packed.raw / HIVE / "y.csv.zst"
    path.write_bytes(b"".join(save(tmp_path / "part.zst", part).read_bytes() for part in parts))
    assert rows_of(packed.run()) == GOOD


def test_archives(tmp_path: Path) -> None:
    project = tardis_trades(tmp_path, TABLE, "x.csv.zip")
    path = project.raw / HIVE / "x.csv.zip"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._x.csv", "what a Mac adds")
    assert rows_of(project.run()) == GOOD
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y.csv", TABLE.text())
    assert "holds 2 files (x.csv, y.csv); one is expected. Unpack it" in project.failure()
    data = bytearray(save(path, TABLE).read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert "cannot be unpacked" in project.failure()
    data = bytearray(save(path, TABLE).read_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):  # as if it had a password
        data[data.index(mark) + (6 if mark == b"PK\x03\x04" else 8)] |= 1
    path.write_bytes(data)
    assert "Unpack it by other means" in project.failure()


BROKEN = {
    "too few fields": "binance,BTCUSDT,1",
    "too many fields": TABLE.lines()[1] + ",1,2",
    "no number": TABLE.lines()[1].rpartition(",")[0] + ",abc",
    "a stray quote": '"' + TABLE.lines()[1],
    "quotes": 'broken"line,',
    "no text": "\x00\x01\x02",
    "another header": ",".join(TABLE.columns),
    "half a line": TABLE.lines()[5][:50],
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
def test_a_broken_line_costs_no_other(tmp_path: Path, line: str) -> None:
    project = tardis_trades(tmp_path, broken_line(TABLE, 100, line))
    rows = rows_of(project.run())
    if len(rows) > len(GOOD):  # a quote in a column that nobody reads breaks nothing: the line came twice
        assert rows[100] == GOOD[0] | {"seq": 100}
        rows = without(rows, 100)
    assert rows == GOOD


@pytest.mark.slow
def test_a_broken_line_of_objects_costs_no_other(tmp_path: Path) -> None:
    for number, line in enumerate(('{"broken": ', "[1, 2]", "null", "12", '"text"', "{}", "\x00", "not JSON")):
        project = ccxt_trades(tmp_path / str(number), with_broken_line(OBJECTS, 100, line))
        kept = [{**row, "seq": 0} for row in trade_rows(TRADES, MS)]
        assert [{**row, "seq": 0} for row in rows_of(project.run())] == kept


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_usual_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    assert rows_of(tardis_trades(tmp_path, with_delimiter(TABLE, delimiter)).run()) == GOOD


def test_an_unusual_delimiter_is_told(tmp_path: Path) -> None:
    said = tardis_trades(tmp_path, with_delimiter(TABLE, "^")).failure()
    assert "its header has no column timestamp, id, side, price, amount" in said
    assert "exchange^symbol^timestamp" in said


@pytest.mark.parametrize(("factor", "unit"), [(-1_000_000, "s"), (-1000, "ms"), (1000, "ns")])
def test_a_wrong_unit_of_time_is_an_error(tmp_path: Path, factor: int, unit: str) -> None:
    said = tardis_trades(tmp_path, scaled(TABLE, ["timestamp"], factor)).failure()
    assert f"is not in us since 1970 but in {unit}" in said
    assert HIVE in said


def test_unknown_codes_of_sides_are_null(tmp_path: Path) -> None:
    table = with_cell(with_cell(TABLE, 3, "side", "?"), 4, "side", "")
    rows = rows_of(tardis_trades(tmp_path, table).run())
    assert rows == [row | ({"side": None} if row["seq"] in (3, 4) else {}) for row in GOOD]


def test_rows_that_come_twice_and_in_any_order_are_all_kept(tmp_path: Path) -> None:
    rows = rows_of(tardis_trades(tmp_path / "twice", repeated(TABLE, 7)).run())
    assert [row["trade_id"] for row in rows[6:10]] == [GOOD[place]["trade_id"] for place in (6, 7, 7, 8)]
    rows = rows_of(tardis_trades(tmp_path / "mixed", shuffled(TABLE, 1)).run())
    assert sorted(row["ts"] for row in rows) == [row["ts"] for row in GOOD]


MARK = b"\xef\xbb\xbf"
CSV_BYTES = TABLE.text().encode()
WRITTEN: dict[str, bytes] = {
    "byte order mark": MARK + CSV_BYTES,
    "CRLF": with_crlf(TABLE).text().encode(),
    "mark and CRLF": MARK + with_crlf(TABLE).text().encode(),
    "CR": CSV_BYTES.replace(b"\n", b"\r"),
    "mixed": CSV_BYTES.replace(b"\n", b"\r\n", 20),
    "mixed later": CSV_BYTES[:3000] + CSV_BYTES[3000:].replace(b"\n", b"\r\n", 20),
    "no newline at the end": CSV_BYTES.rstrip(b"\n"),
    "blank lines": CSV_BYTES.replace(b"\n", b"\n\n", 20) + b"\n\n",
    "spaces after commas": CSV_BYTES.replace(b",", b", "),
    "all in quotes": b"".join(
        b'"' + line.replace(b",", b'","') + b'"\n' for line in CSV_BYTES.replace(b"\r", b"").split()
    ),
}


@pytest.mark.parametrize("content", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.zst", "x.csv.zip"])
def test_ways_to_write_lines(tmp_path: Path, content: bytes, name: str) -> None:
    rows = rows_of(tardis_trades(tmp_path, content, name).run())
    assert rows == GOOD


@pytest.mark.parametrize("name", ["x.ndjson", "x.ndjson.gz", "x.ndjson.zip"])
def test_ways_to_write_objects(tmp_path: Path, name: str) -> None:
    plain = OBJECTS.encode()
    for number, content in enumerate((MARK + plain, plain.replace(b"\n", b"\r\n"), plain.replace(b"\n", b"\n\n"))):
        assert rows_of(ccxt_trades(tmp_path / str(number), content, name).run()) == trade_rows(TRADES, MS)


def test_stray_quotes(tmp_path: Path) -> None:
    """A quote swallows no line after it, in whatever column it stands."""
    for number, (column, value) in enumerate((("id", '"7'), ("id", '7"'), ("side", '"buy'), ("price", '"1'))):
        rows = rows_of(tardis_trades(tmp_path / str(number), with_cell(TABLE, 9, column, value)).run())
        changed = {"id": {"trade_id": value}, "side": {"side": None}}
        expected = without(GOOD, 9) if column == "price" else [*GOOD[:9], GOOD[9] | changed[column], *GOOD[10:]]
        assert rows == expected


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.zst", "x.csv.zip"])
@pytest.mark.parametrize("content", ["", "\n\n", ",".join(TABLE.columns), ",".join(TABLE.columns) + "\n"])
def test_a_file_without_rows_is_no_error(tmp_path: Path, name: str, content: str) -> None:
    """As Tardis.dev writes a day without data; the other files of the day are read."""
    project = tardis_trades(tmp_path, content, name)
    assert project.sqlgen("run").code == 0
    save(project.raw / HIVE / "y.csv.gz", TABLE)
    assert rows_of(project.run()) == GOOD
    other = ccxt_trades(tmp_path / "objects", "", "x.ndjson.gz")
    assert other.sqlgen("run").code == 0


def test_schema_versions_side_by_side(tmp_path: Path) -> None:
    """Columns that are added or moved do no harm; one that is missing is named, with its file."""
    project = tardis_trades(tmp_path, replace(TABLE, rows=TABLE.rows[:100]), "a.csv.gz")
    wider = ("flags", *TABLE.columns[:5], "liquidation", *TABLE.columns[:4:-1])
    save(project.raw / HIVE / "b.csv.gz", with_columns(replace(TABLE, rows=TABLE.rows[100:]), wider))
    assert rows_of(project.run()) == GOOD
    fewer = [name for name in TABLE.columns if name != "price"]
    path = save(project.raw / HIVE / "b.csv.gz", with_columns(TABLE, fewer))
    assert f"{path}: its header has no column price. It has: exchange, symbol" in project.failure()


def test_schema_versions_of_parquet(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "crypto_lake/trades")
    folder = project.raw / HIVE
    folder.mkdir(parents=True)
    table = crypto_lake.trades(TRADES)
    pq.write_table(table.slice(0, 100), folder / "a.parquet")
    later = table.slice(100).append_column("fee", pa.nulls(200, pa.float64()))
    pq.write_table(later.select(later.column_names[::-1]), folder / "b.parquet")
    assert rows_of(project.run()) == trade_rows(TRADES)
    pq.write_table(later.drop_columns(["price"]), folder / "b.parquet")
    said = project.failure()
    assert f"{folder}/b.parquet: it has no column 'price', but side, quantity, trade_id" in said


def test_schema_versions_of_objects(tmp_path: Path) -> None:
    records = ccxt.trades(TRADES, "BTC/USDT")
    halves = [ccxt.ndjson(records[:150]), ccxt.ndjson([{"more": [1], **record} for record in records[150:]])]
    project = ccxt_trades(tmp_path, halves[0], "a.ndjson")
    path = save(project.raw / HIVE / "b.ndjson", halves[1])
    assert rows_of(project.run()) == trade_rows(TRADES, MS)
    fewer = [{key: value for key, value in record.items() if key != "price"} for record in records]
    save(path, ccxt.ndjson(fewer))
    assert f"{path}: no line has price; there are: id, symbol, timestamp" in project.failure()


BOOKS = random_books(22, 30, 5, full=1.0)
PAIRS = ccxt.ndjson(ccxt.order_books(BOOKS, "BTC/USDT", "pairs"))
LEVELS = ccxt.ndjson(ccxt.order_books(BOOKS, "BTC/USDT", "objects"))


@pytest.mark.parametrize("suffix", ["ndjson", "parquet"])
def test_levels_in_the_other_form(tmp_path: Path, suffix: str) -> None:
    """What would be books without levels is an error that names the option."""
    qty = LEVELS.replace('"size"', '"qty"')
    for number, (option, text) in enumerate((("objects", PAIRS), ("pairs", LEVELS), ("objects", qty))):
        project = Project.of(tmp_path / str(number), "ccxt/orderbook", options={"levels": option})
        path = save(project.raw / HIVE / f"x.{suffix}", text)
        if suffix == "parquet":
            pq.write_table(pa.Table.from_pylist([json.loads(line) for line in text.splitlines()]), path)
        said = project.failure()
        assert f"{path}: " in said
        assert "bids" in said
        assert "levels (objects, pairs)" in said


STRANGE: dict[str, tuple[str, str, Callable[[Path], Any], str]] = {
    "books as trades": (
        "tardis/trades",
        "x.csv.gz",
        lambda path: save(path, tardis.book_snapshot(BOOKS, 5, EXCHANGE, SYMBOL)),
        "its header has no column id, side, price, amount",
    ),
    "trades as books": (
        "tardis/book_snapshot_25",
        "x.csv.gz",
        lambda path: save(path, TABLE),
        "no column bids[0].price",
    ),
    "no header": (
        "tardis/trades",
        "x.csv",
        lambda path: save(path, replace(TABLE, header=False)),
        "no column timestamp",
    ),
    "trades of another vendor": ("binance/trades", "x.csv", lambda path: save(path, TABLE), "no column qty"),
    "books as trades of Binance": (
        "binance/trades",
        "x.csv",
        lambda path: save(path, replace(tardis.book_snapshot(BOOKS, 5, EXCHANGE, SYMBOL), header=False)),
        "its first line has 24 by ',' fields, and 6 to 7 were expected",
    ),
    "as many columns of another kind": (
        "binance/trades",
        "x.csv",
        lambda path: save(path, "a,1,b,2,c,d\n" * 3),
        "none of its 3 lines can be read",
    ),
    "objects as a table": ("tardis/trades", "x.csv", lambda path: save(path, OBJECTS), "no column timestamp"),
    "a table as objects": (
        "ccxt/trades",
        "x.ndjson",
        lambda path: save(path, TABLE),
        "none of its 301 lines can be read",
    ),
    "a list of objects": (
        "ccxt/trades",
        "x.ndjson",
        lambda path: save(path, json.dumps([{"timestamp": 1}], indent=1)),
        "none of its",
    ),
    "books as trades of ccxt": (
        "ccxt/trades",
        "x.ndjson",
        lambda path: save(path, PAIRS),
        "no line has trade_id, price",
    ),
    "Parquet as text": (
        "tardis/trades",
        "x.csv",
        lambda path: pq.write_table(crypto_lake.trades(TRADES), path),
        "x.csv is a parquet file, by its first bytes. Give it a name that ends in .parquet",
    ),
    "Parquet of another vendor": (
        "ccxt/orderbook",
        "x.parquet",
        lambda path: pq.write_table(crypto_lake.books(BOOKS), path),
        "it has no column 'timestamp', but origin_time",
    ),
    "the bucket's names": (
        "crypto_lake/trades",
        "x.parquet",
        lambda path: pq.write_table(crypto_lake.trades(TRADES, raw=True), path),
        "names (client, bucket)",
    ),
    "timestamps as counts": (
        "generic/trades",
        "x.parquet",
        lambda path: pq.write_table(
            crypto_lake.trades(TRADES).rename_columns(["x", "amount", "price", "y", "ts", "z"]), path
        ),
        "time_unit (s, ms, us, ns, timestamp, text)",
    ),
    "text as Parquet": ("crypto_lake/trades", "x.parquet", lambda path: save(path, TABLE), "damaged or not complete"),
    "not gzip": ("tardis/trades", "x.csv.gz", lambda path: path.write_bytes(CSV_BYTES), "x.csv.gz"),
    "not zstd": ("tardis/trades", "x.csv.zst", lambda path: path.write_bytes(CSV_BYTES), "x.csv.zst"),
    "not zip": ("tardis/trades", "x.csv.zip", lambda path: path.write_bytes(CSV_BYTES), "cannot be unpacked"),
}


@pytest.mark.parametrize(("adapter", "name", "write", "said"), STRANGE.values(), ids=STRANGE)
def test_a_file_that_is_something_else(
    tmp_path: Path, adapter: str, name: str, write: Callable[[Path], Any], said: str
) -> None:
    project = Project.of(tmp_path, adapter)
    (project.raw / HIVE).mkdir(parents=True)
    write(project.raw / HIVE / name)
    told = project.failure()
    assert said in told
    assert f"{HIVE}/{name}" in told


def decoded(folder: Path, path: Path, columns: dict[str, str], csv: CsvFormat | None = None) -> tuple[Decoded, int]:
    """What the decoder says of a file, and the rows that it made."""
    with duckdb.connect() as connection:
        kind = "ndjson" if "ndjson" in path.name else "csv"
        decoder = Decoder(Library(), kind, columns, csv or CsvFormat(), connection)
        found = decoder.decode(path, folder / "out.parquet")
        return found, pq.read_metadata(folder / "out.parquet").num_rows


def test_bad_lines_are_told_by_their_numbers(tmp_path: Path) -> None:
    """As an editor counts them, with the header and blank lines."""
    columns = {"a": "BIGINT", "b": "VARCHAR"}
    path = save(tmp_path / "x.csv.gz", "a,b\n1,x\n\n2\n\n3,y\nz,w\n4,v,\xe9,\n")
    found, rows = decoded(tmp_path, path, columns)
    assert [(bad.line, bad.text) for bad in found.bad] == [(4, "2"), (7, "z,w"), (8, "4,v,\xe9,")]
    assert (found.lines, rows) == (5, 2)
    path = save(tmp_path / "x.ndjson.zst", '{"a": 1}\n\n{"a": \n\n{"b": "y"}\n12\n{"c": 1}\n')
    found, rows = decoded(tmp_path, path, columns)
    assert [(bad.line, bad.text) for bad in found.bad] == [(3, '{"a": '), (6, "12"), (7, '{"c": 1}')]
    assert [bad.reason.partition(":")[0] for bad in found.bad] == [
        "not a JSON object",
        "not a JSON object",
        "none of the columns is in it",
    ]
    assert found.lines == 5


def test_a_long_bad_line_is_not_kept_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "x.csv", "a\n" + "9" * 3_000_000 + "\n1\n")
    found, rows = decoded(tmp_path, path, {"a": "BIGINT"})
    assert rows == 1
    assert all(len(bad.text) <= 500 and len(bad.reason) < 2000 for bad in found.bad)


def test_a_failed_scan_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """The tables of rejected lines belong to one scan."""
    lines = "".join(f"{i},x\n" if i % 5 else "bad,line\n" for i in range(200_000))
    broken = truncated(save(tmp_path / "a.csv.gz", "a,b\n" + lines), 0.9)
    good = save(tmp_path / "b.csv.gz", "a,b\n1,x\nq,y\n")
    with duckdb.connect() as connection:
        decoder = Decoder(Library(), "csv", {"a": "BIGINT", "b": "VARCHAR"}, CsvFormat(), connection)
        with pytest.raises(TaskError, match="Fetch it again"):
            decoder.decode(broken, tmp_path / "a.parquet")
        assert [bad.line for bad in decoder.decode(good, tmp_path / "b.parquet").bad] == [3]
    assert {path.name for path in tmp_path.iterdir()} <= {"a.csv.gz", "b.csv.gz", "a.parquet", "b.parquet"}


@pytest.mark.parametrize("name", ["x[1].csv", "a*b.csv.gz", "who?.ndjson", "it's.csv"])
def test_names_that_look_like_patterns(tmp_path: Path, name: str) -> None:
    adapter = "ccxt/trades" if "ndjson" in name else "tardis/trades"
    project = Project.of(tmp_path, adapter, **({"options": {"trade_id": "id"}} if "ccxt" in adapter else {}))
    save(project.raw / HIVE / name, OBJECTS if "ndjson" in name else TABLE)
    assert rows_of(project.run()) == (trade_rows(TRADES, MS) if "ndjson" in name else GOOD)


def test_files_with_and_without_header_side_by_side(tmp_path: Path) -> None:
    """Binance added headers without notice; one whose names are others is not read by position."""
    sided = random_trades(23, 100, unknown=False)
    project = Project.of(tmp_path, "binance/trades")
    for name, part, header in (("a", sided[:50], False), ("b", sided[50:], True)):
        save(project.raw / HIVE / f"{name}.csv", binance.trades(part, "um", "2026-01-02", header))
    assert rows_of(project.run()) == trade_rows(sided, MS)
    table = binance.trades(sided, "um", "2026-01-02", True)
    path = save(project.raw / HIVE / "b.csv", replace(table, columns=("trade_id", *table.columns[1:])))
    assert f"{path}: its header has no column id. It has: trade_id, price" in project.failure()
