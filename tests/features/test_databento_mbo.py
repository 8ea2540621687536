"""Databento MBO: the book after every event in every form of a file, through `sqlgen run`."""

from __future__ import annotations

import dataclasses
import itertools
import random
import subprocess
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.oracles.books import Event, order_books
from tests.support.compare import same_tables
from tests.support.engine import published, sqlgen
from tests.support.updates import DEPTH, book_rows, latencies, project, run
from tests.support.vendors import databento
from tests.support.vendors.databento import BAD_TS_RECV, LAST, MAYBE_BAD_BOOK, SNAPSHOT, Order
from tests.support.vendors.files import save
from tests.support.vendors.lake import SHELL, needs_shell
from tests.support.vendors.rows import S
from tests.support.vendors.tables import Table, broken_line, scaled, with_cell

pytestmark = pytest.mark.slow

dbn = pytest.importorskip("tests.support.vendors.dbn")

DAY = "2024-10-21"
MIDNIGHT = 1_729_468_800 * S
NAMED: dict[str, Any] = {"adapter": "databento/mbo", "pattern": "{symbol}_{date}.*", "exchange": "nasdaq"}
IDS = [1, 2**32 + 1, 2**53 + 1, 2**53 + 2, 2**63 - 1, 2**63 + 1, 2**64 - 1, 2**64 - 2]


