"""Soak: many incremental runs while files arrive late, change and vanish, symbols come and go, and options change.

``python -m tests.support.incremental 500`` prints a table. The end must equal one fresh build.
"""

from __future__ import annotations

import random
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlgen.plan.selection import Selection
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from tests.support import engine as support
from tests.support.kills import contents, project
from tests.support.scratch import Scratch

MODELS = ("costs", "through", "kept")
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
DAYS = tuple(f"2026-01-{day:02d}" for day in range(1, 6))
EVERY = 25
"""Runs between two measurements."""


@dataclass
class Soaked:
    """Measurements of a soak."""

    runs: int = 0
    built: int = 0
    failed: list[str] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    state_files: list[int] = field(default_factory=list)
    """Files under the state folder, but for reports of runs, which ``runs: keep`` bounds."""
    differences: int = 0

    @property
    def grown(self) -> bool:
        """True if file handles, memory or the state folder grew from run to run."""
        handles, megabytes = self.handles, self.megabytes
        bound = len(SYMBOLS) * len(DAYS) + 10
        return handles[-1] > handles[0] + 4 or megabytes[-1] > 1.5 * megabytes[0] or max(self.state_files) > bound

    def table(self) -> str:
        rows = {
            "incremental runs": self.runs,
            "partitions built": self.built,
            "runs that failed": len(self.failed),
            "file handles, first and last": f"{self.handles[0]}, {self.handles[-1]}",
            "peak memory in MB, first and last": f"{self.megabytes[0]:.0f}, {self.megabytes[-1]:.0f}",
            "files of the state folder, most": max(self.state_files),
            "partitions that differ from a fresh build": self.differences,
        }
        return "\n".join(["| what | number |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def change(made: Scratch, chance: random.Random) -> None:
    """One change of the inputs or the options."""
    symbol, date, name = chance.choice(SYMBOLS), chance.choice(DAYS), chance.choice("ab")
    what = chance.random()
    if what < 0.7:  # arrives, comes late, or changes
        made.trades(symbol, date, [chance.choice((1.0, 20.0, 95.0)) for _ in range(chance.randint(1, 3))], name=name)
    elif what < 0.85:
        (made.raw(symbol, date) / f"{name}.parquet").unlink(missing_ok=True)
    elif what < 0.92:  # a symbol goes
        shutil.rmtree(made.raw(symbol, date).parent, ignore_errors=True)
    else:
        made.model("through", options={"factor": chance.choice((1.0, 2.0))})
        made.model("kept", filter=f"price <> {chance.choice((1.0, 20.0))}")


def _run(made: Scratch) -> Any:
    return Engine.open(made.file, Settings(threads=1)).run(Selection(MODELS, prune=True, allow_empty=True))


def soak(count: int, seed: int, folder: Path) -> Soaked:
    """``count`` changes, each followed by a run; measured, and compared with a fresh build at the end."""
    chance, result = random.Random(seed), Soaked()
    made = project(folder / "project")
    for name in ("added", "merged"):
        del made.config["models"][name]
    made.save()
    made.trades(SYMBOLS[0], DAYS[0], [1.0], name="a")
    for number in range(count):
        change(made, chance)
        report = _run(made)
        result.runs += 1
        result.built += sum(task.status == "published" for task in report.tasks)
        if not report.ok:
            result.failed.append(f"run {number}: {report.errors} {[task.error for task in report.tasks if task.error]}")
        if number % EVERY == EVERY - 1:
            result.handles.append(len(list(Path("/proc/self/fd").iterdir())))
            result.megabytes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            state = (
                path for path in (made.lake / ".sqlgen").rglob("*") if path.is_file() and path.parent.name != "runs"
            )
            result.state_files.append(sum(1 for _ in state))
    fresh = folder / "fresh"
    shutil.copytree(made.folder, fresh, ignore=shutil.ignore_patterns("out", ".sqlgen"))
    _fresh(fresh)
    ended, wanted = contents(made.lake)["tables"], contents(fresh / "lake")["tables"]
    result.differences = sum(ended.get(where) != wanted.get(where) for where in {**ended, **wanted})
    return result


def _fresh(folder: Path) -> None:
    report = Engine.open(folder / "models.yaml", Settings(threads=1)).run(Selection(MODELS, allow_empty=True))
    assert report.ok, report.errors


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    support.own_instances()
    with tempfile.TemporaryDirectory(prefix="sqlgen-soak-") as folder:
        result = soak(count, int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time()), Path(folder))
    print(result.table())
    print("\n".join(result.failed[:5]))
    sys.exit(bool(result.failed or result.differences or result.grown))


if __name__ == "__main__":
    main()
