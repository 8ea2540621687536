"""LOBSTER: order book and message files, against their own text and against the same book from ccxt."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from tests.features.made import keyed
from tests.support import realdata
from tests.support.compare import same_tables, values
from tests.support.engine import published, sqlgen
from tests.support.lakes import write_rows
from tests.support.vendors import lobster
from tests.support.vendors.files import save, truncated
from tests.support.vendors.lake import VendorLake, identical, market, needs_shell, states, timeless, write_ccxt
from tests.support.vendors.lobster import CROSS, EXECUTION, HALT, HIDDEN, SUBMISSION, Message
from tests.support.vendors.rows import Book, S
from tests.support.vendors.tables import Table, broken_line, with_crlf, with_delimiter

pytestmark = pytest.mark.slow

D = Decimal
DAY = "2024-10-21"
SOURCE: dict[str, Any] = {"adapter": "lobster/orderbook", "pattern": "{symbol}_{date}_*.csv", "exchange": "nasdaq"}
TRADES = SOURCE | {"adapter": "lobster/trades"}
OPEN = 34_200 * S
REAL = "AAPL_2012-06-21_34200000_57600000_{}_10.csv"


@pytest.fixture
def lake(tmp_path: Path) -> VendorLake:
    return VendorLake(tmp_path)


def write(
    lake: VendorLake, books: Table, messages: Table, date: str = DAY, ticker: str = "AAPL", levels: int = 10
) -> None:
    for kind, table in (("orderbook", books), ("message", messages)):
        save(lake.raw / lobster.file_name(ticker, date, kind, levels), table)


def write_market(
    lake: VendorLake, seed: int = 1, date: str = DAY, count: int = 60, levels: int = 10, **where: Any
) -> Any:
    books, trades = market(seed, lobster.midnight(date) + OPEN, count, levels=levels)
    write(lake, *lobster.pair(books, trades, levels, date), date=date, levels=levels, **where)
    return books, trades


def write_real(lake: VendorLake) -> None:
    lake.raw.mkdir(parents=True)
    for kind in ("orderbook", "message"):
        shutil.copy(realdata.data_file(REAL.format(kind)), lake.raw)


def lines(count: int, **changes: Any) -> list[Message]:
    return [Message(OPEN + i * S, SUBMISSION, i + 1, 10, 1_000_000, 1, **changes) for i in range(count)]


def book(number: int) -> Book:
    price = D(100) + D(number) / 100
    return Book(0, ((price, D(number + 1)),), ((price + 1, D(number + 2)),))


@pytest.mark.parametrize("levels", [1, 5, 10, 30])
def test_rows_are_those_that_were_written(lake: VendorLake, levels: int) -> None:
    books, trades = write_market(lake, levels=levels)
    table = lake.rows(SOURCE | {"options": {"levels": levels, "max_levels": 20}})
    expected = states(books, trades)
    assert values(table, "seq") == list(range(len(expected)))
    assert values(table, "ts") == [state.ts for state in expected]
    for side, name in (("bids", "bid"), ("asks", "ask")):
        kept = [getattr(state, side)[:20] for state in expected]
        assert values(table, f"{name}_levels") == [len(side) for side in kept]
        for i in range(20):
            for place, field in enumerate(("price", "size")):
                cells = [float(side[i][place]) if i < len(side) else None for side in kept]
                assert values(table, f"{name}_{field}_{i:02d}") == cells


def test_trades_are_those_that_were_written(lake: VendorLake) -> None:
    books, trades = write_market(lake, seed=2)
    table = lake.rows(TRADES)
    ordered = sorted(trades, key=lambda trade: trade.ts)
    assert values(table, "ts") == [trade.ts for trade in ordered]
    assert values(table, "side") == [{"buy": 1, "sell": -1}[trade.side] for trade in ordered]
    assert values(table, "price") == [float(trade.price) for trade in ordered]
    assert values(table, "amount") == [float(trade.amount) for trade in ordered]
    assert set(values(table, "trade_id")) == {None}
    events = sorted([*trades, *books], key=lambda event: (event.ts, isinstance(event, Book)))
    assert values(table, "seq") == [place for place, event in enumerate(events) if not isinstance(event, Book)]


@needs_shell
@pytest.mark.parametrize("source", [SOURCE, TRADES], ids=["orderbook", "trades"])
def test_the_shell_gives_the_same(lake: VendorLake, source: dict[str, Any]) -> None:
    for seed, (date, ticker) in enumerate([(DAY, "AAPL"), ("2024-10-22", "AAPL"), (DAY, "MSFT")]):
        write_market(lake, seed, date, ticker=ticker)
    table = lake.rows(source)
    assert len(set(zip(values(table, "symbol"), values(table, "date"), strict=True))) == 3
    identical(lake.shell_rows(), table)


@needs_shell
def test_two_pairs_of_a_day_follow_each_other(lake: VendorLake) -> None:
    for start, count in ((34_200, 3), (45_000, 4)):
        messages = [dataclasses.replace(line, time=line.time + (start - 34_200) * S) for line in lines(count)]
        tables = (lobster.order_books(map(book, range(count)), 10), lobster.messages(messages))
        for kind, table in zip(("orderbook", "message"), tables, strict=True):
            save(lake.raw / f"AAPL_{DAY}_{start}000_57600000_{kind}_10.csv", table)
    table = lake.rows(SOURCE)
    assert values(table, "seq") == list(range(7))
    assert values(table, "bid_size_00") == [1, 2, 3, 1, 2, 3, 4]
    assert values(table, "ts") == sorted(values(table, "ts"))
    identical(lake.shell_rows(), table)


def test_features_equal_those_of_the_same_book_from_ccxt(lake: VendorLake, tmp_path: Path) -> None:
    books, trades = write_market(lake, seed=3, count=400)
    other = VendorLake(tmp_path / "ccxt")
    write_ccxt(other.folder / "lake", states(books, trades), trades, DAY)
    options = {"vpin_bucket_volume": "700.0", "captured_levels": 10}
    ours = {"ccxt_orderbook": {"path": "raw", **SOURCE}, "ccxt_trades": {"path": "raw", **TRADES}}
    hf, features = lake.features(ours, "orderbook_hf", "trades_features", **options)
    ccxt_hf, ccxt_features = other.features({}, "orderbook_hf", "trades_features", **options)
    # Of one time, ccxt's trades come before all books, and ours as they happened.
    by_order = ("buy_", "sell_", "trade_vol", "tfi", "vpin", "kyle")
    identical(hf, ccxt_hf, but=tuple(name for name in hf.column_names if name.startswith(by_order)))
    identical(features, ccxt_features, but=("seq",))
    for name in ("vpin", "ofi", "ofi_09", "spread_regime"):
        assert any(value is not None for value in values(hf, name)), name


def test_real_files(lake: VendorLake) -> None:
    """Times and prices are those of the text; structure equals that of the test's own reader."""
    write_real(lake)
    ours = {"ccxt_orderbook": {"path": "raw", **SOURCE}, "ccxt_trades": {"path": "raw", **TRADES}}
    hf, trades = lake.features(ours, "orderbook_hf", "trades_features")
    text = [line.replace(";", ",").split(",") for line in (lake.raw / REAL.format("message")).read_text().splitlines()]
    midnight = lobster.midnight("2012-06-21")
    assert values(hf, "ts") == [midnight + int(Decimal(line[0]) * S) for line in text]
    executions = [line for line in text if line[1] in ("4", "5")]
    assert values(trades, "ts") == [midnight + int(Decimal(line[0]) * S) for line in executions]
    assert values(trades, "price") == [float(Decimal(line[4]) / 10_000) for line in executions]
    assert values(trades, "side") == [-int(line[5]) for line in executions]


