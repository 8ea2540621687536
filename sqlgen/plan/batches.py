"""Batches: tasks built by one statement."""

from __future__ import annotations

import collections
from collections.abc import Container, Iterable, Iterator, Sequence

from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Build, Task
from sqlgen.plan.staleness import STATE_MAY_CHANGE

MAX_UNITS = 256
MAX_BYTES = 32_000_000
"""Most bytes of source files in a batch, lookback and lookahead aside."""
LARGE = 4_000_000
"""Bytes above which batching a unit gains nothing."""


Group = Sequence[Task]
"""Tasks that are handed out together: one, or consecutive units of a model with kernels."""


def groups(tasks: Iterable[Task], picture: Picture, apart: Container[str]) -> Iterator[Group]:
    """Tasks in groups; those of the models in ``apart`` each alone."""
    chain: list[Build] = []
    for task in tasks:
        if chain and not _goes_on(chain, task, picture):
            yield chain
            chain = []
        if isinstance(task, Build) and task.model not in apart and _is_chained(task, picture):
            chain.append(task)
        else:
            yield [task]
    if chain:
        yield chain


def _is_chained(task: Build, picture: Picture) -> bool:
    """True for a small unit of a model with kernels that is stale whatever the kernel state before it."""
    model = picture.project.models[task.model]
    return model.batched and model.chain is not None and _is_small(task, picture) and task.reason != STATE_MAY_CHANGE


def _goes_on(chain: Sequence[Build], task: Task, picture: Picture) -> bool:
    last = chain[-1]
    if not isinstance(task, Build) or (task.model, task.previous) != last.id:
        return False
    if not _is_chained(task, picture) or _kind(task) != _kind(last):
        return False
    return len(chain) < MAX_UNITS and sum(map(_bytes, chain)) + _bytes(task) <= MAX_BYTES


def batches(found: Iterable[Group], picture: Picture, threads: int) -> Iterator[Group]:
    """Join groups that may run now into batches, enough of them to keep every thread busy."""
    alike: dict[object, list[Group]] = collections.defaultdict(list)
    for group in found:
        first = group[0]
        if isinstance(first, Build) and picture.project.models[first.model].batched and _is_small(first, picture):
            alike[_kind(first)].append(group)
        else:
            yield group
    for several in alike.values():
        yield from _cut(sorted(several, key=lambda group: group[0].unit), threads)


def _kind(task: Build) -> object:
    """Kind of a unit; those of a batch have the same."""
    return task.model, task.provenance.edges, tuple(part.name for part in task.slices)


def _is_small(task: Build, picture: Picture) -> bool:
    """True for a unit of few bytes whose files are its own."""
    sources = [picture.source_files[part.ref] for part in task.slices if part.ref in picture.source_files]
    return all(source.keyed for source in sources) and _bytes(task) <= LARGE


def _bytes(task: Task) -> int:
    return sum(file.size for part in task.slices for file in part.files)


def _cut(found: Sequence[Group], threads: int) -> Iterator[Group]:
    total = [task for group in found for task in group]
    units = min(MAX_UNITS, -(-len(total) // threads))
    size = min(MAX_BYTES, -(-sum(map(_bytes, total)) // threads))
    batch: list[Task] = []
    for group in found:
        more = sum(map(_bytes, group))
        if batch and (len(batch) + len(group) > units or sum(map(_bytes, batch)) + more > size):
            yield batch
            batch = []
        batch += group
    yield batch
