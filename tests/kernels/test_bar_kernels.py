"""Kernels whose rows are parts of bars: numbers by hand, invariants, and batches."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.modes import examples
from udfs.kernel import NANOSECONDS, Array, Batch, Kernel
from udfs.trades.bars import DollarBars, TickBars, VolumeBars

S = NANOSECONDS
BUY, SELL, UNKNOWN = 1.0, -1.0, math.nan
NAN = math.nan
KINDS: tuple[type[Kernel], ...] = (VolumeBars, DollarBars, TickBars)

Trade = tuple[int, float, float, float]
"""Time in ns, price, amount, side (NaN: unknown)."""


class Maker:
    """A kind of bars with its state, fed batch by batch."""

    def __init__(self, kind: type[Kernel], **options: Any) -> None:
        every = {name: option.default for one in KINDS for name, option in one.options.items()}
        self.kernel = kind(every | options)
        self.names = [column.name for column in self.kernel.outputs()]
        self.state = self.kernel.start()

    def arrays(self, trades: Sequence[Trade]) -> Sequence[Array]:
        ts, price, amount, side = zip(*trades, strict=True) if trades else ((), (), (), ())
        columns = {"price": np.array(price, float), "amount": np.array(amount, float), "side": np.array(side, float)}
        return self.kernel.run(self.state, Batch(np.array(ts, np.int64), columns))

    def __call__(self, *trades: Trade) -> list[dict[str, Any]]:
        return self.rows(self.arrays(trades))

    def waiting(self) -> list[dict[str, Any]]:
        return self.rows(self.kernel.waiting(self.state))

    def rows(self, arrays: Sequence[Array]) -> list[dict[str, Any]]:
        return [dict(zip(self.names, row, strict=True)) for row in zip(*(a.tolist() for a in arrays), strict=True)]


def picked(parts: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(part[name] for name in names) for part in parts]


def test_volume_bars() -> None:
    bars = Maker(VolumeBars)
    parts = bars((1, 10.0, 0.5, BUY), (2, 11.0, 2.25, SELL), (3, 12.0, 0.75, UNKNOWN), (4, 13.0, 0.25, BUY))
    assert picked(parts, "bar_id", "ts", "price", "volume", "value", "side", "part_of_split") == [
        (0, 1, 10.0, 0.5, 5.0, 1, False),
        (0, 2, 11.0, 0.5, 5.5, -1, True),
        (1, 2, 11.0, 1.0, 11.0, -1, True),
        (2, 2, 11.0, 0.75, 8.25, -1, True),
        (2, 3, 12.0, 0.25, 3.0, 0, True),
    ]
    assert picked(parts, "lots") == [(50_000_000,), (50_000_000,), (100_000_000,), (75_000_000,), (25_000_000,)]
    assert all(part["is_closed"] and not part["has_gap"] for part in parts)
    assert picked(bars.waiting(), "bar_id", "ts", "volume", "part_of_split", "is_closed") == [
        (3, 3, 0.5, True, False),
        (3, 4, 0.25, False, False),
    ]
    # What waited comes with the trade that fills its bar.
    parts = bars((5, 14.0, 0.25, SELL))
    assert picked(parts, "bar_id", "ts", "volume", "is_closed") == [
        (3, 3, 0.5, True),
        (3, 4, 0.25, True),
        (3, 5, 0.25, True),
    ]
    assert bars.waiting() == []
    assert bars() == []
    assert (bars.state["open"][0].id, bars.state["open"][0].filled, bars.state["open"][0].last_ts) == (4, 0, 5)


def test_whole_trades() -> None:
    bars = Maker(VolumeBars, split_trades=False)
    parts = bars((1, 10, 0.5, BUY), (2, 10, 2.25, SELL), (3, 10, 1.0, BUY), (4, 10, 0.9, BUY))
    assert picked(parts, "bar_id", "ts", "volume", "part_of_split") == [
        (0, 1, 0.5, False),
        (0, 2, 2.25, False),
        (1, 3, 1.0, False),
    ]
    assert picked(bars.waiting(), "bar_id", "volume") == [(2, 0.9)]


def test_tick_bars() -> None:
    bars = Maker(TickBars, tick_bar_size=2)
    parts = bars((1, 10, 0.5, BUY), (2, NAN, 1, BUY), (2, 10, NAN, BUY), (3, 11, 7, SELL), (4, 12, 1e-9, BUY))
    assert picked(parts, "bar_id", "ts", "volume", "value", "lots") == [(0, 1, 0.5, 5.0, 1), (0, 3, 7.0, 77.0, 1)]
    assert picked(bars.waiting(), "bar_id", "ts", "volume") == [(1, 4, 1e-9)]


def test_dollar_bars() -> None:
    bars = Maker(DollarBars, dollar_bar_size=100.0)
    parts = bars((1, 10.0, 4.0, BUY), (2, 20.0, 12.0, SELL))
    assert picked(parts, "bar_id", "ts", "volume", "value") == [
        (0, 1, 4.0, 40.0),
        (0, 2, 3.0, 60.0),
        (1, 2, 5.0, 100.0),
    ]
    assert picked(bars.waiting(), "bar_id", "volume", "value") == [(2, 4.0, 80.0)]


def test_one_trade_that_fills_many_bars() -> None:
    parts = Maker(VolumeBars, volume_bar_size=0.1)((1, 10, 1.05, BUY))
    assert picked(parts, "bar_id", "lots", "volume") == [(i, 10_000_000, 0.1) for i in range(10)]


def test_a_gap_is_marked_and_breaks_no_bar() -> None:
    bars = Maker(VolumeBars, volume_bar_size=2.0, max_gap=10)
    parts = bars((0, 10, 1, BUY), (5 * S, NAN, 1, BUY), (10 * S + 1, 10, 3, BUY), (20 * S + 1, 10, 1, BUY))
    # The rest of a cut trade follows without a gap.
    assert picked(parts, "bar_id", "ts", "has_gap") == [
        (0, 0, False),
        (0, 10 * S + 1, True),
        (1, 10 * S + 1, False),
    ]
    assert picked(bars((30 * S + 2, 10, 1, BUY)), "bar_id", "has_gap") == [(2, False), (2, True)]


def test_trades_of_less_than_half_a_lot_do_not_count() -> None:
    bars = Maker(VolumeBars, lot_size=0.1)
    assert bars((1, 10, 0.04, BUY), (2, NAN, 1.0, BUY), (3, 10, NAN, BUY)) == []
    assert bars.waiting() == []
    assert picked(bars((4, 10, 0.96, BUY)), "ts", "lots", "volume") == [(4, 10, 1.0)]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (VolumeBars, {"volume_bar_size": 1e-9}, "volume_bar_size 1e-09 is less than one lot; lot_size is 1e-08"),
        (DollarBars, {"dollar_bar_size": 0.1, "lot_size": 1.0}, "dollar_bar_size 0.1 is less than one lot"),
    ],
)
def test_sizes_that_cannot_be_counted(kind: type[Kernel], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Maker(kind, **options)


def test_trades_that_cannot_be_counted() -> None:
    with pytest.raises(ValueError, match=r"one trade would fill 5e.10 bars. Make them larger \(volume_bar_size\)"):
        Maker(VolumeBars)((1, 10, 5e10, BUY))


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("kind", [VolumeBars, DollarBars])
@pytest.mark.parametrize("split", [True, False])
def test_bars_of_any_scale(kind: type[Kernel], scale: float, split: bool) -> None:
    """Trades that fill bars exactly do so at every scale: their doubles are those of decimals."""
    rng = np.random.default_rng(8)
    prices, amounts = rng.integers(8_000_000, 9_000_000, 400) / 100, rng.integers(1, 5000, 400) / 100
    size = f"{kind.name.removesuffix('s')}_size"
    base = 25.0 if kind is VolumeBars else 2_500_000.0
    small = Maker(kind, **{size: base, "split_trades": split})
    large = Maker(kind, **{size: base * scale, "split_trades": split})
    trades = [(i, float(p), float(a), BUY) for i, (p, a) in enumerate(zip(prices, amounts, strict=True))]
    expected = small(*trades)
    found = large(*[(t, p, float(f"{a:.2f}") * scale, s) for t, p, a, s in trades])
    assert len(expected) > 300
    assert picked(found, "bar_id", "ts", "part_of_split") == picked(expected, "bar_id", "ts", "part_of_split")
    for name in ("volume", "value"):
        got, want = ([row[name] for row in rows] for rows in (found, expected))
        assert got == pytest.approx([value * scale for value in want], rel=1e-9, abs=1e-6 * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_above_zero(kind: type[Kernel]) -> None:
    option = kind.options[f"{kind.name.removesuffix('s')}_size"]
    with pytest.raises(ValueError, match="greater than 0"):
        option.check(0)


# --- Invariants and batches -----------------------------------------------------------------------------------------

CASES: dict[str, tuple[type[Kernel], dict[str, Any]]] = {
    "volume": (VolumeBars, {"volume_bar_size": 0.7}),
    "whole volume": (VolumeBars, {"volume_bar_size": 0.7, "split_trades": False}),
    "dollar": (DollarBars, {"dollar_bar_size": 33.33}),
    "whole dollar": (DollarBars, {"dollar_bar_size": 33.33, "split_trades": False}),
    "tick": (TickBars, {"tick_bar_size": 3}),
}


@st.composite
def markets(draw: st.DrawFn) -> list[Trade]:
    """Trades in time order, with ties, gaps and what is not valid."""
    n = draw(st.integers(0, 40))
    pauses = st.sampled_from([0, 1, S, 300 * S, 301 * S])
    ts = np.cumsum(draw(st.lists(pauses, min_size=n, max_size=n))).tolist()
    prices = st.sampled_from([NAN, 100.0, 100.01, 99.99, 3.0])
    amounts = st.sampled_from([NAN, 1e-9, 0.01, 0.1, 0.25, 0.7, 1.0, 3.3])
    sides = st.sampled_from([BUY, SELL, UNKNOWN])
    return [(t, draw(prices), draw(amounts), draw(sides)) for t in ts]


def stored(arrays: Sequence[Array]) -> list[tuple[str, tuple[int, ...], bytes]]:
    return [(array.dtype.str, array.shape, array.tobytes()) for array in arrays]


@pytest.mark.parametrize("name", CASES)
@examples(60)
@given(data=st.data())
def test_batches_do_not_matter(name: str, data: st.DataObject) -> None:
    trades = data.draw(markets())
    cuts = data.draw(st.one_of(st.just(range(len(trades))), st.lists(st.integers(0, len(trades)), max_size=5)))
    kind, options = CASES[name]
    whole, parts = Maker(kind, **options), Maker(kind, **options)
    expected = whole.arrays(trades)
    edges = [0, *sorted(cuts), len(trades)]
    pieces = [parts.arrays(trades[edges[i] : edges[i + 1]]) for i in range(len(edges) - 1)]
    found = [np.concatenate([piece[i] for piece in pieces]) for i in range(len(expected))]
    assert stored(found) == stored(expected)
    assert list(whole.state) == list(parts.state)
    assert stored(list(whole.state.values())) == stored(list(parts.state.values()))
    # All parts, also those that wait, are those of a longer history; only the last bar is not full.
    assert [row["bar_id"] for row in whole.waiting()] == [int(whole.state["open"][0].id)] * len(whole.waiting())


@pytest.mark.parametrize("name", CASES)
@examples(60)
@given(trades=markets())
def test_nothing_is_lost_and_bars_are_full(name: str, trades: list[Trade]) -> None:
    kind, options = CASES[name]
    maker = Maker(kind, **options)
    closed = maker(*trades)
    rows = closed + maker.waiting()
    measures = {
        VolumeBars: lambda p, v: round(v * 1e8),
        DollarBars: lambda p, v: round(p * v * 1e8),
        TickBars: lambda p, v: 1,
    }
    good = [(ts, p, v, s) for ts, p, v, s in trades if p == p and v == v and measures[kind](p, v) > 0]
    assert sum(row["lots"] for row in rows) == sum(measures[kind](p, v) for _, p, v, _ in good)
    assert sum(row["volume"] for row in rows) == pytest.approx(sum(v for _, _, v, _ in good), rel=1e-12)
    full: dict[int, int] = defaultdict(int)
    for row in closed:
        full[row["bar_id"]] += row["lots"]
    assert list(full) == list(range(len(full)))
    size = {VolumeBars: 70_000_000, DollarBars: 3_333_000_000, TickBars: 3}[kind]
    if options.get("split_trades", True):
        assert set(full.values()) <= {size}
    else:
        lasts = {row["bar_id"]: row["lots"] for row in closed}
        assert all(full[bar] >= size > full[bar] - last for bar, last in lasts.items())
    for row in rows:
        assert row["value"] == row["price"] * row["volume"]
        assert row["side"] in (-1, 0, 1)
    assert [row["ts"] for row in rows] == sorted(row["ts"] for row in rows)


@pytest.mark.parametrize("name", CASES)
@examples(30)
@given(data=st.data())
def test_the_future_changes_nothing(name: str, data: st.DataObject) -> None:
    trades = data.draw(markets())
    end = data.draw(st.integers(0, len(trades)))
    kind, options = CASES[name]
    early, late = Maker(kind, **options)(*trades[:end]), Maker(kind, **options)(*trades)
    assert late[: len(early)] == early


def test_bars_that_are_far_too_small_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"1 trades would be cut into 100000000 parts. Make the bars larger"):
        Maker(VolumeBars, volume_bar_size=1e-8)((0, 100.0, 1.0, BUY))
