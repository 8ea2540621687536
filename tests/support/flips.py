"""Files of vendors with flipped bytes: the rows, or a message; never fewer rows without a word, never a traceback.

``python -m tests.support.flips 300`` tries that many of each kind, anew each time, and prints what went wrong.
"""

from __future__ import annotations

import dataclasses
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.test_bad_input import OBJECTS, TABLE, TRADES, ccxt_trades, tardis_trades
from tests.support.adapters import HIVE, Project, rows_of
from tests.support.engine import Outcome, published
from tests.support.vendors import crypto_lake, databento
from tests.support.vendors.files import save


def _parquet(folder: Path) -> Project:
    project = Project.of(folder, "crypto_lake/trades")
    path = project.raw / HIVE / "x.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(crypto_lake.trades(TRADES), path)
    return project


def dbn(folder: Path, name: str) -> Project:
    pytest.importorskip("databento_dbn")
    from tests.support.vendors import dbn

    project = Project.of(folder, "databento/trades")
    trades = [dataclasses.replace(trade, amount=Decimal(1 + int(trade.amount))) for trade in TRADES]
    save(project.raw / HIVE / name, dbn.encode(databento.events([], trades), "trades", {38: "BTCUSDT"}, version=3))
    return project


KINDS: dict[str, Callable[[Path], Project]] = {
    "x.csv": lambda folder: tardis_trades(folder, TABLE, "x.csv"),
    "x.csv.gz": lambda folder: tardis_trades(folder, TABLE, "x.csv.gz"),
    "x.csv.zst": lambda folder: tardis_trades(folder, TABLE, "x.csv.zst"),
    "x.ndjson": lambda folder: ccxt_trades(folder, OBJECTS, "x.ndjson"),
    "x.ndjson.gz": lambda folder: ccxt_trades(folder, OBJECTS, "x.ndjson.gz"),
    "x.parquet": _parquet,
    "x.dbn": lambda folder: dbn(folder, "x.dbn"),
    "x.dbn.zst": lambda folder: dbn(folder, "x.dbn.zst"),
}


@dataclass
class Flipped:
    """Outcome of runs over damaged files."""

    runs: int = 0
    told: int = 0
    """Runs with a message."""
    crashes: list[str] = field(default_factory=list)
    """Runs that ended in another way than with their rows or a message."""
    silent: list[str] = field(default_factory=list)
    """Runs with fewer or more rows, and no word."""


def flipped(folder: Path, name: str, count: int, seed: object) -> Flipped:
    """``count`` runs over one file, each time with other bytes flipped."""
    project, found = KINDS[name](folder), Flipped()
    path = project.raw / HIVE / name
    good = path.read_bytes()
    rows = len(rows_of(project.run()))
    assert rows == len(TRADES)
    chance = random.Random(f"{seed}{name}")
    for _ in range(count):
        content = bytearray(good)
        for _ in range(chance.choice((1, 1, 3, 20))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.1 and not name.endswith((".csv", ".ndjson")):  # text may end with any line
            content = content[: chance.randrange(len(content))]
        path.write_bytes(content)
        found.runs += 1
        try:
            outcome = project.sqlgen("run", "--json", "--full-refresh")
        except KeyboardInterrupt:
            raise
        except BaseException:  # a panic of a decoder is no Exception
            found.crashes.append(f"{name}, run {found.runs}: {traceback.format_exc()[-600:]}")
            continue
        said = _said(outcome, name)
        if said is None:
            found.crashes.append(f"{name}, run {found.runs}: {outcome.code} {(outcome.err or outcome.out)[-600:]}")
            continue
        found.told += bool(said)
        now = len(rows_of(published(project.folder / "lake/out")))
        if now != rows and not said:
            found.silent.append(f"{name}, run {found.runs}: {now} rows of {rows}")
    return found


def _said(outcome: Outcome, name: str) -> list[str] | None:
    """Messages of a run; ``None`` if it crashed, or does not name the file that failed."""
    if outcome.code not in (0, 1) or "Traceback" in outcome.out + outcome.err:
        return None
    report = outcome.json
    said = [*report["errors"], *report["notes"]]
    for task in report["tasks"]:
        said += [*task["notes"], *task["checks"], *([task["error"]] if task["error"] else [])]
        if task["error"] and name not in task["error"]:
            return None
    return said


def tried(count: int, seed: object) -> Flipped:
    """``count`` runs over a file of each kind."""
    whole = Flipped()
    for name in KINDS:
        with tempfile.TemporaryDirectory(prefix="sqlgen-flips-") as folder:
            found = flipped(Path(folder), name, count, seed)
        whole = Flipped(*(getattr(whole, each.name) + getattr(found, each.name) for each in dataclasses.fields(whole)))
    return whole


def main() -> None:
    given = [int(text) for text in sys.argv[1:]]
    count, seed = (*given, *(100, int(time.time()))[len(given) :])
    found = tried(count, seed)
    print(f"seed {seed}: {found.runs} runs, {found.told} told", *found.crashes, *found.silent, sep="\n")
    sys.exit(bool(found.crashes or found.silent))


if __name__ == "__main__":
    main()
