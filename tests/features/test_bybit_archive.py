"""Bybit's archive as it is downloaded, and messages of feeds that cannot be read."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.features.test_tardis_updates import feed
from tests.oracles.books import Message, level_books
from tests.support.compare import same_tables
from tests.support.engine import published, sqlgen
from tests.support.feeds import (
    binance_line,
    bybit_archive,
    bybit_line,
    bybit_messages,
    coinbase_line,
    write_lines,
    write_project,
)
from tests.support.realdata import data_file
from tests.support.updates import book_rows, project, run
from tests.support.vendors import bybit
from tests.support.vendors.files import save, truncated, with_broken_line
from tests.support.vendors.rows import MS, S

SOURCE = {"adapter": "bybit/orderbook", "pattern": "{date}_{symbol}_ob*.data.zip", "exchange": "bybit"}
DAY = "2026-01-01"
MIDNIGHT = 1_767_225_600 * S
LOST: Any = (0, None, None)


@pytest.mark.slow
def test_the_archive_as_it_is_downloaded(tmp_path: Path) -> None:
    name = "2024-12-01_XRPUSDT_ob500.data.zip"
    (tmp_path / "lake/raw").mkdir(parents=True)
    shutil.copy(data_file(f"bybit_{name}"), tmp_path / "lake/raw" / name)
    run(project(tmp_path, SOURCE, max_levels=50))
    assert book_rows(tmp_path) == level_books(bybit_messages(bybit_archive()), depth=50)
    table = published(tmp_path / "lake/hf")
    keys = [set(map(str, table[key].to_pylist())) for key in ("exchange", "symbol", "date")]
    assert keys == [{"bybit"}, {"XRPUSDT"}, {"2024-12-01"}]
    assert table.num_rows == 50


def archive(folder: Path, date: str, seed: int, start: int, change: Callable[[str], str] = str) -> list[Message]:
    """One day of the archive; what its messages say."""
    lines = bybit.messages(feed(seed, start, 80), "BTCUSDT", 500)
    text = change(bybit.text(lines))
    save(folder / "lake/raw" / bybit.file_name(date, "BTCUSDT", 500), text)
    latest, messages = 0, []
    for message in bybit_messages(json.loads(line) for line in text.splitlines() if line.endswith("}")):
        latest = max(latest, message.ts)
        messages.append(Message(latest, message.levels, message.snapshot, False, message.first, message.last))
    return messages


@pytest.mark.slow
def test_days_of_the_archive(tmp_path: Path) -> None:
    days = {DAY: MIDNIGHT, "2026-01-02": MIDNIGHT + 86_400 * S + 5 * S}
    messages = [archive(tmp_path / "a", date, seed, start) for seed, (date, start) in enumerate(days.items())]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    run(project(tmp_path / "a", SOURCE))
    for date in days:
        run(project(tmp_path / "b", SOURCE), "--start", date, "--end", date)
    same_tables(published(tmp_path / "a/lake/book"), published(tmp_path / "b/lake/book"))
    expected = level_books([m for part in messages for m in part], depth=25)
    key = lambda row: (row["ts"], repr(row))  # noqa: E731 - a few messages of the second day were made before midnight
    assert sorted(book_rows(tmp_path / "a"), key=key) == sorted(expected, key=key)


@pytest.mark.parametrize("at", [1, 17, 79])
def test_a_broken_line_of_the_archive_is_a_gap(at: int, tmp_path: Path) -> None:
    """What the line said is missing: `u` tells."""

    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        return "".join([*lines[:at], lines[at][:40] + "\r\n", *lines[at + 1 :]])

    messages = archive(tmp_path, DAY, 3, MIDNIGHT, change)
    assert len(messages) == 79
    outcome = run(project(tmp_path, SOURCE), "--select", "book")
    assert book_rows(tmp_path) == level_books(messages, depth=25)
    assert "readable of updates: 1 quarantined" in outcome.out
    assert "not_null" not in outcome.out


def test_one_more_line_is_no_gap(tmp_path: Path) -> None:
    messages = archive(tmp_path, DAY, 4, MIDNIGHT, lambda text: with_broken_line(text, 20))
    run(project(tmp_path, SOURCE), "--select", "book")
    assert book_rows(tmp_path) == level_books(messages, depth=25)
    assert len(messages) == 80


def test_an_archive_that_is_cut_off(tmp_path: Path) -> None:
    archive(tmp_path, DAY, 5, MIDNIGHT)
    truncated(tmp_path / "lake/raw" / bybit.file_name(DAY, "BTCUSDT", 500))
    outcome = sqlgen("run", project(tmp_path, SOURCE), "--select", "book")
    assert outcome.code == 1
    assert "cannot be unpacked" in outcome.out
    assert "Fetch it again" in " ".join(outcome.out.split())


# --- Messages of which something cannot be read ----------------------------------------------------------------------

BASE = ((1, 100.25, 1.0), (1, 100.0, 2.5), (-1, 100.5, 3.0))
NOON = MIDNIGHT + 43_200 * S


def numbered(count: int = 30) -> list[Message]:
    """A snapshot every ten messages."""
    rng = random.Random(1)
    messages = []
    for i in range(1, count):
        change = ((1, 100.0 - rng.randint(0, 9) / 4, float(rng.randint(0, 5))),)
        messages.append(Message(NOON + i * S, BASE if i % 10 == 1 else change, i % 10 == 1, False, i, i))
    return messages


def seeded() -> list[Message]:
    """The same, with snapshots from outside."""
    return [Message(m.ts, m.levels, m.snapshot, last=m.last) if m.snapshot else m for m in numbered()]


SPOIL: dict[str, Callable[[dict[str, Any]], Any]] = {
    "bybit/orderbook price": lambda line: line["data"]["b"][0].__setitem__(0, "x"),
    "bybit/orderbook short": lambda line: line["data"]["b"][0].pop(),
    "bybit/orderbook side": lambda line: line["data"].__setitem__("a", "none"),
    "bybit/orderbook id": lambda line: line["data"].__setitem__("u", "none"),
    "binance/depth_spot price": lambda line: line["b"][0].__setitem__(0, "x"),
    "binance/depth_spot size": lambda line: line["b"][0].__setitem__(1, None),
    "binance/depth_spot side": lambda line: line.pop("a"),
    "binance/depth_spot id": lambda line: line.__setitem__("u", "x"),
    "coinbase/level2 price": lambda line: line["events"][0]["updates"][0].__setitem__("price_level", "x"),
    "coinbase/level2 side": lambda line: line["events"][0]["updates"][0].__setitem__("side", "?"),
    "coinbase/level2 updates": lambda line: line["events"][0].__setitem__("updates", 5),
    "coinbase/level2 events": lambda line: line.__setitem__("events", 5),
    "coinbase/level2 time": lambda line: line.pop("timestamp"),
}


@pytest.mark.parametrize("case", SPOIL)
def test_a_message_that_cannot_be_read_breaks_the_feed(case: str, tmp_path: Path) -> None:
    adapter = case.split()[0]
    messages = seeded() if adapter.startswith("binance") else numbered()
    if adapter.startswith("bybit"):
        lines = [bybit_line(message) for message in messages]
    elif adapter.startswith("binance"):
        lines = [binance_line(message) for message in messages]
    else:
        lines = [coinbase_line(message, 7) for message in messages]
        messages = [Message(m.ts, m.levels, m.snapshot) for m in messages]
    SPOIL[case](lines[4])
    spoilt = messages[4]
    ids = (None, None) if case.endswith(" id") else (spoilt.first, spoilt.last)
    ts = messages[3].ts if case.endswith(" time") else spoilt.ts
    messages[4] = Message(ts, (*spoilt.levels, LOST), False, False, *ids)
    write_lines(tmp_path / "lake", "updates", DAY, lines)
    run(write_project(tmp_path, adapter, {"max_levels": 25}), "--select", "book")
    rows = book_rows(tmp_path)
    assert rows == level_books(messages, depth=25)
    before = 3 if adapter.startswith("binance") else 4
    assert [row["feed_reset"] for row in rows].index(True) == before


@pytest.mark.slow
@pytest.mark.parametrize("sequence", [False, True])
def test_a_broken_line_of_coinbase(sequence: bool, tmp_path: Path) -> None:
    """It may have been a change, whether numbers tell that something is missing or not."""
    messages = numbered()
    lines = [json.dumps(coinbase_line(message, number + 1)) for number, message in enumerate(messages)]
    lines[4] = lines[4][:50]
    folder = tmp_path / f"lake/raw/updates/exchange=x/symbol=BTC-USDT/date={DAY}"
    folder.mkdir(parents=True)
    (folder / "a.ndjson").write_text("".join(f"{line}\n" for line in lines))
    options = {"max_levels": 25, "check_sequence": sequence}
    outcome = run(write_project(tmp_path, "coinbase/level2", options), "--select", "book")
    messages = [Message(m.ts, m.levels, m.snapshot) for m in messages]
    messages[4] = Message(messages[3].ts, (LOST,))
    assert book_rows(tmp_path) == level_books(messages, depth=25)
    assert "readable of updates: 1 quarantined" in outcome.out
    assert "not_null" not in outcome.out


UNITS = {
    "bybit/orderbook": (bybit_line, "cts", 1000, "is not in ms since 1970 but in us"),
    "binance/depth_spot": (binance_line, "E", 1000, "is not in ms since 1970 but in us"),
    "binance/depth_futures": (binance_line, "E", -1000, "is not in ms since 1970 but in s"),
}


@pytest.mark.parametrize("adapter", UNITS)
def test_times_in_another_unit_are_an_error(adapter: str, tmp_path: Path) -> None:
    line_of, key, factor, said = UNITS[adapter]
    lines = [line_of(message) for message in numbered()]
    for line in lines:
        line[key] = line[key] * factor if factor > 0 else line[key] // -factor
    write_lines(tmp_path / "lake", "updates", DAY, lines)
    outcome = sqlgen("run", write_project(tmp_path, adapter, {}), "--select", "book")
    assert outcome.code == 1
    assert said in " ".join(outcome.out.split())


def test_times_of_bybit_are_in_milliseconds(tmp_path: Path) -> None:
    """To the millisecond, as they come."""
    [message] = archive(tmp_path, DAY, 6, MIDNIGHT)[:1]
    run(project(tmp_path, SOURCE), "--select", "book")
    assert book_rows(tmp_path)[0]["ts"] == message.ts
    assert message.ts % MS == 0
