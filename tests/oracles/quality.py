"""Checks of rows, one row after the other, written from docs/quality.md without looking at the SQL.

A row is a dictionary with ``exchange``, ``symbol``, ``date``, ``ts`` (ns), ``seq`` and more. A predicate is a Python
function here, under ``python``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
Said = dict[str, Any]
"""A check as models.yaml has it."""


def apply(rows: Iterable[Row], checks: Iterable[Said]) -> tuple[list[Row], list[list[Row]]]:
    """The rows that stay, and for each check the rows that fail it."""
    left, failed = list(rows), []
    for check in checks:
        bad = [row for row in left if _fails(row, left, check)]
        failed.append(bad)
        if check.get("on_fail", "quarantine") in ("drop", "quarantine"):
            left = [row for row in left if not any(row is other for other in bad)]
    return left, failed


def _fails(row: Row, rows: list[Row], check: Said) -> bool:
    named = check.get("columns", [])
    columns = [named] if isinstance(named, str) else list(named)
    match check["check"]:
        case "not_null":
            return any(row[column] is None for column in columns)
        case "positive":
            return any(row[column] is not None and not 0 < row[column] < math.inf for column in columns)
        case "range":
            return any(_outside(row[column], check) for column in columns)
        case "not_crossed":
            bid, ask = (row[column] for column in columns or ["bid_price_00", "ask_price_00"])
            return bid is not None and ask is not None and bid > ask
        case "predicate":
            return check["python"](row) is False
        case "unique":
            if any(row[column] is None for column in columns):
                return False
            alike = [other for other in _partition(row, rows) if all(other[c] == row[c] for c in columns)]
            return row is not min(alike, key=lambda other: (other["ts"], other["seq"]))
        case "monotonic":
            column = columns[0] if columns else "ts"
            before = _before(row, rows, lambda other: other["seq"])
            return before is not None and row[column] < before[column]
        case "max_gap":
            before = _before(row, rows, lambda other: (other["ts"], other["seq"]))
            return before is not None and row["ts"] - before["ts"] > check["seconds"] * 1_000_000_000
    raise AssertionError(check)


def _outside(value: float | None, check: Said) -> bool:
    if value is None:
        return False
    low, high = check.get("min", -math.inf), check.get("max", math.inf)
    return math.isnan(value) or value < low or value > high


def _partition(row: Row, rows: list[Row]) -> list[Row]:
    return [other for other in rows if all(other[key] == row[key] for key in ("exchange", "symbol", "date"))]


def _before(row: Row, rows: list[Row], place: Any) -> Row | None:
    earlier = [other for other in _partition(row, rows) if place(other) < place(row)]
    return max(earlier, key=place) if earlier else None
