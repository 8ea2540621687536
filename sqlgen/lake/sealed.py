"""JSON with a checksum, which detects any change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECKSUM = "checksum"


def seal(data: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its checksum as its last member."""
    return {**data, CHECKSUM: _checksum(data)}


def dumps(data: Mapping[str, Any]) -> str:
    """A sealed object as one line."""
    return json.dumps(seal(data), separators=(",", ":"))


def loads(text: str) -> dict[str, Any]:
    """Value that :func:`seal` wrote; ``ValueError`` if it is damaged. Earlier versions wrote no checksum."""
    head, found, tail = text.rpartition(f',"{CHECKSUM}":"')
    if found and tail == f'{_digest(head + "}")}"}}':  # a line, as written by dumps
        text = head + "}"
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("no object")
    if CHECKSUM in data and data.pop(CHECKSUM) != _checksum(data):
        raise ValueError("the checksum is another")
    return data


def _checksum(data: Mapping[str, Any]) -> str:
    return _digest(json.dumps(data, separators=(",", ":")))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
