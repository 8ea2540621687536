"""A SELECT taken apart into its stages, which as views give what the one statement gives."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
import yaml

from sqlgen.compile.compiler import Compiler
from sqlgen.features.stages import Stage, stages
from sqlgen.project import project
from tests.support.engine import ROOT
from tests.support.lakes import write_trades

PLAIN = """\
-- What it is.
WITH a AS (
    SELECT ') , (' AS "x)", 1 AS n -- a ) and a '
),
-- Doubled,
-- twice.
"b c" AS MATERIALIZED (
    WITH a AS (SELECT 5 AS n)
    SELECT 2 * n AS n, 'two
    lines' AS t
    FROM a
), d AS (SELECT n FROM "b c")
SELECT *
FROM d
CROSS JOIN a"""


def test_stages_of_a_select() -> None:
    found, last = stages(PLAIN)
    assert found == (
        Stage("a", "SELECT ') , (' AS \"x)\", 1 AS n -- a ) and a '", "-- What it is."),
        Stage(
            '"b c"',
            "WITH a AS (SELECT 5 AS n)\nSELECT 2 * n AS n, 'two\n    lines' AS t\nFROM a",
            "-- Doubled,\n-- twice.",
            materialized=True,
        ),
        Stage("d", 'SELECT n FROM "b c"'),
    )
    assert last == "SELECT *\nFROM d\nCROSS JOIN a"


@pytest.mark.parametrize(
    "select",
    [
        "SELECT 1 AS x",
        "WITH RECURSIVE t AS (SELECT 1 AS x) SELECT * FROM t",
        "WITH t(x) AS (SELECT 1) SELECT * FROM t",
        "WITH t AS (SELECT * FROM t) SELECT * FROM t",  # reads another table of its name
        "WITH t AS (SELECT 1 AS x SELECT * FROM t",
    ],
)
def test_what_stays_one_statement(select: str) -> None:
    assert stages(select) == ((), select)


def test_views_of_the_stages_give_the_same_rows() -> None:
    found, last = stages(PLAIN)
    with duckdb.connect() as connection:
        expected = connection.sql(PLAIN).fetchall()
        for stage in found:
            connection.execute(f"CREATE VIEW {stage.name} AS\n{stage.sql}\n;")
        assert connection.execute(last).fetchall() == expected == [(10, ") , (", 1)]


def _compiled(folder: Path, **models: dict[str, object]) -> dict[str, str]:
    config = yaml.safe_load((ROOT / "models.yaml").read_text()) | {"models": models}
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    loaded = project.load(folder / "models.yaml")
    return {name: Compiler(loaded).compile(name).sql for name in models}


def _template(folder: Path, name: str, text: str) -> None:
    (folder / "transforms_sql").mkdir(exist_ok=True)
    (folder / "transforms_sql" / name).write_text(text)


TINY = """\
{#
inputs: [rows]
options:
  factor: {type: int, default: 2, doc: what seq is multiplied by}
#}
WITH multiplied AS (
    SELECT exchange, symbol, date, {{ options.factor }} * seq AS seq
    FROM (
        {{ inputs.rows }}
    )
)
SELECT *, seq + 1 AS next -- 1: the one after it
FROM multiplied -- that is all
"""


def _tiny(**more: object) -> dict[str, object]:
    return {"sql": "tiny.sql.j2", "inputs": {"rows": "ccxt_trades"}, "output": {"path": "tiny"}} | more


def test_files_of_one_template_keep_their_stages_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both in one shell: neither takes anything from the other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SQLGEN_LAKE", raising=False)
    _template(tmp_path, "tiny.sql.j2", TINY)
    moment = {"timestamp": 1767268800000, "trade_id": "1", "price": 1.0, "amount": 1.0, "side": "buy"}
    write_trades(tmp_path / "lake", "e", "s", "2026-01-01", [moment, moment])
    files = _compiled(tmp_path, one=_tiny(), two=_tiny(options={"factor": 5}, output={"path": "two"}))
    Path("target/tables").mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE multiplied AS SELECT 100 AS seq")
        for name in ("one", "two", "one"):
            connection.execute(files[name])
        found = "SELECT next FROM compiled_one.one UNION ALL SELECT seq FROM compiled_two.multiplied"
        assert sorted(connection.execute(found).fetchall()) == [(0,), (1,), (3,), (5,)]
        assert connection.execute("FROM multiplied").fetchall() == [(100,)]
        assert connection.execute("SELECT next FROM one ORDER BY 1").fetchall() == [(1,), (3,)]
        assert connection.execute("SELECT current_database()").fetchall() == [("memory",)]


def test_the_header_says_where_each_stage_stands(tmp_path: Path) -> None:
    shipped = yaml.safe_load((ROOT / "models.yaml").read_text())["models"]
    for name, sql in _compiled(tmp_path, **shipped).items():
        lines = sql.splitlines()
        listed = re.findall(r"^-- (?:stages: )? +(\w+), line (\d+)$", sql, re.MULTILINE)
        assert listed[0][0] in (name, "kernel_input")
        for stage, line in listed:
            assert lines[int(line) - 1] == f"CREATE OR REPLACE VIEW compiled_{name}.{stage} AS", name


def test_a_stage_called_like_the_model(tmp_path: Path) -> None:
    _template(tmp_path, "tiny.sql.j2", TINY)
    sql = _compiled(tmp_path, multiplied=_tiny(filter="seq > 1 -- no end"))["multiplied"]
    assert re.findall(r"REPLACE VIEW compiled_multiplied.(\w+) AS", sql) == ["multiplied", "multiplied_", "published"]
    assert "FROM multiplied_\n" in sql
    assert [each.type.name for each in duckdb.extract_statements(sql)][-1] == "COPY"
