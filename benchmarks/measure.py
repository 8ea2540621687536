"""Whole processes: wall time and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Process:
    """What a finished process took and said."""

    seconds: float
    peak_mb: float
    out: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def python(*arguments: object, **environ: str) -> Process:
    """Run ``python ARGUMENTS`` from the repository; it must succeed."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | environ,
    )
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} failed with {process.returncode}:\n{out}")
    return Process(time.perf_counter() - begun, usage.ru_maxrss / 1024, out)
