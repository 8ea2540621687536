"""Runs that are killed: at every fault point and at random times, then run again and compared with an unbroken run.

``python -m tests.support.kills 10000`` prints the table of what was tried. Further numbers: the seed, how many of the
runs that follow a killed one are killed, too, and how many processes share the work. Children are forks of a warm
process, so that a kill costs a run and not an interpreter.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import yaml
from msgspec import structs

from sqlgen.errors import UsageError
from sqlgen.lake import faults, swap
from sqlgen.operate.upkeep.compacting import compactions
from sqlgen.operate.upkeep.editing import deletions
from sqlgen.operate.upkeep.rawfiles import compact_source
from sqlgen.operate.upkeep.repartitioning import repartition
from sqlgen.operate.upkeep.restoring import restorations, versions
from sqlgen.operate.upkeep.rewrites import TableChange
from sqlgen.operate.upkeep.rewriting import change_tables
from sqlgen.operate.upkeep.vacuuming import vacuum
from sqlgen.plan.selection import Selection
from sqlgen.project.project import Project, load
from sqlgen.run import binding
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from tests.support.scratch import BTC, DAY1, DAY2, DAY3, ETH, LEDGER, Scratch

GROUPS = (("costs",), ("through",), ("kept",), ("added", "merged"), ("added_together", "merged_together"))
"""Models that are built together: a kill costs a run of these alone."""
MODELS = tuple(name for group in GROUPS for name in group)
JOINED = re.compile(r"\.compacted_[0-9a-f]+")
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
    for name in ("added", "merged"):
        models[f"{name}_together"] = models[name] | {"sql": "batched.sql.j2"}
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
    maintain: Callable[[Engine, Sequence[str]], Sequence[TableChange]] | None = None
    """Maintenance of the tables instead of a run."""
    leaves_stale: bool = False
    """True if units may be stale after a kill: they are built again, with the same rows."""


def compacted(engine: Engine, names: Sequence[str]) -> list[TableChange]:
    """Files of each partition joined."""
    everything = Selection(())
    return change_tables(engine, names, lambda held: compactions(held, held.units(everything), 1_000_000), False, 0.0)


def deleted(engine: Engine, names: Sequence[str]) -> list[TableChange]:
    """Some rows deleted, of kept ones and of appended, merged and quarantined files, and beside kernel states."""
    return change_tables(engine, names, lambda held: deletions(held, Selection(()), "price IN (2, 20, 31)"), False, 0.0)


def keeping_versions(made: Scratch) -> None:
    """More files, with rows that are quarantined, of tables whose earlier versions are kept."""
    made.config = yaml.safe_load(made.file.read_text())  # as it was before the layouts were changed
    for name in ("through", "kept"):
        made.model(name, output={"keep_versions": 2})
    made.trades(BTC, DAY2, [40.0, 99.0], name="c")


def raw_joined(engine: Engine, names: Sequence[str]) -> list[TableChange]:
    """Files of a source joined."""
    return [compact_source(engine, "raw", Selection(()), 1_000_000, 0.0, False, 0.0)]


def repartitioned(engine: Engine, names: Sequence[str]) -> list[TableChange]:
    """Tables in the partitions that models.yaml says, unless they are."""
    try:
        return [repartition(engine, name, False, 0.0) for name in names]
    except UsageError as error:
        return [] if "already" in str(error) else [TableChange("", error=str(error))]


def restored(engine: Engine, names: Sequence[str]) -> list[TableChange]:
    """The oldest version of each partition; then all versions are removed."""
    oldest = {
        name: [each[-1].record.build for each in versions(engine, name, Selection(())).values()] for name in names
    }
    done = [
        change
        for name in names
        for build in oldest[name]
        for change in change_tables(
            engine,
            [name],
            lambda held, build=build: restorations(held, Selection(()), build),
            False,
            0.0,  # type: ignore[misc]
        )
    ]
    vacuum(engine, names, 0, False, 0.0)
    return done


STEPS = (
    Step("first build", first, Selection(MODELS)),
    Step("files late, changed and gone", later, Selection(MODELS, prune=True, allow_empty=True), 0),
    Step("the same without exchange", later, Selection(MODELS, prune=True, allow_empty=True), 0, exchange=False),
    Step("layouts", layouts, Selection(("costs", "kept"), full_refresh=True), 1),
    Step("all anew", lambda made: None, Selection(("costs", "through", "kept"), full_refresh=True), 3),
    Step("compaction", lambda made: None, Selection(("added", "merged")), 1, maintain=compacted),
    Step("deleted rows", lambda made: None, Selection(MODELS), 5, maintain=deleted),
    Step("versions", keeping_versions, Selection(("through", "kept")), 1),
    Step("restored", lambda made: None, Selection(("through", "kept")), 7, maintain=restored),
    Step("raw files joined", lambda made: None, Selection(("costs",)), 1, maintain=raw_joined, leaves_stale=True),
    Step("repartitioned", layouts, Selection(("costs",)), 1, maintain=repartitioned),
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
        return structs.replace(self.step.selection, models=self.models)

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
    return {
        "tables": tables,
        "raw": sorted({JOINED.sub("", str(path.relative_to(lake))) for path in lake.glob("raw/**/*.parquet")}),
    }


@dataclass
class Tally:
    """Outcome of all kills."""

    kills: int = 0
    runs: int = 0
    points: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    """Kills at points of a run that follows a killed one."""
    known: list[str] = field(default_factory=list)
    """Points that unbroken runs pass."""
    lost: int = 0
    doubled: int = 0
    left: int = 0
    """Files that a reader or the next run stumbles over, kernel states and staged folders."""
    failures: list[str] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        """Both outcomes as one."""
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in dataclasses.fields(self)}
        return Tally(**sums | {"known": sorted({*self.known, *other.known})})

    def table(self) -> str:
        rows = [
            ("kills", self.kills),
            ("of these at fault points", sum(self.points.values()) + self.repeated),
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
        self.projects: dict[int, Project] = {}
        self.made = project(folder / "project")
        (self.made.lake / "raw").mkdir()
        for number, step in enumerate(STEPS):
            if step.after is not None:
                self._restore(f"after-{step.after}")
            step.change(self.made)
            self.projects[number] = load(self.made.file)  # templates and kernels, before any fork
            self._keep(f"before-{number}")
            for case in (case for case in CASES if case.number == number):  # the last one is of all models
                self._restore(f"before-{number}")
                self._unbroken(case)
            self._keep(f"after-{number}")

    def _unbroken(self, case: Case) -> None:
        begun = time.monotonic()
        outcome = self._run(case)
        self.seconds[case] = time.monotonic() - begun
        assert outcome["ok"], (case, outcome)
        self.points[case] = Counter(outcome["passed"])
        assert not outcome["left"], (case, outcome)
        self.expected[case] = contents(self.made.lake)

    def _keep(self, name: str) -> None:
        shutil.copytree(self.made.folder, self.folder / name, symlinks=True)

    def _restore(self, name: str) -> None:
        shutil.rmtree(self.made.folder)
        shutil.copytree(self.folder / name, self.made.folder, symlinks=True)

    def _engine(self, case: Case) -> Engine:
        return Engine(self.projects[case.number], Settings(threads=1))

    def _fork(self, case: Case, armed: str | int, answer: Path | None = None) -> int:
        """Run a case in a child, which a fault point or its parent may kill; its pid.

        It is killed at ``NAME:N``, or at the Nth point of all.
        """
        pid = os.fork()
        if pid:
            return pid
        found: dict[str, Any] = {}
        try:
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
            if isinstance(armed, int):
                left = iter(range(armed - 1))
                faults.point = lambda name: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL)
            else:
                faults.arm(armed)
            found = self._outcome(case, answer is not None)
        except BaseException:
            found = {"ok": False, "text": [traceback.format_exc()], "left": [], "bound": []}
        if answer is not None:
            answer.write_text(json.dumps(found))
        os._exit(0)

    def _outcome(self, case: Case, verify: bool = True) -> dict[str, Any]:
        """Errors of a run of a case, points that it passed, and what is stale after it."""
        exchange = swap._renameat2 if case.step.exchange else None
        with mock.patch.multiple(swap, LEAST=0.0, _renameat2=exchange):
            ok, errors = self._do(case, self._engine(case))
        found = {"ok": ok, "text": errors, "left": [], "passed": dict(faults.passed), "bound": [*binding._BOUND]}
        if verify:
            again = self._engine(case).plan(structs.replace(case.selection, full_refresh=False))
            refused = [text for text in again.refused if "would discard edits" not in text]  # as it is meant
            stale = [f"{task.model} {task.unit}: {task.reason}" for task in again.tasks]
            found["left"] = refused if case.step.leaves_stale else stale + refused
            found["modules"] = [name for name in sys.modules if name.startswith(("sqlgen.", "udfs."))]
        return found

    def _do(self, case: Case, engine: Engine) -> tuple[bool, list[str]]:
        """Run a case; True if all went well, and the errors."""
        if case.step.maintain is not None:
            changes = case.step.maintain(engine, case.models)
            return all(change.ok for change in changes), [str(change) for change in changes if not change.ok]
        report = engine.run(case.selection)
        return report.ok, [*report.errors, *(str(task.error) for task in report.tasks if task.error)]

    def _run(self, case: Case) -> dict[str, Any]:
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        self.tally.runs += 1
        os.waitpid(self._fork(case, "", answer), 0)
        found: dict[str, Any] = json.loads(answer.read_text())
        binding._BOUND.update(found["bound"])  # further children need not bind it
        for name in set(found.get("modules", ())) - sys.modules.keys():  # nor import it
            importlib.import_module(name)
        return found

    def kill(self, case: Case, armed: str | None, again: int = 0) -> None:
        """Kill the run of a case at a point, or at a random time, and up to ``again`` runs after it; then compare."""
        self._restore(f"before-{case.number}")
        places: list[str | int | None] = [armed]
        total = self.points[case].total()
        places += [self.random.choice((None, self.random.randint(1, total))) for _ in range(again)]
        killed = []
        for place in places:
            if not self._killed(case, place):
                break
            killed.append("at a random time" if place is None else f"at {place}")
        if armed is not None:
            self.tally.points[armed.rpartition(":")[0]] += bool(killed)
        outcome = self._run(case)
        where = f"{case}, killed {', '.join(killed) or 'nowhere'}"
        if not outcome["ok"] or outcome["left"]:
            self.tally.failures.append(f"{where}: {outcome}")
        self._compare(case, where)

    def _killed(self, case: Case, place: str | int | None) -> bool:
        """Run a case that is killed; False if it came to its end before."""
        pid = self._fork(case, place if place is not None else "")
        if place is None:
            time.sleep(self.random.uniform(0, self.seconds[case]))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self.tally.runs += 1
        self.tally.kills += os.WIFSIGNALED(status)
        self.tally.repeated += isinstance(place, int) and os.WIFSIGNALED(status)
        return os.WIFSIGNALED(status)

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


def soak(count: int, seed: int, folder: Path, again: int = 0) -> Tally:
    """Tally of about ``count`` kills: at each fault point in turn, at all of each case, and at random times."""
    harness = Harness(folder, seed)
    cases = [case for case in CASES if not again or len(case.models) <= 2]
    planned: list[tuple[Case, str | None]] = [one for one in harness.at_points(1 + count // 400) if one[0] in cases]
    harness.random.shuffle(planned)
    firsts = {str(armed).rpartition(":")[0]: (case, armed) for case, armed in planned}
    planned = [*firsts.values(), *(one for one in planned if one not in firsts.values())]
    planned = planned[: count * 4 // 5]
    while harness.tally.kills < count:
        case, armed = planned.pop(0) if planned else (harness.random.choice(cases), None)
        harness.kill(case, armed, again)
    harness.tally.known = sorted({point for points in harness.points.values() for point in points})
    return harness.tally


def spread(count: int, seed: int, again: int = 0, workers: int = 1) -> Tally:
    """``count`` kills, shared by processes that have a lake each."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill loses nothing that a disk would not
    with tempfile.TemporaryDirectory(prefix="sqlgen-kills-", dir=memory) as folder:
        if workers == 1:
            return soak(count, seed, Path(folder), again)
        shares = [len(range(number, count, workers)) for number in range(workers)]
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            running = [
                pool.submit(soak, share, seed + number, Path(folder, str(number)), again)
                for number, share in enumerate(shares)
            ]
            return sum((each.result() for each in running), Tally())


def main() -> None:
    given = [int(text) for text in sys.argv[1:]]
    count, seed, again, workers = (*given, *(300, int(time.time()), 0, 1)[len(given) :])
    tally = spread(count, seed, again, workers)
    print(tally.table())
    print("\nFault points:\n" + "\n".join(f"- {point}" for point in tally.known))
    print("\n".join(tally.failures[:20]))
    sys.exit(bool(tally.failures))


if __name__ == "__main__":
    main()
