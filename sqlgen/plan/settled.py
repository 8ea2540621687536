"""Symbols that are up to date as a whole: planning leaves them out until anything that it reads of them changes.

The signature of a symbol covers all that planning reads of it for one model: names, sizes and times of its source
files and published files, and its lines in the journals. It is recorded when a run finds nothing to do for the symbol,
or has built all that it found. Journals of the same sizes and times as then are not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, field, structs

from sqlgen import __version__
from sqlgen.compile.compiledmodel import digest
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import SourceLayout
from sqlgen.lake import sealed, storage
from sqlgen.lake.partitions import Partition, by_symbol
from sqlgen.lake.storage import FileInfo, Stat
from sqlgen.plan.picture import LeftOut
from sqlgen.plan.plan import Build, Plan, TaskId
from sqlgen.plan.publishedunits import Facts
from sqlgen.project.project import Project
from sqlgen.published.manifest import Line
from sqlgen.published.tablefiles import OfSymbol, Unread
from sqlgen.sources.sourcefiles import Listing

SHARED = Partition()
"""In the place of a symbol: files and records that are of no one symbol."""

BySymbol = Mapping[Partition, str]
"""Symbol -> digest of what there is of it."""


class Journals(NamedTuple):
    """The journals of one model."""

    files: Mapping[str, Stat]
    digests: BySymbol
    """Symbol -> digest of its lines."""


class UpToDate(Struct, frozen=True):
    """Units of one model and symbol that were up to date, and what they were compared with."""

    signature: str
    fresh: int
    """Units that are up to date."""
    gone: tuple[str, ...]
    """Paths of published units whose inputs are gone."""


class Settled(Struct, dict=True):
    """Record of the symbols that were up to date when they were last planned."""

    project: Project
    path: Path
    listings: Mapping[str, Listing]
    tables: Mapping[str, Unread]
    layouts: dict[str, SourceLayout] = field(default_factory=dict)
    """Source -> layout of its files, as it was when the record was written."""
    _keys: dict[str, str] = field(default_factory=dict)
    """Model -> digest of its configuration and SQL at that time."""
    _entries: dict[str, dict[Partition, UpToDate]] = field(default_factory=dict)
    _read: dict[str, Journals] = field(default_factory=dict)
    """Model -> its journals at that time."""
    _before: dict[str, Mapping[Partition, Sequence[Line]]] = field(default_factory=dict)
    """Model -> lines of its journals before a run that adds to them."""

    def load(self) -> None:
        """Read the record; a missing or damaged one is empty."""
        try:
            data = sealed.loads(sealed.read_text(self.path))
            layouts = {name: _layout(facts) for name, facts in data["layouts"].items()}
            entries = {
                name: {
                    Partition.from_path(path): UpToDate(sign, fresh, tuple(gone))
                    for path, (sign, fresh, gone) in found.items()
                }
                for name, found in data["symbols"].items()
            }
            read = {name: _as_read(*found) for name, found in data["journals"].items()}
            self.layouts, self._keys, self._entries, self._read = layouts, dict(data["keys"]), entries, read
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return

    def left_out(self, models: Sequence[str], compiler: Compiler) -> frozenset[Partition]:
        """Symbols that are up to date for all of these models; none if it takes the others' files to know."""
        mine = {name: self.symbols([name]) for name in models}
        entries = {name: self._entries.get(name, {}) for name in mine}
        if any(entries[name].keys() - symbols for name, symbols in mine.items()):
            return frozenset()
        there = frozenset().union(*mine.values())
        changed = {
            symbol
            for name, symbols in mine.items()
            for symbol in symbols
            if (entry := entries[name].get(symbol)) is None or entry.signature != self._signature(name, symbol)
        }
        if changed == there or (changed and not (SHARED not in there and all(map(self._within_symbols, models)))):
            return frozenset()
        if any(self._keys.get(name) != self._key(name, compiler) for name in mine):  # last, as it compiles the models
            return frozenset()
        return there - changed

    def units(self, models: Iterable[str], left_out: Container[Partition]) -> dict[str, LeftOut]:
        """Published units of the symbols that are left out, by model."""
        found = {}
        for name in models:
            entries = [entry for symbol, entry in self._entries.get(name, {}).items() if symbol in left_out]
            gone = tuple(Partition.from_path(path) for entry in entries for path in entry.gone)
            found[name] = LeftOut(sum(entry.fresh for entry in entries), gone)
        return found

    def note(self, plan: Plan, left_out: Container[Partition]) -> None:
        """Record the symbols for which a plan has found nothing to do and nothing to report."""
        before = (dict(self.layouts), dict(self._keys), dict(self._entries), dict(self._read))
        unsettled = plan.unsettled | {(task.model, task.unit.symbol) for task in plan.tasks}
        unsettled |= {(name, SHARED) for name, _ in unsettled}  # whose files may hold all that there is of a symbol
        for name in plan.selection.models:
            old = self._entries.get(name, {})
            self._keys[name] = self._key(name, plan.picture.compiler)
            self._entries[name] = {
                symbol: old[symbol] if symbol in left_out else self._up_to_date(plan, name, symbol)
                for symbol in self.symbols([name])
                if symbol in left_out or (name, symbol) not in unsettled
            }
        self.layouts |= {name: found.layout for name, found in plan.picture.source_files.items()}
        self._read |= self._journals
        self._before = {name: there.journal for name, there in self.tables.items()} if plan.tasks else {}
        if before != (self.layouts, self._keys, self._entries, self._read):
            self._save()

    def note_built(self, plan: Plan, facts: Facts, done: Container[TaskId]) -> None:
        """Record the symbols that a run has brought up to date, after :meth:`note`; ``done``: tasks that ended well.

        Their signatures are those of what was planned and published, not of what lies there by now: whatever else has
        come meanwhile makes another signature for the next reading.
        """
        failed = {task.unit.symbol for task in plan.tasks if task.id not in done or not facts.record(*task.id)}
        built: dict[TaskId, list[Build]] = {}
        for task in plan.tasks:
            if isinstance(task, Build):
                built.setdefault((task.model, task.unit.symbol), []).append(task)
        followed = {name for name in self.tables if self._follow(name, built, facts)}
        symbols = {symbol for _, symbol in built} - failed
        in_part = {*plan.selection.models} if failed else {name for name, _ in plan.unsettled}
        for name in plan.selection.models:
            there = self.symbols([name])
            mine = symbols if name in in_part else symbols | {SHARED}
            for symbol in mine & there if self._is_followed(name, followed) else ():
                if (name, symbol) not in plan.unsettled:
                    records = ((task, facts.record(*task.id)) for task in built.get((name, symbol), ()))
                    fresh = sum(bool(task.slices[0].current or (record and record.rows)) for task, record in records)
                    self._entries[name][symbol] = self._up_to_date(plan, name, symbol, fresh)
        self._read |= {name: self._journals[name] for name in followed}
        self._save()

    def _up_to_date(self, plan: Plan, name: str, symbol: Partition, built: int = 0) -> UpToDate:
        gone = tuple(unit.path for unit in plan.gone.get((name, symbol), ()))
        return UpToDate(self._signature(name, symbol), plan.up_to_date[name, symbol] + built, gone)

    def _is_followed(self, name: str, followed: Container[str]) -> bool:
        """True for a model of symbols that is built when stale, and of whose tables all changes are known."""
        config = self.project.models[name].config
        known = all(each in followed and self._within_symbols(each) for each in self._tables_of(name))
        return known and config.checkpoint_enabled and config.output.mode == "overwrite"

    def _follow(self, name: str, built: Mapping[TaskId, Sequence[Build]], facts: Facts) -> bool:
        """Bring the digests of a table up to date with a run; False if its journals have changed in another way."""
        there = self.tables[name]
        if (appended := there.appended()) is None:
            return False
        files, lines = appended
        digests = dict(self._journals[name].digests)
        for symbol, added in by_symbol(lines, attrgetter("folder")).items():
            digests[symbol] = _digest(line.text for line in (*self._before[name].get(symbol, ()), *added))
        self._journals[name] = Journals(files, digests)
        for symbol, tasks in ((symbol, tasks) for (model, symbol), tasks in built.items() if model == name):
            records = {task.unit: record for task in tasks if (record := facts.record(*task.id))}
            if records and any(found := there.replaced(symbol, records)):
                self._tables[name][symbol] = _digest(_published(found))
        return True

    def _save(self) -> None:
        names = [name for name in self._entries if name in self.project.models]
        data = {
            "layouts": {name: structs.asdict(layout) | {"twins": []} for name, layout in self.layouts.items()},
            "keys": {name: self._keys[name] for name in names},
            "symbols": {
                name: {symbol.path: [e.signature, e.fresh, e.gone] for symbol, e in self._entries[name].items()}
                for name in names
            },
            "journals": {
                name: [read.files, {symbol.path: found for symbol, found in read.digests.items()}]
                for name, read in self._read.items()
                if name in self.project.models
            },
        }
        storage.replace_cache(self.path, sealed.dumps(data), flush=False)

    def _within_symbols(self, name: str) -> bool:
        """True for a model whose units are each of one symbol."""
        return {"exchange", "symbol"} <= {*self.project.models[name].unit_keys}

    def symbols(self, models: Iterable[str]) -> set[Partition]:
        """Symbols of which there is anything that these models publish or read."""
        return {symbol for name in models for parts in self._parts(name) for symbol in parts}

    def has_read(self, name: str) -> bool:
        """True if the journals of a model are as they were when the record was written: without a fault."""
        return name in self._read and self._read[name].files == self.tables[name].journals

    def has_others(self, name: str, symbols: Set[Partition]) -> bool:
        """True if a model has published units of other symbols than these."""
        return bool((self._tables[name].keys() | self._journals[name].digests.keys()) - symbols)

    def _signature(self, name: str, symbol: Partition) -> str:
        return digest([(parts.get(symbol), parts.get(SHARED)) for parts in self._parts(name)])

    def _parts(self, name: str) -> list[BySymbol]:
        """Digests of a model's table and of its inputs."""
        inputs, tables = self.project.models[name].inputs, self._tables_of(name)
        sources = [self._sources[each.ref] for each in inputs if each.source is not None]
        return [*(self._tables[ref] for ref in tables), *(self._journals[ref].digests for ref in tables), *sources]

    def _tables_of(self, name: str) -> list[str]:
        """A model's own table, and those that it reads."""
        return [name, *(each.ref for each in self.project.models[name].inputs if each.source is None)]

    @cached_property
    def _sources(self) -> Mapping[str, BySymbol]:
        return {
            name: {symbol: _digest(_lines(files)) for symbol, files in listing.by_symbol.items()}
            for name, listing in self.listings.items()
        }

    @cached_property
    def _tables(self) -> Mapping[str, dict[Partition, str]]:
        return {
            name: {symbol: _digest(_published(found)) for symbol, found in there.by_symbol.items()}
            for name, there in self.tables.items()
        }

    @cached_property
    def _journals(self) -> dict[str, Journals]:
        """Model -> its journals: those that were read already are not read again."""
        return {name: self._journals_of(name, there) for name, there in self.tables.items()}

    def _journals_of(self, name: str, there: Unread) -> Journals:
        if self.has_read(name):
            return self._read[name]
        digests = {symbol: _digest(line.text for line in lines) for symbol, lines in there.journal.items()}
        return Journals(there.journals, digests)

    def _key(self, name: str, compiler: Compiler) -> str:
        """Digest of all but the lake that the plan of a model depends on."""
        model = self.project.models[name]
        compiled = compiler.compile(name)
        inputs = [(entry.name, entry.spec, entry.source) for entry in model.inputs]
        before = [self.project.models[entry.ref].config for entry in model.inputs if entry.source is None]
        layouts = [compiler.layouts[entry.ref] for entry in model.inputs if entry.source is not None]
        prints = [compiled.fingerprint, compiled.options_fingerprint, compiled.kernels_fingerprint]
        prints += [compiled.checks_fingerprint, *sorted(compiled.edges)]
        return digest(__version__, prints, model.config, model.reach, model.days_before, inputs, before, layouts)


def _digest(texts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode(errors="surrogatepass"), digest_size=12).hexdigest()


def _lines(files: Iterable[FileInfo]) -> list[str]:
    """A text about each file; no path holds a NUL."""
    return [f"{path}\0{size} {mtime_ns}" for path, size, mtime_ns in files]


def _published(found: OfSymbol) -> list[str]:
    """Texts about the files of a symbol in a table, in an order that does not depend on that of the folders."""
    files, beside = ([f"{path}\0{stat.size} {stat.mtime_ns}" for path, stat in sorted(files)] for files in found)
    return [*files, "", *beside]


def _as_read(files: Mapping[str, Sequence[int]], digests: Mapping[str, str]) -> Journals:
    found = {Partition.from_path(path): text for path, text in digests.items()}
    return Journals({name: Stat(*stat) for name, stat in files.items()}, found)


def _layout(facts: dict[str, Any]) -> SourceLayout:
    return SourceLayout(**facts | {"hive_keys": tuple(facts["hive_keys"]), "twins": frozenset(facts["twins"])})
