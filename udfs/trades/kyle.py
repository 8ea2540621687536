"""Kyle's lambda: price change per unit of signed volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from udfs.jit import jit
from udfs.kernel import NANOSECONDS, Array, Batch, Column, Floats, Record, State, record
from udfs.options import Option
from udfs.trades.tape import SIGN, Tape, TradeKernel
from udfs.windows.compensated import add

MIN_STEPS = 30
_STEP = NANOSECONDS
# Amounts are decimals: what bought and sold amounts leave when they cancel is rounding, up to 1e-16 of them.
_CANCELLED = 1e-15
_LEAST_VARIANCE = 1e-12


class Steps(NamedTuple):
    """Seconds of the epoch grid: the open one, and a ring of the last ones."""

    open: Array
    """``grid``: second at which the last step ended; ``steps``: number of steps in the segment; ``mid`` of the last
    row, ``mid_at_grid`` and ``mid_before`` a second earlier (NaN: not valid, or none in the segment); ``flow``: signed
    volume of the open step (a pair with ``flow_rest``), ``volume``: its whole volume; the last ``slope``."""
    volumes: Floats
    """Signed volume of the last steps."""
    changes: Floats
    """Change of the mid in the last steps; NaN without a valid mid: such a step is left out."""


@jit
def _begin(second: int, now: Record) -> None:
    now.grid = second
    now.steps = 0
    now.mid = now.mid_at_grid = now.mid_before = now.slope = math.nan
    now.flow = now.flow_rest = now.volume = 0.0


@jit
def _push(volume: float, change: float, steps: Steps) -> None:
    now = steps.open[0]
    slot = now.steps % len(steps.volumes)
    steps.volumes[slot] = volume
    steps.changes[slot] = change
    now.steps += 1


@jit
def _end_steps(second: int, steps: Steps) -> None:
    """End the steps up to ``second``; the last mid held at all of these ends."""
    now = steps.open[0]
    volume = now.flow if abs(now.flow) > _CANCELLED * now.volume else 0.0
    _push(volume, now.mid - now.mid_at_grid, steps)
    now.mid_before = now.mid_at_grid
    now.mid_at_grid = now.mid
    now.flow = now.flow_rest = now.volume = 0.0
    empty = second - now.grid - 1
    if empty > 0:
        now.mid_before = now.mid
        for _ in range(min(empty, len(steps.volumes))):
            _push(0.0, now.mid - now.mid, steps)
    now.grid = second


@jit
def _trade(ts: int, amount: float, side: int, steps: Steps) -> None:
    now, ends = steps.open[0], -(-ts // _STEP)
    if ends - 1 > now.grid:
        _end_steps(ends - 1, steps)
    now.flow, now.flow_rest = add(now.flow, now.flow_rest, side * amount, 0.0)
    now.volume += amount


@jit
def _see_mid(ts: int, mid: float, steps: Steps) -> bool:
    """Take the mid of a row (NaN: not valid); True if that changes a step that has ended."""
    now = steps.open[0]
    now.mid = mid
    if ts != now.grid * _STEP:
        return False
    now.mid_at_grid = mid
    if now.steps == 0:
        return False
    steps.changes[(now.steps - 1) % len(steps.changes)] = mid - now.mid_before
    return True


@jit
def slope(x: Floats, y: Floats, n: int) -> float:
    """Least squares slope of ``y`` on ``x`` over the first ``n`` of them whose ``y`` is known.

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
def roll_slope(tape: Tape, mid: Floats, steps: Steps, out: Floats) -> None:
    """Write Kyle's lambda at each row."""
    now = steps.open[0]
    for i in range(len(tape.rows)):
        second = tape.rows[i] // _STEP
        if tape.starts[i]:
            _begin(second, now)
        grid = now.grid
        for j in range(tape.first[i], tape.first[i] if tape.starts[i] else tape.end[i]):
            _trade(tape.ts[j], tape.amount[j], tape.side[j], steps)
        if second > now.grid:
            _end_steps(second, steps)
        changed = now.grid != grid
        changed |= _see_mid(tape.rows[i], mid[i], steps)
        if changed and now.steps >= MIN_STEPS:
            now.slope = slope(steps.volumes, steps.changes, min(now.steps, len(steps.volumes)))
        out[i] = now.slope


class KyleLambda(TradeKernel):
    """Slope of mid changes on signed trade volume over steps of one second. Kyle 1985."""

    name = "kyle_lambda"
    version = 2
    doc = "Kyle's lambda: price impact of signed trade volume"
    options = {
        "kyle_window": Option(type="int", default=300, gt=0, doc="seconds over which kyle_lambda is estimated"),
        "sign": SIGN,
    }

    def inputs(self) -> Sequence[str]:
        return (*super().inputs(), "mid_price")

    def outputs(self) -> Sequence[Column]:
        h = self.params["kyle_window"]
        doc = f"q/u: Cov(mid_price change, signed volume) / Var(signed volume) of steps of 1 s over {h} s [Kyle 1985]"
        return (Column("kyle_lambda", doc),)

    def start(self) -> State:
        mids = dict.fromkeys(("mid", "mid_at_grid", "mid_before", "slope"), math.nan)
        flow = dict.fromkeys(("flow", "flow_rest", "volume"), 0.0)
        window = self.params["kyle_window"]
        steps = Steps(record(grid=0, steps=0, **mids, **flow), np.zeros(window), np.zeros(window))
        return {**super().start(), **steps._asdict()}

    def measure(self, state: State, tape: Tape, batch: Batch, out: Floats) -> None:
        roll_slope(tape, batch["mid_price"], Steps(*(state[name] for name in Steps._fields)), out[0])
