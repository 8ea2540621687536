"""Files of the lake: list, write, flush. Local file systems."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
import secrets
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlgen.lake import faults, sealed
from sqlgen.lake.remote import mounts
from sqlgen.lake.walk import Walk

STAGING = ".sqlgen/staging"
"""Below the lake, so that it is on the lake's file system and outside every table's glob."""
_TEXT = {".ndjson": "ndjson", ".jsonl": "ndjson", ".data": "ndjson", ".csv": "csv"}
UNOPENED = (".zip", ".bz2", ".xz")
"""Packings that DuckDB does not open."""
SUFFIXES = {
    ".parquet": "parquet",
    ".dbn": "dbn",
    ".dbn.zst": "dbn",
    **{suffix + packed: kind for suffix, kind in _TEXT.items() for packed in ("", ".gz", ".zst", *UNOPENED)},
    ".zip": "csv",
}

_DRAFT = re.compile(r"\.\d{10,}\.draft$")  # as replace_bytes names them
FOLDERS = threading.Lock()
"""Lock around creating folders of a partition and removing empty ones: tasks of one symbol share them."""


class FileInfo(NamedTuple):
    """Path, size and time of a file, by which a change is detected."""

    path: str
    """Relative to the lake, with forward slashes."""
    size: int
    mtime_ns: int


class Stat(NamedTuple):
    """Size and time of a published file, by which a change is detected."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Stat:
        return cls(stat.st_size, stat.st_mtime_ns)


def format_of(name: str) -> str | None:
    """Format of a data file by its name; ``None`` for other files."""
    for suffix, kind in SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    return None


def list_files(lake: Path, folder: str, wanted: Callable[[str], object] = format_of) -> Iterator[FileInfo]:
    """Files below ``lake/folder`` whose names are ``wanted``; names that start with ``.`` or ``_`` are skipped."""
    return walked(lake, Walk(str(lake / folder), wanted))


def walked(lake: Path, walk: Walk) -> Iterator[FileInfo]:
    """The files of a walk over a folder of the lake."""
    cut = len(str(lake)) + 1
    for entry in walk.files():
        stat = entry.stat()
        yield FileInfo(entry.path[cut:], stat.st_size, stat.st_mtime_ns)


def list_all(root: Path) -> dict[str, Stat]:
    """Every file below ``root``, hidden ones too; a link to a folder counts as a file."""
    return {name: Stat.of(entry.stat(follow_symlinks=False)) for name, entry in _below(root)}


def names_below(root: Path) -> Iterator[str]:
    """Names of what :func:`list_all` lists."""
    return (name for name, _ in _below(root))


def _below(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    pending = [str(root)]
    cut = len(pending[0]) + 1
    while pending:
        folder = pending.pop()
        try:
            entries = os.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            if cut == len(folder) + 1:  # the root
                break
            raise
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    yield entry.path[cut:], entry


def is_hidden(path: str) -> bool:
    """True for paths that readers of a table ignore."""
    return any(part.startswith((".", "_")) for part in path.split("/"))


def make_folders(folder: Path, flushed: bool = False) -> None:
    """Make a folder and those above it, and flush the entry of each new one, unless the caller does (``flushed``)."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        if not flushed:
            sync(new.parent)


def move(files: Iterable[Path], source: Path, target: Path) -> None:
    """Move files below ``source`` to the same paths below ``target``; or the file ``source`` to ``target``."""
    for file in files:
        moved = target / file.relative_to(source)
        moved.parent.mkdir(parents=True, exist_ok=True)
        file.rename(moved)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name: a hard link, or a copy if the file system has none."""
    mounts.fetch([source])
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder`` to disk; a user's hidden pipes and links are none."""
    for path, _, names in os.walk(folder):
        for name in names:
            if stat.S_ISREG(os.lstat(Path(path, name)).st_mode):  # opening a pipe would block
                sync(Path(path, name))
        sync(Path(path))


def sync_all(folder: Path) -> None:
    """Flush the whole file system of a folder to disk: for many files in one call."""
    syncfs = _load_syncfs()
    handle = os.open(folder, os.O_RDONLY)
    try:
        if syncfs is None:
            os.sync()
        elif syncfs(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(handle)


@functools.cache
def _load_syncfs() -> ctypes._NamedFuncPointer | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform != "win32" else None
    if function is not None:
        function.argtypes = [ctypes.c_int]
    return function


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append lines and flush them to disk."""
    new = not path.exists()
    make_folders(path.parent)
    handle = os.open(
        path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | sealed.AT_ONCE | getattr(os, "O_NOFOLLOW", 0), 0o644
    )
    with os.fdopen(handle, "a", encoding="utf-8") as file:
        text = "".join(line + "\n" for line in lines)
        if faults.armed():  # otherwise in one call
            file.write(text[: len(text) // 2])
            file.flush()
            faults.point("lines: half written")
            text = text[len(text) // 2 :]
        file.write(text)
        file.flush()
        faults.point("lines: written")
        os.fsync(file.fileno())
    if new:
        sync(path.parent)


def clear_drafts(folder: Path) -> None:
    """Remove what killed runs have left of files that they wrote into a folder: drafts, named as below."""
    for path in filter(is_draft, folder.glob(".*.*")):
        path.unlink(missing_ok=True)


def is_draft(path: Path) -> bool:
    """True for a file that :func:`replace_bytes` was writing when its process was killed."""
    return bool(_DRAFT.search(path.name)) and path.is_file()


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step."""
    replace_bytes(path, text.encode())


def replace_cache(path: Path, content: str, flush: bool = True) -> None:
    """Write a cache in one step; nothing where a folder lies in its place, or in a lake that is only read.

    What it would hold is found anew each time.
    """
    try:
        replace_bytes(path, content.encode(), flush)
    except OSError as error:
        if not path.is_dir() and error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def replace_bytes(path: Path, content: bytes, flush: bool = True) -> None:
    """Write a file in one step, and flush it to disk, unless the caller does."""
    make_folders(path.parent, flushed=not flush)
    draft = path.with_name(f".{path.name}.{os.getpid()}{secrets.randbelow(10**9):09}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        faults.point("text: drafted")
        draft.replace(path)
        faults.point("text: replaced")
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # nobody knows the draft
        raise
    if flush:
        sync(path.parent)
