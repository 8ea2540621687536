"""Source files of a task's own partitions, and the positions of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from msgspec import Struct

from sqlgen.compile.checksql import FileRange
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.plan.plan import Slice
from sqlgen.project.model import Model, ModelInput
from sqlgen.sources.schemas import parquet_rows
from sqlgen.sources.sourcefiles import SourceFiles
from sqlgen.sources.survey import FileSpan

if TYPE_CHECKING:
    from sqlgen.sources.decode import Decoded


class OwnFiles(Struct, frozen=True):
    """The files of one source in a task's own partitions."""

    source_files: SourceFiles
    partitions: Mapping[Partition, tuple[FileInfo, ...]]

    @property
    def all(self) -> tuple[FileInfo, ...]:
        return tuple(dict.fromkeys(file for files in self.partitions.values() for file in files))

    def has(self, stretch: FileSpan) -> bool:
        """Predicate: rows of the task's own partitions."""
        found = (stretch.exchange, stretch.symbol, stretch.date)
        return any((where["exchange"], where["symbol"], where["date"]) == found for where in self.partitions)

    def reports_on(self, file: FileInfo) -> bool:
        """True if this task reports the file's unpartitionable rows: the task of the file's first partition does."""
        return self.source_files.keyed or self.source_files.first[file] in self.partitions


def own_files(
    model: Model, slices: Iterable[Slice], source_files: Mapping[str, SourceFiles]
) -> Iterator[tuple[ModelInput, Slice, OwnFiles]]:
    """Files of a task's own partitions, each once, without those of lookback and lookahead."""
    entries = {entry.name: entry for entry in model.inputs}
    seen: set[tuple[str, Partition]] = set()
    for part in slices:
        entry, listed = entries[part.name], source_files.get(part.ref)
        if entry.source is None or listed is None:
            continue
        read = {*part.files}
        found = {
            where: tuple(file for file in listed.partitions[where] if file in read)
            for where in part.current
            if (part.ref, where) not in seen
        }
        seen |= {(part.ref, where) for where in found}
        files = OwnFiles(listed, found)
        if files.all:
            yield entry, Slice(part.name, part.ref, tuple(found), files=files.all), files


def file_ranges(
    files: OwnFiles, decoded: Mapping[FileInfo, Decoded], connection: duckdb.DuckDBPyConnection, lake: Path
) -> list[FileRange]:
    """Places of each partition's rows, as far as they are known."""
    if not files.source_files.keyed:
        return [_place(where, 0, files.all[0].path, False) for where in files.partitions if len(files.all) == 1]
    several = [file for found in files.partitions.values() if len(found) > 1 for file in found]
    rows = {
        file: decoded[file].rows if file in decoded else parquet_rows(connection, [str(lake / file.path)])
        for file in several
    }
    found_places = []
    for where, found in files.partitions.items():
        first = 0
        for file in found:
            if len(found) == 1 or rows[file]:
                # Lines that were skipped while reading are not counted in the positions of the others.
                whole = file not in decoded or decoded[file].rows == decoded[file].lines
                found_places.append(_place(where, first, file.path, whole))
                first += rows.get(file, 0)
    return found_places


def _place(where: Partition, first: int, path: str, counted: bool) -> FileRange:
    return FileRange(where["exchange"], where["symbol"], where["date"], first, path, counted)
