"""Rolling windows over a series, as kernels use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct

from udfs.kernel import NANOSECONDS, Array, Batch, Floats, Ints, NDArray, State, record
from udfs.windows.frames import Items, rows_as_items


class Windows(Struct, frozen=True, dict=True):
    """Rolling windows over a series, and their part of a kernel's state."""

    name: str
    """Start of the names of their arrays in the state."""
    horizons: Sequence[int]
    """s."""
    loop: Callable[..., tuple[Floats, tuple[Ints, Array, Ints]]]
    """Statistics of the windows, and their new times, history and heads, from items, spans, values and the state's
    arrays; writes to the totals."""
    known: Callable[..., NDArray[np.bool_]]
    """Mask of the values that count."""
    history: Sequence[str]
    """Numbers kept with each item."""
    totals: Mapping[str, float]
    """Fields that go from item to item, with their first values."""
    flags: tuple[bool, ...] = ()
    """More arguments of the loop."""
    per_window: int = 0
    """Records of totals that each window has for itself; 0: they share one."""

    def start(self) -> State:
        layout: Any = [(field, np.float64) for field in self.history]
        totals = np.repeat(record(**self.totals), self.per_window * len(self.horizons) or 1)
        arrays = np.empty(0, np.int64), np.empty(0, layout), np.zeros(len(self.horizons), np.int64), totals
        return dict(zip(self.names, arrays, strict=True))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of their arrays in the state. They are replaced, never written to."""
        return tuple(f"{self.name}.{part}" for part in ("times", "history", "heads", "totals"))

    @cached_property
    def spans(self) -> Ints:
        """Lengths in ns."""
        return np.array(self.horizons, np.int64) * NANOSECONDS

    def run(self, state: State, batch: Batch, *series: Floats) -> Floats:
        """Statistic, window, row of series with a value per row. Moves these windows in ``state``."""
        known = self.known(*series)
        items = rows_as_items(batch, known)
        return self.over(state, items, *(series if known.all() else [values[known] for values in series]))

    def over(self, state: State, items: Items, *series: Array) -> Floats:
        """Statistic, window, row of series with a value per item. Moves these windows in ``state``."""
        times, history, heads, totals = (state[name] for name in self.names)
        totals = totals.copy()
        out, moved = self.loop(items, self.spans, *series, *self.flags, times, history, heads, totals)
        state |= zip(self.names, (*moved, totals), strict=True)
        return out
