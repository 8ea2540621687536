"""Books whose levels stand in columns: cleaned as the rule says, whatever is in them."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.adapters import HIVE, MIDNIGHT, Project, rows_of
from tests.support.modes import tried

DEPTH, KEPT = 4, 3
VALUE = st.one_of(
    st.integers(1, 6).map(float), st.none(), st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 1e308])
)
SIDE = st.lists(st.tuples(VALUE, VALUE), max_size=DEPTH)
ORDERED = st.lists(st.integers(1, 9).map(float), max_size=DEPTH, unique=True).map(
    lambda prices: [(price, 1.0 + price) for price in sorted(prices)]
)
BOOK = st.tuples(st.one_of(SIDE, ORDERED.map(lambda side: side[::-1])), st.one_of(SIDE, ORDERED))
Level = tuple[float | None, float | None]


def cleaned(levels: list[Level], best_first: bool) -> list[tuple[float, float]]:
    """Levels with a positive, finite price and size; equal prices added up; best first."""
    sizes: dict[float, float] = {}
    for price, size in levels:
        if price is not None and size is not None and 0 < price < math.inf and 0 < size < math.inf:
            sizes[price] = sizes.get(price, 0.0) + size
    return sorted(sizes.items(), reverse=best_first)[:KEPT]


@pytest.mark.slow
@settings(max_examples=tried(30), deadline=None)
@given(books=st.lists(BOOK, min_size=20, max_size=60), form=st.sampled_from(["columns", "objects", "pairs"]))
def test_any_book(
    tmp_path_factory: pytest.TempPathFactory, books: list[tuple[list[Level], list[Level]]], form: str
) -> None:
    options = {"levels": form, "time_unit": "ns", "file_levels": DEPTH, "max_levels": KEPT}
    project = Project.of(tmp_path_factory.mktemp("wide"), "generic/orderbook", options=options)
    (project.raw / HIVE).mkdir(parents=True)
    pq.write_table(_table(books, form), project.raw / HIVE / "x.parquet")
    for row, (bids, asks) in zip(rows_of(project.run()), books, strict=True):
        for side, levels in (("bid", bids), ("ask", asks)):
            expected = cleaned(levels, side == "bid")
            assert row[f"{side}_levels"] == len(expected)
            found = [(row[f"{side}_price_{i:02d}"], row[f"{side}_size_{i:02d}"]) for i in range(KEPT)]
            assert found == [*expected, *[(None, None)] * (KEPT - len(expected))]


def _table(books: list[tuple[list[Level], list[Level]]], form: str) -> pa.Table:
    columns = {"ts": pa.array([MIDNIGHT + i for i in range(len(books))])}
    for place, side in enumerate(("bid", "ask")):
        levels = [book[place] for book in books]
        if form == "columns":
            for i in range(DEPTH):
                for part, field in enumerate(("price", "size")):
                    cells = [side_levels[i][part] if i < len(side_levels) else None for side_levels in levels]
                    columns[f"{side}_{i}_{field}"] = pa.array(cells, pa.float64())
        elif form == "pairs":
            pairs = [[list(level) for level in side_levels] for side_levels in levels]
            columns[f"{side}s"] = pa.array(pairs, pa.list_(pa.list_(pa.float64())))
        else:
            objects = [[{"price": p, "size": s} for p, s in side_levels] for side_levels in levels]
            kind = pa.list_(pa.struct({"price": pa.float64(), "size": pa.float64()}))
            columns[f"{side}s"] = pa.array(objects, kind)
    return pa.table(columns)
