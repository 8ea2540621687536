"""Reading of published tables: the files that are there and the journal, then what they say of the units."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlgen.lake import storage
from sqlgen.lake.partitions import Partition, symbol_of
from sqlgen.lake.storage import Stat
from sqlgen.project.project import Project
from sqlgen.published.manifest import Line, Manifest
from sqlgen.published.ownership import Reader
from sqlgen.published.states import StateError, StateStore
from sqlgen.published.tables import Table


@dataclass(frozen=True)
class Unread:
    """Files of one model's table, and the journal of its records, before they are read and compared."""

    files: Mapping[str, Stat]
    quarantine: Mapping[str, Stat]
    journal: Sequence[Line]
    elsewhere: frozenset[Partition] = frozenset()
    """Symbols of other shards, whose files are left out."""

    @cached_property
    def by_symbol(self) -> Mapping[Partition, Sequence[object]]:
        """Files and lines by exchange and symbol; under the empty partition if they are of no one symbol."""
        found: dict[Partition, list[object]] = {}
        for files in (self.files, self.quarantine):
            for path, stat in sorted(files.items()):
                found.setdefault(symbol_of(path), []).append((path, *stat))
        for line in self.journal:
            found.setdefault(symbol_of(f"{line.unit}/"), []).append(line.text)
        return found


def unread(project: Project, manifest: Manifest, name: str) -> Unread:
    """Files and journal of a model's table."""
    model, shard = project.models[name], manifest.shard
    files, quarantine = (storage.list_all(project.lake / path) for path in (model.output.path, model.quarantine))
    if shard is None:
        return Unread(files, quarantine, manifest.lines(name))
    elsewhere = {symbol for path in files if not shard.holds(symbol := symbol_of(path))}
    files, quarantine = (
        {path: stat for path, stat in found.items() if shard.holds(symbol_of(path))} for found in (files, quarantine)
    )
    return Unread(files, quarantine, manifest.lines(name), frozenset(elsewhere))


def read_table(
    project: Project,
    manifest: Manifest,
    states: StateStore,
    name: str,
    there: Unread,
    left_out: Container[Partition] = (),
) -> Table:
    """A model's table in the lake, without the units of some symbols."""
    model = project.models[name]
    owner = os.path.relpath(project.state, project.lake)

    def exists(whose: str, other: str) -> bool:
        return other in project.models if whose == owner else Manifest.below(project.lake / whose).knows(other)

    def state_of(unit: Partition, build: str) -> str:
        with contextlib.suppress(StateError):
            return states.digest(name, unit, build)
        return ""

    def wanted(files: Mapping[str, Stat]) -> Mapping[str, Stat]:
        return {path: stat for path, stat in files.items() if symbol_of(path) not in left_out} if left_out else files

    records = manifest.load(name, (lambda unit: symbol_of(f"{unit}/") not in left_out) if left_out else None)
    reader = Reader(name, owner, exists)
    table = Table(project.lake / model.output.path, project.lake / model.quarantine, reader, records)
    settled = bool(left_out) and any(symbol_of(f"{line.unit}/") in left_out for line in there.journal)
    table.left_out = settled or bool(there.elsewhere)
    table.compare(wanted(there.files), wanted(there.quarantine))
    table.restore_states(state_of)
    return table
