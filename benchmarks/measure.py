"""Whole processes: wall time and peak memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_WITH_PEAK = """
import atexit, pathlib, re, runpy, sys
peak, module = sys.argv[1:3]
sys.argv[:3] = [module]
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: pathlib.Path(peak).write_text(re.search(r"VmHWM:\\s*([0-9]+)", status.read_text())[1]))
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Program that runs a module and notes its peak memory in kB. getrusage would count what its parent had, too."""

_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Modules are compiled once, as where a package is installed, and not at every start."""


@dataclass(frozen=True)
class Process:
    """Time, memory and output of a finished process."""

    seconds: float
    cpu: float
    """Seconds of CPU, user and system, of the process and of those that it waited for."""
    peak_mb: float
    out: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def python(module: str, *arguments: object, **environ: str) -> Process:
    """Run ``python -m MODULE ARGUMENTS`` from the repository; it must succeed."""
    with tempfile.TemporaryDirectory() as folder:
        peak = Path(folder) / "peak"
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", _WITH_PEAK, str(peak), module, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | _BYTECODE | environ,
        )
        assert process.stdout is not None
        with process.stdout as stream:
            out = stream.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{module} {arguments} failed with {process.returncode}:\n{out}")
        return Process(seconds, usage.ru_utime + usage.ru_stime, int(peak.read_text()) / 1024, out)


@dataclass(frozen=True)
class Pair:
    """Medians of runs and of a script, in turn, with their ratios of wall time and of CPU."""

    runs: Sequence[Process]
    scripts: Sequence[Process]

    def ratio(self, of: Callable[[Process], float]) -> float:
        return statistics.median(of(run) / of(script) for run, script in zip(self.runs, self.scripts, strict=True))

    @property
    def difference(self) -> str:
        """Time of the runs beyond that of the scripts."""
        wall, cpu = (
            statistics.median(of(run) for run in self.runs) - statistics.median(of(script) for script in self.scripts)
            for of in (lambda p: p.seconds, lambda p: p.cpu)
        )
        return f"{wall:+.2f} s ({cpu:+.2f} s of CPU)"

    def lines(self, what: str, by: str, goal: str) -> Iterator[Line]:
        """Lines of the table. On a machine that others use too, CPU tells more than time."""
        wall, cpu = self.ratio(lambda p: p.seconds), self.ratio(lambda p: p.cpu)
        yield f"{what}: run / {by}", f"{wall:.2f}; by CPU {cpu:.2f}", goal
        yield "the same: run, script", f"{median(self.runs)}; {median(self.scripts)}", ""


Line = tuple[str, str, str]
"""A line of the table: what is measured, the measure, the goal."""


def median(processes: Sequence[Process]) -> str:
    """Median of time and of CPU."""
    return (
        f"{statistics.median(p.seconds for p in processes):.2f} s"
        f" ({statistics.median(p.cpu for p in processes):.2f} s of CPU)"
    )
