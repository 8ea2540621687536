"""Records in the footers of Parquet files, written and read by sqlgen.

Data and record are one file, so that they are replaced in one step on any file system.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import time
from io import FileIO
from pathlib import Path

from msgspec import Struct, structs

from sqlgen.compile.statements import FOOTER_KEY
from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import Stat
from sqlgen.published.records import Publication

FORMAT = 1
_TAIL = 8
"""Bytes after a footer: its length (4) and the magic number."""
_READ = 1 << 14
"""Bytes at the end of a file that are read at once: as a rule all of its footer."""
_FIXED = {1: 0, 2: 0, 3: 1, 7: 8}
"""Type of a field in Thrift's compact protocol -> its bytes. Texts, lists and structs tell theirs, numbers end."""
_TEXT, _LIST, _STRUCT = 8, 9, 12
_LONG = 15
"""Length in the head of a list whose real one follows."""
_ROWS = 0x16
"""Head of the field that follows the columns: the number of rows."""
LATER = "a later version of sqlgen wrote it"


class ForeignFileError(Exception):
    """A file that the model did not publish, with the reason."""


class LaterFileError(ForeignFileError):
    """A file that a later version of sqlgen published."""

    def __init__(self) -> None:
        super().__init__(LATER)


class DamagedFileError(ForeignFileError):
    """A file that is incomplete, or not Parquet."""


class Stamp(Struct, frozen=True):
    """Record that one COPY writes into the footers of its files."""

    model: str
    owner: str
    """The project: its state folder, relative to the lake."""
    stem: str
    """Start of the files' names."""
    record: Publication
    """Record of the unit; in mode append, ``contributed`` names the inputs of these files alone."""

    def to_json(self) -> str:
        content = {
            "format": FORMAT,
            "model": self.model,
            "owner": self.owner,
            "stem": self.stem,
            "record": structs.asdict(self.record),
        }
        return json.dumps(content, separators=(",", ":"))  # ASCII: no line break and no special character

    @classmethod
    def from_json(cls, text: str) -> Stamp:
        """Raises :class:`ForeignFileError` where ``text`` was not written by this version."""
        try:
            content = json.loads(text)
            record = content["record"]
            if content["format"] != FORMAT or record.keys() - set(Publication.__struct_fields__):
                raise LaterFileError
            return cls(content["model"], content["owner"], content["stem"], Publication.of(record))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ForeignFileError("its footer is no record of sqlgen") from None

    def fits(self, path: str) -> bool:
        """True if ``path`` below the table is where the file was published."""
        folder, _, name = path.rpartition("/")
        below = f"{folder}/".startswith(f"{self.record.unit}/") or not self.record.unit
        number = name.removeprefix(self.stem).removesuffix(".parquet")
        numbered = not number or (number[0] == "_" and number[1:].isdecimal())
        return below and numbered and name == f"{self.stem}{number}.parquet"


class Footer(Struct, frozen=True):
    """The footer of one Parquet file."""

    rows: int
    schema: str
    """Digest of the names and types of its columns."""
    stat: Stat
    text: str | None
    """Record that :class:`Stamp` wrote; ``None`` where there is none."""

    @property
    def stamp(self) -> Stamp:
        """Raises :class:`ForeignFileError`."""
        if self.text is None:
            raise ForeignFileError("sqlgen did not write it")
        return Stamp.from_json(self.text)


def read(path: Path) -> Footer:
    """Raises :class:`DamagedFileError` where the file is not Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    mounts.fetch_ends([path])
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
        raise ForeignFileError("it is no regular file")
    try:
        pq.read_metadata(path)
    except pa.ArrowInvalid:
        raise DamagedFileError("it is damaged, or no Parquet file") from None
    return of_own(path)


def of_own(path: Path) -> Footer:
    """Footer of a file that is as sqlgen has written it: :func:`read` looks for damage, which takes pyarrow."""
    mounts.fetch_ends([path])
    try:
        with path.open("rb", buffering=0) as file:
            found, (content, _) = os.fstat(file.fileno()), content_of(file)
        columns = columns_in(content)
        rows, text = rows_after(content, columns), _text_in(content, FOOTER_KEY)
    except (EOFError, IndexError, ValueError):
        raise DamagedFileError("it is damaged, or no Parquet file") from None
    return Footer(rows, digest_of(columns), Stat.of(found), text)


def may_be_ours(path: Path) -> bool:
    """False if the footer of a Parquet file holds no record of sqlgen: quicker than :func:`read` of many files."""
    mounts.fetch_ends([path])
    try:
        with path.open("rb", buffering=0) as file:
            return FOOTER_KEY.encode() in content_of(file)[0]
    except (OSError, EOFError):  # no whole footer
        return True


def new_build() -> str:
    """New build id; later ones sort after earlier ones."""
    return f"{time.time_ns():016x}{secrets.token_hex(4)}"


def content_of(file: FileIO) -> tuple[bytes, int]:
    """The footer of a Parquet file, and its place. Raises ``EOFError`` where there is no whole one."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(size - _READ, 0))
    tail = file.read(_READ)
    length = int.from_bytes(tail[-_TAIL:-4], "little")
    if size < _TAIL + length:
        raise EOFError
    if length + _TAIL > len(tail):
        file.seek(size - _TAIL - length)
        tail = file.read(length + _TAIL)
    return tail[-_TAIL - length : -_TAIL], size - _TAIL - length


def columns_in(content: bytes) -> bytes:
    """Beginning of a footer: its version, and the columns. Raises ``IndexError`` or ``ValueError``."""
    at = 0
    for _ in range(2):
        at = _after(content, at + 1, content[at] & 15)
    return content[:at]


def rows_after(content: bytes, columns: bytes) -> int:
    """The number of rows, which stands after the columns. Raises ``IndexError`` or ``ValueError``."""
    at = len(columns)
    if content[at] != _ROWS:
        raise ValueError("the footer does not tell its rows after its columns")
    return _number(content, at + 1)[0] >> 1  # written as twice as much


def digest_of(columns: bytes) -> str:
    """Digest of the names and types of a file's columns."""
    return hashlib.blake2b(columns, digest_size=8).hexdigest()


def _text_in(content: bytes, key: str) -> str | None:
    """Text that is kept under a short key, which comes after all else that has texts of others."""
    pair = b"\x18" + bytes([len(key)]) + key.encode() + b"\x18"
    at = content.rfind(pair)
    if at < 0:
        return None
    size, start = _number(content, at + len(pair))
    return content[start : start + size].decode(errors="replace")


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
