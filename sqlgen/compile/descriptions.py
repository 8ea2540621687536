"""Descriptions of the columns of a model's table: unit and meaning, from comments in its SQL and from its kernels."""

from __future__ import annotations

import re

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
"""Descriptions of keys that have no comment of their own."""


def descriptions(select: str, chain: Pipeline | None) -> dict[str, str]:
    """Output column -> unit and meaning; columns of earlier stages are among them."""
    commented = {
        (found["quoted"] or found["plain"]).replace('""', '"'): found["text"].strip()
        for found in _COMMENTED.finditer(select)
    }
    added = chain.outputs if chain is not None and not chain.replaces_rows else ()
    return _OF_KEYS | {column.name: column.doc for column in added} | commented
