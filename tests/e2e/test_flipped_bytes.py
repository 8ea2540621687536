"""Bytes flipped in files of vendors: the rows, or a message. Never fewer rows without a word, never a traceback."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.test_bad_input import OBJECTS, TABLE, TRADES, ccxt_trades, tardis_trades
from tests.support.adapters import HIVE, Project, rows_of
from tests.support.engine import published
from tests.support.vendors import crypto_lake


def _parquet(folder: Path) -> Project:
    project = Project.of(folder, "crypto_lake/trades")
    path = project.raw / HIVE / "x.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(crypto_lake.trades(TRADES), path)
    return project


KINDS: dict[str, Callable[[Path], Project]] = {
    "x.csv": lambda folder: tardis_trades(folder, TABLE, "x.csv"),
    "x.csv.gz": lambda folder: tardis_trades(folder, TABLE, "x.csv.gz"),
    "x.csv.zst": lambda folder: tardis_trades(folder, TABLE, "x.csv.zst"),
    "x.ndjson": lambda folder: ccxt_trades(folder, OBJECTS, "x.ndjson"),
    "x.ndjson.gz": lambda folder: ccxt_trades(folder, OBJECTS, "x.ndjson.gz"),
    "x.parquet": _parquet,
}


@pytest.mark.parametrize("name", KINDS)
def test_flipped_bytes(tmp_path: Path, name: str) -> None:
    project = KINDS[name](tmp_path)
    path = project.raw / HIVE / name
    good = path.read_bytes()
    rows = len(rows_of(project.run()))
    assert rows == len(TRADES)
    chance = random.Random(name)
    told = 0
    for _ in range(5):
        content = bytearray(good)
        for _ in range(chance.choice((1, 1, 3, 20))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        outcome = project.sqlgen("run", "--json", "--full-refresh")
        assert outcome.code in (0, 1), outcome.err
        assert "Traceback" not in outcome.out + outcome.err
        report = outcome.json
        said = [*report["errors"], *report["notes"]]
        for task in report["tasks"]:
            said += [*task["notes"], *task["checks"], *([task["error"]] if task["error"] else [])]
            if task["error"]:
                assert name in task["error"], task["error"]
        told += bool(said)
        now = len(rows_of(published(project.folder / "lake/out")))
        assert now == rows or said, (name, now, rows)
    assert told or name == "x.parquet"
