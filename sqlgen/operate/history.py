"""History of runs: their reports, by run and model."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from sqlgen.run.report import DONE, ReportStore


class Totals(Struct, frozen=True):
    """Results of one model's tasks, or of all tasks."""

    tasks: int
    failed: int
    """Tasks that failed."""
    left: int
    """Tasks that were skipped or not reached."""
    rows_in: int
    rows_out: int
    bytes: int
    seconds: float
    """Time of the tasks, which run beside each other."""


class RunSummary(Struct, frozen=True):
    """One run."""

    run_id: str
    started_at: str
    ended_at: str | None
    outcome: str
    """``ok``, ``failed``, or ``not ended``: it runs still, or was killed."""
    seconds: float
    counts: Mapping[str, int]
    """Number of tasks by their status."""
    totals: Totals
    models: Mapping[str, Totals]
    """By model, of those with tasks."""
    errors: tuple[str, ...] = ()
    """Errors of models that could not be planned."""
    failures: tuple[str, ...] = field(default=())
    """Messages of failed tasks, each once."""


def history(reports: ReportStore, models: Collection[str], last: int | None, only_failed: bool) -> list[RunSummary]:
    """The newest runs that had tasks of these models, the newest first."""
    return [*itertools.islice(_summaries(reports, models, only_failed), last)]


def _summaries(reports: ReportStore, models: Collection[str], only_failed: bool) -> Iterator[RunSummary]:
    for data in reports.newest():
        tasks = [task for task in data["tasks"] if task["model"] in models]
        if not tasks and not (data["errors"] and {*data["models"]} & {*models}):
            continue
        found = _summary(data, tasks)
        if found.outcome != "ok" or not only_failed:
            yield found


def _summary(data: Mapping[str, Any], tasks: list[dict[str, Any]]) -> RunSummary:
    names = dict.fromkeys(task["model"] for task in tasks)
    statuses = [task["status"] for task in tasks]
    bad = bool(data["errors"]) or any(status not in DONE for status in statuses)
    return RunSummary(
        run_id=data["run_id"],
        started_at=data["started_at"],
        ended_at=data["ended_at"],
        outcome="not ended" if data["ended_at"] is None else "failed" if bad else "ok",
        seconds=data["seconds"],
        counts={status: statuses.count(status) for status in dict.fromkeys(statuses)},
        totals=totals(tasks),
        models={name: totals([task for task in tasks if task["model"] == name]) for name in names},
        errors=tuple(data["errors"]),
        failures=tuple(dict.fromkeys(task["error"] for task in tasks if task["status"] == "failed")),
    )


def totals(tasks: Collection[Mapping[str, Any]]) -> Totals:
    """Sums over tasks of a report."""
    failed = sum(task["status"] == "failed" for task in tasks)
    sums = {name: sum(task.get(name, 0) for task in tasks) for name in ("rows_in", "rows_out", "bytes")}
    return Totals(
        tasks=len(tasks),
        failed=failed,
        left=sum(task["status"] not in DONE for task in tasks) - failed,
        seconds=round(sum(task.get("seconds", 0.0) for task in tasks), 3),
        **sums,
    )
