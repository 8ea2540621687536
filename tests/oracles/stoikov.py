"""Micro-price, after the notebook of Stoikov 2018: dictionaries of transitions, inverses, from scratch each day."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.oracles.rows import NS, Row
from tests.oracles.segments import segment_starts

Place = tuple[int, int]
"""Spread in ticks, bucket of imbalance."""
Transition = tuple[Place, float, Place]
"""State, move of the mid in ticks, next state."""


def columns(
    rows: Sequence[Row],
    trades: Sequence[Row] | None = None,
    tick_size: float = 0.01,
    imbalance_buckets: int = 10,
    spread_ticks: int = 3,
    max_gap: float | None = 300,
    **_: Any,
) -> dict[str, list[float | None]]:
    """Expected column of the kernel."""
    n = imbalance_buckets
    places = [_place(row, tick_size, n, spread_ticks) for row in rows]
    starts = segment_starts(rows, max_gap)
    before: list[Transition] = []
    today: list[Transition] = []
    prices: dict[Place, float] = {}
    out: list[float | None] = []
    last: int | None = None
    day = None
    for i, row in enumerate(rows):
        date = dt.datetime.fromtimestamp(row["ts"] // NS, dt.UTC).date()
        if day is None or date > day:
            before, today, day = before + today, [], date
            prices = micro_adjustments(before, n, spread_ticks)
        place = places[i]
        if place is None:
            out.append(None)
            continue
        out.append(row["mid_price"] + tick_size * prices[place] if place in prices else None)
        if last is not None and starts[last] == starts[i]:
            move = round((row["mid_price"] - rows[last]["mid_price"]) / tick_size * 2) / 2
            old = places[last]
            if abs(move) <= 1 and old is not None:
                today.append((old, move, place))
        last = i
    return {"stoikov_microprice": out}


def _place(row: Row, tick: float, n: int, widest: int) -> Place | None:
    if row["mid_price"] is None:
        return None
    spread = round((row["ask_price_00"] - row["bid_price_00"]) / tick)
    if not 1 <= spread <= widest:
        return None
    share = row["bid_size_00"] / (row["bid_size_00"] + row["ask_size_00"])
    return spread, sum(share >= i / n for i in range(1, n))


def micro_adjustments(transitions: Sequence[Transition], n: int, widest: int) -> dict[Place, float]:
    """G* in ticks of the states from which a move is known."""

    def turned(place: Place) -> Place:
        return place[0], n - 1 - place[1]

    both = [*transitions, *((turned(old), -move, turned(new)) for old, move, new in transitions)]
    moving = {old for old, move, _ in both if move != 0}
    while more := {old for old, move, new in both if move == 0 and new in moving} - moving:
        moving |= more
    known = sorted(moving)
    if not known:
        return {}
    seen = Counter(old for old, _, _ in both)
    count = Counter(both)
    moves = (-1.0, -0.5, 0.5, 1.0)
    q = np.array([[count[old, 0.0, new] / seen[old] for new in known] for old in known])
    jumps = Counter((old, move) for old, move, _ in both)
    r1 = np.array([[jumps[old, move] / seen[old] for move in moves] for old in known])
    r2 = np.array([[sum(count[old, move, new] for move in moves) / seen[old] for new in known] for old in known])
    inverse = np.linalg.inv(np.eye(len(known)) - q)
    g1 = inverse @ r1 @ np.array(moves)
    b = inverse @ r2
    total = sum(np.linalg.matrix_power(b, j) @ g1 for j in range(6))
    return dict(zip(known, np.asarray(total).tolist(), strict=True))
