"""Reading of the lake for a plan: listings, published tables and records, without the symbols that are up to date."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Container, Iterable, Mapping

from msgspec import Struct, field, structs

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import SourceLayout
from sqlgen.lake.deletions import Deletions
from sqlgen.lake.partitions import Partition
from sqlgen.plan.missing import faults, notes, passed_over
from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Plan, TaskId
from sqlgen.plan.planner import make_plan
from sqlgen.plan.publishedunits import Facts
from sqlgen.plan.selection import Selection, spelled
from sqlgen.plan.settled import Settled
from sqlgen.project.model import Model
from sqlgen.project.project import Project
from sqlgen.published.manifest import Manifest
from sqlgen.published.states import StateStore
from sqlgen.published.tablefiles import Unread, read_table, unread
from sqlgen.published.tables import Table
from sqlgen.sources.rowkeys import RowKeys
from sqlgen.sources.sourcefiles import Listing, SourceFiles, SourceFilesError, assigned, list_folder

FEW = 16
"""Symbols whose lines are looked for in the journals, instead of telling all lines apart."""


class LakeReading(Struct, dict=True):
    """One reading of the lake for the models of a selection."""

    project: Project
    manifest: Manifest
    states: StateStore
    index: RowKeys
    selection: Selection
    types: Mapping[str, Mapping[str, str]]
    """Model -> SQL types of its inner keys."""
    errors: dict[str, str] = field(default_factory=dict)
    """Errors of the sources that cannot be listed."""
    listings: dict[str, Listing] = field(default_factory=dict)
    tables: dict[str, Unread] = field(default_factory=dict)
    left_out: frozenset[Partition] = frozenset()
    """Symbols that are up to date, and are not read further."""
    _last: Compiler | None = None
    _noted: bool = False
    """True if what the last plan has found up to date was recorded."""

    def __post_init__(self) -> None:
        for name in self.project.sources_of(self.selection.models):
            try:
                self.listings[name] = structs.replace(list_folder(self.project, name), shard=self.selection.shard)
            except SourceFilesError as error:
                self.errors[name] = str(error)
        self._refuse()
        inputs = (entry for name in self.selection.models for entry in self.project.models[name].inputs)
        names = {*self.selection.models, *(entry.ref for entry in inputs if entry.source is None)}
        self.tables = {name: unread(self.project, self.manifest, name) for name in names}
        shard = self.selection.shard
        path = self.project.state / ("settled.json" if shard is None else f"settled.{shard.suffix}.json")
        self.settled = Settled(self.project, path, self.listings, self.tables)

    def picture(self) -> Picture:
        """The picture to plan from. Raises :class:`SourceFilesError` if that leaves nothing to run."""
        compiler = self._leave_out() if not self.errors and _is_plain(self.project, self.selection) else None
        source_files = self._source_files()
        if self.left_out and (self.errors or compiler is None or self._is_other(source_files)):
            self.left_out = frozenset()
            self.errors.clear()
            source_files = self._source_files()
        self._refuse()
        if compiler is None or not self.left_out:
            layouts = {name: found.layout for name, found in source_files.items()}
            compiler = self._compiler(layouts, [name for name, found in source_files.items() if found.partitions])
        left_out = self.left_out
        tables = self._tables()
        records = {name: self.manifest.load(name) if self.project.deleting else {} for name in self.project.models}
        records |= {name: table.records for name, table in tables.items()}
        deletions = Deletions(self.project.state / "deleted.ndjson")
        units = self.settled.units(self.selection.models, left_out) if left_out else {}
        elsewhere = {where.symbol for found in source_files.values() for where in found.others}
        elsewhere |= {symbol for there in self.tables.values() for symbol in there.elsewhere}
        return Picture(
            self.project, compiler, source_files, records, tables, self.states, deletions, units, frozenset(elsewhere)
        )

    def plan(self, record: bool) -> Plan:
        """The plan, with what is wrong with the source files, and the notes on them.

        If ``record``, the symbols that it finds up to date are recorded for the next reading.
        """
        picture = self.picture()
        blocked, source_files, selection = self.blocked(), picture.source_files, self.selection
        selection = structs.replace(selection, models=tuple(name for name in selection.models if name not in blocked))
        if any(found.unreadable for found in source_files.values()):  # an unreadable source is not gone
            selection = structs.replace(selection, prune=False)
        if selection.symbols:
            units = itertools.chain(*(found.partitions for found in source_files.values()), *picture.records.values())
            known = {unit["symbol"] for unit in itertools.chain(units, picture.elsewhere) if "symbol" in unit}
            selection = structs.replace(selection, symbols=spelled(selection.symbols, known))
        plan = make_plan(picture, selection)
        if record:
            self._note(plan)
        plan.refused[:0] = [
            *self.errors.values(),
            *itertools.chain.from_iterable(itertools.starmap(faults, source_files.items())),
        ]
        (plan.notes if selection.allow_empty else plan.refused).extend(plan.missing)
        plan.notes[:0] = itertools.chain(
            passed_over(picture, selection),
            itertools.chain.from_iterable(itertools.starmap(notes, source_files.items())),
        )
        return plan

    def _note(self, plan: Plan) -> None:
        """Record the symbols that the plan has found up to date."""
        damaged = self.errors or self.manifest.problems or self.index.problems
        if not damaged and _is_plain(self.project, plan.selection) and _nothing_to_report(plan):
            self.settled.note(plan, self.left_out)
            self._noted = True

    def note_built(self, plan: Plan, facts: Facts, done: Container[TaskId]) -> None:
        """Record the symbols that a run of the last plan has brought up to date; ``done``: tasks that ended well."""
        if self._noted:
            with contextlib.suppress(OSError):  # costs the next plan time
                self.settled.note_built(plan, facts, done)

    def _leave_out(self) -> Compiler | None:
        """Find the symbols to leave out; the compiler by which that was decided, or ``None``."""
        self.settled.load()
        if not self.listings.keys() <= self.settled.layouts.keys():
            return None
        layouts = {name: self.settled.layouts[name] for name in self.listings}
        compiler = self._compiler(layouts, [name for name, listing in self.listings.items() if listing.files])
        self.left_out = self.settled.left_out(self.selection.models, compiler)
        return compiler

    def _is_other(self, source_files: Mapping[str, SourceFiles]) -> bool:
        """True if the files that are read are laid out otherwise than those that are left out."""
        return any(found.layout != self.settled.layouts[name] for name, found in source_files.items())

    def _tables(self) -> dict[str, Table]:
        """Published tables, without the symbols that are left out."""
        if not self.left_out:
            return {name: read_table(self.project, self.states, there) for name, there in self.tables.items()}
        changed = self.settled.symbols(self.selection.models) - self.left_out
        for name, there in self.tables.items():
            if 0 < len(changed) <= FEW and self.settled.has_read(name):
                there.narrow(changed)
        return {
            name: read_table(self.project, self.states, there, changed, self.settled.has_others(name, changed))
            for name, there in self.tables.items()
        }

    def _source_files(self) -> dict[str, SourceFiles]:
        found: dict[str, SourceFiles] = {}
        for name, listing in self.listings.items():
            try:
                layout = self.settled.layouts.get(name) if self.left_out else None
                found[name] = assigned(name, listing, self.index, self.left_out, layout)
            except SourceFilesError as error:
                self.errors[name] = str(error)
        return found

    def _compiler(self, layouts: Mapping[str, SourceLayout], there: Iterable[str]) -> Compiler:
        """Compiler for sources of these layouts, of which those with files are ``there``: the last one if it is so."""
        empty = frozenset(layouts.keys() - set(there))
        if self._last is None or (self._last.layouts, self._last.empty) != (layouts, empty):
            self._last = Compiler(self.project, layouts, empty, self.types)
        return self._last

    def _refuse(self) -> None:
        if self.errors and self.blocked() >= set(self.selection.models):
            raise SourceFilesError("\n".join(self.errors.values()))

    def blocked(self) -> set[str]:
        """Models that depend on a source that cannot be listed."""
        blocked = set(self.errors)
        for name in self.project.order:
            refs = {entry.ref for entry in self.project.models[name].inputs} | self.project.upstream(name)
            if refs & blocked:
                blocked.add(name)
        return blocked - set(self.errors)


def _is_plain(project: Project, selection: Selection) -> bool:
    """True if a plan covers all units of its models, and reads and reports nothing beyond their inputs."""
    part = (
        selection.full_refresh
        or selection.prune
        or selection.discard_edits
        or selection.recent
        or not selection.is_whole_shard
    )
    return not (part or any(_reads_more(project, project.models[name]) for name in selection.models))


def _reads_more(project: Project, model: Model) -> bool:
    """True for inputs that are chosen by symbol or date, or whose files are deleted after processing."""
    specs = [entry.spec for entry in model.inputs]
    chosen = any(spec.exchange or spec.symbol or spec.date_start or spec.date_end for spec in specs)
    return chosen or any(spec.ref in project.deleting for spec in specs)


def _nothing_to_report(plan: Plan) -> bool:
    """True if a plan has no faults of the lake as a whole."""
    files = plan.picture.source_files.values()
    faults = any(found.unassigned or found.left_out or found.unreadable or found.wrong for found in files)
    return not (faults or plan.refused or plan.missing)
