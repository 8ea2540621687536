"""State of models: how far their tables reach, what is stale, what is due, what failed last."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from sqlgen.errors import SqlgenError, first_line
from sqlgen.lake.remote import mounts
from sqlgen.plan.selection import Selection
from sqlgen.project.keys import TIMES
from sqlgen.published.tables import Table
from sqlgen.run.engine import Engine
from sqlgen.run.report import DONE

_PER_SECOND = {"milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}
_RUNS = 200
"""Number of runs, the newest ones, in which failures are looked for."""


class LastFailure(Struct, frozen=True):
    """The newest failure of a model."""

    at: str
    run_id: str
    partition: str
    error: str


class ModelStatus(Struct, frozen=True):
    """State of one model."""

    model: str
    enabled: bool
    partitions: int
    """Published partitions with files, as ``lake stats`` counts them."""
    rows: int
    bytes: int
    watermark: dt.datetime | None
    """Time (UTC) of the last published row; the end of the last date where rows have no time."""
    lag: float | None
    """Seconds since then."""
    behind: tuple[str, ...]
    """Exchanges and symbols whose last date is before that of the others."""
    stale: int | None
    """Partitions that a run would build or remove; ``None`` if there can be no plan."""
    schedule: str | None
    due: dt.datetime | None
    """Time of its schedule: the last one if no run has covered it, otherwise the next one."""
    last_run: str | None
    failing: int
    """Partitions whose last task failed, or was skipped for another's failure."""
    last_failure: LastFailure | None


class Status(Struct, frozen=True):
    """State of a project."""

    at: dt.datetime
    models: tuple[ModelStatus, ...]
    problems: tuple[str, ...]
    """Reasons why there can be no plan, of all or some models."""


def status(engine: Engine, models: Sequence[str], now: dt.datetime) -> Status:
    """State of models at a time."""
    tasks: dict[str, int] | None = None
    problems: list[str] = []
    enabled = tuple(name for name in models if engine.project.models[name].config.enabled)
    try:
        plan = engine.plan(Selection(enabled, allow_empty=True))
        tasks = {name: sum(task.model == name for task in plan.shown) for name in enabled}
        problems += plan.refused
    except SqlgenError as error:
        problems.append(str(error))
    reports = [*itertools.islice(engine.reports.newest(), _RUNS)]
    found = [_model(engine, name, now, tasks, [data for data in reports if name in data["models"]]) for name in models]
    return Status(now, tuple(found), tuple(problems))


def _model(
    engine: Engine, name: str, now: dt.datetime, tasks: Mapping[str, int] | None, reports: Sequence[Mapping[str, Any]]
) -> ModelStatus:
    model = engine.project.models[name]
    table = engine.table(name)
    mark = watermark(table)
    newest: dict[str, tuple[str, str | None, str]] = {}
    failure = None
    for data in reports:
        for task in data["tasks"]:
            if task["model"] == name and task["status"] != "pending":
                newest.setdefault(task["partition"], (task["status"], task.get("error"), data["run_id"]))
                if failure is None and task["status"] == "failed":
                    at = data["ended_at"] or data["started_at"]
                    failure = LastFailure(at, data["run_id"], task["partition"], first_line(task["error"] or ""))
    return ModelStatus(
        model=name,
        enabled=model.config.enabled,
        partitions=sum(bool(record.files) for record in table.records.values()),
        rows=sum(record.rows for record in table.records.values()),
        bytes=sum(record.bytes for record in table.records.values()),
        watermark=mark,
        lag=(now - mark).total_seconds() if mark is not None else None,
        behind=_behind(table),
        stale=tasks.get(name) if tasks is not None else None,
        schedule=model.config.schedule,
        due=_due(engine, name, now),
        last_run=reports[0]["started_at"] if reports else None,
        failing=sum(state not in DONE for state, _, _ in newest.values()),
        last_failure=failure,
    )


