"""Tardis incremental_book_L2: the book after every message, whatever is wrong with the file."""

from __future__ import annotations

import dataclasses
import random
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.kernels.feeds import updates
from tests.oracles.books import Message, level_books
from tests.support.compare import same_tables
from tests.support.engine import published, sqlgen
from tests.support.updates import DEPTH, book_rows, latencies, project, run, tardis_messages
from tests.support.vendors import tardis
from tests.support.vendors.files import save, truncated
from tests.support.vendors.lake import SHELL, market, needs_shell
from tests.support.vendors.rows import MS, Delta, S, deltas
from tests.support.vendors.tables import Table, broken_line, scaled, with_cell, with_columns

DAY = "2026-01-01"
MIDNIGHT = 1_767_225_600 * S
START = MIDNIGHT + 3600 * S
SOURCE = {"adapter": "tardis/incremental_l2", "pattern": "{exchange}_incremental_book_L2_{date}_{symbol}.csv.gz"}


def write(folder: Path, table: Table | str, date: str = DAY) -> Path:
    return save(folder / "lake/raw" / tardis.file_name("binance", "incremental_book_L2", date, "BTCUSDT"), table)


def feed(seed: int, start: int = START, count: int = 60, snapshots: float = 0.05, late: float = 0.2) -> list[Delta]:
    """Messages around 100: some of one local_timestamp, some with older times, now and then a new snapshot."""
    rng = random.Random(seed)
    received, messages = start, []
    for number in range(count):
        received += rng.choice((0, 1, 1, 1, 40)) * MS
        snapshot = number == 0 or rng.random() < snapshots
        bids, asks = (side(rng, sign, 12 if snapshot else rng.randint(0, 3)) for sign in (-1, 1))
        sent = received - (rng.randint(0, 3000) * MS if rng.random() < late else MS)
        messages.append(Delta(sent, snapshot, bids, asks, received))
    return messages


def side(rng: random.Random, sign: int, count: int) -> tuple[tuple[Decimal, Decimal], ...]:
    prices = rng.sample(range(1, 40), count)
    return tuple(
        (100 + sign * Decimal(price) / 4, rng.choice((Decimal(0), Decimal(rng.randint(1, 9999)) / 1000)))
        for price in prices
    )


def table_of(messages: list[Delta]) -> Table:
    return tardis.incremental(messages, "binance", "BTCUSDT")


