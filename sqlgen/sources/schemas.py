"""Check that source Parquet files have the columns that their adapter reads.

DuckDB fills columns that some files lack, and fields that objects in lists lack, with NULLs that are not in the data.
"""

from __future__ import annotations

import collections
import functools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.errors import DAMAGED, TaskError, first_line
from sqlgen.lake.remote import mounts
from sqlgen.templating.connection import select_of
from sqlgen.templating.queries import query

if TYPE_CHECKING:
    from _duckdb._sqltypes import DuckDBPyType as Type

_LISTS = {"list", "array"}
_REMEMBERED = 4_096
"""Files whose columns are remembered."""


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


class FileColumn(NamedTuple):
    """A column of a Parquet file."""

    name: str
    kind: str
    """Its SQL type."""
    physical: str | None
    """Its type in the file, DECIMAL of one that DuckDB has no type for; ``None`` of one with others inside."""


Columns = tuple[FileColumn, ...]


class ParquetFooter(NamedTuple):
    """Columns and rows of a Parquet file."""

    columns: Columns
    rows: int


_Node = tuple[str, str, str | None, int | None, int, bool]
_KNOWN: dict[tuple[object, ...], ParquetFooter] = {}


def parquet_columns(connection: duckdb.DuckDBPyConnection, paths: Iterable[Path | str]) -> dict[str, Columns]:
    """Columns of Parquet files, as :func:`parquet_footers` finds them."""
    return {path: footer.columns for path, footer in parquet_footers(connection, paths).items()}


def parquet_footers(connection: duckdb.DuckDBPyConnection, paths: Iterable[Path | str]) -> dict[str, ParquetFooter]:
    """Footers of Parquet files, each of which is read once. :class:`TaskError` if one is damaged.

    Files that cannot be opened are left out: DuckDB reports them.
    """
    wanted = [*map(str, paths)]
    mounts.fetch_ends(wanted)
    identities = {path: identity for path in wanted if (identity := _identity(path)) is not None}
    found = {path: footer for path, identity in identities.items() if (footer := _KNOWN.get(identity)) is not None}
    new = _read(connection, [path for path in identities if path not in found])
    if len(_KNOWN) > _REMEMBERED:
        _KNOWN.clear()
    _KNOWN.update((identities[path], footer) for path, footer in new.items())
    return {path: footer for path in identities if (footer := found.get(path, new.get(path))) is not None}


