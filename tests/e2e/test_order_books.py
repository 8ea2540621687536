"""Order books from incremental feeds, through the command line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sqlgen.builders.batch import BatchBuild
from tests.kernels.feeds import updates
from tests.oracles.books import LAST, Event, Message, level_books, order_books
from tests.support.compare import same_tables
from tests.support.engine import ROOT, published, shipped_config, sqlgen
from tests.support.feeds import (
    MS,
    binance_line,
    bybit_archive,
    bybit_line,
    bybit_messages,
    coinbase_line,
    write_lines,
    write_project,
)
from tests.support.lakes import write_orderbook

SHELL = shutil.which("duckdb", path=str(Path(sys.executable).parent)) or shutil.which("duckdb")
DEPTH = 4
S = 10**9
NOON = 1_767_268_800 * S
"""2026-01-01 12:00 UTC."""
MIDNIGHT = NOON + 43_200 * S
BID, ASK = 1, -1
BASE = ((BID, 100.25, 1.0), (BID, 100.0, 2.5), (ASK, 100.5, 3.0), (ASK, 101.0, 0.125))


def run(config: Path, *arguments: object) -> None:
    outcome = sqlgen("run", config, *arguments)
    assert outcome.code == 0, outcome.out + outcome.err


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of a book, as the oracle gives them; times in ns."""
    position = table.schema.get_field_index("ts")
    exact = table.set_column(position, "ts", table["ts"].cast(pa.int64()))
    names = [name for name in exact.schema.names if name not in ("exchange", "symbol", "date", "seq")]
    return exact.select(names).to_pylist()


# --- Bybit's archive ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = bybit_archive()
    folder = tmp_path_factory.mktemp("bybit")
    write_lines(folder / "lake", "updates", "2024-12-01", lines)
    run(write_project(folder, "bybit/orderbook", {"max_levels": 50}))
    return folder


@pytest.mark.slow
def test_bybit_is_rebuilt_at_every_message(archive: Path) -> None:
    messages = bybit_messages(bybit_archive())
    rows = rows_of(published(archive / "lake/book"))
    assert len(rows) == len(messages) == 50
    assert rows == level_books(messages, depth=50)
    assert rows[-1]["bid_levels"] == rows[-1]["ask_levels"] == 50


@pytest.mark.slow
def test_features_are_those_of_the_same_books_as_snapshots(archive: Path, tmp_path: Path) -> None:
    books = rows_of(published(archive / "lake/book"))
    raw = [
        {
            "timestamp": row["ts"] // MS,
            **{
                f"{side}s": [(row[f"{side}_price_{i:02}"], row[f"{side}_size_{i:02}"]) for i in range(50)]
                for side in ("bid", "ask")
            },
        }
        for row in books
    ]
    write_orderbook(tmp_path, "x", "BTC-USDT", "2024-12-01", raw)
    config = shipped_config(tmp_path)
    model = config["models"]["orderbook_hf"]
    model |= {
        "udfs": ["returns", "ofi", "rolling"],
        "inputs": {"orderbook": "ccxt_orderbook"},
        "options": {"max_levels": 50},
    }
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    run(tmp_path / "models.yaml", "--select", "orderbook_hf")
    found = published(archive / "lake/hf").drop_columns(["feed_reset"])
    same_tables(found, published(tmp_path / model["output"]["path"]))
    assert found.num_rows == 50
    assert found["ofi"].null_count == 1


# --- Adapters -------------------------------------------------------------------------------------------------------


def at(k: int) -> int:
    return NOON + k * 100 * MS


def delta(k: int, first: int, last: int, prev: int | None = None, *levels: tuple[int, float, float]) -> Message:
    return Message(at(k), levels or ((BID, 100.25, k + 0.5),), first=first, last=last, prev=prev)


def rest(k: int, last: int, size: float) -> Message:
    return Message(at(k), ((BID, 99.75, size), *BASE), snapshot=True, last=last)


