"""Trades on their way into kernels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from sqlgen.pipe import NotInOrder, TradeFeed
from udfs.kernel import Trades


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
