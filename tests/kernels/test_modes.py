"""The kernels' tests once more: as plain Python, and compiled with every index checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.markets import market, run
from tests.support.modes import AGAIN

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LEFT_OUT = {"test_modes.py", "test_oracle_book.py", "test_oracles_themselves.py", "test_warm.py", "test_window_sql.py"}
"""This file, those that take long (the oracle does, and plain Python on 20,000 rows), one that runs no kernel, and one
that runs its own processes."""
TOO_LONG = {"test_information_bars.py", "test_oracle_bars.py", "test_oracle_trades.py", "test_stoikov.py"}
"""Files that take longest in plain Python; of the oracles', the numbers are known to be the same, see below."""
FILES = sorted(str(path) for path in HERE.glob("test_*.py") if path.name not in LEFT_OUT | TOO_LONG)
EVERY_KERNEL = [str(HERE / "test_any_numbers.py")]
"""Runs every kernel, of which compilation takes longest. NumPy checks each index, too, in plain Python."""
WRITE = """
import sys
import numba, numpy
from tests.kernels.markets import market, run
assert numba.config.DISABLE_JIT
numpy.savez(sys.argv[1], **run(*market(3, 400), cuts=[100, 101, 150])[0])
"""


def python(mode: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Indices are checked whether LLVM optimizes or not; optimizing is a third of the time that compiling takes.
    environment = {**os.environ, mode: "1", AGAIN: "1", "NUMBA_OPT": "0"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "files"),
    [("NUMBA_DISABLE_JIT", FILES[::2]), ("NUMBA_DISABLE_JIT", FILES[1::2]), ("NUMBA_BOUNDSCHECK", EVERY_KERNEL)],
    ids=["plain 1", "plain 2", "checked"],
)
def test_the_kernels_tests_pass(mode: str, files: list[str]) -> None:
    """In parts, which several processes of one test run can share."""
    assert files
    done = python(mode, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *files)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_plain_python_gives_the_same_numbers(tmp_path: Path) -> None:
    done = python("NUMBA_DISABLE_JIT", "-c", WRITE, str(tmp_path / "columns.npz"))
    assert done.returncode == 0, done.stderr[-4000:]
    expected, _ = run(*market(3, 400))
    with np.load(tmp_path / "columns.npz") as found:
        assert list(found) == list(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-13, err_msg=name)


@pytest.mark.slow
def test_a_wrong_index_is_seen() -> None:
    """The second mode checks what it says it checks."""
    code = "import numpy; from udfs.quotes.returns import find_returns as loop; from udfs.kernel import record"
    code += "; a = numpy.zeros(1); i = numpy.full(1, 5); state = record(mid=1.0, velocity=0.0, elapsed=1.0)"
    code += "; loop(a, i, a, state, a, a, a)"
    done = python("NUMBA_BOUNDSCHECK", "-c", code)
    assert "IndexError" in done.stderr, done.stderr
