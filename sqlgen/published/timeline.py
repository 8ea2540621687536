"""Timelines: the units of one (exchange, symbol) in time order."""

from __future__ import annotations

import bisect
import collections
from collections.abc import Iterable, Iterator

from msgspec import Struct

from sqlgen.compile.scope import EDGES, Edge
from sqlgen.lake.partitions import Partition


class Timelines(Struct, frozen=True):
    """Units by exchange and symbol, each list in time order."""

    lists: dict[Partition, list[Partition]]

    @classmethod
    def of(cls, units: Iterable[Partition]) -> Timelines:
        lists: dict[Partition, list[Partition]] = collections.defaultdict(list)
        for unit in sorted(units):
            lists[_key(unit)].append(unit)
        return cls(dict(lists))

    def edges(self, unit: Partition, before: int = 0, after: int = 0) -> frozenset[Edge]:
        """Edges of its timeline that a unit reaches, with ``before`` earlier and ``after`` later dates."""
        timeline = self.lists.get(_key(unit), [unit])
        first, last = unit.shifted(-before), unit.shifted(after)
        reached: dict[Edge, bool] = {"first": first <= timeline[0], "open": timeline[-1] <= last}
        return frozenset(edge for edge in EDGES if reached[edge])

    def before(self, unit: Partition) -> Iterator[Partition]:
        """Earlier units of the same timeline, the nearest first."""
        timeline = self.lists.get(_key(unit), [])
        for at in range(bisect.bisect_left(timeline, unit) - 1, -1, -1):
            yield timeline[at]

    def __contains__(self, unit: Partition) -> bool:
        timeline = self.lists.get(_key(unit), [])
        at = bisect.bisect_left(timeline, unit)
        return at < len(timeline) and timeline[at] == unit


def _key(unit: Partition) -> Partition:
    return unit.project(("exchange", "symbol"))
