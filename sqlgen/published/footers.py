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
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct, structs

from sqlgen.compile.statements import FOOTER_KEY
from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import Stat
from sqlgen.published import thrift
from sqlgen.published.records import Publication

FORMAT = 1
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
    with path.open("rb") as file:
        found, content = os.fstat(file.fileno()), _content(file)
    try:
        columns, rows = thrift.columns_and_rows(content)
        text = thrift.text_of(content, FOOTER_KEY)
    except (IndexError, ValueError):
        raise DamagedFileError("it is damaged, or no Parquet file") from None
    schema = hashlib.blake2b(columns, digest_size=8).hexdigest()
    return Footer(rows, schema, Stat.of(found), text.decode(errors="replace") if text is not None else None)


def _content(file: BinaryIO) -> bytes:
    file.seek(-8, os.SEEK_END)
    size = int.from_bytes(file.read(4), "little")
    file.seek(-8 - size, os.SEEK_END)
    return file.read(size)


def may_be_ours(path: Path) -> bool:
    """False if the footer of a Parquet file holds no record of sqlgen: quicker than :func:`read` of many files."""
    mounts.fetch_ends([path])
    try:
        with path.open("rb") as file:
            return FOOTER_KEY.encode() in _content(file)
    except OSError:  # no whole footer
        return True


def new_build() -> str:
    """New build id; later ones sort after earlier ones."""
    return f"{time.time_ns():016x}{secrets.token_hex(4)}"