def expected(table: Table, **output: Any) -> list[dict[str, Any]]:
    return level_books(tardis_messages(table.rows), depth=DEPTH, **output)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_book_after_every_message(seed: int, tmp_path: Path) -> None:
    table = table_of(feed(seed))
    write(tmp_path, table)
    run(project(tmp_path, SOURCE))
    rows = book_rows(tmp_path)
    assert rows == expected(table)
    assert len(rows) > 30
    assert sum(row["feed_reset"] for row in rows) == sum(m.feed_break for m in tardis_messages(table.rows))
    hf = published(tmp_path / "lake/hf")
    assert hf.num_rows == len(rows)
    assert hf["feed_reset"].to_pylist() == [row["feed_reset"] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("interval", [0, 1])
@pytest.mark.parametrize(("clock", "other"), [("exchange", "received_ts"), ("received", "exchange_ts")])
def test_both_times_of_the_last_row(clock: str, other: str, interval: int, tmp_path: Path) -> None:
    """Of the exchange's some are missing, and rows of one message differ in it."""
    table = table_of(feed(11, count=200))
    if clock == "received":
        for number in range(5, len(table.rows), 7):
            table = with_cell(table, number, "timestamp", "")
    write(tmp_path, table)
    run(project(tmp_path, SOURCE | {"clock": clock}, emit_interval=float(interval)))
    told = level_books(tardis_messages(table.rows, clock), depth=DEPTH, interval=interval * S, other_time=other)
    assert book_rows(tmp_path) == told
    assert interval or any(row[other] is None for row in told) == (clock == "received")
    assert published(tmp_path / "lake/hf")["latency_ms"].to_pylist() == latencies(told, other)


def test_what_is_before_the_first_snapshot_belongs_to_no_book(tmp_path: Path) -> None:
    messages = feed(5)
    left = [dataclasses.replace(message, snapshot=False) for message in feed(6, START - 60 * S, 10)]
    table = table_of([*left, *messages])
    write(tmp_path, table)
    run(project(tmp_path, SOURCE), "--select", "book")
    assert book_rows(tmp_path) == expected(table_of(messages))
    assert not book_rows(tmp_path)[0]["feed_reset"]


@pytest.mark.slow
def test_the_levels_are_those_of_book_snapshots_of_the_same_market(tmp_path: Path) -> None:
    books, _ = market(7, START, 300, levels=30)
    books = [book for book in books if book.bids or book.asks]
    write(tmp_path, table_of(deltas(books)))
    name = tardis.file_name("binance", "book_snapshot_25", DAY, "BTCUSDT")
    save(tmp_path / "lake/snapshots" / name, tardis.book_snapshot(books, 25, "binance", "BTCUSDT"))
    path = project(tmp_path, SOURCE)
    config = yaml.safe_load(path.read_text())
    pattern = "{exchange}_book_snapshot_25_{date}_{symbol}.csv.gz"
    config["sources"]["snapshots"] = {"path": "snapshots", "adapter": "tardis/book_snapshot_25", "pattern": pattern}
    config["models"]["of_snapshots"] = config["models"]["hf"] | {
        "inputs": {"orderbook": "snapshots"},
        "options": {"max_levels": DEPTH},
        "output": {"path": "of_snapshots"},
    }
    path.write_text(yaml.safe_dump(config))
    run(path)
    ours = published(tmp_path / "lake/hf")
    same_tables(ours.drop_columns(["feed_reset"]), published(tmp_path / "lake/of_snapshots"))
    assert ours.num_rows == len(books)
    assert not any(ours["feed_reset"].to_pylist())


# --- What cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_a_line_that_cannot_be_read_breaks_the_feed(seed: int, tmp_path: Path) -> None:
    """At any place: within a message, between two, within a snapshot; and it is quarantined."""
    rng = random.Random(seed)
    table = table_of(feed(seed + 20, snapshots=0.15))
    for _ in range(3):
        table = broken_line(table, rng.randrange(len(table.rows)), rng.choice(("binance,BTCUSDT,17", 'x"', ",,,,,,,x")))
    write(tmp_path, table)
    outcome = run(project(tmp_path, SOURCE), "--select", "book")
    assert book_rows(tmp_path) == expected(table)
    quarantined = published(tmp_path / "lake/book_quarantine").to_pylist()
    lines = [number for number, row in enumerate(table.rows, 2) if isinstance(row, str)]
    assert [row["line"] for row in quarantined] == lines
    assert {row["check_name"] for row in quarantined} == {"readable"}
    assert f"readable of updates: {len(lines)} quarantined" in outcome.out


CELLS = [("side", "buy"), ("side", ""), ("price", ""), ("amount", ""), ("is_snapshot", ""), ("local_timestamp", "")]


@pytest.mark.parametrize(("column", "value"), [*CELLS, ("timestamp", ""), ("timestamp", "7")])
def test_a_value_that_is_missing_breaks_the_feed(column: str, value: str, tmp_path: Path) -> None:
    table = table_of(feed(9, snapshots=0.1))
    changed = with_cell(table, 80, column, value)
    write(tmp_path, changed)
    run(project(tmp_path, SOURCE), "--select", "book")
    row_lost = column in ("is_snapshot", "local_timestamp", "timestamp")
    lines: Any = (*changed.rows[:80], "lost", *changed.rows[81:]) if row_lost else changed.rows
    rows = book_rows(tmp_path)
    assert rows == level_books(tardis_messages(lines), depth=DEPTH)
    assert len(rows) < len(expected(table))
    told = (tmp_path / "lake/book_quarantine").exists()
    assert told == (column == "timestamp")
    if told:
        [row] = published(tmp_path / "lake/book_quarantine").to_pylist()
        assert row["check_name"] == "not_null(ts)"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_empty_lines_are_no_rows(newline: str, tmp_path: Path) -> None:
    table = broken_line(broken_line(table_of(feed(10)), 40, "bad"), 90, "bad,bad")
    lines = dataclasses.replace(table, newline=newline).text().splitlines(keepends=True)
    for at in (120, 60, 30, 1):
        lines.insert(at, newline)
    write(tmp_path, "".join(lines))
    run(project(tmp_path, SOURCE), "--select", "book")
    assert book_rows(tmp_path) == expected(table)


def test_columns_in_another_order_and_more_of_them(tmp_path: Path) -> None:
    table = table_of(feed(11))
    names = ["price", "more", *[name for name in reversed(table.columns) if name != "price"]]
    write(tmp_path, with_columns(table, names))
    run(project(tmp_path, SOURCE), "--select", "book")
    assert book_rows(tmp_path) == expected(table)


def test_times_in_another_unit_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, scaled(table_of(feed(1)), ["timestamp", "local_timestamp"], -1000))
    outcome = sqlgen("run", project(tmp_path, SOURCE), "--select", "book")
    assert outcome.code == 1
    assert "is not in us since 1970 but in ms" in outcome.out
    assert not (tmp_path / "lake/book").exists()


def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    truncated(write(tmp_path, table_of(feed(1, count=500))))
    outcome = sqlgen("run", project(tmp_path, SOURCE), "--select", "book")
    assert outcome.code == 1
    assert "Fetch it again" in " ".join(outcome.out.split())


