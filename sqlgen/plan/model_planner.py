"""Which units of one model are stale, and what each of them reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from sqlgen.compile.compiler import CompiledModel, digest
from sqlgen.compile.scope import Edge
from sqlgen.lake.deletions import Deletions
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.plan.inventory import Inventory
from sqlgen.plan.plan import Plan, Selection, Slice, Task
from sqlgen.plan.staleness import differences
from sqlgen.project.model import Model, ModelInput
from sqlgen.published.manifest import Record
from sqlgen.published.timeline import Histories


@dataclass
class ModelPlanner:
    """Plans the units of one model."""

    inventory: Inventory
    model: Model
    selection: Selection
    plan: Plan
    waiting: dict[str, list[Partition]] = field(default_factory=dict)
    """Input -> units that cannot be built without it."""

    def tasks(self) -> Iterable[Task]:
        model = self.model
        index = self.inventory.index(model, model.primary)
        if index and not any(map(self.selection.covers, index)):
            self.plan.notes.append(f"{self.model.name}: none of its {len(index)} partition(s) matches the selection")
        units = {*index, *self._beside(index)}
        histories = Histories.of(index)
        before = model.days_before if model.header.own_dates else 0
        edges = {unit: histories.edges(unit, before, model.days_after) for unit in units}
        found = self.plan.fresh
        for unit in sorted(units):
            if self.selection.covers(unit) and self.selection.is_due(model.name, unit):
                for task in self._build(unit, edges):
                    found = -1
                    yield task
        self._tell_waiting(self.plan.fresh == found)
        yield from self._orphans(units)

    def _tell_waiting(self, nothing_else: bool) -> None:
        """Tell which units wait for an input; it is an error where all of them do."""
        for ref, units in self.waiting.items():
            text = (
                f"{self.model.name}: {len(units):,} partition(s) wait for {ref}, which has no such partition, the first"
                f" of them {units[0]}"
            )
            (self.plan.missing if nothing_else else self.plan.notes).append(text)

    def _beside(self, index: Mapping[Partition, object]) -> Iterator[Partition]:
        """Units of dates without a partition, next to one that may hold rows of them."""
        primary = self.model.primary
        filed_by_time = primary.source is not None and not self.inventory.listings[primary.ref].keyed
        if self.model.header.own_dates and not filed_by_time:
            dated = [unit for unit in index if unit.date is not None]
            yield from (unit.shifted(days) for unit in dated for days in (-1, 1))

    def _orphans(self, units: Set[Partition]) -> Iterable[Task]:
        records = self.inventory.records.get(self.model.name, {})
        keys = self.model.output.partition_by  # units of another layout go with the table that is built anew
        known = [unit for unit, record in sorted(records.items()) if record.keys == keys]
        gone = [unit for unit in known if unit not in units and self.selection.covers(unit)]
        if gone and self._source_is_away():
            self.plan.notes.append(f"{self.model.name}: the folder of its source is missing; nothing is pruned")
            return
        if self.selection.prune and not self._inputs_are_deleted():
            for unit in gone:
                yield Task(self.model.name, unit, "remove", "all its inputs are gone (--prune)")
        elif gone and not self._inputs_are_deleted():
            self.plan.notes.append(
                f"{self.model.name}: the inputs of {len(gone)} published partition(s) are gone, for example"
                f" {gone[0]}. They stay as they are; --prune removes them"
            )

    def _source_is_away(self) -> bool:
        primary = self.model.primary
        return primary.source is not None and not self.inventory.listings[primary.ref].folder_exists

    def _inputs_are_deleted(self) -> bool:
        """True if files of a source of this model, or of one before it, are deleted after processing."""
        models = self.inventory.project.models
        pending, refs = [self.model], set()
        while pending:
            for entry in pending.pop().inputs:
                refs.add(entry.ref)
                if entry.ref in models:
                    pending.append(models[entry.ref])
        return bool(refs & self.inventory.project.deleting)

    def _build(self, unit: Partition, edges: Mapping[Partition, frozenset[Edge]]) -> Iterator[Task]:
        """The task of a unit, if it is not up to date, and before it those that mend the kernel state it needs."""
        slices = self._slices(unit)
        if slices is None:
            return
        task = self.task(unit, slices, edges[unit])
        if task.reason and task.previous is not None:
            for before, read, because in self._to_mend(task, edges):
                self.plan.fresh -= 1
                yield self.task(before, read, edges[before], because)
            task = self.task(unit, slices, edges[unit])
        if task.reason:
            yield task
        elif not task.only_beside:
            self.plan.fresh += 1

    def _to_mend(
        self, task: Task, edges: Mapping[Partition, frozenset[Edge]]
    ) -> list[tuple[Partition, tuple[Slice, ...], str]]:
        """Units before a task, oldest first, that are up to date but for their kernel state, and what is wrong with it.

        One that cannot be built is a note.
        """
        found: list[tuple[Partition, tuple[Slice, ...], str]] = []
        while task.previous is not None and (problem := self.inventory.check_state(self.model, task.previous)):
            before = task.previous
            slices = self._slices(before) if before in edges and self._may_build(before) else None
            if slices is None:
                self.plan.notes.append(
                    f"{self.model.name}: {task.unit} starts without the kernel state of {before.date}: {problem}"
                )
                break
            found.append((before, slices, f"its kernel state cannot be used: {problem}"))
            task = self.task(*found[-1][:2], edges[before], found[-1][2])
        return found[::-1]

    def _may_build(self, unit: Partition) -> bool:
        only = self.selection.only
        return self.selection.covers(unit) and (only is None or (self.model.name, unit) in only)

    def _slices(self, unit: Partition) -> tuple[Slice, ...] | None:
        """Slices that a unit reads; ``None`` if it must wait for an input."""
        slices, missing = [], []
        for entry in self.model.inputs:
            found = self._slice(unit, entry)
            if found is None and not entry.spec.optional:
                missing.append(entry.ref)
            elif found is not None:
                slices.append(found)
        for ref in missing:
            self.waiting.setdefault(ref, []).append(unit)
        if missing:
            return None
        return tuple(slices)

    def task(self, unit: Partition, slices: tuple[Slice, ...], edges: frozenset[Edge], because: str = "") -> Task:
        """The task of a unit; without a reason if it is up to date and there is no other one, ``because``."""
        compiled = self.inventory.compiler.compile(self.model.name)
        previous = self.inventory.previous(self.model, unit, self.selection.prune)
        want = self._want(unit, slices, compiled, tuple(sorted(edges & compiled.edges)), previous)
        reason = self._reason(unit, want, slices) or because
        old = self.inventory.records.get(self.model.name, {}).get(unit)
        beside = not slices[0].current and (old is None or not old.rows)
        return Task(self.model.name, unit, "build", reason, slices, want, edges, previous=previous, only_beside=beside)

    def _slice(self, unit: Partition, entry: ModelInput) -> Slice | None:
        shared = unit.project(self.inventory.input_keys(entry))
        index = self.inventory.index(self.model, entry)
        found = Slice(entry.name, entry.ref, tuple(index.get(shared, ())))
        if "date" in shared:
            back, ahead = range(-self.model.days_before, 0), range(1, self.model.days_after + 1)
            before, after = (
                tuple(p for day in days for p in index.get(shared.shifted(day), ())) for days in (back, ahead)
            )
            found = dataclasses.replace(found, before=before, after=after)
        if not (found.partitions if self.model.header.own_dates else found.current):
            return None
        if entry is self.model.trades and entry is not self.model.primary and "date" in shared:
            skipped = self.inventory.skipped(self.model, unit, self.selection.prune)
            before = tuple(part for part in found.before if part not in skipped)
            found = dataclasses.replace(found, before=before, skipped=skipped)
        if entry.source is None:
            return found
        listing = self.inventory.listings[entry.ref].partitions
        files = dict.fromkeys(file for part in found.partitions for file in listing[part])
        return dataclasses.replace(found, files=tuple(files))

    def _want(
        self,
        unit: Partition,
        slices: tuple[Slice, ...],
        compiled: CompiledModel,
        edges: tuple[str, ...],
        previous: Partition | None,
    ) -> Record:
        entries = {entry.name: entry for entry in self.model.inputs}
        inputs = {part.name: self.inventory.digest(entries[part.name], part.current) for part in slices}
        for part in slices:
            for what, partitions in (("before", part.before), ("skipped", part.skipped), ("after", part.after)):
                if partitions:
                    inputs[f"{part.name} {what}"] = self.inventory.digest(entries[part.name], partitions)
        mode = self.model.output.mode
        old = self.inventory.records.get(self.model.name, {}).get(unit)
        contributed: tuple[tuple[str, int, int], ...] = ()
        if mode == "append":
            known = () if old is None or self.selection.full_refresh else old.contributed
            files = new_files(slices[0].files, known, self.inventory.deletions)
            contributed = (*known, *((file.path, file.size, file.mtime_ns) for file in files))
        # What a merge gives depends on all that was merged before.
        merged = old.version if mode == "merge" and old is not None else ""
        state = self.inventory.state_before(self.model, previous)
        return Record(
            unit=unit.path,
            keys=self.model.output.partition_by,
            version=digest(compiled.fingerprint, inputs, edges, contributed, merged or state),
            sql=compiled.fingerprint,
            options=compiled.options_fingerprint,
            kernels=compiled.kernels_fingerprint,
            checks=compiled.checks_fingerprint,
            before=state,
            inputs=inputs,
            edges=edges,
            mode=mode,
            contributed=contributed,
            sources={part.name: [list(file) for file in part.files] for part in slices if part.files},
        )

    def _reason(self, unit: Partition, want: Record, slices: tuple[Slice, ...]) -> str:
        old = self.inventory.records.get(self.model.name, {}).get(unit)
        primary = self.model.primary
        had_none = old is not None and old.inputs.get(primary.name) == self.inventory.digest(primary, ())
        if old is None or (had_none and slices[0].current):
            return "new"
        if self.selection.full_refresh:
            return "--full-refresh"
        if not self.model.config.checkpoint_enabled and self.model.output.mode != "append":
            return "checkpoint_enabled is false"
        table = self.inventory.tables[self.model.name]
        if unit not in table.present:
            there = bool(table.files.get(unit))
            return "published files are not as they were published" if there else "published files are missing"
        if self.model.output.mode == "append":
            return self._append_reason(old, want, slices)
        return differences(self.model, old, want, lambda: self.inventory.tables[self.model.name].sources(unit))

    def _append_reason(self, old: Record, want: Record, slices: tuple[Slice, ...]) -> str:
        if old.sql != want.sql:
            note = (
                f"{self.model.name}: SQL or options changed; appended rows stay as they are (--full-refresh rebuilds)"
            )
            if note not in self.plan.notes:
                self.plan.notes.append(note)
        self._changed_files(old, slices)
        new = len(want.contributed) - len(old.contributed)
        if new:
            return f"{new} new input file(s) ({slices[0].ref})"
        return ""

    def _changed_files(self, old: Record, slices: tuple[Slice, ...]) -> None:
        """Tell of files that changed after they were appended."""
        fresh = {*new_files(slices[0].files, old.contributed, self.inventory.deletions)}
        for file in slices[0].files:
            if tuple(file) in old.contributed or file in fresh:
                continue
            what = f"{self.model.name}: {file.path} changed after it was appended; its rows stay as they were"
            if slices[0].ref in self.inventory.project.deleting:
                self.plan.refused.append(
                    f"{what}, and it is not deleted. If these are other rows, give the file another name"
                )
            else:
                self.plan.notes.append(what)


def new_files(
    files: Iterable[FileInfo], contributed: Iterable[tuple[str, int, int]], deletions: Deletions
) -> list[FileInfo]:
    """Files whose rows are not appended yet.

    A file that changed after it was appended is not new, unless what was appended under its name is known to be deleted
    since: then it is another file.
    """
    done = set(contributed)
    there = {path for path, size, mtime in done if (path, size, mtime) not in deletions}
    return [file for file in files if tuple(file) not in done and file.path not in there]
