"""Source files read by the tasks of a run: a task fails if a file changed meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

from sqlgen.errors import TaskError
from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import FileInfo, format_of


class Identity(NamedTuple):
    """Identity of a file's content, by which a change is detected."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int
    """Changes with every write, even if the modification time is set back."""

    @classmethod
    def of(cls, path: Path | str) -> Identity | None:
        """Identity of a file; ``None`` if there is none."""
        try:
            stat = os.stat(path)  # noqa: PTH116 - a Path would cost more than the call
        except OSError:
            return None
        if mounts.mount_of(path) is not None:  # the time follows from the object, the file here comes and goes
            return cls(stat.st_size, stat.st_mtime_ns, 0, 0)
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns)

    def fits(self, file: FileInfo) -> bool:
        """True if this is the file that was listed."""
        return (self.size, self.mtime_ns) == (file.size, file.mtime_ns)


Identities = Mapping[FileInfo, Identity | None]


class Reads(Struct):
    """Source files that the tasks of one run have read."""

    lake: Path
    _read: dict[FileInfo, set[Identity | None]] = field(default_factory=dict)

    @property
    def identities(self) -> dict[FileInfo, set[Identity | None]]:
        """Files that were read, each as it was."""
        return self._read

    def add(self, others: Mapping[FileInfo, set[Identity | None]]) -> None:
        """Add files that another process has read."""
        for file, found in others.items():
            self._read.setdefault(file, set()).update(found)

    def identify(self, files: Iterable[FileInfo]) -> Identities:
        """Identities of files before they are read."""
        paths = {file: f"{self.lake}/{file.path}" for file in files}
        mounts.fetch(paths.values())
        return {file: Identity.of(path) for file, path in paths.items()}

    def verify(self, before: Identities, may_grow: bool) -> list[str]:
        """Compare files with their identity before; return notes on those that grew, if they ``may_grow``.

        Raises :class:`TaskError` if one changed: which rows were read is unknown. A file that is gone was read whole.
        """
        return self.verify_each([before], may_grow)[0]

    def verify_each(self, before: Sequence[Identities], may_grow: bool) -> list[list[str]]:
        """Notes on the files of each of several tasks, as of :meth:`verify`; shared files are looked at once."""
        now = {file: Identity.of(f"{self.lake}/{file.path}") for file in {file for each in before for file in each}}
        return [self._compare(each, now, may_grow) for each in before]

    def _compare(self, before: Identities, after: Identities, may_grow: bool) -> list[str]:
        notes = []
        mounts.check_places()
        for file, old in before.items():
            now = after[file]
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
        same = now is not None and now.fits(file) and self._read.get(file, {now}) == {now}
        return same and mounts.is_current(self.lake / file.path)


def _grew(file: FileInfo, old: Identity | None, now: Identity) -> bool:
    """True for a text file that lines were appended to."""
    lines = format_of(file.path) in ("ndjson", "csv")
    return lines and old is not None and old.inode == now.inode and now.size > file.size and now.size >= old.size
