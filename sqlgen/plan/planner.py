"""Planning: a function from a picture of the lake and a selection to a plan."""

from __future__ import annotations

from msgspec import structs

from sqlgen.lake.partitions import KEYS
from sqlgen.plan import losses
from sqlgen.plan.missing import missing, partly_missing
from sqlgen.plan.model_planner import ModelPlanner
from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import WHOLE_MODEL, Build, Plan, Task, TaskId
from sqlgen.plan.publishedunits import Forecast
from sqlgen.plan.selection import Selection
from sqlgen.project.project import Project


def make_plan(picture: Picture, selection: Selection) -> Plan:
    """Plan of a run: tasks in dependency order. Reads no files but the kernel states that tasks start from."""
    plan = Plan(picture, selection)
    forecast = Forecast(picture, selection.prune)
    planned: set[TaskId] = set()
    for name in picture.project.order:
        if name not in selection.models:
            continue
        if refusal := _refusal(picture, forecast, name, selection):
            plan.refused.append(refusal)
            continue
        for task in ModelPlanner(picture, forecast, picture.project.models[name], plan).tasks():
            if selection.only is not None and task.id not in selection.only:
                continue
            forecast.predict(task)
            plan.tasks.append(_with_needs(task, planned, picture.project))
            planned.add(task.id)
    plan.timelines, plan.unusable = forecast.timelines, forecast.unusable
    plan.missing[:0] = missing(picture, forecast, selection)
    plan.notes[:0] = partly_missing(picture, forecast, selection)
    return plan


def _refusal(picture: Picture, forecast: Forecast, name: str, selection: Selection) -> str:
    """Reason why a model cannot be planned; empty if it can."""
    if refusal := picture.tables[name].refusal():
        return refusal
    model = picture.project.models[name]
    keys = model.output.partition_by
    if "date" in model.unit_keys and model.unit_keys != KEYS and picture.compiler.compile(name).edges:
        return (
            f"model '{name}': the result of its template depends on where a partition lies in the timeline of its"
            f" symbol, so that partition_by must name {', '.join(KEYS)}, or leave out the date"
        )
    records = picture.records.get(name, {}).values()
    foreign = model.output.mode == "append" and any(record.mode != "append" for record in records)
    if foreign and not selection.full_refresh:
        return (
            f"model '{name}' was published in another mode, and its rows would be appended again."
            f" Rebuild it whole: sqlgen run --select {name} --full-refresh"
        )
    old = {record.keys for record in records} - {keys}
    edited = next((record for record in records if record.edited), None)
    if old and edited is not None and not selection.discard_edits:
        return (
            f"model '{name}' is published by ({', '.join(next(iter(old)))}), and models.yaml now says"
            f" ({', '.join(keys)}). Building it anew would discard edits, for example those of {edited.partition}"
            f" ({'; '.join(edited.edited)}): --discard-edits does that"
        )
    if old and not (selection.full_refresh and selection.is_whole):
        return (
            f"model '{name}' is published by ({', '.join(next(iter(old)))}), and models.yaml now says"
            f" ({', '.join(keys)}). Rebuild it whole, with all its partitions:"
            f" sqlgen run --select {name} --full-refresh"
        )
    return losses.refusal(picture, forecast, model, selection)


def _with_needs(task: Task, planned: set[TaskId], project: Project) -> Task:
    """Task with its ``needs``: tasks of this plan that build its inputs, or that it ``depends_on``."""
    needs: list[TaskId] = []
    if isinstance(task, Build):
        needs += ((part.ref, partition) for part in task.slices for partition in part.partitions)
        if task.previous is not None:
            needs.append((task.model, task.previous))
    needs = [need for need in needs if need in planned]
    needs += [(name, WHOLE_MODEL) for name in project.models[task.model].config.depends_on]
    return structs.replace(task, needs=tuple(dict.fromkeys(needs)))
