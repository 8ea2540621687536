"""A SELECT with one output row per input row, kept open and fed row by row.

Planning the SELECT of a model takes a hundred times as long as running it over one row, and DuckDB plans a prepared
statement over a table at every execution. So the statement is executed once, over a stream of rows that does not end.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from msgspec import Struct

from sqlgen.errors import SqlgenError, first_line
from sqlgen.stream.arrays import times
from sqlgen.templating.queries import query

CLOCK = ("timestamp", "collected_at")
"""Raw columns with the time of a row, in ms: the first that is not NULL."""
_OF_CLOCK = {"exchange": CLOCK[:1], "received": CLOCK[1:]}
"""``clock`` of a source -> those of them that count."""

_MILLISECOND = 1_000_000
"""In ns."""
_TIMES = (631_152_000_000_000_000, 4_102_444_800_000_000_000)
"""1990 to 2100, as in macros/time.sql.j2."""
_PATIENCE = 64
"""Empty rows that may be needed after a row until it comes out. DuckDB needs one."""
_KEYS = {"exchange": "VARCHAR", "symbol": "VARCHAR", "date": "DATE", "seq": "BIGINT"}


class RowError(SqlgenError):
    """A row does not have the form of the source's rows. The state has not changed; go on with the next row."""


class RawRows(Struct, frozen=True):
    """Conversion of raw rows, in the form of a source's files, from Python to Arrow."""

    what: str
    """Model and input, for messages."""
    types: dict[str, str]
    """Column -> SQL type, without keys."""
    schema: pa.Schema
    clock: tuple[str, ...] = CLOCK
    """Columns with the time of a row."""

    @classmethod
    def of(cls, what: str, types: Mapping[str, str], connection: duckdb.DuckDBPyConnection, clock: str = "") -> RawRows:
        """The columns that an adapter reads; ``clock``: of the source."""
        if not set(CLOCK) <= types.keys():
            raise SqlgenError(
                f"{what}: its adapter reads {', '.join(types)}. To run live it must read {' and '.join(CLOCK)}, in ms"
            )
        empty = connection.sql(query("no_rows", types=_KEYS | dict(types)))
        return cls(what, dict(types), empty.to_arrow_table().schema, _OF_CLOCK.get(clock, CLOCK))

    def time(self, row: Mapping[str, Any]) -> int:
        """The time of a row in ns since the epoch."""
        value = next((row[name] for name in self.clock if row.get(name) is not None), None)
        if value is None:
            names = f"{' and '.join(self.clock)} {'are' if len(self.clock) > 1 else 'is'}"
            raise RowError(f"{self.what}: the row has no time: {names} missing. Give one, in ms")
        try:
            time = operator.index(value) * _MILLISECOND
        except TypeError:
            time = 0
        if not _TIMES[0] <= time <= _TIMES[1]:
            raise RowError(f"{self.what}: {value!r} is no time of a row: ms since 1970 as a whole number are needed")
        return time

    def batch(self, row: Mapping[str, Any], **keys: Any) -> pa.RecordBatch:
        """One row with its keys."""
        values = keys | {name: self._value(row, name) for name in self.types}
        arrays = [self._array(field, values[field.name]) for field in self.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def empty(self) -> pa.RecordBatch:
        """One row without any value."""
        return pa.RecordBatch.from_arrays([pa.nulls(1, field.type) for field in self.schema], schema=self.schema)

    def _value(self, row: Mapping[str, Any], name: str) -> Any:
        if name not in row and name not in CLOCK:
            raise RowError(f"{self.what}: the row has no column '{name}' (None is NULL). It has: {', '.join(row)}")
        try:
            return _structured(row.get(name), self.schema.field(name).type)
        except ValueError as error:
            raise RowError(f"{self.what}: column '{name}': {error}") from None

    def _array(self, field: pa.Field, value: Any) -> pa.Array:
        try:
            return pa.array([value], field.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            kind = (_KEYS | self.types)[field.name]
            raise RowError(f"{self.what}: column '{field.name}' must be {kind}; found {value!r:.80}: {error}") from None


def _structured(value: Any, kind: pa.DataType) -> Any:
    """Tuples as structs, at any depth."""
    if value is None or not pa.types.is_nested(kind):
        return value
    if pa.types.is_list(kind):
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise ValueError(f"a list is needed, found {value!r:.80}")
        return [_structured(item, kind.value_type) for item in value]
    names = [kind.field(i).name for i in range(kind.num_fields)]
    if isinstance(value, Mapping):
        if set(names) <= value.keys():
            return {name: value[name] for name in names}
    elif isinstance(value, Sequence) and len(value) >= len(names):
        return dict(zip(names, value, strict=False))
    raise ValueError(f"({', '.join(names)}) is needed, found {value!r:.80}")


class RowStatement:
    """A SELECT over the table ``name``, whose rows are given one after the other.

    DuckDB hands a row out when it has taken in the one after it. So an empty row follows each; it has no ``ts``, by
    which it is told. However many empty rows DuckDB asks for, what comes out for a row is the same.
    """

    def __init__(self, select: str, name: str, rows: RawRows, connection: duckdb.DuckDBPyConnection) -> None:
        self._what = rows.what
        self._waiting: deque[pa.RecordBatch] = deque()
        self._cursor = connection.cursor()
        self._cursor.execute("SET enable_progress_bar = false")
        self._cursor.execute("SET streaming_buffer_size = '1 byte'")  # a larger buffer would hold rows back
        source = pa.RecordBatchReader.from_batches(rows.schema, _endless(self._waiting, rows.empty()))
        self._cursor.register(name, source)
        try:
            self._reader = self._cursor.sql(select).to_arrow_reader(1)
        except duckdb.Error as error:
            raise SqlgenError(f"{self._what}: {first_line(error)}") from error
        self.schema: pa.Schema = self._reader.schema
        if "ts" not in self.schema.names:
            raise SqlgenError(f"{self._what}: the template returns no ts, which identifies its rows")
        self._next()

    def row(self, batch: pa.RecordBatch, time: int) -> pa.RecordBatch:
        """Output of the SELECT for one row, whose time is ``time`` in ns. After an error, open a new statement."""
        self._waiting.append(batch)
        for _ in range(_PATIENCE):
            found = self._next()
            if found.column("ts").null_count == 0:
                if found.num_rows == 1 and times(found.column("ts"))[0] == time:
                    return found
                break
        raise self._not_row_by_row()

    def _next(self) -> pa.RecordBatch:
        try:
            return self._reader.read_next_batch()
        except StopIteration:
            raise self._not_row_by_row() from None
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise SqlgenError(f"{self._what}: {first_line(error)}") from error

    def _not_row_by_row(self) -> SqlgenError:
        return SqlgenError(
            f"{self._what}: the template does not return one row for each row, and cannot run row by row"
        )

    def close(self) -> None:
        self._reader.close()
        self._cursor.close()


def _endless(waiting: deque[pa.RecordBatch], empty: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Pending rows, and in between as many empty rows as DuckDB asks for."""
    empty_rows = 0
    while empty_rows < 2 * _PATIENCE:
        if waiting:
            empty_rows = 0
            yield waiting.popleft()
        else:
            empty_rows += 1
            yield empty
