"""Imbalance and run bars against the oracle, over random walks, and under symmetries."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests.features.made import keyed
from tests.kernels.driving import assert_rows, run_bars
from tests.kernels.made import case, cuts, trades_around
from tests.oracles import trades
from tests.oracles.information_bars import information_bars
from tests.support import realdata

Row = dict[str, Any]
RULES = ("imbalance", "run")
SHORT = {"initial_ticks": 12, "min_ticks": 3, "max_ticks": 40, "ewma_span": 4}
UNITS = ("tick", "volume", "dollar")


def made() -> list[Row]:
    return trades_around(7, case("events"), 300)


def check(seen: list[Row], rule: str, **options: Any) -> list[Row]:
    """Compare the trades and their bars, in several batches; gives those of closed bars."""
    expected = information_bars(seen, rule, open_bar=True, **options)
    closed, waiting = run_bars(f"{rule}_bars", seen, cuts(3, len(seen)), **options)
    assert_rows(closed + waiting, expected)
    assert {part["is_closed"] for part in closed} == {True}
    # The bits do not depend on the batches.
    assert run_bars(f"{rule}_bars", seen, (), **options) == (closed, waiting)
    return closed


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rule", RULES)
def test_made_up_trades(rule: str, unit: str) -> None:
    closed = check(made(), rule, bar_unit=unit, max_gap=30, **SHORT)
    assert len({part["bar_id"] for part in closed}) > 5
    assert any(part["has_gap"] for part in closed)


@pytest.mark.parametrize("rule", RULES)
def test_signs_by_the_tick_rule(rule: str) -> None:
    by_rule = check(made(), rule, bar_classification="tick", **SHORT)
    assert by_rule != check(made(), rule, **SHORT)
    without = [{**trade, "side": None} for trade in made()]
    assert [part["bar_id"] for part in check(without, rule, **SHORT)] == [part["bar_id"] for part in by_rule]


@pytest.mark.parametrize("rule", RULES)
def test_coin_trades(rule: str) -> None:
    seen = [trades.canonical(row) for row in keyed(realdata.binance_trades())][:800]
    assert len({part["bar_id"] for part in check(seen, rule, bar_unit="dollar")}) > 5


def walk(seed: int, count: int, buys: float = 0.5) -> list[Row]:
    rng = random.Random(seed)
    return [
        {
            "ts": i,
            "price": 100.0 + rng.choice((0, 1)),
            "amount": rng.randint(1, 9) / 10,
            "side": 1 if rng.random() < buys else -1,
        }
        for i in range(count)
    ]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rule", RULES)
def test_a_random_walk_neither_explodes_nor_starves(rule: str, unit: str) -> None:
    """Bars settle at about the E[T] that is in force, at the bound towards which the book's rule drifts."""
    closed, waiting = run_bars(
        f"{rule}_bars", walk(1, 12_000), (), bar_unit=unit, min_ticks=50, initial_ticks=200, max_ticks=800
    )
    sizes = [*Counter(part["bar_id"] for part in closed).values()]
    assert 50 <= min(sizes) <= max(sizes) <= 800
    assert len(waiting) < 800
    settled = sizes[len(sizes) // 2 :]
    assert len(settled) > 10
    assert sum(settled) / len(settled) < 200


@pytest.mark.parametrize("rule", RULES)
def test_a_bar_without_surprise_ends_at_max_ticks(rule: str) -> None:
    """After bars of buys alone, trades in turn never reach the old expectation."""
    one_sided = walk(2, 60, buys=1.0)
    in_turn = [{**trade, "ts": 60 + i, "side": 1 if i % 2 else -1} for i, trade in enumerate(walk(3, 400))]
    closed, _ = run_bars(f"{rule}_bars", one_sided + in_turn, (), initial_ticks=20, min_ticks=20, max_ticks=30)
    assert max(Counter(part["bar_id"] for part in closed).values()) == 30


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rule", RULES)
def test_symmetries(rule: str, unit: str) -> None:
    seen = walk(4, 500, buys=0.6)
    closed, _ = run_bars(f"{rule}_bars", seen, (), bar_unit=unit, **SHORT)
    turned, _ = run_bars(f"{rule}_bars", [{**t, "side": -t["side"]} for t in seen], (), bar_unit=unit, **SHORT)
    assert [(part["bar_id"], part["side"]) for part in turned] == [(part["bar_id"], -part["side"]) for part in closed]
    scaled, _ = run_bars(f"{rule}_bars", [{**t, "price": 4 * t["price"]} for t in seen], (), bar_unit=unit, **SHORT)
    assert [part["bar_id"] for part in scaled] == [part["bar_id"] for part in closed]
    early, _ = run_bars(f"{rule}_bars", seen[:333], (), bar_unit=unit, **SHORT)
    assert early == closed[: len(early)]
    assert early


def test_bounds_that_contradict_each_other() -> None:
    with pytest.raises(Exception, match="initial_ticks 5 is not between min_ticks 10 and max_ticks 10000"):
        run_bars("run_bars", walk(5, 3), (), initial_ticks=5)
