"""Columns of Arrow as arrays of NumPy, and back."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sqlgen.errors import TaskError
from udfs import NO_INTEGER, Array, Column

TYPES: dict[str, pa.DataType] = {
    "double": pa.float64(),
    "bigint": pa.int64(),
    "smallint": pa.int16(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("ns"),
    "varchar": pa.dictionary(pa.int8(), pa.string()),
}
"""Types of the columns of kernels."""


def kind_of(key: str | dt.date) -> pa.DataType:
    """Type of the value of a key."""
    return pa.date32() if isinstance(key, dt.date) else pa.string()


def times(column: pa.Array) -> NDArray[np.int64]:
    """Nanoseconds since the epoch."""
    if column.null_count:
        raise TaskError(f"{column.null_count} row(s) have no ts: kernels need the time of every row")
    values: NDArray[np.int64] = column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
    return values


def numbers(column: pa.Array, name: str) -> NDArray[np.float64]:
    """float64 with NaN for NULL; dates as days since 1970."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise TaskError(f"kernels need column '{name}' as numbers, and the template gives {kind}. Cast it to DOUBLE")
    values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def integers(column: pa.Array, name: str) -> NDArray[np.int64]:
    """int64 with ``NO_INTEGER`` for NULL; unsigned columns are reinterpreted bit by bit."""
    if not pa.types.is_integer(column.type):
        raise TaskError(f"kernels need column '{name}' as integers, and the template gives {column.type}. Cast it")
    if column.type == pa.uint64():
        column = column.view(pa.int64())
    values: NDArray[np.int64] = column.cast(pa.int64()).fill_null(NO_INTEGER).to_numpy(zero_copy_only=False)
    return values


def arrow(values: Array, column: Column) -> pa.Array:
    """A kernel's output as an Arrow array."""
    if column.type == "double":  # as pa.array(values, from_pandas=True), at a quarter of its time
        doubles = np.ascontiguousarray(values, np.float64)
        finite = np.isfinite(doubles)
        valid = None
        if not finite.all():
            if np.isinf(doubles).any():
                raise TaskError(f"a kernel returns inf in column {column.name}; use NaN for unknown values")
            valid = pa.py_buffer(np.packbits(finite, bitorder="little"))
        return pa.Array.from_buffers(pa.float64(), len(doubles), [valid, pa.py_buffer(doubles)])
    if column.type == "varchar":
        return pa.DictionaryArray.from_arrays(
            pa.array(values, pa.int8(), mask=values < 0), pa.array(column.values, pa.string())
        )
    mask = values == np.iinfo(values.dtype).min if column.nullable else None
    return pa.array(values, TYPES[column.type], mask=mask)
