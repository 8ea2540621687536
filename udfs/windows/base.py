"""Rolling windows over a series, as kernels use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udfs.kernel import NANOSECONDS, Batch, State, record
from udfs.windows.frames import Floats, Items, copy_from, find_frames, rows_as_items, with_room


@dataclass(frozen=True)
class Windows:
    """Rolling windows over a series, and their part of a kernel's state."""

    name: str
    """Start of the names of their arrays in the state."""
    horizons: Sequence[int]
    """s."""
    statistics: int
    """Number of statistics per window."""
    loop: Callable[..., int]
    """Statistics of the windows from frames, values, history and totals; gives the first item still needed."""
    known: Callable[..., NDArray[np.bool_]]
    """Mask of the values that count."""
    history: Sequence[str]
    """Numbers kept with each item."""
    totals: Mapping[str, float]
    """Fields that go from item to item, with their first values."""
    flags: tuple[bool, ...] = ()
    """More arguments of the loop."""
    per_window: bool = False
    """Each window has totals of its own."""

    def start(self) -> State:
        layout: Any = [(field, np.float64) for field in self.history]
        totals = np.repeat(record(**self.totals), len(self.horizons) if self.per_window else 1)
        return {
            f"{self.name}.times": np.empty(0, np.int64),
            f"{self.name}.history": np.empty(0, layout),
            f"{self.name}.heads": np.zeros(len(self.horizons), np.int64),
            f"{self.name}.totals": totals,
        }

    def run(self, state: State, batch: Batch, *series: Floats) -> Floats:
        """Statistic, window, row of series with a value per row. Moves these windows in ``state``."""
        known = self.known(*series)
        items = rows_as_items(batch, known)
        return self.over(state, items, *(series if known.all() else [values[known] for values in series]))

    def over(self, state: State, items: Items, *series: Floats) -> Floats:
        """Statistic, window, row of series with a value per item. Moves these windows in ``state``."""
        times, history, heads, totals = (state[f"{self.name}.{part}"] for part in _PARTS)
        heads, totals, history = heads.copy(), totals.copy(), with_room(history, len(items.times))
        frames = find_frames(items, times, np.array(self.horizons, np.int64) * NANOSECONDS, heads)
        out = np.empty((self.statistics, len(self.horizons), len(items.rows)))
        low = self.loop(frames, len(times), *series, *self.flags, history, totals, out)
        moved = copy_from(frames.times, low), copy_from(history, low), heads - low, totals
        state |= {f"{self.name}.{part}": array for part, array in zip(_PARTS, moved, strict=True)}
        return out


_PARTS = "times", "history", "heads", "totals"
