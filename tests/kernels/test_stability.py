"""Ten million updates: what rolls must still be what an exact computation over the last window gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest

from udfs.held import held
from udfs.impact import pairs
from udfs.kernel import NANOSECONDS, SEGMENT_START, Array, Batch, State
from udfs.windows import Windows, moments, sums

UPDATES, BATCH = 10_000_000, 100_000
HORIZONS = 5, 300
STEP = NANOSECONDS // 5
EXACT = 1e-9
MAKERS = sums, moments, held, pairs


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
        given = {sums: (self.x,), moments: (self.x, True), held: (self.x,), pairs: (self.x, self.y)}
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
    series = (small, small[::-1].copy()) if make is pairs else (small,)
    huge = [1e20 * values for values in series]
    rest = (True,) if make is moments else ()
    first = np.eye(1, 50, dtype=np.int8)[0]
    again = first if new_segment or make is held else 0 * first  # What is held has no end but that of a segment.
    expected = windows.run(windows.start(), Batch(ts, {SEGMENT_START: first}), *series, *rest)
    state = windows.start()
    windows.run(state, Batch(ts - 50 * NANOSECONDS, {SEGMENT_START: first}), *huge, *rest)
    got = windows.run(state, Batch(ts, {SEGMENT_START: again}), *series, *rest)
    np.testing.assert_array_equal(got[:, :, 4:], expected[:, :, 4:])


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
        count, cov, var_x, var_y, square = feed.last_values("pairs")[k]
        assert count == n
        assert close(cov, covariance(xs, ys))
        assert close(var_x, covariance(xs, xs))
        assert close(var_y, covariance(ys, ys))
        assert close(square, sum(x * x for x in xs) / n, 1e-15)
        # Equal steps: each value but the last holds for one; the one before the window ends where it begins.
        (mean,) = feed.last_values("held")[k]
        before = Fraction(float(feed.x[-n - 1]))
        assert close(mean, (before + sum(xs[:-1])) / n, 1e-15)
