"""Which units are stale, and why. Pure over what is listed and what is recorded."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlgen.compiler import EDGES, CompiledModel, Compiler, Edge, digest
from sqlgen.listing import SourceListing
from sqlgen.manifest import Record
from sqlgen.partitions import KEYS, Partition
from sqlgen.plan import WHOLE_MODEL, Plan, Selection, Slice, Task
from sqlgen.project import Model, ModelInput, Project
from sqlgen.storage import FileInfo

SECONDS_A_DAY = 86_400
_EDGE_LOST = {"first": "an earlier partition has come", "open": "a later partition has come"}
_EDGE_WON = {"first": "the earlier partitions are gone", "open": "the later partitions are gone"}


@dataclass
class Planner:
    """Plans one run over what is listed and recorded."""

    project: Project
    compiler: Compiler
    listings: Mapping[str, SourceListing]
    records: dict[str, dict[Partition, Record]]
    """Model -> what is published; a run keeps it up to date."""
    present: Mapping[str, frozenset[Partition]]
    """Model -> its recorded units whose folders are there."""
    details: Callable[[str, Partition], Record | None] = lambda model, unit: None
    """The record that lies beside a unit's data, which names each input file."""

    def __post_init__(self) -> None:
        self._versions: dict[str, dict[Partition, str]] = {}
        self._indexes: dict[tuple[str, str], dict[Partition, list[Partition]]] = {}

    def plan(self, selection: Selection) -> Plan:
        plan = Plan()
        planned: set[tuple[str, Partition]] = set()
        for name in self.project.order:
            records = self.records.get(name, {})
            self._versions[name] = {unit: record.version for unit, record in records.items()}
            if name not in selection.models:
                continue
            refusal = self._refusal(name, selection)
            if refusal:
                plan.refused.append(refusal)
                continue
            for task in _ModelPlanner(self, self.project.models[name], selection, plan).tasks():
                if selection.only is not None and task.id not in selection.only:
                    continue
                self._predict(task)
                plan.tasks.append(_with_needs(task, planned, self.project))
                planned.add(task.id)
        return plan

    def _refusal(self, name: str, selection: Selection) -> str:
        """Why a model cannot be planned as things are; empty where it can."""
        model = self.project.models[name]
        keys = model.output.partition_by
        if "date" in model.unit_keys and model.unit_keys != KEYS and self.compiler.compile(name).edges:
            return (
                f"model '{name}': what its template gives depends on where a partition lies in the history of its"
                f" symbol, so that partition_by must name {', '.join(KEYS)}, or leave out the date"
            )
        records = self.records.get(name, {}).values()
        foreign = model.output.mode == "append" and any(record.mode != "append" for record in records)
        if foreign and not selection.full_refresh:
            return (
                f"model '{name}' was published in another mode, and its rows would be appended again."
                f" Rebuild it whole: sqlgen run --select {name} --full-refresh"
            )
        old = {record.keys for record in records} - {keys}
        if old and not (selection.full_refresh and selection.is_whole):
            return (
                f"model '{name}' is published by ({', '.join(next(iter(old)))}), and models.yaml now says"
                f" ({', '.join(keys)}). Rebuild it whole, with all its partitions:"
                f" sqlgen run --select {name} --full-refresh"
            )
        return ""

    def _predict(self, task: Task) -> None:
        if task.action == "remove":
            self._versions[task.model].pop(task.unit, None)
        elif task.want is not None:
            self._versions[task.model][task.unit] = task.want.version

    def input_keys(self, entry: ModelInput) -> tuple[str, ...]:
        return KEYS if entry.source is not None else self.project.models[entry.ref].unit_keys

    def available(self, entry: ModelInput) -> Iterable[Partition]:
        """Partitions of an input that its spec lets through."""
        found = self.listings[entry.ref].partitions if entry.source is not None else self._versions[entry.ref]
        chosen = Selection(
            (), entry.spec.exchange or (), entry.spec.symbol or (), entry.spec.date_start, entry.spec.date_end
        )
        return (partition for partition in found if chosen.covers(partition))

    def index(self, model: Model, entry: ModelInput) -> dict[Partition, list[Partition]]:
        """Partitions of an input by the keys it shares with the model's units."""
        key = (model.name, entry.name)
        if key not in self._indexes:
            grouped: dict[Partition, list[Partition]] = collections.defaultdict(list)
            for partition in sorted(self.available(entry)):
                grouped[partition.project(model.unit_keys)].append(partition)
            self._indexes[key] = dict(grouped)
        return self._indexes[key]

    def digest(self, entry: ModelInput, partitions: tuple[Partition, ...]) -> str:
        if entry.source is not None:
            listing = self.listings[entry.ref].partitions
            return digest([tuple(file) for partition in partitions for file in listing[partition]])
        versions = self._versions[entry.ref]
        return digest([(partition.path, versions[partition]) for partition in partitions])


