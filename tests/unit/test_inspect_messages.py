"""Words of `inspect` on messages that no adapter reads: kinds, looks, places, and commands that write rows."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from sqlgen.detect import remarks
from sqlgen.detect.candidates import Candidate
from sqlgen.detect.columns.columnmap import guess_columns, no_trades
from sqlgen.detect.columns.headerless import named
from sqlgen.detect.columns.nested import flattened
from sqlgen.detect.files import vendors
from sqlgen.detect.files.sniff import Sniffed
from sqlgen.detect.findings import Contents
from sqlgen.detect.messages.advice import described
from sqlgen.detect.messages.kinds import are_of_one, kinds_of
from sqlgen.templating.templates import Library

T = 1_767_355_200_000
TRADE = {"m": "trades", "symbol": "X/USDT", "data": [{"p": "9.5", "q": "0.3", "ts": T, "bm": True}]}
CHANGE = {"m": "depth", "symbol": "X/USDT", "data": {"ts": T, "asks": [], "bids": [["9.4", "0"]]}}
BEST = {"m": "bbo", "symbol": "X/USDT", "data": {"ts": T, "bid": ["9.4", "2"], "ask": ["9.6", "21"]}}
FUNDING = {"m": "pricing", "con": [{"t": T, "s": "X-PERP", "fi": 1}]}


def looks(*records: dict[str, Any]) -> list[tuple[str, str]]:
    return [(kind.text, kind.look.what) for kind in kinds_of(records)]


def test_kinds_are_named_with_their_places_and_a_command_each() -> None:
    kinds, *ways = described([TRADE, TRADE, CHANGE, BEST, FUNDING, {"received_at": "1767355200.5"}])
    assert "2 of m=trades, which look like trades in data[] (price p, amount q, buyer_maker bm)" in kinds
    assert "1 of m=depth, which look like changes of a book in data (bids bids)" in kinds
    assert "1 of m=pricing, with m, con[].t, con[].s, con[].fi" in kinds
    assert any("jq -c 'select(.m?==\"trades\") | . as $m | .data[]? | . + {symbol: $m.symbol}'" in way for way in ways)
    assert any(
        "changes of a book (m=depth) need an adapter" in way and "levels are in data.bids" in way for way in ways
    )
    assert any("bid: .bid[0], ask: .ask[0], bid_size: .bid[1]" in way for way in ways)
    assert any("a time of arrival stands before its messages" in way for way in ways)


@pytest.mark.parametrize(
    ("record", "look"),
    [
        ({"type": "update/trade", "trades": [{"price": "1", "size": "2"}]}, "trades"),
        ({"type": "transaction", "content": {"list": [{"contPrice": "1", "contQty": "2"}]}}, "trades"),
        ({"e": "trade", "s": "X", "p": "1", "q": "2", "b": 11, "a": 12}, "trades"),  # b and a: ids of orders
        ({"e": "24hrTicker", "s": "X", "p": "1", "q": "2", "b": "9", "a": "10"}, "quotes"),
        ({"channel": "marketdata", "order_books": [{"side": "buy", "price": "1", "quantity": "2"}]}, "change"),
        ({"event_type": "price_change", "price": "1", "size": "2", "side": "BUY", "best_bid": "1"}, "change"),
        ({"type": "l2_updates", "bids": [["1", "2"]], "asks": [["3", "4"]]}, "change"),
        ({"type": "ticker", "open": 1, "high": 2, "low": 1, "close": 2}, "tickers"),
        ({"type": "candle", "open": 1, "high": 2, "low": 1, "close": 2}, "bars"),
        ({"channel": "liquidation.orders", "data": {"price": 1, "size": 2, "side": "buy"}}, "liquidations"),
        ({"topic": "markprice@X", "data": {"s": "X", "px": "1"}}, ""),
    ],
)
def test_looks(record: dict[str, Any], look: str) -> None:
    assert [what for _, what in looks(record)] == [look]


def test_names_of_markets_make_no_kinds() -> None:
    assert looks({"topic": "trade.BTC_USDT", "x": 1}, {"topic": "trade.ETH_USDT", "x": 1}) == [("topic=trade.*", "")]
    [kinds, way] = described([{"channel": f"trade:{n}", "trades": [{"price": 1, "size": 2, "ts": T}]} for n in (1, 2)])
    assert kinds.startswith("kinds of its first 2 messages: 2 of channel=trade:*")
    assert 'symbol: ($m.channel|split(":")|last)' in way


def test_a_command_takes_lines_that_are_lists() -> None:
    """The notes have them as objects, and jq as they are."""
    _, way = described([{"data": [{"T": "t", "S": "AAPL", "p": 9.5, "s": 3, "t": "2026-01-02T15:51:00.208Z"}]}])
    assert "jq -c '(objects // {data: .}) | .data[]?' FILE" in way


def test_fields_that_are_markets_become_symbols() -> None:
    record = {"ch": "trades", "update": {"BTCUSDT": [{"t": T, "p": "1", "q": "2", "s": "buy"}]}}
    _, way = described([record])
    assert "jq -c '.update // empty | to_entries[] | .key as $s | .value | .[]? | . + {symbol: $s}'" in way


def test_a_map_of_columns_reads_messages_of_one_kind() -> None:
    assert are_of_one("trades", [TRADE, FUNDING], nested=True)
    assert not are_of_one("trades", [TRADE, BEST], nested=True)
    assert not are_of_one("trades", [BEST], nested=True)
    assert are_of_one("trades", [{"bid": 1, "ask": 2, "price": 1, "size": 2}], nested=False)


def test_fields_of_a_best_level_are_named_after_its_side() -> None:
    record = {"ticker": {"s": "X", "a": {"price": "2", "size": "3"}, "b": {"price": "1", "size": "4"}}}
    found, paths = flattened(Sniffed("ndjson", records=(record,)))
    assert {name: paths[name] for name in ("a_price", "b_size")} == {
        "a_price": "ticker.a.price",
        "b_size": "ticker.b.size",
    }
    assert "price" not in found.columns


BARS = [(100, 104, 99, 103), (103.1, 105, 101, 102), (102, 106, 100.5, 105.5), (105.4, 107, 103, 104)]


@pytest.mark.parametrize("order", ["vchlo", "oclhv", "ochlv"], ids=["Gate", "HTX", "KuCoin"])
@pytest.mark.parametrize("backwards", [False, True])
def test_bars_of_other_orders_without_a_header(order: str, backwards: bool) -> None:
    rows = [
        (
            str(T // 1000 + 60 * k),
            *(str({**dict(zip("ohlc", bar, strict=True)), "v": 5_000 * k + 77}[one]) for one in order),
        )
        for k, bar in enumerate(BARS)
    ]
    found = named(Sniffed("csv", rows=tuple(rows[::-1] if backwards else rows)))
    prices = {"o": "open", "h": "high", "l": "low", "c": "close"}
    assert found.columns[0] == "time"
    assert [name for name in found.columns[1:] if not name.startswith("unread")] == [
        prices[x] for x in order if x != "v"
    ]


def test_bars_whose_open_and_close_cannot_be_told_have_no_names_for_them() -> None:
    rows = [(str(T // 1000 + 60 * k), "101", "103", "99", "105", "7") for k in range(3)]
    assert named(Sniffed("csv", rows=tuple(rows))).columns == (
        "time",
        "unread_2",
        "unread_3",
        "low",
        "high",
        "unread_6",
    )


@pytest.mark.parametrize(
    ("adapter", "symbol", "options", "told"),
    [
        ("okx/trades", "BTC-USDT-SWAP", {}, True),
        ("okx/trades", "BTC-USDT", {}, False),
        ("binance/trades", "BTCUSD_PERP", {}, True),
        ("binance/trades", "BTCUSD_PERP", {"amount": "base_qty"}, False),
        ("bybit/trade_stream", "BTCUSD", {}, True),
        ("bybit/trade_stream", "BTCUSDT", {}, False),
        ("generic/trades", "XBTUSDTM", {"columns": {"amount": "size"}}, True),
        ("generic/trades", "BTC-PERPETUAL", {"columns": {"amount": "homeNotional"}}, False),
    ],
)
def test_sizes_that_are_contracts_are_told(adapter: str, symbol: str, options: dict[str, Any], told: bool) -> None:
    contents = Contents("trades", 1, 0, 1, {}, keys=({"exchange": "x", "symbol": symbol},))
    found = remarks.counted(vendors.load(Library()), [Candidate(adapter, options)], [contents], Sniffed("csv"))
    assert bool([*found]) is told


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (  # a trade, and the quotes at its time
            [(f"{T + k}", f"{100.5 - k % 2}", "99.5", "100.5", f"{7.5 - k}") for k in range(4)],
            ("time", "price", "unread_3", "unread_4", "amount"),
        ),
        (  # HTX: contracts, base and quote currency
            [
                (f"{T + k}", f"{k}.5", f"{2 * k}", f"{k / 500}", f"{(k + 0.5) * k / 500}", "buy")
                for k in (100, 103, 101)
            ],
            ("time", "price", "unread_3", "amount", "unread_5", "side"),
        ),
    ],
    ids=["quotes beside trades", "contracts"],
)
def test_amounts_without_a_header(rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> None:
    assert named(Sniffed("csv", rows=tuple(rows))).columns == columns


def test_quotes_and_trades_in_one_table_are_no_books() -> None:
    names = ("ts", "Type", "Price", "Volume", "Bid Price", "Bid Size", "Ask Price", "Ask Size")
    rows = ((str(T), "Trade", "1.5", "2", "", "", "", ""), (str(T + 1), "Quote", "", "", "1.4", "3", "1.6", "4"))
    table = Sniffed("csv", columns=names, rows=rows)
    assert [guess_columns(kind, table) for kind in ("orderbook", "ticker", "trades")] == [None] * 3
    assert "quotes and trades in one table (column Type)" in no_trades(table)


@pytest.mark.parametrize("name", ["p'; touch made; '", 'p" | halt_error | "', "p\\", "$(touch made)"])
def test_names_of_a_stranger_stay_texts_of_the_command(name: str) -> None:
    message = {"type": name, name: {"trades": [{"price": "1", "size": "2", "time": T}]}}
    [*_, command] = described([message, {"type": "pong", "of": name}])
    words = shlex.split(command[command.index("jq -c") :])
    assert words[3:5] == ["FILE", ">"]
    assert json.dumps(name) in words[2]
    assert kinds_of([message])[0].says == {}
