"""Inputs of a task: their files, and the predicates that select rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import duckdb
from msgspec import Struct

from sqlgen.builders.ownfiles import own_files
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.scope import Scan, Scope
from sqlgen.compile.unitsql import Extent, input_predicate, near, partition_predicate, partitions_predicate, recent
from sqlgen.errors import TaskError
from sqlgen.lake.partitions import span
from sqlgen.lake.remote import mounts
from sqlgen.plan.plan import Build, Slice
from sqlgen.project.model import Model, ModelInput
from sqlgen.published.records import Published, alike, types_of
from sqlgen.sources.schemas import rows_of
from sqlgen.sources.sourcefiles import SourceFiles
from sqlgen.sources.staged import InputStager
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import exact_path


class TaskInputs(Struct, frozen=True):
    """Finds the inputs of one task."""

    workspace: Workspace
    task: Build
    model: Model
    stager: InputStager

    def scope(self) -> Scope | None:
        """Scope of the task's statement; ``None`` if its primary input has no rows."""
        model, task = self.model, self.task
        slices = {part.name: part for part in task.slices}
        extent = self._extent()
        scans = {
            entry.name: self.scan(entry, slices[entry.name], extent) if entry.name in slices else None
            for entry in model.inputs
        }
        if scans[model.primary.name] is None:
            return None
        missing = [entry.ref for entry in model.inputs if scans[entry.name] is None and not entry.spec.optional]
        if missing:
            raise TaskError(
                f"its input {', '.join(missing)} has no rows. Make the input optional, or exclude the partition"
            )
        reads_others = model.header.own_dates or any(part.before or part.after for part in task.slices)
        emit = partition_predicate(task.unit) if reads_others else None
        skipped = slices[model.trades.name].skipped if model.trades and model.trades.name in slices else ()
        emit_trades = _any([emit, *map(partition_predicate, skipped)]) if emit else None
        begins = extent.begin if extent is not None else None
        return Scope(scans, task.edges, task.unit.date, task.unit.symbol, emit, emit_trades, begins)

    def _extent(self) -> Extent | None:
        """Extent of the unit's date, where it reads rows before or after it."""
        model, unit, entry = self.model, self.task.unit, self.model.primary
        beside = any(part.before or part.after for part in self.task.slices)
        scan = self._own_rows() if unit.date is not None and beside and not model.header.own_dates else None
        if scan is None:
            return None
        rows = self.workspace.picture.compiler.input_select(model, entry, scan)
        sql = query("extent", rows=rows, time=model.header.time, date=unit.date)
        try:
            return Extent(*self.stager.connection.execute(sql).fetchall()[0])
        except (duckdb.DataError, duckdb.ProgrammingError):
            return None  # the checks of these rows, which follow, say what is wrong

    def _own_rows(self) -> Scan | None:
        """The files of the primary input in the task's own partitions."""
        slices, primary = self.task.slices, self.model.primary
        if primary.source is not None:
            own = own_files(self.model, slices, self.workspace.picture.source_files)
            parts = (part for entry, part, _ in own if entry is primary)
        else:
            parts = (Slice(part.name, part.ref, part.current) for part in slices if part.name == primary.name)
        part = next(parts, None)
        return self.scan(primary, part) if part is not None else None

    def scan(self, entry: ModelInput, part: Slice, extent: Extent | None = None) -> Scan | None:
        """The files of one input; ``None`` where there are none. ``extent``: that of the unit's date."""
        if entry.source is None:
            published = self._published(entry.ref, part)
            chosen = self._predicate(entry, part, True, extent)
            return dataclasses.replace(published, predicate=chosen) if published.files else None
        source_files = self.workspace.picture.source_files[entry.ref]
        layout = source_files.layout
        form = self.workspace.picture.compiler.raw_form(self.model, entry, layout)
        staged = self.stager.stage(form, layout, part.files)
        self.stager.check_keys(form, part.files)
        if not staged.paths:
            return None
        single = source_files.keyed and len(part.partitions) == 1
        scan = staged.scan(single, self._predicate(entry, part, source_files.keyed, extent))
        dates = span(part.partitions) if entry.source.sessions is not None else None
        one_each = source_files.keyed and _one_each(source_files, part)
        return dataclasses.replace(scan, one_each=one_each, dates=dates)

    def _published(self, model: str, part: Slice) -> Scan:
        """The published files of some partitions."""
        records = self.workspace.facts.records[model]
        found = [records[where] for where in part.partitions if where in records]
        return published_scan(self.workspace, model, found) or Scan(())

    def _predicate(self, entry: ModelInput, part: Slice, keyed: bool, extent: Extent | None) -> str | None:
        model, date = self.model, self.task.unit.date
        terms = []
        if not keyed:
            terms.append(partitions_predicate(part.partitions))
        elif entry.source is None and (chosen := input_predicate(entry)):
            terms.append(chosen)
        # At the end of the timeline all rows of a partition are read: they show how far the data goes.
        edges = self.task.provenance.edges
        if part.before and date is not None and not (model.header.own_dates and "first" in edges):
            terms.append(_any([recent(model, date, extent), *map(partition_predicate, part.skipped)]))
        if part.after and date is not None and "open" not in edges:
            terms.append(near(model, date, extent))
        return " AND ".join(terms) or None


def published_scan(workspace: Workspace, model: str, records: Sequence[Published]) -> Scan | None:
    """The files of published units; ``None`` without any."""
    root = workspace.root(model)
    paths = [root / record.unit / name for record in records for name in record.files]
    mounts.fetch(paths)
    types = types_of(records)
    files = tuple(map(exact_path, paths))
    return Scan(files, single_file=len(files) == 1, types=types, alike=alike(records)) if files else None


def rows_of_first_input(workspace: Workspace, tasks: Sequence[Build], stager: InputStager) -> list[int]:
    """Rows of each task's own partitions of the first input of their model."""
    name, picture = tasks[0].slices[0].ref, workspace.picture
    parts = [task.slices[0].current for task in tasks]
    if name not in picture.source_files:
        records = workspace.facts.records[name]
        return [sum(records[where].rows for where in part if where in records) for part in parts]
    source_files = picture.source_files[name]
    files = [dict.fromkeys(file for where in part for file in source_files.partitions[where]) for part in parts]
    if source_files.layout.format != "parquet":
        decoded = stager.decoded.get(name, {})
        return [sum(decoded[file].lines for file in found if file in decoded) for found in files]
    lake = picture.project.lake
    paths = {file: f"{lake}/{file.path}" for found in files for file in found}
    rows = rows_of(stager.connection, paths.values())
    return [sum(rows.get(paths[file], 0) for file in found) for found in files]


def _one_each(source_files: SourceFiles, part: Slice) -> bool:
    """True if no partition of a slice has more than one file."""
    return all(len(source_files.partitions.get(where, ())) <= 1 for where in part.partitions)


def _any(predicates: Iterable[str]) -> str:
    """A predicate that holds where one of several does."""
    return "(" + " OR ".join(f"({predicate})" for predicate in predicates) + ")"
