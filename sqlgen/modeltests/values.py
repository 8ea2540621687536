"""Values in model tests: times in any notation, rows of files, values for JSON."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sqlgen.templating.quoting import exact_path

Row = dict[str, Any]

READERS = {"csv": "read_csv", "parquet": "read_parquet", "ndjson": "read_ndjson"}
"""DuckDB function that reads a file, by the key that names the file."""

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))? ?(Z|[+-]\d\d:?\d\d)?)?")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = 1_000_000_000
"""In ns."""


def epoch_ns(value: object) -> int | None:
    """A date, a time or ISO text (UTC without an offset) as ns since the epoch; ``None`` for anything else."""
    if isinstance(value, str):
        return _parsed(value)
    if not isinstance(value, dt.date):
        return None
    moment = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds * 1_000


def _parsed(text: str) -> int | None:
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    date, time, fraction, offset = match.groups()
    try:
        whole = epoch_ns(dt.datetime.fromisoformat(f"{date}T{time or '00:00'}{offset or 'Z'}"))
    except ValueError:
        return None
    return None if whole is None else whole + int((fraction or "").ljust(9, "0"))


def iso(ns: int) -> str:
    """Nanoseconds since the epoch as UTC text, without trailing zeros."""
    whole, rest = divmod(ns, _SECOND)
    moment = _EPOCH + dt.timedelta(seconds=whole)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction}"


def plain(value: Any) -> Any:
    """A value for JSON, from which DuckDB reads it in the type of its column."""
    match value:
        case Mapping():
            return {str(name): plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case dt.datetime():
            return iso(epoch_ns(value) or 0)
        case dt.date():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
        case Decimal():
            return str(value)
    return value


def read_rows(path: Path, form: str, connection: duckdb.DuckDBPyConnection) -> list[Row]:
    """The rows of a file; ``form`` is one of :data:`READERS`. :class:`duckdb.Error` if it cannot be read."""
    return python_rows(connection.table_function(READERS[form], [exact_path(path)]).to_arrow_table())


def python_rows(table: pa.Table) -> list[Row]:
    """Rows as Python values, times as text: Python's own have no nanoseconds."""
    columns = {field.name: _values(table.column(at)) for at, field in enumerate(table.schema)}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    if not pa.types.is_timestamp(column.type):
        values: list[Any] = column.to_pylist()
        return values
    numbers = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_pylist()
    return [None if ns is None else iso(ns) for ns in numbers]
