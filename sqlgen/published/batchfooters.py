"""Footers of files that one COPY wrote for several units: each gets the record of its own unit afterwards.

A COPY writes the same text into the footers of all its files. Here it is a placeholder as long as the longest record;
the records, filled up with blanks, are written over it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from pathlib import Path

_TAIL = 8
"""Bytes after a footer: its length (4) and the magic number."""


def placeholder(texts: Collection[str]) -> str:
    """A unique text as long as the longest of ``texts``."""
    return secrets.token_hex(16).ljust(max(map(len, texts)), "-")


def overwrite(path: Path, blank: str, text: str) -> None:
    """Write an ASCII text over the placeholder in a Parquet footer; ``ValueError`` if it is not there exactly once."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size - _TAIL)
        length = int.from_bytes(file.read(4), "little")
        start = size - _TAIL - length
        file.seek(max(start, 0))
        footer = file.read(length)
        at = footer.find(blank.encode())
        if start < 0 or at < 0 or footer.find(blank.encode(), at + 1) >= 0:
            raise ValueError(f"{path}: the footer does not hold the placeholder once")
        if len(text) > len(blank):
            raise ValueError(f"{path}: the record is longer than its placeholder")
        file.seek(start + at)
        file.write(text.ljust(len(blank)).encode("ascii"))
