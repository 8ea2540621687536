"""Planning over 200,000 partitions: a real manifest, and a listing that is made up instead of as many files.

``python -m benchmarks.wide write|run``: write the manifest, or run; the lake is SQLGEN_LAKE.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from benchmarks.measure import ROOT, Line, median, python
from sqlgen.lake import storage
from sqlgen.lake.storage import FileInfo, Stat
from sqlgen.lake.walk import Walk
from sqlgen.plan.plan import Build
from sqlgen.plan.selection import Selection
from sqlgen.published.records import Published
from sqlgen.run.engine import Engine

SYMBOLS, DAYS, MODEL = 500, 400, "ticker_features"
SIZE, TIME = 10_000, 1_767_312_000_000_000_000


def units() -> Iterator[str]:
    """Folders of the partitions."""
    dates = [dt.date(2025, 1, 1) + dt.timedelta(day) for day in range(DAYS)]
    for symbol in range(SYMBOLS):
        yield from (f"exchange=binance/symbol=S{symbol:03}/date={date}" for date in dates)


def walked(lake: Path, walk: Walk) -> Iterator[FileInfo]:
    """Source files that are not there."""
    folder = str(Path(walk.root).relative_to(lake))
    return (FileInfo(f"{folder}/{unit}/data.parquet", SIZE, TIME) for unit in units())


def list_all(root: Path) -> dict[str, Stat]:
    """Published files that are not there."""
    if root.name.endswith("quarantine"):
        return {}
    return {f"{unit}/data.parquet": Stat(SIZE, TIME) for unit in units()}


def write() -> None:
    """Record every unit as published from the files that are not there."""
    engine = Engine.open(ROOT / "models.yaml")
    plan = engine.plan(Selection((MODEL,)))
    facts: dict[str, Any] = {
        "build": "0" * 24,
        "run_id": "20260101T000000000000-0000",
        "published_at": "2026-01-01T00:00:00+00:00",
        "files": {"data.parquet": Stat(SIZE, TIME)},
        "schema": "0" * 16,
    }
    records = (
        Published(**asdict(task.provenance), **facts, rows=100, bytes=SIZE)
        for task in plan.tasks
        if isinstance(task, Build)
    )
    engine.manifest.note(MODEL, records)


def lines(folder: Path) -> Iterator[Line]:
    """Runs with nothing to do: one that compares everything, then those that find symbols settled."""
    lake = folder / "wide"
    (lake / "raw/ccxt/ticker").mkdir(parents=True)
    python("benchmarks.wide", "write", SQLGEN_LAKE=str(lake))
    runs = [python("benchmarks.wide", "run", SQLGEN_LAKE=str(lake)) for _ in range(4)]
    what = f"nothing to do, {SYMBOLS * DAYS:,} partitions, listing simulated"
    yield what, f"{median(runs[1:])}, {max(run.peak_mb for run in runs[1:]):,.0f} MB", "8 s, 1 GB"
    yield "the same, first run, which compares every partition", f"{median(runs[:1])}, {runs[0].peak_mb:,.0f} MB", ""


def main(action: str) -> None:
    storage.walked = walked
    if action == "write":
        write()
        return
    storage.list_all = list_all
    from sqlgen.cli import app

    sys.argv[1:] = ["run", str(ROOT / "models.yaml"), "--json", "--select", MODEL]
    app.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
