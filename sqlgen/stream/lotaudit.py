"""Volumes that are too small for the lots in which a kernel counts them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct, field

from udfs import Batch, Kernel, State

_CHANGE = 1e-3
"""Change of a volume by rounding, as a share of it, from which on it is told."""


class _Rounded(Struct):
    trades: int = 0
    of: int = 0
    smallest: float = math.inf
    lot_size: float = 0.0
    lot: float = 0.0
    """Largest so far: where the size of buckets follows the market, that of lots may too."""
    filled: str = ""

    @property
    def advice(self) -> str:
        if self.lot > self.lot_size:
            more = f"Lots are larger than lot_size ({self.lot_size:g})"
            return f"{more} because a {self.filled} has too many of these to count: make {self.filled}s smaller"
        step = 10.0 ** math.floor(math.log10(self.smallest))
        return f"Set lot_size to the step in which this market counts, {step:g} or less"


class LotAudit(Struct):
    """Counts the volumes that rounding to lots changes."""

    _found: dict[str, _Rounded] = field(default_factory=dict)

    def add(self, kernels: Sequence[Kernel], states: Mapping[str, State], batch: Batch) -> None:
        """Add a batch of rows, with the trades since the previous batch, and the states after it."""
        for kernel in kernels:
            if (counted := kernel.in_lots(states[kernel.name], batch)) is None:
                continue
            volumes, lot, filled = counted
            found = self._found.setdefault(kernel.name, _Rounded(lot_size=kernel.params["lot_size"], filled=filled))
            found.lot = max(found.lot, lot)
            volumes = volumes[volumes > 0]
            found.of += len(volumes)
            small = volumes[volumes < lot / _CHANGE]
            if len(small):
                small = small[np.abs(np.rint(small / lot) * lot - small) > small * _CHANGE]
                found.trades += len(small)
                found.smallest = min(found.smallest, float(small.min(initial=math.inf)))

    def notes(self) -> list[str]:
        """Notes for the user."""
        return [
            f"{name} rounds {found.trades:,} of {found.of:,} trades to whole lots of {found.lot:g}, which changes them"
            f" by more than {_CHANGE:.1%} or leaves them out: the smallest is {found.smallest:g}. {found.advice}"
            for name, found in self._found.items()
            if found.trades
        ]
