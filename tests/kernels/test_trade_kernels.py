"""Kernels over trades beside rows: numbers by hand, invariants, and batches."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.kernels import over_trades
from tests.support.modes import examples, rows_of
from udfs.kernel import NANOSECONDS, Batch, Trades
from udfs.pipeline import Pipeline
from udfs.trades.vpin import Vpin

S = NANOSECONDS
DAY = 86_400 * S
BUY, SELL, UNKNOWN = 1, -1, 0
NAN = math.nan

Trade = tuple[int, float, float, int]
"""Time in ns, price, amount, side."""
Row = tuple[int, float]
"""Time in ns, mid price."""


def tape(trades: Sequence[Trade]) -> Trades:
    ts, price, amount, side = zip(*trades, strict=True) if trades else ((), (), (), ())
    return Trades(
        np.array(ts, np.int64), np.array(price, np.float64), np.array(amount, np.float64), np.array(side, np.int8)
    )


class Feed:
    """A pipeline with its state, fed batch by batch."""

    def __init__(self, *kernels: str, **options: Any) -> None:
        self.pipeline = Pipeline.of(kernels, {"vpin_bucket_volume": "1.0"} | options)
        self.state = self.pipeline.start()

    def __call__(self, rows: Sequence[Row], trades: Sequence[Trade] | None) -> dict[str, list[float]]:
        ts, mid = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float64)
        batch = Batch(ts, {"mid_price": mid}, None if trades is None else tape(trades))
        return {name: array.tolist() for name, array in self.pipeline.run(self.state, batch).items()}

    def vpin(self, *trades: Trade, until: int | None = None) -> float:
        """VPIN after these trades."""
        return self([(until if until is not None else trades[-1][0], NAN)], trades)["vpin"][0]

    @property
    def buckets(self) -> Mapping[str, Any]:
        """The state of VPIN's buckets, volumes in units."""
        state = self.state["vpin"]
        now = state["buckets.open"][0]
        n = min(now.closed, len(state["buckets.sizes"]))
        return {
            "filled": now.filled / 1e8,
            "net": now.net / 1e8,
            "size": now.capacity / 1e8,
            "closed": now.closed,
            "imbalances": (state["buckets.imbalances"][:n] / 1e8).tolist(),
            "sizes": (state["buckets.sizes"][:n] / 1e8).tolist(),
        }


def same(found: Sequence[float], expected: Sequence[float], tolerance: float = 1e-12) -> bool:
    return found == pytest.approx(list(expected), rel=tolerance, abs=1e-15, nan_ok=True)


# --- VPIN -----------------------------------------------------------------------------------------------------------


def test_vpin_golden_vector() -> None:
    feed = Feed("vpin", vpin_window_buckets=4)
    found = feed([(1, NAN), (2, NAN), (3, NAN)], [(1, 100, 2.5, BUY), (2, 100, 0.75, SELL), (3, 100, 1, BUY)])
    assert same(found["vpin"], [NAN, NAN, 0.625])
    assert feed.buckets == {
        "filled": 0.25,
        "net": 0.25,
        "size": 1.0,
        "closed": 4,
        "imbalances": [1.0, 1.0, 0.0, 0.5],
        "sizes": [1.0] * 4,
    }


def test_a_trade_over_several_buckets_loses_nothing() -> None:
    feed = Feed("vpin", vpin_window_buckets=3)
    assert feed.vpin((1, 100, 3.5, BUY)) == 1.0
    assert feed.buckets["imbalances"] == [1.0, 1.0, 1.0]
    assert (feed.buckets["filled"], feed.buckets["net"]) == (0.5, 0.5)


def test_a_bucket_of_exactly_its_size_is_closed() -> None:
    feed = Feed("vpin", vpin_window_buckets=1, vpin_bucket_volume="0.3")
    assert feed.vpin((1, 100, 0.1, BUY), (2, 100, 0.2, BUY)) == 1.0
    assert feed.buckets["filled"] == 0.0


def test_only_the_last_buckets_count() -> None:
    feed = Feed("vpin", vpin_window_buckets=2)
    assert feed.vpin((1, 100, 2, BUY)) == 1.0
    assert feed.vpin((2, 100, 0.5, BUY), (2, 100, 0.5, SELL)) == 0.5
    assert feed.vpin((3, 100, 0.75, SELL), (3, 100, 0.25, BUY)) == 0.25


def test_many_buckets_in_one_trade_are_as_many_trades() -> None:
    one, many = (Feed("vpin", vpin_window_buckets=7) for _ in range(2))
    before, after = (1, 100, 0.4, SELL), (2, 100, 0.3, SELL)
    once = one.vpin(before, (1, 100, 1000, BUY), after)
    assert once == many.vpin(before, *[(1, 100, 0.5, BUY)] * 2000, after)
    assert one.buckets == many.buckets
    assert {**one.buckets, "imbalances": sorted(one.buckets["imbalances"])} == {
        **one.buckets,
        "closed": 1000,
        "imbalances": [1.0] * 7,
    }


def test_a_trade_of_a_billion_buckets_takes_no_time() -> None:
    feed = Feed("vpin", vpin_bucket_volume="1e-8")
    assert feed.vpin((1, 100, 10, SELL)) == 1.0
    assert feed.buckets["closed"] == 1_000_000_000


