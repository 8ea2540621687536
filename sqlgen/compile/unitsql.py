"""Filters over a SELECT, and the rows of a unit's files. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlgen.compile.scope import Scan
from sqlgen.compile.statements import KERNEL_ROWS, indent, order
from sqlgen.features.stages import stages
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.project.model import Model, ModelInput
from sqlgen.templating.quoting import ident, literal
from sqlgen.templating.templates import Library

MERGE_TEMPLATE = "publish/merge.sql.j2"
UNIT_TEMPLATE = "publish/unit.sql.j2"
BATCH_TEMPLATE = "publish/batch.sql.j2"
NUMBERED_TEMPLATE = "publish/numbered.sql.j2"
_ALL_COLUMNS = "all_columns"
"""Stage with all columns of a SELECT of which some are chosen."""
UNIT = "_unit"
"""Column with the number of a unit in its batch."""


def merged(library: Library, model: Model, select: str, old: Scan | None = None) -> str:
    """In mode merge, the rows of ``select`` and of the published files, ``old``; otherwise ``select`` unchanged."""
    output = model.output
    if output.mode != "merge":
        return select
    return library.render(
        MERGE_TEMPLATE,
        select=select,
        files=list(old.files) if old is not None else [],
        types=dict(old.types) if old is not None else {},
        partition_by=list(output.partition_by),
        key=list(dict.fromkeys((*model.unit_keys, *output.key))),
        order_by=list(output.order_by),
    )


def of_unit(library: Library, model: Model, select: str, unit: Partition) -> str:
    """Rows of a unit's files: sorted, without its keys, which its path names."""
    keys = [key for key, _ in unit.values]
    if not keys and not order(model):
        return select
    return library.render(
        UNIT_TEMPLATE,
        rows=select,
        keys=keys,
        predicate=partition_predicate(unit),
        order_by=list(order(model)),
    )


def batch(library: Library, model: Model, select: str, units: Sequence[Partition]) -> str:
    """Rows of several units' files, with the number of their unit."""
    return library.render(
        BATCH_TEMPLATE,
        rows=select,
        keys=list(model.unit_keys),
        units=[[unit.typed(key) for key in model.unit_keys] for unit in units],
        reads_others=model.reads_others,
    )


def single(library: Library, select: str, singles: Sequence[str]) -> str:
    """Rows with some columns in single precision."""
    return library.render("publish/single.sql.j2", rows=select, singles=list(singles)) if singles else select


def numbered(
    model: Model, library: Library, select: str, units: Mapping[Partition, int], dropped: Sequence[str], in_order: bool
) -> str:
    """Rows of partitions or markets with the number of the unit that reads them, without the columns ``dropped``."""
    keys = [key for key, _ in next(iter(units)).values]
    return library.render(
        NUMBERED_TEMPLATE,
        reads_others=model.reads_others,
        rows=select,
        keys=keys,
        partitions=[([where.typed(key) for key in keys], number) for where, number in units.items()],
        dropped=list(dropped),
        sorted=in_order,
    )


def of_number(model: Model, select: str) -> str:
    """Rows that a unit's kernels give in a batch: ``select``, or all without the keys where these were left out."""
    if not model.keys_by_number:
        return select
    return of_columns(everything(KERNEL_ROWS), tuple(name for name in model.columns if name not in KEYS))


def everything(table: str) -> str:
    """All rows of a table."""
    return f"SELECT *\nFROM {table}"


def only(select: str, predicate: str | None) -> str:
    """SELECT of the rows for which a predicate holds; unchanged without one."""
    return f"SELECT *\nFROM (\n{indent(select)}\n)\nWHERE {predicate}" if predicate else select


def narrowed(text: str, model: Model, emit: str | None) -> str:
    """Rows and columns of a result that models.yaml selects, and of these the rows that a task emits."""
    # A predicate may end in a comment, so its bracket closes on a line of its own.
    conditions = [f"(\n    {condition}\n)" for condition in (emit, model.config.filter) if condition]
    if not conditions and not model.columns:
        return text
    columns = ",\n    ".join(ident(column) for column in model.columns) or "*"
    where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT\n    {columns}\nFROM (\n{indent(text)}\n){where}"


def of_columns(select: str, columns: tuple[str, ...]) -> str:
    """A SELECT of some columns of ``select``, whose stages stay stages; unchanged without ``columns``."""
    if not columns:
        return select
    names = ",\n    ".join(map(ident, columns))
    found, last = stages(select)
    name = _ALL_COLUMNS
    while any(stage.name.strip('"').lower() == name for stage in found):
        name += "_"
    if not found:
        return f"SELECT\n    {names}\nFROM (\n{indent(select)}\n)"
    before = select.rpartition(last)[0].rstrip()
    return f"{before},\n{name} AS (\n{indent(last)}\n)\nSELECT\n    {names}\nFROM {name}"


def input_predicate(entry: ModelInput) -> str | None:
    """Predicate of the exchanges, symbols and dates that an input selects."""
    spec = entry.spec
    parts = [
        f"{key} IN ({', '.join(literal(value) for value in values)})"
        for key, values in (("exchange", spec.exchange), ("symbol", spec.symbol))
        if values is not None
    ]
    if spec.date_start is not None:
        parts.append(f"date >= {literal(spec.date_start)}")
    if spec.date_end is not None:
        parts.append(f"date <= {literal(spec.date_end)}")
    return " AND ".join(parts) or None


def partition_predicate(partition: Partition) -> str:
    """The rows of one partition."""
    terms = (f"{ident(key)} = {'DATE ' if key == 'date' else ''}{literal(value)}" for key, value in partition.values)
    return " AND ".join(terms) or "TRUE"


class Extent(NamedTuple):
    """Times in ns at which a date begins and ends: its midnights, unless rows of it lie beyond."""

    begin: int
    end: int


def recent(model: Model, date: dt.date, extent: Extent | None = None) -> str:
    """The rows of a date and of its lookback; ``extent``: ``None`` where no row lies beyond its midnights."""
    begin = _midnight(date) if extent is None else _time(extent.begin)
    return f"date >= {literal(date)} OR {ident(model.header.time)} >= {_moment(begin, -model.lookback)}"


def near(model: Model, date: dt.date, extent: Extent | None = None) -> str:
    """The rows up to a date, and of its lookahead; see :func:`recent`."""
    end = _midnight(date + dt.timedelta(days=1)) if extent is None else _time(extent.end)
    return f"(date <= {literal(date)} OR {ident(model.header.time)} < {_moment(end, model.lookahead)})"


def _midnight(date: dt.date) -> dt.datetime:
    return dt.datetime.combine(date, dt.time())


def _time(ns: int) -> dt.datetime:
    """The time of a row, to the microsecond before it."""
    return dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=ns // 1000)


def _moment(start: dt.datetime, seconds: float) -> str:
    """The time ``seconds`` after another one, as SQL."""
    time = start + dt.timedelta(seconds=seconds)
    return f"CAST({literal(time.isoformat(sep=' '))} AS TIMESTAMP_NS)"


def partitions_predicate(partitions: Iterable[Partition]) -> str:
    """The rows of several partitions that differ in their symbols, exchanges and dates."""
    symbols: dict[Partition, list[str]] = {}
    for where in partitions:
        rest = Partition(tuple((key, value) for key, value in where.values if key != "symbol"))
        symbols.setdefault(rest, []).append(where["symbol"])
    found = (
        f"({partition_predicate(rest)} AND symbol IN ({', '.join(map(literal, names))}))"
        for rest, names in symbols.items()
    )
    return f"({' OR '.join(found)})"
