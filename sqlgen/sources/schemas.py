"""Check that source Parquet files have the columns that their adapter reads.

DuckDB fills columns that some files lack, and fields that objects in lists lack, with NULLs that are not in the data.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from sqlgen.errors import DAMAGED, TaskError, first_line
from sqlgen.lake.remote import mounts
from sqlgen.templating.connection import select_of
from sqlgen.templating.queries import query


def sql_schema(types: Mapping[str, str]) -> pa.Schema:
    """Arrow schema of columns with SQL types."""
    return _sql_schema(tuple(types.items())) if types else pa.schema([])


@functools.cache
def _sql_schema(types: tuple[tuple[str, str], ...]) -> pa.Schema:
    with duckdb.connect() as connection:
        return connection.sql(query("no_rows", types=dict(types))).to_arrow_table().schema


def columns_of(connection: duckdb.DuckDBPyConnection, select: str) -> dict[str, str]:
    """The columns of a SELECT with their SQL types, without running it."""
    rows = select_of(connection, select)
    return dict(zip(rows.columns, map(str, rows.types), strict=True))


class ParquetColumns(Struct, frozen=True, eq=False):
    """Columns of Parquet files that have the same ones."""

    stored: pq.ParquetSchema
    schema: pa.Schema
    physical: tuple[tuple[str, str], ...]
    """Path and physical type of each column, those inside of others too."""

    @classmethod
    def of(cls, stored: pq.ParquetSchema) -> ParquetColumns:
        """Columns of a footer; files that have the same ones give the same object."""
        for known in tuple(_KNOWN):
            if known.stored.equals(stored):
                return known
        columns = [stored.column(place) for place in range(len(stored.names))]
        found = cls(stored, stored.to_arrow_schema(), tuple((each.path, each.physical_type) for each in columns))
        _KNOWN.append(found)
        return found


_KNOWN: collections.deque[ParquetColumns] = collections.deque(maxlen=8)


class ParquetFooter(Struct, frozen=True):
    """Columns and rows of a Parquet file."""

    columns: ParquetColumns
    largest: Mapping[str, float]
    """Largest value of columns of floating point numbers, by the statistics."""
    smallest: Mapping[str, float]
    """Smallest value of these, and of numbers in lists: minus infinity if a row group does not tell."""
    rows: int


def parquet_footer(path: Path | str) -> ParquetFooter:
    """Footer of a Parquet file; each is read once. Raises ``OSError`` or ``pa.ArrowException``."""
    mounts.fetch_ends([path])
    found = os.stat(path)  # noqa: PTH116 - a Path would cost more than the call
    return _parquet_footer(os.fspath(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@functools.lru_cache(2048)
def _parquet_footer(path: str, *identity: int) -> ParquetFooter:
    footer = pq.read_metadata(path, filesystem=_files())
    columns = ParquetColumns.of(footer.schema)
    places = [
        place for place, (path, kind) in enumerate(columns.physical) if kind in ("FLOAT", "DOUBLE") or "." in path
    ]
    return ParquetFooter(columns, *_extremes(footer, places), footer.num_rows)


def rows_of(path: Path | str) -> int:
    """Rows of a Parquet file, by its footer; 0 if it is gone."""
    try:
        return parquet_footer(path).rows
    except (OSError, pa.ArrowException):
        return 0


@functools.cache
def _files() -> Any:
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem()


def _extremes(footer: pq.FileMetaData, columns: Sequence[int]) -> tuple[dict[str, float], dict[str, float]]:
    """Largest values of columns of floating point numbers, and smallest ones of numbers."""
    largest, smallest = dict[str, float](), dict[str, float]()
    for group in range(footer.num_row_groups):
        row_group = footer.row_group(group)
        for place in columns:
            column = row_group.column(place)
            statistics, name = column.statistics, column.path_in_schema
            known = (
                statistics is not None and statistics.has_min_max and isinstance(statistics.max, float | int | Decimal)
            )
            smallest[name] = min(statistics.min if known else -math.inf, smallest.get(name, math.inf))
            if known and isinstance(statistics.max, float):
                largest[name] = max(statistics.max, largest.get(name, statistics.max))
    return largest, smallest


def positive_lists(paths: Iterable[Path | str], names: Collection[str]) -> bool:
    """True if all numbers in some columns of lists are above zero, by the footers of Parquet files."""
    for path in paths if names else ():
        try:
            footer = parquet_footer(path)
        except (OSError, pa.ArrowException):
            return False
        for name in names:
            within = [leaf for leaf, _ in footer.columns.physical if leaf.startswith(f"{name}.")]
            if not within or any(not footer.smallest.get(leaf, 0.0) > 0 for leaf in within):
                return False
    return bool(names)


def check_parquet(
    paths: Iterable[Path | str], expected: pa.Schema, advice: str = "", optional: Collection[str] = ()
) -> bool:
    """True if a file lacks an optional column; :class:`TaskError` if it lacks another, or has one in another type.

    Files that cannot be opened are skipped: DuckDB reports them. It would read no row of some with a damaged footer.
    """
    lacking = False
    alike: set[ParquetColumns] = set()
    for path in paths:
        try:
            columns = parquet_footer(path).columns
        except OSError:
            continue
        except pa.ArrowException as error:
            raise TaskError(f"{path}: {first_line(error)}. {DAMAGED}") from None
        if columns in alike:
            continue
        schema = columns.schema
        alike.add(columns)
        absent = {name for name in optional if name in expected.names and _place(name, schema) is None}
        lacking = lacking or bool(absent)
        problems = [problem for field in expected if field.name not in absent for problem in _problems(field, schema)]
        if problems:
            raise TaskError(f"{path}: {'; '.join(problems)}. Is it the right adapter for this file?{advice}")
    return lacking


def copy_columns(path: Path, target: Path, names: Mapping[str, str], types: Mapping[str, str]) -> int:
    """Write a Parquet file with some columns of ``path`` renamed (new -> old); return its number of rows.

    A column that is not there is NULL, of its SQL type in ``types``.
    """
    with pq.ParquetFile(path) as file:
        found = {new: _place(old, file.schema_arrow) for new, old in names.items()}
        absent = sql_schema({new: types[new] for new, place in found.items() if place is None})
        fields = {new: place.field if place is not None else absent.field(new) for new, place in found.items()}
        schema = pa.schema([field.with_name(new) for new, field in fields.items()])
        read = list(dict.fromkeys(place.path for place in found.values() if place is not None))
        with pq.ParquetWriter(target, schema, compression="none") as writer:
            for batch in file.iter_batches(columns=read):
                columns = [
                    place.of(batch) if place is not None else pa.nulls(batch.num_rows, fields[new].type)
                    for new, place in found.items()
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
        return int(file.metadata.num_rows)


class _Place(Struct, frozen=True):
    """A column, or a field within one."""

    steps: tuple[str, ...]
    field: pa.Field

    @property
    def path(self) -> str:
        return ".".join(self.steps)

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        column = batch.column(self.steps[0])
        if not self.steps[1:]:
            return column
        import pyarrow.compute as pc  # planning loads this module, and decodes nothing

        return pc.struct_field(column, [*self.steps[1:]])


def _place(name: str, schema: pa.Schema) -> _Place | None:
    """A column by its name, whatever its case, or else a field by its path: ``book.bids``."""
    top = name if name in schema.names else _alike(name, schema.names)
    if top is not None:
        return _Place((top,), schema.field(top))
    first, *rest = name.split(".")
    if not rest or first not in schema.names:
        return None
    field = schema.field(first)
    for step in rest:
        if not pa.types.is_struct(field.type) or field.type.get_field_index(step) < 0:
            return None
        field = field.type.field(step)
    return _Place((first, *rest), field)


def _alike(name: str, names: Iterable[str]) -> str | None:
    return next((other for other in names if other.lower() == name.lower()), None)


def misleading(paths: Iterable[Path | str], names: Iterable[str]) -> bool:
    """True if DuckDB would misread a column.

    It confuses columns that differ in case only, and truncates INT96 times to microseconds.
    """
    wanted = {name.lower() for name in names}
    alike: set[ParquetColumns] = set()
    for path in paths:
        with contextlib.suppress(OSError, pa.ArrowException):
            alike.add(parquet_footer(path).columns)
    for columns in alike:
        read = [(name.lower(), kind) for name, kind in columns.physical if name.lower() in wanted]
        if len(read) > len({name for name, _ in read}) or any(kind == "INT96" for _, kind in read):
            return True
    return False


def _problems(field: pa.Field, schema: pa.Schema) -> Iterator[str]:
    alike = [name for name in schema.names if name.lower() == field.name.lower()]
    if not alike and (place := _place(field.name, schema)) is not None:
        if not _fits(field.type, place.field.type):
            yield f"column '{field.name}' is {place.field.type}, and {field.type} is read from it"
        return
    if not alike:
        yield f"it has no column '{field.name}', but {', '.join(schema.names)}"
        return
    if field.name not in alike and len(alike) > 1:
        yield f"it has no column '{field.name}', but {', '.join(alike)}: write the one that is meant"
        return
    found = schema.field(field.name if field.name in alike else alike[0]).type
    if not _fits(field.type, found):
        yield f"column '{field.name}' is {found}, and {field.type} is read from it"


def _fits(wanted: pa.DataType, found: pa.DataType) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_null(found) or pa.types.is_null(wanted):
        return True
    if _is_list(wanted) or _is_list(found):
        return _is_list(wanted) and _is_list(found) and _fits(wanted.value_type, found.value_type)
    if pa.types.is_struct(wanted) or pa.types.is_struct(found):
        if not (pa.types.is_struct(wanted) and pa.types.is_struct(found)):
            return False
        fields = {field.name.lower(): field.type for field in found}
        return all(field.name.lower() in fields and _fits(field.type, fields[field.name.lower()]) for field in wanted)
    if pa.types.is_string(wanted):
        return True
    return bool(pa.types.is_temporal(wanted) == pa.types.is_temporal(found) or _is_text(found))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
