"""Rows that come late: a date of a feed filed by arrival begins a little before the last row of the date before."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pytest

from tests.features import made
from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT
from tests.oracles.rows import number_rows
from tests.support.lakes import write_rows

Row = dict[str, Any]
SECOND, THIRD = dt.date(2026, 1, 2), dt.date(2026, 1, 3)
FIRST = dt.date(2026, 1, 1)
DAY_MS = 86_400_000


def _trade(rng: random.Random) -> Row:
    price = None if rng.random() < 0.1 else rng.randint(95, 105) / 10
    row = {"trade_id": str(rng.random()), "side": rng.choice(["buy", "sell", None])}
    return row | {"price": price, "amount": rng.randint(1, 9) / 2}


def _book(rng: random.Random) -> Row:
    bids, asks = made.book(rng)
    return {"bids": bids, "asks": asks}


def _ticker(rng: random.Random) -> Row:
    bid = rng.randint(95, 105) / 10
    row: Row = dict.fromkeys(
        ("last", "open", "high", "low", "close", "vwap", "base_volume", "quote_volume", "change", "percentage"), 10.0
    )
    return row | {"bid": bid, "ask": bid + rng.randint(0, 3) / 10, "bid_volume": 1.0, "ask_volume": 2.0}


MAKE = {"trades": _trade, "orderbook": _book, "ticker": _ticker}
MODELS = {"trades_features": "trades", "orderbook_hf": "orderbook", "ticker_features": "ticker"}


def _rows(kind: str, seed: int, overlap: int) -> list[Row]:
    """Three dates, of which each later one begins ``overlap`` ms before the last row of the date before."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for number, date in enumerate((FIRST, SECOND, THIRD)):
        begin = MIDNIGHT + (number - 1) * DAY_MS
        if number:
            early = [0, 1] if overlap == 0 else sorted({-overlap, *rng.choices(range(-overlap, 300), k=6)})
            times = [begin - 5 + ms for ms in early]
            times += [begin + 1000 + k * 700 for k in range(12)]
        else:
            times = [begin + DAY_MS - 90_000 + k * 900 for k in range(90)]
        if date != THIRD:
            until = begin + DAY_MS
            times += [until - 20_000 + k * 1_500 for k in range(12)] if number else []
            times += [until - 1_200, until - 300, until - 5, until - 5]  # the last row: 5 ms before midnight
        rows += [{"timestamp": ms, "date": date, "exchange": "x", "symbol": "A", **MAKE[kind](rng)} for ms in times]
    return number_rows(rows)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("overlap", [1000, 1001, 0], ids=lambda ms: f"{ms} ms")
def test_late_rows_are_segments_of_their_own(tmp_path: Path, model: str, overlap: int) -> None:
    """Beyond 1 s a clock is wrong, and the date starts a segment."""
    kind = MODELS[model]
    if model == "orderbook_hf":
        # Those of the second date that are filed late are seen with that date: these here are not.
        trades = [
            row for row in _rows("trades", 7, 0) if (row["timestamp"] - MIDNIGHT) // DAY_MS == row["date"].day - 2
        ]
        write_rows(tmp_path, "trades", number_rows(trades))
    expected = check(tmp_path, model, _rows(kind, 3, overlap), max_gap=300)
    second = sorted((row for row in expected if row["date"] == SECOND), key=lambda row: (row["ts"], row["seq"]))
    last = max(row["ts"] for row in expected if row["date"] == FIRST)
    first_in_time = next(row for row in second if row["ts"] >= last)
    assert (first_in_time["segment_age_s"] > 60) is (overlap <= 1000)
    late = [row for row in second if row["ts"] < last]
    assert len(late) >= (1 if overlap else 0)
    if overlap <= 1000:
        assert {row["segment_age_s"] for row in late} <= {0.0}
        assert {row.get("log_return") for row in late} <= {None}
