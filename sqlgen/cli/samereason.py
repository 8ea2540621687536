"""Partitions, failures and missing values alike, which are printed together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from sqlgen.explore.pages.numbers import count
from sqlgen.lake.partitions import Partition

if TYPE_CHECKING:
    from sqlgen.plan.plan import Task
    from sqlgen.run.report import Result

LISTED = 50
"""Most partitions that are printed one by one."""
_NAMES = re.compile(r"(\d (?:new|gone|changed)) \(.*?\)(?=,|;|$)")
_PARTITION = re.compile(r"\w+=\S+")
_PATH = re.compile(r"\S*/\S*")
_FILES = 3
"""Number of failures printed in full, of tasks that fail alike on different files."""
Kind = tuple[str, str, str]
"""Model, status and reason of tasks that did not succeed."""


def reason_of(result: Result) -> str:
    """Reason of a task's failure, without the partition."""
    first = (result.error or "").partition("\n")[0]
    if result.status == "failed":
        return first.removeprefix(f"{result.model}: {Partition.from_path(result.partition)}: ")
    return _PARTITION.sub("...", first)


def kind_of(result: Result) -> Kind:
    """Key that is equal for tasks of a model that fail for the same reason on different files."""
    return result.model, result.status, _PATH.sub("...", reason_of(result))


def unnamed(reason: str) -> str:
    """A reason without the names of files, which differ from partition to partition."""
    return _NAMES.sub(r"\1", reason)


def span(units: Collection[Partition]) -> str:
    """``"1,240 partitions, 2026-01-01 to 2026-03-31, 12 symbols"``."""
    dates = sorted(date for unit in units if (date := unit.date) is not None)
    symbols = {unit.symbol for unit in units} - {Partition()}
    parts = [f"{len(units):,} partitions" if len(units) > 1 else str(next(iter(units)))]
    if len(units) > 1 and dates:
        parts.append(f"{dates[0]} to {dates[-1]}" if dates[0] < dates[-1] else str(dates[0]))
    if len(units) > 1 and symbols:
        parts.append(f"{len(symbols):,} symbols" if len(symbols) > 1 else next(iter(symbols))["symbol"])
    return ", ".join(parts)


def groups(tasks: Iterable[Task]) -> Iterator[str]:
    """A line for the tasks of a model with the same reason."""
    found: dict[tuple[str, str, str], list[Partition]] = {}
    for task in tasks:
        found.setdefault((task.model, task.action, unnamed(task.reason)), []).append(task.unit)
    for (model, action, reason), units in found.items():
        yield f"{model}: {'remove ' if action == 'remove' else ''}{span(units)}: {reason}"


class PrintedReasons:
    """Reasons printed so far: each once, and of those that differ in their file alone, a few."""

    def __init__(self) -> None:
        self.reasons: dict[Kind, set[str]] = {}

    def is_enough(self, result: Result) -> bool:
        """True for a reason that was printed often enough; otherwise it counts as printed now."""
        printed = self.reasons.setdefault(kind_of(result), set())
        if reason_of(result) in printed or len(printed) == _FILES:
            return True
        printed.add(reason_of(result))
        return False


def same_failures(tasks: Iterable[Result]) -> Iterator[str]:
    """A line for each reason for which several tasks failed, unless all of them were printed."""
    found: dict[Kind, list[Result]] = {}
    for result in tasks:
        if not result.ok:
            found.setdefault(kind_of(result), []).append(result)
    for (model, status, _), results in found.items():
        if not len({reason_of(result) for result in results}) == len(results) <= _FILES:
            text = f"{status}: {model}: {len(results):,} partitions for one reason, the first"
            yield f"{text} {Partition.from_path(results[0].partition)}: {reason_of(results[0])}"


def nulls(tasks: Iterable[Result]) -> Iterator[str]:
    """Lines on the rows that have no value in the columns that a model counts, by reason."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for result in tasks:
        for check in result.checks:
            if check.on_fail == "null":
                found.setdefault((result.model, check.first), Counter())[check.check] += check.rows
    for (model, reason), rows in found.items():
        columns = ", ".join(f"{name} {count(number)}" for name, number in rows.items() if number)
        if columns:
            yield f"NULL: {model}: {reason}: {columns} row(s)"
