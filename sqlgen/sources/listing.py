"""What lies in the lake now: the files of each source, by partition."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sqlgen.compile.scope import Layout
from sqlgen.errors import SqlgenError
from sqlgen.lake import storage
from sqlgen.lake.partitions import Partition, hive_pairs, odd_folders, partition_of
from sqlgen.lake.storage import FileInfo
from sqlgen.lake.walk import Walk, shown
from sqlgen.project.config import Source
from sqlgen.project.keys import below, given_keys, natural_order, path_keys
from sqlgen.project.model import adapter_template
from sqlgen.project.project import Project

MOST_TOLD = 20
"""Files and folders of a source that are passed over."""


class Placed(NamedTuple):
    """Partitions that the rows of a file belong to."""

    partitions: tuple[Partition, ...]
    problem: str = ""
    """Why there is no partition, although there are rows."""


Indexer = Callable[[str, FileInfo, Layout], Placed]
"""Source name, file, layout -> the partitions that the file's rows belong to."""


class ListingError(SqlgenError):
    """The files of a source do not fit together or cannot be read."""


@dataclass(frozen=True)
class SourceListing:
    """Files of one source in natural order, hours first; their rows count in this order."""

    layout: Layout
    partitions: Mapping[Partition, tuple[FileInfo, ...]]
    keyed: bool = True
    """Every file belongs to one partition, which its path or models.yaml names."""
    strangers: tuple[str, ...] = ()
    """Data files that do not fit the source's pattern."""
    folder_exists: bool = True
    strange: tuple[str, ...] = ()
    """Paths that are passed over because their name or kind can be no data's, and why."""
    unreadable: tuple[str, ...] = ()
    """Folders that could not be read, and why."""
    unread: tuple[str, ...] = ()
    """Names of files whose suffix says that they are no data."""
    unplaced: tuple[str, ...] = ()
    """Files with rows of which none belongs to a partition, and why."""

    @cached_property
    def first(self) -> Mapping[FileInfo, Partition]:
        """The first partition of each file."""
        found: dict[FileInfo, Partition] = {}
        for partition, files in self.partitions.items():
            for file in files:
                found.setdefault(file, partition)
        return found


def list_source(project: Project, name: str, index: Indexer) -> SourceListing:
    """List one source; :class:`ListingError` where its folder or its files make no sense."""
    source = project.sources[name]
    folder = project.lake / source.path
    where = f"source '{name}' ({folder})"
    csv = project.library.header(adapter_template(source.adapter)).csv

    unread: list[str] = []

    def wanted(name: str) -> str | None:
        found = _format(name, source)
        if found is None:
            unread.append(name)
        return found if csv.wants(name) else None

    if not project.lake.is_dir():
        raise ListingError(
            f"the lake {project.lake} does not exist. Create it, or set 'lake' in {project.path}"
            f" (or SQLGEN_LAKE, where it is used there). For data to try: sqlgen sample {project.lake}"
        )
    if not folder.is_dir():
        return SourceListing(Layout(), {}, folder_exists=False)
    walk = Walk(str(folder), wanted)
    files = list(storage.walked(project.lake, walk))
    if str(folder) in walk.unreadable:
        raise ListingError(f"{where} cannot be listed: {walk.problems[0]}")
    keys = {file: found for file in files if (found := path_keys(source, file.path)) is not None}
    strangers = tuple(file.path for file in files if file not in keys)
    if strangers and not keys:
        raise ListingError(
            f"{where}: no file fits pattern '{source.pattern}'; the first one there is"
            f" '{below(source, strangers[0])}'. Mend the pattern in models.yaml"
        )
    wrong = _without_wrong_keys(keys, project.lake)
    files = sorted(keys, key=lambda file: (_hour(keys[file]), natural_order(file.path)))
    layout = _layout(where, source, files)
    layout = dataclasses.replace(layout, odd=layout.odd or bool(wrong))
    partitions: dict[Partition, list[FileInfo]] = {}
    unplaced = []
    for file in files:
        placed = _placed(name, file, keys[file], layout, index)
        unplaced += [placed.problem] if placed.problem else []
        for partition in placed.partitions:
            partitions.setdefault(partition, []).append(file)
    for cut_off in walk.unreadable:  # what is published of it stays, rather than to be built from a part
        partitions.pop(_partition_at(source, cut_off[len(str(project.lake)) + 1 :]), None)
    ordered = {partition: tuple(found) for partition, found in sorted(partitions.items())}
    known = set(layout.hive_keys) | given_keys(source).keys()
    return SourceListing(
        layout,
        ordered,
        names_partition(known),
        strangers,
        strange=(*walk.strange, *wrong),
        unreadable=tuple(walk.problems),
        unread=tuple(map(shown, unread)),
        unplaced=tuple(unplaced),
    )


