"""Any numbers at all, in every shipped kernel: no crash, no infinity, and the same bits however rows are batched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.modes import examples
from udfs import registry
from udfs.kernel import NANOSECONDS, NO_INTEGER, Array, Batch, Trades
from udfs.pipeline import Pipeline

KERNELS = sorted(name for name in registry() if name != "segments")
ODD = (0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 2.2e-308, 1e-300, -1e-160, 1e160, -1e300, 1.7976931348623157e308)
PLAIN = (100.0, 100.5, 101.0, 1.0, 0.5, 2.0, -1.0, 1e-9, 1e9)
INTEGERS = (0, 1, 2, -1, 2**63 - 1, NO_INTEGER)
STEPS = (0, 1, 1_000_000, NANOSECONDS, 40 * NANOSECONDS, 400 * NANOSECONDS)


def batch(name: str, seed: int, rows: int, odd: float) -> Batch:
    """Rows and trades of a kernel: a share of all numbers is odd."""
    chance = np.random.default_rng(seed)
    chain = Pipeline.of([name], {})

    def numbers(count: int) -> Array:
        return np.where(chance.random(count) < odd, chance.choice(ODD, count), chance.choice(PLAIN, count))

    columns = {
        column: chance.choice(INTEGERS, rows) if column in chain.integers else numbers(rows) for column in chain.inputs
    }
    ts = np.cumsum(chance.choice(STEPS, rows)).astype(np.int64)
    if not chain.reads_trades:
        return Batch(ts, columns)
    times = np.sort(chance.choice(ts, rows))
    return Batch(
        ts, columns, Trades(times, numbers(rows), numbers(rows), chance.choice((-1, 0, 1), rows).astype(np.int8))
    )


def pieces(whole: Batch, cuts: Sequence[int]) -> list[Batch]:
    """The same rows and trades in batches that end before these rows."""
    found = []
    for begin, end in zip((0, *cuts), (*cuts, len(whole)), strict=True):
        trades = None
        if whole.trades is not None:
            before = (0 if begin == 0 else int(whole.trades_before[begin - 1]), int(whole.trades_before[end - 1]))
            seen = slice(*before)
            given_ = (whole.trades.ts, whole.trades.price, whole.trades.amount, whole.trades.side)
            trades = Trades(*(array[seen].copy() for array in given_))
        columns = {column: values[begin:end].copy() for column, values in whole.columns.items()}
        found.append(Batch(whole.ts[begin:end].copy(), columns, trades))
    return found


def run(name: str, batches: Sequence[Batch]) -> dict[str, Any] | str:
    """Columns of the kernel over batches; or the refusal of numbers that it cannot count."""
    chain = Pipeline.of([name], {})
    state = chain.start()
    try:
        with np.errstate(all="ignore"):
            found = [chain.run(state, one) for one in batches]
    except ValueError as error:
        return str(error)
    return {column.name: np.concatenate([one[column.name] for one in found]) for column in chain.outputs}


@pytest.mark.parametrize("name", KERNELS)
@examples(8)
@given(st.integers(0, 2**32), st.sampled_from([0.02, 0.2, 1.0]))
def test_no_crash_no_infinity_and_the_same_in_batches(name: str, seed: int, odd: float) -> None:
    rows = 60
    whole = batch(name, seed, rows, odd)
    got = run(name, [whole])
    if isinstance(got, str):
        assert len(got) > 20, got
        return
    for column, values in got.items():
        if values.dtype.kind == "f":
            assert not np.isinf(values).any(), (column, values)
    if Pipeline.of([name], {}).looks_ahead:
        return
    chance = np.random.default_rng(seed)
    for cuts in ([*range(1, rows)], sorted({*chance.integers(1, rows, 3).tolist()})):
        parts = run(name, pieces(whole, cuts))
        assert not isinstance(parts, str), parts
        for column, values in got.items():
            assert values.tobytes() == parts[column].tobytes() or np.array_equal(
                values, parts[column], equal_nan=values.dtype.kind == "f"
            ), column
