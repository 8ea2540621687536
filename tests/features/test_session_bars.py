"""Two sessions that touch give the bars that each gives alone: nothing reaches from one into the other."""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.features.made import keyed
from tests.oracles.compare import same, table_rows
from tests.support.engine import published, shipped_config, sqlgen
from tests.support.lakes import Row, write_rows

BEGIN, CHANGE, END = (
    int(dt.datetime.fromisoformat(f"{clock}+00:00").timestamp() * 1000)
    for clock in ("2024-03-07T22:31", "2024-03-07T23:00", "2024-03-08T00:31")
)
SESSIONS = (dt.date(2024, 3, 7), dt.date(2024, 3, 8))
"""Of CMES, without a break between them; the second one goes on over midnight."""
OPTIONS: dict[str, dict[str, Any]] = {
    "ofi_bars": {"ofi_levels": 2, "ofi_window": 10, "fit_window": 300, "emit_open_bars": True, "feed_resets": False},
    "event_flow_bars": {"bar_durations": [5400], "max_levels": 3, "emit_open_bars": True},
    "trades_bars": {"bar_durations": [60, 5400], "emit_open_bars": True, "seconds_per_year": 31_536_000},
    "trades_liquidity": {"horizons": [20], "max_quote_age": 300},
    "liquidity_bars": {"bar_durations": [60, 5400], "horizons": [20], "window": 4, "emit_open_bars": True},
}
OTHERS: dict[str, dict[str, Any]] = {
    "order_bars": {
        "sql": "orderbook/event_flow_bars.sql.j2",
        "inputs": {"book": "ccxt_orderbook", "events": "orders"},
        "options": {"explained_by": "orders", "bar_durations": [5400], "emit_open_bars": True},
    },
    "grid": {
        "sql": "resample.sql.j2",
        "inputs": {"rows": "orderbook_hf"},
        "options": {"frequency": 7, "columns": ["mid_price"], "fill_gaps": True, "emit_open": True, "sum": ["ofi"]},
    },
    "points": {
        "sql": "resample.sql.j2",
        "inputs": {"rows": "ccxt_trades"},
        "options": {"frequency": 7, "emit_open": True, "count": ["price"]},
    },
    "longer": {
        "sql": "bars/longer.sql.j2",
        "inputs": {"bars": "minutes"},
        "options": {"bar_durations": [5400], "emit_open_bars": True},
    },
}
MODELS = (*OPTIONS, *OTHERS)


def times(rng: random.Random) -> list[int]:
    """Rows at the very change too, and a second before."""
    found, time = {CHANGE, CHANGE - 1000}, BEGIN
    while time < END:
        found.add(time)
        time += rng.choice((1000, 2000, 5000, 40_000))
    return sorted(found)


def made(seed: int) -> dict[str, list[Row]]:
    rng, level = random.Random(seed), 1000
    books, tape, orders, bars = list[Row](), list[Row](), list[Row](), list[Row]()
    for number, time in enumerate(times(rng)):
        level += rng.choice((-1, 0, 0, 1))
        sides = {
            side: [((level + sign * (i + 1)) / 10, rng.randrange(1, 50) / 10) for i in range(3)]
            for side, sign in (("bids", -1), ("asks", 1))
        }
        books.append({"timestamp": time, **sides})
        price, amount = (level + rng.choice((-1, 1))) / 10, rng.randrange(1, 20) / 10
        side = rng.choice(("buy", "sell", None))
        tape.append({"timestamp": time, "trade_id": str(number), "side": side, "price": price, "amount": amount})
        for action, volume in (("created", 3.0), ("changed", 1.0), ("deleted", 1.0)):
            told = {"id": number, "price": (level - 1) / 10, "volume": volume, "action": action, "direction": "bid"}
            orders.append({"timestamp": time, "exchange_timestamp": time, **told})
    for time in range(BEGIN, END, 60_000):
        prices = sorted(rng.randrange(900, 1100) / 10 for _ in range(4))
        ohlc = {"open": prices[1], "high": prices[3], "low": prices[0], "close": prices[2], "volume": 1.5}
        bars.append({"timestamp": time, "ts": time, **ohlc})
    return {"orderbook": books, "trades": tape, "orders": orders, "minutes": bars}


