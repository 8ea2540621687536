"""Arithmetic at edges: levels on the edge of a band, half of a depth, equal sizes, trades that are none, sizes of 0."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.features.lake_checks import check, check_snapshots
from tests.features.made import MIDNIGHT, keyed

Row = dict[str, Any]
EDGES = (5, 10, 25, 50, 100)


def _books(*sides: tuple[Any, Any]) -> list[Row]:
    return keyed(
        [{"timestamp": MIDNIGHT + i * 1000, "bids": bids, "asks": asks} for i, (bids, asks) in enumerate(sides)]
    )


@pytest.mark.slow
def test_a_level_on_an_edge_lies_beyond_it(tmp_path: Path) -> None:
    """Decimal prices at exactly 5, 10, 25, 50 and 100 bps from mids of many sizes and digits."""
    mids = [
        Decimal(units) * Decimal(10) ** exponent for units in range(20_001, 90_000, 2_477) for exponent in (-8, -2, 1)
    ]
    sides = []
    for mid in mids:
        steps = [mid * bps / 10_000 for bps in (1, *EDGES)]
        sides.append(([(float(mid - s), 2.0) for s in steps], [(float(mid + s), 2.0) for s in steps]))
    for row in check_snapshots(tmp_path, _books(*sides)):
        assert [
            row[f"{side}_vol_band_{lower}_{upper}bps"]
            for side in ("bid", "ask")
            for lower, upper in zip((0, *EDGES), EDGES, strict=False)
        ] == [2.0] * 10
        assert row["depth_0_5bps"] == 4.0


@pytest.mark.slow
def test_a_hair_before_an_edge_is_not_on_it(tmp_path: Path) -> None:
    mid = 10_000.0
    near, on = 2e-6, 5e-7
    side = lambda sign: [(mid + sign * (bps), 1.0) for bps in (1, 5 - near, 10 - on, 25 + near, 60)]  # noqa: E731
    row = check_snapshots(tmp_path, _books((side(-1), side(1))))[0]
    assert [row[f"bid_vol_band_{band}bps"] for band in ("0_5", "5_10", "10_25", "25_50")] == [2.0, 0.0, 1.0, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "index"),
    [
        ((0.1, 0.2, 0.3), 1),  # 0.1 + 0.2 is more than half of the sum in floats, in any order
        ((0.3, 0.2, 0.1), 0),
        ((0.7, 0.1, 0.6), 0),
        ((0.1, 0.7, 0.8), 1),
        ((0.1,) * 20, 9),
        ((0.001, 0.3 - 0.001, 0.1, 0.2), 1),
        ((1e-8, 1e6, 1e6 + 1e-8), 1),
        ((123456.789, 0.011, 123456.8), 1),
        ((1.0, 1.0001, 1.0), 1),
        ((1.0, 0.9999, 2.0), 2),
    ],
)
def test_half_of_the_depth_at_a_tie(tmp_path: Path, sizes: tuple[float, ...], index: int) -> None:
    bids, asks = [[(100 + sign * (i + 1), size) for i, size in enumerate(sizes)] for sign in (-1, 1)]
    row = check_snapshots(tmp_path, _books((bids, asks)))[0]
    assert (row["bid_50pct_depth_levels"], row["ask_50pct_depth_levels"]) == (index, index)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bid", "bid_size", "ask", "ask_size"),
    [
        (88000.1, 0.7, 88000.2, 0.7),
        (88000.1, 0.7, 88000.2, 0.700001),
        (0.00001234, 1e9, 0.00001235, 1e9 + 1),
        (100.0, 2.0, 100.1, 1.0),
        (88000.1, 5.0, 88000.1, 3.0),
    ],
)
def test_the_lean_of_the_best_sizes(tmp_path: Path, bid: float, bid_size: float, ask: float, ask_size: float) -> None:
    row = check_snapshots(tmp_path, _books(([(bid, bid_size)], [(ask, ask_size)])))[0]
    b, sb, a, sa = (Fraction(x) for x in (bid, bid_size, ask, ask_size))
    exact = (b * sa + a * sb) / (sa + sb) - (a + b) / 2
    assert row["micro_minus_mid"] == pytest.approx(float(exact), rel=1e-15, abs=0)
    assert (bid_size != ask_size) or row["micro_minus_mid"] == 0.0


@pytest.mark.slow
def test_a_crossed_book_has_no_lean(tmp_path: Path) -> None:
    row = check_snapshots(tmp_path, _books(([(101.0, 1.0)], [(100.0, 2.0)])))[0]
    assert (row["micro_minus_mid"], row["relative_spread"]) == (None, None)
    assert row["microprice"] is not None


def _trade(second: int, price: float | None, amount: float | None = 1.0) -> Row:
    return {
        "timestamp": MIDNIGHT + second * 1000,
        "price": price,
        "amount": amount,
        "side": "buy",
        "trade_id": str(second),
    }


def test_a_trade_without_a_size_is_no_trade_for_any_column(tmp_path: Path) -> None:
    """A price of 999 without a size: no high, no variance, no end to a silence."""
    rows = [_trade(0, 100.0), _trade(1, 999.0, None), _trade(2, 999.0, 0.0), _trade(3, 101.0), _trade(70, 102.0)]
    rows += [_trade(300, 999.0, None), _trade(500, 103.0), _trade(600, 104.0)]
    expected = check(tmp_path, "trades_bars", keyed(rows), bar_durations=[60], max_gap=300)
    first, last = expected[0], expected[-1]
    assert (first["high"], first["close"], first["trade_count"]) == (101.0, 101.0, 2)
    assert first["realized_variance"] == pytest.approx(math.log(1.01) ** 2)
    assert (last["open"], last["has_gap"], last["realized_variance"]) == (103.0, True, None)
    rows = check(tmp_path / "features", "trades_features", keyed(rows))
    assert rows[-1]["realized_var_60s"] is None or rows[-1]["realized_var_60s"] < 1
    assert max(row["realized_var_900s"] or 0 for row in rows) < 1e-3


def test_a_size_of_zero_is_missing_in_a_ticker(tmp_path: Path) -> None:
    sizes = [(2.0, 1.0), (0.0, 1.0), (2.0, 0.0), (0.0, 0.0), (None, 1.0)]
    rows = [
        {
            "timestamp": MIDNIGHT + i * 1000,
            "bid": 10.0,
            "ask": 11.0,
            "bid_volume": b,
            "ask_volume": a,
            "base_volume": 0.0,
        }
        for i, (b, a) in enumerate(sizes)
    ]
    expected = check(tmp_path, "ticker_features", keyed(rows))
    assert [row["volume_imbalance"] for row in expected] == [pytest.approx(1 / 3), None, None, None, None]
    assert [row["bid_volume"] for row in expected] == [2.0, None, 2.0, None, None]
    assert expected[-1]["vol_imbalance_mean_60s"] == pytest.approx(1 / 3)
