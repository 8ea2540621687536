"""Times that lose digits on their way are told; those of INT96 do not lose any in a run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.adapters import Project, rows_of

HIVE = "exchange=x/symbol=A/date=2026-01-01"
SECOND = 1_767_225_600
NS = 123_456_789


def trades(folder: Path, times: list[Any], name: str, unit: str, kind: pa.DataType | None = None) -> Project:
    project = Project.of(folder, "generic/trades", options={"time_unit": unit})
    (project.raw / HIVE).mkdir(parents=True)
    path = project.raw / HIVE / name
    if path.suffix == ".parquet":
        ones = pa.array([1.0] * len(times))
        table = pa.table({"ts": pa.array(times, kind), "price": ones, "amount": ones})
        pq.write_table(table, path, use_deprecated_int96_timestamps=unit == "timestamp")
    elif path.suffix == ".csv":
        path.write_text("\n".join(["ts;price;amount", *(f"{time};1;1" for time in times)]) + "\n")
    else:
        path.write_text("".join(f'{{"ts": {time}, "price": 1, "amount": 1}}\n' for time in times))
    return project


@pytest.mark.parametrize(
    ("times", "name", "unit", "kind", "lost"),
    [
        ([f"{SECOND}.123456789", f"{SECOND}.5"], "t.ndjson", "s", None, 1),
        ([f'"{SECOND}.123456789"', f"{SECOND}.5"], "t.ndjson", "s", None, 0),
        ([f"{SECOND}123.456789"], "t.ndjson", "ms", None, 1),
        ([f"{SECOND}123"], "t.ndjson", "ms", None, 0),
        ([f"{SECOND}.123456789"], "t.csv", "s", None, 0),
        ([SECOND + 0.123456789, SECOND + 64.0], "t.parquet", "s", pa.float64(), 1),
        ([SECOND + 64.0], "t.parquet", "s", pa.float32(), 1),
        ([SECOND * 1000 + 1], "t.parquet", "ms", pa.int64(), 0),
        (["2026-01-01 00:00:00.1234567891", "2026-01-01 00:00:00.1234567890"], "t.csv", "text", None, 1),
    ],
)
def test_lost_digits_are_told(
    tmp_path: Path, times: list[Any], name: str, unit: str, kind: pa.DataType | None, lost: int
) -> None:
    outcome = trades(tmp_path, times, name, unit, kind).sqlgen("run", "--json")
    assert outcome.code == 0, outcome.out
    notes = [note.split(",")[0] for note in outcome.json["tasks"][0]["notes"]]
    assert notes == ([f"source 'raw': {lost} time(s) lose digits"] if lost else [])


def test_int96(tmp_path: Path) -> None:
    moment = pa.scalar(SECOND * 10**9 + NS, pa.timestamp("ns"))
    project = trades(tmp_path, [moment], "t.parquet", "timestamp", pa.timestamp("ns"))
    assert pq.ParquetFile(project.raw / HIVE / "t.parquet").schema.column(0).physical_type == "INT96"
    [row] = rows_of(project.run())
    assert row["ts"] == SECOND * 10**9 + NS
    assert str(row["date"]) == str(dt.date(2026, 1, 1))
