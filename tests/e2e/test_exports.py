"""Exports are read back: by an oracle, and by the packages that they are for where these are installed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import sqlgen
from sqlgen.exports.hftbacktest import EVENT
from tests.support.engine import sqlgen as command
from tests.support.lakes import write_orderbook, write_trades

DAYS = ("2026-01-01", "2026-01-02")
MIDNIGHT = 1_767_225_600_000
EXCHANGE, TRADER, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Books and trades of two days, of which arrivals overtake each other."""
    rng = random.Random(7)
    for day, date in enumerate(DAYS):
        books, trades = [], []
        for n in range(60):
            time = MIDNIGHT + day * 86_400_000 + 1_000 * n
            mid = 100 + rng.randrange(-3, 4)
            sides = {
                side: [
                    (mid + sign * (i + 1) / 2, rng.randrange(1, 4) / 8) for i in range(rng.randrange(0 if n else 1, 5))
                ]
                for side, sign in (("bids", -1), ("asks", 1))
            }
            books.append({"timestamp": time, "collected_at": time + rng.choice([5, 40, 3_000]), **sides})
            if n % 3 == 0:
                price = mid if n % 2 else mid + 0.125
                trade = {"trade_id": str(n), "side": rng.choice(["buy", "sell", None]), "price": price, "amount": 0.05}
                trades.append({"timestamp": time, "collected_at": time + rng.choice([5, 1_200]), **trade})
        write_orderbook(tmp_path / "lake", "binance", "BTC-USDT", date, books)
        write_trades(tmp_path / "lake", "binance", "BTC-USDT", date, trades)
    config = {
        "version": 1,
        "lake": "lake",
        "sources": {name: {"path": f"raw/ccxt/{name}", "adapter": f"ccxt/{name}"} for name in ("orderbook", "trades")},
        "models": {
            "features": {
                "sql": "orderbook/hf.sql.j2",
                "inputs": {"orderbook": "orderbook"},
                "output": {"path": "out/b"},
            },
            "tape": {"sql": "trades/features.sql.j2", "inputs": {"trades": "trades"}, "output": {"path": "out/t"}},
        },
    }
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "models.yaml"


def with_clock(project: Path) -> None:
    config = yaml.safe_load(project.read_text())
    for source in config["sources"].values():
        source["clock"] = "exchange"
    project.write_text(yaml.safe_dump(config))


def rows(project: Path, view: str, order: str = "ts, seq") -> list[dict[str, Any]]:
    with sqlgen.connect(project) as connection:
        found = connection.execute(f"SELECT *, epoch_ns(ts) AS ns FROM {view} ORDER BY date, {order}")
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def levels(row: dict[str, Any]) -> dict[tuple[int, float], float]:
    return {
        (flag, row[f"{side}_price_{i:02d}"]): row[f"{side}_size_{i:02d}"]
        for side, flag in (("bid", BUY), ("ask", SELL))
        for i in range(20)
        if row[f"{side}_price_{i:02d}"] is not None
    }


def replayed(events: np.ndarray[Any, Any], seen_by: int, time: str) -> dict[int, dict[tuple[int, float], float]]:
    """The book after the events of each time, as the exchange or the trader sees it."""
    book: dict[tuple[int, float], float] = {}
    found = {}
    for event in events[events["ev"] & seen_by > 0]:
        kind, side = int(event["ev"]) & 0xFF, int(event["ev"]) & (BUY | SELL)
        key = side, float(event["px"])
        if kind == CLEAR:
            book = {at: qty for at, qty in book.items() if at[0] != side}
        elif kind in (DEPTH, SNAPSHOT):
            if event["qty"]:
                book[key] = float(event["qty"])
            else:
                del book[key]
        if kind != TRADE:
            found[int(event[time])] = dict(book)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("clock", [False, True])
def test_hftbacktest_sees_each_book(project: Path, clock: bool) -> None:
    if clock:
        with_clock(project)
    folder = project.parent / "to"
    arguments = ["--book", "orderbook", "--trades", "trades", "--output", folder, "--latency-ms", 2]
    outcome = command("export", "hftbacktest", project, *arguments)
    assert outcome.code == 0, outcome.out + outcome.err
    books, trades = rows(project, "orderbook"), rows(project, "trades")
    for date in DAYS:
        path = folder / f"binance_BTC-USDT_{date}.npz"
        events = np.load(path)["data"]
        assert events.dtype == EVENT
        assert f"{path}: {len(events):,} events" in outcome.out.replace("\n", "")
        by_exchange, by_trader = events[events["ev"] & EXCHANGE > 0], events[events["ev"] & TRADER > 0]
        assert (np.diff(by_exchange["exch_ts"]) >= 0).all()
        assert (np.diff(by_trader["local_ts"]) >= 0).all()
        assert len(by_exchange) == len(by_trader)
        mine = [book for book in books if str(book["date"]) == date]
        found = replayed(events, EXCHANGE, "exch_ts")
        held: dict[tuple[int, float], float] = {}
        for book in mine:
            held = found.get(book["ns"], held)  # a book that is as the one before has no event
            assert held == levels(book)
        sold = [
            (e["exch_ts"], e["local_ts"], e["px"], e["qty"], e["ev"] & (BUY | SELL))
            for e in by_exchange
            if e["ev"] & 0xFF == TRADE
        ]
        arrived = "received_ts" if clock else "ts"
        assert sold == [
            (
                trade["ns"],
                np.datetime64(trade[arrived], "ns").astype(np.int64) + (0 if clock else 2_000_000),
                trade["price"],
                trade["amount"],
                {1: BUY, -1: SELL, None: 0}[trade["side"]],
            )
            for trade in trades
            if str(trade["date"]) == date
        ]
        both = (events["ev"] & EXCHANGE > 0) & (events["ev"] & TRADER > 0)
        assert both.all() is np.bool_(not clock)


