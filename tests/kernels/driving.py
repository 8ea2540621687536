"""Drive kernels over rows of dictionaries, and compare what they give with expected rows."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tests.oracles.compare import same
from tests.oracles.near import Near, slack_of
from udfs.kernel import NO_INTEGER, Batch, Column, Trades
from udfs.pipeline import Pipeline, PipelineState

Row = dict[str, Any]
SHOWN = 15


def run(
    names: Sequence[str],
    rows: Sequence[Row],
    trades: Sequence[Row] | None = None,
    cuts: Iterable[int] = (),
    **options: Any,
) -> list[Row]:
    """Rows of the kernels ``names``, as Python values, NULL as None; batches end before the rows ``cuts``.

    The trades of a batch are those up to its last row that were in none before.
    """
    pipeline = Pipeline.of(names, options)
    return _run(pipeline, pipeline.start(), rows, trades, cuts)


def _run(
    pipeline: Pipeline, state: PipelineState, rows: Sequence[Row], trades: Sequence[Row] | None, cuts: Iterable[int]
) -> list[Row]:
    out: list[Row] = []
    taken = 0
    for begin, end in _pieces(len(rows), cuts):
        until = taken
        while trades is not None and until < len(trades) and trades[until]["ts"] <= rows[end - 1]["ts"]:
            until += 1
        seen = arrays(trades[taken:until]) if trades is not None else None
        taken = until
        columns = {name: floats(row.get(name) for row in rows[begin:end]) for name in pipeline.inputs}
        given = pipeline.run(state, Batch(_times(rows[begin:end]), columns, seen))
        out += _rows({column: given[column.name] for column in pipeline.outputs})
    return out


def run_bars(name: str, trades: Sequence[Row], cuts: Iterable[int] = (), **options: Any) -> tuple[list[Row], list[Row]]:
    """Parts of bars that the kernel ``name`` makes of trades: those of full bars, and those that wait."""
    rows = [{**trade, "side": float(trade["side"]) if trade["side"] else None} for trade in trades]
    pipeline = Pipeline.of([name], options)
    state = pipeline.start()
    closed = _run(pipeline, state, rows, None, cuts)
    waiting = pipeline.kernels[0].waiting(state[name])
    return closed, _rows(dict(zip(pipeline.outputs, waiting, strict=True)))


def _rows(given: Mapping[Column, np.ndarray[Any, Any]]) -> list[Row]:
    values = {column.name: to_python(array, column) for column, array in given.items()}
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _pieces(length: int, cuts: Iterable[int]) -> list[tuple[int, int]]:
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < length}), length]
    return [(begin, end) for begin, end in itertools.pairwise(ends) if end > begin]


def _times(rows: Sequence[Row]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([row["ts"] for row in rows], np.int64)


def floats(values: Iterable[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """An array with NaN for None."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def arrays(trades: Sequence[Row]) -> Trades:
    """Trades as a kernel gets them."""
    sides = np.array([trade["side"] or 0 for trade in trades], np.int8)
    prices, amounts = (floats(trade[name] for trade in trades) for name in ("price", "amount"))
    return Trades(_times(trades), prices, amounts, sides)


DTYPES = {
    "double": np.float64,
    "bigint": np.int64,
    "timestamp": np.int64,
    "smallint": np.int16,
    "boolean": np.bool_,
    "varchar": np.int8,
}


def to_python(array: np.ndarray[Any, Any], column: Column) -> list[Any]:
    """Values of an output column; its type must be the one that it declares."""
    assert array.dtype == DTYPES[column.type], f"{column.name}: {array.dtype}, declared {column.type}"
    values = array.tolist()
    if column.type == "varchar":
        return [None if value == -1 else dict(enumerate(column.values))[value] for value in values]
    missing = NO_INTEGER if column.type == "timestamp" and column.nullable else None
    return [None if value == missing or (isinstance(value, float) and math.isnan(value)) else value for value in values]


def differs(got: object, want: object) -> bool:
    """Is a value not the expected one, to 1e-9 relative or to the slack that the expected one carries?"""
    plain = float(want) if isinstance(want, Near) else want
    return not same(got, plain, slack_of(want))


def assert_rows(got: Sequence[Row], expected: Sequence[Row], *, never: Iterable[str] = ()) -> None:
    """Fail, with the first differences, unless all columns of ``got`` are as expected.

    A column that is NULL throughout proves nothing: only those named in ``never`` may be, and must be.
    """
    assert len(got) == len(expected), f"{len(got)} rows, expected {len(expected)}"
    assert got
    unknown = sorted(set(got[0]) - set(expected[0]))
    assert not unknown, f"columns that no oracle knows: {unknown}"
    differences = [
        (name, f"row {i}, {name}: expected {want[name]!r}, got {row[name]!r}")
        for i, (row, want) in enumerate(zip(got, expected, strict=True))
        for name in row
        if differs(row[name], want[name])
    ]
    shown = "\n".join(line for _, line in differences[:SHOWN])
    assert not differences, f"{Counter(name for name, _ in differences)}\n{shown}"
    silent = {name for name in got[0] if all(row[name] is None for row in got)}
    assert silent == set(never), f"NULL throughout: {sorted(silent)}"
