"""Check that source Parquet files have the columns that their adapter reads.

DuckDB fills columns that some files lack, and fields that objects in lists lack, with NULLs that are not in the data.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.errors import DAMAGED, TaskError, first_line
from sqlgen.sources import rawfile
from sqlgen.sources.dialect import DELIMITERS
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


def check_parquet(paths: Iterable[Path], expected: pa.Schema, advice: str = "", optional: Collection[str] = ()) -> bool:
    """True if a file lacks an optional column; :class:`TaskError` if it lacks another, or has one in another type.

    Files that cannot be opened are skipped: DuckDB reports them. It would read no row of some with a damaged footer.
    """
    lacking = False
    for path in paths:
        try:
            schema = pq.read_schema(path)
        except OSError:
            continue
        except pa.ArrowException as error:
            raise TaskError(f"{path}: {first_line(error)}. {DAMAGED}") from None
        there = {name.lower() for name in schema.names}
        absent = {name for name in optional if name in expected.names and name.lower() not in there}
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
        there = file.schema_arrow.names
        found = {new: old if old in there else _alike(old, there) for new, old in names.items()}
        absent = sql_schema({new: types[new] for new, old in found.items() if old is None})
        fields = [file.schema_arrow.field(old) if old is not None else absent.field(new) for new, old in found.items()]
        schema = pa.schema([field.with_name(new) for new, field in zip(found, fields, strict=True)])
        read = list(dict.fromkeys(old for old in found.values() if old is not None))
        with pq.ParquetWriter(target, schema, compression="none") as writer:
            for batch in file.iter_batches(columns=read):
                columns = [
                    batch.column(old) if old is not None else pa.nulls(batch.num_rows, field.type)
                    for old, field in zip(found.values(), fields, strict=True)
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
        return int(file.metadata.num_rows)


def _alike(name: str, names: Iterable[str]) -> str | None:
    return next((other for other in names if other.lower() == name.lower()), None)


def misleading(paths: Iterable[Path], names: Iterable[str]) -> bool:
    """True if DuckDB would misread a column.

    It confuses columns that differ in case only, and truncates INT96 times to microseconds.
    """
    wanted = {name.lower() for name in names}
    for path in paths:
        try:
            schema = pq.read_metadata(path).schema
        except (OSError, pa.ArrowException):
            continue
        columns = [schema.column(place) for place in range(len(schema.names))]
        read = [column for column in columns if column.path.lower() in wanted]
        if len(read) > len({column.path.lower() for column in read}) or any(c.physical_type == "INT96" for c in read):
            return True
    return False


def twins(headers: Iterable[Sequence[str]]) -> tuple[frozenset[str], bool]:
    """Names, in lower case, of columns that differ in case only; True if files have them in different orders."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for header in headers:
        alike: dict[str, list[str]] = {}
        for name in header:
            alike.setdefault(name.lower(), []).append(name)
        for name, names in alike.items():
            if len(names) > 1:
                found.setdefault(name, set()).add(tuple(names))
    return frozenset(found), any(len(orders) > 1 for orders in found.values())


def header_of(path: Path, form: str) -> Sequence[str]:
    """Column names of a Parquet or CSV file; empty if it has none, or cannot be read."""
    try:
        if form == "parquet":
            return list(pq.read_schema(path).names)
        line = rawfile.first_line(path) if form == "csv" else ""
        rows = [next(csv.reader([line], delimiter=mark, skipinitialspace=True), []) for mark in DELIMITERS]
        return max(rows, key=len)
    except (OSError, EOFError, ValueError, csv.Error, pa.ArrowException, TaskError):
        return ()


def _problems(field: pa.Field, schema: pa.Schema) -> Iterator[str]:
    alike = [name for name in schema.names if name.lower() == field.name.lower()]
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
