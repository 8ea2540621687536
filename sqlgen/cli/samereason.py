"""Tasks that fail for the same reason, which is printed once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlgen.lake.partitions import Partition
from sqlgen.run.report import Result

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


def are_all_printed(results: Sequence[Result]) -> bool:
    """True if each of the tasks of one kind was printed."""
    return len({reason_of(result) for result in results}) == len(results) <= _FILES
