"""Records inside data files: what sqlgen writes into the footer of each Parquet file, and reads from it again.

Data and record are one file, so that they are replaced in one step on any file system.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlgen.compile.statements import FOOTER_KEY
from sqlgen.lake.storage import Stat
from sqlgen.published.records import Publication

FORMAT = 1


class ForeignFileError(Exception):
    """A file that the model did not publish, and why it is taken for that."""


class DamagedFileError(ForeignFileError):
    """A file that is not whole, or no Parquet at all."""


@dataclass(frozen=True)
class Stamp:
    """Record that one COPY writes into the footers of its files."""

    model: str
    owner: str
    """The project: its state folder, relative to the lake."""
    stem: str
    """Start of the files' names."""
    record: Publication
    """Of the unit; in mode append, ``contributed`` names what these files hold."""

    def to_json(self) -> str:
        record = dataclasses.asdict(self.record)
        said = {"format": FORMAT, "model": self.model, "owner": self.owner, "stem": self.stem, "record": record}
        return json.dumps(said, separators=(",", ":"))  # ASCII: no line break and no other character of note

    @classmethod
    def from_json(cls, text: str) -> Stamp:
        """Raises :class:`ForeignFileError` where ``text`` is nothing that this version writes."""
        try:
            said = json.loads(text)
            if said["format"] != FORMAT:
                raise ForeignFileError("another version of sqlgen wrote it")
            return cls(said["model"], said["owner"], said["stem"], Publication.of(said["record"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ForeignFileError("its footer is no record of sqlgen") from None

    def fits(self, path: str) -> bool:
        """True if a file at ``path`` below the table lies where it was published."""
        folder, _, name = path.rpartition("/")
        below = f"{folder}/".startswith(f"{self.record.unit}/") or not self.record.unit
        return below and re.fullmatch(rf"{re.escape(self.stem)}(_\d+)?\.parquet", name) is not None


@dataclass(frozen=True)
class Footer:
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

    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # to open a pipe is to wait for who writes to it
        raise ForeignFileError("it is no regular file")
    try:
        metadata: Any = pq.read_metadata(path)
    except pa.ArrowInvalid:
        raise DamagedFileError("it is damaged, or no Parquet file") from None
    text = (metadata.metadata or {}).get(FOOTER_KEY.encode())
    columns = str(metadata.schema).partition("\n")[2]  # the first line is a place in memory
    schema = hashlib.blake2b(columns.encode(), digest_size=8).hexdigest()
    return Footer(
        metadata.num_rows, schema, Stat.of(found), text.decode(errors="replace") if text is not None else None
    )


def new_build() -> str:
    """A name for one publication of one unit; later ones sort after earlier ones."""
    return f"{time.time_ns():016x}{secrets.token_hex(4)}"
