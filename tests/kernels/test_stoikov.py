"""Micro-price against the oracle; batches, symmetries, and what is NULL."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.kernels.driving import assert_rows, floats, run
from tests.kernels.made import START, cuts
from tests.oracles import stoikov
from tests.oracles.rows import NS
from udfs.kernel import Batch
from udfs.pipeline import Pipeline
from udfs.quotes.stoikov import StoikovMicroprice

Row = dict[str, Any]
OPTIONS: dict[str, Any] = {"tick_size": 0.5, "imbalance_buckets": 4, "spread_ticks": 2}
DAY = 86_400 * NS


def walk(seed: int, count: int, days: int, pressure: float = 0.3) -> list[Row]:
    """Books whose mid moves towards the thinner side; some wide, one-sided, and after gaps."""
    rng = random.Random(seed)
    rows, bid, spread, share = [], 200, 1, 0.5
    for i in range(count):
        bid += rng.choice((-1, 0, 0, 0, 0, 1)) if rng.random() > pressure else round((share - 0.5) * 2.4)
        spread = rng.choice((spread, spread, spread, 1, 2, 3))
        share = min(max(share + rng.uniform(-0.3, 0.3), 0.03), 0.97)
        ts = START + i * days * DAY // count + (400 * NS if rng.random() < 0.01 else 0)
        ask, size = bid + spread, round(1000 * share)
        row: Row = {"ts": ts, "mid_price": (bid + ask) / 4, "bid_price_00": bid / 2, "ask_price_00": ask / 2}
        row |= {"bid_size_00": size + 0.1, "ask_size_00": 1000.0 - size}
        rows.append(row if rng.random() > 0.02 else dict.fromkeys(row) | {"ts": ts})
    return sorted(rows, key=lambda row: row["ts"])


def given(rows: list[Row], ends: list[int] | tuple[()] = (), **options: Any) -> list[Row]:
    return run(["stoikov_microprice"], rows, None, ends, max_gap=None, **(OPTIONS | options))


def shifts(rows: list[Row], got: list[Row]) -> list[float | None]:
    pairs = zip(rows, got, strict=True)
    return [g["stoikov_microprice"] - r["mid_price"] if g["stoikov_microprice"] is not None else None for r, g in pairs]


@pytest.mark.parametrize("options", [OPTIONS, OPTIONS | {"imbalance_buckets": 10, "spread_ticks": 3}])
@pytest.mark.parametrize("seed", [1, 2])
def test_made_up_books(seed: int, options: dict[str, Any]) -> None:
    rows = walk(seed, 900, 3)
    wanted = stoikov.columns(rows, max_gap=600, **options)["stoikov_microprice"]
    got = run(["segments", "stoikov_microprice"], rows, None, cuts(5, len(rows)), max_gap=600, **options)
    expected = [{"stoikov_microprice": value} for value in wanted]
    assert_rows([{"stoikov_microprice": row["stoikov_microprice"]} for row in got], expected)


@pytest.mark.parametrize("count", [10, 49, 100])
def test_a_share_at_an_edge_lies_above_it(count: int) -> None:
    """0.29 * 100 is less than 29 in floating point."""
    kernel = Pipeline.of(["stoikov_microprice"], {"imbalance_buckets": count}).kernels[-1]
    bid = np.arange(1.0, count)
    columns = {"bid_price_00": np.full(count - 1, 1.0), "ask_price_00": np.full(count - 1, 1.01)}
    columns |= {"bid_size_00": bid, "ask_size_00": count - bid, "mid_price": np.full(count - 1, 1.005)}
    assert isinstance(kernel, StoikovMicroprice)
    assert kernel._states(Batch(np.arange(count - 1), columns)).tolist() == bid.tolist()


def test_segments_break_transitions() -> None:
    rows = walk(8, 600, 2)
    apart = run(["stoikov_microprice"], rows, None, (), max_gap=0.5, **OPTIONS)
    assert {row["stoikov_microprice"] for row in apart} == {None}


def test_null_on_the_first_day_and_in_states_never_seen() -> None:
    rows = walk(3, 400, 2)
    got = given(rows)
    first = [row["ts"] < START + DAY for row in rows]
    assert {g["stoikov_microprice"] for g, early in zip(got, first, strict=True) if early} == {None}
    later = [(r, g["stoikov_microprice"]) for r, g, early in zip(rows, got, first, strict=True) if not early]
    wide = [value for row, value in later if row["mid_price"] is None or row["ask_price_00"] - row["bid_price_00"] > 1]
    assert wide
    assert {*wide} == {None}
    assert any(value is not None for _, value in later)


def test_a_day_that_never_moves_gives_nothing() -> None:
    """The matrix would have no inverse."""
    still = {"mid_price": 100.25, "bid_price_00": 100.0, "ask_price_00": 100.5, "bid_size_00": 3.0, "ask_size_00": 1.0}
    got = given([{"ts": START + i * DAY // 2, **still} for i in range(6)])
    assert {row["stoikov_microprice"] for row in got} == {None}


def test_batches_do_not_matter_and_the_future_changes_nothing() -> None:
    rows = walk(4, 500, 3)
    whole = given(rows)
    assert given(rows, cuts(6, len(rows), 20)) == whole
    assert given(rows[:377]) == whole[:377]


def test_symmetries() -> None:
    rows = walk(5, 600, 2)
    turned = [
        row
        if row["mid_price"] is None
        else row
        | {"mid_price": 400 - row["mid_price"], "bid_price_00": 400 - row["ask_price_00"]}
        | {
            "ask_price_00": 400 - row["bid_price_00"],
            "bid_size_00": row["ask_size_00"],
            "ask_size_00": row["bid_size_00"],
        }
        for row in rows
    ]
    plain, other = shifts(rows, given(rows)), shifts(turned, given(turned))
    assert [value is None for value in plain] == [value is None for value in other]
    seen = [(a, b) for a, b in zip(plain, other, strict=True) if a is not None and b is not None]
    assert len(seen) > 100
    assert [a for a, _ in seen] == pytest.approx([-b for _, b in seen], abs=1e-12)
    prices = ("mid_price", "bid_price_00", "ask_price_00")
    scaled = [row | {name: 4 * row[name] for name in prices if row[name] is not None} for row in rows]
    values = [row["stoikov_microprice"] for row in given(scaled, tick_size=2.0)]
    assert values == [row["stoikov_microprice"] and 4 * row["stoikov_microprice"] for row in given(rows)]


def test_rows_that_are_too_wide_are_counted() -> None:
    kernel = Pipeline.of(["stoikov_microprice"], OPTIONS).kernels[-1]
    state, rows = kernel.start(), walk(7, 40, 1)
    columns = {name: floats(row.get(name) for row in rows) for name in kernel.inputs()}
    kernel.run(state, Batch(np.array([row["ts"] for row in rows]), columns))
    wide = sum(row["mid_price"] is not None and row["ask_price_00"] - row["bid_price_00"] > 1 for row in rows)
    assert wide > 3
    assert kernel.notes(state) == (
        f"stoikov_microprice is NULL in {wide} of 40 rows, whose spread is more than 2 ticks of 0.5"
        " (spread_ticks, tick_size)",
    )


def test_pressure_lifts_the_price() -> None:
    rows = walk(6, 900, 2)
    got = shifts(rows, given(rows))
    heavy = [s for r, s in zip(rows, got, strict=True) if s is not None and r["bid_size_00"] > 800]
    assert heavy
    assert min(heavy) > 0
