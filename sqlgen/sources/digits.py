"""Detection of values whose digits do not fit the column types, in the first rows of source files."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.sources import rawfile

ROWS = 2_000
"""Rows of a file that are inspected."""
_EXACT = 2**53
"""Smallest integer above which a float64 skips integers."""
_DOUBLE = 17
"""Most significant digits of a float64."""
_UNITS = {"s": 9, "ms": 6, "us": 3}
_FRACTION = re.compile(r"[+-]?\d*\.\d*[1-9]\d*")
_DECIMAL = re.compile(r"\d+\.\d+|\d{18,}")
_FIELD = re.compile(r"[(,] ?(\w+) (U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?)\b")
"""A field of whole numbers in the SQL type of a nested column."""
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")


@dataclass(frozen=True)
class Lossy:
    """Values of one column of a file that lose digits."""

    column: str
    count: int
    """Number among the first rows; 0 if the footer of a Parquet file tells that there are some further on."""
    example: str
    why: str


@dataclass(frozen=True)
class ReadColumns:
    """Columns that an adapter reads."""

    types: Mapping[str, str]
    """Column -> SQL type."""
    original_names: Mapping[str, str]
    """Column -> its name in the files, where they differ."""
    times: Sequence[str] = ()
    """Timestamp columns."""
    unit: str = ""
    """Unit of timestamps that are counts since 1970."""

    def fault(self, name: str, text: str, is_float: bool) -> str:
        """Reason why a value loses digits; empty if it does not. ``is_float``: the source has a float64."""
        kind, decimals = self.types[name], _UNITS.get(self.unit, 9)
        if kind in _WHOLE:
            return f"it is read as whole numbers ({kind})" if _FRACTION.fullmatch(text) else ""
        if kind.startswith("DECIMAL"):
            limit = max(decimals - 3, 0) if is_float else decimals
            why = (
                "a floating point number (as all are in JSON) holds none below a microsecond, and nanoseconds are kept"
            )
            return why if re.search(rf"\.\d{{{limit}}}\d*[1-9]", text) else ""
        if kind == "VARCHAR":
            why = "nine digits after the second are kept"
            return why if name in self.times and re.search(r"[.,]\d{9}\d*[1-9]", text) else ""
        if kind == "DOUBLE" or "DOUBLE" in kind:
            why = f"a 64-bit floating point number holds {_DOUBLE} digits at most"
            return why if any(_significant(found) > _DOUBLE for found in _DECIMAL.findall(text)) else ""
        return ""

    def found(self, rows: Iterable[Iterator[tuple[str, str, str]]]) -> tuple[Lossy, ...]:
        """Lossy columns among rows of (column, text, reason)."""
        counts: dict[str, Lossy] = {}
        for name, text, why in (found for row in rows for found in row if found[2]):
            known = counts.get(name)
            count = known.count + 1 if known is not None else 1
            first = known or Lossy(self.original_names.get(name, name), count, text[:80], why)
            counts[name] = Lossy(first.column, count, first.example, first.why)
        return tuple(counts.values())


def _significant(number: str) -> int:
    return len(number.replace(".", "").lstrip("0").rstrip("0"))


def of_csv(path: Path, columns: ReadColumns, order: Sequence[str], header: bool, delimiter: str) -> tuple[Lossy, ...]:
    """Lossy columns of a CSV file with columns in this order."""
    places = {name: place for place, name in enumerate(order) if name in columns.types}
    lines = (text for _, text in rawfile.lines(path))
    rows = csv.reader(islice(lines, int(header), ROWS + int(header)), delimiter=delimiter)
    return columns.found(_of_cells(columns, places, row) for row in _readable(rows))


def _readable(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error:
        return  # DuckDB reports the line


def _of_cells(columns: ReadColumns, places: Mapping[str, int], row: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for name, place in places.items():
        if place < len(row):
            yield name, row[place], columns.fault(name, row[place].strip(), False)


def of_ndjson(path: Path, columns: ReadColumns) -> tuple[Lossy, ...]:
    """Lossy columns of an NDJSON file, values at any depth."""
    fields = {name: kind for outer in columns.types.values() for name, kind in _FIELD.findall(outer)}
    columns = replace(columns, types=fields | dict(columns.types))
    keys = {name: columns.original_names.get(name, name).rpartition(".")[2] for name in columns.types}
    patterns = {name: re.compile(rf'"{re.escape(key)}"\s*:\s*("?)([^",}}\]]*)') for name, key in keys.items()}
    lines = (text for _, text in islice(rawfile.lines(path), ROWS))
    return columns.found(_of_line(columns, patterns, line) for line in lines)


def _of_line(
    columns: ReadColumns, patterns: Mapping[str, re.Pattern[str]], line: str
) -> Iterator[tuple[str, str, str]]:
    for name, pattern in patterns.items():
        kind = columns.types[name]
        if "(" in kind.removeprefix("DECIMAL(") or "[" in kind:
            numbers = [found for found in _DECIMAL.findall(line) if "." in found]
            yield from ((name, number, columns.fault(name, number, False)) for number in numbers)
        else:
            for match in pattern.finditer(line):
                yield name, match[2], columns.fault(name, match[2].strip(), not match[1])


def of_parquet(path: Path, columns: ReadColumns) -> tuple[Lossy, ...]:
    """Lossy columns of a Parquet file; none if it cannot be opened, which is reported when it is read."""
    try:
        with pq.ParquetFile(path) as file:
            names = {name: columns.original_names.get(name, name) for name in columns.types}
            there = {name: own for name, own in names.items() if own in file.schema_arrow.names}
            batch = next(file.iter_batches(ROWS, columns=list(there.values())), None)
            largest = _largest(file.metadata, set(there.values()))
    except (OSError, pa.ArrowException):
        return ()
    if batch is None:
        return ()
    found: list[tuple[str, str, str]] = []
    for name, own in there.items():
        column = batch.column(own)
        if fault := _fault_of(columns, name, column.type):
            found += [(name, str(value), fault(value)) for value in column.to_pylist() if value is not None]
    first = columns.found([iter(found)])
    told = {each.column for each in first}
    later = ((name, own) for name, own in there.items() if own in largest and own not in told)
    return (*first, *(each for name, own in later for each in _further_on(columns, name, own, largest[own])))


def _largest(footer: pq.FileMetaData, names: Collection[str]) -> dict[str, float]:
    """Largest value of columns of floating point numbers, by the statistics in a file's footer."""
    found: dict[str, float] = {}
    for group in range(footer.num_row_groups):
        for place in range(footer.num_columns):
            column = footer.row_group(group).column(place)
            if column.path_in_schema in names and column.statistics is not None and column.statistics.has_min_max:
                value = column.statistics.max
                if isinstance(value, float):
                    found[column.path_in_schema] = max(value, found.get(column.path_in_schema, value))
    return found


