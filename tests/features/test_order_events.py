"""Order events of LOBSTER, Databento MBO and Bitstamp, and ``event_flow_bars`` of them."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from tests.oracles import event_flow
from tests.oracles.compare import assert_same, table_rows
from tests.oracles.ofi_bars import flow_of_level
from tests.support import realdata
from tests.support.engine import published, sqlgen
from tests.support.vendors import databento, lobster
from tests.support.vendors.databento import LAST, SNAPSHOT, Order
from tests.support.vendors.files import save
from tests.support.vendors.rows import Book, S
from tests.support.vendors.tables import Table

Row = dict[str, Any]
DAY = "2024-10-21"
START = lobster.midnight(DAY) + 34_200 * S
LOBSTER: dict[str, Any] = {"pattern": "{symbol}_{date}_*.csv", "exchange": "nasdaq"}
DURATIONS = [1, 10]


@dataclass
class Market:
    """Orders that come, change and go at random; prices in cents."""

    rng: random.Random
    modifies: bool = False
    orders: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Id -> side, price, size."""
    ts: int = START

    def levels(self, side: int) -> list[tuple[Decimal, Decimal]]:
        sizes: dict[int, int] = {}
        for of_side, price, size in self.orders.values():
            if of_side == side:
                sizes[price] = sizes.get(price, 0) + size
        return [(Decimal(p) / 100, Decimal(sizes[p])) for p in sorted(sizes, reverse=side == 1)]

    def book(self) -> Book:
        return Book(self.ts, tuple(self.levels(1)), tuple(self.levels(-1)))

    def best(self, side: int) -> int:
        prices = [price for of_side, price, _ in self.orders.values() if of_side == side]
        return max(prices, key=lambda price: side * price)

    def add(self) -> Row:
        side = self.rng.choice((1, -1))
        others = [price for of_side, price, _ in self.orders.values() if of_side == -side]
        inside = self.best(-side) - side if others else 10_000
        price, number = inside - side * self.rng.choice((0, 0, 1, 1, 2, 3, 5)), 1000 + self.rng.randrange(10**9)
        self.orders[number] = (side, price, self.rng.randint(1, 90))
        return self._event("add", number, *self.orders[number])

    def step(self) -> Row:
        """The next event, after which the book is as it says."""
        self.ts += self.rng.choice((0, 1, S // 10, S // 3))
        thin = min(sum(order[0] == side for order in self.orders.values()) for side in (1, -1)) < 6
        kind = "add" if thin else self.rng.choice(["add", "add", "cancel", "cancel", "trade", "hidden", "modify"])
        if kind == "add" or (kind == "modify" and not self.modifies):
            return self.add()
        if kind == "hidden":
            side = self.rng.choice((1, -1))
            return self._event("hidden", 0, side, self.best(side), self.rng.randint(1, 50))
        side = self.rng.choice((1, -1))
        at_best = [number for number, order in self.orders.items() if order[:2] == (side, self.best(side))]
        number = at_best[0] if kind == "trade" or self.rng.random() < 0.5 else self.rng.choice(list(self.orders))
        side, price, size = self.orders.pop(number)
        if kind == "modify":
            other = (price - side * self.rng.choice((0, 0, 1)), self.rng.randint(1, 90))
            self.orders[number] = (side, *other)
            return self._event("modify", number, side, *other)
        gone = size if self.rng.random() < 0.5 else self.rng.randint(1, size)
        if gone < size:
            self.orders[number] = (side, price, size - gone)
        return self._event(kind, number, side, price, gone)

    def _event(self, kind: str, number: int, side: int, price: int, size: int) -> Row:
        return {"ts": self.ts, "type": kind, "order_id": number, "side": side, "price": price, "size": size}


def simulated(seed: int, count: int, modifies: bool = False) -> Iterator[tuple[Row, Book]]:
    market = Market(random.Random(seed), modifies)
    for _ in range(count):
        event = market.step()
        yield event, market.book()


def project(folder: Path, events: dict[str, Any], book: dict[str, Any], made: str = "", **options: Any) -> Path:
    """A project with the order events as they are, and the bars of them."""
    (folder / "transforms_sql").mkdir(parents=True)
    (folder / "transforms_sql/rows.sql.j2").write_text(
        "{#- {description: Rows, inputs: [rows]} -#}\n{{ inputs.rows }}\n"
    )
    models: dict[str, Any] = {
        "events": {"sql": "rows.sql.j2", "inputs": {"rows": "orders"}, "output": {"path": "out/events"}},
        "bars": {
            "sql": "orderbook/event_flow_bars.sql.j2",
            "inputs": {"book": "book", "events": "orders"},
            "options": {"bar_durations": DURATIONS, "emit_open_bars": True, **options},
            "output": {"path": "out/bars"},
        },
    }
    if made:
        models["book"] = {"sql": "orderbook/book.sql.j2", "inputs": {"updates": "quotes"}, "udfs": made}
        models["book"]["output"] = {"path": "out/book"}
    sources = {"quotes" if made else "book": {"path": "raw"} | book, "orders": {"path": "raw"} | events}
    config = {"version": 1, "lake": "lake", "sources": sources, "models": models}
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


def run(folder: Path) -> tuple[list[Row], pa.Table]:
    """Order events, and bars."""
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    events = table_rows(published(folder / "lake/out/events"))
    return sorted(events, key=lambda row: row["seq"]), published(folder / "lake/out/bars")


def quoted(books: Sequence[Book]) -> list[Row]:
    """Best quotes of books, and whether they are valid."""
    rows = []
    for seq, book in enumerate(books):
        row: Row = {"ts": book.ts, "seq": seq}
        for side, found in (("bid", book.bids), ("ask", book.asks)):
            price, size = found[0] if found else (None, None)
            row |= {f"{side}_price_00": price and float(price), f"{side}_size_00": size and float(size)}
        valid = None not in row.values() and row["ask_price_00"] >= row["bid_price_00"]
        rows.append(row | {"mid_price": (row["bid_price_00"] + row["ask_price_00"]) / 2 if valid else None})
    return rows


def expected_bars(events: Sequence[Row], books: Sequence[Row], shared: bool = True) -> list[Row]:
    flows = event_flow.flows_of_orders(events, books, shared)
    return event_flow.bars(flows, 0, DURATIONS, emit_open_bars=True)


def keys(bars: list[Row]) -> list[Row]:
    return [{"exchange": "nasdaq", "symbol": "AAPL"} | bar for bar in bars]


def write_lobster(folder: Path, pairs: Sequence[tuple[Row, Book]]) -> None:
    codes = {"add": 1, "cancel": 2, "trade": 4, "hidden": 5}
    midnight = lobster.midnight(DAY)
    messages = [
        lobster.Message(e["ts"] - midnight, codes[e["type"]], e["order_id"], e["size"], 100 * e["price"], e["side"])
        for e, _ in pairs
    ]
    for kind, table in (
        ("orderbook", lobster.order_books([book for _, book in pairs], 10)),
        ("message", lobster.messages(messages)),
    ):
        save(folder / "lake/raw" / lobster.file_name("AAPL", DAY, kind, 10), table)


def as_events(rows: Sequence[Row]) -> list[Row]:
    return [
        {**row, "seq": seq, "price": row["price"] / 100, "size": float(row["size"]), "is_snapshot": False}
        for seq, row in enumerate(rows)
    ]


@pytest.mark.slow
def test_lobster(tmp_path: Path) -> None:
    pairs = list(simulated(1, 400))
    project(tmp_path, LOBSTER | {"adapter": "lobster/orders"}, LOBSTER | {"adapter": "lobster/orderbook"})
    write_lobster(tmp_path, pairs)
    events, bars = run(tmp_path)
    wanted = as_events([event for event, _ in pairs])
    assert [{name: row[name] for name in wanted[0]} for row in events] == wanted
    assert_same(bars, keys(expected_bars(wanted, quoted([book for _, book in pairs]))))
    assert sum(bars["bid_hidden_volume"].to_pylist()) > 0
    check_ofi(bars, quoted([book for _, book in pairs]))


def check_ofi(bars: pa.Table, books: list[Row]) -> None:
    """``event_ofi`` of the bars is the sum of ``ofi``: each event is one row of the book."""
    flows = [flow_of_level(books, i, 0, 300.0) or 0.0 for i in range(len(books))]
    for bar in table_rows(bars):
        rows = [flow for row, flow in zip(books, flows, strict=True) if bar["bar_start"] <= row["ts"] < bar["bar_end"]]
        assert bar["event_ofi"] == pytest.approx(sum(rows), abs=1e-9)
        assert bar["unplaced_count"] <= 12  # before there is a quote on both sides


@pytest.mark.slow
def test_sides_that_swap_flip_event_ofi(tmp_path: Path) -> None:
    pairs = list(simulated(2, 120))
    turned = [
        (
            {**e, "side": -e["side"], "price": 20_000 - e["price"]},
            Book(b.ts, *(tuple((200 - price, size) for price, size in side) for side in (b.asks, b.bids))),
        )
        for e, b in pairs
    ]
    found = []
    for name, made in (("as", pairs), ("turned", turned)):
        folder = project(
            tmp_path / name, LOBSTER | {"adapter": "lobster/orders"}, LOBSTER | {"adapter": "lobster/orderbook"}
        )
        write_lobster(folder, made)
        found.append(table_rows(run(folder)[1]))
    for bar, other in zip(*found, strict=True):
        assert other["event_ofi"] == -bar["event_ofi"]
        assert other["ask_market_volume_best"] == bar["bid_market_volume_best"]
        assert other["bid_limit_count_beyond"] == bar["ask_limit_count_beyond"]


@pytest.mark.slow
def test_real_lobster(tmp_path: Path) -> None:
    name = "AAPL_2012-06-21_34200000_57600000_{}_10.csv"
    project(tmp_path, LOBSTER | {"adapter": "lobster/orders"}, LOBSTER | {"adapter": "lobster/orderbook"})
    for kind in ("orderbook", "message"):
        save(tmp_path / "lake/raw" / name.format(kind), realdata.data_file(name.format(kind)).read_bytes())
    events, bars = run(tmp_path)
    assert len(events) == 999
    books = []
    for event, book in zip(events, realdata.lobster_books(), strict=True):
        sides = [tuple((Decimal(str(p)), Decimal(s)) for p, s in book[side][:1]) for side in ("bids", "asks")]
        books.append(Book(event["ts"], *sides))  # type: ignore[arg-type]
    check_ofi(bars, quoted(books))
    assert_same(bars, keys(expected_bars(events, quoted(books))))


MBO: dict[str, Any] = {"pattern": "{symbol}_{date}.*", "exchange": "nasdaq"}


def records(events: Sequence[Row]) -> list[Order]:
    """MBO of events: an execution is T, F and C or, of every other one, M."""
    made = [Order(START - 10, START - S, 2, 38, "R", "N", None, 0, 1, 0, SNAPSHOT | LAST, 10, 1)]
    left: dict[int, int] = {}
    for number, event in enumerate(events):
        side, price = "B" if event["side"] == 1 else "A", Decimal(event["price"]) / 100
        other, order_id, size = "A" if side == "B" else "B", event["order_id"], event["size"]
        rows = {
            "add": [("A", side, order_id, size)],
            "cancel": [("C", side, order_id, size)],
            "modify": [("M", side, order_id, size)],
            "hidden": [("T", other, 0, size)],
        }
        rest = left.get(order_id, 0) - size
        last = ("M", side, order_id, rest) if rest > 0 and number % 2 else ("C", side, order_id, size)
        rows["trade"] = [("T", other, 0, size), ("F", side, order_id, size), last]
        left[order_id] = size if event["type"] in ("add", "modify") else rest
        for k, (action, of, order, shares) in enumerate(rows[event["type"]]):
            flags = LAST if k == len(rows[event["type"]]) - 1 else 0
            at = event["ts"]
            made.append(Order(at + 150, at, 2, 38, action, of, price, shares, 1, order, flags, 10, number + 2))
    return made


@pytest.mark.slow
def test_databento(tmp_path: Path) -> None:
    pairs = list(simulated(3, 300, modifies=True))
    project(tmp_path, MBO | {"adapter": "databento/orders"}, MBO | {"adapter": "databento/mbo"}, made="book_mbo")
    save(tmp_path / f"lake/raw/AAPL_{DAY}.csv", databento.table(records([event for event, _ in pairs]), "mbo"))
    events, bars = run(tmp_path)
    wanted = as_events([event for event, _ in pairs])
    names = ("ts", "type", "side", "price", "size")
    assert [{name: row[name] for name in names} for row in events] == [
        {name: row[name] for name in names} for row in wanted
    ]
    assert {row["type"] for row in events} == {"add", "cancel", "modify", "trade", "hidden"}
    books = sorted(table_rows(published(tmp_path / "lake/out/book")), key=lambda row: row["seq"])
    valid = [row | {"mid_price": row["bid_price_00"] and row["ask_price_00"]} for row in books]
    assert_same(bars, keys(expected_bars(events, valid)))
    check_ofi(bars, [row | {"mid_price": row["mid_price"] and 1.0} for row in valid])


@pytest.mark.slow
def test_orders_of_a_snapshot_are_no_arrivals(tmp_path: Path) -> None:
    """Their state is known all the same: a modification takes off what they had."""
    rows = [Order(START, START - 7 * S, 2, 38, "R", "N", None, 0, 1, 0, SNAPSHOT, 10, 1)]
    for number, side, price in ((1, "B", 99), (2, "A", 101)):
        rows.append(
            Order(START, START - 7 * S, 2, 38, "A", side, Decimal(price), 50, 1, number, SNAPSHOT | LAST, 10, 1)
        )
    rows.append(Order(START + S, START + S, 2, 38, "M", "B", Decimal(99), 20, 1, 1, LAST, 10, 2))
    rows.append(Order(START + S, START + S, 2, 38, "M", "B", Decimal(99), 5, 1, 77, LAST, 10, 3))
    project(tmp_path, MBO | {"adapter": "databento/orders"}, MBO | {"adapter": "databento/mbo"}, made="book_mbo")
    save(tmp_path / f"lake/raw/AAPL_{DAY}.csv", databento.table(rows, "mbo"))
    events, bars = run(tmp_path)
    assert [row["is_snapshot"] for row in events] == [True, True, False, False]
    (bar,) = [row for row in table_rows(bars) if row["bar_seconds"] == 1]
    assert (bar["bid_cancel_volume_best"], bar["bid_limit_volume_best"], bar["unplaced_count"]) == (30.0, 0.0, 1)


CHANGES = [
    (0, "created", 1, "bid", 99.0, 5.0),
    (0, "created", 2, "ask", 101.0, 4.0),
    (1, "changed", 1, "bid", 99.0, 3.0),
    (2, "deleted", 1, "bid", 99.0, 0.0),
    (2, "deleted", 2, "ask", 101.0, 4.0),
    (3, "created", 3, "bid", 101.0, 2.0),  # a taker's own order
    (3, "changed", 4, "ask", 101.0, 1.0),  # an order from before the file
    (3, "changed", 4, "ask", 101.0, 6.0),
]
EVENTS = [
    ("add", 1, 1, 99.0, 5.0),
    ("add", 2, -1, 101.0, 4.0),
    ("trade", 1, 1, 99.0, 2.0),
    ("trade", 1, 1, 99.0, 3.0),
    ("cancel", 2, -1, 101.0, 4.0),
    ("add", 3, 1, 101.0, 2.0),
    ("modify", 4, -1, 101.0, 1.0),
    ("modify", 4, -1, 101.0, 6.0),
]


@pytest.mark.slow
def test_bitstamp(tmp_path: Path) -> None:
    """The same orders as messages and as CSV; the takers' own orders have no place in the book."""
    day = dt.datetime.fromisoformat(DAY).replace(tzinfo=dt.UTC)
    at = int(day.timestamp()) * 1000 + 3_600_000
    lines = []
    for second, action, number, side, price, left in CHANGES:
        data = {"id": number, "order_type": 0 if side == "bid" else 1, "amount_str": str(left), "price_str": str(price)}
        times = {"microtimestamp": str((at + 1000 * second) * 1000)}
        message = {"data": data | times, "channel": "live_orders_btcusd", "event": f"order_{action}"}
        lines.append(json.dumps(message))
    columns = ("id", "timestamp", "exchange_timestamp", "price", "volume", "action", "direction")
    cells = [
        (str(number), str(at + 1000 * s + 80), str(at + 1000 * s), str(price), str(left), action, side)
        for s, action, number, side, price, left in CHANGES
    ]
    found = []
    for name, content in (("orders", "\n".join([*lines, ""])), ("orders_csv", Table(columns, tuple(cells)))):
        folder, suffix = tmp_path / name, "ndjson" if name == "orders" else "csv"
        keyed = {"path": "raw/orders", "adapter": f"bitstamp/{name}", "pattern": "{date}.*", "exchange": "bitstamp"}
        keyed |= {"symbol": "btcusd"}
        quotes = {"path": "raw/book", "adapter": "ccxt/orderbook", "pattern": "{date}.*"}
        project(folder, keyed, quotes | {"exchange": "bitstamp", "symbol": "btcusd"})
        book = {"timestamp": at - 500, "bids": [{"price": 99.0, "size": 5}], "asks": [{"price": 101.0, "size": 4}]}
        save(folder / f"lake/raw/book/{DAY}.ndjson", json.dumps(book | {"collected_at": at - 500}) + "\n")
        save(folder / f"lake/raw/orders/{DAY}.{suffix}", content)
        events, bars = run(folder)
        assert [tuple(row[c] for c in ("type", "order_id", "side", "price", "size")) for row in events] == EVENTS
        assert [row["ts"] for row in events] == [(at + 1000 * change[0]) * 10**6 for change in CHANGES]
        found.append(table_rows(bars))
        (bar,) = [row for row in found[-1] if row["bar_seconds"] == 10]
        assert (bar["bid_limit_volume_best"], bar["bid_market_volume_best"]) == (5.0, 5.0)
        # The taker's own order, and one of which nothing was known; then it grows by 5.
        assert (bar["unplaced_count"], bar["ask_limit_volume_best"], bar["ask_cancel_volume_best"]) == (2, 9.0, 4.0)
    assert found[0] == found[1]
