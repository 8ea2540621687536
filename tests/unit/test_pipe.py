"""Trades on their way into kernels, and what kernels give on its way out."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sqlgen.errors import TaskError
from sqlgen.stream.arrays import integers, numbers, repeated
from sqlgen.stream.pipe import NotInOrder, TradeFeed, arrow
from sqlgen.stream.unitrows import read_ahead
from udfs.kernel import NO_INTEGER, Batch, Column, Trades


def reader(*batches: list[int]) -> pa.RecordBatchReader:
    made = [
        pa.record_batch(
            {
                "ts": pa.array(times, pa.timestamp("ns")),
                "price": pa.array([float(time) for time in times], pa.float64()),
                "amount": pa.array([1.0] * len(times), pa.float64()),
                "side": pa.array([None] * len(times), pa.int16()),
            }
        )
        for times in batches
    ]
    return pa.RecordBatchReader.from_batches(made[0].schema, iter(made))


def waiting(*times: int) -> Trades:
    count = len(times)
    return Trades(np.array(times, np.int64), np.array(times, float), np.ones(count), np.zeros(count, np.int8))


def test_trades_are_handed_out_up_to_a_time() -> None:
    feed = TradeFeed(reader([1, 2], [], [2, 5], [7]))
    assert feed.up_to(0).ts.tolist() == []
    assert feed.up_to(2).ts.tolist() == [1, 2, 2]
    taken = feed.up_to(6)
    assert (taken.ts.tolist(), taken.price.tolist(), taken.side.tolist()) == ([5], [5.0], [0])
    assert feed.rest().ts.tolist() == [7]


def test_trades_that_wait_may_be_later_than_those_of_the_day() -> None:
    batches = ([*range(1, 11)], [*range(11, 21)], [101, 102])
    feed = TradeFeed(reader(*batches), waiting(3, 100))
    assert feed.up_to(15).ts.tolist() == sorted([*range(1, 16), 3])
    assert feed.up_to(100).ts.tolist() == [16, 17, 18, 19, 20, 100]
    assert feed.rest().ts.tolist() == [101, 102]


@pytest.mark.parametrize("batches", [([2, 1],), ([1, 5], [4])])
def test_trades_out_of_order_are_noticed(batches: tuple[list[int], ...]) -> None:
    with pytest.raises(NotInOrder):
        TradeFeed(reader(*batches), waiting(9)).rest()


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.5, np.nan, -2.5, *[2.0] * 9, np.nan]),
        np.array([1.0, 2.0]),
        np.array([], np.float64),
        np.arange(20.0)[::2],  # not contiguous
        np.array([3, 4]),  # a kernel of a user's own may give integers
        np.array([0.5, np.nan], np.float32),
    ],
)
def test_doubles_become_arrow_with_null_for_nan(values: NDArray[Any]) -> None:
    given = arrow(values, Column("x", "u: anything"))
    given.validate(full=True)
    assert given.equals(pa.array(values.astype(np.float64), pa.float64(), from_pandas=True))
    assert given.null_count == np.isnan(values).sum()


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_infinite_doubles_are_refused(infinite: float) -> None:
    with pytest.raises(TaskError, match="a kernel returns inf in column x"):
        arrow(np.array([1.5, np.nan, infinite]), Column("x", "u: anything"))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_and_trades_of_one_feed_are_in_its_order(data: st.DataObject) -> None:
    """Whatever the batches of rows and of trades: each row comes after the trades that lie before it in the feed."""
    kinds = data.draw(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["row", "trade", "both"])), max_size=30))
    events = [(i // 8 + step // 3, seq, kind) for i, (seq, (step, kind)) in enumerate(enumerate(kinds))]
    events = sorted(events, key=lambda event: event[:2])
    rows = [event for event in events if event[2] != "trade"]
    trades = [event for event in events if event[2] != "row"]
    table = pa.table(
        {
            "ts": pa.array([ts for ts, _, _ in trades], pa.int64()).cast(pa.timestamp("ns")),
            "price": pa.array([1.0] * len(trades), pa.float64()),
            "amount": pa.array([float(seq) for _, seq, _ in trades], pa.float64()),
            "side": pa.array([1] * len(trades), pa.int16()),
            "seq": pa.array([seq for _, seq, _ in trades], pa.int64()),
        }
    )
    size = data.draw(st.integers(1, 5))
    feed = TradeFeed(pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=size)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    found: list[int] = []
    for begin, end in itertools.pairwise([0, *cuts, len(rows)]):
        if begin == end:
            continue
        ts, seq = (np.array([row[at] for row in rows[begin:end]], np.int64) for at in (0, 1))
        taken = feed.up_to(int(ts[-1]), int(seq[-1]))
        earlier = found[-1] if found else 0
        found += (earlier + Batch(ts, {}, taken, seq).trades_before).tolist()
        assert found[-1] == earlier + len(taken)
    assert found == [sum(trade[:2] <= row[:2] for trade in trades) for row in rows]


@pytest.mark.parametrize("kind", [pa.float64(), pa.int16(), pa.int64(), pa.uint64()], ids=str)
def test_columns_with_and_without_null_are_arrays(kind: pa.DataType) -> None:
    column = pa.array([9, None, 3, None, 5], kind)
    for part in (column, column.slice(1), column.slice(2, 1), column.slice(0, 0)):
        told = [None if np.isnan(value) else value for value in numbers(part, "x").tolist()]
        assert told == part.to_pylist()
        if pa.types.is_integer(kind):
            assert integers(part, "x").tolist() == [NO_INTEGER if x is None else x for x in part.to_pylist()]


@pytest.mark.parametrize("key", ["BTC-USDT", "\u00e9'", "", dt.date(2026, 1, 2), dt.date(1969, 12, 30)], ids=str)
@pytest.mark.parametrize("size", [0, 3])
def test_keys_are_repeated(key: str | dt.date, size: int) -> None:
    assert repeated(key, size).to_pylist() == [key] * size


def test_batches_that_are_read_ahead_come_in_order_and_errors_after_them() -> None:
    made = [pa.record_batch({"x": pa.array([number])}) for number in range(5)]

    def batches() -> Iterator[pa.RecordBatch]:
        yield from made
        raise ValueError("the sixth")

    with read_ahead(pa.RecordBatchReader.from_batches(made[0].schema, batches())) as rows:
        assert [next(rows.batches).column(0)[0].as_py() for _ in made] == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="the sixth"):
            next(rows.batches)
    with read_ahead(pa.RecordBatchReader.from_batches(made[0].schema, iter(made))) as rows:
        assert [batch.column(0)[0].as_py() for batch in rows] == [0, 1, 2, 3, 4]
