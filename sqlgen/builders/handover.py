"""Units that are built here and published by another process: they are kept in the staging folder."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field

from sqlgen.lake.storage import Stat, sync_tree
from sqlgen.published.publication import Publisher, StagedUnit, staged_record
from sqlgen.published.quarantine import Quarantine
from sqlgen.published.records import Published


class Handed(Struct, frozen=True):
    """A unit to be published."""

    unit: StagedUnit
    record: Published
    """The record that it will have."""
    folder: Path
    quarantine: Path
    """Folder of its quarantined rows; exists if there are any."""
    quarantined: dict[str, Stat]
    flushed: bool


class Handover(Struct):
    """Units that are kept for the process that publishes."""

    folder: Path
    units: list[Handed] = field(default_factory=list)


class Keeper(Publisher, frozen=True):
    """Keeps the units of one model instead of publishing them."""

    handover: Handover = field(default_factory=lambda: Handover(Path()))

    def publish(
        self, unit: StagedUnit, folder: Path, quarantine: Quarantine, trash: Path, flushed: bool = False
    ) -> Published:
        """Move the files of a unit to where they are kept; return the record that it will have."""
        record = staged_record(unit, folder, quarantine)
        if unit.state is not None and not flushed:
            self.states.write(self.model.name, record.partition, record.build, unit.state)
        kept = self.handover.folder / record.build
        kept.mkdir(parents=True)
        if folder.is_dir():  # a unit of a batch has none if it has no rows
            folder.rename(kept / "unit")
        if quarantine.files:
            quarantine.folder.rename(kept / "quarantine")
        if not flushed:
            sync_tree(kept)
        files = dict(quarantine.files)
        self.handover.units.append(Handed(unit, record, kept / "unit", kept / "quarantine", files, flushed))
        return record
