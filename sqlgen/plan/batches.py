"""Batches: tasks that run together, on inputs that are read once."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Container, Iterable, Iterator, Sequence

from sqlgen.lake.storage import FileInfo
from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Build, Task
from sqlgen.plan.staleness import FULL_REFRESH, STATE_MAY_CHANGE
from sqlgen.plan.units import new_files

MAX_UNITS = 256
MAX_BYTES = 32_000_000
"""Most bytes that one statement reads, lookback and lookahead aside."""
MAX_WRITTEN = 100 * MAX_BYTES
"""Most bytes times columns of the result: rows wait in memory until all of them can be sorted and written."""
OF_MODEL = 0.25
"""Share of the bytes of a model's table that its readers read, as a rule: some of its columns."""
LARGE = 4_000_000
"""Bytes above which batching a unit gains nothing."""
FEW_UNITS, FEW_BYTES = 4, 500_000
"""Units and bytes that one thread builds by one statement in the time that two threads take by one each."""


Group = Sequence[Task]
"""Tasks that are handed out together: one, or consecutive units of a model with kernels."""


def groups(tasks: Iterable[Task], picture: Picture, apart: Container[str]) -> Iterator[Group]:
    """Tasks in groups; those of the models in ``apart`` each alone."""
    chain, read = list[Build](), 0.0
    for task in tasks:
        chained = isinstance(task, Build) and task.model not in apart and _is_chained(task, picture)
        more = _bytes(task, picture) if chained else 0.0
        if chain and not (chained and _goes_on(chain, task, picture) and read + more <= _most(task, picture)):
            yield chain
            chain, read = [], 0.0
        if isinstance(task, Build) and chained:
            chain.append(task)
            read += more
        else:
            yield [task]
    if chain:
        yield chain


def _is_chained(task: Build, picture: Picture) -> bool:
    """True for a small unit of a model with kernels that is stale whatever the kernel state before it."""
    model = picture.project.models[task.model]
    small = is_small(task, picture) and not _shared(task, picture)
    return model.batched and model.pipeline is not None and small and task.reason != STATE_MAY_CHANGE


def _goes_on(chain: Sequence[Build], task: Task, picture: Picture) -> bool:
    last = chain[-1]
    if not isinstance(task, Build) or (task.model, task.previous) != last.id:
        return False
    return _kind(task, picture) == _kind(last, picture) and len(chain) < MAX_UNITS


def batches(found: Iterable[Group], picture: Picture, threads: int) -> Iterator[Group]:
    """Join groups that may run now into batches, enough of them to keep every thread busy.

    Units whose rows are in the same files go together, however large they are, so that these are decoded once.
    """
    alike: dict[object, list[Group]] = collections.defaultdict(list)
    for group in found:
        first = group[0]
        if isinstance(first, Build) and (_shared(first, picture) or _may_join(first, picture)):
            alike[_kind(first, picture)].append(group)
        else:
            yield group
    for several in alike.values():
        several.sort(key=lambda group: (_shared(group[0], picture), group[0].unit))
        yield from _cut(several, picture, threads)


def as_one(tasks: Sequence[Build], picture: Picture) -> bool:
    """True if one statement may build all of these tasks."""
    if len(tasks) > MAX_UNITS or sum(_bytes(task, picture) for task in tasks) > _most(tasks[0], picture):
        return False
    return all(_may_join(task, picture) and _kind(task, picture) == _kind(tasks[0], picture) for task in tasks)


def _may_join(task: Build, picture: Picture) -> bool:
    model = picture.project.models[task.model]
    if model.output.mode != "overwrite" and not task.slices[0].current:
        return False
    return model.batched and is_small(task, picture) and (model.output.mode != "append" or _appends_one(task, picture))


def _appends_one(task: Build, picture: Picture) -> bool:
    """True if the rows of one file are appended: in one statement, a template would see those of several."""
    old = picture.records[task.model].get(task.unit)
    known = () if old is None or task.reason == FULL_REFRESH else old.contributed
    return len(new_files(task.slices[0].files, known, picture.deletions)) == 1


def _kind(task: Build, picture: Picture) -> object:
    """Kind of a unit; those of a batch have the same."""
    old = picture.records[task.model].get(task.unit) if task.provenance.mode == "merge" else None
    columns = old.schema if old is not None and task.reason != FULL_REFRESH else ""  # of rows to merge
    return task.model, task.provenance.edges, tuple(part.name for part in task.slices), columns


def _most(task: Task, picture: Picture) -> float:
    """Most bytes that a batch with a task reads."""
    chosen = picture.project.models[task.model].columns
    columns = len(chosen or picture.compiler.compile(task.model).descriptions)
    return min(MAX_BYTES, MAX_WRITTEN / max(columns, 1))


def is_small(task: Build, picture: Picture) -> bool:
    """True for a task that gains from others beside it in a batch."""
    return _bytes(task, picture) <= LARGE


def _shared(task: Task, picture: Picture) -> tuple[FileInfo, ...]:
    """Files of a task that hold rows of several partitions."""
    sources = ((part, picture.source_files.get(part.ref)) for part in task.slices)
    return tuple(file for part, source in sources if source is not None and not source.keyed for file in part.files)


def _bytes(task: Task, picture: Picture) -> float:
    """Bytes that a task reads; of a file with rows of several partitions, its share."""
    found = 0.0
    for part in task.slices:
        if not part.files:
            records = picture.records.get(part.ref, {})
            found += OF_MODEL * sum(records[where].bytes for where in part.partitions if where in records)
            continue
        source = picture.source_files.get(part.ref)
        for file in part.files:
            found += file.size / (1 if source is None or source.keyed else source.partition_counts[file])
    return found


def _cut(found: Sequence[Group], picture: Picture, threads: int) -> Iterator[Group]:
    """Batches of groups that are sorted by the files that they share: one a thread, more if these would be too large.

    A block belongs to the batch in which its middle lies, so that no batch is left over for what is a little larger.
    """
    total = [task for group in found for task in group]
    bytes_read = sum(_bytes(task, picture) for task in total)
    threads = min(threads, max(-(-len(total) // FEW_UNITS), math.ceil(bytes_read / FEW_BYTES)))
    units = min(MAX_UNITS, -(-len(total) // threads))
    most, share = _most(total[0], picture), bytes_read / threads
    batch, read = list[Task](), 0.0
    for block in _blocks(found, picture, units):
        more = sum(_bytes(task, picture) for task in block)
        if batch and (len(batch) + len(block) > units or read + more > most or read + more / 2 > share):
            yield batch
            batch, read = [], 0.0
        batch += block
        read += more
    yield batch


def _blocks(found: Sequence[Group], picture: Picture, units: int) -> Iterator[list[Task]]:
    """Tasks that stay together: those of a group, or all that share the same files."""
    blocks = [[*block] for _, block in itertools.groupby(found, lambda group: _shared(group[0], picture))]
    for block in blocks:
        if not _shared(block[0][0], picture):
            yield from map(list, block)
            continue
        tasks = [task for group in block for task in group]
        # If all tasks share the same files, every thread reads these files.
        step = units if len(blocks) == 1 and units < MAX_UNITS else len(tasks)
        yield from (tasks[start : start + step] for start in range(0, len(tasks), step))
