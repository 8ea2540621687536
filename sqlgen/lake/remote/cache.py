"""Folders of working copies: one process at a time has one, and leaves it to the next process on the same lake."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from sqlgen.errors import UsageError
from sqlgen.lake.storage import Stat

UNUSED_DAYS = 7.0
"""Days after which a folder that nothing has used is removed."""
_ALIVE, _WHOLE_FILES = "alive", "contents.json"


def own_folder(cache: Path, address: str) -> tuple[Path, int]:
    """A folder for this process alone, and the handle of the lock that says so. Folders long unused are removed."""
    name = f"copy-{hashlib.blake2b(address.encode(), digest_size=6).hexdigest()}"
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        cache = cache.resolve()
        for left in cache.glob("copy-*"):
            _remove_unused(left)
        for number in itertools.count():
            folder = cache / f"{name}-{number}"
            folder.mkdir(exist_ok=True, mode=0o700)
            if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
                continue  # of another user, who may write there
            handle = _locked(folder)
            if handle is not None:
                for draft in folder.glob("*draft*"):
                    draft.unlink()
                return folder, handle
    except OSError as error:
        raise UsageError(
            f"cannot make a working copy of the lake below {cache}: {error.strerror}. Name another folder by"
            " SQLGEN_CACHE"
        ) from None
    raise AssertionError


def remember(folder: Path, files: Mapping[str, Stat]) -> None:
    """Note the files whose contents are there."""
    with contextlib.suppress(OSError):
        (folder / _WHOLE_FILES).write_text(json.dumps([_boot(), files]), encoding="utf-8")


def recalled(folder: Path, here: Mapping[str, Stat]) -> list[str]:
    """Files whose contents are there, by the note of an earlier process that ended in its own time."""
    note = folder / _WHOLE_FILES
    try:
        boot, files = json.loads(note.read_text(encoding="utf-8"))
        note.unlink()
        # After a crash of the machine, what had not reached the disk is empty.
        return [path for path, stat in files.items() if boot == _boot() and here.get(path) == Stat(*stat)]
    except (OSError, ValueError, TypeError, AttributeError):
        note.unlink(missing_ok=True)
        return []


def _locked(folder: Path) -> int | None:
    from sqlgen.lake.lock import lock_file  # which imports mounts

    handle = os.open(folder / _ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
    if not lock_file(handle):
        os.close(handle)
        return None
    os.utime(folder / _ALIVE)
    return handle


def _remove_unused(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if time.time() - (folder / _ALIVE).stat().st_mtime < UNUSED_DAYS * 86_400:
            return
        handle = _locked(folder)
        if handle is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
