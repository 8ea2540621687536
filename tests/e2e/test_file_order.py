"""The files of one partition count in the natural order of their names."""

from __future__ import annotations

import json
import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.project.keys import natural_order
from sqlgen.templating.templates import Library
from tests.support.adapters import SHELL, Project, rows_of
from tests.support.engine import sqlgen

NAMES = ["part_1", "part_2", "part_9", "part_10", "part_11", "part_100", "x2b9", "x2b10", "x10b1"]
HIVE = "exchange=x/symbol=A/date=2026-01-01"
DAY = 1_767_225_600_000


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "csv", "ndjson"])
@pytest.mark.parametrize("where", [HIVE, "exchange=x", ""])
def test_numbers_in_names_count_as_numbers(tmp_path: Path, suffix: str, where: str) -> None:
    """Keys in folders, or in rows; in a run and in the compiled file."""
    columns = {} if where == HIVE else {"symbol": "A"} if where else {"exchange": "x", "symbol": "A"}
    project = Project.of(tmp_path, "generic/trades")
    for place, name in random.Random(7).sample(list(enumerate(NAMES)), len(NAMES)):
        rows = [{"ts": DAY + 10 * place + i, "price": 10.0 * place + i, "amount": 1.0, **columns} for i in (1, 2)]
        write(project.raw / where / f"{name}.{suffix}", rows)
    expected = [10.0 * place + i for place in range(len(NAMES)) for i in (1, 2)]
    assert [row["price"] for row in rows_of(project.run())] == expected
    if SHELL is not None:
        assert [row["price"] for row in rows_of(project.in_shell())] == expected


def test_hours_come_before_names(tmp_path: Path) -> None:
    project = Project.of(tmp_path, "generic/trades")
    for hour, name in ((9, "b10"), (9, "b9"), (10, "a1"), (10, "a02"), (10, "a10")):
        price = 100.0 * hour + int(name[1:])
        rows = [{"ts": DAY + 3_600_000 * hour + int(name[1:]), "price": price, "amount": 1.0}]
        write(project.raw / HIVE / f"hour={hour}" / f"{name}.ndjson", rows)
    expected = [909.0, 910.0, 1001.0, 1002.0, 1010.0]
    assert [row["price"] for row in rows_of(project.run())] == expected
    if SHELL is not None:
        assert [row["price"] for row in rows_of(project.in_shell())] == expected


def test_the_order_in_sql_is_that_of_the_listing() -> None:
    rng = random.Random(3)
    names = ["".join(rng.choices("ab019_./-é", k=rng.randrange(60))) for _ in range(5000)]
    names += [f"{digits}{rng.randrange(100)}" for digits in ("9" * 25, "1" + "0" * 30)]
    template = "{% from 'macros/rows.sql.j2' import natural_order %}{{ natural_order('name') }}"
    sql = Library().environment.from_string(template).render()
    rows = duckdb.execute(f"SELECT name FROM (SELECT unnest(?) AS name) ORDER BY {sql}, name", [names]).fetchall()
    assert [name for (name,) in rows] == sorted(names, key=natural_order)


@given(st.integers(0, 10**20 - 1), st.integers(0, 10**20 - 1))
def test_numbers_of_up_to_20_digits(one: int, other: int) -> None:
    assert (natural_order(f"p{one}.csv") < natural_order(f"p{other}.csv")) == (one < other)


def bybit_changes(times: list[int]) -> str:
    """A snapshot and changes of a book, with the time (s) of each."""
    lines = [
        {
            "topic": "orderbook.50.A",
            "type": "delta" if k else "snapshot",
            "ts": DAY + 1000 * time,
            "cts": DAY + 1000 * time,
            "data": {"s": "A", "b": [["100", "1"]], "a": [["101", "1"]], "u": 10 + k, "seq": k},
        }
        for k, time in enumerate(times)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.mark.parametrize(("times", "told"), [([1, 2, 3, 2, 3, 4], ""), ([1, 7200, 3, 4, 7199], "2 change(s)")])
def test_changes_with_earlier_times_than_those_before_them_are_told(
    tmp_path: Path, times: list[int], told: str
) -> None:
    """Their books have the later time; a second is no matter."""
    (tmp_path / "transforms_sql").mkdir()
    template = (
        "{#\ndescription: changes\ninputs: [updates]\norder_by: [seq]\n#}\nSELECT * FROM ({{ inputs.updates }})\n"
    )
    (tmp_path / "transforms_sql/changes.sql.j2").write_text(template)
    raw = tmp_path / "lake/raw/exchange=bybit/symbol=A/date=2026-01-01"
    raw.mkdir(parents=True)
    (raw / "a.ndjson").write_text(bybit_changes(times))
    config = tmp_path / "models.yaml"
    model = {"sql": "changes.sql.j2", "inputs": {"updates": "raw"}, "output": {"path": "out"}}
    source = {"path": "raw", "adapter": "bybit/orderbook"}
    config.write_text(json.dumps({"version": 1, "lake": "lake", "sources": {"raw": source}, "models": {"out": model}}))
    outcome = sqlgen("run", config)
    assert outcome.code == 0, outcome.out + outcome.err
    assert (f"note: source 'raw': {told or '0'}" in outcome.out) == bool(told)
    assert ("by up to 7197 s" in outcome.out) == bool(told)
