"""JSON that tells whether it is still what was written: one wrong byte is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECKSUM = "checksum"


def dumps(data: Mapping[str, Any], indent: int | None = None) -> str:
    """An object with its checksum as its last member."""
    sealed = {**data, CHECKSUM: _checksum(data)}
    return json.dumps(sealed, indent=indent, separators=None if indent else (",", ":"))


def loads(text: str) -> dict[str, Any]:
    """What :func:`dumps` wrote, or earlier versions without a checksum; ``ValueError`` where it is damaged."""
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
    return hashlib.blake2b(json.dumps(data, separators=(",", ":")).encode(), digest_size=8).hexdigest()
