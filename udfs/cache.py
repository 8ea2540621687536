"""Folder of compiled kernels and templates: the first of a few places that can be written to."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MORE: list[Path] = []


def also_cache_in(folder: Path) -> None:
    """Add a folder, for processes without a home."""
    if folder not in _MORE:
        _MORE.append(folder)


def cache_folder() -> Path | None:
    """``$XDG_CACHE_HOME/sqlgen``, ``~/.cache/sqlgen``, added folders, or one in the folder for temporary files.

    ``None`` if none of them can be written to. What is loaded from a cache is executed: a folder that others made, or
    may write to, is not used.
    """
    return next((folder for folder in _places() if _is_ours(folder)), None)


def _places() -> Iterator[Path]:
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        yield Path(base) / "sqlgen"
    with contextlib.suppress(RuntimeError):  # a user without an entry in the system's list
        yield Path.home() / ".cache" / "sqlgen"
    yield from _MORE
    whose = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    yield Path(tempfile.gettempdir()) / f"sqlgen-{whose}"


def _is_ours(folder: Path) -> bool:
    """True if a folder can be made, or is there, written to by its owner alone, and that is this process's user."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stat = folder.stat()
    except OSError:
        return False
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not hasattr(os, "getuid") or (stat.st_uid == os.getuid() and not stat.st_mode & 0o002)
