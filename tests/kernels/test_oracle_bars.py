"""Bars of trades against the oracle: every part of every bar, and the bars that they make."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.features.made import keyed
from tests.kernels.driving import assert_rows, run_bars
from tests.kernels.made import case, cuts, trades_around
from tests.oracles import trades
from tests.oracles.trade_bars import bar_parts, bars, bars_of
from tests.support import realdata

Row = dict[str, Any]
SIZES = {"volume": (1.0, 0.3, 37.5), "tick": (1, 7, 100), "dollar": (1e5, 333.33, 2500.0)}
COMBINATIONS = [(measure, size) for measure, sizes in SIZES.items() for size in sizes]


@cache
def trades_of(name: str) -> list[Row]:
    return trades_around(len(name), case(name), 400)


def check(seen: list[Row], measure: str, size: float, split: bool, **options: Any) -> list[Row]:
    """Compare the parts and the bars; gives the bars."""
    expected = bar_parts(seen, measure, size, split, open_bar=True, **options)
    sizes = {f"{measure}_bar_size": size, "split_trades": split}
    got, waiting = run_bars(f"{measure}_bars", seen, cuts(1, len(seen)), **sizes, **options)
    assert_rows(got + waiting, expected)
    assert {part["is_closed"] for part in got} == {True}
    assert {part["is_closed"] for part in waiting} <= {False}
    wanted = bars(seen, measure, size, split, **options)
    assert_rows(bars_of(got), wanted)
    return wanted


@pytest.mark.parametrize(("measure", "size"), COMBINATIONS)
@pytest.mark.parametrize("split", [True, False], ids=["split", "whole"])
@pytest.mark.parametrize("name", ["events", "edges"])
def test_made_up_trades(name: str, measure: str, size: float, split: bool) -> None:
    wanted = check(trades_of(name), measure, size, split, max_gap=30)
    assert len(wanted) > 2
    assert any(bar["has_gap"] for bar in wanted)
    assert any(bar["unknown_volume"] for bar in wanted)
    if measure == "volume" and split:
        assert [bar["volume"] for bar in wanted] == pytest.approx([size] * len(wanted), rel=1e-12)


def test_larger_lots() -> None:
    check(trades_of("walk"), "volume", 1.0, True, lot_size=0.01)


def test_no_bar_is_full() -> None:
    seen = trades_of("walk")
    assert bar_parts(seen, "volume", 1e6) == []
    full, waiting = run_bars("volume_bars", seen, cuts(2, len(seen)), volume_bar_size=1e6)
    assert full == []
    assert_rows(waiting, bar_parts(seen, "volume", 1e6, open_bar=True))


@pytest.mark.parametrize(("measure", "size"), [("volume", 0.5), ("tick", 100), ("dollar", 1e5)])
def test_coin_trades(measure: str, size: float) -> None:
    seen = [trades.canonical(row) for row in keyed(realdata.binance_trades())]
    assert len(check(seen, measure, size, True)) > 5
