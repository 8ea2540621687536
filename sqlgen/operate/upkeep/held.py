"""A published table that maintenance reads or changes: its whole units, and the refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from msgspec import Struct, structs

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan
from sqlgen.compile.statements import Target, copy, order
from sqlgen.errors import UsageError
from sqlgen.lake.partitions import Partition
from sqlgen.lake.remote import mounts
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.plan.missing import none_selected
from sqlgen.plan.selection import Selection, spelled
from sqlgen.project.model import Model
from sqlgen.published.records import alike
from sqlgen.published.tables import Table
from sqlgen.run.engine import Engine
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import exact_path


class HeldTable(Struct, frozen=True, dict=True):
    """One model's table, at one moment."""

    engine: Engine
    model: Model
    table: Table

    @cached_property
    def compiler(self) -> Compiler:
        return Compiler(self.engine.project)

    def units(self, wanted: Selection, may_be_none: bool = False) -> list[Partition]:
        """Published units with files that a selection covers.

        Raises :class:`UsageError` where one of them is damaged, and where there is none, unless there ``may_be_none``.
        """
        records = self.table.records
        wanted = with_symbols(wanted, {unit["symbol"] for unit in records if "symbol" in unit})
        found = [unit for unit in sorted(records) if records[unit].files and wanted.covers(unit)]
        damaged = [unit for unit in found if unit not in self.table.whole]
        if damaged:
            raise UsageError(
                f"model '{self.model.name}': the files of {len(damaged)} partition(s) are not as they were published,"
                f" the first of them {damaged[0]}. Run it first: sqlgen run --select {self.model.name}"
            )
        if not found and not may_be_none:
            raise UsageError(self._nothing(wanted))
        return found

    def _nothing(self, wanted: Selection) -> str:
        name = self.model.name
        there = [unit for unit, record in self.table.records.items() if record.files]
        if not there:
            return f"nothing of model '{name}' is published. Build it first: sqlgen run --select {name}"
        return f"model '{name}': {'. '.join(none_selected(there, wanted))}"

    def scan(self, unit: Partition, names: tuple[str, ...] | None = None) -> Scan:
        """Files of a unit; some of them, where ``names`` are given."""
        record = self.table.records[unit]
        folder = exact_path(self.folder(unit))
        files = tuple(f"{folder}/{exact_path(name)}" for name in (record.files if names is None else names))
        return Scan(files, types=record.types, alike=alike([record]))

    def rows(self, *units: Partition) -> str:
        """The SELECT of the rows of units, with all partition columns."""
        scans = [self.scan(unit) for unit in units]
        files = tuple(file for scan in scans for file in scan.files)
        same = alike(self.table.records[unit] for unit in units)
        return self.compiler.published_select(self.model.name, Scan(files, types=scans[0].types, alike=same))

    def copy_files(self, unit: Partition, names: Sequence[str], into: Target) -> tuple[str, dict[str, list[str]]]:
        """The statement that joins files of a unit, which has no inner partitions, into one; and its parameters."""
        name, scan = self.model.name, self.scan(unit, tuple(names))
        if order(self.model):
            return self.compiler.copy_rows(self.model, self.compiler.published_select(name, scan), into), {}
        # The files are a parameter: DuckDB would take longer to parse their names than to look them up.
        rows = query("rows_of_files", alike=scan.alike)
        return copy(self.model, rows, into.path, (), into.options(in_folders=False)), {"files": [*scan.files]}

    def names(self, unit: Partition) -> list[str]:
        """Names of the published files of a unit."""
        return [*self.table.records[unit].files] if unit in self.table.records else []

    def folder(self, unit: Partition) -> Path:
        return self.table.root / unit.path

    def fetch(self, *units: Partition) -> None:
        """Fetch the files of units."""
        mounts.fetch(self.folder(unit) / name for unit in units for name in self.table.records[unit].files)


def with_symbols(wanted: Selection, known: Collection[str]) -> Selection:
    """A selection with its symbols as they are spelled in the lake."""
    return structs.replace(wanted, symbols=spelled(wanted.symbols, known))


def read_held(engine: Engine, name: str) -> HeldTable:
    """A model's table as it is; :class:`UsageError` if maintenance must leave it alone."""
    model, table = engine.project.models[name], engine.table(name)
    if refusal := table.refusal():
        raise UsageError(refusal)
    keys = model.output.partition_by
    other = next((record.keys for record in table.records.values() if record.keys != keys), None)
    if other is not None:
        raise UsageError(
            f"model '{name}' is published by ({', '.join(other)}), and models.yaml now says ({', '.join(keys)})."
            f" Repartition it first: sqlgen lake repartition {name}"
        )
    return HeldTable(engine, model, table)


class HeldReader(Protocol):
    """Reader of a table; ``other``: the project as it was when the table was published."""

    def __call__(self, name: str, other: Engine | None = None) -> HeldTable: ...


def refuse_in_store(*folders: Path) -> None:
    """:class:`UsageError` for folders in an object store, in which several files are not replaced in one step."""
    for mount in filter(None, map(mount_of, folders)):
        raise UsageError(
            f"{mount.address}: this replaces several files at once, and an object store replaces one object after the"
            " other: readers would see rows twice, or not at all. Nothing was done"
        )


@contextlib.contextmanager
def holding(engine: Engine, wait: float, dry_run: bool = False) -> Iterator[HeldReader]:
    """A reader of tables, which no run changes meanwhile; a dry run holds nothing."""
    if dry_run:
        with mounts.using():
            yield lambda name, other=None: read_held(other or engine, name)
        return
    with engine.held(wait) as left, mounts.using():

        def read(name: str, other: Engine | None = None) -> HeldTable:
            found = read_held(other or engine, name)
            engine.adopt(name, found.table, left)
            return found

        yield read
        mounts.save(engine.project.lake)
