"""The last step of a task: staged files become the published ones, and the record of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlgen.lake import swap
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import Stat
from sqlgen.project.model import Model
from sqlgen.published import footers
from sqlgen.published.footers import Footer
from sqlgen.published.manifest import Record
from sqlgen.published.quarantine import Quarantine
from sqlgen.published.states import StateStore
from sqlgen.published.tables import Table


@dataclass(frozen=True)
class Publisher:
    """Publishes the units of one model."""

    model: Model
    root: Path
    """Folder of the table, or the one where it is built aside."""
    table: Table | None
    """Files there; ``None`` where the whole table is built aside."""
    states: StateStore

    def publish(self, record: Record, staged: Path, quarantine: Quarantine, state: bytes | None, trash: Path) -> Record:
        """Publish what is staged of a unit in place of what is there; the complete record.

        Files that stay as they are need not be staged: those of ``record`` are added to, with mode append.
        """
        unit = record.partition
        found = {str(path.relative_to(staged)): footers.read(path) for path in sorted(staged.rglob("*.parquet"))}
        for name in [name for name, footer in found.items() if not footer.rows]:
            (staged / name).unlink()
            del found[name]
        record = _completed(record, found, quarantine.files)
        if self.table is not None:
            self.table.verify(unit)
        if state is not None:
            self.states.write(self.model.name, unit, record.build, state)
        # Before the table: only what a published record says of its quarantine is there for certain.
        quarantine.publish()
        folder = self.root / unit.path
        if not record.files:
            swap.remove(folder, trash, self.root)
        elif self._adds(unit, record.files, found):  # nothing, maybe
            for name in found:
                swap.publish_file(staged / name, folder / name)
        else:
            swap.publish_folder(staged, folder)
        self._published(unit, record)
        return record

    def remove(self, unit: Partition, quarantine: Quarantine, trash: Path) -> None:
        """Take a unit away, with its quarantine and its kernel state."""
        if self.table is not None:
            self.table.verify(unit)
        quarantine.publish()
        swap.remove(self.root / unit.path, trash, self.root)
        self._published(unit, None)

    def _adds(self, unit: Partition, files: Iterable[str], staged: Iterable[str]) -> bool:
        """True if files come one by one, each whole by itself, and none goes."""
        there = set(self.table.files.get(unit, {})) if self.table is not None else set()
        return not there - {*files} and not (self.model.inner_keys and {*staged})

    def _published(self, unit: Partition, record: Record | None) -> None:
        if self.table is not None:
            self.table.replaced(unit, record)
            self.states.keep(self.model.name, unit, record.build if record is not None else "")


def _completed(record: Record, found: dict[str, Footer], quarantine: dict[str, Stat]) -> Record:
    """A record with what is known once the files are written; its own files stay."""
    files = record.files | {name: footer.stat for name, footer in found.items()}
    schemas = {footer.schema for footer in found.values()} | ({record.schema} if record.files else set())
    return dataclasses.replace(
        record,
        rows=record.rows + sum(footer.rows for name, footer in found.items() if name not in record.files),
        bytes=sum(stat.size for stat in files.values()),
        files=files,
        schema=schemas.pop() if len(schemas) == 1 else "",
        quarantine=quarantine,
    )
