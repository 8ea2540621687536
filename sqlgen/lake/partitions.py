"""Hive partitions: their keys, their folder names, and the units in which a table is rebuilt."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import TypeVar
from urllib.parse import quote, unquote

from msgspec import Struct

from sqlgen.errors import UsageError

T = TypeVar("T")
KEYS = ("exchange", "symbol", "date")
"""Keys of every source, in its paths or in its rows."""

DATED = range(1990, 2101)
"""Years in which dates of rows are valid."""
NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
"""NULL in the name of a hive folder."""
HIVE_KEYS = (*KEYS, "year", "month", "day", "hour")
"""Keys recognised in a path."""


class Partition(Struct, frozen=True, order=True, dict=True):
    """Values of some of :data:`KEYS`, as text; dates are ISO."""

    values: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, **values: str) -> Partition:
        return cls(tuple((key, values[key]) for key in KEYS if key in values))

    @classmethod
    def from_path(cls, path: str) -> Partition:
        """The inverse of :attr:`path`."""
        return _partition(path)

    @cached_property
    def path(self) -> str:
        """Folder below the table, encoded as DuckDB's PARTITION_BY does."""
        return "/".join([_folder(key, value) for key, value in self.values])

    def __getitem__(self, key: str) -> str:
        return dict(self.values)[key]

    def typed(self, key: str) -> str | dt.date:
        """Value of a key, a date as ``date``."""
        return dt.date.fromisoformat(self[key]) if key == "date" else self[key]

    def __contains__(self, key: str) -> bool:
        return key in dict(self.values)

    @cached_property
    def date(self) -> dt.date | None:
        return dt.date.fromisoformat(self["date"]) if "date" in self else None

    def project(self, keys: Collection[str]) -> Partition:
        """Partition with the keys in ``keys`` alone."""
        pairs = tuple([pair for pair in self.values if pair[0] in keys])
        return self if len(pairs) == len(self.values) else Partition(pairs)

    @property
    def symbol(self) -> Partition:
        """Exchange and symbol; the empty partition unless both are there."""
        found = self.project(("exchange", "symbol"))
        return found if len(found.values) == 2 else Partition()

    @property
    def market(self) -> str:
        """Exchange and symbol for people, as far as they are there."""
        return " ".join([value for _, value in self.project(("exchange", "symbol")).values])

    def shifted(self, days: int) -> Partition:
        """Partition ``days`` later; clamped to the first or last date of the calendar."""
        if not days or "date" not in self:
            return self
        return Partition(tuple([(key, _later(value, days) if key == "date" else value) for key, value in self.values]))

    @property
    def short(self) -> str:
        """Values without keys, for narrow columns."""
        return "/".join(value for _, value in self.values) or "(whole table)"

    def __str__(self) -> str:
        return "/".join(f"{key}={value}" for key, value in self.values) or "(whole table)"


class Shard(Struct, frozen=True):
    """One of several parts of all symbols, by a hash of exchange and symbol that never changes."""

    index: int
    """From 1 on."""
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard ``i/n``; :class:`UsageError` if there is none."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        index, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(
                f"--shard '{text}' names no shard. Give i/n with i from 1 to n: --shard 1/4 is the first of four"
            )
        return cls(index, count)

    def holds(self, symbol: Partition) -> bool:
        """True for a symbol of this shard, and for what is of no one symbol (the empty partition)."""
        return not symbol.values or _hash(symbol.path) % self.count == self.index - 1

    def overlaps(self, other: Shard) -> bool:
        """True if a symbol may be in both."""
        return self.count != other.count or self.index == other.index

    @property
    def suffix(self) -> str:
        """For names of files."""
        return f"{self.index}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@lru_cache(1 << 16)
def _hash(path: str) -> int:
    """The first 60 bits of the MD5 of ``exchange=.../symbol=...``."""
    return int(hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()[:15], 16)


def span(partitions: Iterable[Partition]) -> tuple[dt.date, dt.date] | None:
    """First and last date of some partitions; ``None`` if they have none."""
    dates = [where["date"] for where in partitions if "date" in where]
    return (dt.date.fromisoformat(min(dates)), dt.date.fromisoformat(max(dates))) if dates else None


@lru_cache(1 << 16)
def _folder(key: str, value: str) -> str:
    return f"{key}={quote(value, safe='')}"


