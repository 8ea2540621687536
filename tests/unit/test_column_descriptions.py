"""Descriptions of columns taken apart, and columns that differ by a number in one row."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.compile.compiledmodel import descriptions
from sqlgen.explore.columns import Described, cited, grouped, same_columns
from sqlgen.explore.columns import TableColumns as Table


def column(name: str, text: str, kind: str = "DOUBLE") -> Described:
    return Described.of(name, kind, text)


@pytest.mark.parametrize(
    ("text", "unit", "meaning", "papers"),
    [
        ("q: price", "q", "price", ()),
        ("UTC, ns: start", "UTC, ns", "start", ()),
        ("u/bps: slope [Naes 2006]", "u/bps", "slope", ("Naes 2006",)),
        ("1: x [cf. Lopez de Prado 2018, Kyle 1985a]", "1", "x", ("cf. Lopez de Prado 2018", "Kyle 1985a")),
        ("label: bps: return after 5 s", "bps", "label: return after 5 s", ()),
        ("label: what comes", "", "label: what comes", ()),
        ("no unit at all", "", "no unit at all", ()),
        ("not NULL: both are valid", "", "not NULL: both are valid", ()),
        ("1: in [0, 1000]", "1", "in [0, 1000]", ()),
        ("1: 1 buy, -1 sell: by the taker", "1", "1 buy, -1 sell: by the taker", ()),
        ("q: over\n  two lines", "q", "over two lines", ()),
        ("", "", "", ()),
        ("[Kyle 1985]", "", "", ("Kyle 1985",)),
    ],
)
def test_a_description(text: str, unit: str, meaning: str, papers: tuple[str, ...]) -> None:
    found = column("x", text)
    assert (found.unit, found.meaning, found.papers) == (unit, meaning, papers)
    assert found.is_label == text.startswith("label:")


@given(st.text())
def test_any_description_can_be_read(text: str) -> None:
    assert column("x", text).name == "x"


def test_comments_of_a_select() -> None:
    select = '''
WITH a AS (
    SELECT
        p AS price, -- q: an earlier stage
        n AS "odd, name" -- 1: of the first
    FROM t
)
SELECT
    price, -- q: price
    sum(x)
        AS "a ""b""", -- u: sum
    "return", -- 1: of close over open
    y AS last -- s: last
FROM a
'''
    assert descriptions(select, None) == {
        "exchange": "name: venue",
        "symbol": "name: market, as the venue names it",
        "date": "UTC: date under which the row is filed",
        "price": "q: price",
        "odd, name": "1: of the first",
        'a "b"': "u: sum",
        "return": "1: of close over open",
        "last": "s: last",
    }


def shown(*columns: Described) -> list[tuple[tuple[str, ...], str]]:
    return [(group.names, group.meaning) for group in grouped(columns)]


def test_columns_of_levels() -> None:
    levels = [column(f"{side}_{i:02}", f"q: {side} level {i}") for i in range(12) for side in ("bid", "ask")]
    assert shown(*levels) == [(("bid_00 ... bid_11",), "bid level n"), (("ask_00 ... ask_11",), "ask level n")]


def test_columns_of_windows_and_bands() -> None:
    windows = [column(f"tfi_{h}s", f"1: (a - b) / (a + b) over {h} s, -1 to 1") for h in (1, 5, 60)]
    bands = [column(f"vol_{low}_{high}bps", f"u: from {low} to {high} bps") for low, high in ((0, 5), (5, 10))]
    assert shown(*windows, *bands) == [
        (("tfi_1s", "tfi_5s", "tfi_60s"), "(a - b) / (a + b) over n s, -1 to 1"),
        (("vol_0_5bps", "vol_5_10bps"), "from n to m bps"),
    ]


def test_what_differs_by_more_than_the_number_stays_apart() -> None:
    apart = (
        column("x_1", "q: of 1"),
        column("x_2", "u: of 2"),
        column("x_3", "q: of 7"),
        column("x_4", "q: of 4", "BIGINT"),
        column("x_5", "q: of 5 [Kyle 1985]"),
        column("y", "q: of 1"),
    )
    assert [names for names, _ in shown(*apart)] == [(each.name,) for each in apart]
    assert [meaning for _, meaning in shown(*apart)] == [each.meaning for each in apart]


def test_numbers_within_names_and_numbers_stay() -> None:
    pair = [column(f"a_{n}", f"1: a_5 * 0.5 at {n}.5, {n}") for n in (5, 6)]
    assert [meaning for _, meaning in shown(*pair)] == ["a_5 * 0.5 at 5.5, 5", "a_5 * 0.5 at 6.5, 6"]
    pair = [column(f"a_{n}", f"1: a_5 * 0.5 of {n}") for n in (5, 6)]
    assert shown(*pair) == [(("a_5", "a_6"), "a_5 * 0.5 of n")]


@given(st.lists(st.integers(0, 99), min_size=1, unique=True), st.sampled_from(["over {} s", "level {}", "exp({} i)"]))
def test_a_group_says_what_each_of_its_columns_does(numbers: list[int], meaning: str) -> None:
    columns = [column(f"f_{n}s", f"1: {meaning.format(n)}") for n in numbers]
    (group,) = grouped(columns)
    assert group.columns == tuple(columns)
    for each, number in zip(columns, numbers, strict=True):
        assert re.sub(r"\bn\b", str(number), group.meaning) == each.meaning
    if len(group.names) == 1 and len(numbers) > 1:
        first, last = numbers[0], numbers[-1]
        assert (group.names, numbers) == ((f"f_{first}s ... f_{last}s",), list(range(first, last + 1)))


def test_tables_with_the_same_columns() -> None:
    a, b = column("a", "q: a"), column("b", "q: b")
    tables = [Table("one", (a, b)), Table("two", (a,)), Table("three", (a, b)), Table("four", ()), Table("five", ())]
    names = [[table.model for table in same] for same in same_columns(tables)]
    assert names == [["one", "three"], ["two"], ["four"], ["five"]]


def test_papers_that_are_cited() -> None:
    known = {"Kyle 1985": "Kyle", "Xu 2019": "Xu", "Roll 1984": "Roll"}
    columns = [column("a", "1: a [cf. Xu 2019, Kyle 1985]"), column("b", "1: b [Own 2024]")]
    assert cited(columns, known) == {"Kyle 1985": "Kyle", "Xu 2019": "Xu"}