def orders(seed: int, count: int = 120, start: int = MIDNIGHT) -> list[Order]:
    """A snapshot whose orders are older than the day, then events of several records, with gaps and clearings."""
    rng = random.Random(seed)
    made = [order(start, "R", flags=SNAPSHOT | BAD_TS_RECV, sent=start - 7 * S)]
    old = SNAPSHOT | BAD_TS_RECV
    made += [priced(rng, start, "A", number, old, sent=start - rng.randint(1, 10**6) * S) for number in IDS[:4]]
    made[-1] = dataclasses.replace(made[-1], flags=made[-1].flags | LAST)
    ts = start + S
    for _ in range(count):
        ts += rng.choice((0, 1, 999, S // 7))
        last = LAST if rng.random() < 0.7 else 0
        action = rng.choice("AAAAACCMMTFN" * 4 + "R")
        if action == "R":
            made.append(order(ts, "R", flags=last | rng.choice((0, SNAPSHOT))))
        else:
            gap = MAYBE_BAD_BOOK if rng.random() < 0.01 else 0
            made.append(priced(rng, ts - rng.choice((0, 0, 5)), action, rng.choice(IDS), last | gap))
    return [dataclasses.replace(row, sequence=number + 1) for number, row in enumerate(made)]


def order(ts: int, action: str, flags: int, sent: int | None = None) -> Order:
    return Order(ts + 150, ts if sent is None else sent, 2, 38, action, "N", None, 0, 1, 0, flags, 10, 0)


def priced(rng: random.Random, ts: int, action: str, number: int, flags: int, sent: int | None = None) -> Order:
    side = rng.choice("BA")
    price = Decimal(23_400 + (-1 if side == "B" else 1) * rng.randint(-2, 40)) / 100
    row = order(ts, action, flags, sent)
    return dataclasses.replace(row, side=side, price=price, size=rng.randint(1, 300), order_id=number)


def events(rows: Sequence[Order | None], clock: str = "") -> list[Event]:
    """What the records say; None: one that cannot be read. The orders of a snapshot are older than it."""
    latest, found = MIDNIGHT, []
    for row in rows:
        if row is None:
            found.append(Event(latest, "N", flags=MAYBE_BAD_BOOK))
            continue
        sent = None if row.flags & SNAPSHOT else row.ts_event
        own, other = (row.ts_recv, sent) if clock == "received" else (sent or row.ts_recv, row.ts_recv)
        latest = max(latest, own)
        price = None if row.price is None else float(row.price)
        side = {"B": 1, "A": -1, "N": None}[row.side]
        found.append(
            Event(latest, row.action, side, row.order_id, price, float(row.size), row.flags, other if clock else None)
        )
    return found


def csv(prices: databento.Prices, raw_times: bool) -> Callable[[list[Order]], Any]:
    return lambda rows: databento.table(rows, "mbo", prices=prices, raw_times=raw_times)


def parquet(integers: bool) -> Callable[[list[Order]], Any]:
    def content(rows: list[Order]) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(databento.arrow(rows, "mbo", integers=integers), sink)
        return sink.getvalue().to_pybytes()

    return content


def binary(version: int) -> Callable[[list[Order]], Any]:
    return lambda rows: dbn.encode(rows, "mbo", {38: "AAPL"}, version=version)


VARIANTS: dict[str, tuple[str, Callable[[list[Order]], Any]]] = {
    "pretty": ("csv", csv("pretty", False)),
    "raw": ("csv.zst", csv("raw", True)),
    "data frame": ("csv.gz", csv("float", False)),
    "parquet": ("parquet", parquet(False)),
    "parquet of integers": ("parquet", parquet(True)),
    "dbn 1": ("dbn", binary(1)),
    "dbn 3": ("dbn.zst", binary(3)),
}


def write(folder: Path, rows: list[Order], variant: str = "pretty", day: str = DAY) -> Path:
    suffix, content = VARIANTS[variant]
    return save(folder / f"lake/raw/AAPL_{day}.{suffix}", content(rows))


def mbo(folder: Path, source: dict[str, Any] = NAMED, **options: Any) -> Path:
    return project(folder, source, "book_mbo", **options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_book_after_every_event(variant: str, tmp_path: Path) -> None:
    """And features of it, of one of the forms."""
    rows = orders(1)
    write(tmp_path, rows, variant)
    run(mbo(tmp_path, crossed_books="emit"), *([] if variant == "pretty" else ["--select", "book"]))
    found = book_rows(tmp_path)
    assert found == order_books(events(rows), depth=DEPTH, hold=False)
    assert len(found) > 50
    assert found[0]["ts"] == MIDNIGHT + 150
    assert variant != "pretty" or published(tmp_path / "lake/hf").num_rows == len(found)


@pytest.mark.parametrize("seed", range(2, 7))
def test_random_feeds(seed: int, tmp_path: Path) -> None:
    rows = orders(seed, 400)
    write(tmp_path, rows, "raw")
    run(mbo(tmp_path), "--select", "book")
    assert book_rows(tmp_path) == order_books(events(rows), depth=DEPTH)


@pytest.mark.parametrize("variant", ["pretty", "parquet", "dbn 3"])
def test_keys_may_stand_in_the_rows(variant: str, tmp_path: Path) -> None:
    """The orders of a snapshot are older than the day to which the snapshot belongs."""
    rows = orders(8, 50)
    write(tmp_path, rows, variant)
    run(mbo(tmp_path, {"adapter": "databento/mbo", "pattern": "**/*", "exchange": "nasdaq"}), "--select", "book")
    table = published(tmp_path / "lake/book")
    assert {str(date) for date in table["date"].to_pylist()} == {DAY}
    assert set(table["symbol"].to_pylist()) == {"AAPL"}
    assert book_rows(tmp_path) == order_books(events(rows), depth=DEPTH)


def test_a_line_of_which_the_key_is_not_known_breaks_no_book(tmp_path: Path) -> None:
    rows = orders(8, 50)
    save(tmp_path / "lake/raw/all.csv", broken_line(databento.table(rows, "mbo"), 30))
    outcome = run(mbo(tmp_path, {"adapter": "databento/mbo", "pattern": "*", "exchange": "nasdaq"}), "--select", "book")
    assert book_rows(tmp_path) == order_books(events(rows), depth=DEPTH)
    assert "readable of updates: 1 quarantined" in outcome.out


@pytest.mark.parametrize("variant", ["raw", "parquet"])
@pytest.mark.parametrize(("clock", "other"), [("exchange", "received_ts"), ("received", "exchange_ts")])
def test_both_times_of_the_last_record(clock: str, other: str, variant: str, tmp_path: Path) -> None:
    rows = orders(12, 300)
    write(tmp_path, rows, variant)
    run(mbo(tmp_path, NAMED | {"clock": clock}, emit_interval=1.0 if variant == "raw" else 0))
    told = order_books(events(rows, clock), depth=DEPTH, interval=S if variant == "raw" else 0, other_time=other)
    assert book_rows(tmp_path) == told
    assert len(told) > 10
    assert [row[other] is None for row in told[:2]] == [clock == "received", False]
    assert published(tmp_path / "lake/hf")["latency_ms"].to_pylist() == latencies(told, other)


# --- What cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_a_line_that_cannot_be_read_breaks_the_feed(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    rows: list[Order | None] = [*orders(seed + 30)]
    table = databento.table([row for row in rows if row is not None], "mbo")
    for _ in range(2):
        at = rng.randrange(len(rows))
        rows.insert(at, None)
        table = broken_line(table, at)
    save(tmp_path / f"lake/raw/AAPL_{DAY}.csv", table)
    outcome = run(mbo(tmp_path), "--select", "book")
    assert book_rows(tmp_path) == order_books(events(rows), depth=DEPTH)
    assert "readable of updates: 2 quarantined" in outcome.out


CELLS = [("price", "2 33.5"), ("price", "none"), ("size", ""), ("order_id", ""), ("flags", ""), ("action", "X")]


@pytest.mark.parametrize(("column", "value"), [*CELLS, ("side", "?"), ("action", "")])
def test_a_value_that_cannot_be_read_breaks_the_feed(column: str, value: str, tmp_path: Path) -> None:
    rows: list[Order | None] = [*orders(9)]
    at = next(i for i, row in enumerate(rows) if i > 40 and row is not None and row.action == "A")
    table = with_cell(databento.table([row for row in rows if row is not None], "mbo"), at, column, value)
    rows[at] = None
    save(tmp_path / f"lake/raw/AAPL_{DAY}.csv", table)
    run(mbo(tmp_path), "--select", "book")
    assert book_rows(tmp_path) == order_books(events(rows), depth=DEPTH)


def test_a_record_without_any_time(tmp_path: Path) -> None:
    rows: list[Order | None] = [*orders(10)]
    table = databento.table([row for row in rows if row is not None], "mbo")
    for column in ("ts_event", "ts_recv"):
        table = with_cell(table, 60, column, "")
    rows[60] = None
    save(tmp_path / f"lake/raw/AAPL_{DAY}.csv", table)
    outcome = run(mbo(tmp_path), "--select", "book")
    assert book_rows(tmp_path) == order_books(events(rows), depth=DEPTH)
    assert "not_null(ts) of updates: 1 quarantined" in outcome.out


def test_times_in_another_unit_are_an_error(tmp_path: Path) -> None:
    table = scaled(databento.table(orders(1), "mbo", raw_times=True), ["ts_event", "ts_recv"], -1000)
    save(tmp_path / f"lake/raw/AAPL_{DAY}.csv", table)
    outcome = sqlgen("run", mbo(tmp_path), "--select", "book")
    assert outcome.code == 1
    assert "is not in ns since 1970 but in us" in outcome.out


# --- Venues, days, the shell -----------------------------------------------------------------------------------------


def two_venues() -> tuple[list[Order], Table]:
    """The same ids at both."""
    ours = orders(11)
    other = [dataclasses.replace(row, publisher_id=3) for row in orders(12)]
    both = sorted([*ours, *other], key=lambda row: row.ts_recv)
    return ours, databento.table(both, "mbo")


def test_one_venue_of_several(tmp_path: Path) -> None:
    ours, table = two_venues()
    save(tmp_path / f"lake/raw/AAPL_{DAY}.csv", table)
    outcome = sqlgen("run", mbo(tmp_path), "--select", "book")
    assert outcome.code == 1
    assert "records of publishers 2, 3 for one book" in outcome.out
    run(mbo(tmp_path, NAMED | {"options": {"publisher_id": 2}}), "--select", "book")
    ours = sorted(ours, key=lambda row: row.ts_recv)
    assert book_rows(tmp_path) == order_books(events(ours), depth=DEPTH)


def test_orders_stay_over_midnight(tmp_path: Path) -> None:
    first = orders(13)
    next_day = MIDNIGHT + 86_400 * S
    rng = random.Random(13)
    second = [priced(rng, next_day + i * S, rng.choice("ACM"), rng.choice(IDS), LAST) for i in range(60)]
    for folder in ("a", "b"):
        write(tmp_path / folder, first, "dbn 3")
        write(tmp_path / folder, second, "dbn 3", "2024-10-22")
    run(mbo(tmp_path / "a"))
    for date in (DAY, "2024-10-22"):
        run(mbo(tmp_path / "b"), "--start", date, "--end", date)
    for model in ("book", "hf"):
        same_tables(published(tmp_path / "a/lake" / model), published(tmp_path / "b/lake" / model))
    assert book_rows(tmp_path / "a") == order_books(events([*first, *second]), depth=DEPTH)


@needs_shell
@pytest.mark.parametrize("variant", ["pretty", "raw", "parquet of integers"])
def test_the_shell_reads_what_goes_into_the_kernel(variant: str, tmp_path: Path) -> None:
    rows = orders(14)
    write(tmp_path, rows, variant)
    outcome = sqlgen("compile", mbo(tmp_path))
    assert outcome.code == 0, outcome.err
    views, _, _ = (tmp_path / "target/compiled/book.sql").read_text().partition("-- kernel ")
    columns = "chr(action), side, order_id, price, size, flags"
    script = f"{views}COPY (SELECT epoch_ns(ts), {columns} FROM kernel_input ORDER BY seq) TO 'input.parquet';"
    command = [str(SHELL), "-bail", "-init", "/dev/null"]
    done = subprocess.run(command, input=script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = [Event(*row.values()) for row in pq.read_table(tmp_path / "input.parquet").to_pylist()]
    assert found == events(rows)


def test_trades_of_the_same_records_belong_to_the_row_of_their_event(tmp_path: Path) -> None:
    rows = [row for row in orders(3, count=600) if row.flags & MAYBE_BAD_BOOK == 0]
    latest = itertools.accumulate((row.ts_recv if row.flags & SNAPSHOT else row.ts_event for row in rows), max)
    rows = [
        row if row.flags & SNAPSHOT else dataclasses.replace(row, ts_event=ts)
        for row, ts in zip(rows, latest, strict=True)
    ]
    write(tmp_path, rows)
    path = mbo(tmp_path, crossed_books="emit")
    config = yaml.safe_load(path.read_text())
    config["sources"]["trades"] = {"path": "raw", **NAMED, "adapter": "databento/trades"}
    config["models"]["hf"] |= {"inputs": {"orderbook": "book", "trades": "trades"}, "udfs": ["tfi"]}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    run(path)
    hf = published(tmp_path / "lake/hf").select(["ts", "seq", "feed_reset", "trade_volume"])
    table = hf.set_column(0, "ts", hf["ts"].cast(pa.int64())).to_pylist()
    assert all(rows[row["seq"]].flags & LAST for row in table)
    tied = 0
    for before, row in itertools.pairwise(table):
        since = rows[before["seq"] + 1 : row["seq"] + 1]
        traded = [order for order in since if order.action == "T" and order.price is not None and order.price > 0]
        assert row["trade_volume"] == (None if row["feed_reset"] else sum(order.size for order in traded)), row["seq"]
        tied += bool(traded) and before["ts"] == row["ts"]
    assert tied > 2
