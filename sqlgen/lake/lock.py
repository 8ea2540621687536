"""Locks of a lake: runs that build the same table, of the same symbols, exclude each other; all others do not.

Each run has a file in ``locks``, named as the run and locked as long as it goes on; it tells what the run builds. A run
begins under the lock ``guard``, held for a moment. All runs share the lock of the lake, which others can hold alone.
The operating system releases locks when a process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

from sqlgen.errors import LockedError, UsageError
from sqlgen.lake import sealed
from sqlgen.lake.partitions import Shard
from sqlgen.lake.remote.mounts import mount_of

Tidied = TypeVar("Tidied")
LAKE, RUNS = "lock", "locks"
"""The lock of the lake, and the folder of those of runs, below ``LAKE/.sqlgen``."""
RUN_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{4}")
"""Run ids: start time and a few random letters."""
_GUARD = "guard"
_POLL = 0.1
_BEGIN = 60.0
"""Seconds that another run may take to begin, which clears what killed runs have left."""


class Claim(Struct, frozen=True):
    """Tables that one run builds."""

    tables: Mapping[str, str] = field(default_factory=dict)
    """Folder of each table -> its model."""
    shard: Shard | None = None
    """The symbols of them; ``None``: all."""

    def meets(self, tables: Mapping[str, str], shard: Shard | None) -> str:
        """A model of this claim that another claim has, too; empty if both may be built at once."""
        apart = shard is not None and self.shard is not None and not self.shard.overlaps(shard)
        return "" if apart else next((model for folder, model in self.tables.items() if folder in tables), "")


class Held(Struct, Generic[Tidied], frozen=True):
    """Lock of a run that has begun."""

    run_id: str
    tidied: Tidied
    """Result of the function that has run before."""


@contextlib.contextmanager
def run_lock(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold the whole lake: no run goes on. Raises :class:`LockedError` if one does for longer than ``wait`` seconds."""
    if (mount := mount_of(folder)) is not None:
        with mount.held(None, wait):
            yield
        return
    with _opened(folder / LAKE) as handle:
        _until(time.monotonic() + wait, lambda: "" if lock_file(handle) else _holders(folder))
        with contextlib.suppress(OSError):  # a full disk: the holder's name is only informative
            _write(handle, _holder())
        yield


@contextlib.contextmanager
def claimed(
    folder: Path, claim: Claim, wait: float, tidy: Callable[[frozenset[str]], Tidied]
) -> Iterator[Held[Tidied]]:
    """Hold some tables of the lake; :class:`LockedError` where another run has one for longer than ``wait`` seconds.

    ``tidy`` is called with the ids of the runs that go on, before any other can begin.
    """
    if (mount := mount_of(folder)) is not None:
        with mount.held(claim, wait) as lease:
            yield Held(lease.run_id, tidy(frozenset()))
        return
    until, runs = time.monotonic() + wait, folder / RUNS
    with _opened(folder / LAKE) as lake, contextlib.ExitStack() as held:
        _until(until, lambda: "" if lock_file(lake, shared=True) else _holders(folder))
        with _opened(runs / _GUARD) as guard:
            going = _begin(guard, runs, claim, until)
            for path in runs.glob("*.json"):
                if path.stem not in going:
                    path.unlink(missing_ok=True)
            tidied = tidy(frozenset(going))
            run_id = new_run_id()
            own = held.enter_context(_opened(runs / f"{run_id}.json"))
            held.callback(_remove, runs / f"{run_id}.json")
            lock_file(own)
            shard = None if claim.shard is None else str(claim.shard)
            _write(own, _holder() | {"shard": shard, "tables": dict(claim.tables)})
        yield Held(run_id, tidied)


def _begin(guard: int, runs: Path, claim: Claim, until: float) -> dict[str, dict[str, Any]]:
    """Lock the guard while no run that goes on has what is claimed; the runs that go on."""
    busy = f"another run has been beginning for {_BEGIN:.0f} s (lock {runs / _GUARD})"
    while True:
        _until(time.monotonic() + _BEGIN, lambda: "" if lock_file(guard) else busy)
        going = _going(runs)
        problem = conflict(claim, going, lambda run: runs / f"{run}.json")
        if not problem:
            return going
        _unlock(guard)
        _wait(until, problem)


def conflict(claim: Claim | None, going: Mapping[str, Mapping[str, Any]], lock_of: Callable[[str], object]) -> str:
    """Reason why a claim (``None``: the whole lake) has to wait for runs that go on; empty if it has not."""
    for run, told in going.items():
        try:
            shard = Shard.parse(told["shard"]) if told["shard"] is not None else None
            model = claim.meets(told["tables"], shard) if claim is not None else None
        except (KeyError, TypeError, AttributeError, UsageError):
            model = None
        if model is None:
            return f"another run holds the lake ({_named(told)}; lock {lock_of(run)})"
        if model:
            part = f", shard {shard}" if shard is not None else ""
            return f"another run holds model '{model}' ({_named(told)}{part}; lock {lock_of(run)})"
    return ""


def _going(runs: Path) -> dict[str, dict[str, Any]]:
    """Runs that go on, by their ids, with what their locks tell."""
    found = {}
    for path in sorted(runs.glob("*.json")):
        with contextlib.suppress(FileNotFoundError), _opened(path, create=False) as handle:
            if not lock_file(handle, shared=True):
                found[path.stem] = _told(path)
    return found


def _holders(folder: Path) -> str:
    """Reason why the lock of the lake cannot be had."""
    going = _going(folder / RUNS)
    told = next(iter(going.values()), None) or _told(folder / LAKE)
    return f"another run holds the lake ({_named(told)}; lock {folder / LAKE})"


def _until(deadline: float, attempt: Callable[[], str]) -> None:
    """Try until there is no problem any more; :class:`LockedError` after the deadline."""
    while problem := attempt():
        _wait(deadline, problem)


def held_by_another(problem: str) -> LockedError:
    """Error for a lock that another run has."""
    return LockedError(f"{problem}. Wait for it to end, or give --wait SECONDS. Nothing was run")


def _wait(deadline: float, problem: str) -> None:
    if time.monotonic() >= deadline:
        raise held_by_another(problem)
    time.sleep(_POLL)


def _holder() -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _named(told: Mapping[str, Any]) -> str:
    return f"pid {told.get('pid', 'unknown')} on {told.get('host', 'unknown')} since {told.get('since', 'unknown')}"


def _told(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(sealed.read_text(path, errors="replace"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _write(handle: int, content: Mapping[str, Any]) -> None:
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(content).encode())


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # the next run does it
        path.unlink()


def new_run_id() -> str:
    """Id of a run that begins now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"


@contextlib.contextmanager
def _opened(path: Path, create: bool = True) -> Iterator[int]:
    """A file to lock. Closing it releases its lock."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, flags, 0o644)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{path} is a link, and would be written over. Remove it. Nothing was run") from error
        where = path if path.is_dir() else f"the state folder {path.parent}"
        raise UsageError(f"cannot write to {where}: {error.strerror}. Nothing was run") from error
    try:
        yield handle
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def lock_file(handle: int, shared: bool = False) -> bool:
        """Lock a byte far behind the content, which stays readable. Shared locks are none here: one run at a time."""
        os.lseek(handle, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, 1 << 30, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock_file(handle: int, shared: bool = False) -> bool:
        """Lock a file at once; false where another process holds it."""
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
