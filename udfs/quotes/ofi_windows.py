"""Windows of an epoch grid over the order flow of levels: sums, their ratio to depth, and their first component."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from udfs.eigen import first_component
from udfs.jit import jit
from udfs.kernel import Array, Floats, Ints, NDArray, Record
from udfs.windows.compensated import add

POINTS_PER_LEVEL = 3
"""Fewest points of a fit."""
FIXED = "mid_price", "return", "mean_depth", "integrated_ofi", "ofi_explained", "segment_age_s"
"""Columns of a window before those of its levels."""
_MID, _RETURN, _DEPTH, _INTEGRATED, _EXPLAINED, _AGE = range(len(FIXED))


class Rules(NamedTuple):
    """Options as the loop takes them (ns)."""

    width: int
    fit: int
    max_gap: int


class Grid(NamedTuple):
    """The open window, and the points that the first component is fitted to."""

    window: Array
    """One is ``open``: its ``end``, its ``rows``, the sum of ``depth`` over ``depths`` levels of rows, ``mid_before``
    at its start. ``mid`` of the last valid row and its time; start of the ``segment``; number of ``points`` in it.
    Of the partition: its ``day`` (since the epoch), ``windows``, ``thin`` ones in which a level was never seen, rows
    that come ``late``."""
    levels: Array
    """By level, in the window: sum of ``flow`` (a pair with ``flow_rest``) over so many ``steps``, and the number of
    rows that have the level (``seen``)."""
    ends: Ints
    """Ends of the last points: a ring."""
    points: Floats
    """Normalised order flow by point and level."""


@jit
def _component(rules: Rules, grid: Grid, weights: Floats) -> float:
    """Share of variance of the first component before the open window, whose weights are written; NaN: too few."""
    now, known = grid.window[0], 0
    points = np.empty_like(grid.points)
    for k in range(min(now.points, len(grid.ends))):
        if now.end - rules.fit <= grid.ends[k]:
            for level in range(len(weights)):
                points[known, level] = grid.points[k, level]
            known += 1
    if known < POINTS_PER_LEVEL * len(weights):
        return math.nan
    return float(first_component(points[:known], weights))


@jit
def _mid_at(time: int, max_gap: int, now: Record) -> float:
    return float(now.mid) if time - now.mid_ts <= max_gap else math.nan


@jit
def _normalise(grid: Grid, out: Floats) -> bool:
    """Write flow per level, mean depth and their ratios; True if all levels have one."""
    now, count = grid.window[0], len(grid.levels)
    thin = False
    for k in range(count):
        level = grid.levels[k]
        thin |= level.seen == 0
        out[len(FIXED) + k] = level.flow if level.steps > 0 else math.nan
    now.windows += 1
    now.thin += thin
    if now.depths > 0:
        out[_DEPTH] = now.depth / now.depths
    whole = not thin
    for k in range(count):
        ratio = math.nan if thin else out[len(FIXED) + k] / out[_DEPTH]
        out[len(FIXED) + count + k] = ratio
        whole &= not math.isnan(ratio)
    return whole


@jit
def close(rules: Rules, grid: Grid, out: Floats) -> None:
    """Write the columns of the open window, which becomes the last point."""
    now, count = grid.window[0], len(grid.levels)
    out[:] = math.nan
    mid = _mid_at(now.end, rules.max_gap, now)
    out[_MID], out[_AGE] = mid, (now.end - now.segment) / 1e9
    if mid > 0.0 and now.mid_before > 0.0:
        out[_RETURN] = math.log(mid / now.mid_before)
    weights = np.empty(count)
    out[_EXPLAINED] = _component(rules, grid, weights)
    if _normalise(grid, out):
        if not math.isnan(out[_EXPLAINED]):
            total = 0.0
            for k in range(count):
                total += weights[k] * out[len(FIXED) + count + k]
            out[_INTEGRATED] = total
        slot = now.points % len(grid.ends)
        grid.ends[slot] = now.end
        for k in range(count):
            grid.points[slot, k] = out[len(FIXED) + count + k]
        now.points += 1
    now.open = False


@jit
def _open(ts: int, rules: Rules, grid: Grid) -> None:
    now = grid.window[0]
    now.open = True
    now.end = -(-ts // rules.width) * rules.width
    now.mid_before = _mid_at(now.end - rules.width, rules.max_gap, now)
    now.rows = now.depths = 0
    now.depth = 0.0
    for k in range(len(grid.levels)):
        level = grid.levels[k]
        level.flow = level.flow_rest = 0.0
        level.steps = level.seen = 0


@jit
def _add(mid: float, ts: int, flow: Floats, depth: Floats, grid: Grid) -> None:
    """Add a row to the open window; only valid rows have a depth that counts."""
    now = grid.window[0]
    now.rows += 1
    if math.isnan(mid):
        return
    now.mid, now.mid_ts = mid, ts
    for k in range(len(grid.levels)):
        level = grid.levels[k]
        if not math.isnan(flow[k]):
            level.flow, level.flow_rest = add(level.flow, level.flow_rest, flow[k], 0.0)
            level.steps += 1
        if not math.isnan(depth[k]):
            now.depth += depth[k]
            now.depths += 1
            level.seen += 1


@jit
def fill_windows(
    ts: Ints,
    starts: NDArray[np.int8],
    sessions: NDArray[np.bool_],
    mid: Floats,
    flow: Floats,
    depth: Floats,
    rules: Rules,
    grid: Grid,
    marks: Ints,
    out: Floats,
) -> int:
    """Write the columns of each window that closes, and its marks: end, number of rows, row that closes it.

    ``flow``, ``depth``: a row each, by level. A segment that starts within a window drops what came before it, unless
    a session has ended there (``sessions``: rows that begin one). Gives the number of windows.
    """
    now, n = grid.window[0], 0
    for i in range(len(ts)):
        if now.open and (ts[i] > now.end or sessions[i]):
            marks[n, 0], marks[n, 1], marks[n, 2] = now.end, now.rows, i
            close(rules, grid, out[n])
            n += 1
        if starts[i]:
            now.open, now.mid, now.segment, now.points = False, math.nan, ts[i], 0
        if not now.open:
            _open(ts[i], rules, grid)
        _add(mid[i], ts[i], flow[i], depth[i], grid)
    return n
