"""What holds for kernels over books whatever the rows: batches, lookahead, segments, symbols, symmetries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.markets import KERNELS, LEVELS, OPTIONS, assert_identical, market, picture, run
from tests.support.modes import examples, rows_of
from udfs.kernel import NANOSECONDS, Array, Batch
from udfs.pipeline import Pipeline

seeds = st.integers(0, 2**32)


@examples(40)
@given(seeds, st.integers(1, 200), st.booleans(), st.booleans(), st.lists(st.integers(1, 199), max_size=5))
def test_batches_do_not_matter(seed: int, rows: int, backwards: bool, static: bool, cuts: list[int]) -> None:
    ts, columns = market(seed, rows, backwards=backwards)
    options: dict[str, Any] = {"regime_mode": "static"} if static else {}
    whole, whole_state = run(ts, columns, **options)
    parts, parts_state = run(ts, columns, cuts=cuts, **options)
    assert_identical(parts, whole)
    for name, arrays in whole_state.items():
        assert_identical(parts_state[name], arrays)


@pytest.mark.slow
@examples(5)
@given(seeds, st.booleans())
def test_one_row_at_a_time(seed: int, backwards: bool) -> None:
    ts, columns = market(seed, 130, backwards=backwards)
    whole, whole_state = run(ts, columns)
    parts, parts_state = run(ts, columns, cuts=range(130))
    assert_identical(parts, whole)
    for name, arrays in whole_state.items():
        assert_identical(parts_state[name], arrays)


def test_no_bit_comes_from_memory_that_nobody_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lay in the memory of a new array: the same columns and states."""
    ts, columns = market(5, 150)
    expected, expected_state = run(ts, columns)
    start, fresh = Pipeline.of(KERNELS, OPTIONS).start(), np.empty

    def used(*args: Any, **kwargs: Any) -> Array:
        array = fresh(*args, **kwargs)
        array.ravel().view(np.uint8)[:] = 0xFF  # of numbers: a NaN that computing keeps as it is
        return array

    monkeypatch.setattr(np, "empty", used)
    got, state = run(ts, columns)
    assert_identical(got, expected)
    for name, arrays in expected_state.items():
        assert_identical(state[name], arrays)
    for name, arrays in Pipeline.of(KERNELS, OPTIONS).start().items():
        assert_identical(arrays, start[name])


def test_a_state_keeps_nothing_of_a_batch() -> None:
    """What a batch's arrays are used for afterwards, and whether they may be written, does not matter."""
    ts, columns = market(5, 150)
    expected, expected_state = run(ts, columns)
    pipeline = Pipeline.of(KERNELS, OPTIONS)
    state = pipeline.start()
    for begin, end in ((0, 70), (70, 90), (90, 150)):
        batch = Batch(ts[begin:end].copy(), {name: columns[name][begin:end].copy() for name in pipeline.inputs})
        batch.columns["mid_price"].flags.writeable = False
        got = pipeline.run(state, batch)
        for name in got:
            assert picture({name: got[name]}) == picture({name: expected[name][begin:end]}), name
        batch.columns["mid_price"].flags.writeable = True
        for array in (batch.ts, *batch.columns.values(), *got.values()):
            array[:] = 77
    for name, arrays in expected_state.items():
        assert_identical(state[name], arrays)


def test_states_keep_their_form() -> None:
    """The arrays of a state have the dtype and the dimensions with which they started, at whatever length."""
    pipeline = Pipeline.of(KERNELS, OPTIONS)
    forms = {
        (kernel, name): (a.dtype, a.ndim) for kernel, state in pipeline.start().items() for name, a in state.items()
    }
    for rows in (1, 3, 150):
        _, state = run(*market(6, rows))
        found = {(kernel, name): (a.dtype, a.ndim) for kernel, arrays in state.items() for name, a in arrays.items()}
        assert found == forms


@examples(20)
@given(seeds, st.integers(1, 199))
def test_the_future_changes_nothing(seed: int, end: int) -> None:
    ts, columns = market(seed, 200)
    whole, _ = run(ts, columns)
    known, _ = run(ts[:end], {name: values[:end] for name, values in columns.items()})
    assert_identical(known, {name: values[:end] for name, values in whole.items()})