@dataclass
class _ModelPlanner:
    planner: Planner
    model: Model
    selection: Selection
    plan: Plan

    def tasks(self) -> Iterable[Task]:
        model = self.model
        compiled = self.planner.compiler.compile(model.name)
        units = self.planner.index(model, model.primary)
        edges = _edges(units)
        if units and not any(map(self.selection.covers, units)):
            self.plan.notes.append(f"{self.model.name}: none of its {len(units)} partition(s) matches the selection")
        for unit in sorted(units):
            if self.selection.covers(unit):
                task = self._build(unit, compiled, edges[unit])
                if task is None:
                    self.plan.fresh += 1
                elif task.reason:
                    yield task
        yield from self._orphans(units)

    def _orphans(self, units: Mapping[Partition, object]) -> Iterable[Task]:
        records = self.planner.records.get(self.model.name, {})
        gone = [unit for unit in sorted(records) if unit not in units and self.selection.covers(unit)]
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
        return primary.source is not None and not self.planner.listings[primary.ref].folder_exists

    def _inputs_are_deleted(self) -> bool:
        """Whether files of a source of this model, or of one before it, are deleted after processing."""
        models = self.planner.project.models
        doomed = {
            entry.ref for model in models.values() if model.config.delete_after_processing for entry in model.inputs
        }
        pending, refs = [self.model], set()
        while pending:
            for entry in pending.pop().inputs:
                refs.add(entry.ref)
                if entry.ref in models:
                    pending.append(models[entry.ref])
        return bool(refs & doomed)

    def _build(self, unit: Partition, compiled: CompiledModel, edges: frozenset[Edge]) -> Task | None:
        """The task of a unit; ``None`` if it is up to date; a task without reason if it must wait."""
        slices, missing = [], []
        for entry in self.model.inputs:
            found = self._slice(unit, entry)
            if found is None and not entry.spec.optional:
                missing.append(entry.ref)
            elif found is not None:
                slices.append(found)
        name = self.model.name
        if missing:
            self.plan.notes.append(f"{name}: {unit} waits for {', '.join(missing)}, which has no such partition")
            return Task(name, unit, "build", "")
        want = self._want(unit, slices, compiled, tuple(sorted(edges & compiled.edges)))
        reason = self._reason(unit, want, slices)
        return Task(name, unit, "build", reason, tuple(slices), want, edges) if reason else None

    def _slice(self, unit: Partition, entry: ModelInput) -> Slice | None:
        shared = unit.project(self.planner.input_keys(entry))
        index = self.planner.index(self.model, entry)
        current = tuple(index.get(shared, ()))
        if not current:
            return None
        before: tuple[Partition, ...] = ()
        if self.model.lookback > 0 and "date" in shared:
            days = math.ceil(self.model.lookback / SECONDS_A_DAY)
            before = tuple(part for back in range(days, 0, -1) for part in index.get(shared.shifted(-back), ()))
        files: tuple[FileInfo, ...] = ()
        if entry.source is not None:
            listing = self.planner.listings[entry.ref].partitions
            files = tuple(dict.fromkeys(file for part in (*before, *current) for file in listing[part]))
        return Slice(entry.name, entry.ref, current, before, files)

    def _want(self, unit: Partition, slices: list[Slice], compiled: CompiledModel, edges: tuple[str, ...]) -> Record:
        entries = {entry.name: entry for entry in self.model.inputs}
        inputs = {part.name: self.planner.digest(entries[part.name], part.current) for part in slices}
        inputs |= {
            f"{part.name} before": self.planner.digest(entries[part.name], part.before)
            for part in slices
            if part.before
        }
        mode = self.model.output.mode
        old = self.planner.records.get(self.model.name, {}).get(unit)
        contributed: tuple[tuple[str, int, int], ...] = ()
        if mode == "append":
            known = () if old is None or self.selection.full_refresh else old.contributed
            files = new_files(slices[0].files, known, self.model.config.delete_after_processing)
            contributed = (*known, *((file.path, file.size, file.mtime_ns) for file in files))
        # What a merge gives depends on all that was merged before.
        before = old.version if mode == "merge" and old is not None else ""
        return Record(
            unit=unit.path,
            keys=self.model.output.partition_by,
            version=digest(compiled.fingerprint, inputs, edges, contributed, before),
            sql=compiled.fingerprint,
            options=compiled.options_fingerprint,
            inputs=inputs,
            edges=edges,
            mode=mode,
            contributed=contributed,
            sources={part.name: [list(file) for file in part.files] for part in slices if part.files},
        )

    def _reason(self, unit: Partition, want: Record, slices: list[Slice]) -> str:
        old = self.planner.records.get(self.model.name, {}).get(unit)
        if old is None:
            return "new"
        if self.selection.full_refresh:
            return "--full-refresh"
        if not self.model.config.checkpoint_enabled and self.model.output.mode != "append":
            return "checkpoint_enabled is false"
        if old.files and unit not in self.planner.present.get(self.model.name, frozenset()):
            return "published files are missing"
        if self.model.output.mode == "append":
            return self._append_reason(unit, old, want, slices)
        reasons = []
        if old.options != want.options:
            reasons.append("options changed")
        elif old.sql != want.sql:
            reasons.append("SQL changed")
        changed = [name for name in want.inputs | old.inputs if old.inputs.get(name) != want.inputs.get(name)]
        reasons += [self._input_reason(unit, name, want) for name in changed]
        if old.sql == want.sql:
            reasons += [reason for edge, reason in _EDGE_LOST.items() if edge in {*old.edges} - {*want.edges}]
            reasons += [reason for edge, reason in _EDGE_WON.items() if edge in {*want.edges} - {*old.edges}]
        return "; ".join(reasons)

    def _input_reason(self, unit: Partition, name: str, want: Record) -> str:
        entry = next((entry for entry in self.model.inputs if entry.name == name.removesuffix(" before")), None)
        if entry is None:
            return f"input {name} is no longer there"
        when = " (the day before)" if name != entry.name else ""
        if entry.source is None:
            return f"{entry.ref} changed{when}"
        old = self.planner.details(self.model.name, unit)
        if old is None or when:
            return f"files of {entry.ref} changed{when}"
        return f"{entry.ref}: {_file_changes(old.sources.get(name, []), want.sources.get(name, []))}"

    def _append_reason(self, unit: Partition, old: Record, want: Record, slices: list[Slice]) -> str:
        if old.sql != want.sql:
            note = (
                f"{self.model.name}: SQL or options changed; appended rows stay as they are (--full-refresh rebuilds)"
            )
            if note not in self.plan.notes:
                self.plan.notes.append(note)
        new = len(want.contributed) - len(old.contributed)
        if new:
            return f"{new} new input file(s) ({slices[0].ref})"
        self.plan.notes += [
            f"{self.model.name}: {file.path} changed after it was appended; its rows stay as they were"
            for file in slices[0].files
            if tuple(file) not in old.contributed
        ]
        return ""


