"""NaN in books, which statistics of Parquet leave out: no level with one is published."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.adapters import HIVE, MIDNIGHT, Project, rows_of

DEPTH = 5
WHERE = [(side, what, level) for side in ("bid", "ask") for what in ("price", "size") for level in (0, 2, 4)]


def books() -> list[dict[str, list[list[float]]]]:
    """One book per place of a NaN, and a whole one."""
    found = []
    for spoilt in [None, *WHERE]:
        book = {
            side: [[100 + sign * (i + 1), float(i + 1)] for i in range(DEPTH)]
            for side, sign in (("bid", -1), ("ask", 1))
        }
        if spoilt:
            side, what, level = spoilt
            book[side][level][what == "size"] = math.nan
        found.append(book)
    return found


def expected(book: dict[str, list[list[float]]], side: str) -> list[tuple[float, float]]:
    return [(price, size) for price, size in book[side] if math.isfinite(price) and math.isfinite(size)]


@pytest.mark.parametrize("form", ["lists", "columns"])
def test_levels_that_are_no_numbers(tmp_path: Path, form: str) -> None:
    made = books()
    table = {"ts": [MIDNIGHT // 10**6 + n for n in range(len(made))]}
    options: dict[str, object] = {"max_levels": DEPTH}
    if form == "lists":
        table |= {f"{side}s": [book[side] for book in made] for side in ("bid", "ask")}  # type: ignore[misc]
        options |= {"levels": "pairs"}
    else:
        for side in ("bid", "ask"):
            for i in range(DEPTH):
                table[f"{side}_{i}_price"] = [book[side][i][0] for book in made]  # type: ignore[misc]
                table[f"{side}_{i}_size"] = [book[side][i][1] for book in made]  # type: ignore[misc]
        options |= {"file_levels": DEPTH}
    project = Project.of(tmp_path, "generic/orderbook", options=options)
    (project.raw / HIVE).mkdir(parents=True)
    pq.write_table(pa.table(table), project.raw / HIVE / "data.parquet")
    for row, book in zip(rows_of(project.run()), made, strict=True):
        for side in ("bid", "ask"):
            levels = expected(book, side)
            assert row[f"{side}_levels"] == len(levels)
            for i in range(DEPTH):
                found = row[f"{side}_price_{i:02d}"], row[f"{side}_size_{i:02d}"]
                assert found == (levels[i] if i < len(levels) else (None, None))