@examples(20)
@given(seeds)
def test_a_segment_knows_nothing_of_the_one_before(seed: int) -> None:
    ts, columns = market(seed, 200, faults=0.0)
    ts[120:] += 21 * NANOSECONDS
    whole, _ = run(ts, columns)
    last, _ = run(ts[120:], {name: values[120:] for name, values in columns.items()})
    assert_identical(last, {name: values[120:] for name, values in whole.items()})


def test_symbols_do_not_meet() -> None:
    """Two symbols, batch by batch in turn with the kernels of one pipeline, give what each gives alone."""
    markets = [market(7, 150), market(8, 150)]
    pipeline = Pipeline.of(KERNELS, OPTIONS)
    states = [pipeline.start(), pipeline.start()]
    found: list[list[dict[str, Array]]] = [[], []]
    for begin in range(0, 150, 10):
        for (ts, columns), state, parts in zip(markets, states, found, strict=True):
            rows = slice(begin, begin + 10)
            parts.append(pipeline.run(state, Batch(ts[rows], {name: columns[name][rows] for name in pipeline.inputs})))
    for (ts, columns), parts in zip(markets, found, strict=True):
        assert_identical(
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, run(ts, columns)[0]
        )


def mirrored(columns: dict[str, Array], about: float = 2000.0) -> dict[str, Array]:
    """The same market with its sides exchanged: what was bid is offered, as far on the other side of a price."""
    turned = dict(columns)
    for level in range(LEVELS):
        for side, other in (("bid", "ask"), ("ask", "bid")):
            turned[f"{side}_price_{level:02}"] = about - columns[f"{other}_price_{level:02}"]
            turned[f"{side}_size_{level:02}"] = columns[f"{other}_size_{level:02}"]
    turned |= {"bid_is_whole": columns["ask_is_whole"], "ask_is_whole": columns["bid_is_whole"]}
    return turned | {"mid_price": about - columns["mid_price"]}


@examples(20)
@given(seeds)
def test_exchanged_sides_turn_the_flow(seed: int) -> None:
    ts, columns = market(seed, 200)
    plain, turned = run(ts, columns)[0], run(ts, mirrored(columns))[0]
    flows = [name for name in plain if name.startswith(("ofi", "mlofi")) and "impact" not in name]
    assert len(flows) == 2 + LEVELS - 1 + 2 + 2 * len(OPTIONS["horizons"])
    for name in (*flows, "mid_velocity", "mid_accel"):
        np.testing.assert_array_equal(turned[name], -plain[name], err_msg=name)
    for name in ("spread_percentile", "spread_regime", "depth_sigma_300s", "mean_relative_spread_tw_7s"):
        np.testing.assert_array_equal(turned[name], plain[name], err_msg=name)


@examples(20)
@given(seeds, st.sampled_from([4.0, 2.0**-20]))
def test_scaled_prices(seed: int, scale: float) -> None:
    """In another currency only what has a price as its unit changes. Powers of two keep all digits."""
    ts, columns = market(seed, 200)
    prices = {name: scale * values for name, values in columns.items() if "price" in name or name == "spread"}
    plain, scaled = run(ts, columns)[0], run(ts, columns | prices)[0]
    for name, values in plain.items():
        factor = scale if name in ("mid_velocity", "mid_accel") else 1
        np.testing.assert_array_equal(scaled[name], factor * values, err_msg=name)


def test_columns_are_described_and_no_number_is_infinite() -> None:
    pipeline = Pipeline.of(KERNELS, OPTIONS)
    got, _ = run(*market(9, rows_of(3000)))
    assert [column.name for column in pipeline.outputs] == [name for name in got if name != "segment_start"]
    for column in pipeline.outputs:
        unit, _, meaning = column.doc.partition(": ")
        assert unit in ("1", "q/s", "q/s2", "u", "u2", "u/bps", "bps", "1/u", "s", "name"), column
        assert meaning
        values = got[column.name]
        assert not np.isinf(values).any(), column.name
        assert not np.isnan(values).all(), column.name
        assert (values != values[0]).any(), column.name
