"""Files, rows and bytes of tables and sources, by partition, and the small files among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
from msgspec import Struct

from sqlgen.errors import UsageError, first_line
from sqlgen.lake.remote import mounts
from sqlgen.operate.upkeep.compacting import small
from sqlgen.run.engine import Engine
from sqlgen.sources.sourcefiles import list_source_files
from sqlgen.templating.queries import query


class PartitionStats(Struct, frozen=True):
    """Files of one partition."""

    partition: str
    files: int
    rows: int | None
    """``None`` where they are known only once the files are read: text, DBN."""
    bytes: int
    small_files: int
    """Files smaller than half of the target size, if there are several."""
    edited: tuple[str, ...] = ()


class TableStats(Struct, frozen=True):
    """Files of one table or source."""

    name: str
    kind: str
    """``table`` or ``source``."""
    partitions: tuple[PartitionStats, ...]

    @property
    def rows(self) -> int | None:
        found = [part.rows for part in self.partitions]
        return None if None in found else sum(rows for rows in found if rows is not None)

    def total(self, what: str) -> int:
        """Sum of a number of all partitions."""
        return sum(getattr(part, what) for part in self.partitions)


def stats(engine: Engine, tables: Sequence[str], sources: Sequence[str], target: int) -> list[TableStats]:
    """Files of some tables and sources as they are now."""
    found = [TableStats(name, "source", tuple(_of_source(engine, name, target))) for name in sources]
    return found + [TableStats(name, "table", tuple(_of_table(engine, name, target))) for name in tables]


def _of_table(engine: Engine, name: str, target: int) -> Iterator[PartitionStats]:
    with_files = ((unit, record) for unit, record in engine.table(name).records.items() if record.files)
    for unit, record in sorted(with_files):
        sizes = [(file, stat.size) for file, stat in record.files.items()]
        few = _several(len(small(sizes, target)))
        yield PartitionStats(unit.path, len(sizes), record.rows, record.bytes, few, record.edited)


def _of_source(engine: Engine, name: str, target: int) -> Iterator[PartitionStats]:
    found = list_source_files(engine.project, name, engine.index)
    paths = [file.path for files in found.partitions.values() for file in files]
    rows = _rows(engine, name, sorted({*paths})) if found.layout.format == "parquet" and paths else {}
    shared = not found.keyed  # a file with rows of several partitions says only how many it has of all
    for partition, files in found.partitions.items():
        counts = [rows.get(file.path) for file in files]
        known = None if shared or None in counts else sum(count for count in counts if count is not None)
        sizes = [(file.path, file.size) for file in files]
        few = _several(len(small(sizes, target)))
        yield PartitionStats(partition.path, len(files), known, sum(size for _, size in sizes), few)


def _rows(engine: Engine, name: str, paths: Sequence[str]) -> dict[str, int]:
    """Rows of Parquet files, by their footers."""
    lake = engine.project.lake
    mounts.fetch_ends(lake / path for path in paths)
    sql = query("file_rows", files=[lake / path for path in paths])
    cut = len(str(lake)) + 1
    try:
        with duckdb.connect(config={"threads": engine.settings.threads}) as connection:
            return {str(Path(path))[cut:]: int(rows) for path, rows in connection.execute(sql).fetchall()}
    except duckdb.Error as error:
        raise UsageError(f"source '{name}': its footers cannot be read: {first_line(error)}") from error


def _several(count: int) -> int:
    return count if count > 1 else 0