def test_trades_without_price_or_amount_are_ignored() -> None:
    good: list[Trade] = [(1, 100, 1, BUY), (2 * S, 101, 1, UNKNOWN), (3 * S, 101, 1, SELL)]
    bad: list[Trade] = [(S, NAN, 5, SELL), (S, 90, NAN, SELL), (S, 90, 4e-9, SELL), (S, NAN, NAN, SELL)]
    clean, mixed = (Feed("vpin", vpin_window_buckets=3) for _ in range(2))
    assert clean.vpin(*good) == mixed.vpin(good[0], *bad, *good[1:]) == 1.0
    assert clean.buckets == mixed.buckets


def test_silence_of_the_tape_is_no_gap() -> None:
    feed = Feed("vpin", vpin_window_buckets=1, max_gap=10)
    rows = [(i * 10 * S, NAN) for i in range(8)]
    assert feed(rows, [(1, 100, 0.75, BUY), (65 * S, 100, 0.25, SELL)])["vpin"][-1] == 0.5


def test_the_start_of_a_segment_throws_the_open_bucket_away() -> None:
    feed = Feed("vpin", vpin_window_buckets=2, max_gap=10)
    # A history starts with its first row: nothing lies before that.
    feed.vpin((0, 100, 1.5, BUY), until=S)
    assert math.isnan(feed.vpin((10 * S, 100, 0.25, SELL), until=11 * S))
    assert (feed.buckets["filled"], feed.buckets["net"]) == (0.75, 0.25)
    # What was traded before the first row of the new segment is dropped, what was traded with it is not.
    before, at = (20 * S, 100, 0.125, SELL), (21 * S + 1, 100, 0.5, SELL)
    assert math.isnan(feed.vpin(before, at, until=21 * S + 1))
    assert (feed.buckets["filled"], feed.buckets["net"], feed.buckets["closed"]) == (0.5, -0.5, 1)
    assert feed.vpin((30 * S + 2, 100, 0.5, BUY)) == 0.5
    assert feed.buckets["imbalances"] == [1.0, 0.0]
    # A bucket that closes before the new segment starts is kept.
    assert feed.vpin((35 * S, 100, 1.5, BUY), until=50 * S) == 0.5
    assert (feed.buckets["filled"], feed.buckets["closed"]) == (0.0, 3)


def test_a_segment_drops_price_changes_and_sigma_of_bulk_classification() -> None:
    options: dict[str, Any] = {"vpin_window_buckets": 1, "vpin_bulk_seconds": 1, "max_gap": 10}
    closes = [100.0, 101.0, 103.0, 102.0]

    def after(gap: int) -> list[float]:
        feed = Feed("vpin", vpin_classification="bulk", **options)
        for i, close in enumerate(closes):
            feed.vpin((i * S, close, 1, UNKNOWN))
        return [feed.vpin((i * S + gap, close - 1.5, 1, UNKNOWN)) for i, close in enumerate(closes, 4)]

    assert after(0)[1] > 0.5  # the bar of 98.5, against the changes before
    assert after(10 * S)[1:3] == [0.0, 0.0]  # no price before, and then no changes


def test_value_at_a_row_uses_trades_up_to_its_time() -> None:
    trades: list[Trade] = [(10, 100, 1, BUY), (20, 100, 1, SELL), (20, 100, 0.5, BUY), (21, 100, 0.5, SELL)]
    found = Feed("vpin", vpin_window_buckets=1)([(9, NAN), (10, NAN), (20, NAN), (20, NAN), (21, NAN)], trades)
    assert same(found["vpin"], [NAN, 1, 1, 1, 0])


def test_tick_rule() -> None:
    trades: list[Trade] = [
        (1, 100, 1, SELL),  # nothing before: no sign
        (2, 101, 1, SELL),  # up
        (3, 101, 1, SELL),  # as before
        (4, 100, 1, BUY),  # down
        (5, 100, 1, BUY),  # as before
    ]
    feed = Feed("vpin", vpin_classification="tick", vpin_window_buckets=1, vpin_bucket_volume="5")
    assert feed.vpin(*trades) == 0.0
    feed = Feed("vpin", vpin_classification="tick", vpin_window_buckets=1, vpin_bucket_volume="3")
    assert feed.vpin(*trades[:3]) == pytest.approx(2 / 3)
    # The side goes before the price; where it is unknown the price decides, also prices of trades with a side.
    unknown: list[Trade] = [(1, 100, 1, BUY), (2, 101, 1, SELL), (3, 101, 1, UNKNOWN), (4, 99, 1, UNKNOWN)]
    feed = Feed("vpin", vpin_window_buckets=4)
    feed.vpin(*unknown)
    assert feed.buckets["imbalances"] == [1.0] * 4
    feed = Feed("vpin", vpin_window_buckets=1, vpin_bucket_volume="4")
    assert feed.vpin(*unknown) == 0.0
    feed = Feed("vpin", vpin_window_buckets=1, vpin_bucket_volume="3")
    assert feed.vpin(*unknown) == pytest.approx(1 / 3)


