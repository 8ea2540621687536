"""The state folder of a lake in an object store: its small files are one object, which costs one request.

Run reports and statements that failed are objects of their own, and so are kernel states, which are written as they
arise.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlgen.lake import faults
from sqlgen.lake.remote.refusals import StoreError
from sqlgen.lake.remote.store import StoredObject
from sqlgen.lake.remote.workcopy import WorkingCopy
from sqlgen.lake.storage import list_all

PACK = "records.zip"
EVERY = 30.0
"""Seconds between two writes during a run, at least; the footers of the tables say what is missing."""
_SINGLE = ("runs", "failed")
_APART = (*_SINGLE, "kernels", "cache", "staging", "versions", "lock", "locks", "mounts", PACK)
_ATTEMPTS = 50
_SAME_TIME = (1980, 1, 1, 0, 0, 0)


class Records:
    """The small files of the state folder."""

    def __init__(self, copy: WorkingCopy, folder: str) -> None:
        self.copy, self.folder = copy, folder
        self.damaged = ""
        """Note on an object that could not be read."""
        self._entry: StoredObject | None = None
        self._loaded: dict[str, bytes] = {}
        """Digests of the files as they were loaded, or written last."""
        self._written = time.monotonic()
        self._lock = threading.Lock()

    @property
    def _root(self) -> Path:
        return self.copy.root / self.folder

    @property
    def _path(self) -> str:
        return f"{self.folder}/{PACK}"

    def load(self) -> None:
        """Write the files of the object into the state folder, unless they are there already."""
        listed = self.copy.known.get(self._path)
        if listed is not None and listed == self._entry:
            return
        for name in self._files():
            (self._root / name).unlink(missing_ok=True)
        self._entry, found = listed, self._read() if listed is not None else {}
        self._write_all(found)
        self._loaded = _digests(found)

    def is_current(self) -> bool:
        """True if the object in the store is the one that was loaded: no run has ended since."""
        return self.copy.store.head(self._path) == self._entry

    def _read(self) -> dict[str, bytes]:
        """The files of the object as it is now; none if it is gone, or damaged."""
        self.damaged = ""
        found = self.copy.store.read(self._path)
        self._entry = found[1] if found is not None else None
        if found is None:
            return {}
        try:
            return _unpacked(found[0])
        except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
            self.damaged = (
                f"{self.copy.store.address.url(self._path)} is damaged ({type(error).__name__}): the records are read"
                " from the tables themselves"
            )
            return {}

    def _write_all(self, files: Mapping[str, bytes]) -> None:
        """Write files; the time of each follows from its content, by which the next process knows it again."""
        for name, digest in _digests(files).items():
            target, written_ns = self._root / name, int.from_bytes(digest[:6])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files[name])
            os.utime(target, ns=(written_ns, written_ns))

    def save_sometimes(self) -> None:
        """Write what has changed, if the last time is long ago."""
        if time.monotonic() - self._written > EVERY:
            self.save(whole=False)

    def save(self, whole: bool = True) -> None:
        """Write what has changed; if ``whole``, delete old kernel states too."""
        with self._lock:
            self._save_files()
            self.copy.put_all(self._changed())
            if whole:
                self.copy.remove([path for path in self._gone() if not (self.copy.root / path).exists()])
            self._written = time.monotonic()

    def _save_files(self) -> None:
        """Write the object with the files that were changed here, beside those that other runs have changed."""
        for _ in range(_ATTEMPTS):
            files = self._files()
            digests = _digests(files)
            if digests == self._loaded:
                return
            self.copy.check_lease()
            faults.point("records: to be written")
            entry = self.copy.store.create(self._path, _packed(files), replacing=self._entry)
            faults.point("records: written")
            if entry is not None:
                self._entry, self._loaded = entry, digests
                return
            self._merge(self._read(), digests)
        raise StoreError(f"{self.copy.store.address.url(self._path)}: too many runs write it at once. Run again")

    def _merge(self, theirs: Mapping[str, bytes], mine: Mapping[str, bytes]) -> None:
        """Take over the files that another run has changed, and this one has not."""
        unchanged = {name for name in {*mine, *self._loaded} if mine.get(name) == self._loaded.get(name)}
        for name in unchanged - theirs.keys():
            (self._root / name).unlink(missing_ok=True)
        self._write_all({name: content for name, content in theirs.items() if name in unchanged or name not in mine})
        self._loaded = _digests(theirs)

    def _changed(self) -> list[tuple[Path, str]]:
        found = []
        for folder in _SINGLE:
            for name, stat in list_all(self._root / folder).items():
                path = f"{self.folder}/{folder}/{name}"
                known = self.copy.known.get(path)
                if not name.endswith(".draft") and (known is None or known.stat != stat):
                    found.append((self.copy.root / path, path))
        return found

    def _gone(self) -> Iterator[str]:
        inside = tuple(f"{self.folder}/{name}/" for name in (*_SINGLE, "kernels"))
        yield from (path for path in self.copy.known if path.startswith(inside))

    def _files(self) -> dict[str, bytes]:
        found = {}
        for name in sorted(list_all(self._root)):
            first = name.partition("/")[0]
            if first not in _APART and not first.startswith(".") and not name.endswith(".draft"):
                found[name] = (self._root / name).read_bytes()
        return found


def _packed(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, text in sorted(files.items()):
            packed.writestr(zipfile.ZipInfo(name, _SAME_TIME), text, zipfile.ZIP_DEFLATED, compresslevel=1)
    return content.getvalue()


def _unpacked(content: bytes) -> dict[str, bytes]:
    """Raises ``ValueError`` where a name is none of a record."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        for name in packed.namelist():
            if name.partition("/")[0] in _APART or any(part in ("", ".", "..") for part in name.split("/")):
                raise ValueError("no record")
        return {name: packed.read(name) for name in packed.namelist()}


def _digests(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: hashlib.blake2b(content, digest_size=16).digest() for name, content in files.items()}
