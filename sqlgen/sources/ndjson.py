"""Checks of NDJSON files that DuckDB does not make: it stops, or turns all that it cannot read into NULL."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from msgspec import Struct

from sqlgen.errors import TaskError
from sqlgen.sources import rawfile
from sqlgen.sources.schemas import sql_schema
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import ident, is_nested, json_path, literal

SAMPLE = 10_000
"""Lines that are searched for a column that no row has."""
_FIRST = 1_000
"""Rows that are searched first for a column."""
NOTHING = "none of the columns is in it"
_VALUE = 120
"""Characters of a value in messages."""
_TEXT = 500
"""Characters of a line that are kept."""
_ABSENT = object()


class JsonLines(Struct, frozen=True):
    """JSON objects of a file, and the Parquet file that DuckDB decoded them into."""

    connection: duckdb.DuckDBPyConnection
    readable: Path
    decoded: Path
    types: Mapping[str, str]
    """Column -> SQL type."""
    original_names: Mapping[str, str]
    """Column -> its name in the file, if it differs."""

    def misread(
        self, repaired: Path, faults: Mapping[int, str] | None, keep_places: bool
    ) -> list[tuple[int, str, str]]:
        """Number, error and text of the lines that were not decoded, or not completely.

        Their rows are removed from the Parquet file, or made NULL if places are kept. ``faults``: lines that
        :func:`rawfile.repair` left out of ``repaired``, with the reason; ``None`` if all values were read.
        """
        places = dict.fromkeys(self._without_values(), "")
        if faults is not None:
            places |= self._lossy(repaired) | dict(faults)
        if not places:
            return []
        lines = _lines_at(self.readable, places)
        misread = [(number, places[place] or _fault(text), text[:_TEXT]) for place, number, text in lines]
        rest = self.decoded.with_suffix(".rest")
        context = {"file": self.decoded, "target": str(rest), "columns": list(self.types), "places": list(places)}
        self.connection.execute(query("ndjson_without", keep_places=keep_places, **context))
        rest.replace(self.decoded)
        return misread

    def _without_values(self) -> list[int]:
        """Positions, from 0, of rows without any value."""
        empty = query("ndjson_empty", file=self.decoded, columns=list(self.types))
        return [row[0] for row in self.connection.execute(empty).fetchall()]

    def _lossy(self, repaired: Path) -> dict[int, str]:
        """Positions of rows that lack a value of their line -> message with the value."""
        if set(self.types.values()) == {"JSON"}:
            return {}
        keys = {name: self._key(name) for name in self.types}
        lost = {
            field.name: " OR ".join(_lost(self._path(keys[field.name]), f"[{ident(field.name)}]", field.type))
            for field in sql_schema(self.types)
        }
        paths = {name: self._path(key) for name, key in keys.items()}
        found = query("ndjson_lost", decoded=self.decoded, lines=repaired, lost=lost, paths=paths)
        rows = self.connection.execute(found).fetchall()
        return {place: f"{keys[name]} is not {self.types[name]}: {str(value)[:_VALUE]}" for place, name, value in rows}

    def _path(self, key: str) -> str:
        """JSON path of a key, or of a field within others where no line has a key of this name."""
        return json_path(key) if is_nested(key) and not _find(self.readable, key, nested=False)[0] else f'$."{key}"'

    def _key(self, name: str) -> str:
        return self.original_names.get(name, name)

    def check_columns(self, optional: Iterable[str]) -> None:
        """:class:`TaskError` if no line has a column, or none has it in the adapter's type."""
        schema = sql_schema(self.types)
        unseen = self._unseen(schema, list(self.types), _FIRST)
        unseen = self._unseen(schema, unseen, None) if unseen else []
        missing, misread = [], []
        for name in unseen:
            there, value = _find(self.readable, self._key(name))
            if value is not None:
                misread.append(f"{self._key(name)} as {self.types[name]}, but it is {json.dumps(value):.120}")
            elif not there and name not in optional:
                missing.append(self._key(name))
        if missing or misread:
            objects = _objects(self.readable, SAMPLE)
            keys = ", ".join(dict.fromkeys(key for item in objects for key in item))
            problems = [f"no line has {', '.join(missing)}; there are: {keys}"] if missing else []
            raise TaskError("; ".join([*problems, *(f"the adapter reads {what}" for what in misread)]))

    def _unseen(self, schema: pa.Schema, names: list[str], most: int | None) -> list[str]:
        conditions = [_value(ident(name), schema.field(name).type) for name in names]
        seen = query("ndjson_seen", file=self.decoded, conditions=conditions, most=most)
        [found] = self.connection.execute(seen).fetchall()
        return [name for name, value in zip(names, found, strict=True) if not value]


def _lost(path: str, parsed: str, kind: pa.DataType) -> Iterator[str]:
    """SQL conditions: fewer values were parsed than the line has. ``parsed``: list of values parsed from ``path``."""
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


def _lines_at(path: Path, places: Container[int]) -> Iterator[tuple[int, int, str]]:
    """Position, line number and text of lines at these positions, blank lines not counted."""
    for place, (number, text) in enumerate(rawfile.lines(path)):
        if place in places:
            yield place, number, text


def _fault(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError as error:
        return f"not a JSON object: {error}"
    except RecursionError:
        return "not a JSON object that can be read: it is nested too deeply"
    if not isinstance(found, dict):
        return "not a JSON object"
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        return NOTHING
    except UnicodeEncodeError:
        return r"not JSON that DuckDB takes: a \u escape in it is half of a character (\ud800 to \udfff stand in pairs)"
    return NOTHING


def _value(of: str, kind: pa.DataType) -> str:
    """SQL condition: there is a value (an object: in any field; a list: a complete first item)."""
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


def _find(path: Path, name: str, nested: bool = True) -> tuple[bool, Any]:
    """True if a key is in any of the first lines, and its first value that is not empty."""
    there = False
    for item in _objects(path, SAMPLE, f'"{re.split(r"[.[]", name)[0]}'):
        value = item.get(name, _within(item, name) if nested and is_nested(name) else _ABSENT)
        there = there or value is not _ABSENT
        if value not in (_ABSENT, None, [], {}, ""):
            return True, value
    return there, None


def _within(item: Any, name: str) -> Any:
    """The value of a field within others, by its path such as ``data[0].price``."""
    for step in re.findall(r"[^.\[\]]+", name):
        if isinstance(item, list) and step.isdecimal() and int(step) < len(item):
            item = item[int(step)]
        elif isinstance(item, dict) and step in item:
            item = item[step]
        else:
            return _ABSENT
    return item


def _objects(path: Path, most: int, having: str = "") -> Iterator[dict[str, Any]]:
    """Objects of the first lines that have a text."""
    for _, line in islice(rawfile.lines(path), most):
        if having not in line:
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(item, dict):
            yield item
