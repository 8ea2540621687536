"""Batches: tasks built by one statement."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence

from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Build, Task

MAX_UNITS = 256
MAX_BYTES = 32_000_000
"""Most bytes of source files in a batch, lookback and lookahead aside."""
LARGE = 4_000_000
"""Bytes above which batching a unit gains nothing."""


def batches(tasks: Iterable[Task], picture: Picture, threads: int) -> Iterator[Sequence[Task]]:
    """Group tasks that may run now into batches, enough of them to keep every thread busy."""
    groups: dict[object, list[Task]] = collections.defaultdict(list)
    for task in tasks:
        if isinstance(task, Build) and picture.project.models[task.model].batched and _is_small(task, picture):
            names = tuple(part.name for part in task.slices)
            groups[task.model, task.provenance.edges, names].append(task)
        else:
            yield [task]
    for group in groups.values():
        yield from _cut(sorted(group, key=lambda task: task.unit), threads)


def _is_small(task: Build, picture: Picture) -> bool:
    """True for a unit of few bytes whose files are its own."""
    sources = [picture.source_files[part.ref] for part in task.slices if part.ref in picture.source_files]
    return all(source.keyed for source in sources) and _bytes(task) <= LARGE


def _bytes(task: Task) -> int:
    return sum(file.size for part in task.slices for file in part.files)


def _cut(tasks: Sequence[Task], threads: int) -> Iterator[Sequence[Task]]:
    units = min(MAX_UNITS, -(-len(tasks) // threads))
    size = min(MAX_BYTES, -(-sum(map(_bytes, tasks)) // threads))
    batch: list[Task] = []
    for task in tasks:
        if batch and (len(batch) >= units or sum(map(_bytes, batch)) + _bytes(task) > size):
            yield batch
            batch = []
        batch.append(task)
    yield batch
