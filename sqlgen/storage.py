"""Files of the lake: list, stage, publish, remove. Local file systems.

Publishing is a swap of directories. On Linux ``renameat2(RENAME_EXCHANGE)`` exchanges the staged and
the published folder in one step, so that a reader never sees a mixture nor a gap.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlgen.walk import Walk

STAGING = ".sqlgen/staging"
"""Below the lake, so that it is on the lake's file system and outside every table's glob."""
_TEXT = {".ndjson": "ndjson", ".jsonl": "ndjson", ".data": "ndjson", ".csv": "csv"}
SUFFIXES = {
    ".parquet": "parquet",
    ".dbn": "dbn",
    ".dbn.zst": "dbn",
    **{suffix + packed: kind for suffix, kind in _TEXT.items() for packed in ("", ".gz", ".zst", ".zip")},
    ".zip": "csv",
}

_FOLDERS = threading.Lock()
"""Held while folders are made for a partition, and while empty ones are removed: tasks of one symbol share them."""
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class FileInfo(NamedTuple):
    """One file: what tells whether it is still the same."""

    path: str
    """Relative to the lake, with forward slashes."""
    size: int
    mtime_ns: int


def format_of(name: str) -> str | None:
    """Format of a data file by its name; ``None`` for other files."""
    return next((fmt for suffix, fmt in SUFFIXES.items() if name.endswith(suffix)), None)


def list_files(lake: Path, folder: str, wanted: Callable[[str], object] = format_of) -> Iterator[FileInfo]:
    """Files below ``lake/folder`` whose names are ``wanted``; those that start with ``.`` or ``_`` are skipped."""
    return walked(lake, Walk(str(lake / folder), wanted))


def walked(lake: Path, walk: Walk) -> Iterator[FileInfo]:
    """The files of a walk over a folder of the lake."""
    cut = len(str(lake)) + 1
    for entry in walk.files():
        stat = entry.stat()
        yield FileInfo(entry.path[cut:], stat.st_size, stat.st_mtime_ns)


def publish(staged: Path, target: Path) -> None:
    """Make ``staged`` the content of ``target`` in one step; what stood there is removed after it."""
    sync_tree(staged)
    with _FOLDERS:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            staged.rename(target)
        else:
            _exchange(staged, target)
    _sync(target.parent)
    shutil.rmtree(staged, ignore_errors=True)


def remove(target: Path, trash: Path, root: Path) -> None:
    """Take a published folder away in one step, and the folders above it that became empty."""
    if target.exists():
        trash.parent.mkdir(parents=True, exist_ok=True)
        target.rename(trash)
        _sync(target.parent)
        shutil.rmtree(trash, ignore_errors=True)
    parent = target.parent
    with _FOLDERS:
        while parent != root and root in parent.parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
            parent = parent.parent


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under a second name, by a hard link where the file system has them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder`` to disk."""
    for path, _, names in os.walk(folder):
        for name in names:
            _sync(Path(path, name))
        _sync(Path(path))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_line(path: Path, line: str) -> None:
    """Append one line and flush it to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    with os.fdopen(handle, "a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _exchange(left: Path, right: Path) -> None:
    if _renameat2 is not None:
        result = _renameat2(_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), _RENAME_EXCHANGE)
        if result == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(code, os.strerror(code), str(right))
    # No exchange here (not Linux, or a file system without it): two renames, a moment apart.
    aside = left.with_name(left.name + ".old")
    right.rename(aside)
    try:
        left.rename(right)
    except OSError:
        aside.rename(right)
        raise
    aside.rename(left)


@functools.cache
def _load_renameat2() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function


_renameat2 = _load_renameat2()
