"""No row is computed from one with a later time, whatever date the later one is filed under."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine import published, sqlgen
from tests.support.kernels import shipped
from tests.support.lakes import write_rows

MIDNIGHT = dt.datetime(2026, 1, 2)
MODELS: dict[str, dict[str, Any]] = {
    "hf": {"sql": "orderbook/hf.sql.j2", "inputs": {"orderbook": "books", "trades": "trades"}, "udfs": list(shipped())},
    "features": {"sql": "trades/features.sql.j2", "inputs": {"trades": "trades"}},
    "bars": {"sql": "trades/bars.sql.j2", "inputs": {"trades": "trades"}, "options": {"bar_durations": [60]}},
    "book_bars": {"sql": "orderbook/bars.sql.j2", "inputs": {"hf": "hf"}, "options": {"bar_durations": [60]}},
}


def build(folder: Path, late: list[float]) -> dict[str, list[dict[str, Any]]]:
    """Every model over two days, of which the first holds two rows of the second, at these prices."""
    rows = [(1, second, 100.0 + second % 7) for second in range(-300, 0, 20)]
    rows += [(1, 31, late[0]), (1, 151, late[1])]
    rows += [(2, second, 100.0 + second % 11) for second in range(0, 300, 20)]
    books, trades = [], []
    for day, second, price in rows:
        ms = int((MIDNIGHT - dt.datetime(1970, 1, 1)).total_seconds() * 1000) + 1000 * second
        keys = {"exchange": "x", "symbol": "A", "date": dt.date(2026, 1, day), "timestamp": ms}
        books.append(keys | {"bids": [(price - 1, 1 + price % 3)], "asks": [(price + 1, 2.0)]})
        trades.append(keys | {"trade_id": str(second), "side": "buy", "price": price, "amount": 1 + price % 5})
    lake = folder / "lake"
    lake.mkdir(parents=True)
    write_rows(lake, "orderbook", books)
    write_rows(lake, "trades", trades)
    config: dict[str, Any] = {"version": 1, "lake": "lake", "sources": {}, "models": {}}
    for name, kind in (("books", "orderbook"), ("trades", "trades")):
        config["sources"][name] = {"path": f"raw/ccxt/{kind}", "adapter": f"ccxt/{kind}"}
    for name, model in MODELS.items():
        config["models"][name] = model | {"output": {"path": f"out/{name}"}}
    (folder / "models.yaml").write_text(yaml.safe_dump(config))
    outcome = sqlgen("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return {name: published(lake / f"out/{name}").to_pylist() for name in MODELS}


@pytest.mark.slow
def test_rows_of_the_next_day_that_are_filed_too_early(tmp_path: Path) -> None:
    one, other = build(tmp_path / "one", [500.0, 900.0]), build(tmp_path / "other", [70.0, 30.0])
    for name, rows in one.items():
        assert len(rows) == len(other[name])
        column = "bar_end" if "bar_end" in rows[0] else "ts"
        limit = MIDNIGHT + dt.timedelta(seconds=30)
        early = [(row, twin) for row, twin in zip(rows, other[name], strict=True) if _time(row[column]) <= limit]
        assert len(early) >= 5
        assert [row for row, twin in early if repr(row) != repr(twin)] == []
        assert rows != other[name], "the late rows do count from their time on"


def _time(value: Any) -> dt.datetime:
    found = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    assert isinstance(found, dt.datetime)
    return found.replace(tzinfo=None)
