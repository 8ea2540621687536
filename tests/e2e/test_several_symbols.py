"""One recording of several markets: rows go to the symbol that they name, or the partition fails and names them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.oracles.books import Message, level_books
from tests.support.engine import published, sqlgen
from tests.support.feeds import MS, Line, binance_line, bybit_line, coinbase_line, write_project
from tests.support.updates import rows_of
from tests.support.vendors.lake import VendorLake

DAY = "2026-01-02"
NOON = 1_767_355_200 * 10**9
DEPTH = 5
BID, ASK = 1, -1


def feed(price: float, start: int, rest: bool) -> list[Message]:
    """A snapshot and changes of one market; the prices of two are near each other, so that a mixture shows nothing."""
    base = ((BID, price, 1.0), (BID, price - 1, 2.0), (ASK, price + 1, 1.5), (ASK, price + 2, 4.0))
    first = Message(start, base, snapshot=True, first=None if rest else 10, last=10)
    changes = [
        Message(
            start + k * 100 * MS,
            ((BID if k % 2 else ASK, price + (0 if k % 2 else 1), 0.5 + k),),
            False,
            False,
            10 + k,
            10 + k,
        )
        for k in range(1, 6)
    ]
    return [first, *changes]


def lines_of(adapter: str, symbol: str, messages: Sequence[Message]) -> list[Line]:
    """Messages of one product, as the exchange sends them."""
    found = []
    for number, message in enumerate(messages):
        if adapter == "bybit/orderbook":
            line = bybit_line(message)
            line["topic"] = f"orderbook.50.{symbol}"
            line["data"]["s"] = symbol
        elif adapter == "coinbase/level2":
            line = coinbase_line(message, number)
            line["events"][0]["product_id"] = symbol
        else:
            line = binance_line(message)
            if message.outside:
                line["symbol"] = symbol
            else:
                line = {"stream": f"{symbol.lower()}@depth", "data": line | {"s": symbol}}
        found.append(line)
    return found


FEEDS = {
    "bybit/orderbook": ("BTCUSDT", "BTCUSDC"),
    "coinbase/level2": ("BTC-USD", "BTC-USDC"),
    "binance/depth_spot": ("BTCUSDT", "BTCUSDC"),
}


def recording(folder: Path, adapter: str, extra: Sequence[Line] = ()) -> tuple[Path, dict[str, list[Message]]]:
    """One file of two products whose messages alternate; its project, and what each product sent."""
    rest = adapter.startswith("binance")
    sent = {symbol: feed(60_000 + k, NOON + k * 7 * MS, rest) for k, symbol in enumerate(FEEDS[adapter])}
    by_symbol = [lines_of(adapter, symbol, messages) for symbol, messages in sent.items()]
    lines = [line for pair in zip(*by_symbol, strict=True) for line in pair]
    path = folder / "lake/raw/updates/rec.ndjson"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *extra]))
    config = write_project(folder, adapter, {"max_levels": DEPTH})
    return config, sent


def change(config: Path, **source: Any) -> Path:
    content = yaml.safe_load(config.read_text())
    content["sources"]["updates"] |= source
    config.write_text(yaml.safe_dump(content))
    return config


OTHERS: dict[str, list[Line]] = {
    "bybit/orderbook": [
        {"success": True, "op": "subscribe"},
        {
            "topic": "tickers.BTCUSDT",
            "type": "snapshot",
            "ts": NOON // MS,
            "data": {"symbol": "BTCUSDT", "bid1Price": "1"},
        },
    ],
    "coinbase/level2": [
        {"channel": "subscriptions", "timestamp": "2026-01-02T12:00:00Z", "sequence_num": 90, "events": [{}]},
        {"channel": "heartbeats", "timestamp": "2026-01-02T12:00:01Z", "sequence_num": 91, "events": [{}]},
    ],
    "binance/depth_spot": [
        {"result": None, "id": 1},
        {"stream": "btcusdt@bookTicker", "data": {"u": 99, "s": "BTCUSDT", "b": "1", "B": "1", "a": "2", "A": "1"}},
        {"stream": "btcusdt@depth5", "data": {"lastUpdateId": 99, "bids": [["1", "1"]], "asks": [["2", "1"]]}},
        {
            "stream": "btcusdt@trade",
            "data": {"e": "trade", "E": NOON // MS, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1"},
        },
    ],
}
"""Of other channels in the same recording."""


@pytest.mark.slow
@pytest.mark.parametrize("adapter", FEEDS)
def test_rows_go_to_the_symbol_that_they_name(tmp_path: Path, adapter: str) -> None:
    config, sent = recording(tmp_path, adapter, OTHERS[adapter])
    change(config, exchange="x")
    outcome = sqlgen("run", config, "--select", "book", "--threads", "1")  # one statement builds both
    assert outcome.code == 0, outcome.out + outcome.err
    for symbol, messages in sent.items():
        found = rows_of(published(tmp_path / f"lake/book/exchange=x/symbol={symbol}"))
        assert found == level_books(list(messages), depth=DEPTH), symbol
        assert len(found) >= 5
    assert len(list((tmp_path / "lake/book/exchange=x").iterdir())) == 2


@pytest.mark.parametrize("adapter", FEEDS)
def test_one_symbol_for_rows_that_name_several_is_an_error(tmp_path: Path, adapter: str) -> None:
    config, sent = recording(tmp_path, adapter)
    change(config, exchange="x", symbol="unknown")
    outcome = sqlgen("run", config, "--select", "book")
    assert outcome.code != 0
    names = ", ".join(sorted(sent))
    assert f"raw/updates/rec.ndjson holds several symbols: {names}. Source 'updates' has one symbol" in outcome.out
    assert not (tmp_path / "lake/book").exists()


@pytest.mark.slow
@pytest.mark.parametrize("dated", [False, True], ids=["date in rows", "date in path"])
@pytest.mark.parametrize("missing", [None, 4, 5], ids=["whole", "a BTC-USD missing", "a BTC-USDC missing"])
def test_sequence_numbers_of_a_connection_with_several_products(
    tmp_path: Path, missing: int | None, dated: bool
) -> None:
    """They count the messages of all products: what is missing may have been of any, and breaks the books of all."""
    config, sent = recording(tmp_path, "coinbase/level2")
    path = tmp_path / "lake/raw/updates/rec.ndjson"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    beat = {"channel": "heartbeats", "timestamp": "2026-01-02T12:00:00.3Z", "events": [{"heartbeat_counter": "1"}]}
    last = [json.loads(json.dumps(lines[k])) for k in (0, 1)]  # a snapshot of each again
    for line in last:
        line["timestamp"] = "2026-01-02T12:00:05Z"
    lines = [*lines[:6], beat, *lines[6:], *last]
    numbered = [line | {"sequence_num": 100 + number} for number, line in enumerate(lines)]
    if missing is not None:
        del numbered[missing]
    path.unlink()
    half = len(numbered) // 2
    for name, part in (("a", numbered[:half]), ("b", numbered[half:])):
        text = "".join(json.dumps(line) + "\n" for line in part)
        (path.parent / (f"{name}_{DAY}.ndjson" if dated else f"{name}.ndjson")).write_text(text)
    change(config, exchange="x", options={"check_sequence": True}, **({"pattern": "*_{date}.ndjson"} if dated else {}))
    outcome = sqlgen("run", config, "--select", "book")
    assert outcome.code == 0, outcome.out + outcome.err
    for offset, (symbol, messages) in enumerate(sent.items()):
        kept = [message for k, message in enumerate(messages) if missing is None or 2 * k + offset < missing]
        again = Message(NOON + 5000 * MS, messages[0].levels, True, feed_break=missing is not None)
        expected = level_books([*(Message(m.ts, m.levels, m.snapshot) for m in kept), again], depth=DEPTH)
        found = rows_of(published(tmp_path / f"lake/book/exchange=x/symbol={symbol}"))
        assert found == expected, symbol
        assert found[-1]["feed_reset"] is (missing is not None)
        assert len(found) == len(kept) + 1


@pytest.mark.slow
def test_an_answer_that_names_no_symbol_belongs_to_the_only_one_of_its_file(tmp_path: Path) -> None:
    messages = feed(60_000, NOON, True)
    lines = lines_of("binance/depth_spot", "BTCUSDT", messages)
    del lines[0]["symbol"]
    path = tmp_path / "lake/raw/updates/rec.ndjson"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = change(write_project(tmp_path, "binance/depth_spot", {"max_levels": DEPTH}), exchange="x")
    outcome = sqlgen("run", config, "--select", "book")
    assert outcome.code == 0, outcome.out + outcome.err
    assert rows_of(published(tmp_path / "lake/book/exchange=x/symbol=BTCUSDT")) == level_books(messages, depth=DEPTH)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["binance/depth_spot", "binance/depth_futures", "bybit/orderbook"])
def test_answers_by_rest_are_not_rows_without_a_time(tmp_path: Path, adapter: str) -> None:
    """They have the time of their collector only, and so that of the message before; nothing of them is set aside."""
    messages = feed(60_000, NOON, True)
    lines = lines_of("binance/depth_spot", "BTCUSDT", messages)
    if adapter.startswith("bybit"):
        lines = [bybit_line(message) for message in messages]
    elif adapter.endswith("futures"):
        lines = [line["data"] | {"pu": line["data"]["U"] - 1} if "data" in line else line for line in lines]
    path = tmp_path / "lake/raw/updates/rec.ndjson"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = change(write_project(tmp_path, adapter, {"max_levels": DEPTH}), exchange="x", unreadable="fail")
    outcome = sqlgen("run", config, "--select", "book", "--json")
    assert outcome.code == 0, outcome.out + outcome.err
    assert [task["checks"] for task in outcome.json["tasks"]] == [[]]
    assert rows_of(published(tmp_path / "lake/book/exchange=x/symbol=BTCUSDT")) == level_books(messages, depth=DEPTH)


@pytest.mark.slow
def test_an_answer_that_names_no_symbol_among_several(tmp_path: Path) -> None:
    config, _ = recording(tmp_path, "binance/depth_spot")
    path = tmp_path / "lake/raw/updates/rec.ndjson"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    del lines[0]["symbol"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = sqlgen("run", change(config, exchange="x"), "--select", "book")
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.out.split())
    assert "rec.ndjson: 1 row(s) name no symbol: they belong to no partition and are not read" in said
    assert "answers by REST take a field 'symbol'" in said
    assert "no snapshot: 5 changes waited for one" in said


@pytest.mark.slow
def test_several_depths_of_one_symbol_are_one_of_them(tmp_path: Path) -> None:
    """Two topics of Bybit are no one feed; the option says which of them is meant."""
    config, sent = recording(tmp_path, "bybit/orderbook")
    path = tmp_path / "lake/raw/updates/rec.ndjson"
    best = {"topic": "orderbook.1.BTCUSDT", "type": "snapshot", "ts": NOON // MS, "cts": NOON // MS}
    data = {"s": "BTCUSDT", "b": [["59000", "1"]], "a": [["59001", "1"]], "u": 7, "seq": 1}
    path.write_text(json.dumps(best | {"data": data}) + "\n" + path.read_text())
    change(config, exchange="x")
    outcome = sqlgen("run", config, "--select", "book")
    assert outcome.code != 0
    assert "several topics of one market: orderbook.1.BTCUSDT, orderbook.50.BTCUSDT. Choose one" in outcome.out
    change(config, options={"depth": 50})
    outcome = sqlgen("run", config, "--select", "book")
    assert outcome.code == 0, outcome.out + outcome.err
    found = rows_of(published(tmp_path / "lake/book/exchange=x/symbol=BTCUSDT"))
    assert found == level_books(list(sent["BTCUSDT"]), depth=DEPTH)


TRADE = {
    "timestamp": NOON // MS,
    "collected_at": NOON // MS,
    "trade_id": "1",
    "price": 1.0,
    "amount": 1.0,
    "side": "buy",
}
TRADES = [TRADE | {"symbol": symbol} for symbol in ("ETH/USDT", "BTC/USDT", "BTC/USDT")]


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
def test_columns_of_rows_are_compared_with_the_path(tmp_path: Path, form: str) -> None:
    """In every format; rows that agree, in their own way of writing a symbol, are no error."""
    lake = VendorLake(tmp_path)
    folder = lake.raw / f"exchange=x/symbol=BTC-USDT/date={DAY}"
    folder.mkdir(parents=True)
    for rows in (TRADES[1:], TRADES):
        if form == "ndjson":
            (folder / "a.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif form == "csv":
            text = [",".join(TRADE | {"symbol": ""}), *(",".join(map(str, row.values())) for row in rows)]
            (folder / "a.csv").write_text("\n".join(text) + "\n")
        else:
            pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
        outcome = lake.run({"adapter": "ccxt/trades"}, "--full-refresh")
        if len(rows) == 2:
            assert outcome.code == 0, outcome.out + outcome.err
            assert published(tmp_path / "lake/rows")["symbol"].to_pylist() == ["BTC-USDT"] * 2
    assert outcome.code != 0
    assert f"a.{form} holds several symbols: BTC/USDT, ETH/USDT. Source 'it' has one symbol" in outcome.out


def test_files_of_several_symbols_under_one_name(tmp_path: Path) -> None:
    """As many files, one symbol each, and models.yaml says one for all."""
    lake = VendorLake(tmp_path)
    lake.raw.mkdir(parents=True)
    for name, row in (("a", TRADES[0]), ("b", TRADES[1])):
        (lake.raw / f"{name}_{DAY}.ndjson").write_text(json.dumps(row) + "\n")
    source = {"adapter": "ccxt/trades", "pattern": "*_{date}.ndjson", "exchange": "x"}
    outcome = lake.run(source | {"symbol": "unknown"})
    assert outcome.code != 0
    assert f"raw/a_{DAY}.ndjson and 1 more file(s) hold several symbols: BTC/USDT, ETH/USDT" in outcome.out
    assert lake.rows(source)["symbol"].to_pylist() == ["BTC/USDT", "ETH/USDT"]


def test_a_torn_symbol_is_told_with_its_row(tmp_path: Path) -> None:
    """It may be that of another market: BTC-USD is one beside BTC-USDT. So who reads the message decides."""
    lake = VendorLake(tmp_path)
    lake.raw.mkdir(parents=True)
    lines = [f"BTC-US{'' if k == 7 else 'DT'},{NOON // MS + k},{k},buy,100,1" for k in range(20)]
    text = "\n".join(["symbol,timestamp,trade_id,side,price,amount", "torn", *lines]) + "\n"
    (lake.raw / f"a_{DAY}.csv").write_text(text)
    source = {"adapter": "ccxt/trades", "pattern": "*_{date}.csv", "exchange": "x"}
    outcome = lake.run(source | {"symbol": "BTC-USDT"})
    assert outcome.code != 0
    assert f"a_{DAY}.csv holds several symbols: BTC-US, BTC-USDT." in outcome.out
    assert f"BTC-US is in 1 of 20 row(s), first in row 8 of raw/a_{DAY}.csv: if that is a broken line" in outcome.out


@pytest.mark.slow
def test_two_venues_in_one_book_of_databento(tmp_path: Path) -> None:
    lake = VendorLake(tmp_path)
    lake.raw.mkdir(parents=True)
    names = "ts_recv,ts_event,publisher_id,action,side,price,size,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,symbol"
    rows = [
        f"{NOON},{NOON + k},{publisher},A,B,100.0,1,{100 + publisher / 10},101.0,1,1,AAPL"
        for k, publisher in enumerate((2, 3, 2))
    ]
    (lake.raw / f"AAPL_{DAY}.csv").write_text("\n".join([names, *rows]) + "\n")
    source = {"adapter": "databento/mbp1", "pattern": "{symbol}_{date}.csv", "exchange": "x"}
    outcome = lake.run(source)
    assert outcome.code != 0
    assert (
        "holds several publishers of one market: 2, 3. Choose one by an option of adapter databento/mbp1" in outcome.out
    )
    assert lake.rows(source | {"options": {"publisher_id": 2}})["bid_price_00"].to_pylist() == [100.2, 100.2]


@pytest.mark.slow
def test_a_line_that_cannot_be_read_may_have_been_of_any_symbol(tmp_path: Path) -> None:
    """Nobody knows whose change it was: no book of the file goes on after it."""
    config, sent = recording(tmp_path, "coinbase/level2")
    path = tmp_path / "lake/raw/updates/rec.ndjson"
    lines = path.read_text().splitlines()
    torn = path.with_name(f"rec_{DAY}.ndjson")
    torn.write_text("\n".join([*lines[:6], lines[6][:40], *lines[6:]]) + "\n")
    path.unlink()
    change(config, exchange="x", pattern="*_{date}.ndjson")
    outcome = sqlgen("run", config, "--select", "book")
    assert outcome.code == 0, outcome.out + outcome.err
    for symbol, messages in sent.items():
        lost = Message(messages[3].ts - 1, ((0, None, None),))
        found = rows_of(published(tmp_path / f"lake/book/exchange=x/symbol={symbol}"))
        assert found == level_books([*messages[:3], lost, *messages[3:]], depth=DEPTH), symbol
        assert len(found) == 3
    assert outcome.out.count("no snapshot: 3 changes waited for one") >= 1
