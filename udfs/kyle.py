"""Kyle's lambda: how far the price goes per unit of signed volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.classification import Tape, valid
from udfs.compensated import add
from udfs.jit import jit
from udfs.kernel import NANOSECONDS, SEGMENT_START, Array, Batch, Column, Kernel, State
from udfs.options import Option

MIN_STEPS = 30
_STEP = NANOSECONDS
_OPEN, _GRID, _STEPS = 0, 1, 2
_MID, _MID_AT_GRID, _MID_BEFORE, _LAMBDA = 0, 1, 2, 3
_FLOW, _FLOW_REST, _VOLUME = 0, 1, 2
# Amounts are decimals: what bought and sold amounts leave when they cancel is rounding, up to 1e-16 of them.
_CANCELLED = 1e-15
_LEAST_VARIANCE = 1e-12


class Steps(NamedTuple):
    """Seconds of the epoch grid."""

    now: NDArray[np.int64]
    """_OPEN: whether a segment is open; _GRID: the second at which the last step ended; number of _STEPS."""
    mids: NDArray[np.float64]
    """_MID of the last row, _MID_AT_GRID and a second earlier (NaN: not valid, or none in the segment); the last
    _LAMBDA."""
    flow: NDArray[np.float64]
    """Signed volume of the open step, a pair, and its whole _VOLUME."""
    volumes: NDArray[np.float64]
    """Signed volume of the last steps, a ring."""
    changes: NDArray[np.float64]
    """Change of the mid in the last steps; NaN where a mid is not known: such a step drops out."""


@jit
def _begin(second: int, steps: Steps) -> None:
    steps.now[_OPEN] = 1
    steps.now[_GRID] = second
    steps.now[_STEPS] = 0
    steps.mids[:] = math.nan
    steps.flow[:] = 0.0


@jit
def _push(volume: float, change: float, steps: Steps) -> None:
    slot = steps.now[_STEPS] % len(steps.volumes)
    steps.volumes[slot] = volume
    steps.changes[slot] = change
    steps.now[_STEPS] += 1


@jit
def _end_steps(second: int, steps: Steps) -> None:
    """End the steps up to ``second``; the last mid held at all of these ends."""
    now, mids, flow = steps.now, steps.mids, steps.flow
    volume = flow[_FLOW] if abs(flow[_FLOW]) > _CANCELLED * flow[_VOLUME] else 0.0
    _push(volume, mids[_MID] - mids[_MID_AT_GRID], steps)
    mids[_MID_BEFORE] = mids[_MID_AT_GRID]
    mids[_MID_AT_GRID] = mids[_MID]
    flow[:] = 0.0
    empty = second - now[_GRID] - 1
    if empty > 0:
        mids[_MID_BEFORE] = mids[_MID]
        for _ in range(min(empty, len(steps.volumes))):
            _push(0.0, mids[_MID] - mids[_MID], steps)
    now[_GRID] = second


@jit
def _trade(ts: int, amount: float, side: int, steps: Steps) -> None:
    ends = -(-ts // _STEP)
    if ends - 1 > steps.now[_GRID]:
        _end_steps(ends - 1, steps)
    flow = steps.flow
    flow[_FLOW], flow[_FLOW_REST] = add(flow[_FLOW], flow[_FLOW_REST], side * amount, 0.0)
    flow[_VOLUME] += amount


@jit
def _see_mid(ts: int, mid: float, steps: Steps) -> bool:
    """Take the mid of a row (NaN: not valid); whether a step that has ended may change."""
    mids = steps.mids
    mids[_MID] = mid
    if ts != steps.now[_GRID] * _STEP:
        return False
    mids[_MID_AT_GRID] = mid
    if steps.now[_STEPS] == 0:
        return False
    steps.changes[(steps.now[_STEPS] - 1) % len(steps.changes)] = mid - mids[_MID_BEFORE]
    return True


@jit
def slope(x: NDArray[np.float64], y: NDArray[np.float64], n: int) -> float:
    """Least squares slope of ``y`` on ``x`` over those of the first ``n`` whose ``y`` is known.

    NaN where ``x`` hardly varies, or fewer than ``MIN_STEPS`` are known.
    """
    mean_x = mean_y = square = 0.0
    known = 0
    for k in range(n):
        if not math.isnan(y[k]):
            mean_x += x[k]
            mean_y += y[k]
            square += x[k] * x[k]
            known += 1
    if known < MIN_STEPS:
        return math.nan
    mean_x /= known
    mean_y /= known
    xx = xy = 0.0
    for k in range(n):
        if not math.isnan(y[k]):
            xx += (x[k] - mean_x) * (x[k] - mean_x)
            xy += (x[k] - mean_x) * (y[k] - mean_y)
    return xy / xx if xx > _LEAST_VARIANCE * square else math.nan


@jit
def measure(
    rows: NDArray[np.int64],
    starts: NDArray[np.int8],
    mid: NDArray[np.float64],
    trades: Tape,
    before: NDArray[np.int64],
    steps: Steps,
    out: NDArray[np.float64],
) -> None:
    """Kyle's lambda at the times ``rows`` (ns), each after as many trades as ``before`` says."""
    j = 0
    for i in range(len(rows)):
        begins = starts[i] == 1 or steps.now[_OPEN] == 0
        second = rows[i] // _STEP
        if begins:
            _begin(second, steps)
        grid = steps.now[_GRID]
        while j < before[i]:
            if not begins:
                _trade(trades.ts[j], trades.amount[j], trades.side[j], steps)
            j += 1
        if second > steps.now[_GRID]:
            _end_steps(second, steps)
        changed = steps.now[_GRID] != grid
        changed |= _see_mid(rows[i], mid[i], steps)
        if changed and steps.now[_STEPS] >= MIN_STEPS:
            n = min(steps.now[_STEPS], len(steps.volumes))
            steps.mids[_LAMBDA] = slope(steps.volumes, steps.changes, n)
        out[i] = steps.mids[_LAMBDA]


class KyleLambda(Kernel):
    """Slope of mid changes on signed trade volume over steps of one second. Kyle 1985."""

    name = "kyle_lambda"
    version = 2
    doc = "Kyle's lambda: price impact of signed trade volume"
    reads_trades = True
    options = {
        "kyle_window": Option(type="int", default=300, gt=0, doc="seconds over which kyle_lambda is estimated"),
    }

    def inputs(self) -> Sequence[str]:
        return (SEGMENT_START, "mid_price")

    def outputs(self) -> Sequence[Column]:
        return (Column("kyle_lambda", "q/u: mid price change per signed volume, by regression over seconds"),)

    def start(self) -> State:
        window = self.given["kyle_window"]
        return {
            "now": np.zeros(3, np.int64),
            "mids": np.full(4, math.nan),
            "flow": np.zeros(3),
            "volumes": np.zeros(window),
            "changes": np.zeros(window),
        }

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        out = np.full(len(batch), math.nan)
        if batch.trades is None:
            # What was traded at these rows is unknown: what comes after them starts as a segment does.
            state |= self.start()
            return (out,)
        moved = {name: array.copy() for name, array in state.items()}
        steps = Steps(*(moved[name] for name in Steps._fields))
        trades, before = valid(batch)
        measure(batch.ts, batch[SEGMENT_START], batch["mid_price"], trades, before, steps, out)
        state |= moved
        return (out,)
