"""The comparison of model tests: each kind of difference is seen, and nothing else is."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.modeltests.compare import Difference, Tolerance, compare, same
from sqlgen.modeltests.values import epoch_ns, iso, python_rows

EXACT = Tolerance(0.0, 0.0)
NS = pa.timestamp("ns")
LEVELS = pa.list_(pa.struct({"price": pa.float64(), "size": pa.float64()}))


@pytest.mark.parametrize(
    ("expected", "found", "kind", "tolerance", "result"),
    [
        (1, 1.0, pa.float64(), EXACT, True),
        (1.0, 1.0 + 1e-10, pa.float64(), Tolerance(), True),
        (1.0, 1.0 + 1e-8, pa.float64(), Tolerance(), False),
        (1.0, 1.0 + 1e-8, pa.float64(), Tolerance(1e-7), True),
        (1e6, 1e6 + 1e-3, pa.float64(), EXACT, False),
        (0, 1e-17, pa.float64(), Tolerance(), False),
        (0, 1e-17, pa.float64(), Tolerance(absolute=1e-12), True),
        (-1.0, 1.0, pa.float64(), Tolerance(), False),
        (math.nan, math.nan, pa.float64(), EXACT, True),
        (math.nan, 1.0, pa.float64(), Tolerance(), False),
        (math.inf, math.inf, pa.float64(), EXACT, True),
        (math.inf, -math.inf, pa.float64(), Tolerance(), False),
        (None, None, pa.float64(), EXACT, True),
        (None, 0.0, pa.float64(), Tolerance(absolute=1.0), False),
        (0, None, pa.float64(), Tolerance(absolute=1.0), False),
        (None, math.nan, pa.float64(), Tolerance(), False),
        ("1", 1.0, pa.float64(), Tolerance(), False),
        (True, 1.0, pa.float64(), Tolerance(), False),
        (10**18, 10**18, pa.int64(), EXACT, True),
        (10**18, 10**18 + 1, pa.int64(), Tolerance(1.0), False),
        (2.0, 2, pa.int64(), EXACT, True),
        (True, 1, pa.int16(), Tolerance(), False),
        (True, True, pa.bool_(), EXACT, True),
        (1, True, pa.bool_(), Tolerance(), False),
        (False, True, pa.bool_(), Tolerance(), False),
        ("a", "a", pa.string(), EXACT, True),
        ("a", "b", pa.string(), Tolerance(), False),
        (7, "7", pa.string(), EXACT, True),
        (True, "true", pa.string(), Tolerance(), False),
        (None, "", pa.string(), Tolerance(), False),
        ("2026-01-01", dt.date(2026, 1, 1), pa.date32(), EXACT, True),
        (dt.date(2026, 1, 1), dt.date(2026, 1, 1), pa.date32(), EXACT, True),
        (dt.date(2026, 1, 2), dt.date(2026, 1, 1), pa.date32(), Tolerance(1.0), False),
        ("2026-01-01T00:00:01Z", "2026-01-01 00:00:01", NS, EXACT, True),
        ("2026-01-01 01:00:01+01:00", "2026-01-01 00:00:01", NS, EXACT, True),
        (dt.datetime(2026, 1, 1, 0, 0, 1), "2026-01-01 00:00:01", NS, EXACT, True),
        ("2026-01-01 00:00:00.000000001", "2026-01-01 00:00:00.000000002", NS, Tolerance(1.0), False),
        ("noon", "2026-01-01 00:00:00", NS, Tolerance(), False),
        (0, "1970-01-01 00:00:00", NS, Tolerance(), False),
        ("1.10", decimal.Decimal("1.1"), pa.decimal128(9, 2), EXACT, True),
        ("1.11", decimal.Decimal("1.1"), pa.decimal128(9, 2), Tolerance(1.0), False),
        ("x", decimal.Decimal("1.1"), pa.decimal128(9, 2), Tolerance(), False),
        (1.1, decimal.Decimal("1.1"), pa.decimal128(9, 2), Tolerance(), True),
        ([{"price": 1, "size": 2}], [{"price": 1.0, "size": 2.0}], LEVELS, EXACT, True),
        ([{"price": 1}], [{"price": 1.0, "size": 2.0}], LEVELS, EXACT, True),
        ([{"price": 1, "size": 3}], [{"price": 1.0, "size": 2.0}], LEVELS, Tolerance(), False),
        ([{"cost": 1}], [{"price": 1.0, "size": 2.0}], LEVELS, Tolerance(), False),
        ([], [{"price": 1.0, "size": 2.0}], LEVELS, Tolerance(), False),
        (1, [{"price": 1.0, "size": 2.0}], LEVELS, Tolerance(), False),
    ],
)
def test_same(expected: Any, found: Any, kind: pa.DataType, tolerance: Tolerance, result: bool) -> None:
    assert same(expected, found, kind, tolerance) is result


ROWS = [{"a": 1, "b": 1.5}, {"a": 2, "b": None}, {"a": 3, "b": 0.0}]
TABLE = pa.Table.from_pylist(ROWS)


def differences(expected: list[dict[str, Any]], table: pa.Table = TABLE) -> list[Difference]:
    return compare(expected, table, Tolerance())


def test_what_is_as_expected_has_no_differences() -> None:
    assert differences(ROWS) == []
    assert differences([{"a": 1}, {"b": None}, {}]) == []
    assert differences([], TABLE.slice(0, 0)) == []


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ([ROWS[0], {"a": 2, "b": 0}, ROWS[2]], [Difference(2, "b", 0, None)]),
        ([ROWS[0], ROWS[1], {"a": 3, "b": None}], [Difference(3, "b", None, 0.0)]),
        ([{"a": 1, "b": 2}, *ROWS[1:]], [Difference(1, "b", 2, 1.5)]),
        ([{"a": 7, "b": 7}, *ROWS[1:]], [Difference(1, "a", 7, 1), Difference(1, "b", 7, 1.5)]),
        (ROWS[:2], [Difference(3, "", None, ROWS[2])]),
        (ROWS[1:], [Difference(1, "", None, ROWS[0])]),
        ([{"a": 1}, {"a": 3}], [Difference(2, "", None, {"a": 2})]),
        ([], [Difference(number, "", None, row) for number, row in enumerate(ROWS, 1)]),
        ([ROWS[0], {"a": 9, "b": 9}, *ROWS[1:]], [Difference(2, "", {"a": 9, "b": 9}, None)]),
        ([*ROWS, {"a": 4}], [Difference(4, "", {"a": 4}, None)]),
        (
            [ROWS[1], ROWS[0], ROWS[2]],
            [Difference(1, "", ROWS[1], None), Difference(2, "", None, ROWS[1])],
        ),
    ],
)
def test_differences(expected: list[dict[str, Any]], found: list[Difference]) -> None:
    assert sorted(map(repr, differences(expected))) == sorted(map(repr, found))


def test_many_rows_are_compared_by_position() -> None:
    table = pa.table({"a": list(range(300))})
    assert differences([{"a": a} for a in range(300)], table) == []
    found = differences([{"a": a} for a in range(299)], table)
    assert found == [Difference(300, "", None, {"a": 299})]
    assert len(differences([{"a": a} for a in range(1, 300)], table)) == 300


VALUES = st.one_of(st.none(), st.floats(), st.integers(-5, 5).map(float))
TABLES = st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES}), max_size=8)


@given(TABLES)
def test_a_table_is_as_its_own_rows_say(rows: list[dict[str, float | None]]) -> None:
    table = pa.Table.from_pylist(rows, pa.schema({"a": pa.float64(), "b": pa.float64()}))
    assert compare(python_rows(table), table, EXACT) == []


@given(TABLES, TABLES)
def test_every_row_is_accounted_for(
    expected: list[dict[str, float | None]], found: list[dict[str, float | None]]
) -> None:
    """Missing and extra rows make up for the difference in length; tables that differ are never the same."""
    table = pa.Table.from_pylist(found, pa.schema({"a": pa.float64(), "b": pa.float64()}))
    result = compare(expected, table, EXACT)
    missing = sum(not difference.column and difference.found is None for difference in result)
    extra = sum(not difference.column and difference.expected is None for difference in result)
    assert len(expected) - missing == len(found) - extra
    assert (result == []) == (repr(expected) == repr(found) or _equal(expected, found))


def _equal(left: list[dict[str, float | None]], right: list[dict[str, float | None]]) -> bool:
    pairs = [(row[name], other[name]) for row, other in zip(left, right, strict=False) for name in row]
    return len(left) == len(right) and all(x == y or (x != x and y != y) for x, y in pairs)


@given(st.integers(-(10**18), 4 * 10**18))
def test_moments_come_back_as_they_were(ns: int) -> None:
    assert epoch_ns(iso(ns)) == ns
    table = pa.table({"ts": pa.array([ns, None], NS)})
    assert python_rows(table) == [{"ts": iso(ns)}, {"ts": None}]


@pytest.mark.parametrize("text", ["2026-13-01", "2026-01-01 25:00", "2026", "", "2026-01-01 00:00:00.0000000001"])
def test_what_is_no_moment(text: str) -> None:
    assert epoch_ns(text) is None


def test_naive_times_are_utc() -> None:
    assert epoch_ns(dt.datetime(1970, 1, 1, 0, 0, 1)) == 10**9
    assert epoch_ns(dt.date(1970, 1, 2)) == 86_400 * 10**9
    assert epoch_ns(dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))) == 0
