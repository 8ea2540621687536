"""The last step of a task: publishing its staged files and recording them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct, structs

from sqlgen.lake import faults, swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.lake.storage import Stat
from sqlgen.project.model import Model
from sqlgen.published import footers, states
from sqlgen.published.footers import Footer
from sqlgen.published.quarantine import Quarantine
from sqlgen.published.records import Publication, Published
from sqlgen.published.states import StateStore
from sqlgen.published.tables import Table
from sqlgen.published.versions import Versions


class StagedUnit(Struct, frozen=True):
    """One staged unit."""

    publication: Publication
    retained: Published | None = None
    """Earlier publication whose files are retained (mode append)."""
    state: bytes | None = None
    """Kernel state after the last row."""
    footers: Mapping[str, Footer] | None = None
    """Footers of its files, where they are known."""


class Kept(Struct, frozen=True):
    """Quarantine and kernel state of a unit whose rows are written anew."""

    record: Published
    """Publication to which they belong."""
    state: bytes | None = None
    """The kernel state; that of ``record`` if it is not given."""
    quarantine: Quarantine | None = None
    """The quarantine, where that of ``record`` is not published now."""


class Publisher(Struct, frozen=True):
    """Publishes the units of one model."""

    model: Model
    root: Path
    """Folder of the table, or the one where it is built aside."""
    table: Table | None
    """Files there; ``None`` where the whole table is built aside."""
    states: StateStore
    versions: Versions
    """Earlier publications, as far as they are kept."""

    def publish(
        self, unit: StagedUnit, folder: Path, quarantine: Quarantine, trash: Path, flushed: bool = False
    ) -> Published:
        """Publish the files of a unit in ``folder`` in place of the old ones; return its record.

        ``flushed``: they and the kernel state are on disk, and the caller flushes the folders that change.
        """
        found = _staged(folder, unit.footers)
        where = unit.publication.partition
        if self.table is not None:
            self.table.verify(where)
        if unit.state is not None and not flushed:
            self.states.write(self.model.name, where, unit.publication.build, unit.state)
        faults.point("unit: verified, its kernel state written")
        # Before the table: the quarantine that a published record names must exist.
        self._keep_version(where, flushed)
        quarantine.publish()
        faults.point("unit: its quarantine published")
        record = record_of(unit, found, quarantine.files)
        target = self.root / where.path
        if not record.files:
            swap.remove(target, trash, self.root)
        elif self._adds(where, record.files, found, flushed):  # possibly none
            for name in found:
                swap.publish_file(folder / name, target / name, flushed)
        else:
            swap.publish_folder(folder, target, flushed)
        faults.point("unit: published")
        return self._published(where, record)

    def rewrite(self, publication: Publication, kept: Kept, folder: Path, trash: Path) -> Published:
        """Publish other files of a unit, all of them in ``folder``, with a quarantine and kernel state that exist."""
        assert self.table is not None
        where = publication.partition
        found = _footers(folder)
        quarantine = kept.record.quarantine
        record = structs.replace(record_of(StagedUnit(publication), found, quarantine), state=kept.record.state)
        self.table.verify(where)
        if kept.state is not None:
            self.states.write(self.model.name, where, record.build, kept.state)
        else:
            self.states.take_over(self.model.name, where, kept.record.build, record.build)
        faults.point("maintenance: verified, its kernel state written")
        before = self.table.records.get(where)
        if before is None or before.version != record.version:  # the same rows are no other version
            self._keep_version(where)
        if kept.quarantine is not None:
            kept.quarantine.publish()
            faults.point("maintenance: its quarantine published")
        if record.files:
            swap.publish_folder(folder, self.root / where.path)
        else:
            swap.remove(self.root / where.path, trash, self.root)
        faults.point("maintenance: published")
        return self._published(where, record)

    def _keep_version(self, unit: Partition, flushed: bool = False) -> None:
        """Keep the publication that is about to be replaced."""
        record = self.table.records.get(unit) if self.table is not None else None
        if not self.versions.keep or self.table is None or record is None:
            return
        if record.files and unit in self.table.present:
            state = self.states.path(self.model.name, unit, record.build)
            self.versions.add(record, self.root / unit.path, self.table.beside / unit.path, state, flushed)

    def remove(self, unit: Partition, quarantine: Quarantine, trash: Path) -> None:
        """Remove a unit, with its quarantine and its kernel state."""
        if self.table is not None:
            self.table.verify(unit)
        self._keep_version(unit)
        quarantine.publish()
        faults.point("unit: its quarantine removed")
        swap.remove(self.root / unit.path, trash, self.root)
        self._forget(unit)

    def _adds(self, unit: Partition, files: Iterable[str], staged: Iterable[str], flushed: bool) -> bool:
        """True if files are only added to others, each complete by itself."""
        there = set(self.table.files.get(unit, {})) if self.table is not None else set()
        if flushed and not there and {*files} == {*staged} and mount_of(self.root) is None:
            return False  # the staged folder is moved as a whole
        return not there - {*files} and not (self.model.inner_keys and {*staged})

    def _published(self, unit: Partition, record: Published) -> Published:
        """Note a unit that is published; its record, with the files as they are."""
        if mount_of(self.root) is not None:  # the times of its files follow from the objects
            target = self.root / unit.path
            record = structs.replace(record, files={name: Stat.of((target / name).stat()) for name in record.files})
        self._forget(unit, record)
        return record

    def _forget(self, unit: Partition, record: Published | None = None) -> None:
        """Remove what belonged to the publication before; ``record``: that which is there now."""
        if self.table is not None:
            self.table.replaced(unit, record)
            build = record.build if record is not None else ""
            self.states.keep(self.model.name, unit, build)
            if self.versions.keep:
                self.versions.trim(unit, build)


def staged_record(unit: StagedUnit, folder: Path, quarantine: Quarantine) -> Published:
    """The record of a staged unit, as it is once it is published."""
    return record_of(unit, _staged(folder, unit.footers), quarantine.files)


def _staged(folder: Path, known: Mapping[str, Footer] | None) -> dict[str, Footer]:
    """Footers of the staged files of a unit; those without rows are removed."""
    found = dict(known) if known is not None else _footers(folder)
    for name in [name for name, footer in found.items() if not footer.rows]:
        (folder / name).unlink(missing_ok=True)  # a worker may have removed it
        del found[name]
    return found


def _footers(folder: Path) -> dict[str, Footer]:
    return {str(path.relative_to(folder)): footers.of_own(path) for path in sorted(folder.rglob("*.parquet"))}


def record_of(unit: StagedUnit, found: Mapping[str, Footer], quarantine: dict[str, Stat]) -> Published:
    """The record of a unit with these files."""
    retained = unit.retained.files if unit.retained is not None else {}
    files = retained | {name: footer.stat for name, footer in found.items()}
    schemas = {footer.schema for footer in found.values()}
    rows = sum(footer.rows for name, footer in found.items() if name not in retained)
    if unit.retained is not None:
        rows += unit.retained.rows
        schemas |= {unit.retained.schema} if retained else set()
    return Published(
        **structs.asdict(unit.publication),
        rows=rows,
        bytes=sum(stat.size for stat in files.values()),
        files=files,
        quarantine=quarantine,
        schema=schemas.pop() if len(schemas) == 1 else "",
        state=states.digest(unit.state) if unit.state is not None else "",
    )