def test_a_trade_of_unknown_side_counts_half_and_half() -> None:
    feed = Feed("vpin", vpin_window_buckets=1, vpin_bucket_volume="4")
    assert feed.vpin((1, 100, 1, UNKNOWN), (2, 100, 3, SELL)) == 0.75


def test_bulk_classification() -> None:
    feed = Feed("vpin", vpin_classification="bulk", vpin_window_buckets=1, vpin_bulk_seconds=60)
    closes = [100.0, 101.0, 100.5, 102.0, 102.0, 101.0]
    changes = [b - a for a, b in itertools.pairwise(closes)]
    for i, close in enumerate(closes):
        # The bar closes with what comes at its end or later: here a row.
        start = i * 60 * S
        before = feed.buckets["closed"]
        feed.vpin((start, 7.0, 0.25, BUY), (start + 59 * S, close, 0.75, SELL), until=start + 60 * S - 1)
        assert feed.buckets["closed"] == before
        found = feed([(start + 60 * S, NAN)], [])["vpin"][0]
        known = changes[: i - 1] if i > 0 else []
        expected = 0.0
        if len(known) >= 2 and changes[i - 1] != 0:
            share = statistics.NormalDist().cdf(changes[i - 1] / statistics.stdev(known))
            expected = abs(2 * share - 1)
        assert found == pytest.approx(expected, rel=1e-12)
    assert found > 0.1


def test_bulk_bars_close_with_trades_too() -> None:
    feed = Feed("vpin", vpin_classification="bulk", vpin_window_buckets=1, vpin_bulk_seconds=1)
    feed.vpin((0, 100, 1, BUY), (S, 101, 0.5, BUY))
    assert (feed.buckets["closed"], feed.buckets["filled"]) == (1, 0.0)
    feed.vpin((2 * S - 1, 101, 0.25, BUY))
    assert (feed.buckets["closed"], feed.buckets["filled"]) == (1, 0.0)
    feed.vpin((2 * S, 101, 1, BUY))
    assert (feed.buckets["closed"], feed.buckets["filled"]) == (1, 0.75)


def test_bulk_classification_of_even_price_changes_is_half_and_half() -> None:
    # 0.1 is not a double: these changes differ in their last bits, which is not a spread of price changes.
    feed = Feed("vpin", vpin_classification="bulk", vpin_window_buckets=1, vpin_bulk_seconds=1)
    for i in range(12):
        feed.vpin((i * S, round(100 + i / 10, 1), 1, BUY))
    assert feed.vpin((12 * S, 107, 1, BUY)) == 0.0
    # The change to 107 stands out, but sigma comes from the bars before it.
    assert feed.vpin((13 * S, 107, 1, BUY)) == 0.0
    assert feed.vpin((14 * S, 108, 1, BUY)) == 0.0
    assert feed.vpin((15 * S, 108, 1, BUY)) > 0.3


def test_sigma_of_bulk_classification_comes_from_the_last_bars() -> None:
    feed = Feed("vpin", vpin_classification="bulk", vpin_window_buckets=1, vpin_bulk_seconds=1, vpin_bulk_bars=3)
    closes = [100.0, 150.0, 151.0, 153.0, 152.0, 152.5]
    for i, close in enumerate(closes):
        feed.vpin((i * S, close, 1, UNKNOWN))
    sigma = statistics.stdev([1.0, 2.0, -1.0])
    assert feed.vpin((6 * S, 152.5, 1, UNKNOWN)) == pytest.approx(math.erf(0.5 / sigma / math.sqrt(2)), rel=1e-12)


