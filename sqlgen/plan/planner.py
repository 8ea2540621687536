"""Which units are stale, and why. Pure over what is listed and what is recorded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.plan import losses
from sqlgen.plan.inventory import Inventory
from sqlgen.plan.model_planner import ModelPlanner
from sqlgen.plan.plan import WHOLE_MODEL, Plan, Selection, Task
from sqlgen.project.project import Project


@dataclass
class Planner(Inventory):
    """Plans one run, and looks again at each task when its turn has come."""

    def plan(self, selection: Selection) -> Plan:
        """The tasks of a run, each after those that it needs."""
        self.selection = selection
        plan = Plan()
        planned: set[tuple[str, Partition]] = set()
        for name in self.project.order:
            records = self.records.get(name, {})
            self.versions[name] = {unit: record.version for unit, record in records.items()}
            if name not in selection.models:
                continue
            refusal = self._refusal(name, selection)
            if refusal:
                plan.refused.append(refusal)
                continue
            for task in ModelPlanner(self, self.project.models[name], selection, plan).tasks():
                if selection.only is not None and task.id not in selection.only:
                    continue
                self.predict(task)
                plan.tasks.append(_with_needs(task, planned, self.project))
                planned.add(task.id)
        return plan

    def _refusal(self, name: str, selection: Selection) -> str:
        """Why a model cannot be planned as things are; empty where it can."""
        if refusal := self.tables[name].refusal():
            return refusal
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
        return losses.refusal(self, model, selection)

    def refreshed(self, task: Task) -> Task:
        """The task as it stands once all that it needs is done; without a reason if nothing is to be done."""
        if task.action == "remove":
            return task
        planner = ModelPlanner(self, self.project.models[task.model], self.selection, Plan())
        because = task.reason if task.id in self.unusable else ""
        return planner.task(task.unit, task.slices, task.edges, because)


def _with_needs(task: Task, planned: set[tuple[str, Partition]], project: Project) -> Task:
    """The task, waiting for those of this plan that build what it reads, or that it ``depends_on``."""
    needs = [
        (part.ref, partition)
        for part in task.slices
        for partition in part.partitions
        if (part.ref, partition) in planned
    ]
    if task.previous is not None and (task.model, task.previous) in planned:
        needs.append((task.model, task.previous))
    needs += [(name, WHOLE_MODEL) for name in project.models[task.model].config.depends_on]
    return dataclasses.replace(task, needs=tuple(dict.fromkeys(needs)))
