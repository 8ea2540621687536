"""Recordings of venues' streams: recognised, and read to the right values, several symbols in one file."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from sqlgen.detect.examine import Request, examine
from sqlgen.detect.findings import Examination
from sqlgen.detect.trial import TrialSource
from sqlgen.project.config import Source
from sqlgen.templating.templates import Library
from tests.support.engine import sqlgen
from tests.support.streams import BOOKS, NOON, TRADES, UPDATES, Change, Line, Stream, Trade, iso, text
from tests.support.unknown import MODELS

pytestmark = pytest.mark.slow

LIBRARY = Library()
BASE = tuple((side, 100.0 - side * (i + 0.5), 1.5 + i) for side in (1, -1) for i in range(3))
CHANGES = [
    Change(NOON, 1000, BASE, snapshot=True),
    Change(NOON + 100, 1001, ((1, 99.5, 7.25),)),
    Change(NOON + 350, 1002, ((-1, 100.5, 0.0),)),
    Change(NOON + 500, 1003, ((1, 99.75, 0.125), (-1, 100.5, 3.0))),
]
IN_FEED = ("okx/books", "deribit/book", "poloniex/book", "crypto_com/book", "bit_com/book", "lighter/book")
"""Streams whose snapshots have an id, as changes have."""
SOLD = [Trade(NOON + 10 * k, 500 + k, 100.0 + k / 4, 0.5 + k, 1 if k % 3 else -1) for k in range(6)]


def record(stream: Stream, items: list[Any]) -> Iterator[Line]:
    """A recording of two symbols in turn, with other messages between."""
    yield from stream.noise
    for one in items:
        for symbol in stream.symbols:
            yield stream.write(symbol, one)
        yield from stream.noise


def recording(folder: Path, name: str = "recording.ndjson") -> Path:
    return folder / "lake/raw/feed" / name


def found_in(folder: Path, content: str, name: str = "recording.ndjson") -> Examination:
    path = recording(folder, name)
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return examine(Request(folder / "lake/raw", LIBRARY, folder / "lake"))


@functools.cache
def instance() -> duckdb.DuckDBPyConnection:
    """One DuckDB instance for all tests, which keeps nothing of the files that they write anew."""
    return duckdb.connect(config={"enable_external_file_cache": False})


def rows(folder: Path, entry: Mapping[str, Any], other: str = "") -> list[dict[str, Any]]:
    """Canonical rows of a source, in the order of its file; times in ns, as ``ns`` and the ``other``."""
    with instance().cursor() as connection:
        source = TrialSource(LIBRARY, folder / "lake", Source.model_validate(entry), connection)
        both = f"* REPLACE (epoch_ns({other}) AS {other})" if other else "*"
        select = f"SELECT {both}, epoch_ns(ts) AS ns FROM ({source.select()}) ORDER BY symbol, seq"
        return connection.sql(select).to_arrow_table().drop_columns(["ts"]).to_pylist()


def only_entry(found: Examination, adapter: str) -> Mapping[str, Any]:
    [finding] = found.findings
    [choice] = finding.choices
    assert (choice.adapter, choice.sure) == (adapter.split()[0], "certain"), finding
    return choice.source


@pytest.mark.parametrize("adapter", UPDATES)
def test_level_updates(adapter: str, tmp_path: Path) -> None:
    stream = UPDATES[adapter]
    changes = [one for one in CHANGES if one.snapshot or len(one.levels) <= stream.most]
    found = found_in(tmp_path, text(list(record(stream, changes))))
    entry = only_entry(found, adapter)
    assert not any("no snapshot" in note for note in found.findings[0].notes)
    assert_counted(found, stream, len(changes))
    read = rows(tmp_path, entry)
    for symbol in stream.symbols:
        names = ("ns", "side", "price", "size", "is_snapshot")
        mine = [tuple(row[name] for name in names) for row in read if row["symbol"] == symbol]
        expected = [
            (one.ms * 1_000_000, side, price, size, one.snapshot)
            for one in changes
            for side, price, size in sorted(one.levels, key=lambda level: -level[0])
        ]
        assert mine == expected
        ends = [row["message_end"] for row in read if row["symbol"] == symbol]
        assert ends == [k == len(one.levels) - 1 for one in changes for k in range(len(one.levels))]
    assert {row["symbol"] for row in read} == {*stream.symbols}
    if adapter in IN_FEED:  # else it counts as asked for beside the feed, and gives no row
        assert all(row["first_id"] == row["last_id"] for row in read if row["is_snapshot"])
        assert all(row["prev_id"] == row["last_id"] - 1 for row in read if not row["is_snapshot"])
    assert_both_times(tmp_path, adapter, stream, list(record(stream, changes)), entry, read)


@pytest.mark.parametrize("adapter", TRADES)
def test_trades(adapter: str, tmp_path: Path) -> None:
    stream = TRADES[adapter]
    found = found_in(tmp_path, text(list(record(stream, SOLD))))
    assert_counted(found, stream, len(SOLD))
    entry = only_entry(found, adapter)
    assert entry.get("options", {}) == stream.options
    read = rows(tmp_path, entry)
    for symbol in stream.symbols:
        mine = [
            (row["ns"], row["trade_id"], row["price"], row["amount"], row["side"])
            for row in read
            if row["symbol"] == symbol
        ]
        expected = [
            (one.ms * 1_000_000, str(one.number) if stream.ids else None, one.price, one.amount, one.side)
            for one in SOLD
        ]
        assert mine == expected
    assert len(read) == 2 * len(SOLD)
    assert_both_times(tmp_path, adapter, stream, list(record(stream, SOLD)), entry, read)


LATE = {"cryptofeed": 1000, "tardis": 40}
"""Recorders whose messages have their time of arrival themselves, so many ms after that of the exchange."""


def assert_both_times(
    folder: Path,
    adapter: str,
    stream: Stream,
    lines: list[Line],
    entry: Mapping[str, Any],
    read: list[dict[str, Any]],
) -> None:
    """The same rows of a collector that writes a time of arrival before each message, whichever time counts.

    That of the message, NULL where it has none, and that of its arrival.
    """
    arrivals = [NOON * 1_000_000 + 7_000_000 * k + 500 for k in range(len(lines))]
    recording(folder).write_text(
        "".join(f"{ns} {json.dumps(line)}\n" for ns, line in zip(arrivals, lines, strict=True))
    )
    plain = read if stream.dated else rows(folder, entry)
    kept = rows(folder, {**entry, "clock": "exchange"}, "received_ts")
    turned = rows(folder, {**entry, "clock": "received"}, "exchange_ts")
    assert [timeless(row) for row in kept] == [timeless(row) for row in turned] == [timeless(row) for row in plain]
    assert [row["ns"] for row in kept] == [row["ns"] for row in plain]
    assert [row["received_ts"] for row in kept] == [row["ns"] for row in turned]
    if late := LATE.get(adapter.split("/")[0]):
        assert [row["received_ts"] - row["ns"] for row in kept] == [late * 1_000_000] * len(plain)
    else:
        assert {row["ns"] for row in turned} <= {*arrivals}
    sent = [row["ns"] if stream.dated else None for row in plain]
    assert [row["exchange_ts"] for row in turned] == sent


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    """Without what differs by clock, and the number of the row, which lines before it count in."""
    return {name: value for name, value in row.items() if name not in ("ns", "seq", "received_ts", "exchange_ts")}


@pytest.mark.parametrize("adapter", BOOKS)
def test_books(adapter: str, tmp_path: Path) -> None:
    stream, depth = BOOKS[adapter]
    books = [Change(NOON + 10 * k, k, tuple((s, p, z + k) for s, p, z in BASE)) for k in range(4)]
    found = found_in(tmp_path, text(list(record(stream, books))))
    assert_counted(found, stream, len(books))
    entry = only_entry(found, adapter)
    read = rows(tmp_path, entry)
    assert len(read) == 2 * len(books)
    for symbol in stream.symbols:
        for one, row in zip(books, (row for row in read if row["symbol"] == symbol), strict=True):
            assert row["ns"] == one.ms * 1_000_000
            for name, side in (("bid", 1), ("ask", -1)):
                levels = [(p, z) for s, p, z in one.levels if s == side][:depth]
                got = [(row[f"{name}_price_{i:02}"], row[f"{name}_size_{i:02}"]) for i in range(depth)]
                assert got == levels
                assert row[f"{name}_levels"] == depth
    assert_both_times(tmp_path, adapter, stream, list(record(stream, books)), entry, read)


def test_messages_of_several_outcomes_of_polymarket(tmp_path: Path) -> None:
    """A line of whole books, and a change of both; each goes to its outcome."""
    books: list[dict[str, Any]] = [
        {"event_type": "book", "asset_id": name, "timestamp": str(NOON), "bids": [{"price": "0.4", "size": name}]}
        | {"asks": [{"price": "0.6", "size": "7"}]}
        for name in ("11", "12")
    ]
    changes = [
        {"asset_id": "11", "price": "0.4", "size": "0", "side": "BUY", "best_bid": "0"},
        {"asset_id": "12", "price": "0.6", "size": "5", "side": "SELL", "best_bid": "0.4"},
    ]
    change = {"market": "0x7d", "price_changes": changes, "timestamp": str(NOON + 1), "event_type": "price_change"}
    read = rows(tmp_path, only_entry(found_in(tmp_path, text([books, change])), "polymarket/book"))
    assert [(row["symbol"], row["side"], row["price"], row["size"], row["is_snapshot"]) for row in read] == [
        ("11", 1, 0.4, 11, True),
        ("11", -1, 0.6, 7, True),
        ("11", 1, 0.4, 0, False),
        ("12", 1, 0.4, 12, True),
        ("12", -1, 0.6, 7, True),
        ("12", -1, 0.6, 5, False),
    ]


def test_lists_of_trades_are_no_candles(tmp_path: Path) -> None:
    """Of Bitget's version 1, whose candles stand in the same place of a message."""
    arg = {"instType": "sp", "instId": "BTCUSDT"}
    trade = {"action": "update", "arg": arg | {"channel": "trade"}, "data": [[str(NOON), "2.5", "9", "buy"]]}
    bar = [str(NOON), "1", "4", "0.5", "2", "30"]
    candle = {"action": "update", "arg": arg | {"channel": "candle1m"}, "data": [bar]}
    [finding] = found_in(tmp_path, text([candle, trade, trade])).findings
    choices = {choice.adapter: choice.source for choice in finding.choices}
    assert [row["price"] for row in rows(tmp_path, choices["bitget/trades"])] == [2.5, 2.5]
    assert [(row["high"], row["close"]) for row in rows(tmp_path, choices["candles/messages"])] == [(4, 2)]


