"""Returns, velocity and acceleration of the mid price."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from udfs.jit import jit
from udfs.kernel import MAX_GAP, SEGMENT_START, Array, Batch, Column, Kernel, NDArray, State, record
from udfs.quotes import lags


@jit
def find_returns(
    mid: NDArray[np.float64],
    previous: NDArray[np.int64],
    elapsed: NDArray[np.float64],
    state: Array,
    log_return: NDArray[np.float64],
    velocity: NDArray[np.float64],
    accel: NDArray[np.float64],
) -> None:
    """Write log return, velocity (q/s) and acceleration of each row. ``state``: last valid row before the batch.

    ``log1p`` of the change keeps all digits of small returns; the logarithm of a ratio near 1 loses half of them. A
    mid that is not positive has none.
    """
    carried = state[0]
    for i in range(len(mid)):
        log_return[i] = velocity[i] = accel[i] = np.nan
        row = previous[i]
        if row == lags.NONE:
            continue
        price, speed, seconds = carried.mid, carried.velocity, carried.elapsed
        if row >= 0:
            price, speed, seconds = mid[row], velocity[row], elapsed[row]
        change = mid[i] - price
        if price > 0 and mid[i] > 0:
            log_return[i] = math.log1p(change / price)
        if elapsed[i] > 0:
            velocity[i] = change / elapsed[i]
            accel[i] = (velocity[i] - speed) / ((elapsed[i] + seconds) / 2)


class Returns(Kernel):
    """Changes of the mid since the valid row before."""

    name = "returns"
    version = 2
    doc = "Log return, velocity and acceleration of the mid, row by row"
    options = {"max_gap": MAX_GAP}

    def inputs(self) -> Sequence[str]:
        return SEGMENT_START, "mid_price"

    def outputs(self) -> Sequence[Column]:
        return (
            Column("log_return", "1: ln(mid / mid of the valid row before); NULL where either is not above 0"),
            Column("mid_velocity", "q/s: change of the mid per second since the valid row before"),
            Column("mid_accel", "q/s2: change of mid_velocity over the mean of the two time steps"),
        )

    def start(self) -> State:
        return {**lags.start(), "carried": record(mid=math.nan, velocity=math.nan, elapsed=math.nan)}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        previous, elapsed, last = lags.lag(state, batch, self.params["max_gap"])
        log_return, velocity, accel = (np.empty(len(batch)) for _ in range(3))
        mid = batch["mid_price"]
        find_returns(mid, previous, elapsed, state["carried"], log_return, velocity, accel)
        if last >= 0:
            state["carried"] = state["carried"].copy()
            state["carried"][0] = mid[last], velocity[last], elapsed[last]
        return log_return, velocity, accel
