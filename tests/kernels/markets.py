"""Made-up rows as arrays, kernels run over them in any batches, and arrays compared bit by bit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tests.support.kernels import over_books
from udfs.kernel import NANOSECONDS, Array, Batch
from udfs.pipeline import Pipeline, PipelineState

KERNELS = over_books()
LEVELS = 3
OPTIONS: dict[str, Any] = {
    "horizons": [2, 7, 40],
    "max_gap": 20,
    "max_levels": LEVELS,
    "ofi_levels": LEVELS,
    "impact_window": 60,
    "regime_window": 50,
}
NAN = math.nan


def seconds(*times: float) -> Array:
    return np.array([round(time * NANOSECONDS) for time in times], np.int64)


def market(seed: int, rows: int, faults: float = 0.1, backwards: bool = False) -> tuple[Array, dict[str, Array]]:
    """Rows with ties, gaps, invalid books and missing levels; prices on a grid of 1/8, so that they can be mirrored."""
    rng = np.random.default_rng(seed)
    steps = rng.choice(
        [0, 1, 10**6, 3 * 10**8, 10**9, 19 * 10**8, 5 * 10**9, 20 * 10**9], rows, p=[0.2, *[0.1] * 6, 0.2]
    )
    steps = np.where(rng.random(rows) < 0.01, 21 * NANOSECONDS, np.where(rng.random(rows) < 0.7, steps // 10, steps))
    ts = 1_767_312_000 * NANOSECONDS + np.cumsum(steps)
    if backwards:
        ts[rows // 2 :] -= 4 * NANOSECONDS
    bid = 1000.0 + np.cumsum(rng.integers(-1, 2, rows)) / 8
    ask = bid + rng.choice([0, 1, 1, 1, 2, 3, 8], rows) / 8
    columns = {}
    for level in range(LEVELS):
        for side, best in (("bid", bid - level / 8), ("ask", ask + level / 8)):
            there = rng.random(rows) >= (faults if level else 0)
            columns[f"{side}_price_{level:02}"] = np.where(there, best, NAN)
            columns[f"{side}_size_{level:02}"] = np.where(there, rng.integers(1, 30, rows) / 10, NAN)
    invalid = rng.random(rows) < faults
    columns["mid_price"] = np.where(invalid, NAN, (bid + ask) / 2)
    columns["spread"] = np.where(invalid, NAN, ask - bid)
    columns["relative_spread"] = columns["spread"] / columns["mid_price"]
    columns["spread_bps"] = 1e4 * columns["relative_spread"]
    for name, size in (
        ("bid_slope_regression", 5),
        ("ask_slope_regression", 5),
        ("cog_vs_mid", 1),
        ("depth_0_5bps", 1e4),
    ):
        columns[name] = np.where(rng.random(rows) < faults, NAN, size * rng.random(rows).round(1))
    for name in ("bid_is_whole", "ask_is_whole"):
        columns[name] = (rng.random(rows) < 0.5).astype(float)
    return ts, columns


def run(
    ts: Array, columns: dict[str, Array], names: Iterable[str] = KERNELS, cuts: Iterable[int] = (), **options: Any
) -> tuple[dict[str, Array], PipelineState]:
    """All columns of the kernels, and the state at the end; batches end before the rows ``cuts``."""
    pipeline = Pipeline.of(names, OPTIONS | options)
    columns = {name: columns.get(name, columns["mid_price"]) for name in pipeline.inputs}
    state = pipeline.start()
    parts = [
        pipeline.run(state, Batch(ts[begin:end], {name: columns[name][begin:end] for name in pipeline.inputs}))
        for begin, end in itertools.pairwise([0, *sorted({cut for cut in cuts if 0 < cut < len(ts)}), len(ts)])
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, state


def picture(arrays: dict[str, Array]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


def assert_identical(got: dict[str, Array], expected: dict[str, Array]) -> None:
    """The same bits, NaN included."""
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert picture({name: got[name]}) == picture({name: array}), name
