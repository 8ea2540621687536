"""By what files of a known vendor are told: the names that he gives them. One table, beside the adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sqlgen.errors import TemplateError
from sqlgen.patterns import path_pattern
from sqlgen.storage import SUFFIXES
from sqlgen.templates import Library

_ATTRIBUTES = {"schema": "schema_"}
_LONGEST_FIRST = sorted(SUFFIXES, key=len, reverse=True)
TABLE = "sources/recognize.yaml"


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
    beside: tuple[str, ...] = ()
    """Other adapters that read the same files."""
    options: Mapping[str, str] = {}
    """Option of the adapter -> regular expression over the file's name."""

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
