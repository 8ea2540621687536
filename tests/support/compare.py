"""Two tables that should be the same."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa


def values(table: pa.Table, name: str) -> list[Any]:
    """A column; times as nanoseconds since the epoch, which Python's own have no room for."""
    column = table[name]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns")).cast(pa.int64())
    return column.to_pylist()


def same_tables(left: pa.Table, right: pa.Table, abs_tol: float = 1e-18) -> None:
    """Equal; floats to 1e-12 relative or to ``abs_tol``, for sums that were added up in another order."""
    assert left.schema.names == right.schema.names
    assert left.num_rows == right.num_rows
    assert right.num_rows > 0
    for name in left.schema.names:
        one, two = values(left, name), values(right, name)
        if one == two:
            continue
        assert left.schema.field(name).type == pa.float64(), name
        for row, (x, y) in enumerate(zip(one, two, strict=True)):
            assert x == y or math.isclose(x, y, rel_tol=1e-12, abs_tol=abs_tol), (name, row, x, y)
