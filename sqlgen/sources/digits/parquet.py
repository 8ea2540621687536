"""Values of Parquet files that lose digits: by their first rows, and by the footer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sqlgen.sources.digits.columns import WHOLE, Lossy, ReadColumns, Suspects
from sqlgen.sources.schemas import ParquetColumns, parquet_footer

ROWS = 2_000
"""Rows of a file that are inspected."""
_EXACT = 2**53
"""Smallest integer above which a float64 skips integers."""


def of_parquet(path: Path | str, columns: ReadColumns) -> tuple[Lossy, ...]:
    """Lossy columns of a Parquet file; none if it cannot be opened, which is reported when it is read."""
    try:
        footer = parquet_footer(path)
        faults = _suspects(columns, footer.columns)
        first = _first_rows(path, [own for _, own in faults])
    except (OSError, pa.ArrowException):
        return ()
    if first is None:
        return ()
    values = ((name, value, fault) for (name, own), fault in faults.items() for value in first.column(own).to_pylist())
    found = columns.found((name, str(value), fault(value)) for name, value, fault in values if value is not None)
    told = {each.column for each in found}
    later = ((name, own) for name, own in faults if own in footer.largest and own not in told)
    return (*found, *(each for name, own in later for each in _further_on(columns, name, own, footer.largest[own])))


def _suspects(columns: ReadColumns, there: ParquetColumns) -> Suspects:
    """Columns of Parquet files whose values may lose digits."""
    if there not in columns.suspects:
        names = {name: columns.original_names.get(name, name) for name in columns.types}
        columns.suspects[there] = {
            (name, own): fault
            for name, own in names.items()
            if own in there.schema.names
            and (fault := _fault_of(columns, name, there.schema.field(own).type)) is not None
        }
    return columns.suspects[there]


def _first_rows(path: Path | str, names: Sequence[str]) -> pa.RecordBatch | None:
    """Some columns of the first rows; ``None`` if there are none."""
    if not names:
        return None
    with pq.ParquetFile(path) as file:
        return next(file.iter_batches(ROWS, columns=list(names)), None)


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
    if abs(value) >= _EXACT and kind in WHOLE and abs(value) != float("inf") and int(value) % 1000:
        return "a floating point number holds none below a microsecond"
    return columns.fault(name, repr(value), True)