def _due(engine: Engine, name: str, now: dt.datetime) -> dt.datetime | None:
    schedule = engine.project.models[name].config.schedule
    if schedule is None:
        return None
    from croniter import croniter

    times = croniter(schedule, now)
    found: dt.datetime = times.get_prev(dt.datetime) if engine.is_due(name, now) else times.get_next(dt.datetime)
    return found


def watermark(table: Table) -> dt.datetime | None:
    """Time (UTC) of the last row of a table."""
    with_rows = [unit for unit, record in table.records.items() if record.rows]
    dates = {date for unit in with_rows if (date := unit.date) is not None}
    units = [unit for unit in with_rows if unit.date == max(dates, default=None)]
    paths = (Path(table.root, unit.path, name) for unit in units for name in table.records[unit].files)
    times = [time for path in paths if (time := _last_time(path)) is not None]
    if times or not dates:
        return max(times, default=None)
    return dt.datetime.combine(max(dates) + dt.timedelta(days=1), dt.time(), dt.UTC)


def _last_time(path: Path) -> dt.datetime | None:
    """The latest time in a file, by its statistics."""
    from pyarrow import ArrowInvalid, parquet  # here: a run that tells nobody does not load them

    mounts.fetch_ends([path])
    try:
        footer = parquet.read_metadata(path)
    except (OSError, ArrowInvalid):  # a damaged file is reported by plan
        return None
    names = footer.schema.names
    column = next((names.index(name) for name in TIMES if name in names), None)
    if column is None:
        return None
    kind = json.loads(footer.schema.column(column).logical_type.to_json())
    scale = _PER_SECOND.get(kind.get("timeUnit", ""))
    groups = (footer.row_group(number).column(column).statistics for number in range(footer.num_row_groups))
    found = [group.max_raw for group in groups if group is not None and group.has_min_max]
    if scale is None or not found:
        return None
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=max(found) * 1_000_000 // scale)


def _behind(table: Table) -> tuple[str, ...]:
    last: dict[str, dt.date] = {}
    for unit, record in table.records.items():
        if (date := unit.date) is not None and record.rows:
            last[unit.market] = max(date, last.get(unit.market, date))
    newest = max(last.values(), default=None)
    return tuple(f"{market} {date}" for market, date in sorted(last.items()) if date != newest)


def prometheus(found: Status, last: Mapping[str, Any] | None) -> str:
    """State of models, and of the last run, in Prometheus's text format."""
    lines: list[str] = []

    def metric(name: str, meaning: str, values: Iterable[tuple[str, float | None]]) -> None:
        lines.extend((f"# HELP sqlgen_{name} {meaning}", f"# TYPE sqlgen_{name} gauge"))
        lines.extend(f"sqlgen_{name}{labels} {value!r}" for labels, value in values if value is not None)

    def by_model(name: str, meaning: str, values: Iterable[float | None]) -> None:
        labels = (f'{{model="{one.model}"}}' for one in found.models)  # names of models are identifiers
        metric(name, meaning, zip(labels, values, strict=True))

    models = found.models
    by_model("partitions", "Published partitions", (one.partitions for one in models))
    by_model("rows", "Published rows", (one.rows for one in models))
    by_model("bytes", "Published bytes", (one.bytes for one in models))
    marks = (one.watermark.timestamp() if one.watermark else None for one in models)
    by_model("watermark_timestamp_seconds", "Time of the last published row", marks)
    by_model("stale_partitions", "Partitions that a run would build or remove", (one.stale for one in models))
    by_model("failing_partitions", "Partitions whose last task failed", (one.failing for one in models))
    if last is not None:
        started = dt.datetime.fromisoformat(last["started_at"]).timestamp()
        metric("run_started_timestamp_seconds", "Begin of the last run", [("", started)])
        metric("run_seconds", "Duration of the last run", [("", last["seconds"])])
        failed = float(not last["ok"])
        metric("run_failed", "1 if the last run failed, whole or in part", [("", failed)])
        counts = ((f'{{status="{status}"}}', float(number)) for status, number in last["counts"].items())
        metric("run_tasks", "Tasks of the last run", counts)
    return "\n".join(lines) + "\n"