@lru_cache(1 << 16)
def _pair(folder: str) -> tuple[str, str]:
    key, _, value = folder.partition("=")
    return key, unquote(value)


@lru_cache(1 << 16)
def _partition(path: str) -> Partition:
    return Partition(tuple([_pair(part) for part in path.split("/") if part]))


@lru_cache(1 << 16)
def _later(date: str, days: int) -> str:
    try:
        return (dt.date.fromisoformat(date) + dt.timedelta(days=days)).isoformat()
    except OverflowError:
        return (dt.date.min if days < 0 else dt.date.max).isoformat()


_SYMBOL = re.compile(r"(?:\A|/)((?:exchange|symbol)=[^/]*)(?=/)")


def symbol_of(path: str) -> Partition:
    """Exchange and symbol in the folders of a file's path; the empty partition unless both are there."""
    return _symbol_below(_symbol_folder(path))


def _symbol_folder(path: str) -> str:
    """The folders of a file's path up to the last one that may name an exchange or a symbol; one text a symbol."""
    above = path.rfind("/") + 1
    last = max(path.rfind("symbol=", 0, above), path.rfind("exchange=", 0, above))
    return path[: path.index("/", last) + 1] if last >= 0 else ""


@lru_cache(1 << 16)
def _symbol_below(folder: str) -> Partition:
    """Exchange and symbol in a path of folders."""
    return Partition.of(**dict(map(_pair, _SYMBOL.findall(folder)))).symbol


def by_symbol(items: Iterable[T], path: Callable[[T], str]) -> dict[Partition, list[T]]:
    """Items by exchange and symbol in the folders of their paths."""
    folders = defaultdict[str, list[T]](list)
    for item in items:
        folders[_symbol_folder(path(item))].append(item)
    found: dict[Partition, list[T]] = {}
    for folder, inside in folders.items():
        found.setdefault(_symbol_below(folder), []).extend(inside)
    return found


def hive_pairs(path: str) -> dict[str, str]:
    """Hive keys of a file's path with their values, in path order."""
    pairs = (_pair(part) for part in path.split("/")[:-1] if "=" in part)
    return {key: value for key, value in pairs if key in HIVE_KEYS}


def partition_of(pairs: Mapping[str, str]) -> Partition | None:
    """The partition that hive keys name; ``None`` unless all keys are there.

    Raises ``ValueError`` where a value is not valid for its key.
    """
    for key, value in pairs.items():
        if value in ("", NULL_FOLDER) or "\ufffd" in value:
            raise ValueError(f"{key}={value} names no {key}")
    hour = pairs.get("hour", "0")
    if not re.fullmatch("[0-9]{1,2}", hour) or int(hour) > 23:
        raise ValueError(f"hour={hour} is no hour")
    text = _date_text(pairs)
    date = _valid_date(text) if text else ""
    if not date or "exchange" not in pairs or "symbol" not in pairs:
        return None
    return Partition.of(exchange=pairs["exchange"], symbol=pairs["symbol"], date=date)


def _date_text(pairs: Mapping[str, str]) -> str:
    if "date" in pairs:
        return pairs["date"]
    if {"year", "month", "day"} <= pairs.keys():
        return f"{pairs['year']}-{pairs['month']:0>2}-{pairs['day']:0>2}"
    return ""


@lru_cache(1 << 16)
def _valid_date(text: str) -> str:
    """An ISO date; ``ValueError`` for what is none, or is out of range."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}", text):
        with contextlib.suppress(ValueError):
            date = dt.date.fromisoformat(text)
            if date.year in DATED:
                return date.isoformat()
    raise ValueError(f"{text} is no date between {DATED.start} and {DATED.stop - 1}")


def ambiguous_folders(path: str, keys: Iterable[str]) -> bool:
    """True if DuckDB would read other keys from the folders of a path than :func:`hive_pairs`."""
    found = [part for part in path.split("/")[:-1] if "=" in part]
    names = [part.partition("=")[0] for part in found]
    plain = all(part.count("=") == 1 and "?" not in part and "\n" not in part for part in found)
    dates = [part for part in found if part.startswith("date=") and "-" not in part and "*" not in part]
    return not plain or bool(dates) or sorted(names) != sorted(keys)
