"""A project with one model: trades on a grid of time; and what its table should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from tests.oracles import resample, trades
from tests.oracles.compare import assert_same
from tests.support.engine import published, sqlgen
from tests.support.lakes import read_rows, write_rows

Row = dict[str, Any]


def write_config(folder: Path, **options: Any) -> Path:
    """models.yaml over ``folder/lake``."""
    config = {
        "version": 1,
        "lake": "lake",
        "sources": {"trades": {"path": "raw/ccxt/trades", "adapter": "ccxt/trades"}},
        "models": {
            "grid": {
                "sql": "resample.sql.j2",
                "inputs": {"rows": "trades"},
                "options": options,
                "output": {"path": "out/grid"},
            }
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def run(config: Path, *arguments: object) -> pa.Table | None:
    """Run the model; its table, if it has rows."""
    outcome = sqlgen("run", config, *arguments)
    assert outcome.code == 0, outcome.out + outcome.err
    folder = config.parent / "lake/out/grid"
    return published(folder) if any(folder.rglob("*.parquet")) else None


def expected_rows(lake: Path, **options: Any) -> list[Row]:
    """By the oracle, from the raw files."""
    return resample.resample([trades.canonical(row) for row in read_rows(lake, "trades")], **options)


def check(folder: Path, rows: Sequence[Row] = (), **options: Any) -> list[Row]:
    """Write ``rows`` (none: the lake stands already), run, compare with the oracle; gives the expected rows."""
    if rows:
        write_rows(folder / "lake", "trades", rows)
    expected = expected_rows(folder / "lake", **options)
    table = run(write_config(folder, **options))
    if not expected:
        assert table is None
        return expected
    assert table is not None
    assert_same(table, expected)
    return expected
