"""The publishing step: nothing is lost where it is cut off, each unit is seen whole, and all is flushed to disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sqlgen.lake import storage, swap
from tests.e2e.test_safety import PASS, prices
from tests.support.engine import ROOT
from tests.support.readers import READERS, measure
from tests.support.scratch import BTC, DAY1, ETH, Scratch

COUNT = 370


@pytest.fixture
def halves(scratch: Scratch) -> Scratch:
    """A table of 370 rows, in units of two files each."""
    del scratch.config["models"]["pairs"]
    scratch.template("costs.sql.j2", PASS.replace("SELECT *", "SELECT *, seq % 2 AS half"))
    scratch.model("costs", output={"partition_by": ["exchange", "symbol", "date", "half"]})
    scratch.trades(BTC, DAY1, [float(number) for number in range(1, COUNT + 1)])
    scratch.run()
    return scratch


# File systems without an exchange of folders

KILL = """
import os, signal, sys
from pathlib import Path
from sqlgen.cli import app as cli
from sqlgen.lake import swap
real = Path.rename
def rename(self, target):
    if {before} and str(target).endswith(swap.ASIDE):
        os.kill(os.getpid(), signal.SIGKILL)
    done = real(self, target)
    if not {before} and str(target).endswith(swap.ASIDE):
        os.kill(os.getpid(), signal.SIGKILL)
    return done
swap._renameat2, Path.rename, sys.argv = None, rename, ["sqlgen", "run", *sys.argv[1:]]
cli.main()
"""


def kill(project: Scratch, *arguments: str, before: bool = False) -> None:
    command = [sys.executable, "-c", KILL.format(before=before), str(project.file), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("before", [False, True])
def test_killed_between_two_renames_of_a_unit(halves: Scratch, before: bool) -> None:
    halves.trades(BTC, DAY1, [float(number) for number in range(1, COUNT + 11)])
    kill(halves, before=before)
    there = list((halves.lake / "out").rglob("*.parquet"))
    assert len(there) == (2 if before else 0)
    raw = halves.raw(BTC, DAY1) / "data.parquet"
    moved = raw.rename(halves.folder / "away.parquet")
    outcome = halves.sqlgen("run", "--allow-empty")
    assert len(prices(halves)) == COUNT, outcome.out
    assert ("a killed run had moved it aside; it is back" in outcome.out) is not before
    assert not list((halves.lake / ".sqlgen/staging").glob("*"))
    moved.rename(raw)
    halves.run()
    assert len(prices(halves)) == COUNT + 10


@pytest.mark.slow
def test_killed_between_two_renames_of_a_table(halves: Scratch) -> None:
    halves.model("costs", output={"partition_by": ["exchange", "date"]})
    kill(halves, "--full-refresh")
    assert not (halves.lake / "out/costs").exists()
    outcome = halves.sqlgen("run")
    assert "is published by (exchange, symbol, date, half)" in outcome.out
    assert len(prices(halves)) == COUNT
    halves.run("--full-refresh")
    assert len(prices(halves)) == COUNT
    assert halves.plan() == {}


def test_a_swap_that_fails_between_two_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "_renameat2", None)
    staged, target = tmp_path / "staging/unit", tmp_path / "table/unit"
    for folder, text in ((staged, "new"), (target, "old")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(text)
    real = Path.rename

    def rename(self: Path, place: Path) -> Path:
        if self == staged:
            raise OSError(28, "No space left on device")
        return real(self, place)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="No space"):
        swap.publish_folder(staged, target)
    assert (target / "file").read_text() == "old"


# Readers


@pytest.fixture
def grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was replaced stays for a moment, as outside of tests."""
    monkeypatch.setattr(swap, "LEAST", 0.1)


@pytest.mark.slow
@pytest.mark.usefixtures("grace")
@pytest.mark.parametrize("several", [False, True])
def test_readers_see_each_unit_whole(several: bool) -> None:
    """A file that is gone may be told; no read is short, doubled or of two versions."""
    names = ["duckdb view", "duckdb union_by_name", "pyarrow"]
    found = measure("new names", several, 1.3, names)
    for name in names:
        assert_whole(found[name])
    assert found["published"]["count"] > 0


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.usefixtures("grace")
@pytest.mark.parametrize("names", [[*READERS][:3], [*READERS][3:]], ids=", ".join)
def test_readers_for_longer(names: list[str]) -> None:
    """Several at once, which leave the writer and each other less time at the same place."""
    found = measure("new names", True, 10.0, [name for name in names if name.partition(" ")[0] in installed()])
    assert len(found) > 1
    for name, seen in found.items():
        if name in READERS:
            assert_whole(seen)
            assert seen["reads"] > seen["failed"]


