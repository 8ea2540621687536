"""SQL text: literals, comments and paths that hold anything, and layout that leaves them alone."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.templating.quoting import bare, comment, exact_path, filled, ident, indent, literal, quoted

BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
HARD = [f"a{each}b" for each in BREAKS] + [
    *BREAKS,
    "",
    "it's",
    "a\\nb\n",
    "tab\t",
    "trailing  ",
    " -- x\n'",
    "\x00",
    "a\x00\n'b",
    "/* \n */",
    "$$\n$$",
    '"\n"',
    "E'\n",
]
TEXTS = st.one_of(
    st.sampled_from(HARD), st.text(st.one_of(st.sampled_from("\n\r'\"\\-$ E*/"), st.characters(codec="utf-8")))
)


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _value(database: duckdb.DuckDBPyConnection, sql: str) -> object:
    return database.execute(f"SELECT {sql}").fetchall()[0][0]


@given(TEXTS)
def test_a_literal_is_one_line_and_the_same_text(database: duckdb.DuckDBPyConnection, text: str) -> None:
    assert len(literal(text).splitlines()) == 1
    assert _value(database, literal(text)) == text
    assert _value(database, literal([text, "x"])) == [text, "x"]
    assert _value(database, f"{{{quoted('k')}: {literal(text)}}}") == {"k": text}


@given(TEXTS, TEXTS)
def test_layout_leaves_what_is_quoted(database: duckdb.DuckDBPyConnection, left: str, right: str) -> None:
    left, right = left.replace("\0", ""), right.replace("\0", "")
    sql = (
        f"{comment(left)}\nSELECT -- it's\n"
        f"  {quoted(left)} AS {ident('a' + right)}, /* '\n' */\n"
        f"  '--' || {literal(right)} AS b"
    )
    expected = database.execute(sql).fetchall()
    for changed in (indent(sql, 8), indent(indent(sql, first=True), 3), bare(sql), bare(indent(sql, 4))):
        found = database.execute(changed)
        assert [column[0] for column in found.description] == ["a" + right, "b"]
        assert found.fetchall() == expected == [(left, "--" + right)]
    assert bare(indent(sql, 12)) == bare(sql)


def test_layout_moves_all_other_lines() -> None:
    sql = "SELECT 'a\nb', \"c\nd\"\nFROM t\n\nWHERE x = E'\\'\n' -- don't\n  AND y"
    assert indent(sql, 2, first=True) == (
        "  SELECT 'a\nb', \"c\nd\"\n  FROM t\n\n  WHERE x = E'\\'\n' -- don't\n    AND y"
    )


def test_lines_alike_are_filled() -> None:
    columns = "\n".join(f"    x.y AS column_{i}," for i in range(9))
    assert filled(f"SELECT\n{columns}\n\nFROM t", 49) == (
        "SELECT\n"
        "    x.y AS column_0, x.y AS column_1,\n    x.y AS column_2, x.y AS column_3,\n"
        "    x.y AS column_4, x.y AS column_5,\n    x.y AS column_6, x.y AS column_7,\n"
        "    x.y AS column_8,\n\nFROM t"
    )
    for kept in ("a\nb -- c\nd", "a\n'b\nc'\nd", 'a\n"b\nc"'):
        assert filled(kept) == kept


@given(TEXTS, TEXTS)
def test_filling_is_layout_alone(database: duckdb.DuckDBPyConnection, left: str, right: str) -> None:
    left, right = left.replace("\0", ""), right.replace("\0", "")
    sql = f"SELECT\n{quoted(left)}\n|| 'b'\n|| {literal(right)}\nAS a"
    assert database.execute(filled(sql)).fetchall() == [(left + "b" + right,)]


@given(TEXTS)
def test_a_comment_is_nothing_but_comment(database: duckdb.DuckDBPyConnection, text: str) -> None:
    written = comment(text)
    assert all(line.startswith("--") for line in written.splitlines())
    assert _value(database, f"1\n{written}\n+ 1") == 2


def test_a_comment_has_every_line_of_a_text() -> None:
    assert comment("one\r\ntwo\u2028three\rfour\n\nfive") == "-- one\n-- two\n-- three\n-- four\n--\n-- five"


NAMES = [
    "data[1]",
    "data1",
    "a*",
    "ab",
    "x?y",
    "xzy",
    "[!a]",
    "[a-z]",
    "[[]",
    "100%",
    "a{b}",
    "q'",
    ".x",
    "**",
    "é",
    "A=B",
    "a\nb",
]
LETTERS = st.text(st.sampled_from("ab[]*?!-^{}%'\" .=1é\n"), min_size=1, max_size=6)


@given(st.sets(LETTERS, min_size=1, max_size=8).map(lambda names: sorted({*names, *NAMES})))
def test_a_path_is_the_pattern_of_its_file_alone(
    database: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        (folder / f"n{name}").write_text(name)
    found = {name: _globbed(database, folder / f"n{name}") for name in names}
    assert found == {name: [str(folder / f"n{name}")] for name in names}


def _globbed(database: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    return [row[0] for row in database.execute("SELECT filename FROM read_text(?)", [exact_path(path)]).fetchall()]