@pytest.mark.slow
def test_nautilus_has_the_same_numbers(project: Path) -> None:
    with_clock(project)
    folder = project.parent / "to"
    outcome = command("export", "nautilus", project, "--book", "orderbook", "--trades", "trades", "--output", folder)
    assert outcome.code == 0, outcome.out + outcome.err
    found: dict[str, list[tuple[Any, ...]]] = {"quote_tick": [], "trade_tick": []}
    for path in sorted(folder.rglob("*.parquet")):
        table = pq.read_table(path)
        assert path.parent.name == "BTC-USDT.BINANCE"
        assert table.schema.metadata == {
            b"instrument_id": b"BTC-USDT.BINANCE",
            b"price_precision": b"3",
            b"size_precision": b"3",
        }
        assert table["ts_init"].to_pylist() == sorted(table["ts_init"].to_pylist())
        for row in table.to_pylist():
            values = [int.from_bytes(v, "little") / 1e16 if isinstance(v, bytes) else v for v in row.values()]
            found[path.parent.parent.name].append(tuple(values))
    names = ["bid_price_00", "ask_price_00", "bid_size_00", "ask_size_00"]
    quotes = [row for row in rows(project, "orderbook", "received_ts, ts, seq") if None not in map(row.get, names)]
    times = [(row["ns"], np.datetime64(row["received_ts"], "ns").astype(np.int64)) for row in quotes]
    assert found["quote_tick"] == [
        (*(row[name] for name in names), *map(int, time)) for row, time in zip(quotes, times, strict=True)
    ]
    trades = rows(project, "trades", "received_ts, ts, seq")
    assert [row[:4] for row in found["trade_tick"]] == [
        (row["price"], row["amount"], {1: 1, -1: 2, None: 0}[row["side"]], row["trade_id"]) for row in trades
    ]


@pytest.mark.slow
def test_models_can_be_exported(project: Path) -> None:
    assert command("run", project).code == 0
    for book, trades in (("features", "tape"), ("orderbook", "trades")):
        folder = project.parent / book
        assert command("export", "hftbacktest", project, "--book", book, "--trades", trades, "-o", folder).code == 0
    for date in DAYS:
        name = f"binance_BTC-USDT_{date}.npz"
        one, other = (np.load(project.parent / each / name)["data"] for each in ("features", "orderbook"))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["hftbacktester"], 2, "unknown kind 'hftbacktester'. Did you mean 'hftbacktest'?"),
        (["hftbacktest"], 2, "nothing to export: name a book or trades"),
        (["hftbacktest", "--book", "orderbok"], 2, "no rows of 'orderbok' to read here. Did you mean 'orderbook'?"),
        (["nautilus", "--book", "trades"], 2, "'trades' is no book: it has no column bid_price_00"),
        (["nautilus", "--trades", "trades", "--symbol", "BTC/USDC"], 1, "symbol 'BTC/USDC'. Did you mean 'BTC-USDT'?"),
        (["nautilus", "--trades", "trades", "--start", "2030-01-01"], 1, "from 2030-01-01. There are dates from 2026"),
    ],
)
def test_what_bad_input_gets(project: Path, arguments: list[str], code: int, said: str) -> None:
    kind, *others = arguments
    outcome = command("export", kind, project, "-o", project.parent / "to", *others)
    assert outcome.code == code
    assert said in " ".join((outcome.out + outcome.err).split())
    assert not (project.parent / "to").exists()


@pytest.mark.slow
def test_no_file_is_replaced(project: Path) -> None:
    place = project.parent / "to/binance_BTC-USDT_2026-01-01.npz"
    place.parent.mkdir()
    place.write_bytes(b"mine")
    outcome = command("export", "hftbacktest", project, "--trades", "trades", "-o", place.parent)
    assert outcome.code == 2
    assert "is there already" in " ".join(outcome.err.split())
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert place.read_bytes() == b"mine"


def test_the_packages_read_them(project: Path) -> None:
    validation = pytest.importorskip("hftbacktest.data.validation")
    catalog = pytest.importorskip("nautilus_trader.persistence.catalog")
    for kind in ("hftbacktest", "nautilus"):
        folder = project.parent / kind
        assert command("export", kind, project, "--book", "orderbook", "--trades", "trades", "-o", folder).code == 0
    for path in (project.parent / "hftbacktest").iterdir():
        validation.validate_event_order(np.load(path)["data"])
    found = catalog.ParquetDataCatalog(project.parent / "nautilus")
    prices = duckdb.sql(f"SELECT count(*) FROM '{project.parent}/nautilus/data/trade_tick/**/*.parquet'").fetchall()
    assert len(found.trade_ticks()) == prices[0][0] == len(rows(project, "trades"))
    assert [float(trade.price) for trade in found.trade_ticks()] == [row["price"] for row in rows(project, "trades")]
