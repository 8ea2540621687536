"""Source files in the lake, by partition."""

from __future__ import annotations

import collections
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field, structs

from sqlgen.compile.scope import SourceLayout
from sqlgen.errors import SqlgenError
from sqlgen.lake import storage
from sqlgen.lake.partitions import Partition, Shard, ambiguous_folders, by_symbol, hive_pairs, partition_of
from sqlgen.lake.storage import FileInfo
from sqlgen.lake.walk import Walk, shown
from sqlgen.project.config import Source
from sqlgen.project.keys import below, configured_keys, fixed_keys, natural_order, path_keys
from sqlgen.project.model import adapter_template
from sqlgen.project.project import Project


class FilePartitions(NamedTuple):
    """Partitions of the rows of a file."""

    partitions: tuple[Partition, ...]
    problem: str = ""
    """Reason why a file with rows has no partition; otherwise empty."""
    left_out: str = ""
    """Note on rows of it that belong to no partition; empty if all do."""


Indexer = Callable[[str, FileInfo, SourceLayout], FilePartitions]
"""Source name, file, layout -> partitions of the file's rows."""


class SourceFilesError(SqlgenError):
    """The files of a source do not fit together or cannot be read."""


class SourceFiles(Struct, frozen=True, dict=True):
    """Files of one source by partition, in natural order, hours first: the order of their rows."""

    layout: SourceLayout
    partitions: Mapping[Partition, tuple[FileInfo, ...]]
    keyed: bool = True
    """True if every file belongs to one partition, named by its path or models.yaml."""
    unmatched: tuple[str, ...] = ()
    """Data files that do not match the source's pattern."""
    folder_exists: bool = True
    skipped: tuple[str, ...] = ()
    """Paths that cannot be data because of their name or kind, with the reason."""
    unreadable: tuple[str, ...] = ()
    """Folders that could not be read, with the reason."""
    unsupported: tuple[str, ...] = ()
    """Names of files with an unsupported suffix."""
    unassigned: tuple[str, ...] = ()
    """Files with rows but without a partition, with the reason."""
    left_out: tuple[str, ...] = ()
    """Files with rows that belong to no partition, beside rows that do."""

    wrong: tuple[str, ...] = ()
    """Folders of files that are not read because of wrong keys in their paths, with the reason."""
    without_rows: tuple[str, ...] = ()
    """Files without rows, where the rows tell the partition."""
    settled: int = 0
    """Number of files of symbols that are up to date, which are not read further."""
    others: Mapping[Partition, tuple[FileInfo, ...]] = field(default_factory=dict)
    """Partitions of other shards."""

    @cached_property
    def partition_counts(self) -> Mapping[FileInfo, int]:
        """Number of partitions of each file."""
        return collections.Counter(
            file for found in (self.partitions, self.others) for files in found.values() for file in files
        )

    @cached_property
    def first(self) -> Mapping[FileInfo, Partition]:
        """The first partition of each file."""
        found: dict[FileInfo, Partition] = {}
        for partition, files in (
            sorted({**self.partitions, **self.others}.items()) if self.others else self.partitions.items()
        ):
            for file in files:
                found.setdefault(file, partition)
        return found


