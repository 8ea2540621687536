"""Ten million updates: what rolls must still be what an exact computation over the last window gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest

from tests.support.modes import cases
from udfs.kernel import NANOSECONDS, SEGMENT_START, Array, Batch, State
from udfs.windows import Windows, comoments, moments, sums, time_weighted

UPDATES, BATCH = 10_000_000, 100_000
HORIZONS = 5, 300
STEP = NANOSECONDS // 5
EXACT = 1e-9
UNIT = Fraction(1, 2**1074)
"""Of which each number is a multiple."""
MAKERS = sums, moments, time_weighted, comoments


class Feed:
    """Prices of about 1e5 that change by about 1e-2, five rows per second, and a second series that goes with them."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)
        self.now, self.last = 0, 1e5
        self.state: State = {
            name: array for make in MAKERS for name, array in make(make.__name__, HORIZONS).start().items()
        }
        self.out: dict[str, Array] = {}
        self.x, self.y = np.empty(0), np.empty(0)

    def batch(self) -> None:
        starts = np.zeros(BATCH, np.int8)
        starts[0] = self.now == 0
        ts = self.now + STEP * np.arange(BATCH)
        self.x = self.last + np.cumsum(self.rng.normal(scale=1e-2, size=BATCH))
        self.y = 1e5 + (self.x - 1e5) / 3 + self.rng.normal(scale=1e-2, size=BATCH)
        self.now, self.last = int(ts[-1]) + STEP, float(self.x[-1])
        given = {sums: (self.x,), moments: (self.x,), time_weighted: (self.x,), comoments: (self.x, self.y)}
        for make in MAKERS:
            windows = make(make.__name__, HORIZONS)
            self.out[windows.name] = windows.run(self.state, Batch(ts, {SEGMENT_START: starts}), *given[make])

    def last_values(self, name: str) -> list[list[float]]:
        """Per horizon, the planes at the last row."""
        return self.out[name][:, :, -1].T.tolist()


def covariance(xs: Sequence[Fraction], ys: Sequence[Fraction]) -> Fraction:
    n = len(xs)
    x, y = sum(xs) / n, sum(ys) / n
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / (n - 1)