# --- Days ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_midnight(tmp_path: Path) -> None:
    """A day's file begins with a snapshot, and with messages that were sent on the day before."""
    days = {DAY: feed(12, MIDNIGHT + 86_400 * S - 700 * MS, 50, 0.0), "2026-01-02": feed(13, MIDNIGHT + 86_400 * S, 50)}
    for date, messages in days.items():
        write(tmp_path / "a", table_of(messages), date)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    run(project(tmp_path / "a", SOURCE))
    for date in days:
        run(project(tmp_path / "b", SOURCE), "--start", date, "--end", date)
    for model in ("book", "hf"):
        same_tables(published(tmp_path / "a/lake" / model), published(tmp_path / "b/lake" / model))
    feeds = [tardis_messages(table_of(messages).rows) for messages in days.values()]
    table = published(tmp_path / "a/lake/book")
    by_day = [
        table.filter(row) for row in ([d.isoformat() == date for d in table["date"].to_pylist()] for date in days)
    ]
    assert sum(part.num_rows for part in by_day) == table.num_rows
    rows = book_rows(tmp_path / "a")
    assert sorted(rows, key=repr) == sorted(level_books([m for part in feeds for m in part], depth=DEPTH), key=repr)


def test_a_break_at_the_end_of_a_day_is_known_on_the_next(tmp_path: Path) -> None:
    first, second = table_of(feed(14)), table_of(feed(15, START + 86_400 * S))
    write(tmp_path, broken_line(first, len(first.rows), "cut"))
    write(tmp_path, second, "2026-01-02")
    run(project(tmp_path, SOURCE), "--select", "book")
    lines = [*first.rows, "cut"]
    both = [*tardis_messages(lines), *tardis_messages(second.rows)]
    rows = book_rows(tmp_path)
    assert rows == level_books(both, depth=DEPTH)
    assert next(row["feed_reset"] for row in rows if row["ts"] > START + 43_200 * S)


# --- Compiled --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_shell
def test_the_shell_reads_what_goes_into_the_kernel(tmp_path: Path) -> None:
    table = table_of(feed(16))
    write(tmp_path, table)
    outcome = sqlgen("compile", project(tmp_path, SOURCE))
    assert outcome.code == 0, outcome.err
    views, _, _ = (tmp_path / "target/compiled/book.sql").read_text().partition("-- kernel ")
    columns = "side, price, size, is_snapshot, feed_break, message_end, first_id, last_id, prev_id"
    script = f"{views}COPY (SELECT epoch_ns(ts) AS ts, {columns} FROM kernel_input ORDER BY seq) TO 'input.parquet';"
    command = [str(SHELL), "-bail", "-init", "/dev/null"]
    done = subprocess.run(command, input=script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    messages: list[Message] = tardis_messages(table.rows)
    found = pq.read_table(tmp_path / "input.parquet").to_pylist()
    wanted = updates(messages)
    # Flags of a message count on its first row, its time on its last.
    begins = [True, *(row["message_end"] for row in wanted[:-1])]
    for row, want, first in zip(found, wanted, begins, strict=True):
        named = {"side", "price", "size", "message_end", "last_id"}
        named |= {"is_snapshot", "feed_break"} if first else set()
        named |= {"ts"} if want["message_end"] else set()
        assert {name: row[name] for name in named} == {name: want[name] for name in named}


# --- Venues that send snapshots only ----------------------------------------------------------------------------------


def whole_books(table: Table) -> list[Message]:
    """A message is what has one local_timestamp, and all of the book."""
    by_arrival: dict[str, list[tuple[str, ...]]] = {}
    for row in table.rows:
        assert not isinstance(row, str)
        by_arrival.setdefault(row[3], []).append(row)
    latest, found = 0, []
    for rows in by_arrival.values():
        latest = max(latest, *(int(row[2]) * 1000 for row in rows))
        levels = tuple((1 if row[5] == "bid" else -1, float(row[6]), float(row[7])) for row in rows)
        found.append(Message(latest, levels, snapshot=True))
    return found


def test_where_every_row_is_a_snapshot_each_message_is_a_whole_book(tmp_path: Path) -> None:
    """As Bitget's: no level of a message stays in the next one, and that a book is replaced is no break."""
    table = table_of(feed(31, snapshots=1.0, late=0.0))
    assert {row[4] for row in table.rows} == {"true"}
    write(tmp_path, table)
    run(project(tmp_path, SOURCE), "--select", "book")
    rows = book_rows(tmp_path)
    assert rows == level_books(whole_books(table), depth=DEPTH)
    assert len(rows) > 30
    assert max(row["bid_levels"] for row in rows) <= 24  # two messages of twelve levels may share a time
    assert not any(row["feed_reset"] for row in rows)


def test_a_file_without_a_snapshot_is_told(tmp_path: Path) -> None:
    left = [dataclasses.replace(message, snapshot=False) for message in feed(6, count=10)]
    table = table_of(left)
    write(tmp_path, table)
    outcome = run(project(tmp_path, SOURCE), "--select", "book")
    changes = len({row[3] for row in table.rows})
    assert f"no snapshot: {changes} changes waited for one" in outcome.out + outcome.err
    assert not list((tmp_path / "lake/book").rglob("*.parquet"))
