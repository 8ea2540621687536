"""Units of one (exchange, symbol) in time order: what comes before a unit, and which is the first and the last."""

from __future__ import annotations

import bisect
import collections
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlgen.compile.scope import EDGES, Edge
from sqlgen.lake.partitions import Partition


@dataclass(frozen=True)
class Timelines:
    """Units by exchange and symbol, each list in time order."""

    lists: dict[Partition, list[Partition]]

    @classmethod
    def of(cls, units: Iterable[Partition]) -> Timelines:
        lists: dict[Partition, list[Partition]] = collections.defaultdict(list)
        for unit in sorted(units):
            lists[_key(unit)].append(unit)
        return cls(dict(lists))

    def edges(self, unit: Partition, before: int = 0, after: int = 0) -> frozenset[Edge]:
        """Ends of its history that a unit reaches, with ``before`` earlier and ``after`` later dates."""
        history = self.lists.get(_key(unit), [unit])
        first, last = unit.shifted(-before), unit.shifted(after)
        held: dict[Edge, bool] = {"first": first <= history[0], "open": history[-1] <= last}
        return frozenset(edge for edge in EDGES if held[edge])

    def before(self, unit: Partition) -> Iterator[Partition]:
        """Earlier units of the same history, the nearest first."""
        history = self.lists.get(_key(unit), [])
        for at in range(bisect.bisect_left(history, unit) - 1, -1, -1):
            yield history[at]

    def __contains__(self, unit: Partition) -> bool:
        history = self.lists.get(_key(unit), [])
        at = bisect.bisect_left(history, unit)
        return at < len(history) and history[at] == unit


def _key(unit: Partition) -> Partition:
    return unit.project(("exchange", "symbol"))
