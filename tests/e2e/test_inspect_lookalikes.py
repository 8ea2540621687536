"""Files that look like trades or bars and are none, and numbers that mean something else than they seem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqlgen.detect.files import vendors
from tests.e2e.test_streams import LIBRARY, found_in, rows

pytestmark = pytest.mark.slow

S = 1_767_355_200
NS = 10**9


def lines(*objects: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "binance-futures_liquidations_2026-01-02_BTCUSDT.csv",
            "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
            + "".join(f"binance-futures,BTCUSDT,{S + k}000000,{S + k}010000,,sell,88000.1,0.5\n" for k in range(3)),
            "liquidations",
        ),
        (
            "force.ndjson",
            lines(
                *(
                    {"e": "forceOrder", "E": S * 1000 + k, "o": {"s": "BTCUSDT", "S": "SELL", "q": "1", "p": "9910"}}
                    for k in range(3)
                )
            ),
            "liquidations",
        ),
        (
            "BTC_USDT-2026010212.csv",  # Gate.io's order books
            "".join(f"{S}.{k},{what},1,8800{k},0.5,17673552,{k}\n" for k, what in enumerate(("set", "make", "take"))),
            "level updates",
        ),
        (
            "snapshots.csv",  # Kaiko's order books
            "date,type,price,amount\n" + "".join(f"{S}000,{'ab'[k % 2]},{88_000 + k},0.5\n" for k in range(4)),
            "levels of order books, one a row",
        ),
        (
            "trades.json",  # freqtrade's, which have the form of candles
            lines([[S * 1000 + k, str(900 + k), None, "buy", 88_000.5, 0.01, 880.0] for k in range(3)]),
            "no adapter reads these files",
        ),
        (
            "BTC-240105-42000-C-EOHSummary-2024-01-02.csv",  # Binance's options
            "date,hour,symbol,open,high,low,close,volume_contracts\n"
            + "".join(f"2024-01-02,{k},BTC-C,100,110,90,105,5\n" for k in range(3)),
            "dates alone, and column hour the hours",
        ),
        (
            "levels.csv",
            "timestamp,symbol,side,level,price,size\n"
            + "".join(f"{S}000,X,{('bid', 'ask')[k % 2]},{k // 2},{88_000 + k},0.5\n" for k in range(4)),
            "levels of order books, one a row",
        ),
        (
            "updates.csv",
            "timestamp,side,price,size\n"
            + "".join(f"{S}00{k},{('bid', 'ask')[k % 2]},8800{k},0.5\n" for k in range(4)),
            "side says bid or ask",
        ),
        (
            "deltas.csv",  # Crypto Lake's
            "timestamp,side_is_bid,price,size\n" + "".join(f"{S}00{k},{k % 2},8800{k},0.5\n" for k in range(4)),
            "level updates",
        ),
        (
            "fills.csv",
            "time,orderId,price,qty,side,commission\n"
            + "".join(f"{S}00{k},7{k},8800{k},0.5,BUY,0.1\n" for k in range(4)),
            "fills of an account",
        ),
        (
            "orders.csv",
            "time,price,qty,side,status\n" + "".join(f"{S}00{k},8800{k},0.5,buy,open\n" for k in range(4)),
            "single orders",
        ),
        (
            "placed.csv",
            "time,order_id,price,qty,side,order_type\n"
            + "".join(f"{S}00{k},7{k},8800{k},0.5,buy,limit\n" for k in range(4)),
            "single orders (columns order_type, order_id)",
        ),
        (
            "events.csv",
            "time,price,qty,side,Operation\n"
            + "".join(f"{S}00{k},8800{k},0.5,buy,{('Insert', 'Replace', 'Fill')[k % 3]}\n" for k in range(4)),
            "changes of orders, or of levels (column Operation)",
        ),
        (
            "events.ndjson",
            lines(*({"ts": S * 1000 + k, "why": "placed", "side": "buy", "price": 9.5, "qty": 2} for k in range(3))),
            "changes of orders, or of levels (column why)",
        ),
        (
            "no-header.csv",
            "".join(
                f"{S}00{k},{700 + k},{('created', 'changed', 'deleted')[k % 3]},8800{k},0.5,bid\n" for k in range(4)
            ),
            "changes of orders, or of levels (column change)",
        ),
    ],
)
def test_what_seems_to_be_trades_or_bars_is_refused(name: str, content: str, says: str, tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, name).findings
    assert finding.choices == ()
    assert any(says in note for note in finding.notes), finding.notes


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # (ns, trade_id, price, amount, side)
        (  # futures of Gate.io
            "".join(f"{S + k}.5,{900 + k},8800{k}.5,{(-1) ** k * 10}\n" for k in range(3)),
            [((S + k) * NS + NS // 2, str(900 + k), 88_000.5 + k, 10, (-1) ** k) for k in range(3)],
        ),
        (  # Bitfinex, the newest first
            "".join(f"{902 - k},{S - k}000,{(-1) ** k * 0.25},8800{k}.5\n" for k in range(3)),
            [((S - k) * NS, str(902 - k), 88_000.5 + k, 0.25, (-1) ** k) for k in range(3)],
        ),
        (  # sizes first, all bought or sold
            "".join(f"{S + k}000,{10**k / 100},8800{k}\n" for k in range(3)),
            [((S + k) * NS, None, 88_000 + k, 10**k / 100, None) for k in range(3)],
        ),
        (  # BitMEX: size counts contracts of one dollar
            "timestamp,symbol,side,size,price,trdMatchID,homeNotional,foreignNotional\n"
            + "".join(f"2026-01-02D12:00:0{k}.25,XBTUSD,Buy,400,80000,a{k},0.005,400\n" for k in range(3)),
            [((S + k) * NS + NS // 4, f"a{k}", 80_000, 0.005, 1) for k in range(3)],
        ),
        (  # the same where the names are the other way round
            "timestamp,symbol,side,size,price,trdMatchID,homeNotional,foreignNotional\n"
            + "".join(f"{S + k}.25,BTCUSD,Sell,400,80000,a{k},400,0.005\n" for k in range(3)),
            [((S + k) * NS + NS // 4, f"a{k}", 80_000, 0.005, -1) for k in range(3)],
        ),
        (  # `amount` is the value
            "time,price,amount,volume,side\n" + "".join(f"{S + k}000,80000.5,40000.25,0.5,sell\n" for k in range(3)),
            [((S + k) * NS, None, 80_000.5, 0.5, -1) for k in range(3)],
        ),
        (  # of Kraken, with the type of the taker's order
            "price,volume,time,side,ordertype,trade_id\n"
            + "".join(f"12{k}.5,2,{S + k}.25,{'bsb'[k]},{'mlm'[k]},{k}\n" for k in range(3)),
            [((S + k) * NS + NS // 4, str(k), 120.5 + k, 2, (-1) ** k) for k in range(3)],
        ),
        (  # the side is an action, and the market is called as orders are
            "trade_id,time,symbol,price,volume,action\n"
            + "".join(f"{k},{S + k}000,NEW,9.5,{k + 1},{('SELL', 'BUY')[k % 2]}\n" for k in range(3)),
            [((S + k) * NS, str(k), 9.5, k + 1, (-1) ** (k + 1)) for k in range(3)],
        ),
        (  # ids that may be codes of sides, and words
            "".join(f"{1 + k},{S + k}000,88000.5,{k + 3},{('sell', 'buy')[k]}\n" for k in range(2)),
            [((S + k) * NS, str(1 + k), 88_000.5, k + 3, (-1) ** (k + 1)) for k in range(2)],
        ),
        (  # numbers that may be codes of sides, and words
            "".join(f"{S + k}000,{1 + k % 2},88000.5,{k + 3},{'bss'[k]}\n" for k in range(3)),
            [((S + k) * NS, None, 88_000.5, k + 3, 1 if k == 0 else -1) for k in range(3)],
        ),
        (  # ids that may be codes of sides, and no words
            "".join(f"{2 - k},{S - k}000,88000.5,{k + 3}\n" for k in range(2)),
            [((S - k) * NS, str(2 - k), 88_000.5, k + 3, None) for k in range(2)],
        ),
        (  # codes of sides
            "".join(f"{S + k}000,{900 + k},88000.5,{k + 3},{'212'[k]}\n" for k in range(3)),
            [((S + k) * NS, str(900 + k), 88_000.5, k + 3, (-1) ** k) for k in range(3)],
        ),
        (  # NYSE TAQ: New York's time
            "DATE,TIME_M,EX,SYM_ROOT,SIZE,PRICE\n"
            + "".join(f"20260102,7:00:0{k}.123456789,Q,AAPL,100,25{k}.5\n" for k in range(3)),
            [((S + k) * NS + 123_456_789, None, 250.5 + k, 100, None) for k in range(3)],
        ),
    ],
    ids=[
        "signed",
        "signed and before the price",
        "before the price",
        "contracts",
        "quote currency",
        "value",
        "Kraken",
        "actions",
        "ids 1 and 2",
        "numbers 1 and 2",
        "ids without words",
        "codes",
        "New York",
    ],
)
def test_amounts_and_times(content: str, expected: list[tuple[object, ...]], tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, "a.csv").findings
    [choice] = finding.choices
    assert choice.adapter == "generic/trades"
    read = rows(tmp_path, choice.source)
    assert [(row["ns"], row["trade_id"], row["price"], row["amount"], row["side"]) for row in read] == expected


@pytest.mark.parametrize("number", ["", "id"])
@pytest.mark.parametrize("size", [1, 2.5])
@pytest.mark.parametrize("order", ["bBaA", "aAbB", "BbaA", "baBA", "abAB"])
def test_two_prices_with_a_size_each_are_best_levels(number: str, size: float, order: str, tmp_path: Path) -> None:
    content = ""
    for k in range(3):
        values = {"b": 95.5 - k, "B": size, "a": 96 - k, "A": k + 3}
        row = [*([2900 + k] if number else []), *(values[one] for one in order), f"{S + k}000"]
        content += ",".join(map(str, row)) + "\n"
    [finding] = found_in(tmp_path, content, "a.csv").findings
    [choice] = finding.choices
    assert choice.adapter == "generic/orderbook"
    read = rows(tmp_path, choice.source)
    names = ("ns", "bid_price_00", "bid_size_00", "ask_price_00", "ask_size_00")
    assert [tuple(row[name] for name in names) for row in read] == [
        ((S + k) * NS, 95.5 - k, size, 96 - k, k + 3) for k in range(3)
    ]


@pytest.mark.parametrize(
    ("prices", "more"),
    [
        ((1, 2, 0.5, 1.5), ",10,{end}999,15,3,5,7,0"),  # of Binance, whatever their prices
        ((100, 101, 99, 100.5), ",10,{end}999,15,2,5,7,0"),  # the number of trades is always 2
        ((1, 1.001, 0.999, 1.0005), ",2"),
    ],
)
def test_bars_with_numbers_that_may_be_codes_of_sides(prices: tuple[float, ...], more: str, tmp_path: Path) -> None:
    content = "".join(
        f"{S + 60 * k}000,{','.join(map(str, prices))}{more.format(end=S + 60 * k + 59)}\n" for k in range(3)
    )
    [finding] = found_in(tmp_path, content, "a.csv").findings
    [choice] = finding.choices
    assert choice.adapter == "generic/bars"
    read = rows(tmp_path, choice.source)
    assert [tuple(row[name] for name in ("open", "high", "low", "close")) for row in read] == [prices] * 3


@pytest.mark.parametrize(
    ("time", "told"),
    [("2026-01-02 12:00:00", True), ("2026-01-02T12:00:00Z", False), ("2026-01-02 12:00:00+01:00", False)],
)
@pytest.mark.parametrize("header", ["time,price,qty\n", ""])
def test_times_without_a_zone_are_told(time: str, told: bool, header: str, tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, header + f"{time},1.5,2\n{time},1.6,3\n", "a.csv").findings
    assert any("say no zone" in note for note in finding.notes) == told


def test_times_of_histdata_are_those_of_new_york_in_winter(tmp_path: Path) -> None:
    content = "20260702 070000123,1.1042,1.1043,0\n20260702 070001123,1.1042,1.1043,0\n"
    [finding] = found_in(tmp_path, content, "DAT_ASCII_EURUSD_T_202607.csv").findings
    [choice] = finding.choices
    assert [row["ns"] for row in rows(tmp_path, choice.source)] == [1_782_993_600_123_000_000 + k * NS for k in (0, 1)]


@pytest.mark.parametrize(("folder", "turned"), [("coinbase", True), ("kraken", False)])
def test_sides_of_coinbase_are_those_of_makers(folder: str, turned: bool, tmp_path: Path) -> None:
    trades = [{"time": f"2026-01-02T12:00:0{k}Z", "trade_id": k, "price": "9.5", "size": "2"} for k in range(3)]
    content = lines(*(trade | {"side": "sell"} for trade in trades))
    [finding] = found_in(tmp_path, content, f"{folder}/BTC-USD.ndjson").findings
    [choice] = finding.choices
    assert [row["side"] for row in rows(tmp_path, choice.source)] == [1 if turned else -1] * 3


def test_a_market_is_what_rows_call_it_where_that_is_more_than_the_name_of_the_file(tmp_path: Path) -> None:
    content = "instrument_name,trade_id,side,price,size,created_time\n" + "".join(
        f"BTC-USDT-SWAP,{k},buy,88000.5,12,{S + k}123\n" for k in range(3)
    )
    [finding] = found_in(tmp_path, content, "BTC-USDT-SWAP-trades-2026-01-02.csv").findings
    [choice] = finding.choices
    assert {row["symbol"] for row in rows(tmp_path, choice.source)} == {"BTC-USDT-SWAP"}


UPBIT_CANDLES = lines(
    *(
        {
            "market": "KRW-BTC",
            "candle_date_time_utc": f"2026-01-02T12:0{k}:00",
            "candle_date_time_kst": f"2026-01-02T21:0{k}:00",
            "opening_price": 100.0 + k,
            "high_price": 103.0 + k,
            "low_price": 99.0 + k,
            "trade_price": 102.0 + k,
            "timestamp": (S + 60 * k) * 1000,
            "candle_acc_trade_price": 510.0,
            "candle_acc_trade_volume": 5.0,
            "unit": 1,
        }
        for k in range(3)
    )
)
ALGOSEEK = (
    "Date,Ticker,TimeBarStart,OpenBarTime,OpenBidPrice,OpenBidSize,OpenAskPrice,OpenAskSize,FirstTradeTime,FirstTradePrice,"
    "FirstTradeSize,HighTradePrice,LowTradePrice,LastTradePrice,Volume\n"
    + "".join(f"20260102,AAPL,07:0{k},07:0{k}:00.0,99,1,101,2,07:0{k}:01.5,100.5,10,103,99,102,500\n" for k in range(3))
)
UNREAD = {
    "bitfinex books": (
        lines({"event": "subscribed", "channel": "book", "chanId": 17082, "symbol": "tBTCUSD"})
        + lines([17082, [[88_000, 2, 0.5], [88_010, 1, -0.4]]], [17082, [88_000, 0, 1]], [17082, "hb"]),
        ("Bitfinex", "number alone", "cryptofeed or ccxt"),
    ),
    "bitfinex trades": (
        lines(*([321, "tu", [900 + k, S * 1000 + k, -0.5, 88_000.5]] for k in range(3))),
        ("Bitfinex", "number alone", "cryptofeed or ccxt"),
    ),
    "upbit candles": (UPBIT_CANDLES, ("candles of Upbit", "generic/bars", "ts: candle_date_time_utc")),
    "phemex": (
        lines(
            {"sequence": 7, "symbol": "BTCUSD", "trades": [[S * NS, "Buy", 100_005_000, 40]], "type": "incremental"},
            {"book": {"asks": [[100_010_000, 5]], "bids": []}, "sequence": 8, "symbol": "BTCUSD", "timestamp": S * NS}
            | {"depth": 30, "type": "incremental"},
        ),
        ("Phemex", "priceScale", "jq -c"),
    ),
    "algoseek": (ALGOSEEK, ("AlgoSeek", "generic/bars", "open: FirstTradePrice")),
    "iex table": (
        "type,timestamp,symbol,side,size,price\n"
        + "".join(f"price_level_update,{S}00{k}000000,AAPL,B,100,25{k}.5\n" for k in range(3)),
        ("IEX", "several kinds of messages"),
    ),
    "iex rest": (
        lines(
            {
                "symbol": "AAPL",
                "marketPercent": 0.02,
                "lastUpdated": S * 1000,
                "bids": [{"price": 250.5, "size": 100}],
                "asks": [{"price": 250.6, "size": 100}],
                "trades": [],
            }
        ),
        ("IEX", "jq -c"),
    ),
    "itch": (
        "timestamp,message_type,order_reference_number,side,price,size\n"
        + "".join(f"{S}00{k}000000,{kind},7{k},B,250.5,100\n" for k, kind in enumerate("AFECXDU")),
        ("ITCH", "neither side nor price", "orders_csv"),
    ),
    "itch by other names": (
        "ts,event,oid,side,qty,price\n"
        + "".join(f"{S}00{k}000000,{kind},7{k},B,100,250\n" for k, kind in enumerate("AAED")),
        ("ITCH", "neither side nor price"),
    ),
    "definitions": (
        "ts_recv,ts_event,rtype,publisher_id,instrument_id,raw_symbol,security_update_action,instrument_class,"
        f"min_price_increment,high_limit_price\n{S}{0:09},{S}{0:09},19,1,7,ESH6,A,F,0.25,7000\n",
        ("definitions of instruments", "no prices"),
    ),
    "funding": (
        lines(*({"instId": "BTC-USDT-SWAP", "fundingRate": "0.0001", "fundingTime": f"{S}00{k}"} for k in range(3))),
        ("funding rates", "no prices"),
    ),
    "funding of BitMEX": (
        "timestamp,symbol,fundingInterval,fundingRate,fundingRateDaily\n"
        "2026-01-02T12:00:00.000Z,XBTUSD,2000-01-01T08:00:00.000Z,-0.0001,-0.0003\n",
        ("funding rates", "no prices"),
    ),
    "metrics": (
        "create_time,symbol,sum_open_interest,sum_open_interest_value,count_long_short_ratio\n"
        "2026-01-02 12:00:00,BTCUSDT,8000.5,700000000.1,1.2\n",
        ("open interest", "no prices"),
    ),
    "taq": (
        "Time|Exchange|Symbol|Sale Condition|Trade Volume|Trade Price\n"
        + "".join(f"07000{k}123456789|Q|AAPL|@|100|25{k}.5\n" for k in range(3))
        + "END|20260102|3|||\n",
        ("TAQ", "in the file's name", "timezone: America/New_York"),
    ),
    "taq in microseconds": (
        "TIME|EXCHANGE|SYMBOL|TRADE_VOLUME|TRADE_PRICE\n"
        + "".join(f"09300{k}123456|Q|AAPL|100|25{k}\n" for k in range(3)),
        ("TAQ", "in the file's name"),
    ),
}
"""Kind of files that no adapter reads -> content, and parts of the advice."""


@pytest.mark.parametrize("kind", UNREAD)
def test_files_that_are_known_and_not_read_say_what_to_do(kind: str, tmp_path: Path) -> None:
    content, parts = UNREAD[kind]
    [finding] = found_in(tmp_path, content, "x.ndjson" if content[0] in "{[" else "x.csv").findings
    assert finding.choices == ()
    assert any(all(part in note for part in parts) for note in finding.notes), finding.notes


def test_times_far_from_the_date_in_the_path(tmp_path: Path) -> None:
    content = "ts,price,amount,side\n" + "".join(f"{S}00{k},88000.{k},0.5,buy\n" for k in range(3))
    [finding] = found_in(tmp_path, content, "trades_2025-03-06_BTCUSDT.csv").findings
    assert finding.choices == ()
    assert finding.notes == (
        "generic/trades would read its columns, but its rows are of 2026-01-02 12:00:00, more than 1 day(s) from"
        " 2025-03-06, the date in its path. If that is the date of something else, write * for {date} in its pattern;"
        " otherwise raise date_tolerance",
    )


def test_objects_of_a_json_array_are_said_to_be_what_they_seem(tmp_path: Path) -> None:
    trade = {"market": "KRW-BTC", "timestamp": S * 1000, "trade_price": 101.0, "trade_volume": 0.5, "ask_bid": "BID"}
    units = {"ask_price": 101.0, "bid_price": 100.0, "ask_size": 1.5, "bid_size": 0.5}
    made = {
        "its objects seem to be candles of Upbit.": UPBIT_CANDLES,
        "one a line, its objects are what upbit/book reads, it seems, Upbit, orderbook messages:": lines(
            *(
                {"market": "KRW-BTC", "timestamp": S * 1000 + k, "level": 0, "orderbook_units": [units]}
                for k in range(3)
            )
        ),
        "one a line, its objects are what generic/trades reads, it seems": lines(
            *({**trade, "id": k} for k in range(3))
        ),
    }
    for place, (says, content) in enumerate(made.items()):
        text = json.dumps([json.loads(line) for line in content.splitlines()])
        for cut in (0, 9):  # a large file is looked at as far as its first bytes
            [finding] = found_in(tmp_path / f"{place}-{cut}", text[: len(text) - cut], "x.json").findings
            assert "is one JSON array. Write one object a line (jq -c '.[]')" in finding.notes[0]
            assert finding.notes[1].startswith(says)
            assert finding.choices == ()


@pytest.mark.parametrize(("content", "name"), [(UPBIT_CANDLES, "upbit/candles"), (ALGOSEEK, "algoseek/bars")])
def test_a_map_that_the_advice_names_reads_the_files(content: str, name: str, tmp_path: Path) -> None:
    advice = vendors.load(LIBRARY)[name].unread
    options = yaml.safe_load("{" + advice[advice.index("columns:") : advice.index(" (docs")] + "}")
    suffix = "ndjson" if content[0] == "{" else "csv"
    found_in(tmp_path, content, f"x.{suffix}")
    read = rows(tmp_path, {"path": "raw/feed", "adapter": "generic/bars", "exchange": "x", "options": options})
    assert [(row["ns"], row["low"], row["close"]) for row in read] == [
        ((S + 60 * k) * NS, 99 + k * (suffix == "ndjson"), 102 + k * (suffix == "ndjson")) for k in range(3)
    ]


@pytest.mark.parametrize("more", [",{end}999,500.0,9,2.5,250.0,0", ""], ids=["Binance", "six fields"])
def test_candles_with_one_odd_row_stay_candles(more: str, tmp_path: Path) -> None:
    """The third close is above its high."""
    content = "".join(
        f"{S + 60 * k}000,100.0,101.0,99.0,{102.5 if k == 2 else 100.5},5.0{more.format(end=S + 60 * k + 59)}\n"
        for k in range(4)
    )
    [finding] = found_in(tmp_path, content, "BTCUSDT-1m-2026-01-02.csv").findings
    [choice] = finding.choices
    assert choice.adapter == "generic/bars"
    assert any("25% are bars whose high or low is none" in why for why in choice.why), choice.why


def test_files_of_lean_are_known_by_their_names(tmp_path: Path) -> None:
    """Prices of its equities are 10,000 times what they are, which nothing in the file says."""
    [finding] = found_in(
        tmp_path, "20260102 00:00,2503000,2512000,2498000,2505000,6315\n" * 3, "equity/usa/daily/x.csv"
    ).findings
    assert finding.choices == ()
    assert any("Lean" in note and "10,000 times" in note for note in finding.notes), finding.notes


def test_rows_with_the_time_of_day_alone_say_that_the_date_is_missing(tmp_path: Path) -> None:
    content = "".join(f"{34_200_000 + 900 * k},250.{30 + k},{3 + k}00\n" for k in range(4))
    [finding] = found_in(tmp_path, content, "x.csv").findings
    assert finding.choices == ()
    assert any("no column is a time" in note and "date of the file's name" in note for note in finding.notes), (
        finding.notes
    )


def test_lists_that_some_rows_call_changes_are_no_whole_books(tmp_path: Path) -> None:
    content = lines(
        *(
            {
                "event": event,
                "symbol": "BTC-USD",
                "timestamp": S * 1000 + k,
                "bids": [[99.5, 1.5]],
                "asks": [[100.5, 2 + k]],
            }
            for k, event in enumerate(("snapshot", "updated", "updated"))
        )
    )
    [finding] = found_in(tmp_path, content, "x.ndjson").findings
    assert finding.choices == ()
    assert any("changes of an order book" in note for note in finding.notes), finding.notes


def test_a_time_of_arrival_in_another_unit_is_left_out_of_the_map(tmp_path: Path) -> None:
    """One option says the unit of both; the trades are read all the same."""
    content = "".join(
        f'{S}.{k}25: {{"symbol": "BTC-USD", "ts": {S * 1000 + k}, "price": 99.5, "size": {k + 2}, "side": "buy"}}\n'
        for k in range(3)
    )
    [finding] = found_in(tmp_path, content, "x.ndjson").findings
    [choice] = finding.choices
    assert choice.adapter == "generic/trades"
    assert "received" not in choice.source["options"]["columns"]


def test_a_trade_channel_of_others_is_not_taken_for_that_of_kraken(tmp_path: Path) -> None:
    trade = {
        "created_at": S * 1000,
        "trade_id": "7",
        "pair": "YFI-USDT",
        "price": "7611.5",
        "qty": "0.5",
        "side": "sell",
    }
    content = lines({"channel": "trade", "timestamp": S * 1000, "data": [trade], "module": "spot"})
    [finding] = found_in(tmp_path, content, "x.ndjson").findings
    assert not any("Kraken" in note for note in finding.notes), finding.notes
