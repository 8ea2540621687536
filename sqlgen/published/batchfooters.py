"""Footers of files that one COPY wrote for several units: each gets the record of its own unit afterwards.

A COPY writes the same text into the footers of all its files. Here it is a placeholder as long as the longest record;
the records, filled up with blanks, are written over it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from io import FileIO
from pathlib import Path

from msgspec import Struct

from sqlgen.lake.storage import Stat
from sqlgen.published.footers import Footer, of_own

_TAIL = 8
"""Bytes after a footer: its length (4) and the magic number."""
_READ = 1 << 14
"""Bytes at the end of a file that are read at once: as a rule all of its footer."""
_FIXED = {1: 0, 2: 0, 3: 1, 7: 8}
"""Type of a field in Thrift's compact protocol -> its bytes. Texts, lists and structs tell theirs, numbers end."""
_TEXT, _LIST, _STRUCT = 8, 9, 12
_LONG = 15
"""Length in the head of a list whose real one follows."""


def placeholder(texts: Collection[str]) -> str:
    """A unique text as long as the longest of ``texts``."""
    return secrets.token_hex(16).ljust(max(map(len, texts)), "-")


class BatchFooters(Struct):
    """Footers of the files of one COPY. Each begins with the same columns, after which it tells its number of rows."""

    blank: str
    """The placeholder."""
    _columns: bytes = b""
    _schema: str = ""

    def overwrite(self, path: str, text: str) -> Footer:
        """Write an ASCII text over the placeholder; ``ValueError`` if it is not there exactly once."""
        blank = self.blank.encode()
        with open(path, "r+b", buffering=0) as file:  # noqa: PTH123 - a Path would cost more than the call
            footer, start = _footer(file)
            at = footer.find(blank)
            if at < 0 or footer.find(blank, at + 1) >= 0:
                raise ValueError(f"{path}: the footer does not hold the placeholder once")
            if len(text) > len(blank):
                raise ValueError(f"{path}: the record is longer than its placeholder")
            file.seek(start + at)
            file.write(text.ljust(len(blank)).encode("ascii"))
            stat = Stat.of(os.fstat(file.fileno()))
        return Footer(self._rows(path, footer), self._schema, stat, None)

    def _rows(self, path: str, footer: bytes) -> int:
        if not self._columns or not footer.startswith(self._columns):
            known = of_own(Path(path))
            self._columns, self._schema = _columns(footer), known.schema
            if _rows(footer, self._columns) != known.rows:
                raise ValueError(f"{path}: the footer does not tell its rows after its columns")
        return _rows(footer, self._columns)


def _footer(file: FileIO) -> tuple[bytes, int]:
    """The footer of a Parquet file, and its place."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(size - _READ, 0))
    tail = file.read(_READ)
    length = int.from_bytes(tail[-_TAIL:-4], "little")
    if length + _TAIL > len(tail):
        file.seek(max(size - _TAIL - length, 0))
        tail = file.read(length + _TAIL)
    return tail[-_TAIL - length : -_TAIL], size - _TAIL - length


def _columns(footer: bytes) -> bytes:
    """Beginning of a footer: its version, and the columns."""
    at = 0
    for _ in range(2):
        at = _after(footer, at + 1, footer[at] & 15)
    return footer[:at]


def _rows(footer: bytes, columns: bytes) -> int:
    """The number after the columns, written as twice as much."""
    return _number(footer, len(columns) + 1)[0] >> 1


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    value = shift = 0
    while data[at] > 127:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def _after(data: bytes, at: int, kind: int) -> int:
    """The place after a value in Thrift's compact protocol."""
    if kind in _FIXED:
        return at + _FIXED[kind]
    if kind == _STRUCT:
        while head := data[at]:
            start = at + 1 if head >> 4 else _number(data, at + 1)[1]
            at = _after(data, start, head & 15)
        return at + 1
    if kind == _LIST:
        number, at, kind = data[at] >> 4, at + 1, data[at] & 15
        if number == _LONG:
            number, at = _number(data, at)
        for _ in range(number):
            at = _after(data, at, kind)
        return at
    number, at = _number(data, at)
    return at + number if kind == _TEXT else at
