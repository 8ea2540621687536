"""The working copy of a lake in an object store: a local folder in which runs read, build and stage.

Each object of the lake stands there as a file of its size, whose time follows from the object's version. Its content is
fetched before it is read; until then the file is empty space. What is published is written to the store first, by one
request for each file, and then moved into place here. The folder stays for the next process on the same lake.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from sqlgen.lake.remote.address import prefixes
from sqlgen.lake.remote.cache import own_folder, recalled, remember
from sqlgen.lake.remote.lease import Lease
from sqlgen.lake.remote.store import Store, StoredObject, footer_bytes
from sqlgen.lake.storage import STAGING, Stat, is_hidden, list_all

PARALLEL = 16
"""Requests at the same time."""
TAIL = 1 << 16
"""Bytes at the end of a file that are fetched for its footer."""
CACHE_BYTES = 8 << 30
"""Most bytes of fetched contents that are kept, but for those in use."""
_WHOLE = -1


class WorkingCopy:
    """A local folder that stands for one lake in an object store."""

    def __init__(self, store: Store, cache: Path, bound: int = CACHE_BYTES) -> None:
        self.store, self.bound = store, bound
        self.folder, self._alive = own_folder(cache, store.address.url())
        self.root = self.folder / "lake"
        self.root.mkdir(exist_ok=True)
        self.known: dict[str, StoredObject] = {}
        """The objects of the lake, by their paths."""
        self.strange: list[str] = []
        """Objects that cannot be files, with the reason."""
        self.lease: Lease | None = None
        self._left: dict[str, Stat] = {path: stat for path, stat in list_all(self.root).items() if not _is_staged(path)}
        """Files of an earlier process."""
        self._contents: dict[str, int] = dict.fromkeys(recalled(self.folder, self._left), _WHOLE)
        """Path -> its first byte that is there, or ``_WHOLE``; the one used longest ago first."""
        self._at_most = 0
        """Bytes of the contents that are kept, or more: exact after each look at all of them."""
        self._busy: dict[str, Future[None]] = {}
        self._pins: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._mine = threading.local()
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="store")
        self._numbers = itertools.count()
        self._pid = os.getpid()
        atexit.register(self.close)

    def close(self) -> None:
        """Leave the folder to the next process."""
        if self._pid == os.getpid() and self._alive >= 0:
            self._pool.shutdown(wait=True, cancel_futures=True)
            remember(self.folder, {path: self.known[path].stat for path in self._contents if self._is_whole(path)})
            os.close(self._alive)
            self._alive = -1

    # Listing

    def refresh(self, folders: Iterable[str]) -> None:
        """List folders of the lake, and make the working copy show what is there."""
        listed = self._pool.map(lambda prefix: [*self.store.objects(prefix)], prefixes(folders))
        found = dict(itertools.chain.from_iterable(listed))
        with self._lock:
            self.strange.clear()
            for path in [path for path in (self._left | self.known) if path not in found]:
                self._forget(path)
            made: set[str] = set()
            for path, entry in sorted(found.items()):
                if self.known.get(path) != entry and self._is_file(path, found):
                    if path in self.known or self._left.get(path) != entry.stat:
                        self._place_holder(path, entry, made)
                    self.known[path] = entry
            self._left = {}
            self._at_most = self.bound + 1  # contents of an earlier process may be among them

    def _is_file(self, path: str, found: dict[str, StoredObject]) -> bool:
        parts = path.split("/")
        if parts[-1] == "":  # how some tools make folders
            return False
        why = ""
        if any(part in ("", ".", "..") or len(part.encode(errors="replace")) > 240 or "\0" in part for part in parts):
            why = "has no name of a file"
        elif any("/".join(parts[:number]) in found for number in range(1, len(parts))):
            why = "lies below another object"
        if why:
            self.strange.append(f"{self.store.address.url(path)!r} {why}, and is passed over. Rename it")
        return not why

    def _place_holder(self, path: str, entry: StoredObject, made: set[str]) -> None:
        """Put an empty file of an object's size and time in its place."""
        target = self.root / path
        folder = path.rpartition("/")[0]
        if folder not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(folder)
        draft = self._draft()
        with draft.open("wb") as file:
            file.truncate(entry.size)
        self._settle(draft, target, entry)
        self._contents.pop(path, None)

    def _draft(self) -> Path:
        return self.folder / f"draft-{next(self._numbers)}"

    def _settle(self, draft: Path, target: Path, entry: StoredObject) -> None:
        entry.stamp(draft)
        draft.replace(target)

    def _forget(self, path: str) -> None:
        target = self.root / path
        target.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the first folder above that is not empty
            for folder in itertools.takewhile(lambda above: above != self.root, target.parents):
                folder.rmdir()
        self.known.pop(path, None)
        self._contents.pop(path, None)

    # Reading

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """Keep what this thread fetches inside until the end; otherwise it is kept for good."""
        self._mine.pins = pins = Counter[str]()
        try:
            yield
        finally:
            self._mine.pins = None
            with self._lock:
                self._pins -= pins
            self._evict()

    def fetch(self, paths: Iterable[str]) -> None:
        """Fetch the contents of files, several at a time."""
        self._fetch([path for path in dict.fromkeys(paths) if path in self.known], whole=True)

    def fetch_ends(self, paths: Iterable[str]) -> None:
        """Fetch the ends of files, which hold the footers of Parquet files."""
        self._fetch([path for path in dict.fromkeys(paths) if path in self.known], whole=False)

    def _fetch(self, paths: list[str], whole: bool) -> None:
        futures = []
        with self._lock:
            for path in paths:
                self._pin(path)
                there = self._contents.get(path)
                if there == _WHOLE or (there is not None and not whole):
                    continue
                if path not in self._busy:
                    whole_one = whole or self.known[path].size <= TAIL
                    self._busy[path] = self._pool.submit(self._fetch_one, path, self.known[path], whole_one)
                futures.append((path, self._busy[path]))
        for path, future in futures:
            try:
                future.result()
            finally:
                with self._lock:
                    if self._busy.get(path) is future:
                        del self._busy[path]
        if whole and any(self._contents.get(path) != _WHOLE for path, _ in futures):
            self._fetch(paths, whole)  # another thread had fetched an end alone
        with self._lock:  # used last in the order asked for, whichever arrived first
            self._contents |= {path: self._contents.pop(path) for path in paths if path in self._contents}
        self._evict()

    def _pin(self, path: str) -> None:
        pins = getattr(self._mine, "pins", None)
        if pins is None or not pins[path]:
            self._pins[path] += 1
            if pins is not None:
                pins[path] += 1

    def _fetch_one(self, path: str, entry: StoredObject, whole: bool) -> None:
        draft, first = self._draft(), _WHOLE
        try:
            if whole:
                self.store.get(path, draft, entry)
            else:
                content = self.store.tail(path, entry, TAIL)
                if (length := footer_bytes(content)) > len(content):
                    content = self.store.tail(path, entry, length)
                first = entry.size - len(content)
                with draft.open("wb") as file:
                    file.seek(first)
                    file.write(content)
            with self._lock:
                if self.known.get(path) == entry:
                    self._settle(draft, self.root / path, entry)
                    self._contents[path] = first
                    self._at_most += entry.size if whole else 0
        finally:
            draft.unlink(missing_ok=True)

    def first_byte(self, path: str) -> int:
        """Place of the first byte of a file that is there."""
        with self._lock:
            return max(self._contents.get(path, self.known[path].size), 0)

    def _is_whole(self, path: str) -> bool:
        return self._contents.get(path) == _WHOLE and path in self.known

    def _evict(self) -> None:
        """Empty files that are not in use, those used longest ago first, until the rest is within the bound."""
        with self._lock:
            if self._at_most <= self.bound:
                return
            sizes = {path: self.known[path].size for path in self._contents if self._is_whole(path)}
            self._at_most = sum(sizes.values())
            for path, size in sizes.items():
                if self._at_most <= self.bound:
                    return
                if self._pins[path] <= 0:
                    self._place_holder(path, self.known[path], set())
                    self._at_most -= size

    def is_current(self, path: str) -> bool:
        """True if an object is still the one that was listed."""
        return self.store.head(path) == self.known.get(path)

    # Writing

    def check_lease(self) -> None:
        """:class:`StoreError` if a run goes on here that has lost its lock."""
        if self.lease is not None:
            self.lease.check()

    def put(self, source: Path, path: str) -> None:
        """Write a file to the store as the object of a path; it gets the time that goes with it."""
        self.check_lease()
        entry = self.store.put(path, source)
        entry.stamp(source)
        with self._lock:
            self.known[path] = entry
            self._contents[path] = _WHOLE
            self._at_most += entry.size

    def duplicate(self, source: str, target: str) -> None:
        """Copy an object within the store, to a place where none is."""
        self.check_lease()
        entry = self.store.copy(source, target, self.known[source])
        with self._lock:
            self._place_holder(target, entry, set())
            self.known[target] = entry

    def put_all(self, files: Iterable[tuple[Path, str]]) -> None:
        """Write several files, some at a time."""
        for _ in self._pool.map(lambda file: self.put(*file), files):
            pass

    def replace_folder(self, staged: Path, path: str) -> None:
        """Make the files of a staged folder the objects below a path: each by one request, then others are deleted."""
        new = [name for name in list_all(staged) if not is_hidden(name)]
        old = [name for name in list_all(self.root / path) if not is_hidden(name)]
        self.put_all(
            (staged / name, f"{path}/{name}") for name in new if not self._is_same(staged / name, f"{path}/{name}")
        )
        self.remove(f"{path}/{name}" for name in old if name not in new)

    def _is_same(self, file: Path, path: str) -> bool:
        """True for the second name of a file that is published already."""
        stat, entry = file.stat(), self.known.get(path)
        return entry is not None and (stat.st_size, stat.st_mtime_ns) == tuple(entry.stat)

    def remove(self, paths: Iterable[str]) -> None:
        """Delete objects; their files here stay, for the caller."""
        gone = [path for path in paths if path in self.known]
        self.check_lease()
        self.store.delete(gone)
        self._removed(gone)

    def remove_listed(self, path: str) -> bool:
        """Delete an object if it is still the one that was listed; false if it is another."""
        self.check_lease()
        gone = path not in self.known or self.store.delete_if(path, self.known[path])
        self._removed([path] if gone else ())
        return gone

    def _removed(self, paths: Iterable[str]) -> None:
        with self._lock:
            for path in paths:
                self.known.pop(path, None)
                self._contents.pop(path, None)


def _is_staged(path: str) -> bool:
    return path.startswith(f"{STAGING}/")
