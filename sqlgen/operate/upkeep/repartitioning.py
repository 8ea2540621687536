"""Tables in other partitions: written anew from their own rows, aside, and swapped in as a whole."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import duckdb
from msgspec import Struct, structs

from sqlgen.compile.compiledmodel import digest
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.statements import Target
from sqlgen.compile.unitsql import only, partition_predicate
from sqlgen.errors import UsageError
from sqlgen.lake import faults, storage, swap
from sqlgen.lake.partitions import Partition
from sqlgen.operate.upkeep.held import HeldTable, holding, refuse_in_store
from sqlgen.operate.upkeep.rewrites import Rewritten, TableChange
from sqlgen.operate.upkeep.rewriting import staging_connection
from sqlgen.plan.plan import Build
from sqlgen.plan.planner import make_plan
from sqlgen.plan.selection import Selection
from sqlgen.project.project import Project
from sqlgen.published import footers
from sqlgen.published.footers import Stamp, new_build
from sqlgen.published.publication import StagedUnit, record_of
from sqlgen.published.records import IN_FOOTERS, Provenance, Publication, Published, part_of
from sqlgen.run.engine import Engine
from sqlgen.sources.schemas import columns_of
from sqlgen.templating.queries import query


class NewUnit(Struct, frozen=True):
    """One unit in the new partitions, and the old ones whose rows it has."""

    unit: Partition
    old: tuple[Partition, ...]
    is_part: bool
    """True if the old unit has rows of other new units, too."""
    rows: int
    provenance: Provenance


class Repartition(Struct, frozen=True, dict=True):
    """Change of the partitions of one table."""

    held: HeldTable
    """The table, under the old keys."""
    engine: Engine
    """The project as it is now."""

    @property
    def name(self) -> str:
        return self.held.model.name

    @property
    def keys(self) -> tuple[str, ...]:
        return self.engine.project.models[self.name].output.partition_by

    @cached_property
    def records(self) -> Mapping[Partition, Published]:
        """Old units with rows."""
        return {unit: record for unit, record in sorted(self.held.table.records.items()) if record.files}

    @property
    def same_units(self) -> bool:
        return self.held.model.unit_keys == self.engine.project.models[self.name].unit_keys

    def check(self) -> None:
        """Raise :class:`UsageError` where rows alone do not tell what a build in the new partitions would give."""
        model, rebuild = self.held.model, f"Build it anew: sqlgen run --select {self.name} --full-refresh"
        now = Compiler(self.engine.project).compile(self.name)
        if Compiler(self.held.engine.project).compile(self.name).fingerprint != now.fingerprint:
            raise UsageError(f"model '{self.name}': its SQL depends on partition_by. {rebuild}")
        if self.same_units:
            return
        if model.output.mode == "append" or model.pipeline is not None:
            what = "which files each partition has" if model.pipeline is None else "the kernel states"
            raise UsageError(f"model '{self.name}': {what} would have to be known by other keys. {rebuild}")
        if any(record.quarantine for record in self.records.values()):
            raise UsageError(f"model '{self.name}': it has quarantined rows, which other keys would mix. {rebuild}")

    def units(self, connection: duckdb.DuckDBPyConnection) -> list[NewUnit]:
        """The new units."""
        if self.same_units:
            return [
                NewUnit(unit, (unit,), False, record.rows, self._same(unit, record))
                for unit, record in self.records.items()
            ]
        return [*self._regrouped(connection)]

    def _same(self, unit: Partition, record: Published) -> Provenance:
        """Provenance of a unit under other inner keys."""
        footer = self.held.table.footer(unit)
        known = {name: getattr(footer, name) for name in IN_FOOTERS} if footer is not None else {}
        return structs.replace(part_of(Provenance, record), keys=self.keys, **known)

    def _regrouped(self, connection: duckdb.DuckDBPyConnection) -> Iterator[NewUnit]:
        stale = {task.unit for task in make_plan(self.held.engine.picture([self.name]), Selection((self.name,))).tasks}
        everything = Selection((self.name,), full_refresh=True, prune=True, discard_edits=True)
        plan = make_plan(self.engine.picture([self.name]), everything)
        planned = {task.unit: task.provenance for task in plan.tasks if isinstance(task, Build)}
        keys = self.engine.project.models[self.name].unit_keys
        found: dict[Partition, list[tuple[Partition, int]]] = {}
        for unit in self.records:
            for values, rows in self._split(unit, keys, connection):
                found.setdefault(values, []).append((unit, rows))
        parts = Counter(unit for olds in found.values() for unit, _ in olds)
        for unit, olds in sorted(found.items()):
            old = tuple(each for each, _ in olds)
            fresh = unit in planned and not stale & {*old}
            provenance = planned[unit] if fresh else self._unknown(unit, old)
            yield NewUnit(unit, old, any(parts[each] > 1 for each in old), sum(n for _, n in olds), provenance)

    def _split(
        self, unit: Partition, keys: Sequence[str], connection: duckdb.DuckDBPyConnection
    ) -> list[tuple[Partition, int]]:
        """The new units that the rows of an old one belong to, each with the number of its rows."""
        if all(key in unit for key in keys):
            return [(unit.project(keys), self.records[unit].rows)]
        sql = query("matched_rows", rows=self.held.rows(unit), where="TRUE", keys=list(keys))
        found = connection.execute(sql).fetchall()
        return [(Partition.of(**dict(zip(keys, values, strict=True))), rows) for *values, rows in found]

    def _unknown(self, unit: Partition, old: Sequence[Partition]) -> Provenance:
        """Provenance of rows that would be built again, if their inputs are there."""
        records = [self.records[each] for each in old]
        version = digest([record.version for record in records])
        first = part_of(Provenance, records[0])
        return structs.replace(first, unit=unit.path, keys=self.keys, inputs={}, edges=(), version=version)

    def write(self, new: NewUnit, root: Path, connection: duckdb.DuckDBPyConnection) -> Published:
        """Write one new unit below ``root``."""
        model, olds = self.engine.project.models[self.name], [self.records[unit] for unit in new.old]
        rows = self.held.rows(*new.old)
        rows = only(rows, partition_predicate(new.unit)) if new.is_part else rows
        columns = columns_of(connection, rows) if model.inner_keys else {}
        types = {key: "VARCHAR" if columns[key].startswith("ENUM") else columns[key] for key in model.inner_keys}
        publication = Publication(
            **structs.asdict(new.provenance),
            build=new_build(),
            types=types,
            published_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            replaces=max(record.build for record in olds),
            edited=tuple(dict.fromkeys(text for record in olds for text in record.edited)),
        )
        stem, folder = f"data_{publication.build}", root / new.unit.path
        folder.mkdir(parents=True)
        path = folder if model.inner_keys else folder / f"{stem}.parquet"
        stamp = Stamp(self.name, self.held.table.reader.owner, stem, publication).to_json()
        into = Target(str(path), new.unit, stem, stamp, types)
        written = connection.execute(Compiler(self.engine.project).copy_rows(model, rows, into)).fetchall()[0][0]
        if written != new.rows:
            raise UsageError(
                f"model '{self.name}': {new.unit}: {written} rows instead of {new.rows}. Nothing was changed"
            )
        found = {str(path.relative_to(folder)): footers.read(path) for path in sorted(folder.rglob("*.parquet"))}
        alone = olds[0] if self.same_units else None
        record = record_of(StagedUnit(publication), found, alone.quarantine if alone is not None else {})
        return structs.replace(record, state=alone.state if alone is not None else "")

    def without_rows(self) -> list[Published]:
        """Records of units without files, which may have quarantined rows."""
        records = self.held.table.records.values() if self.same_units else ()
        return [structs.replace(record, keys=self.keys) for record in records if not record.files]

    def publish(self, built: Sequence[Published], staging: Path) -> None:
        """Swap the table in, and record it."""
        table, engine, old = self.held.table, self.engine, self.held.table.records
        for record in built:
            for name in record.quarantine:
                target = staging / "quarantine" / record.unit / name
                target.parent.mkdir(parents=True, exist_ok=True)
                storage.link_or_copy(table.beside / record.unit / name, target)
            if record.state:
                engine.states.take_over(self.name, record.partition, old[record.partition].build, record.build)
        table.verify_whole()
        for staged, target in ((staging / "quarantine", table.beside), (staging / "table", table.root)):
            faults.point("layout: to be changed")
            if staged.exists():
                swap.publish_folder(staged, target)
            else:
                swap.remove(target, staging / f"gone-{staged.name}", engine.project.lake)
        faults.point("layout: changed")
        engine.manifest.note(self.name, built, [unit for unit in old if unit not in {r.partition for r in built}])
        for record in built:
            engine.states.keep(self.name, record.partition, record.build)


def repartition(engine: Engine, name: str, dry_run: bool, wait: float) -> TableChange:
    """Write a table in the partitions that models.yaml says now."""
    refuse_in_store(engine.project.lake)
    with holding(engine, wait, dry_run) as read:
        table = engine.table(name)
        old = next((record.keys for record in table.records.values() if record.files), None)
        now = engine.project.models[name].output.partition_by
        if old is None or old == now:
            state = "nothing of it is published" if old is None else f"it is partitioned by ({', '.join(now)}) already"
            raise UsageError(f"model '{name}': {state}. Give it another output.partition_by in models.yaml first")
        held = read(name, _by(engine, name, old))
        held.units(Selection(()))
        change = Repartition(held, engine)
        change.check()
        with staging_connection(engine, settings=structs.replace(engine.settings, threads=1)) as (
            staging,
            connection,
        ):
            units = change.units(connection)
            told = [_told(change, new) for new in units]
            if not dry_run:
                built = [change.write(new, staging / "table", connection) for new in units]
                built += change.without_rows()
                change.publish(built, staging)
                told = [
                    structs.replace(part, files_after=len(record.files), bytes_after=record.bytes)
                    for part, record in zip(told, built, strict=False)
                ]
    return TableChange(name, tuple(told))


def _by(engine: Engine, name: str, keys: tuple[str, ...]) -> Engine:
    """The project in which a table is partitioned by other keys."""
    project: Project = engine.project
    model = project.models[name]
    output = model.output.model_copy(update={"partition_by": keys})
    config = model.config.model_copy(update={"output": output})
    models = {**project.models, name: structs.replace(model, config=config)}
    return Engine(structs.replace(project, models=models), engine.settings)


def _told(change: Repartition, new: NewUnit) -> Rewritten:
    olds = [] if new.is_part else [change.records[unit] for unit in new.old]
    files, size = sum(len(record.files) for record in olds), sum(record.bytes for record in olds)
    rows = sum(record.rows for record in olds) if olds else new.rows
    return Rewritten(new.unit.path, rows, new.rows, files, 1, size, size)
