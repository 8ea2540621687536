"""Footers of files that one COPY wrote for several units: each gets the record of its own unit afterwards.

A COPY writes the same text into the footers of all its files. Here it is a placeholder as long as the longest record;
the records, filled up with blanks, are written over it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection

from msgspec import Struct

from sqlgen.lake.storage import Stat
from sqlgen.published import footers
from sqlgen.published.footers import Footer


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
            footer, start = footers.content_of(file)
            at = footer.find(blank)
            if at < 0 or footer.find(blank, at + 1) >= 0:
                raise ValueError(f"{path}: the footer does not hold the placeholder once")
            if len(text) > len(blank):
                raise ValueError(f"{path}: the record is longer than its placeholder")
            file.seek(start + at)
            file.write(text.ljust(len(blank)).encode("ascii"))
            stat = Stat.of(os.fstat(file.fileno()))
        if not self._columns or not footer.startswith(self._columns):
            self._columns = footers.columns_in(footer)
            self._schema = footers.digest_of(self._columns)
        return Footer(footers.rows_after(footer, self._columns), self._schema, stat, None)