SPOT = [
    delta(1, 5, 9),
    rest(1, 10, 7.0),
    delta(2, 10, 12, None, (BID, 100.25, 0.0), (ASK, 100.375, 5.0)),
    delta(3, 13, 13, None, (BID, 99.0, 0.0)),
    Message(at(4), first=14, last=14),
    delta(5, 15, 15),
    delta(6, 18, 20),  # 16 and 17 are missing
    delta(7, 21, 21),
    rest(7, 19, 8.0),
    delta(8, 22, 22),
]
FUTURES = [
    rest(0, 100, 7.0),
    delta(1, 90, 95, 80),
    delta(2, 96, 104, 95),
    delta(3, 110, 112, 104),
    delta(4, 130, 140, 120),  # the one that ended with 120 is missing
    rest(4, 150, 8.0),
    delta(5, 145, 155, 140),
    delta(6, 160, 161, 155),
]
STREAM = [
    Message(at(0), BASE, snapshot=True, first=7, last=7),
    delta(1, 8, 8),
    delta(2, 10, 10),  # 9 is missing
    delta(3, 11, 11),
    Message(at(4), BASE, snapshot=True, first=1, last=1),
    delta(5, 2, 2),
]
SEEDED = [delta(1, 5, 5), delta(2, 6, 6), rest(2, 5, 1.0), delta(3, 7, 7)]
COINBASE = [
    Message(at(0), first=0, last=0),
    Message(at(1) + 123, BASE, snapshot=True, first=1, last=1),
    delta(2, 2, 2),
    Message(at(3), first=3, last=3),
    delta(4, 4, 4),
    delta(5, 6, 6),  # 5 is missing
    Message(at(6), BASE, snapshot=True, first=2, last=2),
    delta(7, 3, 3),
]


def wrapped(message: Message) -> dict[str, Any]:
    line = binance_line(message)
    return line if message.outside else {"stream": "btcusdt@depth", "data": line}