def _without_wrong_keys(keys: dict[FileInfo, Mapping[str, str]], lake: Path) -> list[str]:
    """Leave out files whose paths name a key that cannot be; what is told of each folder."""
    told: dict[str, None] = {}
    for file, found in list(keys.items()):
        try:
            partition_of(found)
        except ValueError as error:
            del keys[file]
            told[f"{lake / file.path.rpartition('/')[0]}: {error}. Rename or remove it"] = None
    return list(told)


def _partition_at(source: Source, folder: str) -> Partition:
    """The partition that a folder belongs to; one without keys, which none is, where it does not say."""
    try:
        return partition_of(path_keys(source, f"{folder}/x") or {}) or Partition()
    except ValueError:
        return Partition()


def _hour(keys: Mapping[str, str]) -> int:
    hour = keys.get("hour", "")
    return int(hour) if hour.isdecimal() else 0


def _format(name: str, source: Source) -> str | None:
    """Format of a file; ``None`` where the source does not read it."""
    found = storage.format_of(name)
    if source.format in ("auto", found):
        return found
    # A pattern that names the suffix itself says that its files are not what their names tell.
    named = found is None or storage.format_of(source.pattern) == found
    return source.format if source.pattern and named else None


def _layout(where: str, source: Source, files: Sequence[FileInfo]) -> Layout:
    found: dict[tuple[str, tuple[str, ...]], str] = {}
    for file in files:
        hive = () if source.pattern else tuple(hive_pairs(below(source, file.path)))
        found.setdefault((_format(file.path, source) or "", hive), file.path)
    if len(found) > 1:
        examples = "; ".join(f"{fmt} by {'/'.join(keys) or 'no keys'}: {path}" for (fmt, keys), path in found.items())
        raise ListingError(
            f"{where} mixes layouts: {examples}. Make one source for each folder and layout"
            " (set 'path' or 'format' in models.yaml)"
        )
    odd = any(odd_folders(below(source, file.path), next(iter(found))[1]) for file in files)
    zipped = any(file.path.endswith(".zip") for file in files)
    return Layout(*next(iter(found)), zipped, odd) if found else Layout()


def _placed(name: str, file: FileInfo, keys: Mapping[str, str], layout: Layout, index: Indexer) -> Placed:
    partition = partition_of(keys)
    return index(name, file, layout) if partition is None else Placed((partition,))


def faults(name: str, listing: SourceListing) -> Iterator[str]:
    """Data that should have been read and could not."""
    yield from listing.unplaced
    yield from (f"source '{name}': {text}" for text in _first(listing.unreadable))


def notes(name: str, listing: SourceListing) -> Iterator[str]:
    """Files that are not read."""
    if listing.strangers:
        yield (
            f"source '{name}': {len(listing.strangers)} file(s) do not fit its pattern and are not read, the first of"
            f" them {listing.strangers[0]}"
        )
    yield from (f"source '{name}': passed over: {text}" for text in _first(listing.strange))


def _first(problems: Sequence[str]) -> list[str]:
    """Some of many problems of a kind, and how many more there are."""
    more = [f"{len(problems) - MOST_TOLD:,} more like these"] if len(problems) > MOST_TOLD else []
    return [*problems[:MOST_TOLD], *more]


def names_partition(keys: Iterable[str]) -> bool:
    """Whether these hive keys give exchange, symbol and date."""
    found = set(keys)
    return {"exchange", "symbol"} <= found and ("date" in found or {"year", "month", "day"} <= found)
