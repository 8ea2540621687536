"""Statistics of the columns of a published table, over its newest rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
from msgspec import Struct, field

from sqlgen.compile.scope import Scan
from sqlgen.errors import first_line
from sqlgen.explore.catalog import confined_to
from sqlgen.explore.columns import NUMBERS, Described
from sqlgen.published.records import alike, types_of
from sqlgen.run.engine import Engine
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import exact_path

ROWS = 200_000
"""Rows that are looked at, by whole partitions, the newest ones."""
BINS = 24


class ColumnStats(Struct, frozen=True):
    """Statistics of one column."""

    nulls: float
    """Share of rows without a value."""
    least: str
    greatest: str
    middle: float | None = None
    """Median, of numbers."""
    low: float | None = None
    """Quantile 0.01, where the bins begin."""
    high: float | None = None
    bins: tuple[int, ...] = ()
    """Rows in equal parts between the quantiles 0.01 and 0.99."""
    kinds: int | None = None
    """Number of different values, of texts and times."""


class PageStats(Struct, frozen=True):
    """Statistics of a table."""

    rows: int = 0
    partitions: int = 0
    of_partitions: int = 0
    columns: dict[str, ColumnStats] = field(default_factory=dict)
    problem: str = ""
    """Reason why there are none."""


def table_stats(engine: Engine, name: str, columns: Sequence[Described]) -> PageStats:
    """Statistics over the newest partitions of a model's table, in one statement."""
    table = engine.table(name)
    units = sorted((unit for unit, record in table.records.items() if record.rows), key=lambda unit: str(unit.date))
    chosen, rows = [], 0
    while units and rows < ROWS:
        chosen.append(units.pop())
        rows += table.records[chosen[-1]].rows
    if not chosen:
        return PageStats(problem="nothing is published yet")
    files = tuple(
        exact_path(Path(table.root, unit.path, file)) for unit in chosen for file in table.records[unit].files
    )
    types = types_of(table.records[unit] for unit in chosen)
    scan = Scan(files, types=types, alike=alike(table.records[unit] for unit in chosen))
    select = engine.compiler([name]).published_select(name, scan)
    asked = [
        {"name": column.name, "place": place, "numeric": column.type in NUMBERS} for place, column in enumerate(columns)
    ]
    try:
        connection, select = confined_to(engine, name, select)
        with connection:
            (row,) = connection.execute(query("site_stats", select=select, columns=asked, bins=BINS)).fetchall()
    except duckdb.Error as error:
        return PageStats(problem=f"its rows cannot be read: {first_line(error)}")
    counted, *values = row
    stats = {column.name: _of_column(value, counted) for column, value in zip(columns, values, strict=True)}
    return PageStats(counted, len(chosen), len(chosen) + len(units), stats)


def _of_column(value: dict[str, Any], rows: int) -> ColumnStats:
    bins = [0] * BINS
    for entry in value.get("bins") or ():
        if entry["key"] is not None:
            bins[entry["key"]] = entry["value"]
    return ColumnStats(
        nulls=value["nulls"] / rows if rows else 0.0,
        least=value["least"] or "",
        greatest=value["greatest"] or "",
        middle=value.get("middle"),
        low=value.get("low"),
        high=value.get("high"),
        bins=tuple(bins) if any(bins) else (),
        kinds=value.get("kinds"),
    )
