"""Files as vendors write them give the canonical rows that were written, in a run and in the compiled file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.adapters import (
    DAY,
    EXCHANGE,
    HIVE,
    MIDNIGHT,
    SHELL,
    SYMBOL,
    Project,
    Row,
    book_rows,
    random_books,
    random_trades,
    rows_of,
    trade_rows,
)
from tests.support.realdata import binance_trades, data_file
from tests.support.vendors import binance, ccxt, crypto_lake, tardis
from tests.support.vendors.files import save
from tests.support.vendors.rows import MS, US
from tests.support.vendors.tables import Table, with_columns

BOOKS = random_books(1, 60, 25)
TRADES = random_trades(2, 200)
SIDED = random_trades(3, 200, unknown=False)
LEVELS: tuple[ccxt.Levels, ...] = ("objects", "pairs", "triples")


def check(project: Project, expected: list[Row], shell: bool = True) -> None:
    """A run publishes these rows exactly, and so does the compiled file."""
    assert rows_of(project.run()) == expected
    if shell and SHELL is not None:
        assert rows_of(project.in_shell()) == expected


TARDIS: dict[str, tuple[Callable[[], Table], Callable[[], list[Row]]]] = {
    "trades": (
        lambda: tardis.trades(TRADES, EXCHANGE, SYMBOL),
        lambda: trade_rows(TRADES, US),
    ),
    "quotes": (
        lambda: tardis.quotes(BOOKS, EXCHANGE, SYMBOL),
        lambda: book_rows([replace(b, bids=b.bids[:1], asks=b.asks[:1]) for b in BOOKS], 20, US),
    ),
    "book_snapshot_5": (
        lambda: tardis.book_snapshot(BOOKS, 5, EXCHANGE, SYMBOL),
        lambda: book_rows([replace(b, bids=b.bids[:5], asks=b.asks[:5]) for b in BOOKS], 20, US),
    ),
    "book_snapshot_25": (
        lambda: tardis.book_snapshot(BOOKS, 25, EXCHANGE, SYMBOL),
        lambda: book_rows(BOOKS, 20, US),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "where"),
    [*((kind, where) for kind in TARDIS for where in ("hive", "rows")), ("trades", "pattern"), ("quotes", "fixed")],
)
def test_tardis(tmp_path: Path, kind: str, where: str) -> None:
    table, expected = TARDIS[kind]
    name = tardis.file_name(EXCHANGE, kind, DAY, SYMBOL)
    source: dict[str, Any] = {
        "hive": {},
        "pattern": {"pattern": "{exchange}_*_{date}_{symbol}.csv.gz"},
        "rows": {},
        "fixed": {"exchange": EXCHANGE, "symbol": SYMBOL},
    }[where]
    project = Project.of(tmp_path, f"tardis/{kind}", **source)
    save(project.raw / (f"{HIVE}/{name}" if where == "hive" else name), table())
    check(project, expected())


def test_tardis_files_of_several_days_as_on_the_server(tmp_path: Path) -> None:
    """A row that arrived after midnight and happened before it stays with the day of its file; a day may be empty."""
    pattern = "{exchange}/trades/{year}/{month}/{day}/{symbol}.csv.gz"
    project = Project.of(tmp_path, "tardis/trades", pattern=pattern)
    late = [replace(TRADES[0], ts=MIDNIGHT - 5 * US), *TRADES]
    save(project.raw / tardis.url_path(EXCHANGE, "trades", DAY, SYMBOL), tardis.trades(late, EXCHANGE, SYMBOL))
    save(project.raw / tardis.url_path(EXCHANGE, "trades", "2026-01-03", SYMBOL), "")
    check(project, trade_rows(late, US))
    assert {row["date"] for row in rows_of(project.run())} == {dt.date.fromisoformat(DAY)}


def test_books_that_need_cleaning(tmp_path: Path) -> None:
    """Levels out of order, equal prices, a gap, a size of zero: as the same book in ccxt form."""
    clean, [odd] = random_books(7, 20, 5, full=1.0), random_books(8, 1, 5, full=1.0)
    swapped = replace(odd, bids=(odd.bids[1], odd.bids[0], *odd.bids[2:]))
    double = replace(odd, asks=(odd.asks[0], odd.asks[0], *odd.asks[1:4]))
    nothing = replace(odd, bids=((odd.bids[0][0], odd.bids[0][1] * 0), *odd.bids[1:]))
    books = [replace(b, ts=MIDNIGHT + i * MS) for i, b in enumerate((*clean, swapped, double, nothing))]
    wide = Project.of(tmp_path / "wide", "tardis/book_snapshot_5")
    save(wide.raw / f"{HIVE}/x.csv", tardis.book_snapshot(books, 5, EXCHANGE, SYMBOL))
    listed = Project.of(tmp_path / "listed", "ccxt/orderbook")
    save(listed.raw / f"{HIVE}/x.ndjson", ccxt.ndjson(ccxt.order_books(books, "BTC/USDT", "objects")))
    rows = rows_of(wide.run())
    assert rows == rows_of(listed.run())
    assert [row["ask_levels"] for row in rows[-2:]] == [4, 5]
    assert rows[-1]["bid_levels"] == 4
    assert rows[-3]["bid_price_00"] == float(odd.bids[0][0])


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(
    ("market", "date", "unit"),
    [("spot", DAY, US), ("spot", "2024-12-31", MS), ("um", DAY, MS), ("cm", DAY, MS)],
)
@pytest.mark.parametrize("kind", ["trades", "aggTrades"])
@pytest.mark.parametrize("packed", [".zip", ".csv"])
def test_binance(
    tmp_path: Path, kind: str, market: binance.Market, date: str, unit: int, header: bool, packed: str
) -> None:
    adapter = {"trades": "binance/trades", "aggTrades": "binance/agg_trades"}[kind]
    project = Project.of(tmp_path, adapter, exchange="binance", pattern=f"**/{{symbol}}-{kind}-{{date}}{packed}")
    write = binance.trades if kind == "trades" else binance.agg_trades
    shift = MIDNIGHT - int(dt.datetime.fromisoformat(f"{date}T00:00:00+00:00").timestamp()) * 10**9
    trades = [replace(trade, ts=trade.ts - shift) for trade in SIDED]
    path = Path(binance.url_path(market, SYMBOL, kind, date)).with_suffix(packed)
    save(project.raw / path, write(trades, market, date, header))
    check(project, trade_rows(trades, unit, date=date), shell=packed == ".csv")


def test_binance_contracts_and_coins(tmp_path: Path) -> None:
    pattern = {"pattern": "{symbol}-trades-{date}.csv", "exchange": "binance"}
    project = Project.of(tmp_path, "binance/trades", options={"amount": "base_qty"}, **pattern)
    table = binance.trades(SIDED, "cm", DAY)
    save(project.raw / f"{SYMBOL}-trades-{DAY}.csv", table)
    rows = rows_of(project.run())
    assert [row["amount"] for row in rows] == [float(text) or None for text in table.column("base_qty")]


def test_binance_unit_of_time(tmp_path: Path) -> None:
    """Where the unit is said, another one is an error; auto takes ms and us, and no other."""
    for unit, factor, said in (("ms", 1, "is not in ms since 1970 but in us"), ("auto", 1000, "but in ns")):
        project = Project.of(tmp_path / unit, "binance/trades", options={"time_unit": unit})
        table = binance.trades(SIDED, "spot", DAY)
        times = [str(int(text) * factor) for text in table.column("time")]
        rows = tuple((*row[:4], time, *row[5:]) for row, time in zip(table.rows, times, strict=True))
        save(project.raw / f"{HIVE}/x.csv", replace(table, rows=rows))
        assert said in project.failure()


@pytest.mark.slow
@pytest.mark.parametrize("names", ["client", "bucket"])
def test_crypto_lake(tmp_path: Path, names: str) -> None:
    pattern = "exchange={exchange}/symbol={symbol}/dt={date}/*.parquet"
    for kind in ("orderbook", "trades"):
        project = Project.of(tmp_path / kind, f"crypto_lake/{kind}", pattern=pattern, options={"names": names})
        path = project.raw / crypto_lake.path("x", EXCHANGE, SYMBOL, DAY).removeprefix("x/")
        path.parent.mkdir(parents=True)
        raw = names == "bucket"
        books = [replace(b, bids=b.bids[:20], asks=b.asks[:20]) for b in BOOKS]
        pq.write_table(crypto_lake.books(BOOKS, raw) if kind == "orderbook" else crypto_lake.trades(TRADES, raw), path)
        check(project, book_rows(books, 20) if kind == "orderbook" else trade_rows(TRADES))


def test_crypto_lake_falls_back_on_the_time_of_arrival(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "crypto_lake/trades")
    table = crypto_lake.trades(TRADES)
    missing = pa.nulls(len(TRADES), pa.timestamp("ns"))
    (project.raw / HIVE).mkdir(parents=True)
    origin = table.schema.get_field_index("origin_time")
    pq.write_table(table.set_column(origin, "origin_time", missing), project.raw / HIVE / "x.parquet")
    assert [row["ts"] for row in rows_of(project.run())] == [trade.received for trade in TRADES]


@pytest.mark.parametrize(
    ("levels", "packed", "strings"),
    [
        *((levels, packed, False) for levels in LEVELS for packed in ("ndjson", "ndjson.gz", "parquet")),
        *((levels, "ndjson", True) for levels in LEVELS),
        *((levels, "parquet", True) for levels in LEVELS if levels != "triples"),  # texts and numbers in one list
    ],
)
def test_ccxt_levels(tmp_path: Path, levels: ccxt.Levels, packed: str, strings: bool) -> None:
    option = "objects" if levels == "objects" else "pairs"
    project = Project.of(tmp_path, "ccxt/orderbook", options={"levels": option})
    records = ccxt.order_books(BOOKS, "BTC/USDT", levels, strings)
    path = project.raw / HIVE / f"x.{packed}"
    if packed == "parquet":
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([_doubles(record) for record in records]), path)
    else:
        save(path, ccxt.ndjson(records))
    check(project, book_rows(BOOKS, 20, MS), shell=not strings)


def _doubles(value: Any) -> Any:
    """Decimals as doubles, as a collector writes them into Parquet; texts stay."""
    if isinstance(value, dict):
        return {key: _doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_doubles(item) for item in value]
    return value if value is None or isinstance(value, str | int) else float(value)


@pytest.mark.parametrize("strings", [False, True])
def test_ccxt_trades(tmp_path: Path, strings: bool) -> None:
    project = Project.of(tmp_path, "ccxt/trades", options={"trade_id": "id"})
    save(project.raw / HIVE / "x.ndjson", ccxt.ndjson(ccxt.trades(TRADES, "BTC/USDT", strings)))
    check(project, trade_rows(TRADES, MS))


def test_another_order_of_columns_and_more_of_them(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "tardis/trades")
    table = tardis.trades(TRADES, EXCHANGE, SYMBOL)
    parts = [replace(table, rows=table.rows[:50]), replace(table, rows=table.rows[50:])]
    other = with_columns(parts[1], ("new", *reversed(table.columns), "new", ""), {"new": "1"})
    save(project.raw / HIVE / "a.csv.gz", parts[0])
    save(project.raw / HIVE / "b.csv.gz", other)
    assert rows_of(project.run()) == trade_rows(TRADES, US)


def test_real_binance_trades(tmp_path: Path) -> None:
    columns = {"ts": "timestamp", "trade_id": "trade_id", "amount": "quantity", "buyer_maker": "buyer_maker"}
    options = {"columns": columns, "time_unit": "timestamp"}
    project = Project.of(tmp_path, "generic/trades", exchange="binance", symbol=SYMBOL, options=options)
    (project.raw / "x.parquet").write_bytes(data_file("binance_BTCUSDT_trades.parquet").read_bytes())
    expected = [
        (row["timestamp"] * MS, row["trade_id"], row["price"], row["amount"], 1 if row["side"] == "buy" else -1)
        for row in binance_trades()
    ]
    for table in (project.run(), *([project.in_shell()] if SHELL is not None else [])):
        got = [tuple(row[name] for name in ("ts", "trade_id", "price", "amount", "side")) for row in rows_of(table)]
        assert got == expected
        assert len(got) > 1000
