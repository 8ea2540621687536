"""Earlier publications of units, which ``keep_versions`` keeps: hard links to their files, outside of the table.

A version lies at ``LAKE/.sqlgen/versions/TABLE/UNIT/BUILD.version`` and is whole: it is made beside, and renamed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from sqlgen.lake import faults, sealed, storage
from sqlgen.lake.partitions import Partition
from sqlgen.lake.remote import mounts
from sqlgen.published.records import Published

FOLDER = ".sqlgen/versions"
_SUFFIX, _DRAFT = ".version", ".draft"
_DATA, _QUARANTINE, _STATE, _RECORD = "data", "quarantine", "kernel.state", "record.json"


class Version(Struct, frozen=True):
    """One earlier publication of a unit."""

    folder: Path
    record: Published

    @property
    def data(self) -> Path:
        return self.folder / _DATA

    @property
    def quarantine(self) -> Path:
        return self.folder / _QUARANTINE

    @property
    def state(self) -> bytes | None:
        """The kernel state after its last row."""
        path = self.folder / _STATE
        mounts.fetch([path])
        return sealed.read_bytes(path) if path.exists() else None

    def fetch(self) -> None:
        """Fetch its rows."""
        mounts.fetch(self.data / name for name in self.record.files)

    def remove(self) -> None:
        """Remove it: in one step it is no version any more."""
        faults.point("version: to be removed")
        if mounts.mount_of(self.folder) is not None:
            mounts.remove_folder(self.folder, self.folder / _RECORD)
            return
        left = self.folder.rename(self.folder.with_suffix(_DRAFT))
        faults.point("version: being removed")
        shutil.rmtree(left)


class Versions(Struct, frozen=True):
    """Earlier publications of the units of one table."""

    root: Path
    keep: int
    """Number of versions that are kept of each unit."""

    @classmethod
    def of_table(cls, lake: Path, path: str, keep: int) -> Versions:
        return cls(lake / FOLDER / path, keep)

    def add(self, record: Published, data: Path, quarantine: Path, state: Path, flushed: bool) -> None:
        """Keep a publication whose files lie in ``data`` and ``quarantine``; ``flushed``: the caller flushes them."""
        folder = self.root / record.unit
        draft, version = folder / f"{record.build}{_DRAFT}", folder / f"{record.build}{_SUFFIX}"
        in_store = mounts.mount_of(data) is not None
        if in_store:  # an object is not renamed: the record comes last, and makes it a version
            draft = version
        for left in folder.glob(f"*{_DRAFT}"):  # of a killed run
            shutil.rmtree(left)
        if (version / _RECORD).exists():
            return
        links = [(data / name, draft / _DATA / name) for name in record.files]
        links += [(quarantine / name, draft / _QUARANTINE / name) for name in record.quarantine]
        links += [(state, draft / _STATE)] if state.exists() else []
        for source, target in links:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not mounts.duplicate(source, target):
                storage.link_or_copy(source, target)
        storage.replace_bytes(draft / _RECORD, record.to_json().encode(), flush=False)
        if in_store:
            faults.point("version: to be kept")
            mounts.upload(draft / _RECORD)
            return
        if not flushed:
            storage.sync_tree(draft)
        faults.point("version: to be kept")
        draft.rename(version)
        faults.point("version: kept")

    def of(self, unit: Partition) -> list[Version]:
        """Versions of a unit, the newest first."""
        found = map(_read, _fetched((self.root / unit.path).glob(f"*{_SUFFIX}")))
        return sorted(filter(None, found), key=lambda version: version.record.build, reverse=True)

    def all(self) -> Iterator[Version]:
        """Versions of all units, by unit."""
        for folder in _fetched(self.root.rglob(f"*{_SUFFIX}")):
            if version := _read(folder):
                yield version

    def left(self) -> Iterator[Path]:
        """Folders that are no whole version."""
        yield from self.root.rglob(f"*{_DRAFT}")
        yield from (folder for folder in _fetched(self.root.rglob(f"*{_SUFFIX}")) if _facts(folder) is None)

    def unreadable(self) -> Iterator[Path]:
        """Folders of versions whose record is damaged, or of a later version of sqlgen."""
        yield from (folder for folder in _fetched(self.root.rglob(f"*{_SUFFIX}")) if _read(folder) is None)

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove a folder that is no whole version."""
        mounts.remove_folder(folder, folder / _RECORD)

    def superfluous(self, unit: Partition, current: str) -> list[Version]:
        """Versions of a unit beyond those that are kept; one of the ``current`` build is none of them."""
        found = self.of(unit)
        kept = [version for version in found if version.record.build != current][: self.keep]
        return [version for version in found if version not in kept]

    def trim(self, unit: Partition, current: str) -> None:
        """Remove superfluous versions of a unit."""
        for version in self.superfluous(unit, current):
            version.remove()


def _fetched(folders: Iterable[Path]) -> list[Path]:
    """Folders of versions whose records are there to be read."""
    found = sorted(folders)
    mounts.fetch(folder / _RECORD for folder in found)
    return found


def _facts(folder: Path) -> dict[str, Any] | None:
    """Members of a version's record; ``None`` where there is none, or it is damaged."""
    try:
        return sealed.loads(sealed.read_text(folder / _RECORD))
    except (OSError, ValueError):
        return None


def _read(folder: Path) -> Version | None:
    """A version; ``None`` without a record, or with one of a later version of sqlgen."""
    facts = _facts(folder)
    try:
        return Version(folder, Published.of(facts)) if facts is not None else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
