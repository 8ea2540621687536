"""Compaction of published tables: many small files of a partition into few of a target size."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator, Sequence

from sqlgen.lake.partitions import Partition
from sqlgen.operate.upkeep.held import HeldTable
from sqlgen.operate.upkeep.rewrites import Piece, Rewrite
from sqlgen.published.footers import Stamp

TARGET = 128_000_000
"""Bytes of a file, unless another size is asked for."""
SMALL = 0.5
"""Part of the target size below which a file is small."""

Sized = tuple[str, int]
"""Name and bytes of a file."""


def small(files: Iterable[Sized], target: int) -> list[Sized]:
    """Files that are worth joining with others."""
    return [(name, size) for name, size in files if size < SMALL * target]


def joined(files: Iterable[Sized], target: int) -> Iterator[list[str]]:
    """Names of files that follow each other, in groups of at most the target size."""
    group: list[str] = []
    total = 0
    for name, size in files:
        if group and total + size > target:
            yield group
            group, total = [], 0
        group.append(name)
        total += size
    if group:
        yield group


def compactions(held: HeldTable, units: Iterable[Partition], target: int) -> list[Rewrite]:
    """Units of a table that have files to join, with their new files."""
    found = (_compaction(held, unit, target) for unit in units)
    return [change for change in found if change is not None]


def _compaction(held: HeldTable, unit: Partition, target: int) -> Rewrite | None:
    record = held.table.records[unit]
    files = [(name, stat.size) for name, stat in record.files.items()]
    if held.model.inner_keys:
        folders = collections.Counter(name.rpartition("/")[0] for name, _ in small(files, target))
        worth = any(count > 1 for count in folders.values())
        return Rewrite(unit, (Piece(held.rows(unit)),), record.rows) if worth else None
    if record.mode == "append":
        return _append(held, unit, files, target)
    groups = [*joined(files, target)]
    if len(groups) == len(files):
        return None
    return Rewrite(unit, tuple(Piece(files=tuple(group)) for group in groups), record.rows)


def _append(held: HeldTable, unit: Partition, files: Sequence[Sized], target: int) -> Rewrite | None:
    """Files of several publications: large ones stay, each other says which inputs it holds."""
    record = held.table.records[unit]
    names = {name for name, _ in small(files, target)}
    runs = ([*run] for is_small, run in itertools.groupby(files, lambda file: file[0] in names) if is_small)
    groups = [group for run in runs for group in joined(run, target) if len(group) > 1]
    if not groups:
        return None
    moved = {name for group in groups for name in group}
    retained = tuple(name for name, _ in files if name not in moved)
    if not retained and len(groups) == 1:
        return Rewrite(unit, (Piece(files=tuple(groups[0])),), record.rows)
    pieces = tuple(Piece("", _contributed(held, unit, group), tuple(group)) for group in groups)
    return Rewrite(unit, pieces, record.rows, retained)


def _contributed(held: HeldTable, unit: Partition, names: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    """Input files whose rows are in files of a unit."""
    stamps: list[Stamp] = [held.table.reader.read(held.table.root, f"{unit.path}/{name}")[0] for name in names]
    return tuple(dict.fromkeys(file for stamp in stamps for file in stamp.record.contributed))
