"""Runs that are killed: at every fault point and at random times, then run again and compared with an unbroken run.

``python -m tests.support.kills 10000`` prints the table of what was tried. Children are forks of a warm process, so
that a kill costs a run and not an interpreter.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sqlgen.lake import faults, swap
from sqlgen.plan.selection import Selection
from sqlgen.run import runner
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from tests.support import engine as support
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch

GROUPS = (("costs",), ("through",), ("kept",), ("added", "merged"))
"""Models that are built together: a kill costs a run of these alone."""
MODELS = tuple(name for group in GROUPS for name in group)
TEMPLATE = """\
{#- %s -#}
WITH trades AS (
    {{ inputs.trades | indent(4) }}
)
SELECT exchange, symbol, date, ts, seq, trade_id, price, amount, price * amount AS cost
FROM trades
"""


def project(folder: Path) -> Scratch:
    """A project with a model of every kind, over two sources; the files of one are deleted once they are processed."""
    made = Scratch(folder)
    made.kernel(LEDGER)
    made.template("batched.sql.j2", TEMPLATE % "{batches: true, order_by: [ts, seq]}")
    made.template("plain.sql.j2", TEMPLATE % "description: Rows")
    made.config["sources"]["feed"] = {"path": "raw/feed", "adapter": "ccxt/trades"}
    quarantine = [{"check": "range", "columns": ["price"], "max": 90.0}]
    append = {"mode": "append"}
    merge = {"mode": "merge", "key": ["trade_id"], "order_by": ["ts", "price"]}
    models: dict[str, dict[str, Any]] = {
        "costs": {"sql": "batched.sql.j2", "inputs": {"trades": "raw"}},
        "through": {"sql": "batched.sql.j2", "inputs": {"trades": "raw"}, "udfs": ["ledger"]},
        "kept": {"sql": "plain.sql.j2", "inputs": {"trades": "raw"}, "checks": quarantine},
        "added": {"sql": "plain.sql.j2", "inputs": {"trades": "feed"}, "output": append, "checks": quarantine},
        "merged": {"sql": "plain.sql.j2", "inputs": {"trades": "feed"}, "output": merge},
    }  # fmt: skip
    models["merged"]["delete_after_processing"] = True
    made.config["models"] = {
        name: model | {"output": {"path": f"out/{name}", **model.get("output", {})}} for name, model in models.items()
    }
    made.save()
    return made


def _feed(made: Scratch, symbol: str, date: str, prices: list[float], name: str) -> None:
    """Trades of the source whose files are deleted."""
    name = f"feed-{name}"
    made.trades(symbol, date, prices, name=name)
    file = made.raw(symbol, date) / f"{name}.parquet"
    target = made.lake / "raw/feed" / file.relative_to(made.lake / "raw/ccxt/trades")
    target.parent.mkdir(parents=True, exist_ok=True)
    file.rename(target)


def first(made: Scratch) -> None:
    for number, (symbol, date) in enumerate(((BTC, DAY1), (BTC, DAY2), (ETH, DAY1), (ETH, DAY2))):
        made.trades(symbol, date, [10.0 + number, 20.0, 95.0], name="a")
    for date in (DAY1, DAY2):
        _feed(made, BTC, date, [1.0, 2.0, 99.0], "a")


def later(made: Scratch) -> None:
    """Files that come late, change and go, and more of the feed."""
    made.trades(BTC, DAY1, [30.0, 96.0], name="b")
    made.trades(ETH, DAY1, [31.0], name="a")
    made.trades(BTC, DAY3, [32.0, 97.0], name="a")
    shutil.rmtree(made.raw(ETH, DAY2))
    _feed(made, BTC, DAY2, [5.0, 98.0], "b")
    _feed(made, BTC, DAY3, [6.0], "a")


def layouts(made: Scratch) -> None:
    """Other partitions of a table, and of one with quarantined rows."""
    for name in ("costs", "kept"):
        made.model(name, output={"partition_by": ["exchange", "date"]})


@dataclass(frozen=True)
class Step:
    """A change of the inputs or the project, and the run that follows it."""

    name: str
    change: Callable[[Scratch], None]
    selection: Selection
    after: int | None = None
    """Number of the step before it."""
    exchange: bool = True
    """False: as on a file system where folders cannot be exchanged."""


STEPS = (
    Step("first build", first, Selection(MODELS)),
    Step("files late, changed and gone", later, Selection(MODELS, prune=True, allow_empty=True), 0),
    Step("the same without exchange", later, Selection(MODELS, prune=True, allow_empty=True), 0, exchange=False),
    Step("layouts", layouts, Selection(("costs", "kept"), full_refresh=True), 1),
    Step("all anew", lambda made: None, Selection(("costs", "through", "kept"), full_refresh=True), 3),
)


@dataclass(frozen=True)
class Case:
    """A step, with the models that are built."""

    number: int
    models: tuple[str, ...]

    @property
    def step(self) -> Step:
        return STEPS[self.number]

    @property
    def selection(self) -> Selection:
        return dataclasses.replace(self.step.selection, models=self.models)

    def __str__(self) -> str:
        return f"{self.step.name}, {' and '.join(self.models)}"


CASES = [
    Case(number, group)
    for number, step in enumerate(STEPS)
    for group in (*GROUPS, step.selection.models)
    if {*group} <= {*step.selection.models}
]


def contents(lake: Path) -> dict[str, Any]:
    """All that a reader sees: rows by table and folder, and files that are inputs."""
    found: dict[str, Any] = {}
    for path in sorted(lake.glob("out/**/*")):
        if path.is_file():
            where = str(path.parent.relative_to(lake))
            rows = pq.ParquetFile(path).read().to_pylist() if path.suffix == ".parquet" else [{"file": path.name}]
            found.setdefault(where, []).extend(rows)
    tables = {where: sorted(map(repr, rows)) for where, rows in found.items()}
    return {"tables": tables, "raw": sorted(str(path.relative_to(lake)) for path in lake.glob("raw/**/*.parquet"))}


@dataclass
class Tally:
    """Outcome of all kills."""

    kills: int = 0
    runs: int = 0
    points: Counter[str] = field(default_factory=Counter)
    known: list[str] = field(default_factory=list)
    """Points that unbroken runs pass."""
    lost: int = 0
    doubled: int = 0
    left: int = 0
    """Files that a reader or the next run stumbles over, kernel states and staged folders."""
    failures: list[str] = field(default_factory=list)

    def table(self) -> str:
        rows = [
            ("kills", self.kills),
            ("of these at fault points", sum(self.points.values())),
            ("fault points", len(self.points)),
            ("runs", self.runs),
            ("rows lost", self.lost),
            ("rows doubled", self.doubled),
            ("files left over", self.left),
            ("runs that failed afterwards", len(self.failures)),
        ]
        return "\n".join(["| what | number |", "|---|---|", *(f"| {name} | {count:,} |" for name, count in rows)])


class Harness:
    """Unbroken runs of all cases, and kills of each."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.tally = Tally()
        self.expected: dict[Case, dict[str, Any]] = {}
        self.points: dict[Case, Counter[str]] = {}
        self.seconds: dict[Case, float] = {}
        self.made = project(folder / "project")
        (self.made.lake / "raw").mkdir()
        Engine.open(self.made.file)  # templates and kernels are loaded before any fork
        for number, step in enumerate(STEPS):
            if step.after is not None:
                self._restore(f"after-{step.after}")
            step.change(self.made)
            self._keep(f"before-{number}")
            for case in (case for case in CASES if case.number == number):  # the last one is of all models
                self._restore(f"before-{number}")
                self._unbroken(case)
            self._keep(f"after-{number}")

    def _unbroken(self, case: Case) -> None:
        begun = time.monotonic()
        outcome = self._run(case)
        self.seconds[case] = time.monotonic() - begun
        self.points[case] = Counter(outcome["passed"])
        assert outcome["ok"], (case, outcome)
        assert not outcome["left"], (case, outcome)
        self.expected[case] = contents(self.made.lake)

    def _keep(self, name: str) -> None:
        shutil.copytree(self.made.folder, self.folder / name, symlinks=True)

    def _restore(self, name: str) -> None:
        shutil.rmtree(self.made.folder)
        shutil.copytree(self.folder / name, self.made.folder, symlinks=True)

    def _fork(self, case: Case, armed: str, answer: Path | None = None) -> int:
        """Run a case in a child, which a fault point or its parent may kill; its pid."""
        pid = os.fork()
        if pid:
            return pid
        found: dict[str, Any] = {"ok": False, "text": [], "left": [], "passed": {}}
        try:
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
            swap.LEAST = 0.0
            if not case.step.exchange:
                swap._renameat2 = None
            faults.arm(armed)
            report = Engine.open(self.made.file, Settings(threads=1)).run(case.selection)
            if answer is not None:
                found["passed"] = dict(faults.passed)
                found["text"] = [*report.errors, *(str(task.error) for task in report.tasks if task.error)]
                again = Engine.open(self.made.file).plan(dataclasses.replace(case.selection, full_refresh=False))
                found["left"] = [f"{task.model} {task.unit}: {task.reason}" for task in again.tasks] + again.refused
                found["ok"] = report.ok
        except BaseException:
            found["text"] = [traceback.format_exc()]
        if answer is not None:
            answer.write_text(json.dumps(found))
        os._exit(0)

    def _run(self, case: Case) -> dict[str, Any]:
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        self.tally.runs += 1
        os.waitpid(self._fork(case, "", answer), 0)
        found: dict[str, Any] = json.loads(answer.read_text())
        return found

    def kill(self, case: Case, armed: str | None) -> None:
        """Kill the run of a case at a point, or at a random time; run again and compare."""
        tally = self.tally
        self._restore(f"before-{case.number}")
        pid = self._fork(case, armed or "")
        if armed is None:
            time.sleep(self.random.uniform(0, self.seconds[case]))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        tally.runs += 1
        killed = os.WIFSIGNALED(status)
        tally.kills += killed
        if armed is not None:
            tally.points[armed.rpartition(":")[0]] += killed
        outcome = self._run(case)
        where = f"{case}, killed {'at ' + armed if armed else 'at a random time'}"
        if not outcome["ok"] or outcome["left"]:
            tally.failures.append(f"{where}: {outcome}")
        self._compare(case, where)

    def _compare(self, case: Case, where: str) -> None:
        tally, found, wanted = self.tally, contents(self.made.lake), self.expected[case]
        for table in {**found["tables"], **wanted["tables"]}:
            there, expected = (Counter(side["tables"].get(table, ())) for side in (found, wanted))
            lost, doubled = (expected - there).total(), (there - expected).total()
            tally.lost += lost
            tally.doubled += doubled
            if lost or doubled:
                tally.failures.append(f"{where}: {table}: {lost} rows lost, {doubled} too many")
        state = self.made.lake / ".sqlgen"
        left = [*state.glob("staging/*"), *state.rglob(".*")]
        states = Counter(path.parent for path in state.glob("kernels/**/*.state"))
        left += [folder for folder, count in states.items() if count > 1]
        tally.left += len(left)
        if left or found["raw"] != wanted["raw"]:
            inputs = {*found["raw"]} ^ {*wanted["raw"]}
            tally.failures.append(f"{where}: left {[*map(str, left)]}, inputs {inputs}")

    def at_points(self, most: int) -> Iterator[tuple[Case, str]]:
        """Points of each case, each at up to ``most`` of the times that a run passes it."""
        for case, points in self.points.items():
            if len(case.models) > 2 and most == 1:
                continue  # each of them has a case of its own
            for point, count in points.items():
                for time_ in sorted(self.random.sample(range(1, count + 1), min(most, count))):
                    yield case, f"{point}:{time_}"


def soak(count: int, seed: int, folder: Path) -> Tally:
    """Tally of ``count`` kills: at fault points, and for the rest at random times."""
    harness = Harness(folder, seed)
    planned: list[tuple[Case, str | None]] = [*harness.at_points(1 + count // 400)]
    harness.random.shuffle(planned)
    rest = count // 5 if len(planned) > count else count - len(planned)
    planned = planned[: count - rest]
    for case, armed in (*planned, *((harness.random.choice(CASES), None) for _ in range(rest))):
        harness.kill(case, armed)
    harness.tally.known = sorted({point for points in harness.points.values() for point in points})
    return harness.tally


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    runner.connect = support._open
    with tempfile.TemporaryDirectory(prefix="sqlgen-kills-") as folder:
        tally = soak(count, int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time()), Path(folder))
    print(tally.table())
    print("\nFault points:\n" + "\n".join(f"- {point}" for point in tally.known))
    print("\n".join(tally.failures[:20]))
    sys.exit(bool(tally.failures))


if __name__ == "__main__":
    main()
