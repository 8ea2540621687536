"""SQL is in templates: no module of sqlgen writes a query as a string, apart from the packages that make SQL."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from jinja2.meta import find_undeclared_variables

from sqlgen.templating.queries import query
from sqlgen.templating.templates import PACKAGED, packaged
from tests.support.engine import ROOT

MAY_WRITE_SQL = ("templating", "compile")
QUERY = re.compile(
    r"\bSELECT\b|\bCOPY\s*\(|\bDESCRIBE\s+[({…]|\bCREATE\b.*\b(TABLE|VIEW)\b|(\A|\()\s*FROM\s", re.DOTALL
)


def queries(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of the strings of a module that are queries, docstrings left out; … stands for an expression."""
    tree = ast.parse(text)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    told |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) not in told and (written := _written(node)) is not None and QUERY.search(written):
            yield getattr(node, "lineno", 0), written


def _written(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(_written(part) or "…" for part in values)
        case _:
            return None


@pytest.mark.parametrize(
    "text",
    [
        "q = f'SELECT {x}'",
        "execute(f\"COPY ({rows}) TO 'x'\")",
        "q = 'FROM t'",
        "q = f'  FROM {t}'",
        "q = f'DESCRIBE {x}'",
        "q = 'a' + 'COPY (FROM t)'",
        'q = """\nWITH a AS (\n    SELECT 1\n)"""',
        "q = f'CREATE OR REPLACE VIEW {x} AS y'",
        "q = x if y else 'SELECT 1'",
    ],
)
def test_a_query_is_found(text: str) -> None:
    assert len(list(queries(text))) == 1


@pytest.mark.parametrize(
    "text", ["'''The SELECT of it.'''", "def f():\n    '''FROM here on.'''", "x = 'taken FROM it'"]
)
def test_texts_are_no_queries(text: str) -> None:
    assert not list(queries(text))


@pytest.mark.slow
def test_no_module_writes_a_query() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {' '.join(text.split())[:80]}"
        for path in sorted((ROOT / "sqlgen").rglob("*.py"))
        if path.relative_to(ROOT / "sqlgen").parts[0] not in MAY_WRITE_SQL
        for line, text in queries(path.read_text(encoding="utf-8"))
    ]
    assert not found, "SQL belongs into transforms_sql (templating.queries.query renders it): " + "; ".join(found)


def test_every_query_is_used() -> None:
    modules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sqlgen").rglob("*.py"))
    for path in sorted((PACKAGED / "queries").glob("*.sql.j2")):
        assert re.search(rf"""(query|_fetch)\(\s*"{path.name.removesuffix(".sql.j2")}\"""", modules), path


def test_a_query_is_given_what_its_template_names() -> None:
    """No value is missing, and none is left over, also where no test runs the line."""
    environment = packaged().environment
    for path in sorted((ROOT / "sqlgen").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="query"), args=[ast.Constant(value=str(name))], keywords=given):
                    text = (PACKAGED / "queries" / f"{name}.sql.j2").read_text(encoding="utf-8")
                    named = find_undeclared_variables(environment.parse(text)) - {*environment.globals}
                    values = {each.arg for each in given}
                    assert None in values or values == named, f"{path.name}:{node.lineno}: {values ^ named}"


def test_names_and_texts_in_queries_are_quoted(tmp_path: Path) -> None:
    hard = 'it\'s "[x]"\n;'
    rows = query("no_rows", types={hard: "VARCHAR", "n": "DECIMAL(9, 2)"})
    with duckdb.connect() as connection:
        connection.execute(query("to_parquet", select=rows, target=str(tmp_path / "a'[1].parquet")))
        connection.execute(
            query("first_rows", file=tmp_path / "a'[1].parquet", rows=1, target=str(tmp_path / "b'.parquet"))
        )
        connection.execute(
            query("view", name=hard, select=query("row_count", files=[tmp_path / "b'.parquet"]), description=hard)
        )
        found = connection.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
        assert found == [(hard, hard)]
        assert connection.table(f'"{hard.replace(chr(34), chr(34) * 2)}"').fetchall() == [(0,)]
