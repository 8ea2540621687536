"""Tab completion of the shell: words by their place in a statement, and a terminal in which Tab is pressed."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import duckdb
import pytest

from sqlgen.explore.completion import Completer
from tests.support.scratch import BTC, DAY1, Scratch


@pytest.fixture(scope="module")
def completer() -> Completer:
    connection = duckdb.connect()
    connection.execute('CREATE TABLE bars (symbol VARCHAR, vwap DOUBLE, volume DOUBLE, "odd name" INTEGER)')
    connection.execute("CREATE VIEW books AS SELECT 1 AS bid_price, 2 AS volatility")
    connection.execute("CREATE MACRO book_at(x) AS TABLE SELECT x")
    return Completer(connection, (".tables", ".help"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SELECT * FROM bo", ["books", "book_at"]),
        ("SELECT * FROM BA", ["bars"]),
        ("FROM bars WHERE vo", ["volume"]),
        ("FROM books WHERE vo", ["volatility"]),
        ("SELECT b.v FROM bars AS b JOIN books ON b.v", ["b.vwap", "b.volume"]),
        ("SELECT * FROM bars x WHERE x.od", ['x."odd name"']),
        ("FROM bars WHERE bars.sy", ["bars.symbol"]),
        ("FROM bars WHERE nothing.x", []),
        ("SUMMARIZE boo", ["books", "book_at"]),
        (".t", [".tables"]),
        (".", [".tables", ".help"]),
    ],
)
def test_words_that_fit(completer: Completer, line: str, expected: list[str]) -> None:
    word = line.split()[-1]
    found = completer.complete(line, word)
    assert found[: len(expected)] == expected
    assert all(one.lower().startswith(word.lower().partition(".")[0]) for one in found)


def test_keywords_are_in_the_case_that_is_typed(completer: Completer) -> None:
    assert "SELECT" in completer.complete("SEL", "SEL")
    assert "select" in completer.complete("sel", "sel")
    assert completer.complete("SELECT vwa", "vwa")[0] == "vwap", "without a table before the cursor, of all tables"
    assert "regexp_matches" in completer.complete("SELECT regexp_m", "regexp_m")


def test_lines_above_count(completer: Completer) -> None:
    completer.before = "SELECT *\nFROM bars\n"
    try:
        assert completer.complete("WHERE vw", "vw")[0] == "vwap"
        assert completer.complete(".t", ".t") == [], "a command stands alone"
    finally:
        completer.before = ""


def test_new_tables_are_known(completer: Completer) -> None:
    completer.connection.execute("CREATE TABLE newcomer (x INTEGER)")
    assert completer.complete("FROM newc", "newc") == []
    completer.forget()
    assert completer.complete("FROM newc", "newc") == ["newcomer"]


@pytest.mark.slow
def test_tab_on_a_terminal(scratch: Scratch) -> None:
    pytest.importorskip("readline")
    scratch.trades(BTC, DAY1, [1.0, 2.0])
    scratch.run()
    leader, follower = pty.openpty()
    environment = {**os.environ, "HOME": str(scratch.folder), "TERM": "dumb"}
    command = [sys.executable, "-m", "sqlgen", "shell", str(scratch.file)]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    try:
        _until(leader, b"sqlgen> ")
        os.write(leader, b"SELECT sum(cost) AS total FROM cos\t;\n")
        assert b"costs" in _until(leader, b"3.0")
        os.write(leader, b".qu\t\n")
        process.wait(120)
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def _until(terminal: int, text: bytes) -> bytes:
    found, end = b"", time.monotonic() + 120
    while text not in found:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, found
        found += os.read(terminal, 4096)
    return found
