"""Messages that hold several trades: of several symbols, and with times of their own."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from sqlgen.detect.trial import TrialSource
from sqlgen.project.config import Source
from sqlgen.templating.templates import Library
from tests.support.engine import published, sqlgen
from tests.support.streams import NOON, TRADES, Line, Trade, text

LIBRARY = Library()
DAY_MS = 86_400_000
LISTS = {
    "bitmex/trades": ("data",),
    "coinbase/market_trades": ("events", 0, "trades"),
    "deribit/trades": ("params", "data"),
    "gate/trades futures": ("result",),
    "hyperliquid/trades": ("data",),
    "kraken/trades v2": ("data",),
    "poloniex/trades": ("data",),
}
"""Stream -> where the trades of a message stand, which may be of several symbols."""


def together(one: Line, other: Line, path: tuple[Any, ...]) -> Line:
    """One message with the trades of two."""
    both = copy.deepcopy(one)
    mine, others = both, other
    for step in path:
        mine, others = mine[step], others[step]
    mine.extend(others)
    return both


@pytest.mark.slow
@pytest.mark.parametrize("name", LISTS)
def test_trades_of_several_symbols_in_one_message(name: str, tmp_path: Path) -> None:
    stream = TRADES[name]
    one, other = stream.symbols
    trades = [Trade(NOON + 10 * k, 500 + k, 100.0 + k, 1.0 + k, 1) for k in range(4)]
    lines = [stream.write(one, trades[0])]
    lines += [together(stream.write(other, trades[1]), stream.write(one, trades[2]), LISTS[name])]
    lines += [stream.write(one, trades[3])]
    path = tmp_path / "raw/rec.ndjson"
    path.parent.mkdir()
    path.write_text(text(lines))
    source = {"path": "raw", "adapter": name.split()[0], "exchange": "x", "options": dict(stream.options)}
    with duckdb.connect() as connection:
        trial = TrialSource(LIBRARY, tmp_path, Source.model_validate(source), connection)
        select = f"SELECT symbol, seq, price, amount FROM ({trial.select()}) ORDER BY symbol, seq"
        found = connection.sql(select).fetchall()
    assert found == sorted([(one, k, 100.0 + n, 1.0 + n) for k, n in enumerate((0, 2, 3))] + [(other, 0, 101.0, 2.0)])


def project(folder: Path, **source: Any) -> Path:
    config = folder / "models.yaml"
    content = {
        "version": 1,
        "lake": "lake",
        "sources": {"raw": {"path": "raw/t", "adapter": "bybit/trade_stream", "exchange": "bybit", **source}},
        "models": {"out": {"sql": "trades/features.sql.j2", "inputs": {"trades": "raw"}, "output": {"path": "out"}}},
    }
    config.write_text(yaml.safe_dump(content))
    return config


def write(path: Path, *messages: list[tuple[int | None, float]]) -> None:
    """A file of messages, each of trades (time in ms, price)."""

    def trade(ms: int | None, price: float) -> Mapping[str, Any]:
        return {"T": ms, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": str(price), "i": f"{ms}", "BT": False}

    lines = [
        {"topic": "publicTrade.BTCUSDT", "ts": NOON, "data": [trade(*one) for one in message]} for message in messages
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


FAR = NOON + 9 * DAY_MS


@pytest.mark.slow
def test_a_trade_far_ahead_in_a_message_is_set_aside_and_told(tmp_path: Path) -> None:
    """By itself, be it the first of its message or not, with the line that it is in."""
    folder = tmp_path / "lake/raw/t/symbol=BTCUSDT/date=2026-01-02"
    write(folder / "a.ndjson", [(NOON, 1.0)], [(NOON + 1, 2.0), (FAR, 90.0)], [(FAR + 1, 91.0), (NOON + 2, 3.0)])
    outcome = sqlgen("run", project(tmp_path))
    assert outcome.code == 0, outcome.out + outcome.err
    assert published(tmp_path / "lake/out")["price"].to_pylist() == [1.0, 2.0, 3.0]
    assert "near_date(ts) of raw: 2 quarantined" in outcome.out
    aside = published(tmp_path / "lake/out_quarantine")
    prices = [json.loads(row)["price"] for row in aside["row"].to_pylist()]
    assert sorted(zip(aside["line"].to_pylist(), prices, strict=True)) == [
        (2, 90.0),
        (3, 91.0),
    ]


@pytest.mark.slow
def test_trades_without_a_date_in_the_path_go_to_their_own(tmp_path: Path) -> None:
    midnight = NOON + DAY_MS // 2
    write(tmp_path / "lake/raw/t/rec.ndjson", [(midnight - 1, 1.0), (midnight, 2.0)], [(FAR, 9.0), (NOON, 0.5)])
    outcome = sqlgen("run", project(tmp_path))
    assert outcome.code == 0, outcome.out + outcome.err
    found = published(tmp_path / "lake/out")
    dated = sorted(zip((str(day) for day in found["date"].to_pylist()), found["price"].to_pylist(), strict=True))
    assert dated == [("2026-01-02", 0.5), ("2026-01-02", 1.0), ("2026-01-03", 2.0), ("2026-01-11", 9.0)]


@pytest.mark.slow
def test_a_trade_without_a_time_has_that_of_its_message(tmp_path: Path) -> None:
    """It is the first one, whose time otherwise stands for the message."""
    folder = tmp_path / "lake/raw/t/symbol=BTCUSDT/date=2026-01-02"
    write(folder / "a.ndjson", [(NOON, 1.0)], [(None, 2.0), (NOON + 2, 3.0)])
    outcome = sqlgen("run", project(tmp_path))
    assert outcome.code == 0, outcome.out + outcome.err
    assert published(tmp_path / "lake/out")["price"].to_pylist() == [1.0, 2.0, 3.0]


def test_times_of_trades_that_go_back_between_files_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "lake/raw/t/symbol=BTCUSDT/date=2026-01-02"
    write(folder / "part_1.ndjson", [(NOON + 5000, 1.0)])
    write(folder / "part_2.ndjson", [(NOON, 2.0)])
    outcome = sqlgen("run", project(tmp_path))
    assert outcome.code == 0, outcome.out + outcome.err
    assert "times go back between files: raw/t/symbol=BTCUSDT/date=2026-01-02/part_1.ndjson ends at" in outcome.out
