"""A run that is stopped ends: soon, with a message, nothing staged, the lake free, and the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sqlgen.lake.lock import run_lock
from tests.support.engine import ROOT
from tests.support.scratch import DAY1, Scratch

pytestmark = pytest.mark.slow

SYMBOLS = [f"S{number:03}" for number in range(16)]
LIMIT = 180
"""Seconds after which a run is taken to hang."""

PATCHED = """
import errno, os, sys, time
from unittest import mock
from sqlgen.cli import app as cli
from sqlgen.cli import console
from sqlgen.run import report
calls = []
def fail(self, *arguments):
    calls.append(1)
    if len(calls) == 3:
        {statement}
with mock.patch.object({target}, "{name}", fail), mock.patch.object(sys, "argv", ["sqlgen", "run", *sys.argv[1:]]):
    cli.main()
"""


@pytest.fixture
def wide(scratch: Scratch) -> Scratch:
    """One model over many partitions."""
    del scratch.config["models"]["pairs"]
    scratch.save()
    for number, symbol in enumerate(SYMBOLS, 1):
        scratch.trades(symbol, DAY1, [float(number)])
    return scratch


def started(project: Scratch, *before: str, **environment: str) -> subprocess.Popen[str]:
    command = before or ("-m", "sqlgen", "run")
    return subprocess.Popen(
        [sys.executable, *command, str(project.file), "--threads", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        cwd=Path(__file__).parents[2],
    )


def ended(project: Scratch, run: subprocess.Popen[str]) -> str:
    """What a run said at its end; it left nothing staged and let go of the lake, and the next run goes on."""
    try:
        run.wait(LIMIT)
    except subprocess.TimeoutExpired:
        run.kill()
        pytest.fail("the run hangs")
    finally:
        assert run.stderr is not None
        said = run.stderr.read()
        run.stderr.close()
        if run.stdout is not None:
            run.stdout.close()
    assert not list((project.lake / ".sqlgen/staging").glob("*")), said
    assert not list((project.lake / ".sqlgen").glob("**/.*")), said
    with run_lock(project.lake / ".sqlgen"):
        pass
    project.run()
    assert sorted(project.costs()) == [(symbol, DAY1, float(number)) for number, symbol in enumerate(SYMBOLS, 1)]
    assert project.plan() == {}
    return said


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "interrupted: published partitions stay; run again to continue"),
        (signal.SIGTERM, 143, "stopped by SIGTERM: published partitions stay; run again to continue"),
        (signal.SIGHUP, 129, "stopped by SIGHUP: published partitions stay; run again to continue"),
    ],
)
def test_one_signal_ends_a_run_in_order(wide: Scratch, number: int, code: int, message: str) -> None:
    run = started(wide)
    assert run.stdout is not None
    while not run.stdout.readline().startswith("[2/"):
        pass
    run.send_signal(number)
    assert ended(wide, run).strip() == message
    assert run.returncode == code


def test_a_reader_of_the_output_that_goes_away(wide: Scratch) -> None:
    run = started(wide)
    assert run.stdout is not None
    assert run.stdout.readline().startswith(f"{len(SYMBOLS)} partition(s) to build")
    run.stdout.close()
    run.stdout = None
    said = ended(wide, run)
    assert said.strip() == (
        "stopped: the output is no longer read (broken pipe): published partitions stay; run again to continue"
    )
    assert run.returncode == 141


@pytest.mark.parametrize("command", [("plan",), ("run", "--dry-run"), ("query", "FROM range(9)")], ids=str)
def test_a_plan_that_nobody_reads(wide: Scratch, command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "sqlgen", *command, str(wide.file)],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            timeout=LIMIT,
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("target", "name", "statement", "code", "message"),
    [
        (
            "report.ReportStore",
            "note",
            'raise OSError(errno.ENOSPC, "No space left on device", "lake/.sqlgen/runs/x.ndjson")',
            2,
            "error: lake/.sqlgen/runs/x.ndjson: No space left on device. The disk is full: free space and run again",
        ),
        ("console.LineWatcher", "finished", "raise KeyboardInterrupt", 130, "interrupted: published partitions stay"),
        ("console.LineWatcher", "finished", 'raise LookupError("a watcher")', 1, "LookupError: a watcher"),
        ("console.LineWatcher", "running", 'raise LookupError("in a thread")', 1, "LookupError: in a thread"),
        ("console.LineWatcher", "finished", "os.kill(os.getpid(), 15)", 143, "stopped by SIGTERM"),
    ],
)
def test_whatever_the_main_thread_meets(
    wide: Scratch, target: str, name: str, statement: str, code: int, message: str
) -> None:
    run = started(wide, "-c", PATCHED.format(target=target, name=name, statement=statement))
    said = ended(wide, run)
    assert message in said
    assert run.returncode == code


MOMENTS = """
import os, signal, sys
from unittest import mock
from sqlgen import __main__ as script
sys.argv = ["sqlgen", "run", *sys.argv[1:]]
number = signal.{number}
def told(original):
    def tell(*arguments, **named):
        os.kill(os.getpid(), number)
        return original(*arguments, **named)
    return tell
