"""Days of other time zones: files whose date begins hours before or after midnight UTC."""

from __future__ import annotations

import datetime as dt
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import yaml

from tests.support.compare import same_tables
from tests.support.engine import published, published_file, sqlgen
from tests.support.lakes import read_rows, write_rows

Row = dict[str, Any]
FIRST, DAYS = dt.date(2026, 1, 1), 3
MODELS: dict[str, dict[str, Any]] = {
    "features": {"sql": "trades/features.sql.j2", "inputs": {"trades": "trades"}},
    "with_gaps": {"sql": "trades/features.sql.j2", "inputs": {"trades": "trades"}, "options": {"max_gap": 200}},
    "quotes": {"sql": "ticker/features.sql.j2", "inputs": {"ticker": "ticker"}},
    "labels": {"sql": "orderbook/labels.sql.j2", "inputs": {"orderbook": "orderbook"}},
    "barriers": {
        "sql": "orderbook/labels.sql.j2",
        "inputs": {"orderbook": "orderbook"},
        "udfs": ["triple_barrier"],
        "options": {"barrier_unit": "sigma", "upper": 3, "lower": 2, "barrier_horizon": 5_000},
    },
    "liquidity": {"sql": "trades/liquidity.sql.j2", "inputs": {"trades": "trades", "book": "orderbook"}},
    "liquidity_bars": {
        "sql": "trades/liquidity_bars.sql.j2",
        "inputs": {"liquidity": "liquidity", "book": "orderbook"},
    },
}