@pytest.fixture(scope="module")
def feed() -> Feed:
    feed = Feed()
    for _ in range(UPDATES // BATCH):
        feed.batch()
    return feed


def inside(series: Array, horizon: int) -> list[Fraction]:
    """The values of the last window."""
    return [Fraction(value) for value in series[-horizon * NANOSECONDS // STEP :].tolist()]


def close(got: float, expected: Fraction, within: float = EXACT) -> bool:
    return abs(Fraction(got) - expected) <= abs(expected) * Fraction(within)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("new_segment", [True, False])
def test_nothing_is_left_of_a_window_that_emptied(make: Callable[..., Windows], new_segment: bool) -> None:
    """Huge values, then nothing for longer than the window: the small ones after it do not lose a single bit."""
    windows = make("series", [3])
    ts, small = np.arange(50) * NANOSECONDS, np.random.default_rng(2).normal(size=50)
    small[:4] = np.nan
    series = (small, small[::-1].copy()) if make is comoments else (small,)
    huge = [1e20 * values for values in series]
    first = np.eye(1, 50, dtype=np.int8)[0]
    again = (
        first if new_segment or make is time_weighted else 0 * first
    )  # A value holds, and has no end but that of a segment.
    expected = windows.run(windows.start(), Batch(ts, {SEGMENT_START: first}), *series)
    state = windows.start()
    windows.run(state, Batch(ts - 50 * NANOSECONDS, {SEGMENT_START: first}), *huge)
    got = windows.run(state, Batch(ts, {SEGMENT_START: again}), *series)
    np.testing.assert_array_equal(got[:, :, 4:], expected[:, :, 4:])


SPIKES = {
    "one": lambda x: np.where(np.arange(len(x)) == 100, 1e15, x),
    "the first value": lambda x: np.where(np.arange(len(x)) == 0, -1e15, x),
    "a run": lambda x: np.where((np.arange(len(x)) > 90) & (np.arange(len(x)) < 95), 1e20 * x, x),
    "again and again": lambda x: np.where(np.arange(len(x)) % 60 == 0, 1e17, x),
    "ever larger": lambda x: np.where(np.arange(len(x)) % 50 == 0, 10.0 ** (np.arange(len(x)) / 20), x),
    "a fall": lambda x: np.where(np.arange(len(x)) < 80, 1e25 * x, x),
    "far too large": lambda x: np.where(np.arange(len(x)) == 100, 1e300, x),
}
"""A wrong price or size that is many orders of magnitude larger than the others."""


@pytest.mark.parametrize("shape", cases([*SPIKES]))
@pytest.mark.parametrize("make", [sums, moments, comoments])
@pytest.mark.parametrize("level", [0.0, 88000.0])
def test_a_spike_leaves_nothing_behind(make: Callable[..., Windows], shape: str, level: float) -> None:
    """Each window is what an exact computation over its own rows gives, once the spike has left it."""
    rng = np.random.default_rng(6)
    count, horizons = 300, (5, 20, 45)
    ts = np.arange(count) * NANOSECONDS
    x = SPIKES[shape](level + np.round(rng.normal(scale=1e-3, size=count), 6))
    y = SPIKES[shape](np.round(rng.normal(scale=1e-4, size=count), 7))[::-1].copy()
    x[150:160] = y[150:160] = 0.25  # equal for a while
    windows = moments("series", horizons, level != 0.0) if make is moments else make("series", horizons)
    first = np.eye(1, count, dtype=np.int8)[0]
    rest = (y,) if make is comoments else ()
    got = windows.run(windows.start(), Batch(ts, {SEGMENT_START: first}), x, *rest)
    state, parts = windows.start(), []
    for begin, end in ((0, 101), (101, 102), (102, 107), (107, 230), (230, count)):
        cut = (part[begin:end] for part in rest)
        batch = Batch(ts[begin:end], {SEGMENT_START: first[begin:end]})
        parts.append(windows.run(state, batch, x[begin:end], *cut))
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), got)
    units = [(in_units(a), in_units(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    for k, horizon in enumerate(horizons):
        for i in range(count):
            at = [j for j in range(max(i - horizon + 1, 0), i + 1) if make is sums or abs(x[j]) < 1e140]
            at = [j for j in at if make is not comoments or abs(y[j]) < 1e140]
            if len(at) < 2 or max(max(abs(x[j]), abs(y[j])) for j in at) > 1e9:
                continue
            xs, ys = ([units[j][side] for j in at] for side in (0, 1))
            for plane, exact in _planes(make, xs, ys, level != 0.0).items():
                assert close(got[plane, k, i], exact, 1e-11), (plane, horizon, i)


def in_units(value: float) -> int:
    """A number in whole units: sums of such are exact, and quicker than those of fractions."""
    exact = Fraction(value) / UNIT
    assert exact.denominator == 1
    return exact.numerator


def _planes(make: Callable[..., Windows], xs: Sequence[int], ys: Sequence[int], centred: bool) -> dict[int, Fraction]:
    """Plane of ``out`` -> its exact value, of numbers in units; sums whose terms cancel are left out."""
    n, total, squares = len(xs), sum(xs) * UNIT, sum(x * x for x in xs) * UNIT**2
    told = 1000 * abs(sum(xs)) > sum(map(abs, xs))
    if make is sums:
        return {0: total, 1: total / n} if told else {}
    if make is moments:
        means = {0: total / n} if told else {}
        return means | {2: _variance(xs)} | ({} if centred else {1: squares})
    return {2: _variance(xs), 3: _variance(ys), 4: squares / n}


def _variance(xs: Sequence[int]) -> Fraction:
    """Variance of numbers in units."""
    n = len(xs)
    return Fraction(n * sum(x * x for x in xs) - sum(xs) ** 2, n * (n - 1)) * UNIT**2


@pytest.mark.slow
def test_ten_million_updates(feed: Feed) -> None:
    for k, horizon in enumerate(HORIZONS):
        xs, ys = inside(feed.x, horizon), inside(feed.y, horizon)
        n = len(xs)
        total, mean = feed.last_values("sums")[k]
        assert close(total, sum(xs), 1e-15)
        assert close(mean, sum(xs) / n, 1e-15)
        mean, _, variance = feed.last_values("moments")[k]
        assert close(mean, sum(xs) / n, 1e-15)
        assert close(variance, covariance(xs, xs))
        count, cov, var_x, var_y, square = feed.last_values("comoments")[k]
        assert count == n
        assert close(cov, covariance(xs, ys))
        assert close(var_x, covariance(xs, xs))
        assert close(var_y, covariance(ys, ys))
        assert close(square, sum(x * x for x in xs) / n, 1e-15)
        # Equal steps: each value but the last holds for one; the one before the window ends where it begins.
        (mean,) = feed.last_values("time_weighted")[k]
        before = Fraction(float(feed.x[-n - 1]))
        assert close(mean, (before + sum(xs[:-1])) / n, 1e-15)
