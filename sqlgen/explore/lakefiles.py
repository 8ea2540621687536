"""Files of a lake in an object store, as DuckDB opens them: each is fetched when it is read first."""

from __future__ import annotations

import datetime as dt
import glob
import importlib
import io
import os
import threading
from pathlib import Path
from typing import Any

import duckdb

from sqlgen.lake.cpus import cpus
from sqlgen.lake.remote import mounts
from sqlgen.lake.remote.mounts import SCHEME
from sqlgen.lake.remote.workcopy import PARALLEL, TAIL
from sqlgen.templating.secrets import show_as


def open_lakes(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Statements over lakes as a connection can run them: it fetches the files that they read."""
    for mount in mounts.MOUNTS.values():
        if str(mount.root) in sql:
            if not connection.filesystem_is_registered(SCHEME):
                connection.register_filesystem(_files())
                connection.execute(f"SET threads = {max(cpus(), PARALLEL)}")  # each waits for one request
            show_as(f"{SCHEME}://{mount.root}", mount.address.url())
            sql = sql.replace(str(mount.root), f"{SCHEME}://{mount.root}")
    return sql


class _Opened(io.RawIOBase):
    """A file whose end is fetched for its footer, and all of it once more is read. DuckDB does not close it.

    Threads share it, in two ways: each seeks the place that it reads next, whatever others do meanwhile (Parquet); or
    they read on one after the other, each from where the one before has ended (packed text).
    """

    def __init__(self, path: Path) -> None:
        self._path, self._first = path, -1
        self.size = path.stat().st_size
        self._at = 0
        """End of what was read, or the place that was sought, last."""
        self._turn = 0
        """Number of reads by threads that had sought no place: what others had sought before is over by then."""
        self._sought = threading.local()
        self._handles: list[int] = []
        self._lock = threading.Lock()

    def _handle(self, at: int) -> int:
        """Handle of the file, whose content is there from a byte on."""
        with self._lock:
            if self._first < 0 or at < self._first:
                is_end = self._first < 0 and at >= self.size - TAIL
                (mounts.fetch_ends if is_end else mounts.fetch)([self._path])
                self._first = mounts.first_byte(self._path)  # what replaces the file from here on has more of it
                self._handles.append(os.open(self._path, os.O_RDONLY))
            return self._handles[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        at = self.tell()
        self._turn += not self._has_sought
        self._sought.turn = -1
        content = os.pread(self._handle(at), self.size - at if size < 0 else size, at)
        self._at = at + len(content)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self._sought.at = offset + (0, self.tell(), self.size)[whence]
        self._sought.turn = self._turn
        return int(self._sought.at)

    def tell(self) -> int:
        return int(self._sought.at) if self._has_sought else self._at

    @property
    def _has_sought(self) -> bool:
        """True if this thread has sought the place of its next read."""
        return getattr(self._sought, "turn", -1) == self._turn

    def close(self) -> None:
        while self._handles:
            os.close(self._handles.pop())
        super().close()


def _files() -> Any:
    base: Any = importlib.import_module("fsspec").AbstractFileSystem

    class LakeFiles(base):  # type: ignore[misc]
        """Working copies of lakes, under paths ``lake:///...``."""

        protocol = SCHEME

        def _path(self, path: str) -> Path:
            found = Path("/", str(self._strip_protocol(path)).lstrip("/"))
            if mounts.mount_of(found) is None:
                raise FileNotFoundError(path)
            return found

        def glob(self, path: str, **_: Any) -> list[str]:
            found = glob.glob(str(self._path(path)), recursive=True)  # noqa: PTH207 - by its whole path
            return [name.lstrip("/") for name in sorted(found)]

        def exists(self, path: str, **_: Any) -> bool:
            return self._path(path).exists()

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            stat = self._path(path).stat()
            return {"name": path, "size": stat.st_size, "type": "file", "mtime": stat.st_mtime}

        def modified(self, path: str) -> dt.datetime:
            return dt.datetime.fromtimestamp(self._path(path).stat().st_mtime, dt.UTC)

        def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
            if mode != "rb":
                raise PermissionError(f"{path}: views are read, not written")
            return _Opened(self._path(path))

    return LakeFiles()