def test_raw_files_of_cryptofeed(tmp_path: Path) -> None:
    """Lines on the connection, and on what was sent, stand between the messages."""
    stream, address = TRADES["okx/trades"], "wss://example.com:443/ws/v5"
    sent = f'{address} <- {NOON // 1000}.25: {{"op": "subscribe", "args": [{{"channel": "trades"}}]}}\n'
    messages = text(list(record(stream, SOLD[:2])), arrivals=True)
    found = found_in(tmp_path, f"{address} <-> {NOON // 1000}.125\n{sent}{messages}", "OKX.ws.1.0")
    [finding] = found.findings
    [choice] = finding.choices
    assert choice.adapter == "okx/trades"
    assert finding.contents[0].rows == 4
    assert finding.contents[0].unreadable == 0


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda k, message: json.dumps({"recv_ts": (NOON + k) * 1_000_000, "exchange": "gemini", "data": message}),
        lambda k, message: json.dumps({"topic": "t", "partition": 0, "ts": NOON + k, "payload": json.dumps(message)}),
        lambda k, message: f"[{iso(NOON + k)}] {json.dumps(message)}",
    ],
    ids=["object", "text", "log"],
)
def test_messages_in_what_collectors_write_around_them(wrapped: Callable[[int, Line], str], tmp_path: Path) -> None:
    """Their time of arrival counts where messages have none."""
    lines = [UPDATES["gemini/book"].write("BTCUSD", one) for one in CHANGES]
    messages = [{name: value for name, value in line.items() if name != "received_at"} for line in lines]
    found = found_in(tmp_path, "".join(f"{wrapped(k, each)}\n" for k, each in enumerate(messages)))
    read = rows(tmp_path, only_entry(found, "gemini/book"))
    assert [row["ns"] for row in read if row["message_end"]] == [(NOON + k) * 1_000_000 for k in range(len(messages))]
    assert {(row["exchange"], row["symbol"]) for row in read} == {("gemini", "BTCUSD")}


