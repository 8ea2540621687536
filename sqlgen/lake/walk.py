"""Walk over the data files below a folder, with notes on paths that cannot be data."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct, field


class Walk(Struct):
    """One walk over a folder, and the paths that it skipped."""

    root: str
    wanted: Callable[[str], object]
    """True for the names of data files. Names that begin with ``.`` or ``_`` are never asked."""
    skipped: list[str] = field(default_factory=list)
    """Paths that cannot hold data, each with the reason and what to do."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that could not be read."""
    problems: list[str] = field(default_factory=list)
    """Unreadable folders, each with the reason and what to do."""

    def files(self) -> Iterator[os.DirEntry[str]]:
        """The regular files below the folder, through links too."""
        pending = [self.root] if Path(self.root).is_dir() else []
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    found = [entry for entry in entries if not entry.name.startswith((".", "_"))]
            except FileNotFoundError:
                continue  # removed meanwhile
            except OSError as error:
                self.unreadable.append(folder)
                self.problems.append(f"{shown(folder)} cannot be read: {error.strerror}. Fix that, or remove it")
                continue
            for entry in found:
                kind = self._kind(entry)
                if kind == "folder":
                    pending.append(entry.path)
                elif kind == "file":
                    yield entry

    def _kind(self, entry: os.DirEntry[str]) -> str:
        """``folder`` or ``file``; empty for anything else, and for files that are not wanted."""
        try:
            if entry.name.isascii() and "\\" not in entry.name:  # most names
                if entry.is_dir(follow_symlinks=False):
                    return "folder"
                if entry.is_file(follow_symlinks=False):
                    return "file" if self.wanted(entry.name) else ""
            mode = stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else entry.stat().st_mode
        except OSError:
            if entry.is_symlink():
                self._skip(entry, "is a broken link. Fix or remove it")
            return ""
        folder = stat.S_ISDIR(mode)
        if not folder and not self.wanted(entry.name):
            return ""
        reason = _not_utf8(entry.name) or _link_inside(entry, self.root)
        if not reason and not folder and not stat.S_ISREG(mode):
            reason = "is no regular file. Move it elsewhere"
        if reason:
            self._skip(entry, reason)
            return ""
        return "folder" if folder else "file"

    def _skip(self, entry: os.DirEntry[str], reason: str) -> None:
        self.skipped.append(f"{shown(entry.path)} {reason}")


def shown(path: str) -> str:
    """Path in printable characters."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def can_be_read(name: str) -> bool:
    """True for names that DuckDB can open."""
    return not _not_utf8(name)


def _not_utf8(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8. Rename it"
    return "has a backslash in its name, which DuckDB takes for a /. Rename it" if "\\" in name else ""


def _link_inside(entry: os.DirEntry[str], root: str) -> str:
    """Problem with a link to files that are read anyway, or to a folder above itself."""
    if not entry.is_symlink():
        return ""
    target, top = Path(entry.path).resolve(), Path(root).resolve()
    if target.is_relative_to(top) and not any(part.startswith((".", "_")) for part in target.relative_to(top).parts):
        return "is a link into the same folder, whose files are read there"
    if any(above.samefile(target) for above in Path(entry.path).parents):
        return "is a link to a folder that it lies in. Remove it"
    return ""