def test_a_trade_belongs_to_the_row_of_its_message(lake: VendorLake) -> None:
    """Many messages have one time; the book of a line is that after its own message."""
    write_real(lake)
    ours = {"ccxt_orderbook": {"path": "raw", **SOURCE}, "ccxt_trades": {"path": "raw", **TRADES}}
    hf, _ = lake.features(ours, "orderbook_hf", "trades_features")
    text = [line.replace(";", ",").split(",") for line in (lake.raw / REAL.format("message")).read_text().splitlines()]
    traded = [float(line[3]) if line[1] in ("4", "5") else 0.0 for line in text]
    bought = [size if line[5] == "-1" else 0.0 for size, line in zip(traded, text, strict=True)]
    assert len({line[0] for line in text}) < len(text) - 100
    assert values(hf, "trade_volume") == [None, *traded[1:]]
    assert values(hf, "buy_volume") == [None, *bought[1:]]


def test_real_book_equals_that_of_the_tests_reader(lake: VendorLake, tmp_path: Path) -> None:
    write_real(lake)
    other = VendorLake(tmp_path / "ccxt")
    write_rows(other.folder / "lake", "orderbook", keyed(realdata.lobster_books(), "nasdaq", "AAPL"))
    write_rows(other.folder / "lake", "trades", keyed(realdata.lobster_trades(), "nasdaq", "AAPL"))
    [table] = lake.features({"ccxt_orderbook": {"path": "raw", **SOURCE}}, "orderbook_hf")
    [expected] = other.features({}, "orderbook_hf", captured_levels=10)
    identical(timeless(table), timeless(expected))


