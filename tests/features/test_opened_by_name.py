"""Every published table opens by the name of its folder alone, with the same rows and columns for each reader."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml

import sqlgen
from sqlgen.sample import SampleSpec, write_sample
from tests.support.engine import ROOT, shipped_config
from tests.support.engine import sqlgen as command

TABLES = tuple(yaml.safe_load((ROOT / "models.yaml").read_text())["models"])
KEYS = ("exchange", "symbol", "date")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped tables over two symbols and two days; one is partitioned by a column of its own as well."""
    folder = tmp_path_factory.mktemp("lake")
    write_sample(folder, SampleSpec(symbols=2, days=2, rows_per_day=400, seed=5, faults=True))
    config = shipped_config(folder, volume_bar_size=0.5, tick_bar_size=25)
    for model in config["models"].values():
        model["enabled"] = True
    config["models"]["trades_bars"]["output"]["partition_by"] = [*KEYS, "bar_seconds"]
    limit = {"check": "range", "columns": "price", "max": 0, "on_fail": "quarantine"}
    checked = {**config["models"]["trades_features"], "output": {"path": "processed/checked"}, "checks": [limit]}
    config["models"]["checked"] = {**checked, "filter": None}
    (folder / "models.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outcome = command("run", folder / "models.yaml")
    assert outcome.code == 0, outcome.out + outcome.err
    return folder


def by_duckdb(folder: Path) -> pa.Table:
    return duckdb.sql(f"FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)").to_arrow_table()


def by_pandas(folder: Path) -> pa.Table:
    pandas: Any = pytest.importorskip("pandas")
    frame = pandas.read_parquet(folder)
    return pa.Table.from_pandas(frame, preserve_index=False)


def by_polars(folder: Path) -> pa.Table:
    polars: Any = pytest.importorskip("polars")
    return polars.scan_parquet(folder, hive_partitioning=True).collect().to_arrow()


def by_pyarrow(folder: Path) -> pa.Table:
    return ds.dataset(folder, partitioning="hive").to_table()


def by_pyarrow_parquet(folder: Path) -> pa.Table:
    return pq.read_table(folder)


READERS = (by_duckdb, by_pandas, by_polars, by_pyarrow, by_pyarrow_parquet)


def alike(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in another's types and order of columns; its rows in the order of the columns that are no lists."""
    columns = {}
    for field in schema:
        column = table[field.name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_date(field.type) and not pa.types.is_date(column.type):
            column = pc.cast(column.cast(pa.string()), pa.date32())
        columns[field.name] = column.cast(field.type)
    found = pa.table(columns, schema=schema)
    order = [n for n in (*KEYS, "bar_seconds", "bar_start", "bar_id", "ts", "seq", "check_name", "row") if n in columns]
    return found.sort_by([(name, "ascending") for name in order])


@pytest.fixture(scope="module")
def connection(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with sqlgen.connect(lake / "models.yaml") as found:
        yield found


@pytest.fixture(scope="module", params=[*TABLES, "checked_quarantine"])
def opened(
    request: pytest.FixtureRequest, lake: Path, connection: duckdb.DuckDBPyConnection
) -> tuple[Path, pa.Table, pa.Table]:
    """Folder of a table, its rows as the view of its name gives them, and these in an order of their own."""
    name: str = request.param
    config = yaml.safe_load((lake / "models.yaml").read_text())["models"]
    path = config[name.removesuffix("_quarantine")]["output"]["path"]
    folder = lake / (f"{path}_quarantine" if name.endswith("_quarantine") else path)
    assert {file.suffix for file in folder.rglob("*") if file.is_file()} == {".parquet"}
    expected = connection.sql(f"FROM {name}").to_arrow_table()
    assert expected.num_rows > 0
    assert expected.column_names[:3] == [*KEYS]
    return folder, expected, alike(expected, expected.schema)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__[3:])
def test_a_table_opens_by_its_name(opened: tuple[Path, pa.Table, pa.Table], reader: Callable[[Path], pa.Table]) -> None:
    folder, expected, ordered = opened
    found = reader(folder)
    assert sorted(found.column_names) == sorted(expected.column_names)
    assert alike(found, expected.schema).equals(ordered)


def test_files_hold_no_partition_columns(lake: Path) -> None:
    for file in (lake / "processed").rglob("*.parquet"):
        keys = {part.partition("=")[0] for part in file.parts if "=" in part}
        assert keys >= {*KEYS}
        assert not keys & {*pq.read_schema(file).names}, file


def test_a_partition_column_of_its_own_keeps_its_type(lake: Path, connection: duckdb.DuckDBPyConnection) -> None:
    types = dict(connection.execute("SELECT column_name, column_type FROM (DESCRIBE trades_bars)").fetchall())
    assert [types[key] for key in (*KEYS, "bar_seconds")] == ["VARCHAR", "VARCHAR", "DATE", "BIGINT"]
    assert any("bar_seconds=3600" in str(path) for path in (lake / "processed").rglob("*"))
    assert os.listdir(lake / "processed/ccxt/trades/bars") == ["exchange=binance"]