def _edges(units: Iterable[Partition]) -> dict[Partition, frozenset[Edge]]:
    """Which units are the first or the last of their (exchange, symbol)."""
    histories: dict[Partition, list[Partition]] = collections.defaultdict(list)
    for unit in sorted(units):
        histories[unit.project(("exchange", "symbol"))].append(unit)
    found: dict[Partition, frozenset[Edge]] = {}
    for history in histories.values():
        for at, unit in enumerate(history):
            held: dict[Edge, bool] = {"first": at == 0, "open": at == len(history) - 1}
            found[unit] = frozenset(edge for edge in EDGES if held[edge])
    return found


def new_files(
    files: Iterable[FileInfo], contributed: Iterable[tuple[str, int, int]], names_come_again: bool
) -> list[FileInfo]:
    """Files whose rows are not appended yet.

    A file that changed after it was appended is not new, unless the files are deleted after processing: then it
    is another file under the same name.
    """
    done = set(contributed)
    paths = set() if names_come_again else {path for path, _, _ in done}
    return [file for file in files if tuple(file) not in done and file.path not in paths]


def _file_changes(old: Iterable[Sequence[object]], new: Iterable[Sequence[object]]) -> str:
    """``"1 new file (late.parquet), 2 changed"``."""
    before = {str(path): rest for path, *rest in old}
    after = {str(path): rest for path, *rest in new}
    kinds = {
        "new": sorted(after.keys() - before.keys()),
        "gone": sorted(before.keys() - after.keys()),
        "changed": sorted(path for path in after.keys() & before.keys() if after[path] != before[path]),
    }
    parts = [f"{len(paths)} {kind} ({paths[0].rpartition('/')[2]})" for kind, paths in kinds.items() if paths]
    return "files " + ", ".join(parts)


def _with_needs(task: Task, planned: set[tuple[str, Partition]], project: Project) -> Task:
    """The task, waiting for those of this plan that build what it reads, or that it ``depends_on``."""
    needs = [
        (part.ref, partition)
        for part in task.slices
        for partition in part.partitions
        if (part.ref, partition) in planned
    ]
    needs += [(name, WHOLE_MODEL) for name in project.models[task.model].config.depends_on]
    return dataclasses.replace(task, needs=tuple(dict.fromkeys(needs)))
