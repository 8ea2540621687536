"""What `inspect` says of recorded feeds: changes are never taken for books, and their entry runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oracles.books import Message, level_books
from tests.support.engine import published, sqlgen
from tests.support.feeds import MS, Line, binance_line
from tests.support.updates import rows_of

NOON = 1_767_355_200 * 10**9
BASE = tuple((side, 60_000.5 - side * (i + 0.5), 1.0 + i) for side in (1, -1) for i in range(3))
DEPTH = 5


def events(futures: bool) -> list[Message]:
    """Changes that begin before a snapshot and go on after it; ids of futures have holes."""
    found, before = [], 90
    for k in range(12):
        first = before + (5 if futures else 1)
        levels = ((1, 60_000.0 - k % 3, 0.0 if k % 5 == 4 else k + 0.5), (-1, 60_001.0, 2.0 + k))
        message = Message(NOON + k * 100 * MS, levels, first=first, last=first + 2, prev=before if futures else None)
        before = first + 2
        found.append(message)
    return found


def combined(line: Line) -> Line:
    return line if "lastUpdateId" in line else {"stream": "btcusdt@depth@100ms", "data": line}


def write(path: Path, lines: Sequence[Line]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def inspected(lake: Path) -> Any:
    outcome = sqlgen("inspect", lake / "raw", "--lake", lake, "--json")
    return outcome.json


@pytest.mark.slow
@pytest.mark.parametrize("futures", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_binance_depth_is_recognised_and_its_entry_runs(
    tmp_path: Path, futures: bool, wrapped: bool, named: bool
) -> None:
    messages = events(futures)
    snapshot = Message(messages[4].ts + 1, BASE, snapshot=True, last=messages[4].last)
    feed = [*messages[:5], snapshot, *messages[5:]]
    lines = [combined(line) if wrapped else line for line in map(binance_line, feed)]
    lake = tmp_path / "lake"
    write(lake / f"raw/binance/{'BTCUSDT_2026-01-02' if named else 'recording'}.ndjson", lines)
    found = inspected(lake)
    [choice] = found["findings"][0]["choices"]
    adapter = "binance/depth_futures" if futures else "binance/depth_spot"
    assert (choice["adapter"], choice["sure"]) == (adapter, "certain")
    assert found["findings"][0]["notes"] == []
    [(name, entry)] = found["sources"].items()
    assert ("symbol" in entry) is False
    model = {"sql": "orderbook/book.sql.j2", "inputs": {"updates": name}, "udfs": "book", "output": {"path": "book"}}
    config = {"version": 1, "lake": "lake", "sources": {name: entry}}
    config["models"] = {"book": model | {"options": {"max_levels": DEPTH}}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", tmp_path / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    rows = rows_of(published(lake / "book/exchange=binance/symbol=BTCUSDT"))
    assert rows == level_books(feed, depth=DEPTH)
    assert len(rows) == 7


@pytest.mark.slow
def test_changes_without_a_snapshot_are_told(tmp_path: Path) -> None:
    write(tmp_path / "lake/raw/binance/BTCUSDT_2026-01-02.ndjson", list(map(binance_line, events(True))))
    found = inspected(tmp_path / "lake")
    assert found["findings"][0]["choices"][0]["adapter"] == "binance/depth_futures"
    assert found["findings"][0]["notes"][0].startswith("no snapshot among the rows that were read")


def test_streams_of_whole_books_are_no_changes(tmp_path: Path) -> None:
    """Partial depth of futures has the fields of changes: five levels on each side, always, and none removed."""
    levels = [[[f"{60_000 - side * (i + 1)}", "1.5"] for i in range(5)] for side in (1, -1)]
    lines = [
        {
            "e": "depthUpdate",
            "E": NOON // MS + k,
            "s": "BTCUSDT",
            "U": k,
            "u": k,
            "pu": k - 1,
            "b": levels[0],
            "a": levels[1],
        }
        for k in range(1, 9)
    ]
    for path, some in {"bare": lines, "named": [{"stream": "btcusdt@depth5", "data": line} for line in lines]}.items():
        lake = tmp_path / path / "lake"
        write(lake / "raw/binance/BTCUSDT_2026-01-02.ndjson", some)
        finding = inspected(lake)["findings"][0]
        assert "binance/depth" not in json.dumps(finding["choices"])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pairs", "objects"])
def test_changes_of_an_unknown_exchange_are_no_books(tmp_path: Path, form: str) -> None:
    """A level of size 0 is removed: no book has one."""

    def level(price: float, size: float) -> object:
        return [price, size] if form == "pairs" else {"price": price, "size": size}

    whole = [
        {"ts": NOON // MS + k, "symbol": "X", "bids": [level(9.0, 1.0)], "asks": [level(10.0, 1.0)]} for k in range(5)
    ]
    changes = [*whole, {"ts": NOON // MS + 9, "symbol": "X", "bids": [level(9.0, 0.0)], "asks": []}]
    for name, lines, adapters in (("whole", whole, ["generic/orderbook"]), ("changes", changes, [])):
        write(tmp_path / name / "lake/raw/feed/a.ndjson", lines)
        finding = inspected(tmp_path / name / "lake")["findings"][0]
        assert [choice["adapter"] for choice in finding["choices"] if "generic" in choice["adapter"]] == adapters


@pytest.mark.slow
def test_the_depth_of_a_topic_is_what_is_captured(tmp_path: Path) -> None:
    """By the topics of messages; of several, the deepest is proposed."""

    def message(depth: int, k: int) -> Line:
        data = {"s": "BTCUSDT", "b": [["9", "1"]], "a": [["10", "1"]], "u": k, "seq": k}
        kind = "snapshot" if k == 1 else "delta"
        return {
            "topic": f"orderbook.{depth}.BTCUSDT",
            "type": kind,
            "ts": NOON // MS + k,
            "data": data,
            "cts": NOON // MS,
        }

    for name, depths, told in (("one", [200], {"captured_levels": 200}), ("two", [1, 50], {"options": {"depth": 50}})):
        lake = tmp_path / name / "lake"
        write(lake / "raw/bybit/2026-01-02.ndjson", [message(depth, k) for k in range(1, 4) for depth in depths])
        [entry] = inspected(lake)["sources"].values()
        assert {key: entry[key] for key in ("captured_levels", "options") if key in entry} == told


@pytest.mark.slow
def test_what_stands_for_a_symbol_in_a_name_may_be_none(tmp_path: Path) -> None:
    """A group of Tardis.dev holds many symbols; one folder of a symbol with rows of two is told."""
    header = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
    rows = [f"binance,{symbol},{NOON // 1000 + k},{NOON // 1000 + k},{k},buy,1.5,2" for k, symbol in enumerate("XYXY")]
    path = tmp_path / "lake/raw/tardis/binance_trades_2026-01-02_PERPETUALS.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    found = inspected(tmp_path / "lake")
    [entry] = found["sources"].values()
    assert entry == {"path": "raw/tardis", "adapter": "tardis/trades", "pattern": "{exchange}_trades_{date}_*.csv"}
    assert {row["symbol"] for row in found["findings"][0]["contents"][0]["keys"]} == {"X", "Y"}

    hive = tmp_path / "hive/lake/raw/tape/exchange=binance/symbol=X/date=2026-01-02/a.csv"
    hive.parent.mkdir(parents=True)
    path.rename(hive)
    notes = inspected(tmp_path / "hive/lake")["findings"][0]["notes"]
    assert any("a.csv holds several symbols: X, Y." in note for note in notes)
