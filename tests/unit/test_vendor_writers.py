"""The writers of vendors' files: real files come out byte for byte, and each format has its documented form."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import zipfile
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.realdata import data_file, databento_events
from tests.support.vendors import binance, bybit, ccxt, crypto_lake, databento, lobster, tables, tardis
from tests.support.vendors.files import save, truncated, with_broken_line
from tests.support.vendors.rows import Book, Delta, Level, Trade, deltas, fixed, plain, units

D = Decimal
T0 = 1_735_689_600_123_456_789
"""2025-01-01 00:00:00.123456789 UTC."""

BOOKS = [
    Book(T0, ((D("100.5"), D(3)), (D("100.25"), D(7))), ((D("100.75"), D(2)),), T0 + 1_500, 11),
    Book(T0 + 10**9, ((D("100.5"), D(1)),), ((D("100.75"), D(2)), (D(101), D(4))), None, 12),
]
TRADES = [
    Trade(T0 + 5, "7", "buy", D("100.75"), D(1)),
    Trade(T0 + 10**6, "8", "sell", D("100.5"), D(2)),
]


def test_databento_csv_is_the_real_one() -> None:
    raw = gzip.decompress(data_file("databento_mbp10_AAPL_2024-10-21.csv.gz").read_bytes()).decode()
    lines = raw.splitlines()
    compared = 0
    for number, row in enumerate(databento_events()):
        try:
            event = _event(row)
        except InvalidOperation:
            continue  # the file has one damaged price
        made = databento.table([event], "mbp-10", row["symbol"], prices="float").lines()
        assert made == [lines[0], lines[number + 1]]
        compared += 1
    assert compared >= 1_999


def _event(row: dict[str, str]) -> databento.Event:
    pairs = []
    for i in range(10):
        bid, ask = (D(row[f"{side}_px_{i:02d}"]) for side in ("bid", "ask"))
        rest = (int(row[f"{side}_{field}_{i:02d}"]) for field in ("sz", "ct") for side in ("bid", "ask"))
        pairs.append(databento.Pair(bid, ask, *rest))
    numbers = [int(row[name]) for name in ("size", "flags", "ts_in_delta", "sequence")]
    return databento.Event(
        *(_ns(row[name]) for name in ("ts_recv", "ts_event")),
        *(int(row[name]) for name in ("publisher_id", "instrument_id")),
        row["action"],
        row["side"],
        int(row["depth"]),
        D(row["price"]),
        *numbers,
        tuple(pairs),
    )


def _ns(text: str) -> int:
    whole, fraction = text.rstrip("Z").split(".")
    return int(dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC).timestamp()) * 10**9 + int(fraction)


def test_lobster_files_are_the_real_ones() -> None:
    name = "AAPL_2012-06-21_34200000_57600000_{}_10.csv"
    assert lobster.file_name("AAPL", "2012-06-21", "message", 10) == name.format("message")
    lines = data_file(name.format("message")).read_text().splitlines()
    parsed = [lobster.Message(units(D(time), -9), *map(int, rest)) for time, *rest in csv.reader(lines)]
    assert len(lines) > 900
    assert lobster.messages(parsed).lines() == lines
    lines = data_file(name.format("orderbook")).read_text().splitlines()
    books = [Book(0, bids=_lobster_side(row, 2), asks=_lobster_side(row, 0)) for row in csv.reader(lines)]
    assert lobster.order_books(books, 10).lines() == lines


def _lobster_side(row: list[str], offset: int) -> tuple[Level, ...]:
    cells = [(int(row[i]), D(row[i + 1])) for i in range(offset, len(row), 4)]
    return tuple((D(price).scaleb(-4), size) for price, size in cells if abs(price) != lobster.MISSING)


def test_bybit_archive_is_the_real_one(tmp_path: Path) -> None:
    path = data_file("bybit_2024-12-01_XRPUSDT_ob500.data.zip")
    with zipfile.ZipFile(path) as archive:
        [member] = archive.namelist()
        raw = archive.read(member)
    sent = [json.loads(line) for line in raw.splitlines()]
    rows = [
        Delta(
            message["cts"] * 10**6,
            message["type"] == "snapshot",
            *(tuple((D(price), D(size)) for price, size in message["data"][side]) for side in "ba"),
            message["ts"] * 10**6,
            message["data"]["u"],
        )
        for message in sent
    ]
    made = bybit.messages(rows, "XRPUSDT", 500, places=(4, 0))
    for ours, theirs in zip(made, sent, strict=True):
        ours["data"]["seq"] = theirs["data"]["seq"]
    written = save(tmp_path / bybit.file_name("2024-12-01", "XRPUSDT", 500), bybit.text(made))
    with zipfile.ZipFile(written) as archive:
        assert archive.namelist() == [member]
        assert archive.read(member) == raw


def test_tardis(tmp_path: Path) -> None:
    table = tardis.book_snapshot(BOOKS, 5, "binance", "BTCUSDT")
    assert table.columns[:8] == (*tardis.KEY, "asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount")
    assert len(table.columns) == 4 + 5 * 4
    assert table.lines()[1] == (
        "binance,BTCUSDT,1735689600123456,1735689600123458,100.75,2,100.5,3,,,100.25,7" + "," * 12
    )
    assert tardis.quotes(BOOKS, "binance", "BTCUSDT").rows[1][2:] == (
        *("1735689601123456", "1735689601123456"),
        *("2", "100.75", "100.5", "1"),
    )
    unknown = Trade(T0, None, None, D("0.00000001"), D(5))
    assert tardis.trades([unknown], "x", "Y").rows[0][4:] == ("", "unknown", "0.00000001", "5")
    path = save(tmp_path / tardis.file_name("binance", "book_snapshot_5", "2025-01-01", "BTCUSDT"), table)
    assert duckdb.execute(f"SELECT count(*), sum(\"bids[0].amount\") FROM '{path}'").fetchall() == [(2, 4)]


def test_tardis_incremental_gives_each_change_a_row() -> None:
    table = tardis.incremental(deltas(BOOKS), "binance", "BTCUSDT")
    assert [row[4:] for row in table.rows] == [
        ("true", "bid", "100.5", "3"),
        ("true", "bid", "100.25", "7"),
        ("true", "ask", "100.75", "2"),
        ("false", "bid", "100.25", "0"),
        ("false", "bid", "100.5", "1"),
        ("false", "ask", "101", "4"),
    ]


def test_databento_forms() -> None:
    events = databento.events(BOOKS, TRADES)
    assert [event.action for event in events] == ["M", "T", "T", "M"]
    pretty = databento.table(events, "mbp-10")
    assert pretty.lines()[2].startswith(
        "2025-01-01T00:00:00.123456794Z,2025-01-01T00:00:00.123456794Z,10,2,38,T,B,0,100.750000000,1,128,"
    )
    assert pretty.column("bid_px_02") == [""] * 4
    raw = databento.table(events, "mbp-1", None, "raw", raw_times=True)
    assert raw.columns[-1] == "ask_ct_00"
    assert raw.column("ask_px_00") == ["100750000000"] * 4
    assert raw.column("ts_event")[0] == str(T0)
    empty = databento.table(databento.events([Book(T0, (), ())]), "mbp-1", prices="raw")
    assert empty.column("bid_px_00") == [str(2**63 - 1)]
    assert databento.table(databento.trades_only(events), "trades").columns == (*databento.columns("trades"), "symbol")


def test_databento_parquet(tmp_path: Path) -> None:
    events = databento.events(BOOKS, TRADES)
    table = databento.arrow(events, "mbp-10")
    assert table.column_names[0] == "ts_event"
    assert table.column_names[-2:] == ["symbol", "ts_recv"]
    pq.write_table(table, tmp_path / "x.parquet")
    query = f"SELECT epoch_ns(ts_event), bid_px_00, bid_px_09 FROM '{tmp_path}/x.parquet'"
    assert duckdb.execute(query).fetchall()[0] == (T0, 100.5, None)
    assert databento.arrow(events, "mbp-10", integers=True)["ts_event"][0].as_py() == T0


def test_lobster_pair_has_a_line_an_event() -> None:
    orders, messages = lobster.pair(BOOKS, TRADES, 2, "2024-12-31")
    assert messages.lines()[1] == "68400.123456794,4,2,1,1007500,-1"
    assert messages.lines()[2] == "68400.124456789,4,3,2,1005000,1"
    assert orders.lines()[2] == "1007500,2,1005000,3,9999999999,0,1002500,7"
    assert orders.lines()[3] == "1007500,2,1005000,1,1010000,4,-9999999999,0"


@pytest.mark.parametrize(
    ("market", "date", "lines"),
    [
        ("spot", "2025-01-01", ["7,100.75000000,1.00000000,100.75000000,1735689600123456,False,True"]),
        ("spot", "2024-12-31", ["7,100.75000000,1.00000000,100.75000000,1735689600123,False,True"]),
        ("um", "2022-08-10", ["7,100.75,1,100.75,1735689600123,false"]),
        ("um", "2022-08-11", [",".join(binance.TRADES["um"]), "7,100.75,1,100.75,1735689600123,false"]),
        ("cm", "2025-01-01", [",".join(binance.TRADES["cm"]), "7,100.75,1,0.00992556,1735689600123,false"]),
    ],
)
def test_binance(market: binance.Market, date: str, lines: list[str]) -> None:
    assert binance.trades(TRADES[:1], market, date).lines() == lines


def test_binance_aggregates(tmp_path: Path) -> None:
    table = binance.agg_trades(TRADES, "spot", "2025-01-02")
    assert table.lines()[1] == "8,100.50000000,2.00000000,8,8,1735689600124456,True,True"
    path = save(tmp_path / binance.file_name("BTCUSDT", "aggTrades", "2025-01-02"), table, "BTCUSDT.csv")
    with zipfile.ZipFile(path) as archive:
        assert archive.read("BTCUSDT.csv").decode() == table.text()
    assert binance.url_path("um", "BTCUSDT", "trades", "2024-01").startswith("data/futures/um/monthly/trades/BTCUSDT/")


def test_crypto_lake() -> None:
    table = crypto_lake.books(BOOKS)
    assert table.column_names[:5] == ["origin_time", "received_time", "sequence_number", "bid_0_price", "bid_0_size"]
    assert table["ask_1_price"].to_pylist() == [None, 101.0]
    assert table["received_time"].cast("int64").to_pylist() == [T0 + 1_500, T0 + 10**9]
    raw = crypto_lake.trades(TRADES, raw=True)
    assert raw.column_names == ["side", "amount", "price", "id", "timestamp", "receipt_timestamp"]
    assert raw["timestamp"].to_pylist() == [T0 + 5, T0 + 10**6]


@pytest.mark.parametrize(
    ("levels", "strings", "first"),
    [
        ("objects", False, '{"price":100.5,"size":3}'),
        ("pairs", False, "[100.5,3]"),
        ("pairs", True, '["100.5","3"]'),
        ("triples", False, "[100.5,3,1]"),
    ],
)
def test_ccxt(levels: ccxt.Levels, strings: bool, first: str) -> None:
    text = ccxt.ndjson(ccxt.order_books(BOOKS, "BTC/USDT", levels, strings))
    assert f'"bids":[{first},' in text
    record = json.loads(text.splitlines()[0])
    assert (record["timestamp"], record["datetime"]) == (1735689600123, "2025-01-01T00:00:00.123Z")
    precise = Trade(T0, "1", "buy", D("0.123456789012345678901"), D(1))
    assert '"price":0.123456789012345678901' in ccxt.ndjson(ccxt.trades([precise], "BTC/USDT"))


def test_faults(tmp_path: Path) -> None:
    table = tardis.trades(TRADES, "x", "Y")
    good = table.lines()
    broken = tables.broken_line(table, 1).lines()
    assert [line for line in broken if line in good] == good
    assert len(broken) == len(good) + 1
    assert tables.with_cell(table, 1, "side", "?").column("side") == ["buy", "?"]
    assert tables.repeated(table, 0).column("id") == ["7", "7", "8"]
    assert sorted(tables.shuffled(table, 1).lines()) == sorted(good)
    assert tables.scaled(table, ["timestamp"], -1000).column("timestamp") == ["1735689600123", "1735689600124"]
    assert tables.scaled(table, ["timestamp"], 1000).column("timestamp")[0] == "1735689600123456000"
    newer = tables.with_columns(table, ("price", "new", "id"), {"new": "1"})
    assert newer.lines() == ["price,new,id", "100.75,1,7", "100.5,1,8"]
    assert tables.with_delimiter(table, ";").lines()[1].count(";") == 7
    assert tables.with_crlf(table).text().count("\r\n") == 3
    path = truncated(save(tmp_path / "x.csv.gz", table))
    with pytest.raises(EOFError), gzip.open(path) as file:
        file.read()
    text = ccxt.ndjson(ccxt.trades(TRADES, "BTC/USDT"))
    assert with_broken_line(text, 1).splitlines()[1] == '{"broken": '
    assert with_broken_line(text, 1).count("\n") == 3


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**9), max_value=10**9))
def test_decimals_are_written_as_they_are(value: Decimal) -> None:
    assert D(plain(value)) == value
    assert "E" not in plain(value)
    assert D(fixed(value, 12)) == value
    assert units(value, -12) == value * 10**12


def test_writers_do_not_round() -> None:
    with pytest.raises(ValueError, match="decimal places"):
        fixed(D("0.123"), 2)
    with pytest.raises(ValueError, match="whole number"):
        units(D("0.5"), 0)


SIDE = st.dictionaries(st.integers(1, 9).map(D), st.integers(1, 5).map(D), max_size=5)


@given(st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=6))
def test_deltas_lead_from_book_to_book(sides: list[tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]]) -> None:
    books = [
        Book(i, tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items())))
        for i, (bids, asks) in enumerate(sides)
    ]
    bids: dict[Decimal, Decimal] = {}
    asks: dict[Decimal, Decimal] = {}
    for number, (delta, book) in enumerate(zip(deltas(books), books, strict=True)):
        assert delta.snapshot == (number == 0)
        for state, changes in ((bids, delta.bids), (asks, delta.asks)):
            state.update(changes)
            for price in [price for price, size in state.items() if size == 0]:
                del state[price]
        assert (bids, asks) == (dict(book.bids), dict(book.asks))
