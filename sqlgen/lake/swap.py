"""Publishing: staged files replace the published ones in one step.

A new file is renamed into place. Files that replace others come as a folder, and the two folders are swapped: by
``renameat2(RENAME_EXCHANGE)`` where the system has it, so that a reader never sees a mixture or a gap. Elsewhere it
takes two renames, a moment apart; a note lets the next run recover from a crash between them.

No file name is used twice: a reader that opens a file twice, for its footer and for its rows, would mix two files.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import errno
import functools
import itertools
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlgen.lake import faults, sealed, storage
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.lake.storage import FOLDERS, is_hidden, link_or_copy, make_folders, names_below, sync, sync_tree

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
_ATTEMPTS = 10
GRACE, LEAST = 1.0, 0.1
"""Seconds between the swap of a folder and the removal of its old content: during a run, and at its end."""
_REMOVERS = 8
"""Threads that remove files: they wait for the disk, each for itself."""
_RETIRED: collections.deque[tuple[float, Path]] = collections.deque()
ASIDE, NOTE = ".aside", ".target"
"""Suffixes beside a staged folder: the old content, moved aside, and a note with its original path."""


def publish_file(staged: Path, target: Path, flushed: bool = False) -> None:
    """Make ``staged`` the file ``target``, which is not there yet.

    ``flushed``: it is on disk, and the caller flushes the folders that change.
    """
    if (mount := mount_of(target)) is not None:
        mount.copy.put(staged, mount.inner(target))
    elif not flushed:
        sync(staged)
    with FOLDERS:
        _into(target, flushed, lambda: staged.replace(target), "file: staged")
        faults.point("file: published")
    if not flushed:
        sync(target.parent)


def publish_folder(staged: Path, target: Path, flushed: bool = False) -> None:
    """Make ``staged`` the content of ``target`` in one step; the old content is removed later, hidden files stay.

    ``flushed``: the staged files are on disk, and the caller flushes the folders that change, and retires the old
    content with the folder that ``staged`` is in.
    """
    target = target.resolve() if target.is_symlink() else target  # the link is its user's, and stays
    for name in filter(is_hidden, names_below(target)):  # as late as can be: a collector may write one meanwhile
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(target / name, staged / name)
    if (mount := mount_of(target)) is not None:
        mount.copy.replace_folder(staged, mount.inner(target))
    elif not flushed:
        sync_tree(staged)
    with FOLDERS:
        _into(target, flushed, lambda: _exchange(staged, target), "folder: staged")
        faults.point("folder: published")
    if not flushed:
        sync(target.parent)
        retire(staged)


def _into(target: Path, flushed: bool, put: Callable[[], object], point: str) -> None:
    """Put something into its place, whose folder a run of another shard may remove while it is empty."""
    for attempt in range(_ATTEMPTS):
        try:
            faults.point(point)
            put()
            return
        except FileNotFoundError:
            if attempt and (target.parent.is_dir() or attempt == _ATTEMPTS - 1):
                raise
            make_folders(target.parent, flushed)


def remove(target: Path, trash: Path, root: Path) -> None:
    """Remove a published folder in one step, and the folders above it that became empty. Hidden files stay."""
    found = [*names_below(target)]
    if (mount := mount_of(target)) is not None:
        mount.copy.remove(mount.inner(target / name) for name in found if not is_hidden(name))
    if any(map(is_hidden, found)):
        for name in itertools.filterfalse(is_hidden, found):
            (target / name).unlink()
    elif target.exists():
        make_folders(trash.parent)
        faults.point("folder: to be removed")
        target.rename(trash)
        faults.point("folder: removed")
        sync(target.parent)
        retire(trash)
    parent = target.parent
    with FOLDERS:
        while parent != root and root in parent.parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
            parent = parent.parent


def sweep(at_once: bool = False) -> None:
    """Delete folders that were swapped out, once no reader is listing them any more; ``at_once``: all of them."""
    due: list[Path] = []
    while _RETIRED:
        with contextlib.suppress(IndexError):
            since, folder = _RETIRED.popleft()
            left = since + (LEAST if at_once else GRACE) - time.monotonic()
            if left > 0 and not at_once:
                _RETIRED.appendleft((since, folder))
                break
            time.sleep(max(left, 0.0))
            due.append(folder)
    if due:
        with ThreadPoolExecutor(min(_REMOVERS, len(due))) as pool:
            collections.deque(pool.map(_delete, due), 0)


def _delete(folder: Path) -> None:
    faults.point("old content: to be deleted")
    shutil.rmtree(folder, ignore_errors=True)


def retire(folder: Path) -> None:
    """Set a folder with swapped-out content aside until a :func:`sweep`: a reader may have just opened it."""
    if folder.exists():
        aside = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}")
        folder.rename(aside)
        _RETIRED.append((time.monotonic(), aside))


def recover(staging: Path, lake: Path) -> list[Path]:
    """Restore folders of a lake that a killed run moved aside and did not replace; return their paths."""
    restored = []
    for note in sorted(staging.rglob(f"*{NOTE}")):
        aside = note.with_name(note.name.removesuffix(NOTE) + ASIDE)
        target = Path(os.path.normpath(note.parent / sealed.read_text(note, errors="replace")))
        inside = lake in target.parents  # a note may come from a stranger, with the lake
        if inside and aside.exists() and not target.exists():
            make_folders(target.parent)
            aside.rename(target)
            sync(target.parent)
            restored.append(target)
    return restored


def _exchange(left: Path, right: Path) -> None:
    """Swap two folders; the left one only moves where there is no right one."""
    if _renameat2 is not None:
        result = _renameat2(_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), _RENAME_EXCHANGE)
        if result == 0:
            return
        code = ctypes.get_errno()
        if code not in _NO_EXCHANGE and (code != errno.ENOENT or right.exists()):
            raise OSError(code, os.strerror(code), str(right))
    if not right.exists():
        left.rename(right)
        return
    # No exchange here (not Linux, or a file system without it).
    aside, note = left.with_name(left.name + ASIDE), left.with_name(left.name + NOTE)
    storage.replace_text(note, os.path.relpath(right, left.parent))
    right.rename(aside)
    faults.point("exchange: half done")
    try:
        left.rename(right)
    except BaseException:
        aside.rename(right)
        raise
    faults.point("exchange: done")
    aside.rename(left)
    note.unlink()


@functools.cache
def _load_renameat2() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function


_renameat2 = _load_renameat2()
