"""Planner of one model: its stale units, and the slices of its inputs that each reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from msgspec import Struct, field, structs

from sqlgen.compile.scope import Edge
from sqlgen.lake.partitions import Partition
from sqlgen.plan.picture import LeftOut, Picture
from sqlgen.plan.plan import Build, Plan, Removal, Slice, Task
from sqlgen.plan.publishedunits import Forecast
from sqlgen.plan.selection import Selection
from sqlgen.plan.staleness import STATE_MAY_CHANGE
from sqlgen.plan.units import Units
from sqlgen.project.model import Model, ModelInput
from sqlgen.published.timeline import Timelines


class ModelPlanner(Struct, dict=True):
    """Plans the units of one model."""

    picture: Picture
    forecast: Forecast
    model: Model
    plan: Plan
    waiting: dict[str, list[Partition]] = field(default_factory=dict)
    """Input -> units that wait for it."""
    edited: dict[Partition, Build] = field(default_factory=dict)
    """Edited units, each with the task that is refused because it would discard the edits."""

    def __post_init__(self) -> None:
        self.selection: Selection = self.plan.selection
        self.units = Units(self.picture, self.forecast, self.model, self.selection, self.plan.notes, self.plan.refused)

    def tasks(self) -> Iterator[Task]:
        model = self.model
        index = self.forecast.index(model, model.primary)
        if index and not any(map(self.selection.covers, index)):
            self.plan.notes.append(f"{self.model.name}: none of its {len(index)} partition(s) matches the selection")
        units = self.forecast.units(model)
        timelines = Timelines.of(index)
        before = model.days_before if model.header.own_dates else 0
        edges = {unit: timelines.edges(unit, before, model.days_after) for unit in units}
        left_out = self.picture.left_out.get(model.name, LeftOut())
        self.plan.left_out += left_out.fresh
        nothing_else = not left_out.fresh
        for unit in sorted(units):
            if self.selection.covers(unit) and self.selection.is_due(model.name, unit):
                for task in self._build(unit, edges):
                    nothing_else = False
                    yield task
        nothing_else = nothing_else and not any(name == model.name for name, _ in self.plan.up_to_date)
        self._report_waiting(nothing_else)
        self._report_edited()
        self.plan.unsettled |= {(model.name, unit.symbol) for unit in self.units.remarked}
        yield from self._orphans(units, left_out)

    def _report_waiting(self, nothing_else: bool) -> None:
        """Report units that wait for an input; an error if all of them do."""
        for ref, units in self.waiting.items():
            self.plan.unsettled |= {(self.model.name, unit.symbol) for unit in units}
            text = (
                f"{self.model.name}: {len(units):,} partition(s) wait for {ref}, which has no such partition, the first"
                f" of them {units[0]}"
            )
            (self.plan.missing if nothing_else else self.plan.notes).append(text)

    def _orphans(self, units: Set[Partition], left_out: LeftOut) -> Iterator[Task]:
        records = self.picture.records.get(self.model.name, {})
        keys = self.model.output.partition_by  # units under another partition_by go when the table is rebuilt
        known = [unit for unit, record in sorted(records.items()) if record.keys == keys]
        gone = [unit for unit in known if unit not in units and self.selection.covers(unit)]
        for unit in gone:
            self.plan.gone.setdefault((self.model.name, unit.symbol), []).append(unit)
        gone = sorted([*gone, *left_out.gone])
        if gone and self._source_is_away():
            self.plan.unsettled |= {(self.model.name, unit.symbol) for unit in gone}
            self.plan.notes.append(f"{self.model.name}: the folder of its source is missing; nothing is pruned")
            return
        if self.selection.prune and not self._inputs_are_deleted():
            for unit in gone:
                yield Removal(self.model.name, unit, "all its inputs are gone (--prune)")
        elif gone and not self._inputs_are_deleted():
            self.plan.notes.append(
                f"{self.model.name}: the inputs of {len(gone)} published partition(s) are gone, for example"
                f" {gone[0]}. They stay as they are; --prune removes them"
            )

    def _source_is_away(self) -> bool:
        primary = self.model.primary
        return primary.source is not None and not self.picture.source_files[primary.ref].folder_exists

    def _inputs_are_deleted(self) -> bool:
        """True if files of a source of this model, or of one before it, are deleted after processing."""
        models = self.picture.project.models
        pending, refs = [self.model], set()
        while pending:
            for entry in pending.pop().inputs:
                if entry.source is not None:  # a model may have the name of a source
                    refs.add(entry.ref)
                else:
                    pending.append(models[entry.ref])
        return bool(refs & self.picture.project.deleting)

    def _build(self, unit: Partition, edges: Mapping[Partition, frozenset[Edge]]) -> Iterator[Build]:
        """Task of a unit, if it is not up to date, after the tasks that rebuild the kernel state it needs."""
        slices = self._slices(unit)
        if slices is None:
            return
        task = self.units.build(unit, slices, edges[unit])
        rebuilds = self._state_rebuilds(task, edges) if task.reason and task.previous is not None else []
        mine = (unit,) if task.reason else ()
        if edited := next(filter(self._is_edited, (*mine, *(before for before, _, _ in rebuilds))), None):
            if task.reason == STATE_MAY_CHANGE:  # the next plan will know
                self.plan.unsettled.add((self.model.name, unit.symbol))
            else:
                self.edited.setdefault(edited, task)
            return
        if rebuilds:
            for before, read, because in rebuilds:
                self.plan.up_to_date[self.model.name, unit.symbol] -= 1
                yield self.units.build(before, read, edges[before], because)
            task = self.units.build(unit, slices, edges[unit])
        if task.reason:
            yield task
        elif not task.only_beside:
            self.plan.up_to_date[self.model.name, unit.symbol] += 1

    def _is_edited(self, unit: Partition) -> bool:
        """True for a unit that a build would take edits from: in mode append it adds rows, and they stay."""
        record = self.forecast.record(self.model.name, unit)
        adds = self.model.output.mode == "append" and not self.selection.full_refresh
        return record is not None and bool(record.edited) and not adds and not self.selection.discard_edits

    def _report_edited(self) -> None:
        """Refuse the builds that would discard edits."""
        self.plan.unsettled |= {(self.model.name, unit.symbol) for unit in self.edited}
        if self.edited:
            unit, task = next(iter(self.edited.items()))
            record = self.forecast.record(self.model.name, unit)
            assert record is not None
            why = task.reason if unit == task.unit else f"{task.unit} needs its kernel state"
            self.plan.refused.append(
                f"model '{self.model.name}': a rebuild of {len(self.edited)} partition(s) would discard edits of their"
                f" rows, and is refused, the first of them {unit} ({'; '.join(record.edited)}), stale because: {why}."
                " --discard-edits rebuilds them"
            )

    def _state_rebuilds(
        self, task: Build, edges: Mapping[Partition, frozenset[Edge]]
    ) -> list[tuple[Partition, tuple[Slice, ...], str]]:
        """Units before a task, oldest first, that are up to date except for an unusable kernel state, with the reason.

        A unit that cannot be built is a note.
        """
        found: list[tuple[Partition, tuple[Slice, ...], str]] = []
        while task.previous is not None and (problem := self.forecast.check_state(self.model, task.previous)):
            before = task.previous
            slices = self._slices(before) if before in edges and self._may_build(before) else None
            if slices is None:
                self.plan.unsettled.add((self.model.name, task.unit.symbol))
                self.plan.notes.append(
                    f"{self.model.name}: {task.unit} starts without the kernel state of {before.date}: {problem}"
                )
                break
            found.append((before, slices, f"its kernel state cannot be used: {problem}"))
            task = self.units.build(*found[-1][:2], edges[before], found[-1][2])
        return found[::-1]

    def _may_build(self, unit: Partition) -> bool:
        only = self.selection.only
        return self.selection.covers(unit) and (only is None or (self.model.name, unit) in only)

    def _slices(self, unit: Partition) -> tuple[Slice, ...] | None:
        """Slices that a unit reads; ``None`` if it waits for an input."""
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

    def _slice(self, unit: Partition, entry: ModelInput) -> Slice | None:
        shared = unit.project(self.picture.input_keys(entry))
        index = self.forecast.index(self.model, entry)
        current = tuple(index.get(shared, ()))
        before = after = skipped = tuple[Partition, ...]()
        if "date" in shared:
            back, ahead = range(-self.model.days_before, 0), range(1, self.model.days_after + 1)
            before, after = (
                tuple([p for day in days for p in index.get(shared.shifted(day), ())]) for days in (back, ahead)
            )
        if not (before or current or after if self.model.header.own_dates else current):
            return None
        if entry is self.model.trades and entry is not self.model.primary and "date" in shared:
            skipped = self.forecast.skipped(self.model, unit)
            before = tuple(part for part in before if part not in skipped)
        found = Slice(entry.name, entry.ref, current, before, skipped, after)
        if entry.source is None:
            return found
        source_files = self.picture.source_files[entry.ref].partitions
        files = dict.fromkeys(file for part in found.partitions for file in source_files[part])
        return structs.replace(found, files=tuple(files))
