"""Every check against an oracle, in any company; no row is lost and none comes twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlgen.compile import checksql
from sqlgen.compile.checksql import CheckedRows
from sqlgen.project.rowchecks import Check
from sqlgen.templating.templates import Library
from tests.oracles.quality import apply
from tests.support.modes import tried

LIBRARY = Library()
SECOND = 1_000_000_000
SCHEMA = pa.schema(
    {
        "exchange": pa.string(),
        "symbol": pa.string(),
        "date": pa.string(),
        "ts": pa.timestamp("ns"),
        "seq": pa.int64(),
        "id": pa.string(),
        "price": pa.float64(),
        "bid": pa.float64(),
        "ask": pa.float64(),
        "lots": pa.int64(),
    }
)
PRICE = st.one_of(st.none(), st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0, math.inf, -math.inf, math.nan]))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "symbol": st.sampled_from(["A", "B"]),
            "date": st.sampled_from(["2026-01-01", "2026-01-02"]),
            "ts": st.integers(0, 8).map(lambda second: second * SECOND),
            "id": st.sampled_from(["x", "y", "z", None]),
            "price": PRICE,
            "bid": st.sampled_from([None, 1.0, 2.0]),
            "ask": st.sampled_from([None, 1.0, 2.0]),
            "lots": st.sampled_from([None, -1, 0, 1, 2]),
        }
    ),
    max_size=14,
)
ON_FAIL = ("drop", "quarantine", "warn", "fail")
SAID: list[dict[str, Any]] = [
    {"check": "not_null", "columns": "price"},
    {"check": "not_null", "columns": ["id", "lots"]},
    {"check": "positive", "columns": "price"},
    {"check": "positive", "columns": ["lots", "price"]},
    {"check": "range", "columns": "price", "min": 0, "max": 2.5},
    {"check": "range", "columns": "price", "min": 0},
    {"check": "range", "columns": ["price", "lots"], "max": 1},
    {"check": "not_crossed", "columns": ["bid", "ask"]},
    {"check": "predicate", "sql": "lots < 2 -- few"},
    {"check": "unique", "columns": "id"},
    {"check": "unique", "columns": ["id", "lots"]},
    {"check": "monotonic"},
    {"check": "monotonic", "columns": "ts", "order_by": "seq"},
    {"check": "max_gap", "seconds": 2.5},
]
PREDICATE = {"python": lambda row: None if row["lots"] is None else row["lots"] < 2}


@st.composite
def some_checks(draw: st.DrawFn) -> list[dict[str, Any]]:
    chosen = draw(st.lists(st.sampled_from(SAID), min_size=1, max_size=5))
    return [said | {"on_fail": draw(st.sampled_from(ON_FAIL)), "name": f"c{i}"} for i, said in enumerate(chosen)]


def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the position in the partition, in file order."""
    seen: dict[tuple[str, str], int] = {}
    done = []
    for row in rows:
        key = (row["symbol"], row["date"])
        done.append({"exchange": "e", **row, "seq": seen.get(key, 0)})
        seen[key] = done[-1]["seq"] + 1
    return done


def place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["symbol"], str(row["date"]), row["seq"]


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def load(connection: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> str:
    connection.register("given_rows", pa.Table.from_pylist(rows, SCHEMA))
    return "SELECT * REPLACE (CAST(date AS DATE) AS date)\nFROM given_rows"


def dicts(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    return list(connection.sql(query).to_arrow_table().to_pylist())


@pytest.mark.slow
@settings(max_examples=tried(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, said=some_checks())
def test_checks_are_those_of_the_oracle(
    database: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]], said: list[dict[str, Any]]
) -> None:
    rows = numbered(rows)
    left, failed = apply(rows, [check | (PREDICATE if check["check"] == "predicate" else {}) for check in said])
    checks = tuple(Check.model_validate(check) for check in said)
    checked = CheckedRows("raw", load(database, rows), checks)
    kept = dicts(database, checksql.passing(LIBRARY, checked, ("exchange", "symbol", "date", "seq")))
    assert sorted(map(place, kept)) == sorted(map(place, left))
    if any(check.removes and check.compares for check in checks):
        assert [*map(place, kept)] == sorted(map(place, left))
    as_they_came = dicts(database, checksql.passing(LIBRARY, checked))
    assert [*map(place, as_they_came)] == [*map(place, left)]

    counts = dicts(database, checksql.counts(LIBRARY, checked))[0]
    assert counts["rows"] == len(rows)
    assert [counts[f"failed_{i + 1}"] for i in range(len(checks))] == [*map(len, failed)]
    for i, bad in enumerate(failed):
        first = counts[f"first_{i + 1}"]
        expected = min(((row["date"], row["seq"]) for row in bad), default=None)
        assert (first and (first["date"], int(first["seq"]))) == expected

    quarantined = [
        (place(row), check["name"])
        for check, bad in zip(said, failed, strict=True)
        if check["on_fail"] == "quarantine"
        for row in bad
    ]
    dropped = [place(row) for check, bad in zip(said, failed, strict=True) if check["on_fail"] == "drop" for row in bad]
    found: list[dict[str, Any]] = []
    if any(check.on_fail == "quarantine" for check in checks):
        select = checksql.quarantined(LIBRARY, checked, {})
        found = dicts(database, checksql.quarantine(LIBRARY, select, ()))
    assert sorted((place(row), row["check_name"]) for row in found) == sorted(quarantined)
    # What stays, what is quarantined and what is dropped: all rows, none twice.
    assert sorted([*map(place, kept), *map(place, found), *dropped]) == sorted(map(place, rows))


@pytest.mark.parametrize("said", SAID, ids=lambda said: Check.model_validate(said).title)
def test_each_check_finds_something_and_says_why(database: duckdb.DuckDBPyConnection, said: dict[str, Any]) -> None:
    base = {"symbol": "A", "date": "2026-01-01", "price": 2.0, "bid": 1.0, "ask": 1.0, "lots": 1}
    good = [base | {"ts": i * SECOND, "id": str(i), "price": 1.0} for i in range(3)]
    bad = {
        "not_null": {"price": None, "id": None},
        "positive": {"price": math.nan},
        "range": {"price": math.nan},
        "not_crossed": {"bid": 2.0},
        "predicate": {"lots": 2},
        "unique": {"id": "2"},
        "monotonic": {"ts": SECOND},
        "max_gap": {"ts": 5 * SECOND},
    }[said["check"]]
    rows = numbered([*good, base | {"ts": 3 * SECOND, "id": "3"} | bad])
    checked = CheckedRows("raw", load(database, rows), (Check.model_validate(said),))
    (row,) = dicts(database, checksql.quarantine(LIBRARY, checksql.quarantined(LIBRARY, checked, {}), ()))
    assert (row["seq"], row["source"], row["file"]) == (3, "raw", None)
    told = {
        "not_null": "must not be NULL",
        "positive": "nan: must be positive and finite",
        "range": "must be at",
        "not_crossed": "bid = 2.0, ask = 1.0: the bid must not be above the ask",
        "predicate": "does not hold: lots < 2 -- few",
        "unique": "id = 2",
        "monotonic": "ts = 1970-01-01 00:00:01: must not be before the row before, 1970-01-01 00:00:02",
        "max_gap": "3.0 s after the row before, allowed are 2.5",
    }
    assert told[said["check"]] in row["reason"]
