"""CSV files of which lines cannot be read, where their places are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlgen.sources.decode import Decoder
from sqlgen.templating.header import CsvFormat
from sqlgen.templating.templates import Library
from tests.support.vendors.files import save

COLUMNS = {"a": "BIGINT", "b": "VARCHAR"}
BAD = ("x,1", "1", "1,2,3", '"', " ")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def decoder(connection: duckdb.DuckDBPyConnection, **csv: object) -> Decoder:
    return Decoder(Library(), "csv", COLUMNS, CsvFormat.model_validate(csv), connection)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.zst", "csv.zip"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_row_of_nothing_for_each_line(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, suffix: str, newline: str
) -> None:
    lines = ["b,a,more", "p,1,", "", "p,x,", "bad", "q,2,", "", "r,3,", "bad", ""]
    path = save(tmp_path / f"a.{suffix}", newline.join(lines))
    decoded = decoder(connection, keep_places=True).decode(path, tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").to_pydict() == {
        "a": [1, None, None, 2, 3, None],
        "b": ["p", None, None, "q", "r", None],
    }
    assert (decoded.rows, decoded.lines, [line.line for line in decoded.bad]) == (6, 6, [4, 5, 9])


def test_only_where_the_adapter_asks_for_it(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "a,b\n1,p\nbad\n2,q\n")
    decoded = decoder(connection).decode(path, tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet")["a"].to_pylist() == [1, 2]
    assert (decoded.rows, decoded.lines) == (2, 3)


@pytest.mark.slow
@given(st.lists(st.sampled_from(["good", "good", "empty", *BAD]), max_size=40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_places(
    connection: duckdb.DuckDBPyConnection,
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[str],
    header: bool,
) -> None:
    lines = [f"{i},x" if kind == "good" else "" if kind == "empty" else kind for i, kind in enumerate(kinds, 1)]
    folder = tmp_path_factory.mktemp("places")
    path = save(folder / "a.csv", "".join(f"{line}\n" for line in [*(["a,b"] if header else []), "0,x", *lines]))
    decoder(connection, keep_places=True, header=header).decode(path, folder / "a.parquet")
    expected = [0] + [i if kind == "good" else None for i, kind in enumerate(kinds, 1) if kind != "empty"]
    assert pq.read_table(folder / "a.parquet")["a"].to_pylist() == expected
