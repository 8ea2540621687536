"""SECURITY.md, line by line: a stranger's project and files run no code, and reach nothing but the lake."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import duckdb
import pytest

import sqlgen as sqlgen_package
from sqlgen.errors import ConfigError, TemplateError
from sqlgen.plan.selection import Selection
from sqlgen.run import engine
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from sqlgen.templating import expressions
from sqlgen.templating.connection import confined, folders_of
from sqlgen.templating.sandbox import environment as sandbox
from sqlgen.templating.templates import Library
from tests.support import engine as support
from tests.support.engine import ROOT, sqlgen
from tests.support.scratch import BTC, COSTS, DAY1, LEDGER, Scratch
from udfs import cache

TRUST = "If you trust the project, set SQLGEN_TRUSTED="
SECRET = "hush-4f'7d1e\\x"


@pytest.fixture
def alone(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """One model, run by a DuckDB instance of its own, as outside of tests."""
    monkeypatch.setattr(engine, "opening", support.opening)
    del scratch.config["models"]["pairs"]
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    scratch.save()
    return scratch


# Expressions of models.yaml

GOOD = [
    "price > 0",
    "price > 1 -- the dear ones",
    "CASE WHEN price > 1 THEN amount > 2 ELSE true END",
    "price BETWEEN 1 AND 2 AND side IN (1, -1)",
    "list_max(list_filter(bids, lambda x: x > 1)) > 2",
    "exists (SELECT 1 FROM unnest(bids) AS levels(level) WHERE level > 1)",
    "ts >= TIMESTAMP '2026-01-01' + INTERVAL 1 HOUR",
    "trade_id.lower() LIKE 'a%' ESCAPE '!'",
    "note = 'two\n  lines; COPY '",
    "date < current_date",
]
BAD = {
    "price > 0) OR (1 = 1": "not one SQL expression",
    "price > 0; COPY (SELECT 1) TO '{out}'": "not one SQL expression",
    "price > 0); COPY (SELECT 1) TO '{out}'; SELECT (1": "not one SQL expression",
    "price > 0; SELECT 1": "more than one SQL expression",
    "price > 0, 1": "more than one SQL expression",
    "1 FROM read_csv('{secret}')": "more than one SQL expression",
    "1 UNION SELECT 1": "more than one SQL expression",
    "1 GROUP BY ALL": "more than one SQL expression",
    "PRAGMA version": "more than one SQL expression",
    "/* price": "not one SQL expression",
    "": "not one SQL expression",
    "INSTALL httpfs; LOAD httpfs": "not one SQL expression",
    "ATTACH '{out}' AS x; true": "not one SQL expression",
    "exists (SELECT 1 FROM read_text('{secret}'))": "its subquery reads read_text",
    "exists (SELECT 1 FROM '{secret}')": "its subquery reads",
    "1 < (SELECT count(*) FROM glob('/etc/*'))": "its subquery reads glob",
    "1 < (SELECT count(*) FROM (FROM duckdb_secrets()))": "its subquery reads duckdb_secrets",
    "exists (WITH x AS (FROM query('SELECT 1')) SELECT 1)": "its subquery reads query",
    "exists (SELECT 1 FROM costs)": "its subquery reads costs",
    "getenv('HOME') = ''": "getenv() reads or changes",
    "main.\"getenv\"('HOME') = ''": "getenv() reads or changes",
    "current_setting('threads') = 2": "current_setting() reads or changes",
    "nextval('x') = 2": "nextval() reads or changes",
    "setval('x', 2) = 2": "setval() reads or changes",
    "sleep_ms(100000) IS NULL": "sleep_ms() reads or changes",
    "NOT " * 900 + "true": "it is nested too deeply",
    "abs(" * 900 + "price" + ")" * 900: "it is nested too deeply",
    "price > ?": "it has a parameter",
    "price > $1": "it has a parameter",
}


@pytest.mark.parametrize("expression", GOOD)
def test_expressions_over_a_row(expression: str) -> None:
    assert expressions.fault(expression) == ""


@pytest.mark.parametrize("expression", BAD)
def test_anything_else_is_no_expression(expression: str) -> None:
    assert BAD[expression] in expressions.fault(expression)


def test_every_function_that_reads_tables_is_refused_in_a_subquery() -> None:
    known = duckdb.execute("SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table'")
    harmless = {"unnest", "range", "generate_series"}
    names = {name for (name,) in known.fetchall()} - harmless
    assert len(names) > 50
    for name in names:
        assert f"its subquery reads {name}" in expressions.fault(f"exists (SELECT 1 FROM {name}('x'))"), name


@pytest.mark.parametrize("sql", [sql for sql in BAD if sql])
def test_a_filter_and_checks_are_refused_by_model_and_key(alone: Scratch, sql: str) -> None:
    """Before anything runs; what they name is neither read nor written."""
    out, secret = alone.folder / "out.csv", alone.folder / "secret.csv"
    secret.write_text("a\n1\n")
    text = sql.format(out=out, secret=secret)
    for key, at in ((".filter", "models.costs.filter"), (".checks.0.sql", "models.costs.checks.0.sql")):
        checks = [{"check": "predicate", "sql": text}]
        alone.config["models"]["costs"] |= (
            {"filter": text, "checks": []} if key == ".filter" else {"filter": "true", "checks": checks}
        )
        alone.save()
        outcome = alone.sqlgen("run")
        assert (outcome.code, f"{at}: found" in outcome.err) == (2, True), outcome.err
    alone.config["models"]["costs"] |= {"checks": []}
    alone.config["sources"]["raw"]["checks"] = [{"check": "predicate", "sql": text}]
    alone.save()
    assert "sources.raw.checks.0.sql: found" in alone.sqlgen("run").err
    assert not out.exists()
    assert not list((alone.lake).glob("out/**/*.parquet"))


def test_columns_are_names(alone: Scratch) -> None:
    alone.model("costs", columns=["cost, (SELECT 1) AS x", "ts"])
    outcome = alone.sqlgen("run")
    assert (outcome.code, "models.costs.columns: no column 'cost, (SELECT 1) AS x'" in outcome.err) == (2, True)


# Templates

ROWS = "WITH trades AS (\n    {{ inputs.trades | indent(4) }}\n)\n"
REACHING = {
    "another file": "SELECT *, (SELECT content FROM read_text('{secret}')) AS cost FROM trades",
    "a file by its name": "SELECT *, (SELECT count(*) FROM '{secret}') AS cost FROM trades",
    "a listing": "SELECT *, (SELECT count(*) FROM glob('{folder}/*')) AS cost FROM trades",
    "a database": "SELECT * FROM trades; ATTACH '{out}' AS x",
    "a COPY after it": "SELECT * FROM trades; COPY (SELECT 1) TO '{out}'",
    "a COPY around it": "SELECT 1) TO '{lake}/raw/x.parquet' (FORMAT parquet); COPY (SELECT * FROM trades",
    "an extension": "SELECT * FROM trades; INSTALL httpfs",
    "a setting": "SELECT * FROM trades; SET enable_external_access = true",
}


@pytest.mark.parametrize("sql", REACHING.values(), ids=REACHING)
def test_the_sql_of_a_template_reaches_the_lake_only(alone: Scratch, sql: str) -> None:
    folder = alone.folder.parent
    out, secret = folder / "out", folder / "secret.csv"
    secret.write_text("a\n1\n")
    alone.template("costs.sql.j2", ROWS + sql.format(out=out, secret=secret, folder=folder, lake=alone.lake))
    before = {path for path in folder.rglob("*") if ".sqlgen" not in path.parts}
    outcome = alone.sqlgen("run", "--json")
    assert outcome.code in (1, 2)
    told = outcome.out + outcome.err
    assert "costs" in told
    assert any(said in told for said in ("Permission Error", "must be one SELECT", "Parser Error")), told
    assert {path for path in folder.rglob("*") if ".sqlgen" not in path.parts} == before


def test_the_sql_of_an_adapter_reaches_the_lake_only(alone: Scratch) -> None:
    """Keys in rows are looked up while a run is planned."""
    adapter = (ROOT / "transforms_sql/sources/ccxt/trades.sql.j2").read_text()
    secret = alone.folder.parent / "secret.csv"
    secret.write_text("a\n1\n")
    alone.template(
        "sources/own.sql.j2", adapter.rstrip() + f"\nWHERE 0 < (SELECT count(*) FROM read_text('{secret}'))\n"
    )
    alone.config["sources"]["raw"]["adapter"] = "own"
    alone.save()
    assert "Permission Error" in alone.sqlgen("run").out
    assert "Permission Error" in sqlgen("coverage", "raw", "--project", alone.file).err
    (alone.lake / "raw/ccxt/trades").rename(alone.lake / "raw/ccxt/before")
    flat = alone.lake / "raw/ccxt/trades/x.parquet"
    flat.parent.mkdir()
    duckdb.execute(f"COPY (FROM '{alone.lake}/raw/ccxt/before/**/*.parquet') TO '{flat}' (FORMAT parquet)")
    assert "Permission Error" in alone.sqlgen("run").err


BEHIND_A_LINK = {
    "a path": "read_csv('{link}/../secret.csv')",
    "a path in a list": "read_csv(['{link}/../secret.csv'])",
    "a table": "'{link}/../secret.csv'",
    "a path after others": "read_csv('{link}/../../deep/linked/../secret.csv')",
    "a table of two names": '"{link}/"."./secret.csv"',
    "a table of two names, otherwise": '"{link}/."."/secret.csv"',
    "a computed path": "read_csv('{link}/.' || './secret.csv')",
    "a function": "read_csv(concat('{link}/.', './secret.csv'))",
    "an escape": r"read_csv(E'{link}/\x2e\x2e/secret.csv')",
    "dollars": "read_csv($${link}/../secret.csv$$)",
    "a quoted function": """"read_csv"('{link}/.' || './secret.csv')""",
    "another function": "query_table('{link}/../secret.csv')",
    "a query": "query('FROM read_csv(''{link}/.'' || ''./secret.csv'')')",
    "a serialized query": "json_execute_serialized_sql(json_serialize_sql('FROM ''{link}/../secret.csv'' '))",
    "a comment": "read_csv(/* ' */ '{link}/.' || './secret.csv')",
    "a list": "glob('{link}/.' || './*')",
    "a pivot": "(PIVOT read_csv('{link}/.' || './secret.csv') ON a USING count(*))",
}


@pytest.mark.parametrize("what", BEHIND_A_LINK.values(), ids=BEHIND_A_LINK)
def test_paths_with_dots_lead_nowhere(alone: Scratch, what: str) -> None:
    """DuckDB checks a path without its `..`, and opens it with them: behind a link they would leave the lake."""
    disk = alone.folder.parent / "disk"
    disk.mkdir()
    (disk.parent / "secret.csv").write_text("a\nhidden-of-others\n")
    link = alone.lake / "deep/linked"
    link.parent.mkdir()
    link.symlink_to(disk)
    reads = what.replace("{link}", str(link))
    alone.template("costs.sql.j2", f"{ROWS}SELECT trades.*, a AS cost FROM trades, {reads} AS x(a)")
    for command in ("run", "compile"):
        outcome = alone.sqlgen(command)
        assert outcome.code == 2, outcome.out + outcome.err
        assert "costs.sql.j2: " in outcome.out + outcome.err
    assert not (alone.lake / "out").exists()
    template = (ROOT / "transforms_sql/sources/ccxt/trades.sql.j2").read_text().rstrip()
    alone.template("sources/own.sql.j2", f"{template}\nWHERE 0 < (SELECT count(*) FROM {reads})\n")
    alone.config["sources"]["raw"]["adapter"] = "own"
    alone.save()
    assert "own.sql.j2: " in alone.sqlgen("plan").err


def test_names_of_columns_are_no_calls() -> None:
    """Only text that may read files is parsed, which takes long."""
    assert expressions.reach("this is no SQL: spread_bps (of a mid price)") == ""
    assert "cannot be looked through" in expressions.reach("this is no SQL: read_csv (of a mid price)")


def test_files_of_the_lake_are_read_by_their_names(alone: Scratch) -> None:
    """What templates of others may call."""
    (alone.lake / "ref.csv").write_text("factor\n2.0\n")
    alone.template(
        "costs.sql.j2",
        f"{ROWS}SELECT exchange, symbol, date, ts, seq, price * amount * factor * n AS cost -- more in ../here\n"
        f"FROM trades, read_csv(['{alone.lake}/ref.csv'], columns = {{'factor': 'DOUBLE'}}, nullstr := ['', '..x'])"
        f" JOIN (SELECT count(*) AS n FROM glob('{alone.lake}/ref.*')) ON true, unnest([1]), range(1) AS r(i)",
    )
    alone.run()
    assert [cost for _, _, cost in alone.costs()] == [2.0, 4.0]
    alone.config["lake"] = "../project/lake"
    for rows in ("trades", "(PIVOT trades ON side USING sum(price))"):
        alone.template("costs.sql.j2", f"{ROWS}SELECT * FROM {rows}")
        alone.save()
        assert alone.sqlgen("compile").code == 0


def test_a_confined_instance(tmp_path: Path) -> None:
    inside, outside = tmp_path / "la[k]e", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        duckdb.execute(f"COPY (SELECT 1 AS a) TO '{folder}/x.parquet'")
    with confined([inside], {"threads": 1}) as connection:
        pattern = f"{tmp_path}/la[[]k]e/x.parquet"
        assert connection.execute(f"FROM read_parquet('{pattern}')").fetchall() == [(1,)]
        connection.execute("SET threads = 2")
        (inside / "link").symlink_to(outside)
        for statement in (
            f"FROM read_parquet('{outside}/x.parquet')",
            f"FROM read_parquet('{inside}/../outside/x.parquet')",
            f"FROM read_parquet('{tmp_path}/la[[]k]e/link/x.parquet')",
            f"COPY (SELECT 1) TO '{outside}/y.csv'",
            f"ATTACH '{outside}/y.db'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
            "SET lock_configuration = false",
            "FROM outside",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
    assert sorted(path.name for path in outside.iterdir()) == ["x.parquet"]


def test_links_in_the_lake_are_read(alone: Scratch) -> None:
    """What the owner of a lake has linked into it belongs to it: disks, shared folders, files."""
    disk = alone.folder.parent / "disk"
    (alone.lake / "raw").rename(disk)
    (alone.lake / "raw").symlink_to(disk)
    table = alone.folder.parent / "tables"
    table.mkdir()
    (alone.lake / "out").symlink_to(table)
    file = next(disk.rglob("*.parquet"))
    other = alone.folder.parent / "elsewhere.parquet"
    file.rename(other)
    file.symlink_to(other)
    alone.run()
    assert [cost for _, _, cost in alone.costs()] == [1.0, 2.0]
    paths = [str(file.relative_to(disk)), "nothing/at/all"]
    assert folders_of(disk, paths) == [disk, alone.folder.parent]


def test_a_template_that_is_a_link_out_of_the_project(alone: Scratch) -> None:
    secret = alone.folder.parent / "secret.txt"
    secret.write_text("{# no header: [ #} the secret")
    (alone.folder / "transforms_sql/costs.sql.j2").unlink()
    (alone.folder / "transforms_sql/costs.sql.j2").symlink_to(secret)
    for command in ("ls", "plan", "run", "compile"):
        outcome = alone.sqlgen(command)
        assert (outcome.code, "is a link that leads out of the project" in outcome.err) == (2, True)
        assert "the secret" not in outcome.out + outcome.err
    alone.template("macros/x.sql.j2", "")
    (alone.folder / "transforms_sql/macros/x.sql.j2").unlink()
    (alone.folder / "transforms_sql/macros/x.sql.j2").symlink_to(secret)
    (alone.folder / "transforms_sql/costs.sql.j2").unlink()
    alone.template("costs.sql.j2", "{% include 'macros/x.sql.j2' %}")
    assert "is a link that leads out of the project" in alone.sqlgen("run").err
    alone.template("shared.sql.j2", COSTS)
    (alone.folder / "transforms_sql/costs.sql.j2").unlink()
    (alone.folder / "transforms_sql/costs.sql.j2").symlink_to("shared.sql.j2")
    alone.run()


@pytest.mark.parametrize("folder", ["transforms_sql", "udfs"])
def test_folders_that_are_links_out_of_the_project(alone: Scratch, folder: str) -> None:
    away = alone.folder.parent / "away"
    away.mkdir()
    if (alone.folder / folder).exists():
        (alone.folder / folder).rename(away / "x")
    (alone.folder / folder).symlink_to(away)
    outcome = alone.sqlgen("ls")
    assert (outcome.code, f"{folder}: a link that leads out of the project" in outcome.err) == (2, True), outcome.err


ENDLESS = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a product": "{% for a in range(99999) | product(range(99999)) %}{% endfor %}",
    "a list of a product": "{{ range(99999) | product(range(99999)) | list }}",
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
    "{{ f(40) }}",
    "a huge text": "{{ 'x' * 10 ** 12 }}",
    "a huge power": "{{ 10 ** (10 ** 10) }}",
    "a huge list": "{{ [1] * 10 ** 11 }}",
    "doubled texts": "{% set n = namespace(x='ab') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "added texts": "{% set n = namespace(x='ab') %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubled lists": "{% set x = [1] %}{% for i in range(40) %}{% set _ = x.extend(x) %}{% endfor %}",
    "doubled blocks": (
        "{% set n = namespace(x='ab') %}{% for i in range(40) %}{% set y %}{{ n.x }}{{ n.x }}{% endset %}"
        "{% set n.x = y %}{% endfor %}"
    ),
    "a width after %": "{{ '%09999999999d' % 1 }}",
    "a width of a format": "{{ '{:>9999999999}'.format(1) }}",
    "a width that is a value": "{{ '{:>{}}'.format(1, 9999999999) }}",
    "a padded text": "{{ 'x'.ljust(9999999999) }}",
    "an indentation": "{{ 'x' | indent(9999999999, true) }}",
    "a list of huge texts, joined": "{{ (['x' * 1000000] * 1000000) | join }}",
    "a stream of huge texts, joined": "{{ (['x' * 1000000] * 1000000) | map('upper') | join }}",
    "a text in place of each letter": "{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}",
    "lists of lists": "{% set a = ['x' * 1000000] * 1000 %}{{ [a] * 1000 }}",
    "much output": "{% for i in range(100000) %}{{ 'x' * 1000000 }}{% endfor %}",
    "much text in a loop": "{% for i in range(90000) %}" + "x" * 1000 + "{% endfor %}",
    "a list in batches": "{{ [1] | batch(999999999, 0) | list }}",
    "a macro without an end": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_rendering_comes_to_an_end(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MOST_STEPS", 100_000)
    (tmp_path / "x.sql.j2").write_text(f"SELECT 1\n{text}")
    begun = time.monotonic()
    with pytest.raises(TemplateError, match=r"x\.sql\.j2:2: "):
        Library(tmp_path).render("x.sql.j2")
    assert time.monotonic() - begun < 100


def test_steps_are_counted_anew_for_each_rendering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MOST_STEPS", 30)
    text = "{% for a in range(9) %}{{ loop.index0 }}{% if loop.last %}{{ loop.length }}{% endif %}{% endfor %}"
    (tmp_path / "x.sql.j2").write_text(text + "{{ 2 ** 10 }}{{ 'ab' * 2 }}{{ 3 * 1.5 }}")
    library = Library(tmp_path)
    assert [library.render("x.sql.j2") for _ in range(9)] == ["01234567891024abab4.5".replace("8910", "89" + "10")] * 9


@pytest.mark.parametrize("sql", ["UPDATE EXTENSIONS", "CHECKPOINT", "IMPORT DATABASE 'x'", "FORCE INSTALL httpfs"])
def test_statements_that_are_no_select(alone: Scratch, sql: str) -> None:
    """Not even one that DuckDB's Python has no name for."""
    alone.template("costs.sql.j2", sql)
    outcome = alone.sqlgen("run")
    assert (outcome.code, "and must be one SELECT. It was not run" in outcome.err) == (2, True), outcome.err


