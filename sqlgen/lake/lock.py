"""One run at a time on one lake."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlgen.errors import LockedError, UsageError


@contextlib.contextmanager
def run_lock(state: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold the lake's lock; the operating system releases it when the process ends, however it ends.

    Raises :class:`LockedError` where another run holds it for longer than ``wait`` seconds.
    """
    path = state / "lock"
    try:
        state.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{path} is a link, and would be written over. Remove it. Nothing was run") from error
        raise UsageError(f"cannot write to the state folder {state}: {error.strerror}. Nothing was run") from error
    try:
        _acquire(handle, path, wait)
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # a full disk: the holder's name is only informative
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, json.dumps(holder).encode())
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, path: Path, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            _lock(handle)
            return
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= deadline:
                os.lseek(handle, 0, os.SEEK_SET)
                holder = os.read(handle, 1000).decode(errors="replace") or "unknown"
                raise LockedError(
                    f"another run holds the lake (lock {path}, holder {holder})."
                    " Wait for it to end, or give --wait SECONDS. Nothing was run"
                ) from None
            time.sleep(0.1)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        """Lock a byte far behind the holder's name, which stays readable."""
        os.lseek(handle, 1 << 30, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
