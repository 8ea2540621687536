"""A compiled model: its SQL, what identifies it, and the descriptions of its columns, from comments and kernels."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from sqlgen.compile.scope import Edge
from sqlgen.compile.settings import settings_of
from sqlgen.project.model import Model
from sqlgen.templating.templates import Library
from udfs import Pipeline

_COMMENTED = re.compile(
    r'(?:"(?P<quoted>(?:[^"\n]|"")+)"|\b(?P<plain>\w+)),?[ ]+--[ ]+(?P<text>\S.*)$',
    re.MULTILINE,
)
_OF_KEYS = {
    "exchange": "name: venue",
    "symbol": "name: market, as the venue names it",
    "date": "UTC: date under which the row is filed",
}
"""Descriptions of key columns without a comment."""


def descriptions(select: str, pipeline: Pipeline | None) -> dict[str, str]:
    """Output column -> unit and meaning; columns of earlier stages are among them."""
    commented = {
        (found["quoted"] or found["plain"]).replace('""', '"'): found["text"].strip()
        for found in _COMMENTED.finditer(select)
    }
    added = pipeline.outputs if pipeline is not None and not pipeline.replaces_rows else ()
    return _OF_KEYS | {column.name: column.doc for column in added} | commented


class CompiledModel(Struct, frozen=True, dict=True):
    """SQL of a model over the whole lake, and its fingerprints."""

    model: Model
    select: str
    write: Callable[[], str]
    library: Library
    fingerprint: str
    options_fingerprint: str
    kernels_fingerprint: str
    checks_fingerprint: str
    edges: frozenset[Edge]
    """Edges of the timeline that this model's SQL depends on."""

    @functools.cached_property
    def sql(self) -> str:
        """The whole file: header, COPY."""
        return self.write()

    @functools.cached_property
    def settings(self) -> dict[str, dict[str, str]]:
        """Options, kernels, checks, other settings and templates of the model, as text."""
        return settings_of(self.model, self.library)

    @functools.cached_property
    def descriptions(self) -> dict[str, str]:
        """Output column -> unit and meaning, from the comments of the SELECT and from the kernels."""
        return descriptions(self.select, self.model.pipeline)


def digest(*parts: Any) -> str:
    """Short hash of anything with a stable ``repr``."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()