FEEDS: dict[str, tuple[str, list[Message], list[dict[str, Any]], dict[str, Any]]] = {
    "spot": ("binance/depth_spot", SPOT, [binance_line(m) for m in SPOT], {}),
    "combined stream": ("binance/depth_spot", SPOT, [wrapped(m) for m in SPOT], {}),
    "futures": ("binance/depth_futures", FUTURES, [binance_line(m) for m in FUTURES], {}),
    "bybit": ("bybit/orderbook", STREAM, [bybit_line(m) for m in STREAM], {}),
    "bybit seeded": ("bybit/orderbook", SEEDED, [bybit_line(m) for m in SEEDED], {}),
    "coinbase": (
        "coinbase/level2",
        COINBASE,
        [coinbase_line(m, m.last or 0) for m in COINBASE],
        {"check_sequence": True},
    ),
}
RESETS = {"spot": 1, "combined stream": 1, "futures": 1, "bybit": 1, "bybit seeded": 0, "coinbase": 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEEDS)
def test_adapters(name: str, tmp_path: Path) -> None:
    adapter, messages, lines, options = FEEDS[name]
    for file in range(2):  # several files of a partition are one feed
        part = lines[: len(lines) // 2] if file == 0 else lines[len(lines) // 2 :]
        write_lines(tmp_path / "lake", "updates", "2026-01-01", part, name=f"part-{file}")
    run(write_project(tmp_path, adapter, {"max_levels": DEPTH, **options}), "--select", "book")
    table = published(tmp_path / "lake/book")
    assert rows_of(table) == level_books(messages, depth=DEPTH)
    assert sum(table["feed_reset"].to_pylist()) == RESETS[name]
    assert table["seq"].to_pylist() == list(range(table.num_rows))
    assert table.num_rows > 0


def test_coinbase_without_numbers(tmp_path: Path) -> None:
    lines = [coinbase_line(message, 5 * number) for number, message in enumerate(COINBASE)]
    write_lines(tmp_path / "lake", "updates", "2026-01-01", lines)
    run(write_project(tmp_path, "coinbase/level2", {"max_levels": DEPTH}), "--select", "book")
    bare = [Message(m.ts, m.levels, snapshot=m.snapshot) for m in COINBASE]
    assert rows_of(published(tmp_path / "lake/book")) == level_books(bare, depth=DEPTH)


def test_times_never_go_back(tmp_path: Path) -> None:
    messages = [Message(at(k), BASE, snapshot=True, first=n, last=n) for n, k in enumerate([5, 3, 4, 6])]
    write_lines(tmp_path / "lake", "updates", "2026-01-01", [bybit_line(message) for message in messages])
    run(write_project(tmp_path, "bybit/orderbook", {"max_levels": 1}), "--select", "book")
    assert [row["ts"] for row in rows_of(published(tmp_path / "lake/book"))] == [at(5), at(5), at(5), at(6)]


@pytest.mark.slow
@pytest.mark.skipif(SHELL is None, reason="the duckdb shell is not installed (package duckdb-cli)")
@pytest.mark.parametrize("name", FEEDS)
def test_the_shell_reads_what_goes_into_the_kernel(name: str, tmp_path: Path) -> None:
    adapter, messages, lines, options = FEEDS[name]
    write_lines(tmp_path / "lake", "updates", "2026-01-01", lines)
    outcome = sqlgen("compile", write_project(tmp_path, adapter, options))
    assert outcome.code == 0, outcome.err
    views, kernels, _ = (tmp_path / "target/compiled/book.sql").read_text().partition("-- kernel ")
    assert kernels
    columns = "seq, side, price, size, is_snapshot, feed_break, message_end, first_id, last_id, prev_id"
    script = f"{views}COPY (SELECT epoch_ns(ts) AS ts, {columns} FROM kernel_input) TO 'input.parquet';"
    assert SHELL is not None
    command = [SHELL, "-bail", "-init", "/dev/null"]
    done = subprocess.run(command, input=script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = pq.read_table(tmp_path / "input.parquet").to_pylist()
    ids = [message.last for message in messages]
    assert [row["last_id"] for row in rows if row["message_end"]] == ids
    assert [row["seq"] for row in rows if row["message_end"]] == list(range(len(messages)))
    for row, want in zip(rows, updates(messages), strict=True):
        assert {key: row[key] for key in want if key != "ts"} == {key: want[key] for key in want if key != "ts"}
        if not messages[row["seq"]].outside:
            assert row["ts"] == want["ts"]


# --- Days -----------------------------------------------------------------------------------------------------------


def two_days() -> dict[str, list[Message]]:
    first = [Message(MIDNIGHT - 3 * S, BASE, snapshot=True, first=1, last=1)]
    first += [
        Message(MIDNIGHT - 2 * S + k * 100 * MS, ((BID, 100.25, k + 1.0),), first=k, last=k) for k in range(2, 20)
    ]
    second = [Message(MIDNIGHT + k * 100 * MS, ((ASK, 100.5, k + 1.0),), first=k + 20, last=k + 20) for k in range(30)]
    return {"2026-01-01": first, "2026-01-02": second}


@pytest.mark.slow
@pytest.mark.parametrize("interval", [0, 0.7, 7])
def test_a_day_at_a_time_is_all_days_at_once(interval: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    build = BatchBuild.build

    def noting(batch: BatchBuild) -> object:
        sizes.append(len(batch.tasks))
        return build(batch)

    monkeypatch.setattr(BatchBuild, "build", noting)
    days = two_days()
    config = write_project(tmp_path / "a", "bybit/orderbook", {"max_levels": DEPTH, "emit_interval": interval})
    for date, messages in days.items():
        write_lines(tmp_path / "a/lake", "updates", date, [bybit_line(message) for message in messages])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    run(config)
    assert sizes == [2, 2, 3]
    for date in days:
        run(tmp_path / "b/models.yaml", "--start", date, "--end", date)
    assert sizes == [2, 2, 3]
    for model in ("book", "hf"):
        same_tables(published(tmp_path / "a/lake" / model), published(tmp_path / "b/lake" / model))
    table = published(tmp_path / "a/lake/book")
    expected = level_books([m for day in days.values() for m in day], depth=DEPTH, interval=int(interval * S))
    assert rows_of(table) == expected
    for row in table.select(["date", "ts"]).to_pylist():
        assert row["date"] == row["ts"].date()


@pytest.mark.slow
def test_a_break_starts_a_segment(tmp_path: Path) -> None:
    """In the kernels and in bars; without the option it does not."""
    for name, resets in (("with", True), ("without", False)):
        folder = tmp_path / name
        write_lines(folder / "lake", "updates", "2026-01-01", [bybit_line(message) for message in STREAM])
        config = write_project(folder, "bybit/orderbook", {"max_levels": DEPTH}, feed_resets=resets)
        run(config, *([] if resets else ["--select", "+hf"]))
    columns = ["ofi", "log_return", "segment_age_s"]
    rows = published(tmp_path / "with/lake/hf").select([*columns, "feed_reset"]).to_pylist()
    assert [row["feed_reset"] for row in rows] == [False, False, True, False]
    assert [row["ofi"] for row in rows] == [None, 0.5, None, 4.5]
    assert [row["segment_age_s"] for row in rows] == [0.0, 0.1, 0.0, 0.1]
    bars = published(tmp_path / "with/lake/bars").to_pylist()
    assert [(bar["snapshot_count"], bar["has_gap"]) for bar in bars] == [(4, True)]
    plain = published(tmp_path / "without/lake/hf")
    assert "feed_reset" not in plain.schema.names
    assert [row["ofi"] for row in plain.select(["ofi"]).to_pylist()] == [None, 0.5, -0.5, 4.5]


# --- Single orders ---------------------------------------------------------------------------------------------------

MBO = """\
{#- description: Records of orders as they are -#}
{% from 'macros/rows.sql.j2' import positioned %}
{% set columns = {
    'time': 'BIGINT', 'publisher_id': 'BIGINT', 'action': 'VARCHAR', 'side': 'VARCHAR', 'order_id': 'UBIGINT',
    'price': 'BIGINT', 'size': 'BIGINT', 'flags': 'SMALLINT',
} %}
WITH {{ positioned(source, columns, 'make_timestamp_ns(time)') }}
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    publisher_id,
    ascii(action) AS action,
    CASE side WHEN 'B' THEN 1 WHEN 'A' THEN -1 END AS side,
    order_id,
    price / 1e9 AS price,
    size,
    flags
FROM positioned
"""
EVENTS = [
    Event(at(0), "R", flags=40),
    Event(at(0), "A", BID, 2**64 - 1, 100.01, 5.0, 40),
    Event(at(0), "A", ASK, 2**64 - 2, 100.02, 7.0, 40 | LAST),
    Event(at(1), "C", BID, 2**64 - 1, 100.01, 2.0, LAST),
    Event(at(2), "M", ASK, 2**64 - 2, 100.03, 4.0, LAST),
]


def mbo_line(event: Event, publisher: int = 2) -> dict[str, Any]:
    side = {BID: "B", ASK: "A"}.get(event.side or 0, "N")
    price = None if event.price is None else round(event.price * 1e9)
    line = {"time": event.ts, "publisher_id": publisher, "action": event.action, "side": side, "price": price}
    return line | {"order_id": event.number, "size": event.size, "flags": event.flags}


def mbo_project(folder: Path) -> Path:
    config = write_project(folder, "mine/mbo", {"max_levels": DEPTH})
    config.write_text(config.read_text().replace("udfs: book\n", "udfs: book_mbo\n"))
    (folder / "transforms_sql/sources/mine").mkdir(parents=True)
    (folder / "transforms_sql/sources/mine/mbo.sql.j2").write_text(MBO)
    return config


@pytest.mark.slow
def test_a_book_of_orders(tmp_path: Path) -> None:
    write_lines(tmp_path / "lake", "updates", "2026-01-01", [mbo_line(event) for event in EVENTS])
    run(mbo_project(tmp_path), "--select", "book+")
    assert rows_of(published(tmp_path / "lake/book")) == order_books(EVENTS, depth=DEPTH)
    assert published(tmp_path / "lake/hf")["ofi"].to_pylist() == [None, -2.0, 7.0]


def test_orders_of_two_publishers_are_an_error(tmp_path: Path) -> None:
    lines = [mbo_line(event, 2 + number % 2) for number, event in enumerate(EVENTS)]
    write_lines(tmp_path / "lake", "updates", "2026-01-01", lines)
    outcome = sqlgen("run", mbo_project(tmp_path), "--select", "book")
    assert outcome.code == 1
    assert "book: exchange=x/symbol=BTC-USDT/date=2026-01-01" in outcome.out
    assert "records of publishers 2, 3 for one book" in outcome.out


# --- Documentation --------------------------------------------------------------------------------------------------

TEXT = (ROOT / "docs/order-books.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQLGEN_LAKE", raising=False)
    example = re.search(r"```yaml\n(version.*?)```", TEXT, re.DOTALL)
    assert example is not None
    (tmp_path / "models.yaml").write_text(example.group(1))
    write_lines(tmp_path / "lake", "bybit/orderbook", "2026-01-01", [bybit_line(message) for message in STREAM])
    run(tmp_path / "models.yaml")
    assert published(tmp_path / "lake/processed/bybit/hf")["feed_reset"].to_pylist() == [False, False, True, False]


def test_every_column_of_updates_is_told() -> None:
    from udfs import registry

    for kind in (registry()["book"], registry()["book_mbo"]):
        kernel = kind({name: option.default for name, option in kind.options.items()})
        for name in (*kernel.inputs(), *kernel.options):
            assert f"`{name}`" in TEXT, name
