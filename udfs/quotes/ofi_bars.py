"""Order flow imbalance by window of an epoch grid: normalised by depth, and integrated over levels.

Cont, Cucuringu, Zhang 2023. A window ``(T - w, T]`` is known once a row after ``T`` has come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from udfs.kernel import (
    MAX_GAP,
    NANOSECONDS,
    OVERLAP_NS,
    SEGMENT_START,
    SESSION,
    Array,
    Batch,
    Column,
    Floats,
    Ints,
    Kernel,
    State,
    gap_ns,
    record,
)
from udfs.options import Option
from udfs.quotes import lags, ofi
from udfs.quotes.ofi_windows import FIXED, POINTS_PER_LEVEL, Grid, Rules, close, fill_windows
from udfs.quotes.segments import SESSION_DAY, find_starts, session_changes

_MOST_POINTS = 100_000
_DAY_NS = 86_400 * NANOSECONDS


class OfiBars(Kernel):
    """Windows of order flow imbalance."""

    name = "ofi_bars"
    version = 2
    doc = "Windows of order flow imbalance by level, normalised and integrated (Cont, Cucuringu, Zhang 2023)"
    replaces_rows = True
    options = {
        "ofi_levels": Option(type="int", default=10, ge=1, le=100, doc="levels of the book, M"),
        "ofi_window": Option(type="float", default=10, ge=0.000001, le=43200, doc="seconds of a window, w"),
        "fit_window": Option(
            type="float", default=1800, gt=0, le=86400, doc="seconds before a window whose grid points give its weights"
        ),
        "max_gap": MAX_GAP,
    }

    @property
    def levels(self) -> int:
        return int(self.params["ofi_levels"])

    @property
    def sessions(self) -> bool:
        return bool(self.params.get("sessions"))

    def inputs(self) -> Sequence[str]:
        resets = ("feed_reset",) if self.params.get("feed_resets") else ()
        levels = (column for i in range(self.levels) for column in ofi.level_columns(i))
        return (*levels, *resets, *([SESSION] if self.sessions else []))

    def outputs(self) -> Sequence[Column]:
        w, count, fit = (f"{self.params[name]:g}" for name in ("ofi_window", "ofi_levels", "fit_window"))
        flow = "sum of order flow imbalance over (bar_end - w, bar_end]"
        paper = "[Cont 2023]"
        return (
            Column("bar_end", f"UTC, ns: end of the window, inclusive, a multiple of {w} s", "timestamp"),
            Column("snapshot_count", "1: rows of the book in the window", "bigint"),
            Column("is_closed", "flag: a row after bar_end has come", "boolean"),
            Column("mid_price", "q: of the last valid row up to bar_end"),
            Column("return", f"1: ln(mid_price / mid price {w} s before), NULL where the segment starts after that"),
            Column("mean_depth", f"u: mean of (bid size + ask size) / 2 over rows and {count} levels {paper}"),
            Column(
                "integrated_ofi",
                f"1: w1.ofi_norm / sum of abs(w1), w1: first eigenvector of Cov(ofi_norm) in {fit} s before {paper}",
            ),
            Column("ofi_explained", f"1: share of variance of that eigenvector {paper}"),
            Column("segment_age_s", "s: from the first row of the segment to bar_end"),
            Column("ofi", f"u: {flow} at the best quotes [Cont 2014]"),
            *(Column(f"ofi_{i:02}", f"u: {flow}, level {i} [Xu 2019]") for i in range(1, self.levels)),
            *(
                Column(f"ofi_norm_{i:02}", f"1: order flow imbalance of level {i} / mean_depth {paper}")
                for i in range(self.levels)
            ),
            *([SESSION_DAY] if self.sessions else []),
        )

    @property
    def _rules(self) -> Rules:
        width, fit = (round(self.params[name] * NANOSECONDS) for name in ("ofi_window", "fit_window"))
        return Rules(width, fit, gap_ns(self.params["max_gap"]))

    def start(self) -> State:
        rules, needed = self._rules, POINTS_PER_LEVEL * self.levels
        points = -(-rules.fit // rules.width)
        if not needed <= points <= _MOST_POINTS:
            raise ValueError(
                f"fit_window {self.params['fit_window']:g} s has {points:,} windows of {self.params['ofi_window']:g} s;"
                f" {self.levels} levels need {needed} to {_MOST_POINTS:,}. Change fit_window, ofi_window or ofi_levels"
            )
        counts = dict.fromkeys(("end", "rows", "depths", "mid_ts", "segment", "points", "windows", "thin"), 0)
        mids = {"depth": 0.0, "mid": math.nan, "mid_before": math.nan}
        level = record(flow=0.0, flow_rest=0.0, steps=0, seen=0)
        window = record(open=False, late=0, dated=False, day=0, **counts, **mids)
        grid = Grid(window, np.repeat(level, self.levels), np.zeros(points, np.int64), np.zeros((points, self.levels)))
        last_row = record(ts=0, start=0, seen=False)
        session = {"session": np.full(1, math.nan)} if self.sessions else {}
        return {"last_row": last_row, **ofi.start(self.levels), **grid._asdict(), **session}

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        moved = {name: state[name].copy() for name in ("last_row", *Grid._fields)}
        state |= moved
        grid = Grid(*(moved[name] for name in Grid._fields))
        rows = self._in_time(state, batch)
        count, now = len(rows), grid.window[0]
        if count and not now.dated:
            now.dated, now.day = True, (rows.ts[0] + OVERLAP_NS) // _DAY_NS
        resets = rows["feed_reset"] == 1.0 if self.params.get("feed_resets") else np.zeros(count, np.bool_)
        days, changes = np.empty(0), np.zeros(count, np.bool_)
        if self.sessions and count:
            days = np.concatenate((state["session"], rows[SESSION]))
            changes = session_changes(state, rows)
        starts, age = np.empty(count, np.int8), np.empty(count)
        find_starts(rows.ts, self._rules.max_gap, resets | changes, moved["last_row"], starts, age)
        bid, ask = rows["bid_price_00"], rows["ask_price_00"]
        mid = np.where(ask >= bid, (bid + ask) / 2.0, math.nan)
        valid = rows.narrowed({**rows.columns, SEGMENT_START: starts, "mid_price": mid})
        previous, _, last = lags.lag(state, valid, self.params["max_gap"])
        flow = ofi.flows(state, valid, previous, last, [1.0] * self.levels)[0]
        depth = [(rows[f"bid_size_{i:02}"] + rows[f"ask_size_{i:02}"]) / 2.0 for i in range(self.levels)]
        marks, out = np.empty((count, 3), np.int64), np.empty((count, self._width))
        steps, depths = (np.ascontiguousarray(np.stack(columns, axis=1)) for columns in (flow, depth))
        n = fill_windows(rows.ts, starts, changes, mid, steps, depths, self._rules, grid, marks, out)
        ends, sizes, closing = np.ascontiguousarray(marks[:n].T)
        # The last row of a window is the one before that which closes it.
        return self._columns(ends, sizes, out[:n], days[closing] if self.sessions and count else days, closed=True)

    def notes(self, state: State) -> Sequence[str]:
        now = state["window"][0]
        late = f"ofi_bars leaves out {now.late:,} rows that are earlier than the date before ends" if now.late else ""
        thin = (
            f"ofi_bars: ofi_norm is NULL in {now.thin:,} of {now.windows:,} windows, in which fewer than {self.levels}"
            " levels were seen (ofi_levels)"
            if now.thin
            else ""
        )
        return [note for note in (late, thin) if note]

    def waiting(self, state: State) -> Sequence[Array]:
        """The open window, unless it reaches into the next date: no later row of this one can be in it."""
        moved = {name: state[name].copy() for name in Grid._fields}
        grid, now = Grid(*moved.values()), moved["window"][0]
        ends_here = bool(now.open and now.end // _DAY_NS == now.day)
        ends, rows = (np.full(int(ends_here), value, np.int64) for value in (now.end, now.rows))
        out = np.empty((int(ends_here), self._width))
        if ends_here:
            close(self._rules, grid, out[0])
        now.late = now.windows = now.thin = 0
        now.dated = False
        state |= moved
        days = np.repeat(state["session"], len(ends)) if self.sessions else np.empty(0)
        return self._columns(ends, rows, out, days, closed=False)

    @property
    def _width(self) -> int:
        return len(FIXED) + 2 * self.levels

    def _columns(self, ends: Ints, rows: Ints, out: Floats, days: Floats, closed: bool) -> Sequence[Array]:
        columns = (np.ascontiguousarray(column) for column in out.T)
        return ends, rows, np.full(len(ends), closed), *columns, *([days.astype(np.int64)] if self.sessions else [])

    def _in_time(self, state: State, batch: Batch) -> Batch:
        """The rows without those a little earlier than the last one of the date before (see ``OVERLAP_NS``)."""
        last = state["last_row"][0]
        if not len(batch) or not last.seen or not 0 < last.ts - batch.ts[0] <= OVERLAP_NS:
            return batch
        late = int(np.searchsorted(batch.ts, last.ts, side="left"))
        state["window"][0].late += late
        return Batch(batch.ts[late:], {name: column[late:] for name, column in batch.columns.items()})
