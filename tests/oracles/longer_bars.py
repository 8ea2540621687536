"""Longer bars of bars, from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def longer_bars(bars: Sequence[Row], seconds: int) -> list[Row]:
    """Bars of one symbol, with `start` in seconds, as bars of ``seconds``; of those with one start the last counts."""
    by_start: dict[int, Row] = {}
    for bar in bars:
        by_start[bar["start"]] = bar
    binned: dict[int, list[Row]] = {}
    for start in sorted(by_start):
        binned.setdefault(start // seconds * seconds, []).append(by_start[start])
    found = []
    for start, inside in binned.items():
        row = {"start": start, "open": inside[0]["open"], "close": inside[-1]["close"], "bar_count": len(inside)}
        row["high"] = max(bar["high"] for bar in inside)
        row["low"] = min(bar["low"] for bar in inside)
        for name in ("volume", "trade_count"):
            row[name] = sum(bar[name] for bar in inside)
        found.append(row)
    return found
