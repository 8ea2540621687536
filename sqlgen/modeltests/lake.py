"""Temporary lake of one test: the input rows as files of its sources and as published tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
from msgspec import Struct

from sqlgen.errors import SqlgenError, first_line
from sqlgen.lake.partitions import KEYS, NULL_FOLDER, Partition
from sqlgen.lake.storage import Stat
from sqlgen.live.rowwise import CLOCK
from sqlgen.modeltests.types import ROWS_FORMAT, Types
from sqlgen.modeltests.values import Row, epoch_ns, iso, plain
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.published.manifest import Manifest
from sqlgen.published.records import Published
from sqlgen.templating.queries import query

NS_PER = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
DEFAULT_TIMES = "ms"
_WHOLE = ("BIGINT", "INTEGER", "HUGEINT", "UBIGINT", "UINTEGER")
ROWS_FILE = "rows.parquet"
_BROKEN = ("DOUBLE", "FLOAT", "DECIMAL")


class RowsError(SqlgenError):
    """Input rows that do not fit their input."""

    input = ""
    """Name of the input, once it is known."""


class LakeWriter(Struct, frozen=True):
    """Writes the inputs of one test into the lake of ``project``."""

    project: Project
    model: Model
    connection: duckdb.DuckDBPyConnection

    def rows(self, entry: ModelInput, rows: Sequence[Row], types: Types, times: str | None) -> None:
        """Write the rows of one input; :class:`RowsError` if they do not fit."""
        numbered = enumerate(rows, 1)
        if entry.source is not None:
            unit = NS_PER[times or DEFAULT_TIMES]
            ready = [_raw_row(number, row, types, unit) for number, row in numbered]
            self._source(entry, _dated(rows, ready), types)
        else:
            upstream = self.project.models[entry.ref]
            ready = [_table_row(number, row, upstream, self.model.header.time) for number, row in numbered]
            self._table(upstream, ready, types)

    def files(self, entry: ModelInput, files: Iterable[Path], common: Mapping[str, Any]) -> None:
        """Put files into the folder of a source, below the keys that ``common`` names."""
        assert entry.source is not None
        folder = self.project.lake / entry.source.path / _partition(common).path
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, folder / file.name)

    def _source(self, entry: ModelInput, rows: list[Row], types: Types) -> None:
        assert entry.source is not None
        _same_keys(rows)
        for where, inside in _grouped(rows, KEYS):
            bare = [{name: value for name, value in row.items() if name not in where} for row in inside]
            folder = self.project.lake / entry.source.path / where.path
            folder.mkdir(parents=True, exist_ok=True)
            if types:
                empty = dict.fromkeys(name for name in types if name not in where)  # a file has all columns
                (folder / f"rows.{ROWS_FORMAT}").write_text(_json_lines(empty | row for row in bare), encoding="utf-8")
            else:
                self._copy(bare, {}, folder / "rows.parquet")

    def _table(self, upstream: Model, rows: list[Row], columns: Mapping[str, str]) -> None:
        manifest = Manifest.below(self.project.state)
        inner = upstream.inner_keys
        for where, inside in _grouped(rows, upstream.unit_keys):
            unit = self.project.lake / upstream.output.path / where.path
            if "seq" in columns and not any("seq" in row for row in inside):
                inside = [row | {"seq": number} for number, row in enumerate(inside)]
            files: dict[str, Stat] = {}
            for below, together in _by_folder(inside, inner):
                path = unit / below / ROWS_FILE
                path.parent.mkdir(parents=True, exist_ok=True)
                keys = {*upstream.output.partition_by}
                bare = [{name: value for name, value in row.items() if name not in keys} for row in together]
                self._copy(bare, {name: kind for name, kind in columns.items() if name not in keys}, path)
                files[str(path.relative_to(unit))] = Stat.of(path.stat())
            types = {key: columns[key] for key in inner if key in columns}
            keys_of = upstream.output.partition_by
            record = Published(where.path, keys_of, "given", "", "", {}, rows=len(inside), files=files, types=types)
            manifest.note(upstream.name, [record])

    def _copy(self, rows: list[Row], columns: Mapping[str, str], path: Path) -> None:
        """Write rows in the types of their columns, or, if unknown, in the types that DuckDB detects."""
        lines = path.with_name("_rows.json")
        lines.write_text(_json_lines(rows), encoding="utf-8")
        select = query("json_rows", file=lines, types=columns)
        try:
            self.connection.execute(query("to_parquet", select=select, target=str(path)))
        except duckdb.Error as error:
            raise RowsError(
                f"rows do not have the types of their columns: {first_line(str(error).replace(str(lines), lines.name))}"
            ) from None
        finally:
            lines.unlink()


def _by_folder(rows: Iterable[Row], keys: Sequence[str]) -> list[tuple[str, list[Row]]]:
    """Rows by their folder below the unit."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        values = (NULL_FOLDER if row.get(key) is None else quote(str(row[key]), safe="") for key in keys)
        groups.setdefault("/".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)), []).append(row)
    return list(groups.items())


