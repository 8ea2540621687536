"""Reading of published tables: the files that are there and the journal, then what they say of the units."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence, Set
from functools import cached_property
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from sqlgen.lake import storage
from sqlgen.lake.partitions import Partition, by_symbol, symbol_of
from sqlgen.lake.storage import Stat, is_hidden
from sqlgen.project.project import Project
from sqlgen.published.footers import Stamp
from sqlgen.published.manifest import Line, Manifest, PartOfManifest
from sqlgen.published.ownership import Reader
from sqlgen.published.records import Published
from sqlgen.published.states import StateError, StateStore
from sqlgen.published.tables import Table


class OfSymbol(NamedTuple):
    """Files of one symbol in a model's table."""

    files: Sequence[tuple[str, Stat]]
    quarantine: Sequence[tuple[str, Stat]]


class Unread(Struct, dict=True):
    """Files of one model's table, and the journals of its records, before they are read and compared."""

    name: str
    files: Mapping[str, Stat]
    quarantine: Mapping[str, Stat]
    manifest: Manifest
    journals: Mapping[str, Stat]
    """The files of the journals."""
    elsewhere: frozenset[Partition] = frozenset()
    """Symbols of other shards, whose files are left out."""

    @cached_property
    def by_symbol(self) -> Mapping[Partition, OfSymbol]:
        """Files by exchange and symbol; under the empty partition if they are of no one symbol."""
        files, quarantine = (by_symbol(found.items(), itemgetter(0)) for found in (self.files, self.quarantine))
        return {symbol: OfSymbol(files.get(symbol, ()), quarantine.get(symbol, ())) for symbol in files | quarantine}

    @cached_property
    def journal(self) -> Mapping[Partition, Sequence[Line]]:
        """Lines of the journals by exchange and symbol. To read them takes as long as to list as many files."""
        return by_symbol(self.manifest.lines(self.name), attrgetter("folder"))

    def narrow(self, symbols: Set[Partition]) -> None:
        """Read of the journals what they say of these symbols alone, unless they are to be compacted."""
        part = PartOfManifest(self.manifest, self.name, symbols)
        if not part.may_compact(len(self.files)):
            self.manifest = part

    def appended(self) -> tuple[Mapping[str, Stat], Sequence[Line]] | None:
        """The journals now, and their lines since; ``None`` if they have changed in another way."""
        return self.manifest.appended(self.name, self.journals)

    def replaced(self, symbol: Partition, units: Mapping[Partition, Published]) -> OfSymbol:
        """Files of a symbol once these units of it were published."""
        names, before = {unit.path for unit in units}, self.by_symbol.get(symbol, OfSymbol((), ()))
        depth = len(next(iter(units)).values)

        def stays(path: str) -> bool:
            parts = path.split("/", depth)
            return "/".join(parts[:depth]) not in names or is_hidden(parts[-1])

        files, quarantine = ([pair for pair in found if stays(pair[0])] for found in before)
        for unit, record in units.items():
            files += ((f"{unit.path}/{name}", stat) for name, stat in record.files.items())
            quarantine += ((f"{unit.path}/{name}", stat) for name, stat in record.quarantine.items())
        return OfSymbol(files, quarantine)


def unread(project: Project, manifest: Manifest, name: str) -> Unread:
    """Files and journals of a model's table."""
    model, shard = project.models[name], manifest.shard
    files, quarantine = (storage.list_all(project.lake / path) for path in (model.output.path, model.quarantine))
    if shard is None:
        return Unread(name, files, quarantine, manifest, manifest.versions(name))
    elsewhere = {symbol for path in files if not shard.holds(symbol := symbol_of(path))}
    files, quarantine = (
        {path: stat for path, stat in found.items() if shard.holds(symbol_of(path))} for found in (files, quarantine)
    )
    return Unread(name, files, quarantine, manifest, manifest.versions(name), frozenset(elsewhere))


def _others(project: Project, name: str, owner: str) -> Callable[[Stamp], str]:
    """Models that may have published a file in a table's folder: of this project, and of others that know of it."""
    lake, state = project.lake.resolve(), project.state.resolve()
    root = (project.lake / project.models[name].output.path).resolve()
    around = [folder for folder in root.parents if folder != lake]

    @functools.cache
    def builds(folder: Path, model: str) -> frozenset[str]:
        """Builds of a model in the journals of another state folder."""
        records = Manifest.below(folder).load(model) if folder.resolve() != state else {}
        return frozenset(record.build for record in records.values())

    def find(stamp: Stamp) -> str:
        found = ""
        if stamp.owner != owner and Manifest.below(project.lake / stamp.owner).knows(stamp.model):
            found = stamp.owner
        elif stamp.owner == owner and stamp.model != name and stamp.model in project.models:
            return f"model '{stamp.model}'"
        else:  # a lake in or around this one: its state folder may be called as this one is
            states = (folder / stamp.owner for folder in around)
            found = next((str(each) for each in states if stamp.record.build in builds(each, stamp.model)), "")
        return f"model '{stamp.model}' of the project with the state folder '{found}'" if found else ""

    return find


def read_table(
    project: Project,
    states: StateStore,
    there: Unread,
    changed: Set[Partition] | None = None,
    left_out: bool = False,
) -> Table:
    """A model's table in the lake; its units of some symbols alone if those that have ``changed`` are given.

    ``left_out``: it has units of others.
    """
    name, model = there.name, project.models[there.name]
    owner = os.path.relpath(project.state, project.lake)

    def state_of(unit: Partition, build: str) -> str:
        with contextlib.suppress(StateError):
            return states.digest(name, unit, build)
        return ""

    files, quarantine, units = there.files, there.quarantine, None
    if changed is not None:
        mine = [inside for symbol, inside in there.by_symbol.items() if symbol in changed]
        files = dict(pair for inside in mine for pair in inside.files)
        quarantine = dict(pair for inside in mine for pair in inside.quarantine)
        units = {line.unit for symbol in changed for line in there.journal.get(symbol, ())}
    reader = Reader(name, owner, _others(project, name, owner))
    records = there.manifest.load(name, units)
    table = Table(project.lake / model.output.path, project.lake / model.quarantine, reader, records)
    table.left_out = left_out or bool(there.elsewhere)
    table.compare(files, quarantine)
    table.restore_states(state_of)
    return table