def parquet_rows(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> int:
    """Rows of Parquet files, by their footers."""
    return int(connection.execute(query("row_count", files=list(paths))).fetchall()[0][0] or 0) if paths else 0


def _identity(path: str) -> tuple[object, ...] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path would cost more than the call
    except OSError:
        return None
    return path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _read(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> dict[str, ParquetFooter]:
    if not paths:
        return {}
    try:
        nodes = connection.execute(query("parquet_columns", files=paths)).fetchall()
    except (duckdb.InterruptException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        if len(paths) > 1:  # which of them is it?
            return {path: footer for path in paths for footer in _read(connection, [path]).values()}
        if isinstance(error, duckdb.IOException):
            return {}
        raise TaskError(f"{paths[0]}: {first_line(error)}. {DAMAGED}") from None
    by_file: dict[str, list[_Node]] = collections.defaultdict(list)
    for path, *node in nodes:
        by_file[path].append((*node,))
    return {path: _footer(path, inside) for path, inside in by_file.items()}


def _footer(path: str, nodes: Sequence[_Node]) -> ParquetFooter:
    *_, rows, has_row_groups = nodes[0]
    if rows and not has_row_groups:  # DuckDB would read none, and say nothing
        raise TaskError(f"{path}: its footer tells {rows} row(s), and not where they are. {DAMAGED}")
    return ParquetFooter(tuple(_outer(nodes)), rows)


def _outer(nodes: Sequence[_Node]) -> Iterator[FileColumn]:
    """Columns among those within others, which follow the one that they are in."""
    inside = 0
    for name, kind, physical, children, *_ in nodes[1:]:
        if not inside:
            yield FileColumn(name, kind, physical)
        inside = max(inside - 1, 0) + (children or 0)


def rows_of(connection: duckdb.DuckDBPyConnection, paths: Iterable[str]) -> dict[str, int]:
    """Rows of Parquet files, by their footers."""
    return {path: footer.rows for path, footer in parquet_footers(connection, paths).items()}


def positive_lists(connection: duckdb.DuckDBPyConnection, paths: Iterable[Path | str], names: Collection[str]) -> bool:
    """True if all numbers in some columns of lists are above zero, by the footers of Parquet files."""
    files = [*map(str, paths)] if names else []
    if not files:
        return bool(names)
    mounts.fetch_ends(files)
    try:
        return bool(connection.execute(query("positive_lists", files=files, names=[*names])).fetchall()[0][0])
    except (duckdb.IOException, duckdb.InvalidInputException):
        return False


def check_parquet(
    connection: duckdb.DuckDBPyConnection,
    paths: Iterable[Path | str],
    expected: Mapping[str, str],
    advice: str = "",
    optional: Collection[str] = (),
) -> bool:
    """True if a file lacks an optional column; :class:`TaskError` if it lacks another, or has one in another type.

    ``expected``: column -> SQL type. Files that cannot be opened are skipped: DuckDB reports them.
    """
    lacking = False
    alike: set[Columns] = set()
    for path, columns in parquet_columns(connection, paths).items():
        if columns in alike:
            continue
        alike.add(columns)
        absent = {name for name in optional if name in expected and place_of(connection, name, columns) is None}
        lacking = lacking or bool(absent)
        wanted = {name: kind for name, kind in expected.items() if name not in absent}
        problems = [each for name, kind in wanted.items() for each in _problems(connection, name, kind, columns)]
        if problems:
            raise TaskError(f"{path}: {'; '.join(problems)}. Is it the right adapter for this file?{advice}")
    return lacking


class Place(NamedTuple):
    """Place of a column: its name, or that of the one it is in and those of fields."""

    steps: tuple[str, ...]
    kind: str
    """Its SQL type."""


def place_of(connection: duckdb.DuckDBPyConnection, name: str, columns: Columns) -> Place | None:
    """A column by its name, whatever its case, or else a field by its path: ``book.bids``."""
    kinds = {column.name: column.kind for column in columns}
    top = name if name in kinds else next((other for other in kinds if other.lower() == name.lower()), None)
    if top is not None:
        return Place((top,), kinds[top])
    first, *rest = name.split(".")
    if not rest or first not in kinds:
        return None
    kind = connection.type(kinds[first])
    for step in rest:
        fields = _fields(kind)
        if step not in fields:
            return None
        kind = fields[step]
    return Place((first, *rest), str(kind))


def copy_columns(
    connection: duckdb.DuckDBPyConnection, path: Path, target: Path, names: Mapping[str, str], types: Mapping[str, str]
) -> int:
    """Write a Parquet file with some columns of ``path`` renamed (new -> old); return its number of rows.

    A column that is not there is NULL, of its SQL type in ``types``.
    """
    with pq.ParquetFile(path) as file:
        there = parquet_columns(connection, [path])[str(path)]
        found = {new: place_of(connection, old, there) for new, old in names.items()}
        absent = sql_schema({new: types[new] for new, place in found.items() if place is None})
        fields = {
            new: _field(file.schema_arrow, place) if place is not None else absent.field(new)
            for new, place in found.items()
        }
        schema = pa.schema([field.with_name(new) for new, field in fields.items()])
        read = list(dict.fromkeys(".".join(place.steps) for place in found.values() if place is not None))
        with pq.ParquetWriter(target, schema, compression="none") as writer:
            for batch in file.iter_batches(columns=read):
                columns = [
                    _column(batch, place) if place is not None else pa.nulls(batch.num_rows, fields[new].type)
                    for new, place in found.items()
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
        return int(file.metadata.num_rows)


def _field(schema: pa.Schema, place: Place) -> pa.Field:
    field = schema.field(place.steps[0])
    for step in place.steps[1:]:
        field = field.type.field(step)
    return field


def _column(batch: pa.RecordBatch, place: Place) -> pa.Array:
    column = batch.column(place.steps[0])
    if not place.steps[1:]:
        return column
    import pyarrow.compute as pc  # planning loads this module, and decodes nothing

    return pc.struct_field(column, [*place.steps[1:]])


def _item(kind: Type) -> Any:
    return kind.children[0][1]


def _fields(kind: Type) -> dict[str, Any]:
    return dict(kind.children) if kind.id == "struct" else {}


def misleading(connection: duckdb.DuckDBPyConnection, paths: Iterable[Path | str], names: Iterable[str]) -> bool:
    """True if DuckDB would misread a column: two that differ in case only, or INT96 times below a microsecond."""
    wanted = {name.lower() for name in names}
    for columns in {*parquet_columns(connection, paths).values()}:
        read = [column for column in columns if column.name.lower() in wanted]
        alone = {column.name.lower() for column in read}
        if len(read) > len(alone) or any(column.physical == "INT96" for column in read):
            return True
    return False


def _problems(connection: duckdb.DuckDBPyConnection, name: str, kind: str, columns: Columns) -> Iterator[str]:
    alike = [column.name for column in columns if column.name.lower() == name.lower()]
    place = place_of(connection, name, columns)
    if place is None:
        yield f"it has no column '{name}', but {', '.join(column.name for column in columns)}"
    elif name not in alike and len(alike) > 1:
        yield f"it has no column '{name}', but {', '.join(alike)}: write the one that is meant"
    elif place.kind != kind and not _fits(connection.type(kind), connection.type(place.kind)):
        yield f"column '{name}' is {place.kind}, and {kind} is read from it"


def _fits(wanted: Type, found: Type) -> bool:
    kinds = {wanted.id, found.id}
    if "null" in kinds:
        return True
    if kinds & _LISTS:
        return kinds <= _LISTS and _fits(_item(wanted), _item(found))
    if "struct" in kinds:
        fields = {name.lower(): kind for name, kind in _fields(found).items()}
        return kinds == {"struct"} and all(
            name.lower() in fields and _fits(kind, fields[name.lower()]) for name, kind in _fields(wanted).items()
        )
    return wanted.id == "varchar" or found.id == "varchar" or _is_time(wanted) == _is_time(found)


def _is_time(kind: Type) -> bool:
    return kind.id in ("date", "interval") or kind.id.startswith("time")
