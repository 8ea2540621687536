"""Removal of what nobody needs any more: superfluous versions, and kernel states of units that are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from sqlgen.lake.partitions import Partition
from sqlgen.operate.upkeep.held import holding
from sqlgen.operate.upkeep.restoring import versions_of
from sqlgen.published.states import SUFFIX
from sqlgen.published.versions import Versions
from sqlgen.run.engine import Engine


class Garbage(Struct, frozen=True):
    """Something that is removed."""

    model: str
    what: str
    """``version``, ``incomplete version`` or ``kernel state``."""
    path: Path
    partition: str
    bytes: int
    """Bytes that this frees: files that a table still has take none."""
    remove: Callable[[], object]


def vacuum(engine: Engine, models: Sequence[str], keep: int | None, dry_run: bool, wait: float) -> list[Garbage]:
    """Remove versions beyond ``keep`` (``keep_versions`` of the model if it is ``None``), and leftovers."""
    with holding(engine, wait, dry_run):
        found = [garbage for name in models for garbage in _garbage(engine, name, keep)]
        for garbage in () if dry_run else found:
            garbage.remove()
    return found


def _garbage(engine: Engine, name: str, keep: int | None) -> Iterator[Garbage]:
    found = versions_of(engine, name)
    store = Versions(found.root, found.keep if keep is None else keep)
    records = engine.table(name).records
    for unit in dict.fromkeys(version.record.partition for version in store.all()):
        current = records[unit].build if unit in records else ""
        for version in store.superfluous(unit, current):
            freed = _freed(version.folder.rglob("*"))
            yield Garbage(name, "version", version.folder, unit.path, freed, version.remove)
    for folder in store.left():
        where = str(folder.parent.relative_to(store.root))
        yield Garbage(
            name, "incomplete version", folder, where, _freed(folder.rglob("*")), partial(Versions.clear, folder)
        )
    states = engine.states.folder / name
    for path in sorted(states.rglob(f"*{SUFFIX}")):
        unit = Partition.from_path(str(path.parent.relative_to(states)))
        if unit not in records or records[unit].build != path.stem:
            yield Garbage(name, "kernel state", path, unit.path, _freed([path]), path.unlink)


def _freed(paths: Iterable[Path]) -> int:
    stats = [path.stat() for path in paths if path.is_file()]
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)
