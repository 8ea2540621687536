"""Both times of a row: the one that counts, and the one that is kept."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from tests.support.adapters import HIVE, MIDNIGHT, Project, rows_of

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
    ],
)
def test_latency_is_a_feature(tmp_path: Path, adapter: str, sql: str, input_name: str) -> None:
    for clock, name in (("exchange", "received_ts"), ("received", "exchange_ts")):
        project = project_of(tmp_path, adapter, clock=clock)
        path = tmp_path / "models.yaml"
        config = yaml.safe_load(path.read_text())
        config["models"]["rows"] |= {"sql": sql, "inputs": {input_name: "raw"}}
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        rows = rows_of(plain(project.run()))
        assert [row["latency_ms"] for row in rows] == [late / MS for late in LATE]
        assert [row["ts"] for row in rows] == (SENT if clock == "exchange" else ARRIVED)
        assert [row[name] for row in rows] == (ARRIVED if clock == "exchange" else SENT)


def test_updates_count_by_their_arrival(tmp_path: Path) -> None:
    """A book that is rebuilt has one time: the one that the source chooses."""
    header = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
    lines = [
        f"binance,BTCUSDT,{s // US},{a // US},{'true' if not n else 'false'},bid,{100 + n},1"
        for n, (s, a) in enumerate(sorted(TIMES, key=lambda pair: pair[1]))
    ]
    for clock, times in ((None, sorted(SENT)), ("received", sorted(ARRIVED))):
        project = Project.of(tmp_path, "tardis/incremental_l2", **({"clock": clock} if clock else {}))
        (project.raw / HIVE).mkdir(parents=True, exist_ok=True)
        (project.raw / HIVE / "data.csv").write_text("\n".join([header, *lines]) + "\n")
        rows = rows_of(project.run())
        running = [max(times[: place + 1]) for place in range(len(times))]
        assert [row["ts"] for row in rows] == running


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
