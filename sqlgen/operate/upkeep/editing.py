"""Edits of published rows: deleted and updated by a predicate, or replaced and added from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import duckdb
from msgspec import Struct

from sqlgen.compile.unitsql import partition_predicate
from sqlgen.errors import TaskError, UsageError, first_line, nearest
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import format_of
from sqlgen.operate.upkeep.held import HeldTable
from sqlgen.operate.upkeep.rewrites import Piece, Rewrite
from sqlgen.plan.selection import Selection
from sqlgen.sources.schemas import columns_of
from sqlgen.templating.connection import confined, folders_of
from sqlgen.templating.expressions import fault
from sqlgen.templating.queries import query

_LONGEST = 200
"""Letters of an edit in the record of a unit."""


class Editing(Struct, frozen=True, dict=True):
    """Published units that may be edited."""

    held: HeldTable
    wanted: Selection
    reads: tuple[Path, ...] = ()
    """Folders beside the lake that are read."""

    @cached_property
    def units(self) -> list[Partition]:
        return self.held.units(self.wanted)

    @cached_property
    def rows(self) -> str:
        self.held.fetch(*self.units)
        return self.held.rows(*self.units)

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        project, threads = self.held.engine.project, self.held.engine.settings.threads
        return confined([*folders_of(project.lake, project.places), *self.reads], {"threads": threads})

    @cached_property
    def columns(self) -> dict[str, str]:
        """Columns of the table with their types."""
        return columns_of(self.connection, self.rows)

    @property
    def keys(self) -> tuple[str, ...]:
        return self.held.model.unit_keys

    def check(self, option: str, expression: str) -> str:
        """An expression over a row; :class:`UsageError` if it is anything else."""
        problem = fault(expression)
        if not problem:
            try:  # no aggregate or window function either
                columns_of(self.connection, query("kept_rows", rows=self.rows, where=f"({expression}\n) IS NULL"))
            except duckdb.Error as error:
                problem = first_line(error)
        if problem:
            raise UsageError(f"{option} {_short(expression)}: {problem}")
        return expression

    def matched(self, where: str) -> dict[Partition, int]:
        """Rows for which a predicate holds, by unit."""
        sql = query("matched_rows", rows=self.rows, where=where, keys=list(self.keys))
        try:
            found = self.connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise UsageError(f"--where {_short(where)}: {first_line(error)}") from error
        return {self.unit(values): matched for *values, matched in found}

    def unit(self, values: Sequence[str]) -> Partition:
        return Partition.of(**dict(zip(self.keys, values, strict=True)))

    def order(self, names: Sequence[str] = ()) -> list[str]:
        """Columns by which rows are in order; none if the edit changes other ``names`` alone."""
        order = [name for name in self.held.model.file_order or ("ts", "seq") if name in self.columns]
        return order if not names or {*names} & {*order} else []


def deletions(held: HeldTable, wanted: Selection, where: str) -> list[Rewrite]:
    """Units without the rows for which a predicate holds; rows for which it is NULL stay."""
    editing = Editing(held, wanted)
    editing.check("--where", where)
    return [
        Rewrite(
            unit,
            (Piece(query("kept_rows", rows=held.rows(unit), where=where)),),
            held.table.records[unit].rows - count,
            edit=f"delete where {_short(where)}",
            matched=count,
        )
        for unit, count in sorted(editing.matched(where).items())
    ]


def updates(held: HeldTable, wanted: Selection, where: str, values: Mapping[str, str]) -> list[Rewrite]:
    """Units with other values of some columns (name -> expression) in the rows for which a predicate holds."""
    editing = Editing(held, wanted)
    editing.check("--where", where)
    for name, expression in values.items():
        if name in held.model.output.partition_by:
            raise UsageError(f"--set {name}: the table is partitioned by it. Delete these rows, and upsert them")
        if name not in editing.columns:
            known = ", ".join(editing.columns)
            raise UsageError(f"--set {name}: no such column.{nearest(name, editing.columns)} Known: {known}")
        editing.check(f"--set {name} =", expression)
    found = [(name, expression, editing.columns[name]) for name, expression in values.items()]
    order = editing.order([*values])
    shown = ", ".join(f"{name} = {_short(expression)}" for name, expression in values.items())
    return [
        Rewrite(
            unit,
            (Piece(query("updated_rows", rows=held.rows(unit), where=where, assignments=found, order_by=order)),),
            held.table.records[unit].rows,
            edit=_short(f"update {shown} where {_short(where)}"),
            matched=count,
        )
        for unit, count in sorted(editing.matched(where).items())
    ]


def upserts(held: HeldTable, file: Path, key: Sequence[str]) -> list[Rewrite]:
    """Units with the rows of a file in place of those that have the same key, and in addition to the others."""
    file = file.absolute()
    editing = Editing(held, Selection(()), (file.parent.resolve(),))
    try:
        new = _new_rows(editing, file)
        editing.connection.execute(query("row_digest", rows=new))  # every value can be read
        key = _key(editing, file, new, key)
        sql = query("upserted_units", rows=editing.rows, new=new, key=key, keys=list(editing.keys))
        counts = editing.connection.execute(sql).fetchall()
    except (duckdb.Error, TaskError) as error:
        raise UsageError(f"{file}: {' '.join(str(error).split())[:500]}") from error
    found = {editing.unit(values): (rows, replaced) for *values, rows, replaced in counts}
    unknown = sorted(found.keys() - {*editing.units})
    if unknown:
        raise UsageError(
            f"{file}: {len(unknown)} partition(s) of its rows are not published, the first of them {unknown[0]}."
            f" Rows are added to partitions that are there: run '{held.model.name}' over them first, or leave them out"
        )
    order, name = editing.order(), file.name
    changes = []
    for unit, (rows, replaced) in sorted(found.items()):
        context = {"predicate": partition_predicate(unit), "key": key, "order_by": order}
        sql = query("upserted_rows", rows=held.rows(unit), new=new, **context)
        left = held.table.records[unit].rows - replaced
        edit = _short(f"upsert of {rows} row(s) by {', '.join(key)} from {name}")
        changes.append(Rewrite(unit, (Piece(sql),), left + rows, edit=edit, matched=replaced))
    return changes


def _new_rows(editing: Editing, file: Path) -> str:
    """The SELECT of a file's rows, in the columns and types of the table."""
    kind = format_of(file.name)
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    if kind not in ("parquet", "csv", "ndjson"):
        raise UsageError(f"{file}: no Parquet, CSV or NDJSON file, by its name")
    there = columns_of(editing.connection, query("rows_in_file", file=file, format=kind, types={}))
    problems = [
        *_named("has no column", editing.columns, there),
        *_named("has the unknown column", there, editing.columns),
    ]
    if problems:
        raise UsageError(f"{file}: {'; '.join(problems)}. It must have the columns of the table, whatever their order")
    return query("rows_in_file", file=file, format=kind, types=editing.columns)


def _named(what: str, names: Mapping[str, str], others: Mapping[str, str]) -> Iterator[str]:
    missing = [name for name in names if name not in others]
    if missing:
        yield f"{what} {', '.join(missing)}"


def _key(editing: Editing, file: Path, new: str, key: Sequence[str]) -> list[str]:
    """Columns of a row's identity, those of its unit first; :class:`UsageError` if rows of the file share one."""
    for name in key:
        if name not in editing.columns:
            raise UsageError(f"--key {name}: no such column.{nearest(name, editing.columns)}")
    names = list(dict.fromkeys((*editing.keys, *key)))
    found = editing.connection.execute(query("unusable_keys", rows=new, key=names)).fetchone()
    if found is not None:
        shown = ", ".join(f"{name}={value}" for name, value in zip(names, found[0], strict=True))
        what = "has no value in its key" if "NULL" in found[0] else f"is there {found[1]} times"
        raise UsageError(f"{file}: {shown} {what}. A key is one row. Nothing was changed")
    return names


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
