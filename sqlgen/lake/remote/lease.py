"""The lock of a lake in an object store: one object that tells which runs go on, and what each of them builds.

A run adds itself by a conditional request, renews its entry, and removes it at its end. An entry that is not renewed is
given up, by its run and by others.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from sqlgen.errors import SqlgenError
from sqlgen.lake.lock import Claim, conflict, held_by_another, new_run_id
from sqlgen.lake.remote.refusals import StoreError
from sqlgen.lake.remote.store import Store, StoredObject

LOCK = ".sqlgen/lock"
RENEWED = 15.0
"""Seconds after which a run renews its entry."""
LEASE = 60.0
"""Seconds without a renewal after which an entry is given up."""
LOOK = 0.5
"""Seconds between two looks at the lock while another run has it."""
_ATTEMPTS = 50

Entries = dict[str, dict[str, Any]]
"""Run id -> what its entry tells."""


class Lease(Struct):
    """The entry of one run."""

    store: Store
    claim: Claim | None = None
    """Tables that it builds; ``None``: the whole lake."""
    run_id: str = field(default_factory=new_run_id)
    waited: bool = False
    """True if another run had what is claimed, and ended or was killed."""
    took_over: bool = False
    """True if a run that was killed had it."""
    alone: bool = True
    """True if no other run went on at the beginning."""
    _token: str = field(default_factory=lambda: secrets.token_hex(8))
    _since: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()))
    _renewed: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)
    _lost: bool = False

    @contextlib.contextmanager
    def held(self, wait: float) -> Iterator[None]:
        """Hold the lock; :class:`LockedError` where another run holds it for longer than ``wait`` seconds."""
        self._acquire(wait)
        renewal = threading.Thread(target=self._renew, name="lease", daemon=True)
        renewal.start()
        try:
            yield
        finally:
            self._ended.set()
            renewal.join()
            with contextlib.suppress(SqlgenError):  # it ends by itself
                self._change(lambda entries: None if self._is_lost(entries) else self._without(entries, self.run_id))

    def check(self) -> None:
        """:class:`StoreError` if the lock is not this run's any more: nothing may be published then."""
        if self._lost or time.monotonic() - self._renewed > LEASE:
            raise StoreError(
                f"{self.store.address.url(LOCK)}: the lock could not be renewed for {LEASE:g} s, and another run may"
                " hold the lake. Nothing more is published. Check the network, and run again"
            )

    def _acquire(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        while True:
            problem = ""

            def claimed(entries: Entries) -> Entries | None:
                nonlocal problem
                going = {run: told for run, told in entries.items() if not _is_dead(told)}
                self.took_over = self.took_over or len(going) < len(entries)
                problem = conflict(self.claim, going, lambda _: self.store.address.url(LOCK))
                self.alone = not going
                return None if problem else going | {self.run_id: self._entry()}

            if self._change(claimed):
                return
            self.waited = True
            if not self._removes_overdue() and time.monotonic() >= deadline:
                raise held_by_another(problem)
            time.sleep(LOOK)

    def _removes_overdue(self) -> bool:
        """Remove entries whose time is over by this machine's clock, or is none, and that nobody renews meanwhile."""
        before, _ = self._read()
        overdue = {run: told for run, told in before.items() if not _is_in_time(told)}
        if not overdue:
            return False
        time.sleep(1.5 * RENEWED)
        after, _ = self._read()
        gone = [run for run, told in overdue.items() if after.get(run) == told]
        self.took_over = self.took_over or bool(gone)
        return bool(gone) and self._change(
            lambda now: self._without(now, *(run for run in gone if now.get(run) == overdue[run]))
        )

    def _change(self, change: Callable[[Entries], Entries | None]) -> bool:
        """Change the entries that are there, whoever else does so meanwhile; false if the change is ``None``."""
        for _ in range(_ATTEMPTS):
            entries, there = self._read()
            changed = change(entries)
            if changed is None:
                return False
            begun = time.monotonic()
            if self.store.create(LOCK, json.dumps(changed).encode(), replacing=there) is not None:
                self._renewed = begun
                return True
        raise StoreError(f"{self.store.address.url(LOCK)}: too many runs begin and end at once. Run again")

    def _read(self) -> tuple[Entries, StoredObject | None]:
        found = self.store.read(LOCK)
        if found is None:
            return {}, None
        try:
            entries = json.loads(found[0])
        except (ValueError, RecursionError):
            entries = {}
        whole = isinstance(entries, dict) and all(isinstance(told, dict) for told in entries.values())
        return (entries if whole else {}), found[1]

    def _without(self, entries: Entries, *runs: str) -> Entries:
        return {run: told for run, told in entries.items() if run not in runs}

    def _is_lost(self, entries: Entries) -> bool:
        return entries.get(self.run_id, {}).get("token") != self._token

    def _entry(self) -> dict[str, Any]:
        claim = self.claim
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": _machine(),
            "since": self._since,
            "until": round(time.time() + LEASE, 3),
            "token": self._token,
            "shard": str(claim.shard) if claim is not None and claim.shard is not None else None,
            "tables": dict(claim.tables) if claim is not None else None,
        }

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED):
            with contextlib.suppress(SqlgenError):  # the lease ends by itself if this goes on
                self._change(self._renewal)

    def _renewal(self, entries: Entries) -> Entries | None:
        self._lost = self._is_lost(entries)
        return None if self._lost else entries | {self.run_id: self._entry()}


def _is_in_time(told: dict[str, Any]) -> bool:
    """True if the time of an entry is not over, and is one that a lease can have: clocks differ, but not by much."""
    until = told.get("until")
    return isinstance(until, int | float) and 0.0 <= until - time.time() <= 2 * LEASE


def _is_dead(told: dict[str, Any]) -> bool:
    """True if a run was a process of this machine that has ended."""
    pid = told.get("pid")
    if told.get("machine") != _machine() or not isinstance(pid, int) or not _machine():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    return False


def _machine() -> str:
    """Identity of this boot of this machine and its process ids; empty where there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
