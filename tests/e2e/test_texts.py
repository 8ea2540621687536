"""Texts of models.yaml, templates and kernels stand in SQL as comments and literals: none is ever run."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen import connect
from tests.support.scratch import BTC, DAY1, LEDGER, Scratch

EVIL = [
    "one\nDROP TABLE precious;",
    "one\r\nDROP TABLE precious; -- '",
    "one\u2028DROP TABLE precious;\x85x",
    "*/ ' \" \\ $$ \t",
]


def _runs(project: Scratch, monkeypatch: pytest.MonkeyPatch, name: str, only_views: bool = False) -> None:
    """The compiled file of a model runs in a database, and a table there is still there afterwards."""
    assert project.sqlgen("compile").code == 0
    monkeypatch.chdir(project.folder)
    text = (project.folder / f"target/compiled/{name}.sql").read_bytes().decode()
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE precious AS SELECT 1")
        statements = connection.extract_statements(text)
        for statement in statements[: -1 if only_views else None]:
            connection.execute(statement)
        assert connection.execute("FROM precious").fetchall() == [(1,)]
        assert not any("DROP" in statement.query.split("--")[0].upper() for statement in statements[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("text", EVIL)
def test_descriptions_and_names_of_checks(scratch: Scratch, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    scratch.trades(BTC, DAY1, [100.0, 200.0, 101.0])
    checks = [
        {"check": "range", "columns": ["price"], "max": 150, "name": text, "on_fail": "quarantine"},
        {"check": "unique", "columns": ["ts"], "name": f"{text} too", "on_fail": "drop"},
        {"check": "predicate", "sql": "price < 1000", "name": f"{text} as well", "on_fail": "drop"},
    ]
    scratch.config["sources"]["raw"] |= {"description": text, "checks": checks}
    own = [{"check": "predicate", "sql": "cost < 1000 -- it's\n", "name": text, "on_fail": "drop"}]
    scratch.model("costs", description=text, checks=own, filter="cost <> 5 -- isn't")
    scratch.run()
    assert [cost for _, _, cost in scratch.costs()] == [100.0, 101.0]
    quarantined = pq.read_table(next(scratch.lake.glob("out/costs_quarantine/**/*.parquet")))
    assert quarantined["check_name"].to_pylist() == [" ".join(text.split())]
    _runs(scratch, monkeypatch, "costs")
    with connect(scratch.file) as connection:
        comments = dict(
            connection.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
        )
        assert comments["costs"] == comments["raw"] == text
        assert connection.execute("SELECT cost FROM costs ORDER BY 1").fetchall() == [(100.0,), (101.0,)]


@pytest.mark.slow
@pytest.mark.parametrize("text", EVIL[:3])
def test_what_kernels_say(scratch: Scratch, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    scratch.kernel(
        LEDGER.replace('"Cost of the row before"', repr(text)).replace('"q: cost of the row before"', repr(text))
    )
    scratch.model("costs", udfs=["ledger"])
    scratch.run("--select", "costs")
    _runs(scratch, monkeypatch, "costs", only_views=True)
    with connect(scratch.file) as connection:
        query = "SELECT comment FROM duckdb_columns() WHERE table_name = 'costs' AND column_name = 'before'"
        assert connection.execute(query).fetchall() == [(text,)]


COLUMNS = ["pri\nce", 'p"x\r\n', "a\u2028\x85b", "it's", "ts 1\t", "select", "E'\\n"]


@pytest.mark.parametrize("suffix", ["parquet", "ndjson"])
@pytest.mark.parametrize("column", COLUMNS)
def test_names_of_columns(scratch: Scratch, monkeypatch: pytest.MonkeyPatch, column: str, suffix: str) -> None:
    folder = scratch.lake / "raw/mine/exchange=x/symbol=A/date=2026-01-01"
    folder.mkdir(parents=True)
    table = pa.table(
        {"ts": [1767268800000, 1767268801000], column: [1.5, 2.5], "q\n": [1.0, 1.0], "s'\n": ["b\n", "\x85s"]}
    )
    if suffix == "parquet":
        pq.write_table(table, folder / "rows.parquet")
    else:
        import json

        (folder / "rows.ndjson").write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    options = {"columns": {"price": column, "amount": "q\n", "side": "s'\n"}, "buy": ["b\n"], "sell": ["\x85s"]}
    scratch.config["sources"]["raw"] = {"path": "raw/mine", "adapter": "generic/trades", "options": options}
    del scratch.config["models"]["pairs"]
    scratch.template("costs.sql.j2", "WITH trades AS (\n    {{ inputs.trades | indent(4) }}\n)\nSELECT * FROM trades")
    scratch.save()
    scratch.run()
    rows = scratch.table("costs").to_pylist()
    assert [(row["price"], row["side"]) for row in rows] == [(1.5, 1), (2.5, -1)]
    _runs(scratch, monkeypatch, "costs")
    with connect(scratch.file) as connection:
        assert connection.execute("SELECT price FROM raw ORDER BY 1").fetchall() == [(1.5,), (2.5,)]


def test_literals_of_the_users_own(scratch: Scratch) -> None:
    """A filter and a template with texts of several lines see them as they are, however deep they stand."""
    scratch.trades(BTC, DAY1, [100.0, 101.0])
    scratch.template(
        "costs.sql.j2",
        "WITH trades AS (\n    {{ inputs.trades | indent(4) }}\n)\n"
        "SELECT *, 'two\n  lines ' AS note, price AS cost FROM trades",
    )
    scratch.model("costs", filter="note = 'two\n  lines ' AND cost > 100")
    scratch.run("--select", "costs")
    assert [(row["note"], row["cost"]) for row in scratch.table("costs").to_pylist()] == [("two\n  lines ", 101.0)]