BESIDE_RUNS = """
import json, sys
from pathlib import Path
from tests.support import engine, guarantees
engine.own_instances()
print(json.dumps(vars(guarantees.reading(3.0, 4, Path(sys.argv[1]), ("duckdb view",))) | {"why": []}))
"""


@pytest.mark.slow
def test_readers_beside_runs_and_killed_ones(tmp_path: Path) -> None:
    """A share of what ``make soak`` tries, in a process that may fork."""
    done = subprocess.run([sys.executable, "-c", BESIDE_RUNS, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["runs"]
    assert_whole(read["seen"] | {"why": []})
    # With the lock of the lake a read is disturbed by nothing.
    assert read["alone"].pop("reads") > 0
    assert not any(read["alone"].values()), read["alone"]


def assert_whole(seen: dict[str, Any]) -> None:
    assert seen["reads"]
    assert seen["mixed"] == 0, seen
    # Readers pass over a file that goes while they list it: the unit, or one of its several files. On a busy machine
    # that was 2 of 162 reads; a table that is emptied or written file by file loses several times as many.
    assert seen["missing"] + seen["short"] <= 3 + seen["reads"] // 50, seen
    assert all("No such file" in why for why in seen["why"]), seen["why"]


def installed() -> set[str]:
    import importlib.util

    return {name for name in ("duckdb", "pandas", "polars", "pyarrow") if importlib.util.find_spec(name)}


def test_no_name_comes_again(halves: Scratch) -> None:
    """What is read in two steps must not come from two files."""
    seen: set[str] = set()
    for _ in range(3):
        names = {path.name for path in (halves.lake / "out").rglob("*.parquet")}
        assert names
        assert not names & seen
        seen |= names
        halves.run("--full-refresh")


@pytest.mark.slow
def test_the_catalog_reads_no_footers_beforehand(halves: Scratch) -> None:
    """Unless the columns of the files differ."""
    assert "union_by_name" not in halves.sqlgen("catalog", "--stdout").out.partition("VIEW costs AS")[2]
    halves.trades(ETH, DAY1, [1.0])
    halves.template("costs.sql.j2", PASS.replace("SELECT *", "SELECT *, seq % 2 AS half, 1 AS more"))
    halves.run("--symbol", ETH)
    assert "union_by_name" in halves.sqlgen("catalog", "--stdout").out.partition("VIEW costs AS")[2]


# Flushing


def test_every_new_folder_is_flushed(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each file its content, and of each folder that is new the entry in the one above, up to the lake."""
    calls: list[Path] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        calls.append(Path(f"/proc/self/fd/{handle}").readlink())
        real(handle)

    if not Path("/proc/self/fd").exists():
        pytest.skip("the paths of open files are not known here")
    del scratch.config["models"]["pairs"]
    scratch.template("costs.sql.j2", PASS)
    scratch.save()
    scratch.trades(BTC, DAY1, [1.0])
    monkeypatch.setattr(os, "fsync", fsync)
    scratch.run()
    unit = scratch.lake / f"out/costs/exchange=binance/symbol={BTC}/date={DAY1}"
    above = [folder for folder in unit.parents if folder.is_relative_to(scratch.lake)]
    assert {unit, *above} <= set(calls)
    assert any(path.suffix == ".parquet" for path in calls)
    state = scratch.lake / ".sqlgen"
    assert {state / "manifest", state / "manifest/costs.ndjson"} <= set(calls)
    calls.clear()
    scratch.trades(BTC, DAY1, [2.0])
    scratch.run()
    assert unit.parent in calls
    assert not {folder for folder in above if folder != unit.parent and "out" in folder.parts} & set(calls)


def test_folders_are_made_from_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Any] = []
    monkeypatch.setattr(storage, "sync", flushed.append)
    storage.make_folders(tmp_path / "a/b/c")
    storage.make_folders(tmp_path / "a/b/d")
    assert flushed == [tmp_path, tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b"]
