"""Files that sqlgen keeps for itself: their content, and JSON with a checksum, which detects any change."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHECKSUM = "checksum"
AT_ONCE: int = getattr(os, "O_NONBLOCK", 0)
"""Flag to open a file without waiting for the other end of a pipe that lies in its place."""


def read_bytes(path: Path, begin: int = 0) -> bytes:
    """Content of a regular file, from ``begin`` on; ``OSError`` for anything else: a pipe may have no end."""
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        file.seek(begin)
        return file.read()


def read_text(path: Path, errors: str = "strict") -> str:
    """Text of a regular file in UTF-8."""
    return read_bytes(path).decode(errors=errors)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | AT_ONCE)


def seal(data: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its checksum as its last member."""
    return {**data, CHECKSUM: _checksum(data)}


def dumps(data: Mapping[str, Any]) -> str:
    """A sealed object as one line."""
    return json.dumps(seal(data), separators=(",", ":"))


def lines(data: Mapping[str, Any]) -> str:
    """An object as text, each member and each item of its lists on one line. ``indent`` takes ten times as long."""
    members = (f" {json.dumps(name)}: {_items(value)}" for name, value in data.items())
    return "{\n" + ",\n".join(members) + "\n}\n"


def _items(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n  " + ",\n  ".join(json.dumps(item, default=str) for item in value) + "\n ]"
    return json.dumps(value, default=str)


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