def test_daily_volume_sets_the_bucket() -> None:
    feed = Feed("vpin", vpin_bucket_volume="adv/50", vpin_window_buckets=1)
    # The feed starts at noon: its first day is not whole, the second is.
    feed.vpin((DAY // 2, 100, 1000, BUY))
    feed.vpin((DAY + DAY // 3, 100, 60, BUY), (DAY + DAY // 2, 100, 40, BUY))
    assert feed.buckets["closed"] == 0
    assert math.isnan(feed.vpin((2 * DAY, 100, 1, BUY)))
    assert (feed.buckets["size"], feed.buckets["filled"]) == (2.0, 1.0)
    assert feed.vpin((2 * DAY + 1, 100, 2, BUY)) == 1.0
    assert (feed.buckets["size"], feed.buckets["filled"]) == (2.0, 1.0)


def test_the_open_bucket_keeps_its_size_over_midnight() -> None:
    feed = Feed("vpin", vpin_bucket_volume="adv/50", vpin_window_buckets=2, max_gap=2 * 86_400)
    # The first day is whole: its first trade comes within max_gap of midnight.
    assert feed.vpin((0, 100, 100, BUY), (DAY, 100, 3, BUY), (2 * DAY, 100, 1, SELL)) == 0.5
    assert (feed.buckets["sizes"], feed.buckets["imbalances"]) == ([2.0, 2.0], [2.0, 0.0])
    # From here on a bucket has a fiftieth of (100 + 3) / 2.
    assert feed.vpin((2 * DAY + 1, 100, 1.03, SELL)) == pytest.approx((0.0 + 1.03) / 3.03, rel=1e-15)


@pytest.mark.parametrize(("first", "known"), [(0, True), (300 * S, True), (300 * S + 1, False)])
def test_the_first_day_is_whole_if_the_feed_was_there_at_midnight(first: int, known: bool) -> None:
    feed = Feed("vpin", vpin_bucket_volume="adv/50", vpin_window_buckets=1)
    feed.vpin((first, 100, 50, BUY))
    assert math.isnan(feed.vpin((DAY, 100, 1, BUY))) != known


@pytest.mark.slow
def test_daily_volume_of_the_last_twenty_days() -> None:
    feed = Feed("vpin", vpin_bucket_volume="adv/50", vpin_window_buckets=1, lot_size=1)
    volumes = [5000, *range(100, 2101, 100)]
    feed.vpin(*[(day * DAY, 100.0, float(volume), BUY) for day, volume in enumerate(volumes)])
    feed.vpin((len(volumes) * DAY, 100, 100, BUY))
    assert feed.state["vpin"]["days.today"][0].bucket_size == round(Fraction(sum(volumes[-20:]), 20 * 50)) == 23


def test_a_daily_volume_of_less_than_a_lot_per_bucket_gives_buckets_of_one_lot() -> None:
    feed = Feed("vpin", vpin_bucket_volume="adv/50", vpin_window_buckets=3, lot_size=1)
    feed.vpin((0, 100, 24, BUY))
    assert feed.vpin((DAY, 100, 3, BUY)) == 1.0
    now = feed.state["vpin"]["buckets.open"][0]
    assert (now.filled, now.capacity, now.closed) == (0, 1, 3)


def test_vpin_can_be_switched_off() -> None:
    assert Feed("vpin", enable_vpin=False)([(1, NAN)], [(1, 100, 1, BUY)]) == {}


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e999", "adv", "adv/20", "one", ""])
def test_bucket_volume_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=f"a number above 0, or 'adv/50'; found '{text}'"):
        Feed("vpin", vpin_bucket_volume=text)


def test_bucket_volume_of_less_than_a_lot() -> None:
    with pytest.raises(ValueError, match="vpin_bucket_volume 1e-09 is less than one lot; lot_size is 1e-08"):
        Feed("vpin", vpin_bucket_volume="1e-9")


@pytest.mark.parametrize("scale", [1e6, 1e12, 1e20, 1e290])
@pytest.mark.parametrize("classification", ["aggressor", "tick", "bulk"])
def test_volumes_of_any_scale(scale: float, classification: str) -> None:
    """Coins of which a day trades billions, and trades of any size: the same numbers as where they are small."""
    rng = np.random.default_rng(5)
    days, each = 4, 60
    ts = [day * DAY + i * 1200 * S for day in range(days) for i in range(each)]
    amounts = rng.integers(1, 1000, len(ts)).astype(float)
    prices = 100 + np.cumsum(rng.integers(-1, 2, len(ts))) / 8
    sides = rng.choice([BUY, SELL, UNKNOWN], len(ts))
    chosen: dict[str, Any] = {
        "vpin_classification": classification,
        "vpin_bulk_seconds": 3600,
        "vpin_window_buckets": 9,
    }
    for volume, scaled in (("adv/50", "adv/50"), ("700", repr(700 * scale))):
        trades = list(zip(ts, prices.tolist(), amounts.tolist(), sides.tolist(), strict=True))
        large = [(t, price, amount * scale, side) for t, price, amount, side in trades]
        rows = [(t, NAN) for t in ts]
        options = {"vpin_bucket_volume": volume, **chosen, "max_gap": None}
        expected = Feed("vpin", **options)(rows, trades)["vpin"]
        found = Feed("vpin", **options | {"vpin_bucket_volume": scaled})(rows, large)["vpin"]
        assert sum(not math.isnan(value) for value in expected) > 100
        if scale < 1e22:  # a double holds such powers of ten
            assert same(found, expected, 1e-9)
        assert [math.isnan(value) for value in found].count(False) > 100
        assert all(math.isnan(value) or 0 <= value <= 1 for value in found)


def test_a_fixed_volume_and_trades_of_any_size() -> None:
    """A trade of more lots than can be counted fills buckets just as its digits say."""
    for amount in (5e10, 3e15, 7e22, 123456789e30, 1.5e300):
        feed = Feed("vpin", vpin_window_buckets=5, vpin_bucket_volume="0.7")
        assert feed.vpin((1, 100, 0.3, SELL), (2, 100, amount, BUY)) == 1.0
        filled = (Fraction("0.3") + Fraction(repr(amount))) % Fraction("0.7")
        assert feed.buckets["filled"] == pytest.approx(float(filled), rel=1e-12)
        net = abs(2 * filled - Fraction("0.7"))
        assert feed.vpin((3, 100, 0.7 - float(filled), SELL)) == pytest.approx(
            float((Fraction("2.8") + net) / Fraction("3.5"))
        )


def test_the_lot_of_a_symbol_follows_its_days() -> None:
    """One day of trillions makes lots coarser, from the day after on; when it is forgotten, they are fine again."""
    options: dict[str, Any] = {"vpin_bucket_volume": "adv/50", "vpin_window_buckets": 3, "max_gap": None}
    feed = Feed("vpin", **options)
    exponents, trades, found = [], [], []
    for day in range(50):
        scale = 1e13 if day == 5 else 1.0
        todays: list[Trade] = [
            (day * DAY + i * 600 * S, 100, (1 + i % 7) * scale, BUY if i % 3 else SELL) for i in range(100)
        ]
        trades += todays
        found.append(feed.vpin(*todays))
        exponents.append(int(feed.state["vpin"]["days.today"][0].exponent))
    assert exponents[:6] == [0] * 6
    assert all(exponent > 0 for exponent in exponents[6:26])
    # The same in one batch, row by row.
    rows = [(trade[0], NAN) for trade in trades]
    whole = Feed("vpin", **options)(rows, trades)["vpin"]
    assert same(whole[99::100], found, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vpin_classification", "side"),
        ("vpin_window_buckets", 0),
        ("vpin_bulk_seconds", 0),
        ("vpin_bulk_bars", 1),
        ("lot_size", 0.0),
        ("max_gap", 0.0),
    ],
)
def test_options_are_bounded(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(Vpin.options[name].doc)):
        Vpin.options[name].check(value)


# --- TFI ------------------------------------------------------------------------------------------------------------


def test_flow_by_row() -> None:
    rows = [(0, 1.0), (S, 1.0), (S, 1.0), (2 * S, 1.0), (3 * S, 1.0), (4 * S, 1.0)]
    trades: list[Trade] = [
        (0, 100, 64, BUY),  # with the first row of the segment: counts nowhere
        (1, 100, 3, BUY),
        (S, 100, 1, SELL),  # before both rows of its time
        (S, 100, 2, UNKNOWN),
        (S, NAN, 9, BUY),
        (3 * S, 100, 2, UNKNOWN),
        (3 * S + 1, 100, 5, SELL),
    ]
    found = Feed("tfi", horizons=[1, 2])(rows, trades)
    assert same(found["buy_volume"], [NAN, 3, 0, 0, 0, 0])
    assert same(found["sell_volume"], [NAN, 1, 0, 0, 0, 5])
    assert same(found["trade_volume"], [NAN, 6, 0, 0, 2, 5])
    assert same(found["tfi"], [NAN, 0.5, NAN, NAN, NAN, -1])
    assert same(found["trade_vol_1s"], [0, 6, 6, 0, 2, 5])
    assert same(found["tfi_1s"], [NAN, 0.5, 0.5, NAN, NAN, -1])
    assert same(found["trade_vol_2s"], [0, 6, 6, 6, 2, 7])
    assert same(found["tfi_2s"], [NAN, 0.5, 0.5, 0.5, NAN, -1])


def test_flow_starts_anew_with_a_segment() -> None:
    rows = [(0, 1.0), (S, 1.0), (12 * S, 1.0), (13 * S, 1.0)]
    trades: list[Trade] = [(S, 100, 1, BUY), (11 * S, 100, 2, BUY), (12 * S, 100, 4, BUY), (12 * S + 1, 100, 8, SELL)]
    found = Feed("tfi", horizons=[60], max_gap=10)(rows, trades)
    assert same(found["buy_volume"], [NAN, 1, NAN, 0])
    assert same(found["trade_vol_60s"], [NAN, 1, 0, 8])
    assert same(found["tfi_60s"], [NAN, 1, NAN, -1])


def test_volume_is_0_where_nothing_was_traded_once_the_feed_is_live() -> None:
    rows = [(i * S, 1.0) for i in range(5)]
    found = Feed("tfi", horizons=[1])(rows, [(2 * S, 100, 3, BUY)])
    assert same(found["trade_vol_1s"], [NAN, NAN, 3, 0, 0])
    assert same(found["tfi_1s"], [NAN, NAN, 1, NAN, NAN])
    # A trade without a price or an amount is none.
    found = Feed("tfi", horizons=[1])(rows, [(S, NAN, 3, BUY), (S, 100, NAN, BUY)])
    assert same(found["trade_vol_1s"], [NAN] * 5)


def test_flow_is_unknown_where_there_are_no_trades_to_read() -> None:
    feed = Feed("tfi", "vpin", "kyle_lambda", horizons=[60])
    trades: list[Trade] = [(S, 100, 1, BUY)]
    assert feed([(0, 1.0), (S, 1.0)], trades)["tfi_60s"][1] == 1
    unknown = feed([(2 * S, 1.0), (3 * S, 1.0)], None)
    given = ("tfi", "tfi_60s", "trade_vol_60s", "buy_volume", "sell_volume", "trade_volume", "vpin", "kyle_lambda")
    assert all(same(unknown[name], [NAN, NAN]) for name in given)
    # What was traded before and at the first row after is not known in full.
    after = feed([(4 * S, 1.0), (5 * S, 1.0)], [(4 * S, 100, 2, BUY), (5 * S, 100, 4, SELL)])
    assert same(after["trade_volume"], [NAN, 4])
    assert same(after["trade_vol_60s"], [0, 4])


@pytest.mark.parametrize("huge", [1e12, 1e40])
def test_a_long_window_does_not_drift(huge: float) -> None:
    rng = np.random.default_rng(7)
    n = rows_of(20_000)
    # A huge trade that comes and goes must leave nothing behind.
    amounts = np.where(np.arange(n) == n // 2, huge, np.round(rng.exponential(0.01, n), 6) + 1e-6)
    times = np.arange(n) * (S // 20)
    trades: list[Trade] = list(
        zip(times.tolist(), [100.0] * n, amounts.tolist(), rng.choice([1, -1], n).tolist(), strict=True)
    )
    found = Feed("tfi", horizons=[60])([(int(t), 1.0) for t in times], trades)
    last = [trade for trade in trades if trade[0] > times[-1] - 60 * S]
    signed = sum(Fraction(amount) * side for _, _, amount, side in last)
    volume = sum(Fraction(amount) for _, _, amount, _ in last)
    assert found["trade_vol_60s"][-1] == float(volume)
    assert found["tfi_60s"][-1] == pytest.approx(float(signed / volume), rel=1e-15)


# --- Kyle's lambda --------------------------------------------------------------------------------------------------


def steps(volumes: Sequence[float], changes: Sequence[float]) -> tuple[list[Row], list[Trade]]:
    """Rows at full seconds whose mids change by ``changes``, and trades of signed ``volumes`` in between."""
    mids = 100 + np.concatenate(([0.0], np.cumsum(changes)))
    rows = [(i * S, float(mid)) for i, mid in enumerate(mids)]
    trades = [(i * S + S // 2, 1.0, abs(v), int(np.sign(v))) for i, v in enumerate(volumes) if v]
    return rows, trades


def test_lambda_of_an_exact_line() -> None:
    volumes = [1.0, -2.0, 0.0, 4.0, -1.0] * 8
    found = Feed("kyle_lambda")(*steps(volumes, [0.25 + 0.5 * v for v in volumes]))["kyle_lambda"]
    assert all(math.isnan(value) for value in found[:30])
    assert same(found[30:], [0.5] * 11)


def test_lambda_of_a_window() -> None:
    rng = np.random.default_rng(3)
    volumes, changes = rng.integers(-4, 5, 120).astype(float), rng.integers(-4, 5, 120) / 8
    found = Feed("kyle_lambda", kyle_window=40)(*steps(volumes, changes))["kyle_lambda"]
    for i in range(30, 121):
        x, y = volumes[max(i - 40, 0) : i], changes[max(i - 40, 0) : i]
        assert found[i] == pytest.approx(statistics.linear_regression(x, y).slope, rel=1e-11, abs=1e-15)


def test_seconds_without_rows_and_trades_are_steps() -> None:
    rows = [(0, 100.0), (S, 101.0), (31 * S - 1, 101.0), (31 * S, 101.0)]
    found = Feed("kyle_lambda")(rows, [(1, 1.0, 2.0, BUY)])["kyle_lambda"]
    # Until 31 s - 1 ns 30 steps have ended: one with (2, 1) and 29 with (0, 0).
    assert same(found, [NAN, NAN, 0.5, 0.5])
    found = Feed("kyle_lambda", kyle_window=30)(rows, [(1, 1.0, 2.0, BUY)])["kyle_lambda"]
    assert same(found[2:], [0.5, NAN])


def test_a_step_needs_mids_at_both_ends_in_the_segment() -> None:
    half = [(i * S + S // 2, 100.0 + i) for i in range(32)]
    trades = [(i * S + S // 2, 1.0, 1.0 + i % 2, BUY) for i in range(1, 32)]
    # The first mid at a full second is that at 1 s: the 30th step ends at 31 s.
    found = Feed("kyle_lambda")(half, trades)["kyle_lambda"]
    assert [math.isnan(value) for value in found] == [True] * 31 + [False]
    # With a row at 0 s there is one step more.
    found = Feed("kyle_lambda")([(0, 99.0), *half], trades)["kyle_lambda"]
    assert [math.isnan(value) for value in found] == [True] * 31 + [False] * 2
    # A row without a valid book has no mid, but it sees the steps that have ended.
    found = Feed("kyle_lambda")([(0, NAN), *half[:-1], (half[-1][0], NAN)], trades)["kyle_lambda"]
    assert [math.isnan(value) for value in found] == [True] * 32 + [False]


def test_steps_through_an_unknown_book_drop_out() -> None:
    """90 s of rows without a mid: neither the stale mid nor the jump at its end is a price change."""
    rng = np.random.default_rng(4)
    volumes, changes = rng.integers(-4, 5, 200).astype(float), rng.integers(-4, 5, 200) / 8
    rows, trades = steps(volumes, changes)
    unknown = [(ts, NAN if 60 * S <= ts < 150 * S else mid + 500 * (ts >= 150 * S)) for ts, mid in rows]
    found = Feed("kyle_lambda", kyle_window=120)(unknown, trades)["kyle_lambda"]
    for i, (ts, _) in enumerate(unknown):
        ends = [end for end in range(max(i - 120, 0) + 1, i + 1) if not (60 <= end < 150 or 60 <= end - 1 < 150)]
        if len(ends) < 30:
            assert math.isnan(found[i]), ts
            continue
        x, y = [volumes[end - 1] for end in ends], [changes[end - 1] for end in ends]
        assert found[i] == pytest.approx(statistics.linear_regression(x, y).slope, rel=1e-10, abs=1e-14)


def test_a_segment_start_clears_the_steps() -> None:
    volumes = [1.0, -2.0] * 20
    rows, trades = steps(volumes, [0.5 * v for v in volumes])
    later = [(t + 400 * S, mid) for t, mid in rows]
    traded = [(t + 400 * S, *rest) for t, *rest in trades]
    found = Feed("kyle_lambda")([*rows, *later], [*trades, *traded])["kyle_lambda"]
    assert same(found[:41], found[41:])
    assert found[-1] == pytest.approx(0.5)


def test_rows_of_the_same_second_revise_the_step() -> None:
    volumes = [1.0, -2.0, 0.0] * 10
    changes = [0.5 * v for v in volumes]
    rows, trades = steps(volumes, changes)
    wrong = [(t, mid + 3.0) for t, mid in rows]
    mixed = [row for pair in zip(wrong, [(t, NAN) for t, _ in rows], rows, strict=True) for row in pair]
    found = Feed("kyle_lambda")(mixed, trades)["kyle_lambda"]
    expected = [*changes[:-1], changes[-1] + 3.0]
    assert found[-3] == pytest.approx(statistics.linear_regression(volumes, expected).slope)
    assert math.isnan(found[-2])  # the last of 30 steps drops out while the mid at its end is not known
    assert found[-1] == pytest.approx(0.5)


def test_lambda_without_variation_of_volume() -> None:
    changes = [0.5, -0.25, 0.125] * 12
    for volumes in ([0.0] * 36, [0.1] * 36):
        found = Feed("kyle_lambda")(*steps(volumes, changes))["kyle_lambda"]
        assert all(math.isnan(value) for value in found)
    rows, _ = steps([0.0] * 36, changes)
    # 0.1 + 0.2 - 0.3 is not 0 in doubles, but it is no volume.
    legs = ((0.1, BUY), (0.2, BUY), (0.3, SELL))
    cancelled: list[Trade] = [(i * S + 1, 1.0, (1 + i % 3) * amount, side) for i in range(36) for amount, side in legs]
    found = Feed("kyle_lambda")(rows, cancelled)["kyle_lambda"]
    assert all(math.isnan(value) for value in found)
    found = Feed("kyle_lambda")(rows, [(i * S + 1, 1.0, 1.0 + i % 5, UNKNOWN) for i in range(36)])["kyle_lambda"]
    assert all(math.isnan(value) for value in found)


# --- Invariants and batches -----------------------------------------------------------------------------------------

KERNELS = over_trades()
OPTIONS: dict[str, dict[str, Any]] = {
    "aggressor": {"vpin_window_buckets": 3, "vpin_bucket_volume": "0.7"},
    "tick": {"vpin_window_buckets": 2, "vpin_classification": "tick", "max_gap": 40},
    "bulk": {"vpin_window_buckets": 2, "vpin_classification": "bulk", "vpin_bulk_seconds": 7, "vpin_bulk_bars": 4},
    "daily": {"vpin_window_buckets": 2, "vpin_bucket_volume": "adv/50", "max_gap": 30_000.0, "horizons": [90_000]},
}
PAUSES = st.sampled_from([0, 0, 1, S // 3, S, S, 2 * S, 5 * S, 30 * S, 41 * S, 301 * S])
LONG_PAUSES = st.sampled_from([0, S, 3600 * S, 20_000 * S, 31_000 * S])


@st.composite
def markets(draw: st.DrawFn, pauses: st.SearchStrategy[int] = PAUSES, steady: bool = False) -> Any:
    """Rows and trades in time order, with ties, gaps and what is not valid."""
    n = draw(st.integers(1, 40))
    ts = (draw(st.integers(0, 3)) * S + np.cumsum(draw(st.lists(pauses, min_size=n, max_size=n)))).tolist()
    mids = draw(st.lists(st.sampled_from([NAN, 100.0, 100.01, 100.02, 99.5]), min_size=n, max_size=n))
    amounts = st.sampled_from([0.1, 0.25, 0.7, 1.0, 3.3] if steady else [NAN, 0.0, 1e-9, 0.1, 0.25, 0.7, 1.0, 3.3])
    prices = st.sampled_from([100.0, 100.01, 100.02] if steady else [NAN, 100.0, 100.01, 100.02])
    times = st.one_of(st.sampled_from(ts), st.integers(0, ts[-1]))
    trades = draw(st.lists(st.tuples(times, prices, amounts, st.sampled_from([BUY, SELL, UNKNOWN])), max_size=40))
    return list(zip(ts, mids, strict=True)), sorted(trades, key=lambda trade: trade[0])


def batches(rows: list[Row], trades: list[Trade], cuts: Sequence[int]) -> list[tuple[list[Row], list[Trade]]]:
    """Rows cut after each of ``cuts``; a trade goes to the first batch whose last row is not before it."""
    ends = [*sorted({cut for cut in cuts if 0 < cut < len(rows)}), len(rows)]
    found, begin, done = [], 0, 0
    for end in ends:
        taken = [trade for trade in trades[done:] if trade[0] <= rows[end - 1][0]]
        found.append((rows[begin:end], taken))
        begin, done = end, done + len(taken)
    return found


def states(feed: Feed) -> dict[str, Any]:
    return {
        f"{kernel}.{name}": (array.dtype.str, array.shape, array.tobytes())
        for kernel, state in feed.state.items()
        for name, array in state.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
@examples(60)
@given(data=st.data())
def test_batches_do_not_matter(name: str, data: st.DataObject) -> None:
    rows, trades = data.draw(markets(LONG_PAUSES if name == "daily" else PAUSES))
    cuts = data.draw(st.one_of(st.just(list(range(len(rows)))), st.lists(st.integers(1, len(rows)), max_size=5)))
    whole, parts = Feed(*KERNELS, **OPTIONS[name]), Feed(*KERNELS, **OPTIONS[name])
    expected = whole(rows, trades)
    found: dict[str, list[float]] = {column: [] for column in expected}
    for batch in batches(rows, trades, cuts):
        for column, values in parts(*batch).items():
            found[column] += values
    for column, values in expected.items():
        assert np.array(found[column]).tobytes() == np.array(values).tobytes(), column
    assert states(whole) == states(parts)


@pytest.mark.parametrize("name", OPTIONS)
@examples(30)
@given(data=st.data())
def test_the_future_changes_nothing(name: str, data: st.DataObject) -> None:
    rows, trades = data.draw(markets(LONG_PAUSES if name == "daily" else PAUSES))
    end = data.draw(st.integers(1, len(rows)))
    whole = Feed(*KERNELS, **OPTIONS[name])(rows, trades)
    known = [trade for trade in trades if trade[0] <= rows[end - 1][0]]
    cut = Feed(*KERNELS, **OPTIONS[name])(rows[:end], known)
    for column, values in cut.items():
        assert np.array(values).tobytes() == np.array(whole[column][:end]).tobytes(), column


@pytest.mark.slow
@examples(60)
@given(markets())
def test_swapped_sides(market: Any) -> None:
    rows, trades = market
    # Without the tick rule, which knows no sides: unknown trades do not turn.
    trades = [trade for trade in trades if trade[3] != UNKNOWN]
    options: dict[str, Any] = {"vpin_window_buckets": 2, "kyle_window": 60}
    found = Feed(*KERNELS, **options)(rows, trades)
    turned = Feed(*KERNELS, **options)(rows, [(ts, price, amount, -side) for ts, price, amount, side in trades])
    negated = [column for column in found if column.startswith(("tfi", "kyle_lambda"))]
    assert len(negated) == 7
    for column in negated:
        assert same([-value for value in found[column]], turned[column])
    assert same(found["vpin"], turned["vpin"], 0)
    assert same(found["buy_volume"], turned["sell_volume"], 0)
    assert same(found["trade_vol_60s"], turned["trade_vol_60s"], 0)


@pytest.mark.parametrize("classification", ["aggressor", "tick", "bulk"])
@examples(60)
@given(market=markets(), volume=st.sampled_from(["0.3", "1", "2.5"]))
def test_volume_is_conserved_and_vpin_bounded(classification: str, market: Any, volume: str) -> None:
    rows, trades = market
    feed = Feed("vpin", vpin_classification=classification, vpin_bucket_volume=volume, max_gap=1e6, vpin_bulk_seconds=5)
    found = feed(rows, trades)["vpin"]
    assert all(math.isnan(value) or 0 <= value <= 1 for value in found)
    state = feed.state["vpin"]
    now = state["buckets.open"][0]
    assert now.closed * now.capacity + now.filled + state["bars.open"][0].lots == sum(
        round(amount * 1e8) for _, price, amount, _ in trades if price == price and amount >= 1e-8
    )
    assert (np.abs(state["buckets.imbalances"]) <= state["buckets.sizes"]).all()


@pytest.mark.slow
@examples(60)
@given(data=st.data())
def test_a_day_may_begin_before_the_last_one_ended(data: st.DataObject) -> None:
    days = [data.draw(markets()) for _ in range(3)]
    feeds = [Feed(*KERNELS, **OPTIONS["bulk"]) for _ in range(2)]
    begin = 0
    for rows, trades in days:
        moved = [(ts + begin, mid) for ts, mid in rows]
        traded = [(ts + begin, *rest) for ts, *rest in trades]
        found = feeds[0](moved, traded)
        for batch in batches(moved, traded, range(len(rows))):
            feeds[1](*batch)
        for column, values in found.items():
            if column == "vpin":
                assert all(math.isnan(value) or 0 <= value <= 1 for value in values)
            elif column.startswith("tfi"):
                assert all(math.isnan(value) or -1 <= value <= 1 for value in values)
            elif column.startswith("trade_vol_"):
                assert all(math.isnan(value) or value >= 0 for value in values)
            assert not np.isinf(values).any()
        begin = moved[-1][0] - data.draw(st.sampled_from([0, 1, S, 90 * S]))
    assert states(feeds[0]) == states(feeds[1])