def _further_on(columns: ReadColumns, name: str, own: str, largest: float) -> Iterator[Lossy]:
    """Whole numbers of more digits than a float64 holds, after the first rows."""
    if columns.types[name] != "DOUBLE" and abs(largest) >= _EXACT and (why := _of_float(columns, name, largest)):
        yield Lossy(own, 0, str(largest), why)


def _fault_of(columns: ReadColumns, name: str, kind: pa.DataType) -> Callable[[Any], str] | None:
    """Check of values of an Arrow type; ``None`` if no digits can be lost."""
    if pa.types.is_float32(kind) and name in columns.times:
        return lambda value: "a 32-bit floating point number does not hold a time"
    if pa.types.is_floating(kind) and columns.types[name] == "DOUBLE":
        return None
    if not pa.types.is_floating(kind) and columns.types[name] == "VARCHAR" and name not in columns.times:
        return None
    if pa.types.is_floating(kind):
        return lambda value: _of_float(columns, name, value)
    if pa.types.is_decimal(kind):
        return lambda value: columns.fault(name, format(Decimal(value), "f"), False)
    if pa.types.is_integer(kind) and columns.types[name] != "DOUBLE":
        return None
    if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return lambda value: columns.fault(name, str(value), False)
    return None


def _of_float(columns: ReadColumns, name: str, value: float) -> str:
    kind = columns.types[name]
    if abs(value) >= _EXACT and kind == "VARCHAR" and value != float("inf"):
        return "a floating point number does not hold every whole number of so many digits"
    if abs(value) >= _EXACT and kind in _WHOLE and abs(value) != float("inf") and int(value) % 1000:
        return "a floating point number holds none below a microsecond"
    return columns.fault(name, repr(value), True)