class Listing(Struct, frozen=True, dict=True):
    """Files in the folder of one source, before they are assigned to partitions."""

    source: Source
    lake: Path
    where: str
    """Source and folder, for messages."""
    folder_exists: bool = True
    files: tuple[FileInfo, ...] = ()
    unmatched: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Folders that could not be read."""
    problems: tuple[str, ...] = ()
    """The reason for each of them."""
    shard: Shard | None = None
    """Shard whose partitions are wanted."""

    @cached_property
    def by_symbol(self) -> Mapping[Partition, Sequence[FileInfo]]:
        """Files of the shard by exchange and symbol; under the empty partition if their paths do not name all keys."""
        first = path_keys(self.source, self.files[0].path) if self.files else None
        if first is None or not names_partition(first):
            return {Partition(): sorted(self.files)} if self.files else {}
        plain = not (self.source.pattern or fixed_keys(self.source))
        found = by_symbol(self.files, attrgetter("path") if plain else self._hive_path)
        mine = (symbol for symbol in found if self.shard is None or self.shard.holds(symbol))
        return {symbol: sorted(found[symbol]) for symbol in mine}

    def _hive_path(self, file: FileInfo) -> str:
        return f"{Partition.of(**(path_keys(self.source, file.path) or {})).path}/"


def list_source_files(project: Project, name: str, index: Indexer) -> SourceFiles:
    """List one source; :class:`SourceFilesError` if its folder or its files cannot be read as a source."""
    return assigned(name, list_folder(project, name), index)


def list_folder(project: Project, name: str) -> Listing:
    """List the folder of one source; :class:`SourceFilesError` if that is not possible, or no file fits its pattern."""
    source = project.sources[name]
    folder = project.lake / source.path
    where = f"source '{name}' ({folder})"
    csv = project.library.header(adapter_template(source.adapter)).csv
    unsupported: list[str] = []

    def wanted(name: str) -> str | None:
        found = _format(name, source)
        if found is None:
            unsupported.append(name)
        return found if csv.wants(name) else None

    if not project.lake.is_dir():
        raise SourceFilesError(
            f"the lake {project.lake} does not exist. Create it, or set 'lake' in {project.path}"
            f" (or SQLGEN_LAKE, where it is used there). For data to try: sqlgen sample {project.lake}"
        )
    if not folder.is_dir():
        return Listing(source, project.lake, where, folder_exists=False)
    walk = Walk(str(folder), wanted)
    files = list(storage.walked(project.lake, walk))
    if str(folder) in walk.unreadable:
        raise SourceFilesError(f"{where} cannot be listed: {walk.problems[0]}")
    unmatched = tuple(file.path for file in files if source.pattern and path_keys(source, file.path) is None)
    if unmatched and len(unmatched) == len(files):
        raise SourceFilesError(
            f"{where}: no file fits pattern '{source.pattern}'; the first one there is"
            f" '{below(source, unmatched[0])}'. Fix the pattern in models.yaml"
        )
    strange = set(unmatched)
    return Listing(
        source,
        project.lake,
        where,
        files=tuple(file for file in files if file.path not in strange),
        unmatched=unmatched,
        unsupported=tuple(map(shown, unsupported)),
        skipped=tuple(walk.skipped),
        unreadable=tuple(walk.unreadable),
        problems=tuple(walk.problems),
    )


def assigned(
    name: str,
    listing: Listing,
    index: Indexer,
    settled: Container[Partition] = (),
    layout: SourceLayout | None = None,
) -> SourceFiles:
    """Files of a listing by partition, without those of some symbols; :class:`SourceFilesError` if they do not fit.

    ``layout``: the one that they have if all are left out.
    """
    source, lake = listing.source, listing.lake
    if not listing.folder_exists:
        return SourceFiles(SourceLayout(), {}, folder_exists=False)
    chosen = listing.files
    if settled:
        chosen = tuple(file for symbol, found in listing.by_symbol.items() if symbol not in settled for file in found)
    keys = {file: path_keys(source, file.path) or {} for file in chosen}
    wrong = _without_wrong_keys(keys, lake)
    files = sorted(keys)
    layout = _layout(listing.where, source, files) if files or layout is None else layout
    layout = structs.replace(layout, ambiguous=layout.ambiguous or bool(wrong))
    partitions: dict[Partition, list[FileInfo]] = {}
    unassigned, outside, without_rows = [], [], []
    for file in files:
        placed = _assigned(name, file, keys[file], layout, index)
        unassigned += [placed.problem] if placed.problem else []
        outside += [placed.left_out] if placed.left_out else []
        without_rows += [] if placed.partitions or placed.problem else [file.path]
        for partition in placed.partitions:
            partitions.setdefault(partition, []).append(file)
    for cut_off in listing.unreadable:  # published units of it stay, rather than be rebuilt from a part
        partitions.pop(_partition_at(source, cut_off[len(str(lake)) + 1 :]), None)
    ordered = {partition: _in_order(found, keys) for partition, found in sorted(partitions.items())}
    known = set(layout.hive_keys) | configured_keys(source).keys()
    others = {where for where in ordered if listing.shard is not None and not listing.shard.holds(where.symbol)}
    return SourceFiles(
        layout,
        {where: files for where, files in ordered.items() if where not in others},
        names_partition(known),
        listing.unmatched,
        skipped=listing.skipped,
        unreadable=listing.problems,
        unsupported=listing.unsupported,
        unassigned=tuple(unassigned),
        left_out=tuple(outside),
        wrong=tuple(wrong),
        without_rows=tuple(without_rows),
        settled=len(listing.files) - len(chosen),
        others={where: ordered[where] for where in sorted(others)},
    )


def _without_wrong_keys(keys: dict[FileInfo, Mapping[str, str]], lake: Path) -> list[str]:
    """Remove files with invalid keys in their paths; return a message per folder."""
    messages: dict[str, None] = {}
    for file, found in list(keys.items()):
        try:
            partition_of(found)
        except ValueError as error:
            del keys[file]
            messages[f"{lake / file.path.rpartition('/')[0]}: {error}. Rename or remove it"] = None
    return list(messages)


def _partition_at(source: Source, folder: str) -> Partition:
    """Partition of a folder; the empty partition if its path does not name one."""
    try:
        return partition_of(path_keys(source, f"{folder}/x") or {}) or Partition()
    except ValueError:
        return Partition()


def _in_order(files: Sequence[FileInfo], keys: Mapping[FileInfo, Mapping[str, str]]) -> tuple[FileInfo, ...]:
    """Files of one partition in the order of their rows."""
    if len(files) == 1:  # most partitions: the key takes longer than all else here
        return tuple(files)
    return tuple(sorted(files, key=lambda file: (_hour(keys[file]), natural_order(file.path))))


def _hour(keys: Mapping[str, str]) -> int:
    hour = keys.get("hour", "")
    return int(hour) if hour.isdecimal() else 0


def _format(name: str, source: Source) -> str | None:
    """Format of a file; ``None`` where the source does not read it."""
    found = storage.format_of(name)
    if source.format in ("auto", found):
        return found
    # A pattern that names the suffix overrides the format that the suffix implies.
    named = found is None or storage.format_of(source.pattern) == found
    return source.format if source.pattern and named else None


def _layout(where: str, source: Source, files: Sequence[FileInfo]) -> SourceLayout:
    found: dict[tuple[str, tuple[str, ...]], str] = {}
    for file in files:
        hive = () if source.pattern else tuple(hive_pairs(below(source, file.path)))
        found.setdefault((_format(file.path, source) or "", hive), file.path)
    if len(found) > 1:
        examples = "; ".join(f"{fmt} by {'/'.join(keys) or 'no keys'}: {path}" for (fmt, keys), path in found.items())
        raise SourceFilesError(
            f"{where} mixes layouts: {examples}. Make one source for each folder and layout"
            " (set 'path' or 'format' in models.yaml)"
        )
    ambiguous = any(ambiguous_folders(below(source, file.path), next(iter(found))[1]) for file in files)
    zipped = any(file.path.endswith(storage.UNOPENED) for file in files)
    return SourceLayout(*next(iter(found)), zipped, ambiguous) if found else SourceLayout()


def _assigned(
    name: str, file: FileInfo, keys: Mapping[str, str], layout: SourceLayout, index: Indexer
) -> FilePartitions:
    partition = partition_of(keys)
    return index(name, file, layout) if partition is None else FilePartitions((partition,))


def names_partition(keys: Iterable[str]) -> bool:
    """True if these hive keys give exchange, symbol and date."""
    found = set(keys)
    return {"exchange", "symbol"} <= found and ("date" in found or {"year", "month", "day"} <= found)
