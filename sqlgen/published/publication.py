"""The last step of a task: publishing its staged files and recording them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlgen.lake import faults, swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import Stat
from sqlgen.project.model import Model
from sqlgen.published import footers, states
from sqlgen.published.footers import Footer
from sqlgen.published.quarantine import Quarantine
from sqlgen.published.records import Publication, Published
from sqlgen.published.states import StateStore
from sqlgen.published.tables import Table


@dataclass(frozen=True)
class StagedUnit:
    """One staged unit."""

    publication: Publication
    retained: Published | None = None
    """Earlier publication whose files are retained (mode append)."""
    state: bytes | None = None
    """Kernel state after the last row."""


@dataclass(frozen=True)
class Publisher:
    """Publishes the units of one model."""

    model: Model
    root: Path
    """Folder of the table, or the one where it is built aside."""
    table: Table | None
    """Files there; ``None`` where the whole table is built aside."""
    states: StateStore

    def publish(
        self, unit: StagedUnit, folder: Path, quarantine: Quarantine, trash: Path, flushed: bool = False
    ) -> Published:
        """Publish the files of a unit in ``folder`` in place of the old ones; return its record.

        ``flushed``: they and the kernel state are on disk, and the caller flushes the folders that change.
        """
        found = {str(path.relative_to(folder)): footers.read(path) for path in sorted(folder.rglob("*.parquet"))}
        for name in [name for name, footer in found.items() if not footer.rows]:
            (folder / name).unlink()
            del found[name]
        record = _record(unit, found, quarantine.files)
        where = record.partition
        if self.table is not None:
            self.table.verify(where)
        if unit.state is not None and not flushed:
            self.states.write(self.model.name, where, record.build, unit.state)
        faults.point("unit: verified, its kernel state written")
        # Before the table: the quarantine that a published record names must exist.
        quarantine.publish()
        faults.point("unit: its quarantine published")
        target = self.root / where.path
        if not record.files:
            swap.remove(target, trash, self.root)
        elif self._adds(where, record.files, found):  # possibly none
            for name in found:
                swap.publish_file(folder / name, target / name, flushed)
        else:
            swap.publish_folder(folder, target, flushed)
        faults.point("unit: published")
        self._published(where, record)
        return record

    def remove(self, unit: Partition, quarantine: Quarantine, trash: Path) -> None:
        """Remove a unit, with its quarantine and its kernel state."""
        if self.table is not None:
            self.table.verify(unit)
        quarantine.publish()
        faults.point("unit: its quarantine removed")
        swap.remove(self.root / unit.path, trash, self.root)
        self._published(unit, None)

    def _adds(self, unit: Partition, files: Iterable[str], staged: Iterable[str]) -> bool:
        """True if files are only added, each complete by itself."""
        there = set(self.table.files.get(unit, {})) if self.table is not None else set()
        return not there - {*files} and not (self.model.inner_keys and {*staged})

    def _published(self, unit: Partition, record: Published | None) -> None:
        if self.table is not None:
            self.table.replaced(unit, record)
            self.states.keep(self.model.name, unit, record.build if record is not None else "")


def _record(unit: StagedUnit, found: dict[str, Footer], quarantine: dict[str, Stat]) -> Published:
    retained = unit.retained.files if unit.retained is not None else {}
    files = retained | {name: footer.stat for name, footer in found.items()}
    schemas = {footer.schema for footer in found.values()}
    rows = sum(footer.rows for name, footer in found.items() if name not in retained)
    if unit.retained is not None:
        rows += unit.retained.rows
        schemas |= {unit.retained.schema} if retained else set()
    return Published(
        **vars(unit.publication),
        rows=rows,
        bytes=sum(stat.size for stat in files.values()),
        files=files,
        quarantine=quarantine,
        schema=schemas.pop() if len(schemas) == 1 else "",
        state=states.digest(unit.state) if unit.state is not None else "",
    )
