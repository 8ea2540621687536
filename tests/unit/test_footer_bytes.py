"""Footers by their bytes: as pyarrow reads them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.compile.statements import FOOTER_KEY
from sqlgen.published import footers
from sqlgen.published.footers import DamagedFileError

TABLES = {
    "numbers": pa.table({"a": [1, 2, 3], "b": [1.0, None, 3.0]}),
    "the same of other rows": pa.table({"a": [7] * 500, "b": [0.5] * 500}),
    "another type": pa.table({"a": [1, 2, 3], "b": pa.array([1, None, 3], pa.float32())}),
    "times": pa.table({"a": pa.array([1, 2], pa.timestamp("ns")), "b": pa.array([1, 2], pa.timestamp("us", "UTC"))}),
    "times as numbers": pa.table({"a": [1, 2], "b": [1, 2]}),
    "nested": pa.table({"a": [[{"price": 1.0, "size": 2}]], "b": [[[1.0]]]}),
    "many columns": pa.table({f"column_{number}": ["x"] for number in range(300)}),
    "no rows": pa.table({"a": pa.array([], pa.decimal128(20, 8)), "b": pa.array([], pa.string())}),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("text", ['{"text": 1}', "x" * 5_000, None])
def test_what_pyarrow_reads(tmp_path: Path, name: str, text: str | None) -> None:
    metadata = {"other": "text", **({FOOTER_KEY: text} if text is not None else {}), "last": "x"}
    path = tmp_path / "x.parquet"
    pq.write_table(TABLES[name].replace_schema_metadata(metadata), path, row_group_size=2)
    assert footers.of_own(path) == footers.read(path)
    assert footers.of_own(path).text == text
    assert footers.of_own(path).rows == len(TABLES[name])


def test_columns_are_compared_by_name_and_type(tmp_path: Path) -> None:
    digests = {}
    for name, table in TABLES.items():
        pq.write_table(table, tmp_path / "x.parquet")
        digests[name] = footers.of_own(tmp_path / "x.parquet").schema
    assert digests.pop("the same of other rows") == digests["numbers"]
    assert len({*digests.values()}) == len(digests)


def test_files_of_duckdb(tmp_path: Path) -> None:
    for number in (1, 300_000):
        where = f"(FORMAT parquet, KV_METADATA {{{FOOTER_KEY}: 'the record'}})"
        rows = f"SELECT i AS a, [CAST(i AS DOUBLE)] AS b, 'x' || i AS c FROM range({number}) AS t(i)"
        duckdb.sql(f"COPY ({rows}) TO '{tmp_path}/{number}.parquet' {where}")
    one, many = (footers.of_own(tmp_path / f"{number}.parquet") for number in (1, 300_000))
    assert (one.rows, many.rows, one.text, many.text) == (1, 300_000, "the record", "the record")
    assert one.schema == many.schema


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\0" * 40, b"\x1c" * 40, b"\x25\x02" + b"\xff" * 40])
def test_no_footer(tmp_path: Path, content: bytes) -> None:
    with pytest.raises((IndexError, ValueError)):
        footers.rows_after(content, footers.columns_in(content))
    (tmp_path / "x.parquet").write_bytes(content + len(content).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(DamagedFileError):
        footers.of_own(tmp_path / "x.parquet")
