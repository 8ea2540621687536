"""What DuckDB leaves unsaid of a file with a JSON object a line: it stops, or makes NULL of all that it cannot read."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sqlgen import rawfile
from sqlgen.errors import TaskError
from sqlgen.quoting import exact_path, ident, literal, path_literal, quoted
from sqlgen.schemas import sql_schema

SAMPLE = 10_000
"""Rows, and lines, in which a column is looked for first."""
NOTHING = "none of the columns is in it"
_VALUE = 120
"""Characters that are told of a value."""


_LINES = """
    SELECT row_number() OVER () - 1 AS place, text
    FROM read_csv(
        $lines, auto_detect = false, header = false, delim = '\x01', quote = '', escape = '', max_line_size = 16777216,
        columns = {'text': 'VARCHAR'}
    )
    WHERE trim(text) <> ''
"""
"""The lines of a file as DuckDB counts its objects."""


def misread(
    connection: duckdb.DuckDBPyConnection,
    readable: Path,
    decoded: Path,
    types: Mapping[str, str],
    spelled: Mapping[str, str],
    strict: bool,
    keep_places: bool,
) -> list[tuple[int, str, str]]:
    """Line number, what is wrong, and text of the lines of which nothing came, or not all that is in them.

    Their rows are taken out of ``decoded``, or made NULL where places are kept. ``strict``: all values were read, or
    DuckDB would have stopped.
    """
    places = dict.fromkeys(_without_values(connection, decoded, types), "")
    if not strict:
        plain = rawfile.unix_lines(readable, decoded.with_suffix(".plain"))
        try:
            places |= _lossy(connection, plain, decoded, types, spelled)
        finally:
            plain.unlink()
    if not places:
        return []
    told = [(number, places[place] or fault, text) for place, number, fault, text in _lines_at(readable, places)]
    bad = f"file_row_number IN (SELECT unnest({literal(list(places))}))"
    columns = ", ".join(f"CASE WHEN NOT {bad} THEN {ident(name)} END AS {ident(name)}" for name in types)
    rows = f"FROM read_parquet({path_literal(decoded)})"
    kept = f"SELECT {columns} {rows}" if keep_places else f"SELECT * {rows} WHERE NOT {bad}"
    rest = decoded.with_suffix(".rest")
    connection.execute(f"COPY ({kept}) TO {quoted(str(rest))} (FORMAT parquet, COMPRESSION uncompressed)")
    rest.replace(decoded)
    return told


def _without_values(connection: duckdb.DuckDBPyConnection, decoded: Path, columns: Iterable[str]) -> list[int]:
    """Places, from 0, of the rows that have no value at all."""
    nothing = " AND ".join(f"{ident(name)} IS NULL" for name in columns)
    query = f"SELECT file_row_number FROM read_parquet($file) WHERE {nothing} ORDER BY 1"
    return [row[0] for row in connection.execute(query, {"file": exact_path(decoded)}).fetchall()]


def _lossy(
    connection: duckdb.DuckDBPyConnection,
    readable: Path,
    decoded: Path,
    types: Mapping[str, str],
    spelled: Mapping[str, str],
) -> dict[int, str]:
    """Places of the rows that lack a value which is in their line, and what that is."""
    if set(types.values()) == {"JSON"}:
        return {}
    columns = sql_schema(types)
    lost = {
        field.name: " OR ".join(
            _lost(f'$."{spelled.get(field.name, field.name)}"', f"[{ident(field.name)}]", field.type)
        )
        for field in columns
    }
    cases = "\n".join(f"WHEN {condition} THEN {literal(name)}" for name, condition in lost.items())
    keys = " ".join(f"WHEN {literal(name)} THEN {literal(spelled.get(name, name))}" for name in lost)
    query = f"""
        SELECT place, CASE {cases} END AS name, json_extract_string(text, '$."' || CASE name {keys} END || '"')
        FROM (SELECT file_row_number AS place, * FROM read_parquet($decoded)) JOIN ({_LINES}) USING (place)
        WHERE json_valid(text) AND name IS NOT NULL
        ORDER BY place
    """
    rows = connection.execute(query, {"decoded": exact_path(decoded), "lines": exact_path(readable)}).fetchall()
    return {
        place: f"{spelled.get(name, name)} is not {types[name]}: {str(value)[:_VALUE]}" for place, name, value in rows
    }


def _lost(path: str, parsed: str, kind: pa.DataType) -> Iterator[str]:
    """SQL of whether less was parsed than there is. ``parsed``: the list of all that was found at ``path``."""
    there = f"json_extract(text, {literal(path)})"
    there = (
        f"list_filter({there if '[*]' in path else f'[{there}]'}, lambda x: coalesce(json_type(x), 'NULL') <> 'NULL')"
    )
    parsed = f"list_filter({parsed}, lambda x: x IS NOT NULL)"
    if pa.types.is_struct(kind):
        yield f"len(list_filter({there}, lambda x: json_type(x) <> 'OBJECT')) > 0"
        for field in kind:
            inner = f"list_transform({parsed}, lambda x: x.{ident(field.name)})"
            yield from _lost(f'{path}."{field.name}"', inner, field.type)
    elif pa.types.is_list(kind):
        yield f"len(list_filter({there}, lambda x: json_type(x) <> 'ARRAY')) > 0"
        yield from _lost(f"{path}[*]", f"flatten({parsed})", kind.value_type)
    else:
        yield f"len({there}) > len({parsed})"


def _lines_at(path: Path, places: Container[int]) -> Iterator[tuple[int, int, str, str]]:
    """Place, line number, what is wrong with it, and text of lines, by their places; blank ones are not counted."""
    for place, (number, text) in enumerate(rawfile.lines(path)):
        if place in places:
            yield place, number, _fault(text), text


def _fault(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError as error:
        return f"not a JSON object: {error}"
    return NOTHING if isinstance(found, dict) else "not a JSON object"


def check_columns(
    connection: duckdb.DuckDBPyConnection,
    decoded: Path,
    readable: Path,
    types: Mapping[str, str],
    spelled: Mapping[str, str],
    optional: Iterable[str],
) -> None:
    """:class:`TaskError` where a column is in no line, or in none as the adapter takes it."""
    schema = sql_schema(types)
    unseen = _unseen(connection, decoded, schema, list(types), f"LIMIT {SAMPLE}")
    unseen = _unseen(connection, decoded, schema, unseen, "") if unseen else []
    missing, misread = [], []
    for name in unseen:
        key = spelled.get(name, name)
        there, value = _find(readable, key)
        if value is not None:
            misread.append(f"{key} as {types[name]}, but it is {json.dumps(value):.120}")
        elif not there and name not in optional:
            missing.append(key)
    if missing or misread:
        keys = ", ".join(dict.fromkeys(key for item in islice(_objects(readable), SAMPLE) for key in item))
        said = [f"no line has {', '.join(missing)}; there are: {keys}"] if missing else []
        raise TaskError("; ".join([*said, *(f"the adapter reads {what}" for what in misread)]))


def _unseen(
    connection: duckdb.DuckDBPyConnection, decoded: Path, schema: pa.Schema, names: list[str], limit: str
) -> list[str]:
    seen = ", ".join(f"bool_or({_value(ident(name), schema.field(name).type)})" for name in names)
    rows = f"(SELECT * FROM read_parquet($file) {limit})"
    [found] = connection.execute(f"SELECT {seen} FROM {rows}", {"file": exact_path(decoded)}).fetchall()
    return [name for name, value in zip(names, found, strict=True) if not value]


def _value(of: str, kind: pa.DataType) -> str:
    """SQL of whether there is a value: of an object in any field, of a list in its first item, and that one whole."""
    if pa.types.is_struct(kind):
        return " OR ".join(_whole(f"{of}.{ident(field.name)}", field.type) for field in kind)
    return _whole(of, kind)


def _whole(of: str, kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return " AND ".join(_whole(f"{of}.{ident(field.name)}", field.type) for field in kind)
    if pa.types.is_list(kind) and pa.types.is_list(kind.value_type):
        return " AND ".join(_whole(f"{of}[1][{place}]", kind.value_type.value_type) for place in (1, 2))
    if pa.types.is_list(kind):
        return _whole(f"{of}[1]", kind.value_type)
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
