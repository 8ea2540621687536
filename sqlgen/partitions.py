"""Hive partitions: their keys, their folder names, and the units in which a table is rebuilt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, unquote

KEYS = ("exchange", "symbol", "date")
"""The keys every source has, in its paths or in its rows."""

HIVE_KEYS = (*KEYS, "year", "month", "day", "hour")
"""Keys that mean something in a path."""


@dataclass(frozen=True, order=True)
class Partition:
    """Values of some of :data:`KEYS`, as text; dates are ISO."""

    values: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, **values: str) -> Partition:
        return cls(tuple((key, values[key]) for key in KEYS if key in values))

    @classmethod
    def from_path(cls, path: str) -> Partition:
        """The inverse of :attr:`path`."""
        return cls(
            tuple((key, unquote(value)) for key, _, value in (part.partition("=") for part in path.split("/") if part))
        )

    @cached_property
    def path(self) -> str:
        """Folder below the table, encoded as DuckDB's PARTITION_BY does."""
        return "/".join(f"{key}={quote(value, safe='')}" for key, value in self.values)

    def __getitem__(self, key: str) -> str:
        return dict(self.values)[key]

    def typed(self, key: str) -> str | dt.date:
        """The value of a key, a date as such."""
        return dt.date.fromisoformat(self[key]) if key == "date" else self[key]

    def __contains__(self, key: str) -> bool:
        return any(name == key for name, _ in self.values)

    @property
    def date(self) -> dt.date | None:
        return dt.date.fromisoformat(self["date"]) if "date" in self else None

    def project(self, keys: Iterable[str]) -> Partition:
        """The part of the keys that ``keys`` names."""
        wanted = set(keys)
        return Partition(tuple(pair for pair in self.values if pair[0] in wanted))

    def shifted(self, days: int) -> Partition:
        """The same keys, ``days`` later."""
        return Partition(
            tuple(
                (key, (dt.date.fromisoformat(value) + dt.timedelta(days=days)).isoformat() if key == "date" else value)
                for key, value in self.values
            )
        )

    @property
    def short(self) -> str:
        """The values alone, for a narrow place."""
        return "/".join(value for _, value in self.values) or "(whole table)"

    def __str__(self) -> str:
        return "/".join(f"{key}={value}" for key, value in self.values) or "(whole table)"


def hive_pairs(path: str) -> dict[str, str]:
    """Hive keys of a file's path with their values, in path order."""
    return {
        key: unquote(value)
        for key, equals, value in (part.partition("=") for part in path.split("/")[:-1])
        if equals and key in HIVE_KEYS
    }


def partition_of(pairs: Mapping[str, str]) -> Partition | None:
    """The partition that hive keys name; ``None`` where the path has not all keys.

    Raises ``ValueError`` where a date is not one.
    """
    if "exchange" not in pairs or "symbol" not in pairs:
        return None
    if "date" in pairs:
        date = dt.date.fromisoformat(pairs["date"])
    elif {"year", "month", "day"} <= pairs.keys():
        date = dt.date(int(pairs["year"]), int(pairs["month"]), int(pairs["day"]))
    else:
        return None
    return Partition.of(exchange=pairs["exchange"], symbol=pairs["symbol"], date=date.isoformat())