@needs_shell
def test_the_shell_gives_the_same_of_the_real_files(lake: VendorLake) -> None:
    write_real(lake)
    table = lake.rows(SOURCE)
    assert table.num_rows == 999
    identical(lake.shell_rows(), table)


def test_clock_of_new_york(lake: VendorLake) -> None:
    """On days around its changes, to the nanosecond."""
    expected = []
    times = (34_200 * S, 34_200_004_241_176, 41_000 * S + 1, 57_599_999_999_999)
    for date in "2012-01-03", "2024-03-08", "2024-03-10", "2024-03-11", "2024-11-01", "2024-11-03", "2024-11-04":
        messages = [dataclasses.replace(line, time=time) for line, time in zip(lines(4), times, strict=True)]
        write(lake, lobster.order_books(list(map(book, range(4))), 10), lobster.messages(messages), date)
        for time in times:
            clock = dt.datetime.fromisoformat(date) + dt.timedelta(seconds=time // S)
            expected.append(int(clock.replace(tzinfo=ZoneInfo("America/New_York")).timestamp()) * S + time % S)
    assert values(lake.rows(SOURCE), "ts") == expected


@needs_shell
@pytest.mark.parametrize("change", [with_crlf, lambda table: with_delimiter(table, ";")], ids=["crlf", "semicolon"])
def test_re_exports(lake: VendorLake, tmp_path: Path, change: Any) -> None:
    write_market(lake, seed=5)
    books, trades = market(5, lobster.midnight(DAY) + OPEN, 60)
    other = VendorLake(tmp_path / "other")
    write(other, *map(change, lobster.pair(books, trades, 10, DAY)))
    for source in (SOURCE, TRADES):
        table = other.rows(source)
        identical(table, lake.rows(source))
        identical(other.shell_rows(), table)


@needs_shell
def test_the_last_line_may_end_without_a_newline(lake: VendorLake) -> None:
    tables = (lobster.order_books(map(book, range(3)), 10), lobster.messages(lines(3)))
    for kind, table in zip(("orderbook", "message"), tables, strict=True):
        save(lake.raw / lobster.file_name("AAPL", DAY, kind, 10), table.text().rstrip("\n"))
    assert lake.rows(SOURCE).num_rows == 3
    identical(lake.shell_rows(), lake.rows(SOURCE))


def test_what_is_a_trade(lake: VendorLake) -> None:
    kinds = [SUBMISSION, EXECUTION, HIDDEN, CROSS, HALT, 2, 3]
    messages = [dataclasses.replace(line, type=kind) for line, kind in zip(lines(len(kinds)), kinds, strict=True)]
    messages[4] = dataclasses.replace(messages[4], price=-1, size=0, order_id=0, direction=-1)
    write(lake, lobster.order_books([book(i) for i in range(len(kinds))], 10), lobster.messages(messages))
    assert values(lake.rows(TRADES), "seq") == [1, 2]
    assert lake.rows(SOURCE).num_rows == len(kinds)


@needs_shell
@pytest.mark.parametrize("kind", ["orderbook", "message"])
@pytest.mark.parametrize("text", ["1,2,x", "", '"', "34201;1,2,3"])
def test_a_broken_line_costs_its_row_only(lake: VendorLake, kind: str, text: str) -> None:
    """The lines after it stay with their partners."""
    tables = {"orderbook": lobster.order_books(map(book, range(6)), 10), "message": lobster.messages(lines(6))}
    tables[kind] = dataclasses.replace(
        tables[kind], rows=tuple(text if i == 2 else row for i, row in enumerate(tables[kind].rows))
    )
    write(lake, tables["orderbook"], tables["message"])
    table = lake.rows(SOURCE)
    assert values(table, "bid_size_00") == [1, 2, 4, 5, 6]
    assert values(table, "seq") == [0, 1, 3, 4, 5]
    assert [(ts - lobster.midnight(DAY) - OPEN) // S for ts in values(table, "ts")] == [0, 1, 3, 4, 5]
    identical(lake.shell_rows(), table)


def test_files_of_other_lengths_are_an_error(lake: VendorLake) -> None:
    tables = (lobster.order_books(map(book, range(6)), 10), lobster.messages(lines(6)))
    write(lake, broken_line(tables[0], 2), tables[1])
    outcome = lake.run(SOURCE)
    assert outcome.code == 1
    said = " ".join(outcome.out.split())
    assert "AAPL_2024-10-21_34200000_57600000_message_10.csv has 6 lines" in said
    assert "AAPL_2024-10-21_34200000_57600000_orderbook_10.csv has 7 lines" in said
    assert "Fetch both files again" in said


@needs_shell
def test_files_of_other_lengths_are_an_error_in_the_shell(lake: VendorLake) -> None:
    write_market(lake)
    lake.rows(SOURCE)
    shell = lake.shell_rows()
    truncated(next(lake.raw.glob("*message*")))
    done = lake.shell((lake.folder / "target/compiled/rows.sql").read_text())
    assert shell.num_rows > 0
    assert "line by line they belong together" in done.stderr


@pytest.mark.parametrize("kind", ["orderbook", "message"])
def test_a_missing_partner_is_an_error(lake: VendorLake, kind: str) -> None:
    write_market(lake)
    next(lake.raw.glob(f"*{kind}*")).unlink()
    outcome = lake.run(SOURCE)
    assert outcome.code == 1
    assert f"there is no file named *_{kind}_* beside AAPL_2024-10-21" in " ".join(outcome.out.split())


def test_another_number_of_levels_is_an_error(lake: VendorLake) -> None:
    write_market(lake, levels=5)
    outcome = lake.run(SOURCE)
    assert outcome.code == 1
    said = " ".join(outcome.out.split())
    assert "it is not 40 integers, four for each of the 10 levels that option levels gives" in said


def test_the_day_must_be_in_the_path(lake: VendorLake) -> None:
    write_market(lake)
    outcome = lake.run(SOURCE | {"pattern": "{symbol}_*.csv"})
    assert outcome.code != 0
    assert "Give the source a pattern with {date}" in " ".join((outcome.out + outcome.err).split())


def test_a_new_order_book_file_leaves_the_trades_as_they_are(lake: VendorLake) -> None:
    write_market(lake)
    lake.rows(TRADES)
    next(lake.raw.glob("*orderbook*")).touch()
    assert "Nothing to do" in lake.run(TRADES).out
    lake.rows(SOURCE)
    next(lake.raw.glob("*message*")).touch()
    assert "Nothing to do" not in lake.run(SOURCE).out


@pytest.mark.parametrize("source", [SOURCE, TRADES], ids=["orderbook", "trades"])
def test_all_days_in_one_partition_are_the_days_one_by_one(lake: VendorLake, source: dict[str, Any]) -> None:
    for seed, date in enumerate([DAY, "2024-10-22", "2024-11-05"]):
        write_market(lake, seed, date)
    daily = lake.rows(source)
    by_symbol = {"path": "together", "partition_by": ["exchange", "symbol"]}
    assert lake.run(source, "--full-refresh", output=by_symbol).code == 0
    identical(published(lake.folder / "lake/together"), daily)


def test_a_day_that_comes_later_gives_what_both_together_give(lake: VendorLake, tmp_path: Path) -> None:
    ours = {"ccxt_orderbook": {"path": "raw", **SOURCE}, "ccxt_trades": {"path": "raw", **TRADES}}
    whole = VendorLake(tmp_path / "whole")
    for seed, date in enumerate([DAY, "2024-10-22"]):
        write_market(lake, seed, date)
        write_market(whole, seed, date)
        tables = lake.features(ours, "orderbook_hf", "trades_features")
    (books, trades), (both_books, both_trades) = tables, whole.features(ours, "orderbook_hf", "trades_features")
    assert len(set(values(books, "date"))) == len(set(values(trades, "date"))) == 2
    identical(books, both_books)
    same_tables(trades, both_trades)  # sums over windows are those of all rows that are read together


@pytest.mark.slow
def test_many_rows_stay_in_the_order_of_their_lines(lake: VendorLake) -> None:
    """More than the row groups that threads read side by side; kernels would need a second pass."""
    count = 300_000
    stem = f"AAPL_{DAY}_34200000_57600000"
    save(lake.raw / f"{stem}_message_1.csv", "".join(f"{34200 + i / 20:.2f},1,1,1,10000,1\n" for i in range(count)))
    save(lake.raw / f"{stem}_orderbook_1.csv", "".join(f"{20000 + i},1,10000,{i + 1}\n" for i in range(count)))
    outcome = lake.run(SOURCE | {"options": {"levels": 1, "max_levels": 1}})
    assert outcome.code == 0, outcome.out
    [file] = (lake.folder / "lake/rows").rglob("*.parquet")
    table = pq.ParquetFile(file).read()
    assert values(table, "seq") == list(range(count))
    assert values(table, "bid_size_00") == list(range(1, count + 1))


def test_signed_trades_belong_to_the_rows_of_their_messages(lake: VendorLake) -> None:
    """A model that signs them keeps their places in the feed. One that reads it is built alone, too."""
    kinds = [SUBMISSION, EXECUTION, SUBMISSION, EXECUTION] * 3
    messages = [Message(OPEN + i // 4 * S, kind, i + 1, 10, 1_000_000, 1) for i, kind in enumerate(kinds)]
    write(lake, lobster.order_books([book(i) for i in range(12)], 1), lobster.messages(messages), levels=1)
    inputs = {"orderbook": "book", "trades": "trades"}
    plain = {"sql": "orderbook/hf.sql.j2", "inputs": inputs, "udfs": "tfi", "features": ["tfi", "*_volume"]}
    models: dict[str, dict[str, Any]] = {
        "plain": plain,
        "signing": {"sql": "trades/liquidity.sql.j2", "inputs": {"trades": "trades", "book": "book"}},
        "signed": plain | {"inputs": inputs | {"trades": "signing"}},
    }
    sources = {"book": SOURCE | {"path": "raw"}, "trades": TRADES | {"path": "raw"}}
    config = {"version": 1, "lake": "lake", "sources": sources, "models": models}
    for name, model in models.items():
        model["output"] = {"path": f"out/{name}"}
        model["options"] = (
            {"horizons": [], "levels": 1} if name == "signing" else {"max_levels": 1, "top_levels": 2, "levels": 1}
        )
    lake._write(config)
    for arguments in ((), ("--select", "signed", "--full-refresh")):
        (lake.folder / "lake/.sqlgen/bound.json").unlink(missing_ok=True)
        outcome = sqlgen("run", lake.folder / "models.yaml", *arguments)
        assert outcome.code == 0, outcome.out + outcome.err
        identical(*(published(lake.folder / "lake/out" / name) for name in ("signed", "plain")))
    traded = [10.0 if kind == EXECUTION else 0.0 for kind in kinds]
    assert values(published(lake.folder / "lake/out/signed"), "trade_volume") == [None, *traded[1:]]
