"""Both times of a row: the one that counts, and the one that is kept."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from sqlgen.compile.compiler import Compiler
from sqlgen.project.project import load
from tests.oracles.books import Message, level_books
from tests.support.adapters import HIVE, MIDNIGHT, Project, rows_of
from tests.support.compare import same_tables
from tests.support.engine import published, sqlgen
from tests.support.feeds import binance_line, bybit_line, coinbase_line, write_project
from tests.support.updates import latencies

MS, US = 10**6, 10**3
SENT = [MIDNIGHT + second * 10**9 for second in (10, 11, 13, 20)]
"""Times of the exchange, ns."""
LATE = [5 * MS, 700 * MS, 2 * MS, 9_000 * MS]
ARRIVED = [sent + late for sent, late in zip(SENT, LATE, strict=True)]
TIMES = list(zip(SENT, ARRIVED, strict=True))


def csv(header: str, line: Callable[[int, int], str]) -> str:
    return "\n".join([header, *(line(*times) for times in TIMES)]) + "\n"


def ndjson(row: Callable[[int, int], dict[str, Any]]) -> str:
    return "".join(json.dumps(row(*times)) + "\n" for times in TIMES)


def iso(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns // 10**9, dt.UTC):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def book(levels: int, bid: str, ask: str) -> tuple[str, str]:
    """Header and values of the columns of a book."""
    names = [name.format(i=i, n=f"{i:02d}") for i in range(levels) for name in (*bid.split(), *ask.split())]
    values = [str(value) for i in range(levels) for value in (100 - i, 1, 101 + i, 2)]
    return ",".join(names), ",".join(values)


TARDIS5 = book(5, "bids[{i}].price bids[{i}].amount", "asks[{i}].price asks[{i}].amount")
LAKE20 = book(20, "bid_{i}_price bid_{i}_size", "ask_{i}_price ask_{i}_size")
MBP1 = book(1, "bid_px_{n} bid_sz_{n}", "ask_px_{n} ask_sz_{n}")
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ccxt/trades": (
        "ndjson",
        ndjson(
            lambda s, a: {
                "timestamp": s // MS,
                "collected_at": a // MS,
                "trade_id": "1",
                "price": 1,
                "amount": 1,
                "side": "buy",
            }
        ),
        {},
    ),
    "ccxt/orderbook": (
        "ndjson",
        ndjson(
            lambda s, a: {
                "timestamp": s // MS,
                "collected_at": a // MS,
                "bids": [{"price": 1, "size": 1}],
                "asks": [{"price": 2, "size": 1}],
            }
        ),
        {},
    ),
    "ccxt/ticker": (
        "ndjson",
        ndjson(lambda s, a: {"timestamp": s // MS, "collected_at": a // MS, "bid": 1, "ask": 2, "last": 1}),
        {},
    ),
    "tardis/trades": (
        "csv",
        csv("timestamp,local_timestamp,id,side,price,amount", lambda s, a: f"{s // US},{a // US},1,buy,1,1"),
        {},
    ),
    "tardis/quotes": (
        "csv",
        csv(
            "timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount",
            lambda s, a: f"{s // US},{a // US},1,2,1,1",
        ),
        {},
    ),
    "tardis/book_snapshot_5": (
        "csv",
        csv(f"timestamp,local_timestamp,{TARDIS5[0]}", lambda s, a: f"{s // US},{a // US},{TARDIS5[1]}"),
        {},
    ),
    "crypto_lake/trades": (
        "csv",
        csv("origin_time,received_time,trade_id,side,price,quantity", lambda s, a: f"{iso(s)},{iso(a)},1,buy,1,1"),
        {},
    ),
    "crypto_lake/orderbook": (
        "csv",
        csv(f"origin_time,received_time,{LAKE20[0]}", lambda s, a: f"{iso(s)},{iso(a)},{LAKE20[1]}"),
        {},
    ),
    "databento/trades": (
        "csv",
        csv(
            "ts_recv,ts_event,publisher_id,action,side,price,size,sequence",
            lambda s, a: f"{a},{s},1,T,B,100.5,1,7",
        ),
        {},
    ),
    "databento/mbp1": (
        "csv",
        csv(f"ts_recv,ts_event,publisher_id,action,price,{MBP1[0]}", lambda s, a: f"{a},{s},1,A,100.5,{MBP1[1]}"),
        {},
    ),
    "generic/trades": (
        "csv",
        csv("t,seen,price,amount", lambda s, a: f"{s // MS},{a // MS},1,1"),
        {"options": {"columns": {"ts": "t", "received": "seen"}}},
    ),
    "generic/orderbook": (
        "csv",
        csv("t,seen,bp,bs,ap,asz", lambda s, a: f"{s // US},{a // US},1,1,2,1"),
        {
            "options": {
                "columns": {
                    "ts": "t",
                    "received": "seen",
                    "bid_price": "bp",
                    "bid_size": "bs",
                    "ask_price": "ap",
                    "ask_size": "asz",
                },
                "file_levels": 1,
                "time_unit": "us",
            }
        },
    ),
    "generic/ticker": (
        "csv",
        csv("t,seen,bid,ask", lambda s, a: f"{s // MS},{a // MS},1,2"),
        {"options": {"columns": {"ts": "t", "received": "seen"}}},
    ),
    "binance/trade_stream": (
        "ndjson",
        ndjson(
            lambda s, a: {
                "received_at": a,
                "data": {"e": "trade", "E": s // MS, "T": s // MS, "s": "X", "t": 1, "p": "1", "q": "1", "m": False},
            }
        ),
        {},
    ),
}


def project_of(folder: Path, adapter: str, **source: Any) -> Project:
    suffix, text, settings = CASES[adapter]
    project = Project.of(folder, adapter, **{**settings, **source})
    place = project.raw / HIVE
    place.mkdir(parents=True, exist_ok=True)
    (place / f"data.{suffix}").write_text(text)
    return project


@pytest.mark.slow
@pytest.mark.parametrize("adapter", CASES)
def test_each_adapter_with_two_times(tmp_path: Path, adapter: str) -> None:
    def found(**source: Any) -> list[dict[str, Any]]:
        return rows_of(plain(project_of(tmp_path, adapter, **source).run()))

    if adapter == "tardis/trades":  # the others by golden SQL and their own tests
        plainly = found()
        assert [row["ts"] for row in plainly] == SENT
        assert not {"received_ts", "exchange_ts"} & plainly[0].keys()
    kept = found(clock="exchange")
    assert [(row["ts"], row["received_ts"]) for row in kept] == TIMES
    turned = found(clock="received")
    assert [(row["exchange_ts"], row["ts"]) for row in turned] == TIMES
    times = {"ts", "received_ts", "exchange_ts"}
    assert [{k: v for k, v in row.items() if k not in times} for row in kept] == [
        {k: v for k, v in row.items() if k not in times} for row in turned
    ]


def plain(table: pa.Table) -> pa.Table:
    """Other times in ns too."""
    for name in ("received_ts", "exchange_ts"):
        if name in table.column_names:
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table[name].cast(pa.int64()))
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "sql", "input_name"),
    [
        ("ccxt/trades", "trades/features.sql.j2", "trades"),
        ("tardis/book_snapshot_5", "orderbook/hf.sql.j2", "orderbook"),
        ("ccxt/ticker", "ticker/features.sql.j2", "ticker"),
        ("ccxt/trades", "trades/liquidity.sql.j2", "trades"),
    ],
)
def test_latency_is_a_feature(tmp_path: Path, adapter: str, sql: str, input_name: str) -> None:
    for clock, name in (("exchange", "received_ts"), ("received", "exchange_ts")):
        project = project_of(tmp_path, adapter, clock=clock)
        path = tmp_path / "models.yaml"
        config = yaml.safe_load(path.read_text())
        config["sources"]["none"] = {"path": "none", "adapter": "ccxt/orderbook"}
        beside = {"book": {"ref": "none", "optional": True}} if "liquidity" in sql else {}
        config["models"]["rows"] |= {"sql": sql, "inputs": {input_name: "raw"} | beside}
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        rows = rows_of(plain(project.run()))
        assert [row["latency_ms"] for row in rows] == [late / MS for late in LATE]
        assert [row["ts"] for row in rows] == (SENT if clock == "exchange" else ARRIVED)
        assert [row[name] for row in rows] == (ARRIVED if clock == "exchange" else SENT)


DAYS = ("2026-01-02", "2026-01-03")
FEEDS = {
    "bybit/orderbook": ("BTCUSDT", "ETHUSDT"),
    "binance/depth_futures": ("BTCUSDT",),
    "coinbase/level2": ("BTC-USD",),
}
OTHERS = {"exchange": "received_ts", "received": "exchange_ts"}
PAIRS = [(adapter, clock, (n + k) % 2) for n, adapter in enumerate(FEEDS) for k, clock in enumerate(OTHERS)]
"""Each adapter by each clock, and each of both with each interval."""


def written(adapter: str, clock: str, day: int) -> tuple[list[str], dict[str, list[Message]]]:
    """Lines of a day, of one file, and the messages of each symbol by the clock.

    Times of the exchange go back now and then. The time that does not count is missing in some lines.
    """
    rng, lines, found = random.Random(day), list[str](), dict[str, list[Message]]()
    start = MIDNIGHT + day * 86_400 * 10**9
    latest = dict.fromkeys(FEEDS[adapter], start)
    for number in range(60):
        for symbol in FEEDS[adapter]:
            sent = start + 10**9 + number * 300 * MS - rng.choice((0, 0, 900)) * MS
            arrived = sent + rng.randrange(2000 * MS)
            outside = adapter.startswith("binance") and day == number == 0
            told = Message(
                sent,
                tuple((side, 100.0 - side * rng.randint(1, 9), float(rng.randint(0, 5))) for side in (1, -1, 1)),
                snapshot=day == number == 0,
                first=None if outside else 60 * day + number + 2,
                last=60 * day + number + 2,
                prev=60 * day + number + 1 if adapter.startswith("binance") and not outside else None,
            )
            has_other = bool(rng.randrange(6)) or outside
            line = written_line(adapter, symbol, told)
            if clock == "received" and not has_other:
                line = timeless(line)
            lines.append(f"{arrived} {json.dumps(line)}" if clock == "received" or has_other else json.dumps(line))
            own, other = (arrived, sent) if clock == "received" else (sent, arrived)
            latest[symbol] = max(latest[symbol], latest[symbol] if outside else own)
            message = dataclasses.replace(told, ts=latest[symbol], other=other if has_other else None)
            found.setdefault(symbol, []).append(message)
    return lines, found


def written_line(adapter: str, symbol: str, message: Message) -> dict[str, Any]:
    if adapter.startswith("coinbase"):
        return coinbase_line(message, 1)
    line = bybit_line(message) if adapter.startswith("bybit") else binance_line(message)
    return json.loads(json.dumps(line).replace("BTCUSDT", symbol))  # type: ignore[no-any-return]


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("ts", "cts", "E", "timestamp")}


def of_books(folder: Path, symbol: str) -> list[dict[str, Any]]:
    rows = [row for row in rows_of(plain(published(folder / "lake/book"))) if row["symbol"] == symbol]
    return [{name: row[name] for name in row if name not in ("exchange", "symbol", "date", "seq")} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(("adapter", "clock", "interval"), PAIRS)
def test_a_rebuilt_book_has_both_times(tmp_path: Path, adapter: str, clock: str, interval: int) -> None:
    """Of the message after which it was so; day by day as all at once, the book of a day going on in the next."""
    other = OTHERS[clock]
    path = write_project(tmp_path, adapter, {"max_levels": 3, "emit_interval": float(interval)})
    config = yaml.safe_load(path.read_text())
    config["sources"]["updates"]["clock"] = clock
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    made = [written(adapter, clock, day) for day in range(2)]
    for date, (lines, _) in zip(DAYS, made, strict=True):
        place = tmp_path / f"lake/raw/updates/exchange=x/date={date}"
        place.mkdir(parents=True)
        (place / "data.ndjson").write_text("\n".join(lines) + "\n")
        assert sqlgen("run", path).code == 0
    features = rows_of(plain(published(tmp_path / "lake/hf")))
    for symbol in FEEDS[adapter]:
        messages = [message for _, found in made for message in found[symbol]]
        told = level_books(messages, depth=3, interval=interval * 10**9, other_time=other)
        assert of_books(tmp_path, symbol) == told
        assert len(told) > 20
        mine = [row for row in features if row["symbol"] == symbol]
        assert [row[other] for row in mine] == [row[other] for row in told]
        assert [row["latency_ms"] for row in mine] == latencies(told, other)
    assert {row[other] is None for row in features} == {True, False}
    before = published(tmp_path / "lake/hf")
    assert sqlgen("run", path, "--full-refresh").code == 0
    same_tables(published(tmp_path / "lake/hf"), before)


@pytest.mark.parametrize("columns", [None, ["ts", "bid_price_00", "bid_size_00", "ask_price_00", "ask_size_00"]])
def test_a_book_without_a_second_time(tmp_path: Path, columns: list[str] | None) -> None:
    """As its source has no clock, or its columns leave the time out."""
    path = write_project(tmp_path, "bybit/orderbook", {})
    config = yaml.safe_load(path.read_text())
    if columns:
        config["sources"]["updates"]["clock"] = "exchange"
        config["models"]["book"]["columns"] = columns
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    compiler = Compiler(load(path))
    assert columns or "received_ts" not in compiler.compile("book").sql
    assert "latency_ms" not in compiler.compile("hf").sql


def test_rows_that_did_not_arrive_are_set_aside(tmp_path: Path) -> None:
    project = project_of(tmp_path, "ccxt/trades", clock="received")
    place = project.raw / HIVE / "data.ndjson"
    lines = place.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "collected_at": None})
    place.write_text("\n".join(lines) + "\n")
    outcome = project.sqlgen("run")
    assert outcome.code == 0, outcome.out
    assert "not_null(ts) of raw: 1 quarantined" in " ".join(outcome.out.split()), outcome.out
    rows = rows_of(plain(project.run()))
    assert [row["ts"] for row in rows] == [time for n, time in enumerate(ARRIVED) if n != 1]


@pytest.mark.parametrize("adapter", ["binance/trades", "generic/trades"])
def test_an_adapter_with_one_time_has_no_clock(tmp_path: Path, adapter: str) -> None:
    project = Project.of(tmp_path, adapter, clock="received")
    (project.raw / HIVE).mkdir(parents=True)
    (project.raw / HIVE / "data.csv").write_text("ts,price,amount\n1767312010000,1,1\n")
    said = " ".join(project.failure().split())
    assert "source 'raw': clock: its adapter reads one time only" in said