class Loading:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "{module}":
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Loading)
{patch}
script.main()
"""


@pytest.mark.parametrize(
    ("number", "code", "module", "patched", "message"),
    [
        (signal.SIGINT, 130, "sqlgen.cli.app", "", "interrupted: what is published stays"),
        (signal.SIGTERM, 143, "duckdb", "", "stopped by SIGTERM: published partitions stay; run again"),
        pytest.param(
            signal.SIGTERM,
            143,
            "",
            "sqlgen.cli.running.selection_of",
            "stopped by SIGTERM: what is published stays",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            signal.SIGINT,
            130,
            "",
            "sqlgen.run.binding.select_of",
            "interrupted: published partitions stay; run again",
            marks=pytest.mark.slow,
        ),
        (signal.SIGHUP, 129, "", "sqlgen.operate.aftermath.after_run", "stopped by SIGHUP: published partitions stay"),
        pytest.param(
            signal.SIGTERM,
            143,
            "",
            "sqlgen.cli.running._show_report",
            "stopped by SIGTERM: what is published stays",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_signal_at_any_moment(
    wide: Scratch, number: signal.Signals, code: int, module: str, patched: str, message: str
) -> None:
    """While modules are loaded, the project is read, statements are bound, reports are written and shown."""
    target, _, name = patched.rpartition(".")
    patch = (
        f"import importlib; place = importlib.import_module({target!r})\n"
        f"mock.patch.object(place, {name!r}, told(place.{name})).start()"
        if patched
        else ""
    )
    run = started(wide, "-c", MOMENTS.format(number=number.name, module=module, patch=patch))
    said = ended(wide, run)
    assert run.returncode == code, said
    assert said.startswith(message)
    assert len(said.strip().splitlines()) == 1


def test_a_signal_after_the_end_changes_nothing(wide: Scratch) -> None:
    """The command has said how it ended, and Python clears its memory."""
    patch = "import atexit\natexit.register(os.kill, os.getpid(), number)"
    run = started(wide, "-c", MOMENTS.format(number="SIGTERM", module="", patch=patch))
    out, said = run.communicate(timeout=LIMIT)
    assert (run.returncode, said) == (0, ""), out + said
    assert f"{len(SYMBOLS)} published" in out


COMPILING = """
import ctypes, os, time
from sqlgen.cli import signals
compiling = "def compiling():\\n    os.kill(os.getpid(), 15)\\n    [0 for _ in range(9)]"
exec(compile(compiling, "llvmlite/binding/executionengine.py", "exec"))
with signals.{context}():
    try:
        ctypes.CFUNCTYPE(None)(compiling)()
        time.sleep({limit})
    except signals.Stopped as stop:
        print(signals.name(stop))
        raise SystemExit(signals.code(stop))
"""


@pytest.mark.parametrize("context", ["ended", "raised"])
def test_a_signal_while_a_kernel_is_compiled(context: str) -> None:
    """LLVM calls Python, and prints an exception of that, instead of raising it."""
    code = COMPILING.format(context=context, limit=LIMIT)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, (done.stdout + done.stderr).count("\n")) == (143, 1), done.stderr
    assert (done.stdout + done.stderr).startswith("stopped by SIGTERM")


def test_a_second_signal_ends_a_run_at_once(wide: Scratch) -> None:
    kill = "os.kill(os.getpid(), 2)"
    statement = f"{kill}; {kill}; time.sleep(9)"
    run = started(wide, "-c", PATCHED.format(target="console.LineWatcher", name="finished", statement=statement))
    out, said = run.communicate(timeout=LIMIT)
    assert (run.returncode, said) == (130, "stopped at once: the next run clears what is staged\n"), out
    assert list((wide.lake / ".sqlgen/staging").glob("*"))
    ended(wide, started(wide))


@pytest.mark.parametrize("say", [lambda path: ["run", path], lambda path: ["plan", path], lambda path: ["ls", path]])
def test_names_that_the_terminal_cannot_print(scratch: Scratch, say: Callable[[str], list[str]]) -> None:
    scratch.trades("БТК-USDT", DAY1, [1.0])
    scratch.model("costs", description="Kosten in €")
    done = subprocess.run(
        [sys.executable, "-m", "sqlgen", *say(str(scratch.file))],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "costs" in done.stdout


def test_a_run_with_nothing_to_do_clears_what_a_killed_one_left(scratch: Scratch) -> None:
    """Under the name of a run; what lies beside it is not ours."""
    scratch.trades("A", DAY1, [1.0])
    scratch.run()
    staging = scratch.lake / ".sqlgen/staging"
    left = staging / "20260101T120000000000-0a1b/abc"
    left.mkdir(parents=True)
    (left / "data_0.parquet").write_bytes(b"PAR1")
    theirs = staging / "notes/todo.txt"
    theirs.parent.mkdir()
    theirs.write_text("keep")
    assert scratch.run() == {}
    assert not left.parent.exists()
    assert theirs.read_text() == "keep"
