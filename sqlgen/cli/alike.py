"""Tasks that do not succeed for one reason, which is told once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlgen.lake.partitions import Partition
from sqlgen.run.report import Result

_PARTITION = re.compile(r"\w+=\S+")
_PATH = re.compile(r"\S*/\S*")
_FILES = 3
"""Files that are told of tasks that fail alike, each with its own."""
Kind = tuple[str, str, str]
"""Model, status and reason of tasks that did not succeed."""


def reason_of(result: Result) -> str:
    """Why a task did not succeed, without the partition."""
    first = (result.error or "").partition("\n")[0]
    if result.status == "failed":
        return first.removeprefix(f"{result.model}: {Partition.from_path(result.partition)}: ")
    return _PARTITION.sub("...", first)


def kind_of(result: Result) -> Kind:
    """Equal for tasks of a model that did not succeed for the same reason, whatever file it was."""
    return result.model, result.status, _PATH.sub("...", reason_of(result))


class Told:
    """Reasons for which tasks did not succeed: each is told once, and those that differ in their file alone, a few."""

    def __init__(self) -> None:
        self.reasons: dict[Kind, set[str]] = {}

    def is_enough(self, result: Result) -> bool:
        """True for a reason that need not be told again; else it counts as told now."""
        told = self.reasons.setdefault(kind_of(result), set())
        if reason_of(result) in told or len(told) == _FILES:
            return True
        told.add(reason_of(result))
        return False


def are_all_told(results: Sequence[Result]) -> bool:
    """True if each of the tasks of one kind was told."""
    return len({reason_of(result) for result in results}) == len(results) <= _FILES
