"""What DuckDB leaves unsaid of a file with a JSON object a line: it makes NULL of all that it cannot read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sqlgen import rawfile
from sqlgen.errors import TaskError
from sqlgen.quoting import ident
from sqlgen.schemas import sql_schema

SAMPLE = 10_000
"""Rows, and lines, in which a column is looked for first."""


def rows_without_values(connection: duckdb.DuckDBPyConnection, decoded: Path, columns: Iterable[str]) -> list[int]:
    """Places, from 0, of the rows that have no value at all."""
    nothing = " AND ".join(f"{ident(name)} IS NULL" for name in columns)
    query = f"SELECT file_row_number FROM read_parquet($file) WHERE {nothing} ORDER BY 1"
    return [row[0] for row in connection.execute(query, {"file": str(decoded)}).fetchall()]


def lines_at(path: Path, places: Iterable[int]) -> Iterator[tuple[int, str, str]]:
    """Line number, what is wrong with it, and the text of the lines at these places, from 0, blank ones not counted."""
    wanted = set(places)
    for place, (number, text) in enumerate(rawfile.lines(path)):
        if place in wanted:
            yield number, _fault(text), text


def _fault(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError as error:
        return f"not a JSON object: {error}"
    return "none of the columns is in it" if isinstance(found, dict) else "not a JSON object"


def check_columns(
    connection: duckdb.DuckDBPyConnection,
    decoded: Path,
    readable: Path,
    types: Mapping[str, str],
    optional: Iterable[str],
) -> None:
    """:class:`TaskError` where a column is in no line, or in none as the adapter takes it."""
    schema = sql_schema(types, connection)
    unseen = _unseen(connection, decoded, schema, list(types), f"LIMIT {SAMPLE}")
    unseen = _unseen(connection, decoded, schema, unseen, "") if unseen else []
    missing, misread = [], []
    for name in unseen:
        there, value = _find(readable, name)
        if value is not None:
            misread.append(f"{name} as {types[name]}, but it is {json.dumps(value):.120}")
        elif not there and name not in optional:
            missing.append(name)
    if missing or misread:
        keys = ", ".join(dict.fromkeys(key for item in islice(_objects(readable), SAMPLE) for key in item))
        said = [f"no line has {', '.join(missing)}; there are: {keys}"] if missing else []
        raise TaskError("; ".join([*said, *(f"the adapter reads {what}" for what in misread)]))


def _unseen(
    connection: duckdb.DuckDBPyConnection, decoded: Path, schema: pa.Schema, names: list[str], limit: str
) -> list[str]:
    seen = ", ".join(f"bool_or({_value(ident(name), schema.field(name).type)})" for name in names)
    rows = f"(SELECT * FROM read_parquet($file) {limit})"
    [found] = connection.execute(f"SELECT {seen} FROM {rows}", {"file": str(decoded)}).fetchall()
    return [name for name, value in zip(names, found, strict=True) if not value]


def _value(of: str, kind: pa.DataType) -> str:
    """SQL of whether there is a value, in a list in its first item, and that one whole."""
    if pa.types.is_struct(kind):
        return " AND ".join(_value(f"{of}.{ident(field.name)}", field.type) for field in kind)
    if pa.types.is_list(kind) and pa.types.is_list(kind.value_type):
        return " AND ".join(_value(f"{of}[1][{place}]", kind.value_type.value_type) for place in (1, 2))
    if pa.types.is_list(kind):
        return _value(f"{of}[1]", kind.value_type)
    return f"{of} IS NOT NULL"


def _find(path: Path, name: str) -> tuple[bool, Any]:
    """Whether a key is in any of the first lines, and the first value that is not empty."""
    there = False
    for item in islice(_objects(path), SAMPLE):
        there = there or name in item
        if item.get(name) not in (None, [], {}, ""):
            return True, item[name]
    return there, None


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for _, line in rawfile.lines(path):
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if isinstance(item, dict):
            yield item
