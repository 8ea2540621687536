"""``sqlgen shell`` as a user meets it: in a pipe, with a command, on a terminal."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sqlgen.explore.shell import is_complete
from sqlgen.functions.registration import FUNCTIONS
from tests.support.engine import Outcome, sqlgen
from tests.support.scratch import BTC, DAY1, Scratch


@pytest.fixture
def built(scratch: Scratch) -> Scratch:
    """A project with two trades, and its tables."""
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    scratch.run()
    return scratch


@pytest.fixture
def piped(built: Scratch, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Outcome]:
    """Runs the shell with a text on standard input."""

    def run(text: str) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return built.sqlgen("shell")

    return run


@pytest.mark.slow
def test_a_pipe_in_a_process_of_its_own(built: Scratch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sqlgen", "shell", built.file],
        input="SELECT count(*) AS n, sum(price) AS p FROM raw;\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout == (
        "┌───────┬────────┐\n"
        "│   n   │   p    │\n"
        "│ int64 │ double │\n"
        "├───────┼────────┤\n"
        "│     2 │    3.0 │\n"
        "└───────┴────────┘\n\n"
    )


def test_statements_over_lines_and_several_in_a_line(piped: Callable[[str], Outcome]) -> None:
    text = """
        -- a comment;
        SELECT 11
            + 22, 'it''s; not' AS s -- over;
        ; SELECT 44;
        CREATE TABLE t AS SELECT 55 AS a; FROM t"""
    outcome = piped(text)
    assert (outcome.code, outcome.err) == (0, "")
    for shown in ("│        33 │ it's; not │", "│    44 │", "│    55 │"):
        assert shown in outcome.out


def test_the_loop_goes_on_after_an_error_and_the_exit_code_tells(piped: Callable[[str], Outcome]) -> None:
    outcome = piped("SELECT nothing;\nSELEC 1;\nSELECT vpin([1], [1], [1], buckets := 0);\nSELECT 42;\n")
    assert outcome.code == 1
    assert "42" in outcome.out
    lines = outcome.err.splitlines()
    assert lines[0].startswith('Binder Error: Referenced column "nothing" was not found')
    assert any(line.startswith("Parser Error: syntax error") for line in lines)
    assert lines[-1].startswith("Error: vpin: buckets: Input should be greater than 0, found 0")


def test_dot_commands(piped: Callable[[str], Outcome]) -> None:
    outcome = piped(".tables\n.functions\n.help\n.quit\nSELECT 'not reached';\n")
    assert (outcome.code, outcome.err) == (0, "")
    for name in ("raw", "costs", "pairs", "What each trade cost"):
        assert f" {name} " in outcome.out
    for function in FUNCTIONS:
        assert f"\n{function.signature}\n    {function.doc}\n" in outcome.out
    assert ".functions         the kernels" in outcome.out
    assert "reached" not in outcome.out


def test_an_unknown_dot_command(piped: Callable[[str], Outcome]) -> None:
    outcome = piped(".schema\nSELECT 1;\n")
    assert (outcome.code, outcome.err) == (
        1,
        "no command .schema; there are .tables, .functions, .help and .quit\n",
    )
    assert "1" in outcome.out


@pytest.mark.slow
def test_a_command(built: Scratch) -> None:
    outcome = built.sqlgen("shell", "-c", "SELECT unnest(log_return(list(cost ORDER BY ts))) AS r FROM costs")
    assert outcome.code == 0
    assert "0.6931471805599453" in outcome.out
    assert built.sqlgen("shell", "--command", "SELECT nothing").code == 1
    assert "costs" in built.sqlgen("shell", "-c", ".tables").out


def test_explain_prints_the_plan(built: Scratch) -> None:
    out = built.sqlgen("shell", "-c", "EXPLAIN SELECT cost FROM costs").out
    assert "Projection" in out
    assert "explain_value" not in out


def test_wide_results_are_not_cut_in_a_pipe(built: Scratch) -> None:
    wide = ", ".join(f"'{'x' * 30}{i}'" for i in range(20))
    assert f"{'x' * 30}19" in built.sqlgen("shell", "-c", f"SELECT {wide}").out


def test_without_a_project_there_are_the_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = sqlgen("shell", "-c", "SELECT log_return([1, 1])")
    assert (outcome.code, outcome.err) == (0, "")
    assert "[NULL, 0.0]" in outcome.out
    outcome = sqlgen("shell", tmp_path / "other.yaml", "-c", "SELECT 1")
    assert (outcome.code, outcome.out) == (2, "")
    assert "other.yaml: no such file" in outcome.err


def test_a_damaged_table_is_noted(built: Scratch) -> None:
    (file,) = (built.lake / "out/pairs").rglob("*.parquet")
    file.write_bytes(b"not Parquet")
    outcome = built.sqlgen("shell", "-c", "SELECT count(*) FROM costs")
    assert outcome.code == 0
    assert outcome.err.startswith("note: CREATE OR REPLACE VIEW pairs AS Invalid Input Error: ")


def test_python_variables_are_no_tables(built: Scratch) -> None:
    assert built.sqlgen("shell", "-c", "FROM problems").code == 1


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("SELECT 1;", True),
        ("SELECT 1; -- done\n", True),
        ("SELECT 'é';\n", True),
        ("SELECT 1", False),
        ("SELECT 1 -- not;", False),
        ("SELECT 'not;", False),
        ('SELECT "not;', False),
        ("SELECT $$not;", False),
        ("SELECT $$it;$$;", True),
        ("SELECT /* not;", False),
        ("-- nothing;", False),
        ("", False),
        (";", True),
    ],
)
def test_where_a_statement_ends(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


@pytest.mark.slow
def test_a_prompt_on_a_terminal(built: Scratch, tmp_path: Path) -> None:
    """Under ``script``, which gives a terminal."""
    if shutil.which("script") is None:
        pytest.skip("the command script is not installed")
    done = subprocess.run(
        ["script", "-qec", f"{sys.executable} -m sqlgen shell {built.file}", "/dev/null"],
        input="SELECT 40 +\n2 AS answer;\nSELECT nothing;\n.quit\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=os.environ | {"HOME": str(tmp_path), "TERM": "dumb"},
    )
    assert "sqlgen> SELECT 40 +" in done.stdout
    assert "   ...> 2 AS answer;" in done.stdout
    assert "│     42 │" in done.stdout
    assert "Binder Error" in done.stdout
    assert "SELECT 40 +" in (tmp_path / ".sqlgen_history").read_text()


def test_importing_sqlgen_loads_nothing_heavy() -> None:
    code = "import sys, sqlgen; print(sorted({'duckdb', 'numba', 'numpy', 'pyarrow', 'pydantic'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_an_open_connection_ends_quietly() -> None:
    """DuckDB complains on standard error about connections that were not closed, if functions hold them."""
    code = "import sqlgen; connection = sqlgen.connect(None); connection.sql('SELECT log_return([1, 2])').fetchall()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
