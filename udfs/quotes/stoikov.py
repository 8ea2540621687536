"""Micro-price: the mid that the book's state lets expect, fitted to the days before (Stoikov 2018)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from udfs.kernel import SEGMENT_START, Array, Batch, Column, Floats, Ints, Kernel, NDArray, State, record
from udfs.options import Option

MOVES = (-1.0, -0.5, 0.5, 1.0)
"""Moves of the mid in ticks that are counted; transitions that move further are dropped."""
ITERATIONS = 6
_DAY_NS = 86_400_000_000_000
_COUNTS = "stays", "moves", "jumps"


class StoikovMicroprice(Kernel):
    """Expected mid by imbalance and spread."""

    name = "stoikov_microprice"
    version = 2
    doc = "Micro-price by imbalance and spread, fitted to the days before (Stoikov 2018)"
    options = {
        "tick_size": Option(type="float", default=0.01, gt=0, doc="q: least step of prices"),
        "imbalance_buckets": Option(type="int", default=10, ge=2, le=100, doc="buckets of imbalance, of equal width"),
        "spread_ticks": Option(type="int", default=3, ge=1, le=50, doc="widest spread in ticks that is a state"),
    }

    def inputs(self) -> Sequence[str]:
        return SEGMENT_START, "mid_price", "bid_price_00", "bid_size_00", "ask_price_00", "ask_size_00"

    def outputs(self) -> Sequence[Column]:
        doc = "q: mid_price + tick_size * G*(imbalance, spread), fitted to the days before [Stoikov 2018]"
        return (Column("stoikov_microprice", doc),)

    def start(self) -> State:
        states = self.params["imbalance_buckets"] * self.params["spread_ticks"]
        return {
            "last": record(day=0, seen=False, state=-1, mid=0.0, rows=0, wide=0),
            "stays": np.zeros((states, states), np.int64),
            "moves": np.zeros((states, states), np.int64),
            "jumps": np.zeros((states, len(MOVES)), np.int64),
            "shift": np.full(states, math.nan),
        }

    def run(self, state: State, batch: Batch) -> Sequence[Array]:
        out = np.full(len(batch), math.nan)
        state |= {name: state[name].copy() for name in ("last", *_COUNTS)}
        wide = (
            batch["ask_price_00"] - batch["bid_price_00"]
            >= (self.params["spread_ticks"] + 0.5) * self.params["tick_size"]
        )
        states, day, last = self._states(batch), np.maximum.accumulate(batch.ts // _DAY_NS), state["last"][0]
        if last.seen:
            day = np.maximum(day, last.day)
        edges = [0, *(np.flatnonzero(np.diff(day)) + 1).tolist(), len(batch)] if len(batch) else [0]
        for begin, end in itertools.pairwise(edges):
            if not last.seen or day[begin] > last.day:
                state["shift"] = self._fitted(state)
                last.seen, last.day, last.rows, last.wide = True, day[begin], 0, 0
            part, mid = states[begin:end], batch["mid_price"][begin:end]
            known = part >= 0
            last.rows += end - begin
            last.wide += int(np.sum(wide[begin:end]))
            rows = np.flatnonzero(known) + begin
            out[rows] = mid[known] + self.params["tick_size"] * state["shift"][part[known]]
            self._count(state, part, mid, batch[SEGMENT_START][begin:end] == 1)
        return (out,)

    def notes(self, state: State) -> Sequence[str]:
        last, widest, tick = state["last"][0], self.params["spread_ticks"], self.params["tick_size"]
        if not last.wide:
            return ()
        return (
            f"stoikov_microprice is NULL in {last.wide:,} of {last.rows:,} rows, whose spread is more than"
            f" {widest} ticks of {tick:g} (spread_ticks, tick_size)",
        )

    def _states(self, batch: Batch) -> Ints:
        """State of each row, -1 without one: spread (ticks, from 1) times buckets, plus bucket of imbalance."""
        buckets = self.params["imbalance_buckets"]
        bid, ask = batch["bid_size_00"], batch["ask_size_00"]
        ticks = np.rint((batch["ask_price_00"] - batch["bid_price_00"]) / self.params["tick_size"])
        known = (ticks >= 1) & (ticks <= self.params["spread_ticks"]) & np.isfinite(batch["mid_price"])
        known &= bid + ask > 0
        share = np.divide(bid, bid + ask, out=np.zeros(len(batch)), where=known)
        bucket = np.searchsorted(np.arange(1, buckets) / buckets, share, side="right")
        return np.where(known, (np.where(known, ticks, 1) - 1) * buckets + bucket, -1).astype(np.int64)

    def _count(self, state: State, states: Ints, mid: Floats, starts: NDArray[np.bool_]) -> None:
        """Count the transitions between rows with a state that follow each other in a segment."""
        last = state["last"][0]
        rows = np.flatnonzero(states >= 0)
        segment = np.cumsum(starts)
        old_states = np.concatenate(([last.state], states[rows]))
        old_mids = np.concatenate(([last.mid], mid[rows]))
        old_segments = np.concatenate(([0], segment[rows]))
        old, new = old_states[:-1], old_states[1:]
        same = (old_segments[1:] == old_segments[:-1]) & (old >= 0)
        moved = np.rint(np.diff(old_mids) / self.params["tick_size"] * 2) / 2
        still = same & (moved == 0)
        np.add.at(state["stays"], (old[still], new[still]), 1)
        for k, move in enumerate(MOVES):
            jumped = same & (moved == move)
            np.add.at(state["jumps"], (old[jumped], k), 1)
            np.add.at(state["moves"], (old[jumped], new[jumped]), 1)
        last.state, last.mid = old_states[-1], old_mids[-1]
        if len(segment) and segment[-1] > old_segments[-1]:
            last.state = -1

    def _fitted(self, state: State) -> Floats:
        """G* in ticks by state, from the transitions so far and their mirror images; NaN where none is known."""
        buckets, spreads = self.params["imbalance_buckets"], self.params["spread_ticks"]
        mirror = (np.arange(spreads)[:, None] * buckets + np.arange(buckets)[::-1]).ravel()
        stays, moves = (state[name] + state[name][np.ix_(mirror, mirror)] for name in ("stays", "moves"))
        jumps = state["jumps"] + state["jumps"][mirror][:, ::-1]
        known = _reaches(stays, jumps.sum(axis=1) > 0)
        total = np.where(known, stays.sum(axis=1) + jumps.sum(axis=1), 1)[:, None]
        stay, move, jump = (np.where(known[:, None], counts / total, 0.0) for counts in (stays, moves, jumps))
        left = np.eye(len(known)) - np.where(known, stay, 0.0)
        first = np.linalg.solve(left, jump @ np.array(MOVES))
        after = np.linalg.solve(left, move)
        whole = term = first
        for _ in range(ITERATIONS - 1):
            term = after @ term
            whole = whole + term
        return np.where(known, whole, math.nan)


def _reaches(stays: Ints, moved: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask of the states from which the mid has moved, at once or after other states."""
    known = moved
    while True:
        further = known | ((stays > 0) & known).any(axis=1)
        if (further == known).all():
            return known
        known = further
