"""Source files read by the tasks of a run: a task fails if a file changed meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sqlgen.errors import TaskError
from sqlgen.lake.storage import FileInfo, format_of


class Identity(NamedTuple):
    """Identity of a file's content, by which a change is detected."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int
    """Changes with every write, even if the modification time is set back."""

    @classmethod
    def of(cls, path: Path) -> Identity | None:
        """Identity of a file; ``None`` if there is none."""
        try:
            stat = path.stat()
        except OSError:
            return None
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns)

    def fits(self, file: FileInfo) -> bool:
        """True if this is the file that was listed."""
        return (self.size, self.mtime_ns) == (file.size, file.mtime_ns)


Identities = Mapping[FileInfo, Identity | None]


@dataclass
class Reads:
    """Source files that the tasks of one run have read."""

    lake: Path
    _read: dict[FileInfo, set[Identity | None]] = field(default_factory=dict)

    def identify(self, files: Iterable[FileInfo]) -> Identities:
        """Identities of files before they are read."""
        return {file: Identity.of(self.lake / file.path) for file in files}

    def verify(self, before: Identities, may_grow: bool) -> list[str]:
        """Compare files with their identity before; return notes on those that grew, if they ``may_grow``.

        Raises :class:`TaskError` if one changed: which rows were read is unknown. A file that is gone was read whole.
        """
        notes = []
        for file, old in before.items():
            now = Identity.of(self.lake / file.path)
            if now is None or (now == old and now.fits(file)):
                self._read.setdefault(file, set()).add(now)
            elif may_grow and _grew(file, old, now):
                self._read.setdefault(file, set()).add(None)
                notes.append(f"{file.path} grew while it was read: the next run reads it again")
            else:
                raise TaskError(
                    f"{self.lake / file.path} changed between the listing of the source and the end of reading."
                    " Nothing was published. Run again once the file is complete"
                )
        return notes

    def unchanged(self, file: FileInfo) -> bool:
        """True if a file is still the one that was listed and that every task has read."""
        now = Identity.of(self.lake / file.path)
        return now is not None and now.fits(file) and self._read.get(file, {now}) == {now}


def _grew(file: FileInfo, old: Identity | None, now: Identity) -> bool:
    """True for a text file that lines were appended to."""
    lines = format_of(file.path) in ("ndjson", "csv")
    return lines and old is not None and old.inode == now.inode and now.size > file.size and now.size >= old.size
