"""The table of docs/guarantees.md: kills, incremental runs, readers and damaged files, counted by one command.

``python -m tests.support.guarantees 300 50 20`` tries 300 kills, 50 incremental runs, readers for 20 seconds each and
a tenth as many damaged files of each kind as kills. A fourth number is the seed.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlgen.plan.selection import Selection
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from tests.support import engine as support
from tests.support import flips, incremental, kills
from tests.support.readers import CATALOG, PARTITIONS, READERS, ROWS, started
from tests.support.scratch import DAY1, Scratch

TABLE = "versions"
TEMPLATE = """\
{#-
batches: true
options:
  version: {type: int, default: 0, doc: Version of the rows}
-#}
WITH trades AS (
    {{ inputs.trades | indent(4) }}
)
SELECT exchange, symbol, date, ts, seq, price, {{ options.version }}::BIGINT AS version
FROM trades
WHERE price <= %d + {{ options.version }} %% 7
ORDER BY exchange, symbol, ts, seq
"""


@dataclass
class Read:
    """Outcome of reads while a table is rewritten by runs, some of which are killed."""

    runs: int = 0
    killed: int = 0
    seen: collections.Counter[str] = field(default_factory=collections.Counter)
    """Reads; and those that failed, or saw units that are missing, mixed, or of too few or too many rows."""
    alone: collections.Counter[str] = field(default_factory=collections.Counter)
    """The same of readers that hold the lock of the lake."""
    why: set[str] = field(default_factory=set)
    """Kinds of errors of the reads that failed."""


def _rewritten(folder: Path) -> Scratch:
    """A project of one table, with as many partitions and rows as readers expect."""
    made = Scratch(folder)
    made.template(f"{TABLE}.sql.j2", TEMPLATE % ROWS)
    made.config["models"] = {
        TABLE: {"sql": f"{TABLE}.sql.j2", "inputs": {"trades": "raw"}, "output": {"path": f"out/{TABLE}"}}
    }
    made.save()
    for number in range(PARTITIONS):
        made.trades(f"s{number}", DAY1, [1.0 + row for row in range(ROWS + 7)])
    return made


def _run(made: Scratch, version: int) -> int:
    """The process of a run that rewrites the table."""
    made.model(TABLE, options={"version": version})
    pid = os.fork()
    if pid:
        return pid
    ok = False
    with contextlib.suppress(BaseException):
        engine = Engine.open(made.file, Settings(threads=1))
        ok = engine.run(Selection((TABLE,)), wait=60.0).ok
    os._exit(not ok)


def reading(seconds: float, seed: int, folder: Path, names: tuple[str, ...] = (*READERS, CATALOG)) -> Read:
    """Readers of every kind, and one that holds the lock of the lake, while runs rewrite a table."""
    chance, result, made = random.Random(seed), Read(), _rewritten(folder / "project")
    assert os.waitpid(_run(made, 0), 0)[1] == 0
    subprocess.run([sys.executable, "-m", "sqlgen", "catalog", str(made.file)], check=True, capture_output=True)
    table, lock = made.lake / "out" / TABLE, made.lake / ".sqlgen/lock"
    for name in names:
        running = [started(name, table, False, seconds), started(name, table, False, seconds, lock)]
        while any(process.poll() is None for process in running):
            pid = _run(made, result.runs + 1)
            if chance.random() < 1 / 3:
                time.sleep(chance.uniform(0, 0.5))
                os.kill(pid, signal.SIGKILL)
            result.killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
            result.runs += 1
        for process, seen in zip(running, (result.seen, result.alone), strict=True):
            found = json.loads(process.communicate()[0])
            result.why |= {why.partition(":")[0] for why in found.pop("why") if "No such file" not in why}
            seen.update(found)
    return result


def disturbed(seen: collections.Counter[str]) -> int:
    """Reads that saw something else than whole partitions, and no error."""
    return seen["missing"] + seen["mixed"] + seen["short"]


def table(killed: kills.Tally, soaked: incremental.Soaked, read: Read, flipped: flips.Flipped) -> str:
    """What was tried, and what of it went wrong."""
    crashes = len(flipped.crashes) + len(killed.failures) + len(soaked.failed)
    rows = [
        ("faults injected", killed.kills + read.killed + flipped.runs),
        ("of these runs that were killed", killed.kills + read.killed),
        ("of these at fault points", sum(killed.points.values()) + killed.repeated),
        ("of these files with flipped bytes, or cut off", flipped.runs),
        ("runs", killed.runs + soaked.runs + read.runs + flipped.runs),
        ("rows lost", killed.lost + len(flipped.silent)),
        ("rows doubled", killed.doubled),
        ("files left over", killed.left),
        ("partitions that differ from a fresh build", soaked.differences),
        ("reads while partitions were replaced", read.seen["reads"]),
        ("of these mixed, doubled or short", read.seen["mixed"] + read.seen["short"]),
        ("of these without a partition that its reader had listed, and lost", read.seen["missing"]),
        ("of these with an error that a file is gone, to be read again", read.seen["failed"]),
        ("reads with the lock of the lake", read.alone["reads"]),
        ("of these disturbed in any way", disturbed(read.alone) + read.alone["failed"]),
        ("crashes without a message", crashes),
    ]
    return "\n".join(["| what | number |", "|---|---|", *(f"| {name} | {count:,} |" for name, count in rows)])


def main() -> None:
    given = [int(text) for text in sys.argv[1:]]
    count, runs, seconds, seed = (*given, *(10_000, 500, 60, int(time.time()))[len(given) :])
    support.own_instances()
    # First those that fork: this process has no DuckDB yet.
    killed = kills.spread(count, seed, 4, len(os.sched_getaffinity(0)) if count > 1_000 else 1)
    with tempfile.TemporaryDirectory(prefix="sqlgen-readers-") as folder:
        read = reading(seconds, seed, Path(folder))
    with tempfile.TemporaryDirectory(prefix="sqlgen-soak-") as folder:
        soaked = incremental.soak(runs, seed, Path(folder))
    flipped = flips.tried(count // 10, seed)
    wrong = read.seen["mixed"] + read.seen["short"] + disturbed(read.alone) + read.alone["failed"]
    print(f"Seed {seed}.\n\n{table(killed, soaked, read, flipped)}\n\n{soaked.table()}\n")
    problems = [*killed.failures, *soaked.failed, *flipped.crashes, *flipped.silent, *sorted(read.why)]
    print("\n".join(problems[:20]))
    sys.exit(bool(problems or wrong or soaked.differences or soaked.grown))


if __name__ == "__main__":
    main()
