"""Midnight is no edge: a day computed by itself gives what one pass over all days gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.features.lake_checks import check
from tests.features.made import MIDNIGHT, keyed

Row = dict[str, Any]


def _trade(second: int, price: float | None = 10.0) -> Row:
    row = {"timestamp": MIDNIGHT + second * 1000, "price": price, "amount": 1.0, "side": "buy"}
    return row | {"trade_id": f"t{second}"}


def _book(second: int, price: float | None = 10.0) -> Row:
    """A book around ``price``; without a mid where it is None."""
    asks = [(price + 1.0, 1.0)] if price is not None else []
    return {"timestamp": MIDNIGHT + second * 1000, "bids": [(price or 10.0, 1.0)], "asks": asks}


MAKE = {"trades_bars": _trade, "orderbook_bars": _book}
bar_models = pytest.mark.parametrize("model", list(MAKE))


@pytest.mark.slow
@bar_models
def test_a_silence_that_began_any_time_before(tmp_path: Path, model: str) -> None:
    """Each symbol is silent from ``last`` to ``first``, in seconds from midnight."""
    silences = {f"S{last}_{first}": (last, first) for last in (-1, -300, -301, -5000) for first in (0, 200)}
    rows: list[Row] = []
    for symbol, (last, first) in silences.items():
        times = (last - 100, last, first, first + 70, first + 140)
        rows += keyed([MAKE[model](second) for second in times], symbol=symbol)
    expected = check(tmp_path, model, rows, bar_durations=[60], max_gap=300)
    for symbol, (last, first) in silences.items():
        mine = [bar for bar in expected if bar["symbol"] == symbol]
        today = next(bar for bar in mine if bar["bar_start"] >= MIDNIGHT * 10**6)
        assert today["has_gap"] is (first - last > 300)


@pytest.mark.slow
@bar_models
def test_the_first_row_of_a_key_has_no_gap_before_it(tmp_path: Path, model: str) -> None:
    expected = check(tmp_path, model, keyed([MAKE[model](second) for second in (5, 70, 140)]), bar_durations=[60])
    assert not any(bar["has_gap"] for bar in expected)


@pytest.mark.slow
@bar_models
def test_a_return_over_rows_without_a_price(tmp_path: Path, model: str) -> None:
    """Rows keep coming, so the segment goes on, but the last price lies further back than ``max_gap``."""
    make = MAKE[model]
    silent = [make(second, None) for second in range(-340, 60, 60)]
    rows = [make(-400), *silent, *(make(second, 11.0) for second in (90, 200, 450, 650))]
    expected = check(tmp_path, model, keyed(rows), bar_durations=[600], max_gap=300)
    assert expected[-1]["bar_start"] == MIDNIGHT * 10**6
    assert expected[-1]["realized_variance"] == 0.0


def test_a_return_over_trades_without_a_price(tmp_path: Path) -> None:
    """The last price lies further back than the longest window and ``max_gap`` together."""
    rows = [_trade(-1500), *(_trade(second, None) for second in range(-1440, 60, 60)), _trade(90, 11.0)]
    check(tmp_path, "trades_features", keyed(rows), max_gap=300)


@pytest.mark.parametrize("fill", [False, True])
def test_a_bar_without_a_valid_trade_is_empty(tmp_path: Path, fill: bool) -> None:
    rows = [_trade(0), _trade(70, None), _trade(130, 11.0), _trade(190)]
    expected = check(tmp_path, "trades_bars", keyed(rows), bar_durations=[60], fill=fill)
    assert [bar["trade_count"] for bar in expected] == ([1, 0, 1] if fill else [1, 1])
