"""Databento: every form of a file gives the rows that its text says, and the features of the same book from ccxt."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import re
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.features.made import keyed
from tests.support import realdata
from tests.support.compare import values
from tests.support.engine import sqlgen
from tests.support.lakes import write_rows
from tests.support.vendors import databento
from tests.support.vendors.databento import Event
from tests.support.vendors.files import save
from tests.support.vendors.lake import SHELL, VendorLake, identical, market, needs_shell, states, timeless, write_ccxt
from tests.support.vendors.rows import Book, S, Trade
from tests.support.vendors.tables import broken_line, scaled, with_cell, with_columns

databento_dbn = pytest.importorskip("databento_dbn")
dbn = pytest.importorskip("tests.support.vendors.dbn")

DAY = "2024-10-21"
START = int(dt.datetime(2024, 10, 21, 13, 30, tzinfo=dt.UTC).timestamp()) * S
NAMED: dict[str, Any] = {"adapter": "databento/mbp10", "pattern": "{symbol}_{date}.*", "exchange": "nasdaq"}
TRADES = NAMED | {"adapter": "databento/trades"}
INSIDE = {"adapter": "databento/mbp10", "pattern": "**/*", "exchange": "nasdaq"}
"""Symbol and day stand in the rows."""
LEVELS = ("bid_price", "bid_size", "ask_price", "ask_size")

Market = tuple[Sequence[Book], Sequence[Trade]]


@pytest.fixture
def lake(tmp_path: Path) -> VendorLake:
    return VendorLake(tmp_path)


def made(seed: int = 1, count: int = 40, nanoseconds: int = 0) -> tuple[Market, list[Event]]:
    """A market, and its records; times end on so many nanoseconds."""
    books, trades = market(seed, START, count)
    books = [dataclasses.replace(row, ts=row.ts + nanoseconds) for row in books]
    trades = [dataclasses.replace(row, ts=row.ts + nanoseconds) for row in trades]
    trades = [dataclasses.replace(row, side=None) if i % 7 == 3 else row for i, row in enumerate(trades)]
    return (books, trades), databento.events(books, trades)


def csv(prices: databento.Prices, raw_times: bool) -> Callable[[list[Event], str], str]:
    return lambda rows, schema: databento.table(rows, schema, prices=prices, raw_times=raw_times).text()


def parquet(integers: bool) -> Callable[[list[Event], str], bytes]:
    def content(rows: list[Event], schema: str) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(databento.arrow(rows, schema, integers=integers), sink)
        return sink.getvalue().to_pybytes()

    return content


def binary(version: int) -> Callable[[list[Event], str], bytes]:
    return lambda rows, schema: dbn.encode(rows, schema, {38: "AAPL"}, version=version)


VARIANTS: dict[str, tuple[str, Callable[[list[Event], str], Any]]] = {
    "pretty": ("csv", csv("pretty", False)),
    "raw": ("csv.zst", csv("raw", True)),
    "raw prices": ("csv.gz", csv("raw", False)),
    "raw times": ("csv", csv("pretty", True)),
    "data frame": ("csv.gz", csv("float", False)),
    "parquet": ("parquet", parquet(False)),
    "parquet of integers": ("parquet", parquet(True)),
    "dbn 1": ("dbn", binary(1)),
    "dbn 2": ("dbn.zst", binary(2)),
    "dbn 3": ("dbn.zst", binary(3)),
}
IN_SHELL = [name for name, (suffix, _) in VARIANTS.items() if not suffix.startswith("dbn") and name != "parquet"]
"""Older DuckDB cuts the times of Parquet to microseconds: see the test of these below."""


def write(lake: VendorLake, rows: list[Event], variant: str = "pretty", schema: str = "mbp-10") -> Path:
    suffix, content = VARIANTS[variant]
    return save(lake.raw / f"AAPL_{DAY}.{suffix}", content(rows, schema))


def check_books(table: pa.Table, expected: Sequence[Book], depth: int) -> None:
    assert values(table, "ts") == [book.ts for book in expected]
    assert values(table, "seq") == list(range(len(expected)))
    for side, sides in (("bid", [book.bids[:depth] for book in expected]), ("ask", [b.asks[:depth] for b in expected])):
        assert values(table, f"{side}_levels") == [len(levels) for levels in sides]
        for i in range(depth):
            for place, field in enumerate(("price", "size")):
                cells = [float(levels[i][place]) if i < len(levels) else None for levels in sides]
                assert values(table, f"{side}_{field}_{i:02d}") == cells


def check_trades(table: pa.Table, trades: Sequence[Trade]) -> None:
    expected = sorted(trades, key=lambda trade: trade.ts)
    assert values(table, "ts") == [trade.ts for trade in expected]
    assert values(table, "price") == [float(trade.price) for trade in expected]
    assert values(table, "amount") == [float(trade.amount) for trade in expected]
    assert values(table, "side") == [{"buy": 1, "sell": -1, None: None}[trade.side] for trade in expected]


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_form_gives_the_rows_that_were_written(lake: VendorLake, variant: str) -> None:
    """In a run, and in the shell where that can read the form."""
    (books, trades), rows = made(nanoseconds=123_457)
    write(lake, rows, variant)
    found = lake.rows(NAMED)
    check_books(found, states(books, trades), 10)
    if variant in IN_SHELL and SHELL is not None:
        identical(lake.shell_rows(), found)
    found = lake.rows(TRADES)
    check_trades(found, trades)
    if variant in IN_SHELL and SHELL is not None:
        identical(lake.shell_rows(), found)


@pytest.mark.parametrize("schema", ["trades", "mbp-1", "mbp-10"])
@pytest.mark.parametrize("variant", ["raw", "parquet", "dbn 3"])
def test_trades_come_from_every_schema(lake: VendorLake, schema: str, variant: str) -> None:
    (_, trades), rows = made(nanoseconds=999)
    write(lake, databento.trades_only(rows) if schema == "trades" else rows, variant, schema)
    check_trades(lake.rows(TRADES), trades)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["pretty", "raw", "parquet of integers", "dbn 1"])
def test_mbp1(lake: VendorLake, variant: str) -> None:
    (books, trades), rows = made(nanoseconds=1)
    write(lake, rows, variant, "mbp-1")
    check_books(lake.rows(NAMED | {"adapter": "databento/mbp1"}), states(books, trades), 1)


@pytest.mark.slow
@needs_shell
@pytest.mark.parametrize("adapter", [NAMED, TRADES], ids=["mbp10", "trades"])
def test_the_shell_gives_the_same_of_parquet(lake: VendorLake, adapter: dict[str, Any]) -> None:
    """Its times are whole microseconds."""
    _, rows = made(nanoseconds=123_000)
    write(lake, rows, "parquet")
    table = lake.rows(adapter)
    identical(lake.shell_rows(), table)


@pytest.mark.parametrize("letter", ["Q", ""])
def test_a_letter_that_is_no_action_leaves_a_trade_without_a_price(lake: VendorLake, letter: str) -> None:
    (_, trades), rows = made()
    table = databento.table(databento.trades_only(rows), "trades")
    save(lake.raw / f"AAPL_{DAY}.csv", with_cell(table, 3, "action", letter).text())
    expected: list[float | None] = [float(trade.price) for trade in sorted(trades, key=lambda trade: trade.ts)]
    expected[3] = None
    assert values(lake.rows(TRADES), "price") == expected


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["raw", "dbn 3"])
def test_features_equal_those_of_the_same_book_from_ccxt(lake: VendorLake, tmp_path: Path, variant: str) -> None:
    (books, trades), rows = made(seed=3, count=400)
    write(lake, rows, variant)
    other = VendorLake(tmp_path / "ccxt")
    write_ccxt(other.folder / "lake", states(books, trades), trades, DAY)
    options = {"vpin_bucket_volume": "700.0", "captured_levels": 10}
    ours = {"ccxt_orderbook": {"path": "raw", **NAMED}, "ccxt_trades": {"path": "raw", **TRADES}}
    hf, features = lake.features(ours, "orderbook_hf", "trades_features", **options)
    ccxt_hf, ccxt_features = other.features({}, "orderbook_hf", "trades_features", **options)
    # Of one time, ccxt's trades come before all books, and ours as they happened.
    by_order = ("buy_", "sell_", "trade_vol", "tfi", "vpin", "kyle")
    identical(hf, ccxt_hf, but=tuple(name for name in hf.column_names if name.startswith(by_order)))
    identical(features, ccxt_features, but=("seq", "trade_id"))
    for name in ("vpin", "ofi", "ofi_09", "spread_regime"):
        assert any(value is not None for value in values(hf, name)), name


def write_real(lake: VendorLake) -> dict[str, Any]:
    name = "databento_mbp10_AAPL_2024-10-21.csv.gz"
    save(lake.raw / name.removesuffix(".gz"), gzip.decompress(realdata.data_file(name).read_bytes()))
    return {"pattern": "databento_mbp10_{symbol}_{date}.csv", "exchange": "nasdaq"}


def nanoseconds(text: str) -> int:
    """By hand, of an ISO time with nine places."""
    whole, fraction = re.fullmatch(r"(.*)\.(\d{9})Z", text).groups()  # type: ignore[union-attr]
    return int(dt.datetime.fromisoformat(f"{whole}+00:00").timestamp()) * S + int(fraction)


@pytest.mark.slow
def test_real_file(lake: VendorLake, tmp_path: Path) -> None:
    """Line 21 has a damaged price: the row is set aside, the others are read to the nanosecond."""
    source = write_real(lake)
    adapters = {"ccxt_orderbook": "databento/mbp10", "ccxt_trades": "databento/trades"}
    ours = {name: {"path": "raw", **source, "adapter": adapter} for name, adapter in adapters.items()}
    hf, trades = lake.features(ours, "orderbook_hf", "trades_features")
    events = realdata.databento_events()
    good = [event for number, event in enumerate(events) if number != 20]
    assert values(hf, "ts") == [nanoseconds(event["ts_event"]) for event in good]
    assert values(hf, "bid_price_09") == [float(event["bid_px_09"]) for event in good]
    traded = [event for event in events if event["action"] == "T"]
    assert values(trades, "ts") == [nanoseconds(event["ts_event"]) for event in traded]
    assert values(trades, "trade_id") == [event["sequence"] for event in traded]

    other = VendorLake(tmp_path / "ccxt")
    books = [book for number, book in enumerate(realdata.databento_books()) if number != 20]
    write_rows(other.folder / "lake", "orderbook", keyed(books, "nasdaq", "AAPL"))
    write_rows(other.folder / "lake", "trades", keyed(realdata.databento_trades(), "nasdaq", "AAPL"))
    [expected] = other.features({}, "orderbook_hf", captured_levels=10)
    identical(timeless(hf), timeless(expected))


@pytest.mark.slow
@needs_shell
@pytest.mark.parametrize("adapter", ["databento/mbp10", "databento/trades"])
def test_the_shell_gives_the_same_of_the_real_file(lake: VendorLake, adapter: str) -> None:
    table = lake.rows(write_real(lake) | {"adapter": adapter})
    assert table.num_rows == {"databento/mbp10": 1999, "databento/trades": 103}[adapter]
    # One line cannot be read as a book: a run keeps its place, the shell passes over it.
    identical(lake.shell_rows(), table, but=["seq"] if adapter == "databento/mbp10" else [])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["raw", "parquet", "dbn 2"])
def test_symbol_and_day_may_stand_in_the_rows(lake: VendorLake, variant: str) -> None:
    (books, trades), rows = made(count=5)
    write(lake, rows, variant)
    table = lake.rows(INSIDE)
    assert set(values(table, "symbol")) == {"AAPL"}
    assert set(values(table, "date")) == {dt.date(2024, 10, 21)}
    check_books(table, states(books, trades), 10)


def mapped(rows: list[Event], mappings: dict[str, list[tuple[str, str, int]]], ts_out: bool = False) -> bytes:
    """A DBN file with symbols by day: symbol -> (first day, day after the last, instrument)."""
    content = dbn.encode(rows, "mbp-10", {38: "AAPL"})
    size = 8 + int.from_bytes(content[4:8], "little")
    entries = [
        dbn._Mapping(symbol, [dbn._Interval(*map(dt.date.fromisoformat, days), str(id_)) for *days, id_ in ranges])
        for symbol, ranges in mappings.items()
    ]
    header = databento_dbn.Metadata(
        dataset="XNAS.ITCH",
        start=rows[0].ts_recv,
        end=rows[-1].ts_recv + 1,
        stype_in=databento_dbn.SType.RAW_SYMBOL,
        stype_out=databento_dbn.SType.INSTRUMENT_ID,
        schema=databento_dbn.Schema.MBP_10,
        symbols=list(mappings),
        mappings=entries,
        ts_out=ts_out,
    )
    records = content[size:]
    if ts_out:
        whole = [records[i : i + 368] for i in range(0, len(records), 368)]
        records = b"".join(bytes([(368 + 8) // 4]) + record[1:] + b"\0" * 8 for record in whole)
    return bytes(header) + records


@pytest.mark.slow
def test_dbn_symbols_by_instrument_and_day(lake: VendorLake) -> None:
    """An instrument id is another symbol on another day."""
    (books, _), _ = made(count=4)
    day = 86_400 * S
    books = [dataclasses.replace(book, ts=book.ts + i // 2 * day, received=None) for i, book in enumerate(books)]
    rows = databento.events(books)
    rows = [dataclasses.replace(row, instrument_id=38 + i % 2) for i, row in enumerate(rows)]
    days = [("2024-10-21", "2024-10-22"), ("2024-10-22", "2024-10-23")]
    mappings = {"AAPL": [(*days[0], 38), (*days[1], 39)], "MSFT": [(*days[0], 39), (*days[1], 38)]}
    save(lake.raw / "all.dbn.zst", mapped(rows, mappings))
    table = lake.rows({"adapter": "databento/mbp10", "pattern": "*.dbn.zst"})
    got = list(zip(values(table, "exchange"), values(table, "symbol"), map(str, values(table, "date")), strict=True))
    expected = {("XNAS.ITCH", symbol, start) for symbol in ("AAPL", "MSFT") for start, _ in days}
    assert set(got) == expected
    assert len(got) == 4
    first = values(table, "bid_size_00")
    assert first == [float(book.bids[0][1]) if book.bids else None for book in (books[0], books[3], books[1], books[2])]


@pytest.mark.slow
def test_dbn_with_times_of_sending(lake: VendorLake) -> None:
    (books, trades), rows = made(count=5)
    save(lake.raw / f"AAPL_{DAY}.dbn", mapped(rows, {"AAPL": [("2024-10-21", "2024-10-22", 38)]}, ts_out=True))
    check_books(lake.rows(NAMED), states(books, trades), 10)


@pytest.mark.slow
def test_dbn_without_records(lake: VendorLake) -> None:
    _, rows = made(count=5)
    content = dbn.encode(rows, "mbp-10", {38: "AAPL"})
    save(lake.raw / f"AAPL_{DAY}.dbn", content[: 8 + int.from_bytes(content[4:8], "little")])
    assert lake.run(NAMED).code == 0
    assert not (lake.folder / "lake/rows").exists() or not list((lake.folder / "lake/rows").rglob("*.parquet"))


def said(lake: VendorLake, source: dict[str, Any]) -> str:
    """The message of a run that must fail."""
    outcome = lake.run(source)
    assert outcome.code == 1
    return " ".join((outcome.out + outcome.err).split())


@pytest.mark.parametrize(
    ("suffix", "cut"), [("dbn", 100), ("dbn", -1), ("dbn.zst", -2000), ("dbn", 5), ("dbn.zst", 40)], ids=str
)
def test_a_dbn_file_that_is_cut_off(lake: VendorLake, suffix: str, cut: int) -> None:
    _, rows = made(count=400)
    path = write(lake, rows, "dbn 1" if suffix == "dbn" else "dbn 3")
    path.write_bytes(path.read_bytes()[:cut])
    message = said(lake, NAMED)
    assert f"AAPL_{DAY}.{suffix} is cut off" in message
    assert "Fetch it again" in message


def test_a_dbn_file_of_another_schema(lake: VendorLake) -> None:
    _, rows = made(count=5)
    write(lake, rows, "dbn 3", "mbp-1")
    assert "its records have no bid_px_01, ask_px_01" in said(lake, NAMED)


def test_a_dbn_file_of_mixed_schemas(lake: VendorLake) -> None:
    _, rows = made(count=5)
    path = write(lake, rows, "dbn 1")
    other = dbn.encode(rows, "mbp-1", {38: "AAPL"})
    path.write_bytes(path.read_bytes() + other[8 + int.from_bytes(other[4:8], "little") :] * 23)
    assert "A file must hold one schema" in said(lake, NAMED)


def test_what_is_no_dbn_file(lake: VendorLake) -> None:
    save(lake.raw / f"AAPL_{DAY}.dbn", "ts_recv,ts_event\n")
    assert f"AAPL_{DAY}.dbn is no DBN file" in said(lake, NAMED)


def test_the_package_is_named_where_it_is_missing(lake: VendorLake, monkeypatch: pytest.MonkeyPatch) -> None:
    _, rows = made(count=5)
    write(lake, rows, "dbn 1")
    monkeypatch.setitem(sys.modules, "databento_dbn", None)
    assert "pip install 'sqlgen[dbn]'" in said(lake, NAMED)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["pretty", "dbn 3"])
def test_one_venue_of_several(lake: VendorLake, variant: str) -> None:
    _, rows = made(count=20)
    rows = [dataclasses.replace(row, publisher_id=i % 3) for i, row in enumerate(rows)]
    write(lake, rows, variant)
    table = lake.rows(NAMED | {"options": {"publisher_id": 2}})
    assert values(table, "seq") == list(range(2, len(rows), 3))
    places = [i for i, row in enumerate(rows) if row.action == "T" and row.publisher_id == 2]
    assert values(lake.rows(TRADES | {"options": {"publisher_id": 2}}), "seq") == places


@pytest.mark.slow
def test_books_without_the_records_of_trades(lake: VendorLake) -> None:
    _, rows = made()
    write(lake, rows)
    table = lake.rows(NAMED | {"options": {"trade_records": False}})
    assert values(table, "seq") == [i for i, row in enumerate(rows) if row.action != "T"]


@pytest.mark.slow
@needs_shell
def test_bad_cells_and_lines(lake: VendorLake) -> None:
    """A line that cannot be read goes, its place stays; an unknown side is none; a row without a time is left out."""
    _, rows = made(count=20)
    table = databento.table(rows, "mbp-10")
    traded = [i for i, row in enumerate(rows) if row.action == "T"]
    table = with_cell(table, traded[0], "side", "X")
    table = with_cell(table, traded[1], "ts_event", "2024-10-21T25:30:00.000000000Z")
    table = with_cell(table, traded[2], "price", "2 33.53")
    save(lake.raw / f"AAPL_{DAY}.csv", broken_line(table, 0))
    found = lake.rows(TRADES)
    assert values(found, "side")[0] is None
    assert found.num_rows == len(traded) - 1
    assert values(found, "price")[1] is None
    assert values(found, "seq") == [place + 1 for place in traded[:1] + traded[2:]]
    identical(lake.shell_rows(), found, but=["seq"])


@pytest.mark.slow
@needs_shell
def test_a_column_that_was_added_in_the_middle_of_the_folder(lake: VendorLake) -> None:
    (books, trades), rows = made(count=20)
    half = len(rows) // 2
    table = databento.table(rows[:half], "mbp-10")
    save(lake.raw / f"a/AAPL_{DAY}.csv", table)
    names = ["new_00", *reversed(table.columns[:-1]), "new_01", "symbol"]
    newer = with_columns(databento.table(rows[half:], "mbp-10"), names, {"new_00": "x", "new_01": "7"})
    save(lake.raw / f"b/AAPL_{DAY}.csv", newer)
    source = NAMED | {"pattern": "*/{symbol}_{date}.csv"}
    found = lake.rows(source)
    check_books(found, states(books, trades), 10)
    identical(lake.shell_rows(), found)


def test_a_missing_column_is_named(lake: VendorLake) -> None:
    _, rows = made(count=5)
    table = databento.table(rows, "mbp-1")
    save(lake.raw / f"AAPL_{DAY}.csv", table)
    assert "its header has no column bid_px_01" in said(lake, NAMED)


def test_times_in_another_unit(lake: VendorLake) -> None:
    _, rows = made(count=5)
    table = databento.table(rows, "mbp-10", raw_times=True)
    save(lake.raw / f"AAPL_{DAY}.csv", scaled(table, ["ts_event"], -1000))
    assert "is not in ns since 1970 but in us" in said(lake, NAMED)


@pytest.mark.slow
@needs_shell
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-10-21T13:30:00.123456789Z", "2024-10-21T13:30:00.123456789Z"),
        ("2024-10-21 13:30:00.123456789+00:00", "2024-10-21T13:30:00.123456789Z"),
        ("2024-10-21 19:00:00.123456789+05:30", "2024-10-21T13:30:00.123456789Z"),
        ("2024-10-21 13:30:00.1234567", "2024-10-21T13:30:00.123456700Z"),
        ("2024-10-21T13:30:00Z", "2024-10-21T13:30:00.000000000Z"),
        ("", "2024-10-21T13:29:59.999999999Z"),
        ("18446744073709551615", "2024-10-21T13:29:59.999999999Z"),
    ],
)
def test_forms_of_a_time(lake: VendorLake, text: str, expected: str) -> None:
    """What is missing is taken from the time of arrival."""
    _, rows = made(count=1)
    table = databento.table(rows[:1], "mbp-10")
    table = with_cell(with_cell(table, 0, "ts_event", text), 0, "ts_recv", "2024-10-21T13:29:59.999999999Z")
    save(lake.raw / f"AAPL_{DAY}.csv", table)
    found = lake.rows(NAMED)
    assert values(found, "ts") == [nanoseconds(expected)]
    identical(lake.shell_rows(), found)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["pretty", "raw", "parquet of integers", "dbn 3"])
def test_prices_are_the_doubles_nearest_to_the_decimals(lake: VendorLake, variant: str) -> None:
    prices = ["0.000000001", "233.530000001", "1234567.890123456", "9007199.254740991"]
    times = [START + i * 10**9 for i in range(len(prices))]
    books = [Book(ts, ((Decimal(price), Decimal(3)),), ()) for ts, price in zip(times, prices, strict=True)]
    trades = [Trade(ts + 1, None, "buy", Decimal(price), Decimal(1)) for ts, price in zip(times, prices, strict=True)]
    write(lake, databento.events(books, trades), variant)
    assert set(values(lake.rows(NAMED), "bid_price_00")) == {float(price) for price in prices}
    assert values(lake.rows(TRADES), "price") == [float(price) for price in prices]


@pytest.mark.slow
def test_dbn_compiles_to_sql_that_says_what_cannot_be_read(lake: VendorLake) -> None:
    _, rows = made(count=5)
    write(lake, rows, "dbn 3")
    lake.rows(NAMED)
    assert sqlgen("compile", lake.folder / "models.yaml").code == 0
    text = (lake.folder / "target/compiled/rows.sql").read_text()
    assert "DuckDB cannot read DBN; a run makes Parquet of it" in text
    assert len(duckdb.extract_statements(text)) == 4  # a database of the stages, the path to it, one stage, the COPY


@pytest.mark.slow
def test_adding_a_day_builds_that_day_only(lake: VendorLake) -> None:
    _, rows = made(count=5)
    write(lake, rows, "dbn 3")
    lake.rows(NAMED)
    assert "Nothing to do" in lake.run(NAMED).out
    save(lake.raw / "AAPL_2024-10-22.dbn.zst", dbn.encode(rows, "mbp-10", {38: "AAPL"}))
    assert "1 partition(s) to build, 1 up to date" in lake.run(NAMED).out


@pytest.mark.slow
@pytest.mark.parametrize(("form", "text", "kept"), [("pretty", "2 33.5", True), ("raw", "23x", False)])
def test_a_damaged_price_of_the_record(lake: VendorLake, form: databento.Prices, text: str, kept: bool) -> None:
    """The book stays where it is still clear in which form its prices are."""
    (books, trades), rows = made(count=10)
    table = with_cell(databento.table(rows, "mbp-10", prices=form), 4, "price", text)
    save(lake.raw / f"AAPL_{DAY}.csv", table)
    found = lake.rows(NAMED)
    expected = states(books, trades)
    left = [state for i, state in enumerate(expected) if kept or i != 4]
    assert values(found, "seq") == [i for i in range(len(expected)) if kept or i != 4]
    assert values(found, "bid_price_00") == [float(b.bids[0][0]) if b.bids else None for b in left]


@pytest.mark.slow
def test_a_dbn_file_of_two_instruments_is_no_one_book(lake: VendorLake) -> None:
    """They go to their symbols where the rows say these; under the name of one the partition fails."""
    _, rows = made(count=6)
    two = [dataclasses.replace(row, instrument_id=38 + i % 2) for i, row in enumerate(rows)]
    save(lake.raw / f"AAPL_{DAY}.dbn", dbn.encode(two, "mbp-10", {38: "AAPL", 39: "MSFT"}, version=3))
    outcome = lake.run(NAMED)
    assert outcome.code != 0
    assert f"raw/AAPL_{DAY}.dbn holds several symbols: AAPL, MSFT." in outcome.out
    table = lake.rows(NAMED | {"pattern": "*_{date}.*"})
    assert [values(table, "symbol").count(symbol) for symbol in ("AAPL", "MSFT")] == [len(two[::2]), len(two[1::2])]
