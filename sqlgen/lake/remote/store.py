"""Requests to object stores, through fsspec: list, read, write, delete. Each is tried again where that may help."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import importlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlgen.errors import UsageError
from sqlgen.lake import faults
from sqlgen.lake.remote.address import SCHEMES, Address
from sqlgen.lake.remote.refusals import ChangedError, Refusal, ShortReadError, StoreError
from sqlgen.lake.storage import Stat

Some = TypeVar("Some")
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds between attempts: a random part of a bound that doubles."""
SETTLE = 1.0
"""Seconds after which a write to a store without conditional requests is looked at again."""
PART = 1 << 20
_LOGGING = ("botocore", "aiobotocore", "google", "azure")
"""Loggers of libraries below those of fsspec."""
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_SINCE, _SPAN = 10**18, 5 * 10**17


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Size and version (its ETag, where the store has one) of an object, by which a change is detected."""

    size: int
    version: str
    written_ns: int = field(default=0, compare=False)
    """Time at which it was written, by the clock of the store; 0 if a listing did not tell."""

    @property
    def stat(self) -> Stat:
        """Size and time of the file that stands for the object; the time follows from its version, and is past."""
        digest = hashlib.blake2b(self.version.encode(), digest_size=8).digest()
        return Stat(self.size, _SINCE + int.from_bytes(digest, "big") % _SPAN)

    def stamp(self, file: Path) -> None:
        """Give a file the time that stands for the version."""
        os.utime(file, ns=(self.stat.mtime_ns, self.stat.mtime_ns))


class Store:
    """The objects below one address."""

    attempts = 2
    """Attempts of one request, beside those that the library makes itself."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.fs = self._open()

    @property
    def way(self) -> str:
        """Libraries that read and write, for people."""
        return f"fsspec ({type(self.fs).__module__.partition('.')[0]})"

    def _options(self) -> dict[str, Any]:
        return {}

    def _open(self) -> Any:
        try:
            fsspec = importlib.import_module("fsspec")
            found = fsspec.filesystem(
                self.address.scheme.replace("abfss", "abfs"),
                skip_instance_cache=True,
                use_listings_cache=False,
                **self._options(),
            )
        except ImportError:
            extra = SCHEMES[self.address.scheme]
            raise UsageError(
                f"{self.address} needs what reads such stores. Install it: pip install 'sqlgen[{extra or 's3'}]'"
            ) from None
        except Exception as error:  # some look for credentials here
            refusal = Refusal(error, "NoCredentialsError")
            raise StoreError(refusal.sentence(self.address, "open the store", "", 1)) from None
        # What goes wrong is told here, and nothing of a request is: debugging records hold credentials.
        logging.getLogger(type(found).__module__.partition(".")[0]).setLevel(logging.CRITICAL)
        for name in _LOGGING:
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger(name).level))
        return found

    def attempt(self, operation: str, path: str, request: Callable[[], Some]) -> Some:
        """Result of a request, which is tried again where that may help; :class:`StoreError`."""
        for number in range(1, self.attempts + 1):
            try:
                return request()
            except StoreError:
                raise
            except Exception as error:
                refusal = Refusal(error)
                if not refusal.passing or number == self.attempts:
                    raise StoreError(refusal.sentence(self.address, operation, path, number)) from None
            time.sleep(random.uniform(0.0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)))
        raise AssertionError

    def objects(self, prefix: str) -> Iterator[tuple[str, StoredObject]]:
        """Objects below a folder of the lake, by their paths below the lake."""
        found = self.attempt("list", prefix, lambda: self._find(prefix))
        if not found and self.address.scheme != "memory":  # some find nothing where there is no bucket
            self.attempt("list", prefix, lambda: self.fs.info(self.address.bucket))
        cut = len(self.address.key("")) + 1 if self.address.prefix else 0
        for key, entry in found:
            yield key[cut:], entry

    def get(self, path: str, target: Path, expected: StoredObject) -> None:
        """Write an object to a file; :class:`ChangedError` if it is not the expected one."""
        self.attempt("read", path, lambda: self._get(path, target, expected))

    def tail(self, path: str, expected: StoredObject, length: int) -> bytes:
        """The last bytes of an object."""
        first = max(expected.size - length, 0)
        return self.attempt("read", path, lambda: self._range(path, expected, first))

    def read(self, path: str) -> tuple[bytes, StoredObject] | None:
        """Content of a small object; ``None`` if there is none."""
        return self.attempt("read", path, lambda: self._unless_gone(lambda: self._read(path)))

    def head(self, path: str) -> StoredObject | None:
        """Size and version of an object; ``None`` if there is none."""
        return self.attempt("read", path, lambda: self._unless_gone(lambda: self._head(path)))

    def put(self, path: str, source: Path) -> StoredObject:
        """Write a file as one object, which readers see whole or not at all."""
        faults.point("object: to be written")
        entry = self.attempt("write", path, lambda: self._put(path, source))
        faults.point("object: written")
        return entry

    def copy(self, path: str, target: str, expected: StoredObject) -> StoredObject:
        """Copy an object within the store; :class:`ChangedError` if it is not the expected one."""
        return self.attempt("copy", target, lambda: self._copy(path, target, expected))

    def create(self, path: str, content: bytes, replacing: StoredObject | None = None) -> StoredObject | None:
        """Write a small object that is not there, or is still ``replacing``; ``None`` if another was first."""
        return self.attempt("write", path, lambda: self._create(path, content, replacing))

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; those that are gone are no error."""
        for path in paths:
            self.attempt("delete", path, functools.partial(self._unless_gone, functools.partial(self._delete, path)))

    def delete_if(self, path: str, expected: StoredObject) -> bool:
        """Delete an object unless it is another than is expected; true if none is there any more."""
        return self.attempt("delete", path, lambda: self._delete_if(path, expected))

    def clear_uploads(self, folders: Iterable[str]) -> int:
        """Give up uploads that killed runs have left in some folders; returns their number."""
        return 0

    def at(self, path: str) -> str:
        """Path of an object as fsspec has it."""
        return f"{self.address.bucket}/{self.address.key(path)}"

    def _unless_gone(self, request: Callable[[], Some]) -> Some | None:
        try:
            return request()
        except Exception as error:
            if Refusal(error).not_there:
                return None
            raise

    # What follows is one request each, by fsspec's interface, which all stores have.

    def _find(self, prefix: str) -> list[tuple[str, StoredObject]]:
        self.fs.invalidate_cache()
        found = self.fs.find(self.at(prefix), detail=True)
        cut = len(self.address.bucket) + 1
        return [(name.lstrip("/")[cut:], entry_of(info)) for name, info in found.items()]

    def _head(self, path: str) -> StoredObject:
        self.fs.invalidate_cache()
        return entry_of(self.fs.info(self.at(path)))

    def _get(self, path: str, target: Path, expected: StoredObject) -> None:
        self._same(path, expected)
        self.fs.get_file(self.at(path), str(target))
        if target.stat().st_size != expected.size:
            raise ShortReadError("a body ended before its length")
        self._same(path, expected)

    def _same(self, path: str, expected: StoredObject) -> None:
        if self._head(path) != expected:
            raise changed(self.address, path)

    def _range(self, path: str, expected: StoredObject, first: int) -> bytes:
        self._same(path, expected)
        return bytes(self.fs.cat_file(self.at(path), start=first, end=expected.size))

    def _read(self, path: str) -> tuple[bytes, StoredObject]:
        before = self._head(path)
        content = bytes(self.fs.cat_file(self.at(path)))
        if before != self._head(path) or len(content) != before.size:
            raise ShortReadError("the object changed while it was read")
        return content, before

    def _copy(self, path: str, target: str, expected: StoredObject) -> StoredObject:
        if self._unless_gone(lambda: self._head(path)) != expected:
            raise changed(self.address, path)
        self.fs.cp_file(self.at(path), self.at(target))
        return self._head(target)

    def _delete_if(self, path: str, expected: StoredObject) -> bool:
        if self._unless_gone(lambda: self._head(path)) not in (None, expected):
            return False
        self._unless_gone(lambda: self._delete(path))
        return True

    def _delete(self, path: str) -> None:
        self.fs.rm_file(self.at(path))

    def _put(self, path: str, source: Path) -> StoredObject:
        self.fs.put_file(str(source), self.at(path))
        return self._head(path)

    def _create(self, path: str, content: bytes, replacing: StoredObject | None) -> StoredObject | None:
        if self._unless_gone(lambda: self._head(path)) != replacing:
            return None
        self.fs.pipe_file(self.at(path), content)
        time.sleep(SETTLE)  # another may have looked at the same time: the last one that writes has it
        found = self._unless_gone(lambda: self._read(path))
        return found[1] if found is not None and found[0] == content else None


def footer_bytes(end: bytes) -> int:
    """Bytes of the footer of a Parquet file and what follows it, by the end of the file; 0 if it is none."""
    return int.from_bytes(end[-8:-4], "little") + 8 if end[-4:] == b"PAR1" else 0


def changed(address: Address, path: str) -> ChangedError:
    """Error for an object that is no longer the one that was listed."""
    return ChangedError(
        f"{address.url(path)} changed between the listing of the lake and its reading. Nothing was published from it."
        " Run again once it is complete"
    )


def entry_of(info: dict[str, Any]) -> StoredObject:
    """Size and version by fsspec's description of an object."""
    names = ("ETag", "etag", "generation", "md5Hash", "content_settings", *_TIMES)
    found = next((info[name] for name in names if info.get(name)), "")
    found = found.timestamp() if isinstance(found, dt.datetime) else found
    version = f"{found:.6f}" if isinstance(found, float) else str(found)
    written = next((info[name] for name in _TIMES if info.get(name)), 0)
    with contextlib.suppress(ValueError):  # another form of time is none
        written = dt.datetime.fromisoformat(written) if isinstance(written, str) else written
    written = written.timestamp() if isinstance(written, dt.datetime) else written
    written_ns = int(written * 1e9) if isinstance(written, int | float) else 0
    return StoredObject(int(info.get("size") or 0), version.strip('"'), written_ns)
