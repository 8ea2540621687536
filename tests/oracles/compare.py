"""Compare a published table with expected rows: every column of every row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tests.oracles.near import slack_of
from tests.oracles.rows import Row

RELATIVE = 1e-9
SHOWN = 12


def table_rows(table: pa.Table) -> list[Row]:
    """Rows of a table as dictionaries; timestamps as int64 nanoseconds since the epoch."""
    columns: dict[str, list[Any]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
        columns[name] = column.to_pylist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def assert_same(table: pa.Table, expected: Sequence[Row], in_order: bool = True) -> None:
    """Fail, with the first differences, unless ``table`` is ``expected``: names, order, rows, values.

    Without ``in_order`` the columns may stand in another order.
    """
    if expected and not in_order and set(table.column_names) == set(expected[0]):
        table = table.select(list(expected[0]))
    if expected:
        assert table.column_names == list(expected[0]), _names(table.column_names, list(expected[0]))
    assert table.num_rows == len(expected), f"{table.num_rows} rows, expected {len(expected)}"
    differences = []
    for number, (got, want) in enumerate(zip(table_rows(table), expected, strict=True)):
        differences += [
            f"row {number} ({_place(want)}) {name}: expected {want[name]!r}, got {got[name]!r}"
            for name in want
            if not same(got[name], want[name], max(slack(name, want), slack_of(want[name])))
        ]
    shown = "\n".join(differences[:SHOWN])
    columns = sorted({line.split(") ", 1)[1].split(":")[0] for line in differences})
    assert not differences, f"{len(differences)} values differ, in the columns {', '.join(columns)}\n{shown}"


def same(got: Any, want: Any, absolute: float = 0.0) -> bool:
    """Equal: floats finite and to 1e-9 relative or ``absolute``; everything else exactly, type included."""
    if isinstance(want, float):
        return (
            isinstance(got, float)
            and math.isfinite(got)
            and math.isclose(got, want, rel_tol=RELATIVE, abs_tol=absolute)
        )
    if isinstance(want, list):
        return isinstance(got, list) and _pairs(got) == _pairs(want)
    return type(got) is type(want) and got == want


def slack(column: str, row: Row) -> float:
    """Absolute tolerance of a column whose value is a small difference of larger ones.

    Rounding of the larger values (2.2e-16 of each) limits what any formula can give, whatever its order
    of operations. The slack is some hundred such units; everything else gets none.
    """
    unit = 1e-13
    price = next((row[name] for name in ("mid_price", "close", "price", "best_bid", "bid") if row.get(name)), 1.0)
    if "relative" in column or "imb" in column or column in ("return", "log_return", "range"):
        return unit
    if column in ("cog_vs_mid", "spread_bps") or column.startswith("cog_momentum"):
        return unit * 1e4
    if column.startswith(("fwd_return", "smooth_return", "barrier_return", "corwin_schultz")):
        return unit
    if "price_impact" in column or "micro_minus_mid" in column or "mid_price_std" in column or "spread" in column:
        return unit * price
    if column == "center_of_gravity":  # prices around zero cancel
        return unit * max(abs(row.get(name) or 0.0) for name in ("best_bid", "best_ask"))
    if column.startswith("realized_var"):
        return unit * math.sqrt(row[column] or 0.0)
    if column == "annualized_vol":
        return unit * math.sqrt(31_536_000)
    return 0.0


def _pairs(levels: list[Any]) -> list[tuple[str, str]]:
    """Levels of a raw book as text, so that a NaN equals a NaN."""
    pairs = [level.values() if isinstance(level, dict) else level for level in levels]
    return [tuple(str(value) for value in pair) if pair is not None else ("None",) for pair in pairs]  # type: ignore[misc]


def _place(row: Row) -> str:
    names = ("exchange", "symbol", "date", "bar_seconds", "bar_start", "start_time", "ts", "seq")
    return ", ".join(str(row[name]) for name in names if name in row)


def _names(got: list[str], want: list[str]) -> str:
    missing, extra = [n for n in want if n not in got], [n for n in got if n not in want]
    moved = [] if missing or extra else [f"{g} where {w} stands" for g, w in zip(got, want, strict=True) if g != w][:3]
    return f"columns: missing {missing}, unexpected {extra}, out of order {moved}"
