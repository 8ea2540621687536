"""Tasks that do not succeed for one reason, which is told once."""

from __future__ import annotations

import re
from collections import Counter

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


def times_told(result: Result) -> int:
    """How many tasks that fail for this reason are told: one, or a few where each names a file."""
    return _FILES if result.status == "failed" and kind_of(result)[2] != reason_of(result) else 1


class Told:
    """Reasons for which tasks did not succeed, as often as they were told."""

    def __init__(self) -> None:
        self.times: Counter[Kind] = Counter()

    def is_enough(self, result: Result) -> bool:
        """True for a reason that was told as often as :func:`times_told` says; else it counts as told now."""
        self.times[kind_of(result)] += 1
        return self.times[kind_of(result)] > times_told(result)