def as_csv(lake: Path, name: str, rows: list[Row]) -> None:
    for date in sorted({row["date"] for row in keyed(rows)}):
        text = io.StringIO()
        own = [row for row in keyed(rows) if row["date"] == date]
        columns = [column for column in rows[0] if column != "timestamp" or name == "orders"]
        writer = csv.DictWriter(text, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(own)
        folder = lake / "raw" / name / "exchange=binance/symbol=BTC-USDT" / f"date={date}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.csv").write_text(text.getvalue())


def build(folder: Path, rows: dict[str, list[Row]], sessions: bool) -> dict[str, list[Row]]:
    """Tables of all models over some rows."""
    lake = folder / "lake"
    for kind in ("orderbook", "trades"):
        write_rows(lake, kind, keyed(rows[kind]))
    for kind in ("orders", "minutes"):
        as_csv(lake, kind, rows[kind])
    config = shipped_config(Path("lake"))
    config["sources"] |= {
        "orders": {"path": "raw/orders", "adapter": "bitstamp/orders_csv", "format": "csv"},
        "minutes": {"path": "raw/minutes", "adapter": "generic/bars", "format": "csv"},
    }
    config["sources"].pop("ccxt_ticker")
    if sessions:
        for source in config["sources"].values():
            source["sessions"] = "CMES"
    shipped = config["models"]
    hf = shipped["orderbook_hf"] | {"features": ["mid_price", "ofi"], "options": {"max_levels": 3}}
    config["models"] = {"orderbook_hf": hf} | OTHERS
    for name, model in config["models"].items():
        model["output"] = {"path": f"out/{name}"}
    for name, options in OPTIONS.items():
        model = shipped[name] | {"enabled": True, "output": {"path": f"out/{name}"}}
        config["models"][name] = model | {"options": model["options"] | options}
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return {name: table_rows(published(lake / "out" / name)) for name in MODELS}


pytestmark = pytest.mark.slow
Tables = tuple[dict[str, list[Row]], list[dict[str, list[Row]]]]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Tables over both sessions, and over the rows of each."""
    rows, halves = made(7), list[dict[str, list[Row]]]()
    both = build(tmp_path_factory.mktemp("both"), rows, sessions=True)
    inside: list[Callable[[Row], bool]] = [
        lambda row: row["timestamp"] < CHANGE,
        lambda row: row["timestamp"] >= CHANGE,
    ]
    for number, own in enumerate(inside):
        part = {name: [row for row in found if own(row)] for name, found in rows.items()}
        halves.append(build(tmp_path_factory.mktemp(f"half{number}"), part, sessions=False))
    return both, halves


@pytest.mark.parametrize("model", MODELS)
def test_two_sessions_are_each_alone(tables: Tables, model: str) -> None:
    both, halves = tables
    expected = [{**row, "session_date": day} for day, half in zip(SESSIONS, halves, strict=True) for row in half[model]]
    found = both[model]
    if model in ("grid", "points"):  # a point is one row: that of the session of the last row before it
        later = {row["ts"] for row in halves[1][model]}
        assert len(later & {row["ts"] for row in halves[0][model]}) == 1
        expected = [row for row in expected if row["session_date"] == SESSIONS[1] or row["ts"] not in later]
    place = [name for name in ("bar_seconds", "session_date", "ts", "bar_start", "bar_end") if name in found[0]]
    for rows in (found, expected):
        rows.sort(key=lambda row: [row[name] for name in place])
    assert [[row[name] for name in place] for row in found] == [[row[name] for name in place] for row in expected]
    assert {row["session_date"] for row in found} == set(SESSIONS)
    for got, want in zip(found, expected, strict=True):
        assert got.keys() == want.keys()
        wrong = {name for name in got if name != "seq" and not same(got[name], want[name])}
        assert not wrong, (model, {name: (got[name], want[name]) for name in wrong}, got)


def test_the_sessions_share_a_bar_of_the_clock(tables: Tables) -> None:
    """Without sessions it would be one."""
    both, _ = tables
    for model in ("event_flow_bars", "trades_bars", "liquidity_bars", "order_bars", "longer"):
        bars = [row for row in both[model] if row["bar_seconds"] == 5400]
        starts = [row["bar_start"] for row in bars]
        assert len(starts) > len(set(starts)), model
