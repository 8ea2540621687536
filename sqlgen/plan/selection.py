"""Selection of models and partitions for a run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sqlgen.lake.partitions import Partition


@dataclass(frozen=True)
class Selection:
    """Models, partitions and options of a run."""

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
    """Units to restrict the run to (a retry); ``None``: no restriction."""
    allow_empty: bool = False
    """True if missing data is no error."""
    recent: Mapping[str, tuple[Coverage, ...]] = field(default_factory=dict)
    """Model -> runs since it was last scheduled; units that they covered are not due."""

    @property
    def is_whole(self) -> bool:
        """True if all partitions of the models are selected."""
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
    """Units of one model that an earlier run covered."""

    scope: Selection | None
    """Selection of that run; ``None`` if it was restricted to ``done``."""
    done: frozenset[Partition] = frozenset()
    left: frozenset[Partition] = frozenset()
    """Units that it could not finish."""

    def covers(self, unit: Partition) -> bool:
        return unit in self.done or (self.scope is not None and unit not in self.left and self.scope.covers(unit))


def spelled(symbols: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Symbols as they are known: where ``BTC/USDT`` is not, ``BTC-USDT`` and others of the same letters and digits."""
    found: dict[str, None] = {}
    for symbol in symbols:
        same = [] if symbol in known else [other for other in sorted(known) if _plain(other) == _plain(symbol)]
        found |= dict.fromkeys(same or [symbol])
    return tuple(found)


def _plain(symbol: str) -> str:
    return "".join(letter for letter in symbol.upper() if letter.isalnum()) or symbol
