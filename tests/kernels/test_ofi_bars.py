"""Windows of order flow imbalance against the oracle; eigenvectors against NumPy; batches, symmetries, NULL."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.kernels.driving import assert_rows, floats
from tests.kernels.made import START, case, cuts, walk
from tests.oracles import ofi_bars
from tests.oracles.rows import NS
from tests.support import modes
from udfs.eigen import first_component, largest_eigenpair
from udfs.kernel import Batch
from udfs.pipeline import Pipeline, PipelineState

Row = dict[str, Any]
OPTIONS: dict[str, Any] = {"ofi_levels": 3, "ofi_window": 5, "fit_window": 120, "max_gap": 300}


class Feed:
    """The kernel with its state, fed batch by batch."""

    def __init__(self, **options: Any) -> None:
        self.pipeline = Pipeline.of(["ofi_bars"], OPTIONS | options)
        self.state: PipelineState = self.pipeline.start()

    def __call__(self, rows: list[Row]) -> list[Row]:
        columns = {name: floats(row.get(name) for row in rows) for name in self.pipeline.inputs}
        given = self.pipeline.run(self.state, Batch(np.array([row["ts"] for row in rows], np.int64), columns))
        return self._rows([given[column.name] for column in self.pipeline.outputs])

    def end(self) -> list[Row]:
        (kernel,) = self.pipeline.kernels
        return self._rows(list(kernel.waiting(self.state["ofi_bars"])))

    def notes(self) -> list[str]:
        (kernel,) = self.pipeline.kernels
        return list(kernel.notes(self.state["ofi_bars"]))

    def _rows(self, arrays: list[Any]) -> list[Row]:
        names = [column.name for column in self.pipeline.outputs]
        return [
            {name: None if value != value else value for name, value in zip(names, row, strict=True)}
            for row in zip(*(array.tolist() for array in arrays), strict=True)
        ]


def given(rows: list[Row], ends: list[int] | tuple[()] = (), **options: Any) -> list[Row]:
    feed, out = Feed(**options), []
    for begin, end in zip([0, *ends], [*ends, len(rows)], strict=True):
        out += feed(rows[begin:end]) if end > begin else []
    return out + feed.end()


def check(rows: list[Row], **options: Any) -> list[Row]:
    """Compare all windows, in several batches, with the oracle."""
    chosen = OPTIONS | options
    expected = ofi_bars.windows([{**row, "date": None} for row in rows], next_return=False, **chosen)
    got = given(rows, cuts(6, len(rows)), **options)
    assert given(rows, (), **options) == got, "the bits do not depend on the batches"
    kept = [{name: row[name] for name in expected[0] if name not in ("date", "bar_start")} for row in got]
    assert_rows(kept, [{name: bar[name] for name in kept[0]} for bar in expected[: len(kept)]])
    assert len(expected) - len(kept) in (0, 1)
    return got


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("events", {"ofi_window": 30, "fit_window": 1800}),
        ("edges", {"ofi_window": 1, "fit_window": 60, "ofi_levels": 2}),
        ("stale", {"ofi_levels": 1, "fit_window": 600}),
    ],
)
def test_made_up_books(kind: str, options: dict[str, Any]) -> None:
    got = check(case(kind), **options)
    assert sum(row["integrated_ofi"] is not None for row in got) >= 10


@pytest.mark.slow
def test_ten_levels() -> None:
    rows = walk(11, modes.rows_of(900))
    got = check(rows, ofi_levels=10, ofi_window=2.5, fit_window=100)
    assert sum(row["integrated_ofi"] is not None for row in got) >= 50


def test_row_by_row_is_all_at_once() -> None:
    rows = case("events")[:300]
    assert given(rows, list(range(1, len(rows)))) == given(rows)


def test_golden_vector() -> None:
    """t0 and t1 of the reference: e = (0, 4, 6)."""
    t0 = {"bids": [(100, 2), (99.9, 3), (99.5, 5)], "asks": [(100.1, 1), (100.2, 4), (100.6, 6)]}
    t1 = {"bids": [(100, 1), (99.9, 3), (99.5, 5)], "asks": [(100.2, 4), (100.6, 6), (100.7, 2)]}
    rows = [book(1, t0), book(2, t1), book(5, t1), book(6, t1)]
    first, second = given(rows)
    assert [first[name] for name in ("ofi", "ofi_01", "ofi_02")] == [0.0, 4.0, 6.0]
    assert first["snapshot_count"] == 2 + 1
    assert first["mean_depth"] == pytest.approx(np.mean([1.5, 3.5, 5.5, 2.5, 4.5, 3.5, 2.5, 4.5, 3.5]))
    assert first["ofi_norm_02"] == pytest.approx(6 / first["mean_depth"])
    assert (first["return"], second["return"]) == (None, 0.0)
    assert first["bar_end"] == START + 5 * NS, "a row at the end of a window is in it"


def book(second: float, sides: dict[str, list[tuple[float, float]]]) -> Row:
    row: Row = {"ts": START + round(second * NS)}
    for side, name in (("bid", "bids"), ("ask", "asks")):
        for k, (price, size) in enumerate(sides[name]):
            row |= {f"{side}_price_{k:02}": float(price), f"{side}_size_{k:02}": float(size)}
    return row


def test_a_level_never_seen_makes_the_window_null() -> None:
    rows = walk(12, 200)
    thin = [
        {**row, "bid_size_02": None, "bid_price_02": None} if 40 * NS < row["ts"] - START <= 45 * NS else row
        for row in rows
    ]
    found = {row["bar_end"]: row for row in given(thin)}[START + 45 * NS]
    assert (found["ofi_norm_00"], found["integrated_ofi"], found["ofi_02"]) == (None, None, None)
    assert found["ofi"] is not None
    feed = Feed()
    feed(thin)
    (note,) = feed.notes()
    assert "ofi_norm is NULL in 1 of " in note


def test_later_rows_change_nothing() -> None:
    rows = walk(13, 300)
    early = given(rows[:150])[:-1]
    assert early == given(rows)[: len(early)]
    assert len(early) > 20


def test_signs_flip_when_sides_swap() -> None:
    rows = walk(14, 400)
    turned = []
    for row in rows:
        other: Row = {"ts": row["ts"]}
        for k in range(3):
            other |= {f"bid_price_{k:02}": -row[f"ask_price_{k:02}"], f"ask_price_{k:02}": -row[f"bid_price_{k:02}"]}
            other |= {f"bid_size_{k:02}": row[f"ask_size_{k:02}"], f"ask_size_{k:02}": row[f"bid_size_{k:02}"]}
        turned.append(other)
    for row, twin in zip(given(rows), given(turned), strict=True):
        for name, value in row.items():
            if name.startswith("ofi_norm") or name in ("ofi", "ofi_01", "integrated_ofi"):
                assert twin[name] == (None if value is None else -value), name
            elif name in ("ofi_explained", "mean_depth"):
                assert twin[name] == value


def test_the_unit_of_price_does_not_matter() -> None:
    rows = walk(15, 300)
    scaled = [
        {name: 4 * value if value and "_price_" in name else value for name, value in row.items()} for row in rows
    ]
    for row, twin in zip(given(rows), given(scaled), strict=True):
        assert twin == {**row, "mid_price": None if row["mid_price"] is None else 4 * row["mid_price"]}


def test_a_date_that_begins_before_the_last_one_ends() -> None:
    """Rows up to a second late are left out, and told; a date earlier still starts a segment."""
    rows = walk(16, 200)
    late = [{**rows[0], "ts": rows[-1]["ts"] - NS // 2}]
    feed = Feed()
    feed(rows)
    assert feed(late) == []
    assert feed.notes() == ["ofi_bars leaves out 1 rows that are earlier than the date before ends"]
    feed.end()
    assert feed.notes() == []
    feed([{**rows[0], "ts": rows[-1]["ts"] - 100 * NS}])
    assert feed.state["ofi_bars"]["window"][0].points == 0


def test_windows_that_cannot_be_fitted() -> None:
    with pytest.raises(Exception, match=r"fit_window 100 s has 10 windows of 10 s; 10 levels need 30 to 100,000"):
        Feed(ofi_levels=10, ofi_window=10, fit_window=100)


@pytest.mark.parametrize("size", [1, 2, 5, 10])
def test_eigenvectors(size: int) -> None:
    rng = np.random.default_rng(size)
    for scale in (1.0, 1e-12, 1e9):
        root = rng.normal(size=(size, size)) * scale
        matrix, vector = root @ root.T, np.empty(size)
        values, vectors = np.linalg.eigh(matrix)
        assert largest_eigenpair(matrix, vector) == pytest.approx(values[-1], rel=1e-12)
        wanted = vectors[:, -1] * np.sign(vectors[:, -1] @ vector)
        np.testing.assert_allclose(vector, wanted, rtol=0, atol=1e-9)


def test_first_component_of_points() -> None:
    rng = random.Random(3)
    points = np.array([[rng.gauss(0, 1) + k * rng.gauss(0, 1) for k in range(4)] for _ in range(60)]) + 1e3
    used = np.arange(60) >= 7
    weights = np.empty(4)
    share = first_component(points[used], weights)
    values, vectors = np.linalg.eigh(np.cov(points[used], rowvar=False))
    wanted = vectors[:, -1] / np.abs(vectors[:, -1]).sum() * np.sign(vectors[:, -1].sum())
    assert share == pytest.approx(values[-1] / values.sum(), rel=1e-9)
    np.testing.assert_allclose(weights, wanted, rtol=1e-9)
    assert np.isnan(first_component(np.full((60, 4), 0.1), weights)), "points that do not vary have no direction"
