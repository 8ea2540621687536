"""The kernels alone, over arrays in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tests.oracles.kernels import book_features
from tests.support.kernels import shipped
from udfs import Batch, Pipeline, Trades

Line = tuple[str, str, str]
TICK = 0.1


def market(rows: int, per_second: float = 4.6) -> Batch:
    """A random walk of a book of ten levels, and as many trades."""
    rng = np.random.default_rng(1)
    step = rng.exponential(1e9 / per_second, rows).astype(np.int64) + 1
    ts = 1_767_312_000 * 10**9 + np.cumsum(step)
    bid = 880_000 + np.cumsum(rng.integers(-1, 2, rows))
    ask = bid + rng.integers(1, 6, rows)
    columns: dict[str, Any] = {"mid_price": (bid + ask) / 2 * TICK, "spread": (ask - bid) * TICK}
    columns["relative_spread"] = columns["spread"] / columns["mid_price"]
    columns["spread_bps"] = 1e4 * columns["relative_spread"]
    for level in range(10):
        columns |= {f"bid_price_{level:02d}": (bid - level) * TICK, f"ask_price_{level:02d}": (ask + level) * TICK}
        columns |= {f"{side}_size_{level:02d}": rng.integers(1, 500, rows) / 100 for side in ("bid", "ask")}
    for name in ("bid_slope_regression", "ask_slope_regression", "cog_vs_mid", "depth_0_5bps"):
        columns[name] = rng.normal(5.0, 1.0, rows)
    trades = Trades(
        ts - rng.integers(0, step),
        (bid + ask) / 2 * TICK,
        rng.integers(1, 300, rows) / 100,
        rng.choice(np.array([-1, 1], np.int8), rows),
    )
    return Batch(ts, columns, trades)


def seconds_of(names: tuple[str, ...], batch: Batch, options: Mapping[str, Any]) -> float:
    """Time of one pass, the best of three."""
    pipeline = Pipeline.of(names, options)
    taken = []
    for _ in range(3):
        state = pipeline.start()
        begun = time.perf_counter()
        pipeline.run(state, batch)
        taken.append(time.perf_counter() - begun)
    return min(taken)


def kernels_against_oracle(rows: int = 400_000, few: int = 2_000) -> Iterator[Line]:
    """Rows a second of all kernels, and of the pure-Python oracle."""
    batch = market(rows)
    fast = rows / seconds_of(shipped(), batch, {})
    begun = time.perf_counter()
    book_features(*_as_rows(market(few)))
    slow = few / (time.perf_counter() - begun)
    yield f"all kernels over {rows:,} rows and trades", f"{fast:,.0f} rows/s", ""
    yield "the same / row-by-row Python (the tests' oracle)", f"{fast / slow:,.0f}", "100"


def cost_by_window(rows: int = 400_000) -> Iterator[Line]:
    """Cost of a window a hundred times as long."""
    batch = market(rows)
    for name, option, short, long in (
        ("spread_regime", "regime_window", 36, 3600),
        ("vpin", "vpin_window_buckets", 50, 5000),
    ):
        times = [seconds_of((name,), batch, {option: value}) for value in (short, long)]
        yield f"{name}: {option} {long} / {short}", f"{times[1] / times[0]:.2f}", "no growth with the window"
        twice = seconds_of((name,), market(2 * rows), {option: short})
        yield f"{name}: twice the rows", f"{twice / times[0]:.2f}", "2"


def _as_rows(batch: Batch) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows = [
        {"ts": int(batch.ts[i]), **{name: float(values[i]) for name, values in batch.columns.items()}}
        for i in range(len(batch))
    ]
    trades = batch.trades
    assert trades is not None
    seen = zip(trades.ts.tolist(), trades.price.tolist(), trades.amount.tolist(), trades.side.tolist(), strict=True)
    return rows, [dict(zip(("ts", "price", "amount", "side"), one, strict=True)) for one in sorted(seen)]
