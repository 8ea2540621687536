"""A lake in an object store, open in this process."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlgen.errors import SqlgenError, UsageError
from sqlgen.lake.lock import Claim
from sqlgen.lake.remote.address import Address, is_remote
from sqlgen.lake.remote.lease import Lease
from sqlgen.lake.remote.mounts import MOUNTS
from sqlgen.lake.remote.records import Records
from sqlgen.lake.remote.store import Store
from sqlgen.lake.remote.workcopy import CACHE_BYTES, WorkingCopy
from sqlgen.lake.storage import format_of, is_hidden, list_all

CACHE, CACHE_GB = "SQLGEN_CACHE", "SQLGEN_CACHE_GB"
"""Variables: the folder of working copies, and most gigabytes of contents that one of them keeps."""

STATE = ".sqlgen"
_SHOWN = 20


class Mount:
    """One lake: its working copy, its records, its lock."""

    def __init__(self, address: Address, folders: Sequence[str], state: str, tables: Sequence[str] = ()) -> None:
        self.address = address
        self.written = (*tables, state)
        """Folders in which runs write; those of sources are others', and so are uploads that go on there."""
        self.folders = (*folders, *self.written)
        bound = int(float(os.environ.get(CACHE_GB) or CACHE_BYTES / 1e9) * 1e9)
        self.copy = WorkingCopy(_store(address), _cache(), bound)
        self.records = Records(self.copy, state)
        self.inside = f"{self.copy.root}/"

    @property
    def root(self) -> Path:
        """The local folder that stands for the lake."""
        return self.copy.root

    def inner(self, path: Path | str) -> str:
        """Path below the lake of a local path."""
        return os.fspath(path)[len(self.inside) :]

    def notes(self) -> list[str]:
        """Notes on how the lake is read, and on what of it is passed over."""
        way = f"{self.address.url()}: read and written through {self.copy.store.way}; DuckDB's httpfs is not used"
        strange = self.copy.strange
        more = [f"{len(strange) - _SHOWN:,} more like these"] if len(strange) > _SHOWN else []
        return [way, *strange[:_SHOWN], *more, *filter(None, [self.records.damaged])]

    def refresh(self) -> None:
        """List the lake anew, unless this process runs on it."""
        if self.copy.lease is None:
            self.copy.refresh(self.folders)
            self.records.load()

    @contextlib.contextmanager
    def held(self, claim: Claim | None, wait: float) -> Iterator[Lease]:
        """Hold tables of the lake, or all of it; it is listed again if another run may have changed it meanwhile."""
        lease = Lease(self.copy.store, claim)
        with lease.held(wait):
            if lease.waited or lease.took_over or not self.records.is_current():
                self.refresh()
            if lease.took_over and lease.alone:
                self.copy.store.clear_uploads(self.written)
            self.copy.lease = lease
            try:
                yield lease
            except BaseException:
                with contextlib.suppress(SqlgenError):  # what led here is the error to tell
                    self.records.save()
                raise
            finally:
                self.copy.lease = None


def mounted(text: str, folders: Sequence[str], state: str, tables: Sequence[str] = ()) -> Mount:
    """The lake of an address, listed as it is now; folders that others fill, and those of tables."""
    try:
        address = Address.of(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    key = (address.url(), *sorted(folders), "", *sorted(tables), state)
    mount = MOUNTS.get(key) or Mount(address, folders, state, tables)
    mount.refresh()
    MOUNTS[key] = mount
    return mount


def located(text: str, lake: str) -> tuple[Mount, str]:
    """The lake that an address is in, ``lake`` if that holds it and its bucket otherwise, and the path below."""
    if "?" in text:
        raise UsageError("an address has no query. Of a name with a ? in it, give the folder that it is in")
    inside = is_remote(lake) and f"{text}/".startswith(f"{lake}/")
    scheme, _, rest = text.partition("://")
    bucket, _, path = "/".join(filter(None, rest.split("/"))).partition("/")
    root, below = (lake, text[len(lake) :].strip("/")) if inside else (f"{scheme}://{bucket}", path)
    folder = below.rpartition("/")[0] if format_of(below) else below
    return mounted(root, [folder], STATE if inside else "/".join(filter(None, (folder, STATE)))), below


@contextlib.contextmanager
def lake_to_fill(text: str) -> Iterator[Path]:
    """A folder for new files of a lake; of one in an object store they are written there at the end."""
    if not is_remote(text):
        yield Path(text)
        return
    mount = mounted(text, ["raw"], STATE)
    try:
        yield mount.root
    finally:
        there = {path: stat for path, stat in list_all(mount.root).items() if not is_hidden(path)}
        known = mount.copy.known
        mount.copy.put_all(
            (mount.root / path, path) for path, stat in there.items() if path not in known or known[path].stat != stat
        )
        mount.copy.remove([path for path in known if not is_hidden(path) and path not in there])


def _store(address: Address) -> Store:
    if address.scheme == "s3":
        from sqlgen.lake.remote.s3 import S3Store

        return S3Store(address)
    return Store(address)


def _cache() -> Path:
    if given := os.environ.get(CACHE):
        return Path(given)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "sqlgen" / "lakes"
    with contextlib.suppress(RuntimeError):
        home = Path.home() / ".cache"
        if os.access(home if home.is_dir() else home.parent, os.W_OK):
            return home / "sqlgen" / "lakes"
    whose = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"sqlgen-lakes-{whose}"
