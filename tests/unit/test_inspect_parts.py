"""What `inspect` concludes from names, columns and first bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.compile.statements import FOOTER_KEY
from sqlgen.detect.columns.columnmap import guess_columns
from sqlgen.detect.files.filegroups import spread
from sqlgen.detect.files.pathnames import common_start, derive, shape
from sqlgen.detect.files.sniff import Sniffed, sniff
from sqlgen.detect.files.vendors import Vendor, load, suffix_of, tail, unread
from sqlgen.errors import TemplateError
from sqlgen.lake.patterns import PathPattern
from sqlgen.published import footers
from sqlgen.templating.templates import Library
from tests.support.vendors.files import save


@pytest.mark.parametrize(
    ("paths", "pattern"),
    [
        (["binance_trades_2025-01-01_BTCUSDT.csv.gz"], "{exchange}_trades_{date}_{symbol}.csv.gz"),
        (["trades-20250101.csv", "trades-20250102.csv"], "trades-{date}.csv"),
        (["BTC-USDT-2025-01-01.parquet", "ETH-USDT-2025-01-01.parquet"], "{symbol}-{date}.parquet"),
        (["okx-BTC-USDT-2025-01-01.parquet"], "{exchange}-{symbol}-{date}.parquet"),
        (["AAPL_20250101.csv", "MSFT_20250101.csv"], "{symbol}_{date}.csv"),
        (["2025/01/02/XBTUSD.csv", "2025/01/03/XBTUSD.csv"], "{year}/{month}/{day}/{symbol}.csv"),
        (["2025/1/2/13/part-0.ndjson"], "{year}/{month}/{day}/{hour}/part-0.ndjson"),
        (["kraken/20250101/BTC-USD.ndjson.gz"], "{exchange}/{date}/{symbol}.ndjson.gz"),
        (
            ["ticker=A/dt=2025-01-01/x.parquet", "ticker=B/dt=2025-01-02/y.parquet"],
            "ticker={symbol}/dt={date}/*.parquet",
        ),
        (["2025-01-01.json", "sub/2025-01-02.json"], "**/{date}.json"),
        (["depth_20250101_000001.csv", "depth_20250101_000002.csv"], "depth_{date}_*.csv"),
        (["data.csv"], None),
        (["part-1.csv", "part-2.csv"], None),
        (["20259999.csv"], None),
    ],
)
def test_patterns_of_unknown_names(paths: list[str], pattern: str | None) -> None:
    assert derive(paths) == pattern


@pytest.mark.parametrize(
    ("names", "pattern", "symbols"),
    [
        # OKX: spot, swap and futures in one folder
        (
            ["BTC-USDT-trades-2025-04-19", "BTC-USDT-SWAP-trades-2025-04-19", "BTC-USD-250627-trades-2025-04-19"],
            "{symbol}-trades-{date}",
            ["BTC-USDT", "BTC-USDT-SWAP", "BTC-USD-250627"],
        ),
        # Binance, margined in dollars and in coins
        (
            ["ETHUSDT-1m-2025-04-19", "BTCUSDT_250627-1m-2025-04-19", "BTCUSD_PERP-1m-2025-04-20"],
            "{symbol}-1m-{date}",
            ["ETHUSDT", "BTCUSDT_250627", "BTCUSD_PERP"],
        ),
        (["BTCUSD_PERP"], "{symbol}", ["BTCUSD_PERP"]),
        (
            ["um_BTCUSDT_250627_2025-04-19", "um_BTCUSDT_2025-04-19"],
            "um_{symbol}_{date}",
            ["BTCUSDT_250627", "BTCUSDT"],
        ),
        (["BTCUSDT-1m-2023-11", "ETHUSDT-1m-2024-12"], "{symbol}-1m-{year}-{month}", ["BTCUSDT", "ETHUSDT"]),
        # Deribit
        (
            ["BTC-PERPETUAL", "BTC-26DEC25", "BTC-26DEC25-100000-C", "XRP_USDC-26DEC25-2d2-P", "SOL_USDC-PERPETUAL"],
            "{symbol}",
            ["BTC-PERPETUAL", "BTC-26DEC25", "BTC-26DEC25-100000-C", "XRP_USDC-26DEC25-2d2-P", "SOL_USDC-PERPETUAL"],
        ),
        (["deribit-BTC-PERPETUAL-2025-01-01"], "{exchange}-{symbol}-{date}", ["BTC-PERPETUAL"]),
        # Bybit
        (["BTCUSDT2025-04-19", "BTCPERP2025-04-19"], "{symbol}{date}", ["BTCUSDT", "BTCPERP"]),
        (
            ["BTC-27JUN25-100000-C-USDT_2025-01-01", "SOLUSDT-27JUN25_2025-01-01", "BTCUSDH25_2025-01-01"],
            "{symbol}_{date}",
            ["BTC-27JUN25-100000-C-USDT", "SOLUSDT-27JUN25", "BTCUSDH25"],
        ),
        # KuCoin, Gate
        (["XBTUSDTM-trades-2025-01-01"], "{symbol}-trades-{date}", ["XBTUSDTM"]),
        (["BTC_USDT-202311", "ETH_USDT-202312"], "{symbol}-*", ["BTC_USDT", "ETH_USDT"]),
        # no contracts: dates of six digits, markets before the symbol, other words
        (["BTCUSDT-250627", "BTCUSDT-250628"], "{symbol}-*", ["BTCUSDT", "BTCUSDT"]),
        (["swap-BTC-USDT-2025-01-01"], "swap-{symbol}-{date}", ["BTC-USDT"]),
        (["spot_BTC_2025-01-01", "spot_ETH_2025-01-01"], "spot_{symbol}_{date}", ["BTC", "ETH"]),
        (["data_BTC_USDT_2025-01-01"], "data_{symbol}_{date}", ["BTC_USDT"]),
        (["session-250627-2025-01-01", "session-250628-2025-01-01"], "session-*-{date}", None),
        # {symbol}-* would end the symbol at its first mark
        (["BTC-USDT-a1-2025-01-01", "BTC-USDT-b2-2025-01-01"], "*-*-{date}", None),
    ],
)
def test_what_says_which_contract_it_is_belongs_to_the_symbol(
    names: list[str], pattern: str, symbols: list[str] | None
) -> None:
    found = derive([f"{name}.csv" for name in names])
    assert found == f"{pattern}.csv"
    matches = [PathPattern(found).match(f"{name}.csv") for name in names]
    assert [match and match.get("symbol") for match in matches] == (symbols or [None] * len(names))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("BTCUSDT-1m-2023-11-01.zip", "ETHUSDT-1m-2023-11-02.zip", True),
        ("BTCUSDT-1m-2023-11-01.zip", "BTCUSDT-5m-2023-11-01.zip", False),
        ("BTCUSDT-1m-2023-11-01.zip", "BTCUSDT-1mo-2023-11-01.zip", False),
        ("BTCUSDT-1m-2023-11-01.zip", "ETHUSDT-1m-2023-11.zip", False),
        ("candlesticks_1m/BTC_USDT-202311.csv.gz", "candlesticks_1h/BTC_USDT-202311.csv.gz", False),
        ("EURUSD_M1_2025.csv", "EURUSD_M15_2025.csv", False),
        ("BTCUSDT_1_2024-01-01_2024-01-31.csv", "BTCUSDT_15_2024-01-01_2024-01-31.csv", False),
        ("BTC-USDT-1min.csv", "BTC-USDT-1hour.csv", False),
        ("trades_2025-01-01_000001.csv", "trades_2025-01-01_200512.csv", True),
        ("trades_2025-01-01_11h.csv", "trades_2025-01-01_12h.csv", True),
    ],
)
def test_bars_of_one_length_and_files_of_one_period_are_of_one_kind(one: str, other: str, same: bool) -> None:
    assert (shape(one) == shape(other)) is same


NAME = st.text("abXY019_-.=", min_size=1, max_size=12).filter(lambda text: text not in (".", ".."))
PATH = st.lists(NAME, min_size=1, max_size=3).map("/".join)


@given(st.lists(PATH, min_size=1, max_size=4, unique=True))
def test_a_derived_pattern_fits_the_paths_it_came_from(paths: list[str]) -> None:
    pattern = derive(paths)
    if pattern is not None:
        for path in paths:
            assert PathPattern(pattern).match(path)


@given(st.lists(st.text("ab", max_size=5), min_size=1))
def test_common_start(texts: list[str]) -> None:
    start = common_start(texts)
    assert all(text.startswith(start) for text in texts)
    longer = {text[: len(start) + 1] for text in texts}
    assert len(longer) > 1 or start in texts


@given(st.integers(0, 50), st.integers(1, 10))
def test_spread(size: int, count: int) -> None:
    items = [str(number) for number in range(size)]
    chosen = spread(items, count)
    assert len(chosen) == len(set(chosen)) == min(size, count)
    assert [item for item in items if item in chosen] == chosen
    if size > 1 and count > 1:
        assert (chosen[0], chosen[-1]) == (items[0], items[-1])


@pytest.mark.parametrize(
    ("path", "depth", "ends"),
    [("/a/b/c", 1, "c"), ("/a/b/c", 2, "b/c"), ("a/b", 2, "a/b"), ("a/b", 3, ""), ("a", 1, "a")],
)
def test_the_end_of_a_path(path: str, depth: int, ends: str) -> None:
    assert tail(path, depth) == ends


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.csv.gz", ".csv.gz"),
        ("2025-01-01_X_ob500.data.zip", ".data.zip"),
        ("xnas-itch-20241021.mbp-10.csv.zst", ".csv.zst"),
        ("a/b.c/d.json", ".json"),
        ("a.2025", ""),
        ("a", ""),
    ],
)
def test_suffix_of(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


def columns(*names: str, **more: object) -> Sniffed:
    return Sniffed("parquet", columns=names, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "mapped"),
    [
        (("time", "px", "qty"), {"ts": "time", "price": "px", "amount": "qty"}),
        (
            ("ts_recv", "ts_event", "price", "size", "side", "m"),
            {"ts": "ts_event", "received": "ts_recv", "price": "price", "amount": "size", "side": "side"},
        ),
        (
            ("collected_at", "venue", "symbol", "price", "quantity", "buyer_maker", "id"),
            {"ts": "collected_at", "price": "price", "amount": "quantity", "buyer_maker": "buyer_maker"}
            | {"trade_id": "id", "exchange": "venue"},
        ),
        (("a", "b"), None),
        (("price", "amount"), None),
    ],
)
def test_column_maps_of_trades(names: tuple[str, ...], mapped: dict[str, str] | None) -> None:
    found = guess_columns("trades", columns(*names))
    assert (dict(found.options["columns"]) if found else None) == mapped
    assert guess_columns("orderbook", columns(*names)) is None


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("{side}_{i}_{price}", {"file_levels": 3}),
        ("{side}s[{i}].{price}", {"file_levels": 3}),
        ("{side}_{price}_{i:02d}", {"file_levels": 3}),
        ("{price}_{side}_{i}", {"file_levels": 3}),
        ("level{i}.{side}{price}", {"file_levels": 3}),
        ("{side}_{price}{n}", {"file_levels": 3, "first_level": 1}),
    ],
)
def test_column_maps_of_books(form: str, options: dict[str, int]) -> None:
    def name(side: str, price: str, i: int) -> str:
        return form.format(side=side, price=price, i=i, n=i + 1)

    names = [name(side, price, i) for i in range(3) for side in ("bid", "ask") for price in ("price", "size")]
    found = guess_columns("orderbook", columns("ts", *names))
    assert found is not None
    first = options.get("first_level", 0)
    mapped = found.options["columns"]
    for i in range(3):
        for side in ("bid", "ask"):
            for price in ("price", "size"):
                assert mapped[f"{side}_{price}"].format(i=i + first) == name(side, price, i)
    assert {key: value for key, value in found.options.items() if key not in ("columns", "time_unit")} == options
    assert found.columns == ("ts", *names)
    assert guess_columns("trades", columns("ts", "price", "size", *names)) is None


@pytest.mark.parametrize(
    ("level", "options", "names"),
    [
        ([1.5, 2], {"levels": "pairs"}, {}),
        ({"p": 1, "q": 2}, {"levels": "objects"}, {"level_price": "p", "level_size": "q"}),
    ],
)
def test_column_maps_of_books_in_lists(level: object, options: dict[str, str], names: dict[str, str]) -> None:
    sample = Sniffed("ndjson", columns=("t", "b", "a"), records=({"t": 1735689600, "b": [], "a": [level]},))
    found = guess_columns("orderbook", sample)
    assert found is not None
    assert found.options == {"columns": {"ts": "t", "bids": "b", "asks": "a"} | names, "time_unit": "s"} | options


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("1735689600", "s"),
        ("1735689600.25", "s"),
        (1735689600123, "ms"),
        (1735689600123456, "us"),
        (1735689600123456789, "ns"),
        ("2025-01-01T00:00:00Z", "text"),
    ],
)
def test_units_of_time(value: object, unit: str) -> None:
    found = guess_columns("trades", columns("ts", "price", "size", records=({"ts": value, "price": 1, "size": 1},)))
    assert found is not None
    assert found.options["time_unit"] == unit


def test_a_timestamp_column(tmp_path: Path) -> None:
    table = pa.table({"ts": pa.array([1], pa.timestamp("ns")), "price": [1.0], "size": [2.0]})
    pq.write_table(table, tmp_path / "x.parquet")
    found = guess_columns("trades", sniff(tmp_path / "x.parquet"))
    assert found is not None
    assert found.options["time_unit"] == "timestamp"


TEXT = "time;price\n1;2.5\n3;4\n"


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.zst", "csv.zip", "txt"])
def test_sniffing_delimited_text(suffix: str, tmp_path: Path) -> None:
    found = sniff(save(tmp_path / f"x.{suffix}", TEXT))
    assert (found.format, found.columns, found.delimiter) == ("csv", ("time", "price"), ";")
    assert found.rows == (("1", "2.5"), ("3", "4"))
    assert found.packing == {"gz": "gzip", "zst": "zstd", "zip": "zip"}.get(suffix.split(".")[-1], "")
    assert found.values("price") == ["2.5", "4"]


@pytest.mark.parametrize(
    ("text", "names", "fields"),
    [
        ("1,2,3\n4,5,6\n", (), 3),
        ("﻿a,b\r\n1,2\r\n", ("a", "b"), 2),
        ("1,True,x\n", (), 3),
        ('"a","b, c"\n', ("a", "b, c"), 2),
        ("a\tb\n1\t2,3\n", ("a", "b"), 2),
    ],
)
def test_headers(text: str, names: tuple[str, ...], fields: int, tmp_path: Path) -> None:
    found = sniff(save(tmp_path / "x.csv", text))
    assert (found.columns, found.fields) == (names, fields)


def test_sniffing_objects(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"b": [2]}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    found = sniff(save(tmp_path / "x.csv", text + '{"broken'))
    assert (found.format, found.columns, found.records) == ("ndjson", ("a", "b"), tuple(rows))


@pytest.mark.parametrize("content", ["", b""])
def test_empty_files(content: str | bytes, tmp_path: Path) -> None:
    for suffix in ("csv", "csv.gz", "parquet"):
        assert sniff(save(tmp_path / f"x.{suffix}", content)).empty


def test_the_table_of_vendors_is_about_adapters() -> None:
    table = load(Library())
    for name, vendor in table.items():
        assert vendor.what, name
        assert all(other in table for other in vendor.beside), name
    assert table["tardis/trades"].fitting("/x/binance-futures_trades_2025-01-01_BTCUSDT.csv.gz") is not None
    assert table["tardis/trades"].fitting("/x/deribit/trades/2025/01/31/BTC-PERPETUAL.csv.gz") is not None
    assert table["binance/trades"].fitting("BTCUSDT-trades-2025-01.zip") is not None
    assert table["binance/trades"].fitting("BTCUSDT-aggTrades-2025-01-01.zip") is None
    assert table["bybit/orderbook"].fitting("2024-12-01_XRPUSDT_ob500.data.zip") is not None
    assert table["databento/mbp10"].fitting("xnas-itch-20241021.mbp-10.dbn.zst") is not None
    assert table["lobster/orderbook"].fitting("AAPL_2012-06-21_34200000_57600000_message_10.csv") is not None


def test_dbn_without_prices_is_known_by_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "x.dbn"
    for number, what in ((9, "definitions"), (10, "statistics"), (1, None)):
        path.write_bytes(b"DBN\x02\0\0\0\0" + b"XNAS.ITCH".ljust(16, b"\0") + bytes([number, 0]) + b"\0" * 100)
        found = unread(load(Library()), sniff(path), str(path))
        assert (found is None) if what is None else (found is not None and what in found.what)


@pytest.mark.parametrize("text", ["a: {nam: [x]}", "a: {names: ['{x}']}", "a: b", "{"])
def test_a_table_that_is_wrong(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sources/recognize.yaml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(TemplateError, match=r"recognize\.yaml is not valid"):
        load(Library(tmp_path))


def test_a_projects_own_table_adds_to_the_packaged_one(tmp_path: Path) -> None:
    path = tmp_path / "sources/recognize.yaml"
    path.parent.mkdir()
    path.write_text("mine: {what: mine}\n")
    assert load(Library(tmp_path)) == load(Library()) | {"mine": Vendor(what="mine")}


def test_only_footers_that_may_hold_a_record_are_read(tmp_path: Path) -> None:
    file, table = tmp_path / "data.parquet", pa.table({"price": [1.0]})
    pq.write_table(table, file)
    assert not footers.may_be_ours(file)
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: "{}"}), file)
    assert footers.may_be_ours(file)
    whole = file.read_bytes()
    for part in (b"", b"PAR1", whole[-8:], whole[len(whole) // 2 :]):
        file.write_bytes(part)
        assert footers.may_be_ours(file)  # the reader says what is wrong
