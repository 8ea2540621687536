"""Recognition of vendors' files by their names and messages. One table, beside the adapters."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sqlgen.detect.files.sniff import Sniffed
from sqlgen.errors import TemplateError
from sqlgen.lake.patterns import path_pattern
from sqlgen.lake.storage import SUFFIXES
from sqlgen.templating.templates import Library

_ATTRIBUTES = {"schema": "schema_"}
_LONGEST_FIRST = sorted(SUFFIXES, key=len, reverse=True)
TABLE = "sources/recognize.yaml"
_ENOUGH = 3
"""Messages needed to distinguish whole books from changes."""


_DEPTHS = (5, 10, 20)
"""Numbers of levels of Binance's partial book streams, which send whole books."""


class Messages(BaseModel):
    """Recognition of an exchange's messages, for adapters that read whole lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    has: tuple[str, ...] = ()
    """Fields of a message, or of its ``data``."""
    lacks: tuple[str, ...] = ()
    stream: str = ""
    """Regular expression for the name of the stream, in messages that have one."""
    where: Mapping[str, str] = {}
    """Place in a message (``arg.channel``, ``data.0.bids``; ``|`` between two) -> regular expression of its text."""

    def among(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """True if some of the objects are such messages, and changes rather than whole books of a few levels."""
        found = [inner for record in records if (inner := self._fitting(record)) is not None]
        return (
            bool(found)
            and not any(_at(inner, inner, field) is not None for inner in found for field in self.lacks)
            and _changes(found)
        )

    def _fitting(self, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
        inner = record.get("data") if isinstance(record.get("data"), Mapping) else record
        if not isinstance(inner, Mapping) or not inner.keys() >= {*self.has}:
            return None
        for places, regex in self.where.items():
            if not any(_matches(_at(record, inner, place), regex) for place in places.split("|")):
                return None
        stream = record.get("stream")
        return inner if stream is None or re.search(self.stream, str(stream)) else None


def _at(record: Mapping[str, Any], inner: Mapping[str, Any], place: str) -> Any:
    """The value at a place in a message, or in its ``data``; ``None`` if there is none."""
    for start in (record, inner):
        value: Any = start
        for step in place.split("."):
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
                value = value[int(step)]
            else:
                value = None
        if value is not None:
            return value
    return None


def _matches(value: Any, regex: str) -> bool:
    return value is not None and re.search(regex, str(value)) is not None


def _changes(messages: Sequence[Mapping[str, Any]]) -> bool:
    """False if all messages have the same number of levels on both sides, none removed: then they are whole books."""
    sides = [message.get(side) for message in messages for side in ("b", "a")]
    lists = [side for side in sides if isinstance(side, list)]
    counts = {len(side) for side in lists}
    removed = any(isinstance(level, list) and len(level) > 1 and _is_zero(level[1]) for side in lists for level in side)
    return removed or len(messages) < _ENOUGH or len(counts) != 1 or counts.pop() not in _DEPTHS


def _is_zero(size: Any) -> bool:
    try:
        return float(size) == 0
    except (TypeError, ValueError):
        return False


class Vendor(BaseModel):
    """Known file names and messages of one adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str = ""
    """Name of the vendor and kind of files."""
    names: tuple[str, ...] = ()
    """Paths as patterns, longest first, without a suffix."""
    pairs: bool = False
    """True if files of all :attr:`names` belong together."""
    exchange: str | None = None
    """Exchange, if neither paths nor rows name it."""
    schema_: tuple[str, ...] = ()
    """Schemas of DBN files."""
    messages: Messages | None = None
    """Form of the messages, for files without columns."""
    depth: str = ""
    """Regular expression over the file's name, or a message's topic: its group is the number of levels of the feed."""
    beside: tuple[str, ...] = ()
    """Other adapters that read the same files."""
    options: Mapping[str, str] = {}
    """Option of the adapter -> regular expression over the file's name."""

    ways: Mapping[str, Any] = {}
    """Option of the adapter -> another value that files may need."""
    contracts: str = ""
    """Regular expression over symbols, exchanges and channels whose sizes are contracts, or of the quote currency."""
    alike: str = ""
    """Other files of the vendor that have the same columns, which a file's name alone tells apart."""
    unread: str = ""
    """Advice on files that no adapter reads: what is missing, and what to do instead."""

    def depths(self, path: str, records: Sequence[Mapping[str, Any]]) -> list[int]:
        """Numbers of levels of each feed in a file, by its name or messages."""
        texts = [channel for record in records if (channel := channel_of(record))] or [path.rpartition("/")[2]]
        found = [re.search(self.depth, text) for text in texts] if self.depth else []
        return sorted({int(match.group(1)) for match in found if match is not None})

    def fitting(self, path: str) -> str | None:
        """The first of :attr:`names` that matches the end of a path."""
        return next((name for _, name in _known_names(self.names).fitting(path)), None)


