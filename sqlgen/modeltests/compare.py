"""Comparison of expected rows with the rows of a table: cells, missing rows, extra rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
from msgspec import Struct

from sqlgen.modeltests.values import Row, epoch_ns, plain, python_rows

ALIGNED_CELLS = 40_000
"""Limit on pairs of rows for alignment; beyond it rows are compared by position."""
_GAP = 0.6
"""Cost of an unpaired row; a pair costs the share of its cells that differ. So two rows that have nothing in common
are one wrong row, not a missing and an extra one."""


class Tolerance(Struct, frozen=True):
    """Tolerance of numbers."""

    relative: float = 1e-9
    absolute: float = 0.0


class Difference(Struct, frozen=True):
    """One cell that is not as expected, or one row: then ``column`` is empty."""

    row: int
    """From 1, among the expected rows; of an extra row, among the rows of the table."""
    column: str
    expected: Any
    """``None`` for an extra row, whose ``found`` is a mapping."""
    found: Any
    """``None`` for a missing row, whose ``expected`` is a mapping."""

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        kind = "cell" if self.column else "missing row" if self.found is None else "extra row"
        return {
            "kind": kind,
            "row": self.row,
            "column": self.column or None,
            "expected": plain(self.expected),
            "found": plain(self.found),
        }


def compare(expected: Sequence[Row], table: pa.Table, tolerance: Tolerance) -> list[Difference]:
    """Differences, in the order of the rows. Columns that no row names are not compared.

    Every column that a row names must be in ``table``.
    """
    types = {field.name: field.type for field in table.schema}
    named = [name for name in types if any(name in row for row in expected)] or list(types)
    found = python_rows(table.select(named))
    differences = []
    for left, right in _pairs(expected, found, types, tolerance):
        if left is None and right is not None:
            differences.append(Difference(right + 1, "", None, found[right]))
        elif right is None and left is not None:
            differences.append(Difference(left + 1, "", expected[left], None))
        elif left is not None and right is not None:
            wrong = _wrong(expected[left], found[right], types, tolerance)
            differences += [Difference(left + 1, name, expected[left][name], found[right][name]) for name in wrong]
    return differences


def _wrong(expected: Row, found: Row, types: Mapping[str, pa.DataType], tolerance: Tolerance) -> list[str]:
    """The columns in which a row is not as expected."""
    return [name for name, value in expected.items() if not same(value, found[name], types[name], tolerance)]


def _pairs(
    expected: Sequence[Row], found: Sequence[Row], types: Mapping[str, pa.DataType], tolerance: Tolerance
) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of an expected and a found row, by index; ``None`` for none."""
    n, m = len(expected), len(found)
    in_place = [(at if at < n else None, at if at < m else None) for at in range(max(n, m))]
    if n == m and not any(_wrong(left, right, types, tolerance) for left, right in zip(expected, found, strict=True)):
        return iter(in_place)
    if n * m > ALIGNED_CELLS:
        return iter(in_place)
    costs = [[len(_wrong(left, right, types, tolerance)) / max(len(left), 1) for right in found] for left in expected]
    return _aligned(costs, n, m)


def _aligned(costs: list[list[float]], n: int, m: int) -> Iterator[tuple[int | None, int | None]]:
    """The alignment of both lists of least cost (edit distance)."""
    best = [[0.0] * (m + 1) for _ in range(n + 1)]
    for i in range(n, -1, -1):
        for j in range(m, -1, -1):
            ways = []
            if i < n and j < m:
                ways.append(costs[i][j] + best[i + 1][j + 1])
            if i < n:
                ways.append(_GAP + best[i + 1][j])
            if j < m:
                ways.append(_GAP + best[i][j + 1])
            best[i][j] = min(ways, default=0.0)
    i = j = 0
    while i < n or j < m:
        if i < n and j < m and best[i][j] == costs[i][j] + best[i + 1][j + 1]:
            yield i, j
            i, j = i + 1, j + 1
        elif i < n and best[i][j] == _GAP + best[i + 1][j]:
            yield i, None
            i += 1
        else:
            yield None, j
            j += 1


def same(expected: Any, found: Any, kind: pa.DataType, tolerance: Tolerance) -> bool:
    """True if ``found``, of a column of type ``kind``, equals the expected value."""
    if expected is None or found is None:
        return expected is None and found is None
    if pa.types.is_temporal(kind):
        return epoch_ns(expected) == epoch_ns(found) if epoch_ns(found) is not None else str(expected) == str(found)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _same_list(expected, found, kind.value_type, tolerance)
    if pa.types.is_struct(kind):
        return isinstance(expected, Mapping) and all(
            name in found and same(value, found[name], kind.field(name).type, tolerance)
            for name, value in expected.items()
        )
    if pa.types.is_boolean(kind) or isinstance(expected, bool):
        return isinstance(expected, bool) and isinstance(found, bool) and expected == found
    if isinstance(found, int | float | Decimal):
        return _same_number(expected, found, tolerance)
    # An unquoted value in YAML may be a number, and a quoted one in CSV a date.
    return str(plain(expected)) == str(plain(found)) and not isinstance(expected, float)


def _same_list(expected: Any, found: Any, kind: pa.DataType, tolerance: Tolerance) -> bool:
    if not isinstance(expected, list | tuple) or len(expected) != len(found):
        return False
    return all(same(left, right, kind, tolerance) for left, right in zip(expected, found, strict=True))


def _same_number(expected: Any, found: int | float | Decimal, tolerance: Tolerance) -> bool:
    """Whole numbers exactly, decimals that are quoted too; all others within the tolerance."""
    if isinstance(expected, str) and isinstance(found, Decimal):
        try:
            return Decimal(expected) == found
        except InvalidOperation:
            return False
    if not isinstance(expected, int | float | Decimal):
        return False
    if isinstance(found, int):
        return expected == found
    left, right = float(expected), float(found)
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return math.isclose(left, right, rel_tol=tolerance.relative, abs_tol=tolerance.absolute)