def _grouped(rows: Iterable[Row], keys: Collection[str]) -> list[tuple[Partition, list[Row]]]:
    """Rows by partition, in their order."""
    groups: dict[Partition, list[Row]] = {}
    for row in rows:
        groups.setdefault(_partition(row).project(keys), []).append(row)
    return list(groups.items())


def _dated(written: Sequence[Row], ready: list[Row]) -> list[Row]:
    """Rows with the date partition that a collector would use, if all have a time that gives it.

    Others go into files without date, and the engine finds the dates in the rows.
    """
    if any("date" in row for row in written):
        return ready
    moments = [next((row[name] for name in CLOCK if row.get(name) is not None), None) for row in written]
    dates = [None if (ns := epoch_ns(moment)) is None else iso(ns)[:10] for moment in moments]
    if None in dates:
        return ready
    return [row | {"date": date} for row, date in zip(ready, dates, strict=True)]


def _same_keys(rows: Iterable[Row]) -> None:
    """Raise :class:`RowsError` unless all rows name the same keys: files of a source share one layout."""
    found: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(rows, 1):
        found.setdefault(tuple(key for key in KEYS if row.get(key) is not None), number)
    if len(found) > 1:
        by_row = "; ".join(f"row {number}: {', '.join(keys) or 'none'}" for keys, number in found.items())
        raise RowsError(f"rows of one source must name the same of {', '.join(KEYS)}. Found {by_row}")


def _partition(row: Mapping[str, Any]) -> Partition:
    return Partition.of(**{key: _key(key, row[key]) for key in KEYS if row.get(key) is not None})


def _key(key: str, value: Any) -> str:
    if key != "date":
        return str(value)
    ns = epoch_ns(value)
    if ns is None:
        raise RowsError(f"date: found {value!r}, expected a date like 2026-01-01")
    return iso(ns)[:10]


def _table_row(number: int, row: Row, upstream: Model, time: str) -> Row:
    """A row of a published table with all keys of its partition; a missing date is that of the time."""
    moment = epoch_ns(row.get(time))
    dated = {"date": iso(moment)[:10]} | row if moment is not None else row
    missing = [key for key in upstream.unit_keys if dated.get(key) is None]
    if missing:
        raise RowsError(f"row {number} names no {', '.join(missing)}, by which '{upstream.name}' is partitioned")
    return dated


def _raw_row(number: int, row: Row, columns: Mapping[str, str], unit: int) -> Row:
    return {name: _raw(number, name, value, columns.get(name, ""), unit) for name, value in row.items()}


def _raw(number: int, name: str, value: Any, kind: str, unit: int) -> Any:
    """A value in the form of a raw file: a time on the source's clock, levels as structs."""
    if kind.startswith(_WHOLE + _BROKEN) and not kind.endswith("]"):
        ns = epoch_ns(value)
        if ns is None:
            return value
        if kind.startswith(_BROKEN):
            return ns / unit
        if ns % unit:
            raise RowsError(
                f"row {number}: {name}: {value} is finer than the clock of the source. Write the raw number, "
                f"or set its unit with times: s, ms, us or ns"
            )
        return ns // unit
    if kind.startswith("STRUCT(") and kind.endswith("[]") and isinstance(value, list | tuple):
        names = _fields(kind)
        return [dict(zip(names, level, strict=False)) if isinstance(level, list) else level for level in value]
    return value


def _fields(kind: str) -> list[str]:
    """Names of the fields of a type like ``STRUCT(price DOUBLE, size DOUBLE)[]``."""
    struct = duckdb.sqltype(kind.removesuffix("[]"))
    return [name for name, _ in struct.children]


def _json_lines(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(plain(row)) + "\n" for row in rows)