def rows(kind: str, hours: float, step_ms: int) -> Iterator[Row]:
    """A row of one market about every ``step_ms``; dates begin ``hours`` before midnight UTC."""
    rng = random.Random(kind)
    begin = int(dt.datetime.combine(FIRST, dt.time(), dt.UTC).timestamp() * 1000) - int(3_600_000 * hours)
    mid = 100.0
    for number in range(DAYS * 86_400_000 // step_ms):
        into = number * step_ms + rng.randrange(step_ms)
        mid += rng.choice((-0.1, 0.0, 0.1))
        row: Row = {"exchange": "binance", "symbol": "BTC-USDT", "date": FIRST + dt.timedelta(into // 86_400_000)}
        row["timestamp"] = begin + into
        bid, ask = round(mid - 0.05, 2), round(mid + 0.05, 2)
        if kind == "trades":
            side = rng.choice(("buy", "sell"))
            price, amount = ask if side == "buy" else bid, rng.randrange(1, 90) / 7
            row |= {"trade_id": f"t{number}", "side": side, "price": price, "amount": amount}
        elif kind == "ticker":
            row |= {"bid": bid, "ask": ask, "bid_volume": rng.randrange(1, 9) / 7, "ask_volume": 1.0, "last": mid}
        else:
            row |= {"bids": [(bid, rng.randrange(1, 90) / 7)], "asks": [(ask, rng.randrange(1, 90) / 7)]}
        yield row


def project(folder: Path, hours: float) -> Path:
    """A lake of one market, and the models over it."""
    for kind, step_ms in (("trades", 40_000), ("ticker", 60_000), ("orderbook", 60_000)):
        write_rows(folder / "lake", kind, rows(kind, hours, step_ms))
    sources = {
        kind: {"path": f"raw/ccxt/{kind}", "adapter": f"ccxt/{kind}"} for kind in ("trades", "ticker", "orderbook")
    }
    models = {name: model | {"output": {"path": f"out/{name}"}} for name, model in MODELS.items()}
    config = folder / "models.yaml"
    config.write_text(yaml.safe_dump({"version": 1, "lake": "lake", "sources": sources, "models": models}))
    return config


@pytest.mark.parametrize("hours", [8.0, 2.0, -5.0])
def test_a_date_alone_is_what_it_is_beside_the_others(tmp_path: Path, hours: float) -> None:
    together = project(tmp_path / "together", hours)
    alone = shutil.copytree(together.parent, tmp_path / "alone") / together.name
    assert sqlgen("run", together).code == 0
    dates = [FIRST + dt.timedelta(day) for day in range(DAYS)]
    for which in ("--exclude", "--select"):  # the next date is there already: whatever a date looks ahead to
        for date in dates:
            outcome = sqlgen("run", alone, which, "liquidity_bars", "--start", date, "--end", date)
            assert outcome.code == 0, outcome.out + outcome.err
    assert len(read_rows(alone.parent / "lake", "trades")) == published(alone.parent / "lake/out/features").num_rows
    for name in MODELS:
        tables = (published(config.parent / "lake/out" / name) for config in (together, alone))
        tables = (table.filter(pc.field("date").isin(dates)) for table in tables)  # bars have dates beside them too
        same_tables(*tables, abs_tol=1e-15)  # of smooth_return_*, the difference of two means over their size


def test_windows_at_the_start_of_a_date_reach_into_the_date_before(tmp_path: Path) -> None:
    config = project(tmp_path, 8.0)
    date = FIRST + dt.timedelta(1)
    assert sqlgen("run", config, "--select", "features", "--start", date, "--end", date).code == 0
    raw = read_rows(tmp_path / "lake", "trades")
    found = published(tmp_path / "lake/out/features").to_pylist()
    own = [row for row in raw if row["date"] == date]
    assert len(found) == len(own) == 2160
    assert own[0]["timestamp"] < 1000 * dt.datetime.combine(date, dt.time(), dt.UTC).timestamp() - 7 * 3_600_000
    for row, trade in list(zip(found, own, strict=True))[:40]:
        end = trade["timestamp"]
        window = [each["amount"] for each in raw if end - 900_000 < each["timestamp"] <= end]
        assert math.isclose(row["volume_900s"], math.fsum(window), rel_tol=1e-12)
        assert row["trade_count_900s"] == len(window) > 15


def at(date: int, time: str, **row: Any) -> Row:
    """A row at a UTC time that is filed under a date of January 2026."""
    moment = int(dt.datetime.fromisoformat(f"2026-01-{time}+00:00").timestamp() * 1000)
    return {"exchange": "binance", "symbol": "BTC-USDT", "date": dt.date(2026, 1, date), "timestamp": moment, **row}


def both(folder: Path, kind: str, made: list[Row], model: dict[str, Any], **source: Any) -> list[Path]:
    """The files of a model's dates over these rows, built at once, and date by date."""
    found = []
    for name in ("together", "alone"):
        write_rows(folder / name / "lake", kind, made)
        (folder / name / "lake/raw/ccxt/orderbook").mkdir(parents=True, exist_ok=True)
        sources = {
            each: {"path": f"raw/ccxt/{each}", "adapter": f"ccxt/{each}"} | (source if each == kind else {})
            for each in ("trades", "orderbook")
        }
        config = folder / name / "models.yaml"
        models = {"table": model | {"output": {"path": "out"}}}
        text = yaml.safe_dump({"version": 1, "lake": "lake", "sources": sources, "models": models}, sort_keys=False)
        config.write_text(text)
        dates = sorted({row["date"] for row in made})
        for chosen in [()] if name == "together" else [("--start", date, "--end", date) for date in dates]:
            outcome = sqlgen("run", config, *chosen)
            assert outcome.code == 0, outcome.out + outcome.err
        found.append(folder / name / "lake/out")
    return found


def trades_at(*rows: tuple[int, str, float]) -> list[Row]:
    return [at(date, time, price=price, amount=1.0, side="buy") for date, time, price in rows]


def test_the_return_to_a_trade_of_two_dates_before_is_not_known(tmp_path: Path) -> None:
    made = trades_at((5, "05T14:00:00", 100.0), (5, "06T03:00:00", 101.0), (7, "07T06:00:00", 102.0))
    model = {"sql": "trades/features.sql.j2", "inputs": {"trades": "trades"}}
    tables = [published(folder) for folder in both(tmp_path, "trades", made, model)]
    same_tables(*tables)
    assert tables[0]["log_return"].to_pylist()[-1] is None


def test_a_sign_of_two_dates_before_is_not_known(tmp_path: Path) -> None:
    made = trades_at(
        (5, "06T01:00:00", 100.0), (5, "06T03:00:00", 101.0), (6, "06T20:00:00", 101.0), (7, "07T06:00:00", 101.0)
    )
    inputs = {"trades": "trades", "book": {"ref": "orderbook", "optional": True}}
    model = {"sql": "trades/liquidity.sql.j2", "inputs": inputs, "options": {"horizons": []}}
    tables = [published(folder) for folder in both(tmp_path, "trades", made, model)]
    same_tables(*tables)
    assert tables[0]["sign_tick"].to_pylist() == [None, 1, 1, None]


def test_rows_of_two_sessions_are_in_order(tmp_path: Path) -> None:
    times = [
        (day, f"{day - before:02}T{time}")
        for day in (6, 7)
        for before, time in ((1, "14:10"), (1, "23:20"), (0, "10:00"))
    ]
    made = [at(date, time, bids=[(99.0, 1.0)], asks=[(101.0, 1.0)]) for date, time in times]
    model = {"sql": "orderbook/hf.sql.j2", "inputs": {"orderbook": "orderbook"}}
    for folder in both(tmp_path, "orderbook", made, model, sessions="CMES"):
        for file in folder.rglob("*.parquet"):
            assert published_file(file)["seq"].to_pylist() == [0, 1, 2]
