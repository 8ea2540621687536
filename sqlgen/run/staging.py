"""Staging of one task, and its tools."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlgen.compile.statements import Target
from sqlgen.lake.reads import Looks
from sqlgen.published.footers import Stamp
from sqlgen.published.manifest import Record
from sqlgen.run.rowchecks import Inspection
from sqlgen.sources.staged import Landing


@dataclass(frozen=True)
class Bench:
    """Tools of one task, as long as it lasts."""

    staged: Path
    """Folder of what it will publish."""
    landing: Landing
    inspection: Inspection
    notes: list[str]
    """For the user, in the order in which they came up; the report keeps them also where the task fails."""
    looks: Looks
    """Source files before they are read."""
    stamp: Stamp
    """For the footers of what is staged."""

    def stamped(self, record: Record) -> Bench:
        """The same for files of another record."""
        return dataclasses.replace(self, stamp=dataclasses.replace(self.stamp, record=record))

    def target(self, stem: str, types: Mapping[str, str]) -> Target:
        """Staged target of a COPY whose files' names begin with ``stem``."""
        record = dataclasses.replace(self.stamp.record, types=dict(types))
        stamp = dataclasses.replace(self.stamp, stem=stem, record=record)
        path = self.staged if self.inspection.model.inner_keys else self.staged / f"{stem}.parquet"
        return Target(str(path), record.partition, stem, stamp.to_json(), types)

    def clear(self) -> None:
        self.landing.clear()
        self.inspection.discard()
        shutil.rmtree(self.staged, ignore_errors=True)


def kept(want: Record, old: Record, build: str) -> Record:
    """A record that begins with the files of an older one."""
    return dataclasses.replace(
        want, files=old.files, rows=old.rows, schema=old.schema, types=old.types, quarantine=old.quarantine, build=build
    )
