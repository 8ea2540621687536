"""Run reports: results per task, stored under the state folder."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field, structs

from sqlgen.errors import UsageError
from sqlgen.lake import sealed, storage
from sqlgen.lake.lock import RUN_ID
from sqlgen.lake.partitions import Partition, Shard
from sqlgen.lake.remote import mounts
from sqlgen.plan.plan import Plan, Task
from sqlgen.plan.selection import Coverage, Selection
from sqlgen.project.rowchecks import CheckCount
from sqlgen.templating.secrets import hidden

Status = Literal["published", "unchanged", "empty", "removed", "failed", "skipped", "pending"]
DONE = frozenset({"published", "unchanged", "empty", "removed"})


class Result(Struct, frozen=True):
    """The outcome of one task."""

    model: str
    partition: str
    """Path of the unit, hive-encoded."""
    status: Status
    reason: str
    rows_in: int = 0
    rows_out: int = 0
    bytes: int = 0
    seconds: float = 0.0
    error: str | None = None
    checks: tuple[CheckCount, ...] = ()
    """Failing rows per check."""
    notes: tuple[str, ...] = ()
    """Notes on the task's rows, also of a task that succeeded."""

    @property
    def ok(self) -> bool:
        return self.status in DONE

    def to_dict(self) -> dict[str, Any]:
        return structs.asdict(self) | {"checks": [structs.asdict(count) for count in self.checks]}

    def is_shown(self, beside: Collection[tuple[str, str]]) -> bool:
        """False for a task of ``beside`` that looked for rows outside of their partition and found none."""
        found_none = self.status in ("empty", "unchanged", "pending")
        return not (found_none and (self.model, self.partition) in beside)


class Report(Struct):
    """One run: its frozen list of tasks and their results."""

    run_id: str
    started_at: str
    tasks: list[Result]
    fresh: int = 0
    notes: list[str] = field(default_factory=list)
    ended_at: str | None = None
    seconds: float = 0.0
    models: tuple[str, ...] = ()
    """Models that were selected."""
    errors: tuple[str, ...] = ()
    """Errors of models that could not be planned."""
    full_refresh: bool = False
    prune: bool = False
    discard_edits: bool = False
    scope: dict[str, Any] | None = None
    """Exchanges, symbols and dates that were selected; empty for a list of partitions."""
    shard: str | None = None

    @classmethod
    def start(cls, plan: Plan, selection: Selection, run_id: str) -> Report:
        pending = [pending_result(task) for task in plan.shown]
        return cls(
            run_id,
            datetime.now(UTC).isoformat(timespec="seconds"),
            pending,
            plan.fresh,
            list(plan.notes),
            models=selection.models,
            errors=tuple(plan.refused),
            full_refresh=selection.full_refresh,
            prune=selection.prune,
            discard_edits=selection.discard_edits,
            scope=_scope(selection),
            shard=str(selection.shard) if selection.shard is not None else None,
        )

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(result.status for result in self.tasks))

    @property
    def ok(self) -> bool:
        return not self.errors and all(result.ok for result in self.tasks)

    def to_dict(self) -> dict[str, Any]:
        data = hidden(structs.asdict(self) | {"tasks": [result.to_dict() for result in self.tasks]})
        totals = {
            name: sum(getattr(result, name) for result in self.tasks) for name in ("rows_in", "rows_out", "bytes")
        }
        return sealed.seal(data | {"counts": self.counts, "totals": totals, "ok": self.ok})


def pending_result(task: Task) -> Result:
    """Result of a task that has not run yet."""
    return Result(task.model, task.unit.path, "pending", task.reason)