@pytest.mark.parametrize("venue", ["gate", "htx"])
def test_candles_whose_volume_has_another_name(venue: str, tmp_path: Path) -> None:
    """Of Gate's spot `v`, of HTX `vol` is in the quote's currency; the time is the candle's, not the message's."""
    lines = []
    for k in range(3):
        start = NOON // 1000 + 60 * k
        if venue == "gate":
            candle = {"t": str(start), "o": "1", "h": "4", "l": "0.5", "c": "2", "v": "30.5", "a": "15.25"}
            head = {"time": start + 7, "channel": "spot.candlesticks", "event": "update"}
            lines.append(head | {"result": candle | {"n": "1m_BTC_USDT"}})
        else:
            candle = {"id": start, "open": 1, "high": 4, "low": 0.5, "close": 2, "vol": 30.5, "amount": 15.25}
            lines.append({"ch": "market.BTC_USDT.kline.1min", "ts": 1000 * start + 7, "tick": candle | {"count": 9}})
    entry = only_entry(found_in(tmp_path, text(lines)), "candles/messages")
    names = ("symbol", "ns", "open", "high", "low", "close", "volume", "dollar_volume", "trade_count")
    assert [tuple(row[name] for name in names) for row in rows(tmp_path, entry)] == [
        ("BTC_USDT", (NOON + 60_000 * k) * 1_000_000, 1.0, 4.0, 0.5, 2.0, 15.25, 30.5, 9 if venue == "htx" else None)
        for k in range(3)
    ]


