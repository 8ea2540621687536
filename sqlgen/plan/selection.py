"""Models and partitions that a run may touch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlgen.lake.partitions import Partition


@dataclass(frozen=True)
class Selection:
    """What a run may touch."""

    models: tuple[str, ...]
    """In dependency order."""
    exchanges: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    start: dt.date | None = None
    end: dt.date | None = None
    """Inclusive."""
    full_refresh: bool = False
    prune: bool = False
    only: frozenset[tuple[str, Partition]] | None = None
    """Where given, no units but these (a retry)."""
    allow_empty: bool = False
    """It is no error where there is nothing of what is asked for."""
    recent: Mapping[str, tuple[Coverage, ...]] = field(default_factory=dict)
    """Model -> runs since its schedule last came up; what they covered is not due."""

    @property
    def is_whole(self) -> bool:
        """Whether every partition of the models is meant."""
        return not (self.exchanges or self.symbols or self.start or self.end or self.only is not None)

    def covers(self, unit: Partition) -> bool:
        if self.exchanges and "exchange" in unit and unit["exchange"] not in self.exchanges:
            return False
        if self.symbols and "symbol" in unit and unit["symbol"] not in self.symbols:
            return False
        date = unit.date
        if date is None:
            return True
        return (self.start is None or date >= self.start) and (self.end is None or date <= self.end)

    def is_due(self, model: str, unit: Partition) -> bool:
        """True if no recent run covered a unit."""
        return not any(run.covers(unit) for run in self.recent.get(model, ()))


@dataclass(frozen=True)
class Coverage:
    """Units of one model that an earlier run dealt with."""

    scope: Selection | None
    """Scope of that run; ``None`` where it was to do nothing but ``done``."""
    done: frozenset[Partition] = frozenset()
    left: frozenset[Partition] = frozenset()
    """Units that it could not finish."""

    def covers(self, unit: Partition) -> bool:
        return unit in self.done or (self.scope is not None and unit not in self.left and self.scope.covers(unit))