class ReportStore:
    """Run reports under ``STATE/runs``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        """Reports that were skipped because they are damaged."""

    def save(self, report: Report) -> Path:
        path = self.folder / f"{report.run_id}.json"
        storage.replace_text(path, sealed.lines(report.to_dict()))
        return path

    def note(self, report: Report, results: Sequence[Result]) -> None:
        """Append results at once, so that a killed run can be retried."""
        lines = [sealed.dumps(hidden(result.to_dict())) + "\n" for result in results]
        path = self.folder / f"{report.run_id}.ndjson"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)

    def finish(self, report: Report) -> None:
        self.save(report)
        (self.folder / f"{report.run_id}.ndjson").unlink(missing_ok=True)

    def last(self, shard: Shard | None = None) -> dict[str, Any]:
        """The newest report of runs of the same shard, with the results that a killed run had recorded.

        :class:`UsageError` if there is none, or a newer one is damaged.
        """
        for path in reversed(self._files()):
            data = _read(path)
            if data is None:
                raise UsageError(
                    f"the report of the newest run, {path}, is damaged: the tasks to retry are unknown. "
                    "Use run without --retry"
                )
            if data.get("shard") == (None if shard is None else str(shard)):
                return _with_noted(data, path)
        raise UsageError(f"there is no earlier run to retry (no report in {self.folder}). Use run without --retry")

    def newest(self) -> Iterator[dict[str, Any]]:
        """All reports, the newest first, with the results that killed runs had recorded; damaged ones are skipped."""
        for path in reversed(self._files()):
            data = _read(path)
            if data is None:
                self._skip(path)
            else:
                yield _with_noted(data, path)

    def remove_old(self, keep: int) -> list[Path]:
        """Remove all reports but the newest ``keep``."""
        old = self._files()[:-keep]
        for path in old:
            mounts.unlink(path)
            path.with_suffix(".ndjson").unlink(missing_ok=True)
        return old

    def _files(self) -> list[Path]:
        """Reports, the oldest first; files of others are none."""
        return sorted(path for path in self.folder.glob("*.json") if RUN_ID.fullmatch(path.stem))

    def _skip(self, path: Path) -> None:
        problem = f"the run report {path} is damaged and is skipped. Remove it"
        if problem not in self.problems:
            self.problems.append(problem)

    def unfinished(self, selection: Selection) -> Selection:
        """Selection of the newest run's failed and pending tasks."""
        last = self.last(selection.shard)
        only = frozenset(
            (task["model"], Partition.from_path(task["partition"]))
            for task in last["tasks"]
            if task["status"] not in DONE
        )
        return structs.replace(
            selection,
            only=only,
            full_refresh=last["full_refresh"],
            prune=last["prune"] or selection.prune,
            discard_edits=last.get("discard_edits", False) or selection.discard_edits,
        )

    def recent(self, model: str, since: datetime) -> tuple[Coverage, ...]:
        """Units of a model that runs started after ``since`` covered."""
        found = []
        for path in reversed(self._files()):
            if path.stem < f"{since.astimezone(UTC):%Y%m%dT%H%M%S}":
                break
            data = _read(path)
            if data is None:
                self._skip(path)
            elif model in data["models"] and data["ended_at"]:
                found.append(_coverage(data, model))
        return tuple(found)


def _read(path: Path) -> dict[str, Any] | None:
    """A report; ``None`` if it is damaged."""
    mounts.fetch([path])
    try:
        data = sealed.loads(sealed.read_text(path))
        for task in data["tasks"]:
            _check(task)
        datetime.fromisoformat(data["started_at"])
        whole = isinstance(data["models"], list) and {"ended_at", "full_refresh", "prune"} <= data.keys()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return data if whole else None


def _with_noted(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """A report with the results that a killed run had recorded."""
    noted = _noted(path.with_suffix(".ndjson"))
    data["tasks"] = [noted.get((task["model"], task["partition"]), task) for task in data["tasks"]]
    return data


def _noted(journal: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Results recorded by a killed run, by model and partition; torn or damaged lines are skipped."""
    noted = {}
    mounts.fetch([journal])
    for line in sealed.read_text(journal, errors="replace").split("\n") if journal.exists() else ():
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            result = sealed.loads(line)
            _check(result)
            noted[result["model"], result["partition"]] = result
    return noted


def _check(task: dict[str, Any]) -> None:
    """Raise an error if this is no result of a task."""
    if not all(isinstance(task[name], str) for name in ("model", "partition", "status")):
        raise TypeError("no result of a task")
    Partition.from_path(task["partition"])


def _coverage(data: dict[str, Any], model: str) -> Coverage:
    mine = {Partition.from_path(task["partition"]): task["status"] for task in data["tasks"] if task["model"] == model}
    done = frozenset(unit for unit, status in mine.items() if status in DONE)
    scope = data.get("scope")
    if scope is None or (data["errors"] and not mine):
        return Coverage(None, done)
    first, last = (date.fromisoformat(scope[key]) if scope[key] else None for key in ("start", "end"))
    shard = Shard.parse(text) if (text := data.get("shard")) is not None else None
    selection = Selection((), tuple(scope["exchanges"]), tuple(scope["symbols"]), first, last, shard=shard)
    return Coverage(selection, done, frozenset(mine) - done)


def _scope(selection: Selection) -> dict[str, Any] | None:
    """Partitions that a run covers; ``None`` for a list of partitions, as of ``--retry``."""
    if selection.only is not None:
        return None
    return {
        "exchanges": list(selection.exchanges),
        "symbols": list(selection.symbols),
        "start": selection.start.isoformat() if selection.start else None,
        "end": selection.end.isoformat() if selection.end else None,
    }