class KnownNames:
    """Names of files, each of an adapter, by which many paths are looked up."""

    def __init__(self, named: Iterable[tuple[str, str]]) -> None:
        self._patterns = [(adapter, name, name.count("/") + 1, path_pattern(name)) for adapter, name in named]
        self._depths = {depth for _, _, depth, _ in self._patterns}

    def fitting(self, path: str) -> Iterator[tuple[str, str]]:
        """Adapters with their names that match the end of a path, in their order."""
        whole = bare(path) if self._patterns else ""
        ends = {depth: tail(whole, depth) for depth in self._depths}
        for adapter, name, depth, pattern in self._patterns:
            if ends[depth] and pattern.match(ends[depth]) is not None:
                yield adapter, name


@functools.cache
def _known_names(names: tuple[str, ...]) -> KnownNames:
    return KnownNames(("", name) for name in names)


def unread(vendors: Mapping[str, Vendor], sniffed: Sniffed, path: str) -> Vendor | None:
    """Entry of files that are known and that no adapter reads, by schema, rows or names; ``None`` of others."""
    rows = sniffed.messages or [dict(zip(sniffed.columns, row, strict=False)) for row in sniffed.rows]
    for vendor in vendors.values():
        if vendor.unread and (
            sniffed.schema in vendor.schema_
            or (vendor.messages is not None and vendor.messages.among(rows))
            or (not sniffed.columns and vendor.fitting(path) is not None)
        ):
            return vendor
    return None


def channel_of(record: Mapping[str, Any]) -> str:
    """Name that a message gives to its feed."""
    params = record.get("params")
    inner = params.get("channel") if isinstance(params, Mapping) else None
    return str(record.get("topic") or record.get("stream") or record.get("channel") or inner or "")


def tail(path: str, depth: int) -> str:
    """The last folders and the name of a path; empty if it has not so many."""
    parts = path.rsplit("/", depth)[-depth:]
    return "/".join(parts) if len(parts) == depth else ""


def suffix_of(path: str) -> str:
    """Suffix of a file's name: one that sqlgen knows, otherwise all short ones."""
    return _suffix_of(path.rpartition("/")[2])


@functools.lru_cache(maxsize=1 << 16)
def _suffix_of(path: str) -> str:
    known = next((suffix for suffix in _LONGEST_FIRST if path.endswith(suffix)), "")
    if known:
        return known
    found = ""
    for part in reversed(path.split(".")[1:]):
        if not part.isalpha() or len(part) > 5:
            break
        found = f".{part}{found}"
    return found


@functools.lru_cache(maxsize=64)
def bare(path: str) -> str:
    """A path without its suffix; cached, as the names of all vendors are tried with each path."""
    return path.removesuffix(suffix_of(path))


def load(library: Library) -> dict[str, Vendor]:
    """Adapter -> its vendor: the packaged table, then the project's own."""
    table: dict[str, Vendor] = {}
    for folder in reversed(library.folders):
        path = folder / TABLE
        if path.exists():
            try:
                table |= _parsed(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, ValidationError, ValueError, AttributeError) as error:
                raise TemplateError(f"{path} is not valid: {error}") from error
    return table


@functools.lru_cache(maxsize=4)
def _parsed(text: str) -> Mapping[str, Vendor]:
    """Entries of a table of vendors."""
    data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    entries = {
        name: Vendor.model_validate({_ATTRIBUTES.get(key, key): value for key, value in entry.items()})
        for name, entry in data.items()
    }
    for entry in entries.values():
        for name in entry.names:
            path_pattern(name)
    return entries
