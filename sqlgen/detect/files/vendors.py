"""By what files of a known vendor are told: the names that he gives them. One table, beside the adapters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sqlgen.errors import TemplateError
from sqlgen.lake.patterns import path_pattern
from sqlgen.lake.storage import SUFFIXES
from sqlgen.templating.templates import Library

_ATTRIBUTES = {"schema": "schema_"}
_LONGEST_FIRST = sorted(SUFFIXES, key=len, reverse=True)
TABLE = "sources/recognize.yaml"
_ENOUGH = 3
"""Messages by which whole books are told from changes."""


_DEPTHS = (5, 10, 20)
"""Levels of streams of Binance that send the best levels whole."""


class Messages(BaseModel):
    """By what the messages of an exchange are told, where the adapter reads whole lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    has: tuple[str, ...]
    """Fields of a message, or of its ``data``."""
    lacks: tuple[str, ...] = ()
    stream: str = ""
    """Regular expression for the name of the stream, in messages that have one."""

    def among(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """True if some of the objects are such messages, and not whole books of a few levels instead of changes."""
        found = [inner for record in records if (inner := self._fitting(record)) is not None]
        return bool(found) and not any(field in inner for inner in found for field in self.lacks) and _changes(found)

    def _fitting(self, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
        inner = record.get("data") if isinstance(record.get("data"), Mapping) else record
        if not isinstance(inner, Mapping) or not inner.keys() >= {*self.has}:
            return None
        stream = record.get("stream")
        return inner if stream is None or re.search(self.stream, str(stream)) else None


def _changes(messages: Sequence[Mapping[str, Any]]) -> bool:
    """True unless all messages have as many levels on both sides, none of them removed: then they are whole books."""
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
    """What is known of the files that one adapter reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str = ""
    """Whose files these are."""
    names: tuple[str, ...] = ()
    """Paths as patterns, longest first, without a suffix."""
    exchange: str | None = None
    """Where nothing in the files says it."""
    schema_: str = ""
    """Schema of DBN files."""
    messages: Messages | None = None
    """Form of the messages, where no columns tell."""
    depth: str = ""
    """Regular expression over the file's name, or a message's topic: its group is how many levels the feed sends."""
    beside: tuple[str, ...] = ()
    """Other adapters that read the same files."""
    options: Mapping[str, str] = {}
    """Option of the adapter -> regular expression over the file's name."""

    def depths(self, path: str, records: Sequence[Mapping[str, Any]]) -> list[int]:
        """Levels that each feed in a file sends, as its name or its messages say."""
        texts = [str(record["topic"]) for record in records if "topic" in record] or [path.rpartition("/")[2]]
        found = [re.search(self.depth, text) for text in texts] if self.depth else []
        return sorted({int(match.group(1)) for match in found if match is not None})

    def fitting(self, path: str) -> str | None:
        """The first of :attr:`names` that the end of a path fits."""
        stem = bare(path)
        parts = stem.split("/")
        for name in self.names:
            depth = name.count("/") + 1
            if len(parts) >= depth and path_pattern(name).match("/".join(parts[-depth:])) is not None:
                return name
        return None


def suffix_of(path: str) -> str:
    """What a file's name ends in: a suffix that sqlgen knows, otherwise all of the short ones."""
    known = next((suffix for suffix in _LONGEST_FIRST if path.endswith(suffix)), "")
    if known:
        return known
    found = ""
    for part in reversed(path.rpartition("/")[2].split(".")[1:]):
        if not part.isalpha() or len(part) > 5:
            break
        found = f".{part}{found}"
    return found


def bare(path: str) -> str:
    """A path without its suffix."""
    return path.removesuffix(suffix_of(path))


def load(library: Library) -> dict[str, Vendor]:
    """Adapter -> what is known of its files: the packaged table, then the project's own."""
    table: dict[str, Vendor] = {}
    for folder in reversed(library.folders):
        path = folder / TABLE
        if path.exists():
            table |= _read(path)
    return table


def _read(path: Path) -> dict[str, Vendor]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        entries = {
            name: Vendor.model_validate({_ATTRIBUTES.get(key, key): value for key, value in entry.items()})
            for name, entry in data.items()
        }
        for entry in entries.values():
            for name in entry.names:
                path_pattern(name)
        return entries
    except (yaml.YAMLError, ValidationError, ValueError, AttributeError) as error:
        raise TemplateError(f"{path} is not valid: {error}") from error
