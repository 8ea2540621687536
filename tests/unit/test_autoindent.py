"""Nested SQL stands as deep as the line on which a template writes it, and what is quoted stays as it is."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given

from sqlgen.templating import templates
from sqlgen.templating.quoting import quoted
from tests.unit.test_quoting import TEXTS

ENVIRONMENT = templates.Library().environment
ROWS = "SELECT\n    1 AS x\nFROM t"


def written(template: str, /, **context: object) -> str:
    return ENVIRONMENT.from_string(template).render(context)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ rows }}", ROWS),
        ("a (\n    {{ rows }}\n)", "a (\n    SELECT\n        1 AS x\n    FROM t\n)"),
        ("    CASE WHEN {{ rows }} END", "    CASE WHEN SELECT\n        1 AS x\n    FROM t END"),
        ("  {{ 'x' }}, {{ rows }}", "  x, SELECT\n      1 AS x\n  FROM t"),
        ("    {{ rows if true }}", "    SELECT\n        1 AS x\n    FROM t"),
        ("    {{ rows | indent(2) }}", "    SELECT\n      1 AS x\n  FROM t"),  # as the template itself says
        ("{% for i in [1] %}\n  {{ rows }}\n{% endfor %}", "  SELECT\n      1 AS x\n  FROM t\n"),
        ("{% macro m() %}\n(\n {{ rows }})\n{%- endmacro %}\n  {{ m() }}", "  (\n   SELECT\n       1 AS x\n   FROM t)"),
        ("  -- the taker's\n  {{ rows }}", "  -- the taker's\n  SELECT\n      1 AS x\n  FROM t"),
        ("  {{ 7 }} {{ none }} {{ ['a\n'] }}", "  7 None ['a\\n']"),
    ],
)  # fmt: skip
def test_a_result_stands_where_it_is_written(template: str, expected: str) -> None:
    assert written(template, rows=ROWS) == expected


@pytest.mark.parametrize(
    "template",
    [
        "    '{{ text }}'",
        "    'a\n    {{ text }}'",
        '    "{{ text }}"',
        "    -- it's\n    'it''s {{ text }} ' || ''",
        "    '{{ 1 }} {{ text }}'",
    ],
)
def test_texts_in_quotes_of_the_template_are_left_alone(template: str) -> None:
    assert "one\ntwo" in written(template, text="one\ntwo")


@pytest.mark.slow
@given(TEXTS, TEXTS)
def test_literals_are_the_same_however_deep_they_stand(left: str, right: str) -> None:
    template = (
        "{% macro inner() %}\nSELECT\n    {{ left | quoted }} AS a,\n    {{ right | literal }} AS b\n{% endmacro %}\n"
        "{% macro outer() %}\nSELECT *\nFROM (\n      {{ inner() }}\n)\n{% endmacro %}\n"
        "SELECT\n    *,\n    {{ both }} AS c\nFROM (\n    {{ outer() }}\n)"
    )
    left = left.replace("\0", "")
    sql = written(template, left=left, right=right, both=quoted(left))
    assert duckdb.sql(sql).fetchall() == [(left, right, left)]


def test_an_undefined_name_is_still_an_error() -> None:
    with pytest.raises(Exception, match="'rows' is undefined"):
        written("    {{ rows }}")


def test_no_template_counts_its_indents() -> None:
    found = [
        path.name for path in templates.PACKAGED.rglob("*.sql.j2") if "| indent" in path.read_text(encoding="utf-8")
    ]
    assert not found, found