def test_a_target_that_is_a_link_out_of_the_project(alone: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come with a stranger's project, as may a folder below it."""
    outside, target = alone.folder.parent / "outside", alone.folder / "target"
    outside.mkdir()
    alone.config["runs"] = {"metrics": "target/x.prom"}
    alone.save()
    links = {target: ("compile", "catalog", "docs"), target / "compiled": ("compile",), target / "docs": ("docs",)}
    for link, commands in links.items():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(outside)
        for command in commands:
            outcome = sqlgen(command, *(("--project",) if command == "docs" else ()), alone.file)
            assert outcome.code == 2
            assert f"a link that leads out of the project, to {outside}" in outcome.err
        if link == target:
            assert "x.prom is not a file *.prom below target" in alone.sqlgen("run").err
        assert not any(outside.iterdir())
        link.unlink()
    target.rmdir()
    target.symlink_to(outside)
    monkeypatch.setenv("SQLGEN_TRUSTED", str(alone.file))
    assert alone.sqlgen("catalog").code == 0
    assert (outside / "catalog.sql").exists()


def test_roots_of_sources_are_read_and_nothing_beside_them(alone: Scratch) -> None:
    """A source may lie anywhere, as models.yaml and ``ls`` say; only its own folder is read, and nothing is written."""
    root = alone.folder.parent / "archive"
    (alone.lake / "raw/ccxt/trades").rename(root)
    (root.parent / "beside.csv").write_text("a\n1\n")
    alone.config["sources"]["raw"] |= {"path": "trades", "lake": f"{root.parent}/root"}
    (root.parent / "root").mkdir()
    root.rename(root.parent / "root/trades")
    alone.save()
    before = {path for path in root.parent.rglob("*") if not path.is_relative_to(alone.folder)}
    assert f"raw\t{root.parent}/root/trades\t" in alone.sqlgen("ls").out
    alone.run()
    assert [cost for _, _, cost in alone.costs()] == [1.0, 2.0]
    for file in (root.parent / "beside.csv", f"{root.parent}/root/../beside.csv"):
        alone.template(
            "costs.sql.j2", ROWS + f"SELECT *, (SELECT count(*) FROM read_csv('{file}')) AS cost FROM trades"
        )
        done = alone.sqlgen("run")
        assert "Permission Error" in done.out or "which may lead out of the lake" in done.err
    assert {path for path in root.parent.rglob("*") if not path.is_relative_to(alone.folder)} == before


@pytest.mark.parametrize("link", [False, True])
def test_model_tests_read_files_of_the_project_alone(
    alone: Scratch, link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, folder = alone.folder.parent / "secret.parquet", alone.folder / "model_tests"
    (alone.raw(BTC, DAY1) / "data.parquet").rename(secret)
    folder.mkdir()
    name = "../../secret.parquet"
    if link:
        (folder / "secret.parquet").symlink_to(secret)
        name = "secret.parquet"
    common = {"exchange": "binance", "symbol": BTC, "date": DAY1}
    for rows in ({"raw": name}, {"parquet": name}):
        test = {"model": "costs", "common": common, "given": {"trades": rows}, "expect": []}
        (folder / "t.yaml").write_text(json.dumps({"t": test}))
        outcome = alone.sqlgen("test")
        told = outcome.err
        assert outcome.code == 2
        assert ("lies outside of the project. Copy it. " if "raw" in rows else "Permission Error") in told
        assert "data-0" not in outcome.out + told
    monkeypatch.setenv("SQLGEN_TRUSTED", str(alone.file))
    (folder / "t.yaml").write_text(json.dumps({"t": test | {"given": {"trades": {"raw": name}}}}))
    assert "data-0" in alone.sqlgen("test").out


def test_a_note_of_a_killed_run_names_folders_of_the_lake_alone(alone: Scratch) -> None:
    """It may come with a stranger's lake; it says where the next run moves a folder to."""
    planted = alone.folder.parent / "planted"
    staged = alone.lake / ".sqlgen/staging/20260101T120000000000-0a1b"
    (staged / "x.aside").mkdir(parents=True)
    (staged / "x.aside/f").write_text("planted")
    for text in (os.path.relpath(planted, staged), str(planted), os.path.relpath(alone.lake, staged)):
        (staged / "x.target").write_text(text)
        alone.run("--full-refresh")
        assert not planted.exists()
        assert alone.lake.is_dir()
        (staged / "x.aside").mkdir(parents=True, exist_ok=True)


# Kernels

PLANTED = LEDGER + "\nfrom pathlib import Path\n(Path(__file__).parent.parent / 'ran').touch()\n"


def test_kernels_run_only_if_a_model_names_one(alone: Scratch) -> None:
    alone.kernel(PLANTED)
    ran = alone.folder / "ran"
    for command in ("ls", "plan", "run", "compile", "catalog", "columns"):
        assert alone.sqlgen(command).code == 0
        assert not ran.exists(), command
    alone.model("costs", udfs=["ofi"])  # a packaged kernel needs no other
    alone.sqlgen("ls")
    assert not ran.exists()
    alone.model("costs", udfs=["ledger"])
    assert alone.sqlgen("ls").code == 0
    assert ran.exists()


def test_a_kernel_that_hides_a_packaged_one_is_found(alone: Scratch) -> None:
    alone.kernel(PLANTED.replace('"ledger"', '"returns"'))
    alone.model("costs", udfs=["ofi"])
    alone.sqlgen("ls")
    assert (alone.folder / "ran").exists()


def test_kernels_are_read_from_the_projects_own_folder_alone(alone: Scratch) -> None:
    away = alone.folder.parent / "away.py"
    away.write_text(PLANTED)
    alone.kernel("")
    (alone.folder / "udfs/mine.py").unlink()
    (alone.folder / "udfs/mine.py").symlink_to(away)
    alone.model("costs", udfs=["ledger"])
    outcome = alone.sqlgen("ls")
    assert (outcome.code, "is a link that leads out of the project" in outcome.err) == (2, True), outcome.err
    assert not (alone.folder.parent / "ran").exists()
    assert not (alone.folder / "ran").exists()


# Secrets


@pytest.mark.slow
def test_secrets_are_written_nowhere(alone: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """In filters, checks, options, names and descriptions; in runs that succeed, that fail, and that cannot begin."""
    monkeypatch.setenv("VENDOR_TOKEN", SECRET)
    said: list[str] = []

    def command(*arguments: str, code: int = 0) -> str:
        outcome = alone.sqlgen(*arguments)
        assert outcome.code == code, outcome.out + outcome.err
        said.append(outcome.out + outcome.err)
        return said[-1]

    alone.config["sources"]["raw"]["checks"] = [
        {"check": "predicate", "sql": "trade_id <> $$${VENDOR_TOKEN}$$ AND price < 2", "on_fail": "quarantine"}
    ]
    alone.template("costs.sql.j2", ROWS + "SELECT *, {{ options.key | literal }} <> trade_id AS cost FROM trades")
    alone.model(
        "costs", filter="trade_id <> '${VENDOR_TOKEN}'".replace("'", "$$"), options={"key": "${VENDOR_TOKEN}"},
        description="with ${VENDOR_TOKEN}",
    )  # fmt: skip
    for arguments in (
        ("plan",),
        ("run", "--json"),
        ("compile",),
        ("compile", "--stdout"),
        ("catalog",),
        ("ls", "--json"),
    ):
        command(*arguments)
    assert "${VENDOR_TOKEN}" in (alone.folder / "target/compiled/costs.sql").read_text()
    alone.template("costs.sql.j2", ROWS + "SELECT *, CAST({{ options.key | literal }} AS INTEGER) AS cost FROM trades")
    assert "${VENDOR_TOKEN}" in command("run", "--json", code=1)
    alone.template("costs.sql.j2", ROWS + "SELECT *, {{ options.key | ident }} AS cost FROM trades")
    assert "${VENDOR_TOKEN}" in command("run", code=2)
    alone.template("costs.sql.j2", "{{ fail(options.key) }}")
    assert "${VENDOR_TOKEN}" in command("run", code=2)
    alone.model("costs", schedule="${VENDOR_TOKEN}")
    assert "${VENDOR_TOKEN}" in command("ls", code=2)
    forms = {SECRET, SECRET.replace("'", "''"), json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1], "hush-4f", "7d1e"}
    for text in said:
        assert not [form for form in forms if form in text], text
    files = [path for path in alone.folder.rglob("*") if path.is_file() and path != alone.file]
    assert len(files) > 8
    for path in files:
        content = path.read_bytes()
        assert not [form for form in forms if form.encode() in content], path
    with pytest.raises(ConfigError) as refused:
        Engine.open(alone.file)
    assert "hush-4f" not in str(refused.value)


@pytest.mark.parametrize("place", ["lake", "root", "path", "output"])
def test_a_secret_in_an_address(alone: Scratch, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """It would be sent to whoever owns the bucket, or stand in the names of folders."""
    monkeypatch.setenv("VENDOR_TOKEN", "hush-4f7d1e")
    source, name = alone.config["sources"]["raw"], "x${VENDOR_TOKEN}"
    match place:
        case "lake":
            alone.config["lake"] = f"s3://bucket/{name}"
        case "root":
            source["lake"] = f"s3://bucket/{name}"
        case "path":
            source["path"] = f"raw/{name}"
        case "output":
            alone.config["models"]["costs"]["output"] = {"path": f"out/{name}"}
    alone.save()
    outcome = alone.sqlgen("plan")
    assert (outcome.code, "a secret is no part of an address or a folder" in outcome.err) == (2, True), outcome.err
    assert "hush-4f" not in outcome.err


def test_a_secret_too_short_to_be_hidden(alone: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_TOKEN", "abc")
    alone.model("costs", description="${VENDOR_TOKEN}")
    outcome = alone.sqlgen("ls")
    assert (outcome.code, "VENDOR_TOKEN is a secret by its name, and too short" in outcome.err) == (2, True)


def test_other_variables_are_shown(alone: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_TRADE", "data-00000")
    monkeypatch.setenv("MONKEY", "monkeybread")
    alone.model("costs", filter="trade_id <> '${FIRST_TRADE}'", description="${MONKEY} ${NO_TOKEN:-none}")
    alone.sqlgen("compile")
    text = (alone.folder / "target/compiled/costs.sql").read_text()
    assert "data-00000" in text
    assert "monkeybread none" in text


# The document


def test_every_line_of_the_document_names_its_tests() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    own = {name for name in globals() if name.startswith("test_")} - {"test_every_line_of_the_document_names_its_tests"}
    elsewhere = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert own <= named
    assert not [name for name in named if f"def {name}(" not in elsewhere]


@pytest.mark.slow
def test_shells_run_no_more_than_a_select_of_the_lake(alone: Scratch) -> None:
    """Views of the catalog: what a shell runs without limits is no text of a stranger's adapter."""
    alone.run()
    out, secret = alone.folder.parent / "out.csv", alone.folder.parent / "secret.csv"
    secret.write_text("a\n1\n")
    shipped = (ROOT / "transforms_sql/sources/ccxt/trades.sql.j2").read_text()
    adapters = {
        f"\n; COPY (SELECT 1) TO '{out}'; SELECT 1": "renders 3 statements, and must be one SELECT",
        f"\n-- \nWHERE 1 < (SELECT count(*) FROM read_text('{secret}'))": "Permission Error",
        f"\n; COPY (SELECT 1) TO '{out}'": "renders 2 statements",
    }
    for text, message in adapters.items():
        alone.template("sources/ccxt/trades.sql.j2", shipped.rstrip() + text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            connection = sqlgen_package.connect(alone.file)
        with connection, pytest.raises(duckdb.Error, match=message):
            connection.sql("FROM raw").fetchall()
        assert not out.exists()
        assert alone.sqlgen("catalog").code == 0
        assert "COPY (SELECT 1)" not in (alone.folder / "target/catalog.sql").read_text()
        connection = sqlgen_package.connect(alone.file)
        assert connection.sql("FROM costs").fetchall()
        connection.close()


def test_statements_of_the_engine_are_not_a_projects(alone: Scratch) -> None:
    """Files in the folders of the engine's own statements are not looked at."""
    out = alone.folder.parent / "out.csv"
    alone.model("costs", checks=[{"check": "range", "columns": ["cost"], "max": 1.5}])
    for folder in ("publish", "queries", "inspect"):
        for path in (ROOT / "transforms_sql" / folder).rglob("*.j2"):
            name = str(path.relative_to(ROOT / "transforms_sql"))
            alone.template(name, f"SELECT 1; COPY (SELECT 1) TO '{out}'; SELECT 1")
    assert len(alone.run()) == 1
    assert [row["cost"] for row in alone.table("costs").to_pylist()] == [1.0]
    with sqlgen_package.connect(alone.file) as connection:
        assert connection.sql("SELECT row ->> '$.cost' FROM costs_quarantine").fetchall() == [("2.0",)]
    assert not out.exists()


# Commands and files of models.yaml


def test_a_command_and_files_need_trust(alone: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the command of a failure nor a file outside the lake; both where the person who runs it says so."""
    ran, metrics = alone.folder / "ran", alone.folder.parent / "profile.prom"
    alone.config["runs"] = {"on_failure": "touch ran", "metrics": "../profile.prom"}
    alone.save()
    told = alone.sqlgen("run").err
    later = "the command will not be run when a run fails"
    assert f"note: runs.on_failure: {later}: touch ran. {TRUST}{alone.file}" in told
    assert f"note: runs.metrics: {alone.folder}/../profile.prom is not a file *.prom below target" in told
    (alone.raw(BTC, DAY1) / "data.parquet").write_bytes(b"PAR1")
    told = alone.sqlgen("run").err
    assert f"note: runs.on_failure: the command was not run: touch ran. {TRUST}{alone.file}" in told
    for other in (alone.folder.parent / "elsewhere", f"{alone.folder}-2"):
        monkeypatch.setenv("SQLGEN_TRUSTED", f"{other}")
        alone.sqlgen("run")
    assert not ran.exists()
    assert not metrics.exists()
    for trusted in (alone.file, f"/nowhere:{alone.folder}"):
        monkeypatch.setenv("SQLGEN_TRUSTED", f"{trusted}")
        assert "runs." not in alone.sqlgen("run").err
        ran.unlink()
        metrics.unlink()


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("target/x.prom", True),
        ("lake/x.prom", True),
        ("lake/.sqlgen/x.prom", True),
        ("target/../x.prom", False),
        ("x.prom", False),
        ("target/x.py", False),
        ("lake/raw/ccxt/trades/x.parquet", False),
        ("lake/link/x.prom", False),
        ("{folder}/x.prom", False),
    ],
)
def test_metrics_of_a_stranger(alone: Scratch, path: str, written: bool) -> None:
    outside = alone.folder.parent / "outside"
    outside.mkdir()
    (alone.lake / "link").symlink_to(outside)
    path = path.format(folder=outside)
    alone.config["runs"] = {"metrics": path}
    alone.save()
    told = alone.sqlgen("run").err
    assert ((alone.folder / path).exists(), "runs.metrics:" in told) == (written, not written)


def test_openlineage_is_not_set_by_a_file_of_the_project(
    alone: Scratch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client's configuration names files, servers and Python classes."""
    pytest.importorskip("openlineage.client")
    monkeypatch.chdir(alone.folder)
    for name in ("OPENLINEAGE_CONFIG", "OPENLINEAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    out = tmp_path / "bashrc"
    text = f"transport: {{type: file, log_file_path: {out}, append: true}}\n"
    (alone.folder / "openlineage.yml").write_text(text)
    alone.config["runs"] = {"openlineage": True}
    alone.save()
    told = alone.sqlgen("run").err
    assert "note: runs.openlineage: events are not sent: " in told
    assert f"set OPENLINEAGE_CONFIG={alone.folder}/openlineage.yml in the environment" in told
    assert not out.exists()
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(alone.folder / "openlineage.yml"))
    assert "runs.openlineage" not in alone.sqlgen("run", "--full-refresh").err
    assert out.exists()


def test_caches_of_code_in_a_lake_are_not_used(alone: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MORE", [])
    alone.run()
    assert cache._MORE == []
    monkeypatch.setenv("SQLGEN_TRUSTED", str(alone.file))
    alone.run("--full-refresh")
    assert [alone.lake / ".sqlgen/cache"] == cache._MORE


def test_bytecode_beside_a_kernel_is_not_used(alone: Scratch) -> None:
    """What runs is the source that a reader of ``udfs`` sees."""
    alone.kernel(LEDGER)
    source = alone.folder / "udfs/mine.py"
    planted = alone.folder / "planted.py"
    planted.write_text(PLANTED)
    stored = Path(importlib.util.cache_from_source(str(source)))
    py_compile.compile(
        str(planted), str(stored), str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    alone.model("costs", udfs=["ledger"])
    alone.run()
    assert "before" in alone.table("costs").column_names
    assert not (alone.folder / "ran").exists()


@pytest.mark.slow
def test_numbas_configuration_of_a_folder_is_not_used(tmp_path: Path) -> None:
    """It could name a cache, which is code."""
    (tmp_path / ".numba_config.yaml").write_text(f"cache_dir: {tmp_path}/planted\ndisable_jit: 1\n")
    code = "import sqlgen, udfs.jit as j; c = j._numba().config; c.reload_config(); print(c.CACHE_DIR, c.DISABLE_JIT)"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environ["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (" 0\n", "")


def test_pages_hold_no_script_of_a_stranger(alone: Scratch) -> None:
    """Descriptions, meanings of columns and symbols in the pages of ``docs`` and ``coverage``."""
    hostile = "</script><img src=x onerror=alert(1)>\"'<b>"
    alone.template("costs.sql.j2", COSTS.replace("quote: price", f"q: {hostile}"))
    alone.config["sources"]["raw"]["description"] = hostile
    alone.model("costs", description=hostile, tags=[hostile])
    alone.trades(hostile.replace("/", "%2F"), DAY1, [1.0])
    alone.run()
    assert sqlgen("docs", alone.folder / "site", "--project", alone.file).code == 0
    assert sqlgen("coverage", "raw", "--html", alone.folder / "map.html", "--project", alone.file).code == 0
    pages = {path.name: path.read_text() for path in alone.folder.rglob("*.html")}
    assert {"index.html", "costs.html", "raw.html", "map.html"} <= pages.keys()
    assert not [name for name, text in pages.items() if "<img src=x" in text]
    assert "onerror" in pages["costs.html"]


def test_python_users_are_confined_too(alone: Scratch) -> None:
    secret = alone.folder.parent / "secret.csv"
    secret.write_text("a\n1\n")
    alone.template("costs.sql.j2", ROWS + f"SELECT *, (SELECT count(*) FROM '{secret}') AS cost FROM trades")
    [task] = Engine.open(alone.file, Settings(threads=1)).run(Selection(("costs",))).tasks
    assert "Permission Error" in str(task.error)