@pytest.mark.parametrize("adapter", ["okx/books", "coinbase_exchange/matches"])
def test_messages_that_are_passed_over_are_counted_by_a_run(adapter: str, tmp_path: Path) -> None:
    """By `inspect` those of each stream are, see above."""
    stream, items = (TRADES[adapter], SOLD) if adapter in TRADES else (UPDATES[adapter], CHANGES)
    found = found_in(tmp_path, text(list(record(stream, items))))
    noise = assert_counted(found, stream, len(items))
    write_models(tmp_path, found)
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    [line] = [line for line in outcome.out.splitlines() if line.startswith("check: m: messages of s")]
    assert f": {noise} passed over in 1 partition(s)" in line, line
    assert found.findings[0].contents[0].passed_over in line


def assert_counted(found: Examination, stream: Stream, items: int) -> int:
    """Heartbeats, subscriptions and other channels are counted as passed over; their number."""
    kinds = found.findings[0].contents[0].passed_over
    noise = len(stream.noise) * (items + 1)
    assert sum(int(kind.rpartition(" ")[2]) for kind in kinds.split(", ") if kind) == noise, kinds
    return noise


def write_models(folder: Path, found: Examination) -> None:
    """A models.yaml over the first source that was found."""
    [finding] = found.findings
    template, entry = MODELS[finding.contents[0].kind]
    model = {"sql": template, "inputs": {entry: "s"}, "output": {"path": "out"}}
    model |= {"udfs": "book"} if finding.contents[0].kind == "updates" else {}
    config = {"version": 1, "lake": "lake", "sources": {"s": dict(finding.choices[0].source)}, "models": {"m": model}}
    (folder / "models.yaml").write_text(yaml.safe_dump(config))


def test_a_recording_of_several_feeds_is_several_sources(tmp_path: Path) -> None:
    """Books and trades of one connection, after times of arrival, in a file whose name says nothing."""
    names = ["hyperliquid/trades", "hyperliquid/book"]
    books = [Change(NOON + 10 * k, k, BASE) for k in range(4)]
    lines = [*record(TRADES[names[0]], SOLD), *record(BOOKS[names[1]][0], books)]
    found = found_in(tmp_path, text(lines, arrivals=True), "capture.txt")
    [finding] = found.findings
    assert sorted(choice.adapter for choice in finding.choices) == sorted(names)
    assert finding.format == "ndjson"
    counts = {choice.adapter: len(rows(tmp_path, choice.source)) for choice in finding.choices}
    assert counts == {"hyperliquid/trades": 12, "hyperliquid/book": 8}
