"""``positive_lists``: footers that say that no number of a list is at or below zero."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlgen.sources import schemas

LEVELS = pa.list_(pa.struct({"price": pa.float64(), "size": pa.float64()}))


def positive_lists(paths: list[Path], names: list[str]) -> bool:
    with duckdb.connect() as connection:
        return schemas.positive_lists(connection, paths, names)


def written(path: Path, bids: list[Any], kind: pa.DataType = LEVELS, **options: Any) -> Path:
    rows = pa.table({"bids": pa.array(bids, kind), "bids_note": pa.array([-1.0] * len(bids))})
    pq.write_table(rows, path, row_group_size=2, **options)
    return path


@pytest.mark.parametrize(
    ("bids", "told"),
    [
        ([[(1.0, 2.0)], [], [(0.5, 1e-9), (0.4, 3.0)]], True),
        ([[(1.0, 2.0)], [(0.0, 2.0)]], False),
        ([[(1.0, 2.0)], [(2.0, 2.0)], [(3.0, 1.0), (-1e-9, 2.0)]], False),
        ([[(1.0, 0.0)]], False),  # a size of zero deletes: the survey looks
        ([[(math.nan, 1.0)], [(2.0, 1.0)]], True),
        ([[], None], False),  # nothing is said of what is not there
    ],
)
def test_by_values(tmp_path: Path, bids: list[Any], told: bool) -> None:
    levels = [None if side is None else [{"price": p, "size": s} for p, s in side] for side in bids]
    assert positive_lists([written(tmp_path / "a", levels)], ["bids"]) == told


def test_by_files(tmp_path: Path) -> None:
    good = written(tmp_path / "a", [[{"price": 1.0, "size": 1.0}]])
    assert positive_lists([good], ["bids"])
    assert not positive_lists([good], [])
    assert not positive_lists([good], ["bids", "asks"])
    assert not positive_lists([good, tmp_path / "absent"], ["bids"])
    assert not positive_lists(
        [written(tmp_path / "b", [[{"price": 1.0, "size": 1.0}]], write_statistics=False)], ["bids"]
    )
    texts = pa.list_(pa.list_(pa.string()))
    assert not positive_lists([written(tmp_path / "c", [[["1.0", "2.0"]]], texts)], ["bids"])


def test_decimals_and_counts(tmp_path: Path) -> None:
    kind = pa.list_(pa.struct({"price": pa.decimal128(20, 8), "size": pa.int64()}))
    sides = [[{"price": Decimal("0.00000001"), "size": 1}], [{"price": Decimal(5), "size": 2}]]
    assert positive_lists([written(tmp_path / "a", sides, kind)], ["bids"])
    sides[1][0]["price"] = Decimal(-5)
    assert not positive_lists([written(tmp_path / "b", sides, kind)], ["bids"])
