"""Values of Parquet files that lose digits: by their first rows, and by the footer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from sqlgen.sources.digits.columns import WHOLE, Lossy, ReadColumns, Suspects, significant
from sqlgen.sources.schemas import Columns, FileColumn, parquet_columns
from sqlgen.templating.queries import query

ROWS = 2_000
"""Rows of a file that are inspected."""
_FLOATS = ("FLOAT", "DOUBLE")
_WIDE = "a decimal of more than 38 digits is read as a float64"
_SURE = 15
"""Most significant digits that a float64 always gives back as they were."""
_EXACT = 2**53
"""Smallest integer above which a float64 skips integers."""


def of_parquet(connection: duckdb.DuckDBPyConnection, path: Path | str, columns: ReadColumns) -> tuple[Lossy, ...]:
    """Lossy columns of a Parquet file; none if it cannot be opened, which is reported when it is read."""
    there = parquet_columns(connection, [path]).get(str(path), ())
    faults = _suspects(columns, there)
    if not faults:
        return ()
    places = {column.name: place for place, column in enumerate(there, 1)}
    context = {"file": path, "places": [places[own] for _, own in faults], "rows": ROWS}
    rows = connection.execute(query("first_values", **context)).fetchall()
    values = (
        (name, value, fault)
        for ((name, _), fault), column in zip(faults.items(), zip(*rows, strict=True), strict=bool(rows))
        for value in column
    )
    found = columns.found((name, str(value), fault(value)) for name, value, fault in values if value is not None)
    told = {each.column for each in found}
    floats = {column.name for column in there if column.kind in _FLOATS}
    later = {own: name for name, own in faults if own in floats - told and columns.types[name] != "DOUBLE"}
    if not rows or not later:
        return found
    largest = connection.execute(query("largest_values", file=path, names=[*later])).fetchall()
    return (*found, *(each for own, value in largest for each in _further_on(columns, later[own], own, value)))


def _suspects(columns: ReadColumns, there: Columns) -> Suspects:
    """Columns of Parquet files whose values may lose digits."""
    if there not in columns.suspects:
        names = {name: columns.original_names.get(name, name) for name in columns.types}
        known = {column.name: column for column in there}
        columns.suspects[there] = {
            (name, own): fault
            for name, own in names.items()
            if own in known and (fault := _fault_of(columns, name, known[own])) is not None
        }
    return columns.suspects[there]


def _further_on(columns: ReadColumns, name: str, own: str, largest: float) -> Iterator[Lossy]:
    """Whole numbers of more digits than a float64 holds, after the first rows."""
    if abs(largest) >= _EXACT and (why := _of_float(columns, name, largest)):
        yield Lossy(own, 0, str(largest), why)


def _fault_of(columns: ReadColumns, name: str, there: FileColumn) -> Callable[[Any], str] | None:
    """Check of values of a column of a file; ``None`` if no digits can be lost."""
    kind = there.kind
    if there.physical == "DECIMAL":
        return lambda value: _WIDE if significant(format(Decimal(str(value)), "f")) > _SURE else ""
    if kind == "FLOAT" and name in columns.times:
        return lambda value: "a 32-bit floating point number does not hold a time"
    if kind in _FLOATS:
        return None if columns.types[name] == "DOUBLE" else lambda value: _of_float(columns, name, value)
    if columns.types[name] == "VARCHAR" and name not in columns.times:
        return None
    if kind.startswith("DECIMAL"):
        return lambda value: columns.fault(name, format(Decimal(value), "f"), False)
    if kind in ("VARCHAR", "JSON") or (kind in WHOLE and columns.types[name] == "DOUBLE"):
        return lambda value: columns.fault(name, str(value), False)
    return None


def _of_float(columns: ReadColumns, name: str, value: float) -> str:
    kind = columns.types[name]
    if abs(value) >= _EXACT and kind == "VARCHAR" and value != float("inf"):
        return "a floating point number does not hold every whole number of so many digits"
    if abs(value) >= _EXACT and kind in WHOLE and abs(value) != float("inf") and int(value) % 1000:
        return "a floating point number holds none below a microsecond"
    return columns.fault(name, repr(value), True)
