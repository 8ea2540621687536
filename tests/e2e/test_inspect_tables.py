"""Tables without a vendor: no header, decimal commas, cells in quotes, one level, and what is no trades."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.cli.console import Console
from sqlgen.cli.inspect_console import print_examination
from sqlgen.detect.examine import Request, examine
from sqlgen.detect.files.sniff import sniff
from tests.e2e.test_streams import LIBRARY, found_in, rows
from tests.support.adapters import Project, rows_of
from tests.support.engine import published

S = 1_767_355_200
NS = 10**9


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # (time, id, price, amount, side)
        (
            "".join(f"{S + k}.5,{900 + k},{42_500 + k}.25,0.0{k + 1},{1 + k % 2}\n" for k in range(4)),
            [((S + k) * NS + NS // 2, str(900 + k), 42_500.25 + k, (k + 1) / 100, (-1, 1)[k % 2]) for k in range(4)],
        ),
        (
            "".join(f"{S + 60 * k},12{k}.00000,0.{k + 1}\n" for k in range(3)),
            [((S + 60 * k) * NS, None, 120.0 + k, (k + 1) / 10, None) for k in range(3)],
        ),
        (
            "time;px;qty;side\n" + "".join(f"{S + k}000;12{k},75;0,5;b\n" for k in range(3)),
            [((S + k) * NS, None, 120.75 + k, 0.5, 1) for k in range(3)],
        ),
        (
            "time,conditions,price,size,side\n" + "".join(f'{S + k}000,"12,3{k}",9.5,{k + 1},sell\n' for k in range(3)),
            [((S + k) * NS, None, 9.5, k + 1, -1) for k in range(3)],
        ),
        (
            "Date and Time,Price,Volume,Taker Side\n2026/01/02 12:00:00.250,5.5,2,buy\n2026/01/02 12:00:01,5,1,sell\n",
            [(S * NS + NS // 4, None, 5.5, 2, 1), ((S + 1) * NS, None, 5, 1, -1)],
        ),
    ],
    ids=["ids and codes of sides", "three columns", "decimal commas", "some cells in quotes", "names of words"],
)
def test_trades(content: str, expected: list[tuple[object, ...]], tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, "a.csv").findings
    [choice] = finding.choices
    assert (choice.adapter, choice.sure) == ("generic/trades", "likely")
    read = rows(tmp_path, choice.source)
    assert [(row["ns"], row["trade_id"], row["price"], row["amount"], row["side"]) for row in read] == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"time,price,qty,side,update_type\n{S}000,1,2,b,set\n", "level updates (columns update_type)"),
        (f"time,price,qty,side\n{S}000,1,2,b\n{S}001,1,0,b\n", "level updates (qty is 0 in some rows"),
        (f"time,id,price,amount,action\n{S}000,1,2,3,created\n", "single orders (columns action)"),
        (f"ts_event,price,quantity,stat_type\n{S}000000000,1,2,7\n", "statistics of a venue (columns stat_type)"),
    ],
)
def test_no_trades(content: str, says: str, tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, "a.csv").findings
    assert finding.choices == ()
    assert any(says in note for note in finding.notes), finding.notes


@pytest.mark.parametrize(
    ("content", "adapter"),
    [
        (f"time,open,high,low,close,volume\n{S}000,1,2,1,2,9\n", "generic/bars"),
        (f"time,bid,ask\n{S}000,1.5,1.6\n", "generic/ticker"),
        (f"EURUSD,{S}000,1.1212,1.1217\nEURUSD,{S}001,1.1213,1.1219\n", "generic/ticker"),
        ("20240101 170000065,1.10427,1.10493,0\n20240101 170001065,1.10426,1.10494,0\n", "generic/ticker"),
        (
            "20240101 170000;1.1042;1.1060;1.1030;1.1049;0\n20240101 170100;1.1042;1.1061;1.1030;1.105;0\n",
            "generic/bars",
        ),
        ("Gmt time,Ask,Bid,AskVolume,BidVolume\n01.02.2024 00:00:01.123,1.12,1.11,0.9,1.1\n", "generic/ticker"),
        (f"ticker,volume,open,close,high,low,window_start\nA,9000,1,2,3,1,{S}000000000\n", "generic/bars"),
        (f"time_exchange,ask_px,ask_sx,bid_px,bid_sx\n{S}000,1.6,5,1.5,4\n", "generic/orderbook"),
        (f"time_period_start,px_open,px_high,px_low,px_close,sx_sum\n{S}000,1,3,1,2,9\n", "generic/bars"),
    ],
)
def test_bars_and_quotes_without_sizes(content: str, adapter: str, tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, "a.csv").findings
    assert [choice.adapter for choice in finding.choices] == [adapter]


def test_days_of_another_time_zone(tmp_path: Path) -> None:
    """A file of a day that begins at 16:00 UTC the day before: the dates of its rows count."""
    lines = "".join(f"{k},buy,{100 + k},1,{S * 1000 + 3_600_000 * (4 + k)}\n" for k in range(16))
    content = "trade_id,side,price,size,created_time\n" + lines
    [finding] = found_in(tmp_path, content, "BTC-USDT-trades-2026-01-03.csv").findings
    [choice] = finding.choices
    assert choice.source["pattern"] == "{symbol}-trades-*.csv"
    assert any("before the date of its name" in note for note in finding.notes)
    dates = sorted(str(row["date"]) for row in rows(tmp_path, choice.source))
    assert dates == ["2026-01-02"] * 8 + ["2026-01-03"] * 8


@pytest.mark.parametrize("suffix", ["ndjson", "parquet"])
@pytest.mark.parametrize("kind", ["market", None])
def test_trades_as_ccxt_gives_them(suffix: str, kind: str | None, tmp_path: Path) -> None:
    """With `id` and `type`, and without `collected_at`."""
    made = [
        {
            "id": str(70 + k),
            "timestamp": 1000 * (S + k),
            "datetime": "2026-01-02T12:00:00.000Z",
            "symbol": "BTC/USDT",
            "type": kind,
            "side": "sell" if k else "buy",
            "price": 9.5 + k,
            "amount": 2.0,
            "cost": 19.0,
        }
        for k in range(3)
    ]
    if suffix == "parquet":
        folder = tmp_path / "lake/raw/feed"
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(made), folder / "trades_binance_2026-01-02.parquet")
        found = examine(Request(tmp_path / "lake/raw", LIBRARY, tmp_path / "lake"))
    else:
        content = "".join(json.dumps(row) + "\n" for row in made)
        found = found_in(tmp_path, content, "trades_binance_2026-01-02.ndjson")
    [choice] = found.findings[0].choices
    assert choice.adapter == "ccxt/trades"
    assert choice.source["options"] == {"trade_id": "id"}
    read = rows(tmp_path, choice.source)
    assert [(row["ns"], row["trade_id"], row["price"], row["side"]) for row in read] == [
        ((S + k) * NS, str(70 + k), 9.5 + k, -1 if k else 1) for k in range(3)
    ]


OBJECT = '{{"id":{k},"timestamp":{s},"timestampms":{s}250,"price":"{p}","amount":"0.5","type":"{side}"}}\n'
UPBIT = (
    '{{"market":"KRW-BTC","timestamp":{s}999,"trade_date":"2026-01-02","trade_time":"12:00:00",'
    '"trade_timestamp":{s}250,"trade_price":{p},"trade_volume":0.5,"ask_bid":"{side}"}}\n'
)
ALPACA = '{{"T":"t","i":{k},"S":"AAPL","x":"D","p":{p},"s":0.5,"t":"2026-01-02T12:00:0{k}.250Z","c":["@","I"]}}\n'


@pytest.mark.parametrize(
    ("name", "header", "line", "sides"),
    [
        ("a.ndjson", "", OBJECT, ("buy", "sell")),  # Gemini
        ("b.ndjson", "", UPBIT, ("BID", "ASK")),  # Upbit, without the names of its messages
        ("c.ndjson", "", ALPACA, (None, None)),
        (
            "d.csv",  # CoinAPI
            "time_exchange;time_coinapi;guid;price;base_amount;taker_side\n",
            "2026-01-02T12:00:0{k}.2500000Z;2026-01-02T12:00:09.0000000Z;{k};{p};0.5;{side}\n",
            ("BUY", "SELL"),
        ),
        (
            "e.csv",  # Kaiko
            "id,exchange,symbol,date,price,amount,sell\n",
            "{k},cbse,btcusd,{s}250,{p},0.5,{side}\n",
            ("false", "true"),
        ),
        (
            "h.csv",  # Amberdata
            "exchange,pair,timestamp,tradeId,price,size,isBuySide\n",
            "binance,btc_usdt,{s}250,{k},{p},0.5,{side}\n",
            ("true", "false"),
        ),
        (
            "f.csv",  # Bitget
            "trade_id,timestamp,price,side,volume(quote),size(base)\n",
            "{k},{s}250,{p},{side},99.5,0.5\n",
            ("buy", "sell"),
        ),
        (
            "g.csv",  # events of which all are trades
            "EventType,Time,Price,Quantity,Side\n",
            "TRADE,{s}250,{p},0.5,{side}\n",
            ("b", "s"),
        ),
    ],
)
def test_names_that_vendors_give(
    name: str, header: str, line: str, sides: tuple[str | None, str | None], tmp_path: Path
) -> None:
    lines = [line.format(k=k, s=S + k, p=9.5 + k, side=sides[k % 2]) for k in range(4)]
    [finding] = found_in(tmp_path, header + "".join(lines), name).findings
    [choice] = [choice for choice in finding.choices if choice.adapter == "generic/trades"]
    read = rows(tmp_path, choice.source)
    signs = (None, None) if sides[0] is None else (1, -1)
    assert [(row["ns"], row["price"], row["amount"], row["side"]) for row in read] == [
        ((S + k) * NS + NS // 4, 9.5 + k, 0.5, signs[k % 2]) for k in range(4)
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ([401, S * 1000, -0.5, 9.5], "each line is a list of values without names. Make a table of them"),
        ({"c": "deals", "d": {"deals": [{"p": "1", "v": "2"}]}}, "3 of c=deals, which look like trades in d.deals[]"),
    ],
    ids=["Bitfinex", "MEXC"],
)
def test_what_to_do_with_messages_of_no_known_stream(line: object, says: str, tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, (json.dumps(line) + "\n") * 3, "a.ndjson").findings
    assert finding.choices == ()
    assert any(says in note for note in finding.notes), finding.notes


@pytest.mark.slow
def test_fields_within_columns_of_parquet_are_found(tmp_path: Path) -> None:
    """Times of nanoseconds, which Python has none of, and lists of levels, in objects."""
    folder = tmp_path / "lake/raw/feed"
    folder.mkdir(parents=True)
    times = pa.array([S * NS + 123 * k for k in range(3)], pa.timestamp("ns"))
    levels = pa.array([[[100.0 + k, 2.0]] for k in range(3)])
    book = pa.StructArray.from_arrays([times, levels, levels], ["timestamp", "bids", "asks"])
    pq.write_table(pa.table({"market": ["BTC-USD"] * 3, "payload": book}), folder / "a.parquet")
    [choice] = examine(Request(tmp_path / "lake/raw", LIBRARY, tmp_path / "lake")).findings[0].choices
    named = choice.source["options"]["columns"]
    assert (named["ts"], named["bids"], named["symbol"]) == ("payload.timestamp", "payload.bids", "market")
    read = rows(tmp_path, choice.source)
    assert [(row["ns"], row["symbol"], row["bid_price_00"], row["ask_size_00"]) for row in read] == [
        (S * NS + 123 * k, "BTC-USD", 100.0 + k, 2.0) for k in range(3)
    ]


def test_quotes_and_trades_in_one_table_are_no_trades(tmp_path: Path) -> None:
    lines = [f"20260102,04:00:00.15{k},{kind},AAPL,500.1,100\n" for k, kind in enumerate(("QUOTE BID", "TRADE"))]
    content = "Date,Timestamp,EventType,Ticker,Price,Quantity\n" + "".join(lines)
    [finding] = found_in(tmp_path, content, "a.csv").findings
    assert finding.choices == ()
    assert any("single orders (columns EventType)" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("content", "adapter", "expected"),
    [
        (  # NYSE TAQ: days and clocks of one digit, in New York
            "DATE,TIME_M,EX,SYM_ROOT,SYM_SUFFIX,BID,BIDSIZ,ASK,ASKSIZ\n"
            "20260102,9:30:00.006000123,N,AAPL,,170.1,2,170.2,3\n",
            "generic/ticker",
            {"ns": (S + 9_000) * NS + 6_000_123, "symbol": "AAPL", "bid": 170.1, "ask_volume": 3.0},
        ),
        (  # kdb+
            "timestamp,symbol,bidSize,bidPrice,askPrice,askSize\n2026-01-02D12:00:00.123456789,X,1,9.5,9.6,2\n",
            "generic/orderbook",
            {"ns": S * NS + 123_456_789, "symbol": "X", "bid_price_00": 9.5, "ask_size_00": 2.0},
        ),
    ],
)
def test_times_of_vendors(content: str, adapter: str, expected: dict[str, object], tmp_path: Path) -> None:
    [finding] = found_in(tmp_path, content, "a.csv").findings
    [choice] = [choice for choice in finding.choices if choice.adapter == adapter]
    [row] = rows(tmp_path, choice.source)
    assert {name: row[name] for name in expected} == expected


TITLE = "https://www.CryptoDataDownload.com"
BARS = "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount\n" + "".join(
    f"{S + 3600 * k}000,2026-01-02 1{2 + k}:00:00,BTCUSDT,{90 + k},99,80,{91 + k},10,900.5,{k}\n" for k in range(3)
)


@pytest.mark.parametrize(
    "titles", [TITLE + "\n", TITLE + "\n\n", "# exported\nby nobody\n", "sep=,\n", '"SEP=,"\n', "by nobody\nsep=,\n"]
)
def test_lines_before_the_header(titles: str, tmp_path: Path) -> None:
    found = found_in(tmp_path, titles + BARS, "Binance_BTCUSDT_1h.csv")
    [choice] = found.findings[0].choices
    assert choice.adapter == "generic/bars"
    assert choice.source["options"]["title_lines"] == titles.count("\n")
    assert [(row["ns"], row["open"], row["volume"], row["dollar_volume"]) for row in rows(tmp_path, choice.source)] == [
        ((S + 3600 * k) * NS, 90 + k, 10.0, 900.5) for k in range(3)
    ]
    print_examination(Console(quiet=True), found)  # its column is called Symbol


@pytest.mark.parametrize("comment", ["# recorder v1\n", "#\n# a, b; c\n"])
@pytest.mark.parametrize("before", ["", f"{S}000 ", "INFO recv "])
def test_a_comment_before_messages(before: str, comment: str, tmp_path: Path) -> None:
    lines = [before + json.dumps({"ts": S * 1000 + k, "price": k + 0.5, "amount": 1}) for k in range(3)]
    (path := tmp_path / "x.txt").write_text(comment + "\n".join(lines) + "\n")
    found = sniff(path)
    assert found.format == "ndjson"
    assert [record["price"] for record in found.records] == [0.5, 1.5, 2.5]


def test_a_run_over_files_with_a_title(tmp_path: Path) -> None:
    """Lines keep their numbers, and the compiled file reads the same rows."""
    options = {"columns": {"ts": "Unix", "price": "Open", "amount": "Volume BTC"}, "title_lines": 1}
    project = Project.of(tmp_path, "generic/trades", options=options, exchange="x", symbol="Y", unreadable="quarantine")
    lines = (TITLE + "\n" + BARS).splitlines()
    lines[3] = lines[3].replace("91", "broken", 1)
    (project.raw / "a.csv").write_text("\n".join(lines) + "\n")
    outcome = project.sqlgen("run")
    assert outcome.code == 0, outcome.out
    assert "line 4 of raw/a.csv" in outcome.out + outcome.err
    read = rows_of(published(project.folder / "lake/out"))
    assert [(row["ts"], row["price"]) for row in read] == [((S + 3600 * k) * NS, 90.0 + k) for k in (0, 2)]
    assert rows_of(project.in_shell()) == read


def test_a_name_that_reads_like_a_market_is_none_where_rows_name_another(tmp_path: Path) -> None:
    """hitbtc could be HIT/BTC; `M` of MEXC's deals is no side, and tells of no buyer who made a price."""
    lines = [{"s": "XMRETH", "p": "0.5", "v": "2", "t": (S + k) * 1000, "M": 1} for k in range(3)]
    [finding] = found_in(tmp_path, "".join(json.dumps(line) + "\n" for line in lines), "deals_hitbtc.ndjson").findings
    [choice] = finding.choices
    read = rows(tmp_path, choice.source)
    assert [(row["symbol"], row["price"], row["side"]) for row in read] == [("XMRETH", 0.5, None)] * 3
