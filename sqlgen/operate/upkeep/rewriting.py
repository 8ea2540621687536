"""Units whose files are replaced by others: staged, checked, swapped in one step, recorded. Rows come from SELECTs."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
from msgspec import Struct, field, structs

from sqlgen.compile.compiledmodel import digest
from sqlgen.compile.statements import Target
from sqlgen.errors import TaskError, UsageError, first_line
from sqlgen.lake import faults, storage, swap
from sqlgen.lake.lock import new_run_id
from sqlgen.lake.partitions import Partition
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.operate.upkeep.held import HeldTable, holding, refuse_in_store
from sqlgen.operate.upkeep.rewrites import Rewrite, Rewritten, TableChange
from sqlgen.published import footers
from sqlgen.published.footers import Stamp, new_build
from sqlgen.published.publication import Kept, Publisher
from sqlgen.published.quarantine import Quarantine
from sqlgen.published.records import Publication, Published, part_of
from sqlgen.published.versions import Versions
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings, connect
from sqlgen.templating.connection import folders_of, open_cursor
from sqlgen.templating.queries import query

Find = Callable[[HeldTable], Sequence[Rewrite]]


def change_tables(
    engine: Engine, names: Sequence[str], find: Find, dry_run: bool, wait: float, reads: Iterable[Path] = ()
) -> list[TableChange]:
    """Write the units anew that ``find`` finds in each table; of several tables, one that is refused does not stop.

    ``reads``: folders beside the lake that the SELECTs read.
    """
    found = []
    with holding(engine, wait, dry_run) as read:
        for name in names:
            try:
                held = read(name)
                changes = find(held)
                if any(len(held.names(change.unit)) > 1 for change in changes) or held.model.inner_keys:
                    refuse_in_store(held.table.root)
            except UsageError as error:
                if len(names) == 1:
                    raise
                found.append(TableChange(name, error=str(error)))
                continue
            done = [_forecast(held, one) for one in changes] if dry_run else Rewriter(held).run(changes, reads)
            edited = any(change.edit or change.restored for change in changes) and not all(part.error for part in done)
            readers = [
                other
                for other, model in engine.project.models.items()
                if edited and any(entry.source is None and entry.ref == name for entry in model.inputs)
            ]
            found.append(TableChange(name, tuple(done), readers=tuple(readers)))
    return found


@contextlib.contextmanager
def staging_connection(
    engine: Engine, staging: Path | None = None, settings: Settings | None = None, reads: Iterable[Path] = ()
) -> Iterator[tuple[Path, duckdb.DuckDBPyConnection]]:
    """A staging folder, which goes at the end, and a connection that writes there."""
    project = engine.project
    staging = staging or project.lake / storage.STAGING / new_run_id()
    temp = staging / "tmp"
    temp.mkdir(parents=True, exist_ok=True)
    folders = [*folders_of(project.lake, project.places), *reads]
    try:
        with connect(settings or engine.settings, folders, temp) as connection:
            yield staging, connection
    finally:
        swap.sweep(at_once=True)
        shutil.rmtree(staging, ignore_errors=True)


def _unchanged(held: HeldTable, unit: Partition) -> Rewritten:
    old = held.table.records.get(unit)
    if old is None:
        return Rewritten(unit.path, 0, 0, 0, 0, 0, 0)
    return Rewritten(old.unit, old.rows, old.rows, len(old.files), len(old.files), old.bytes, old.bytes)


def _forecast(held: HeldTable, change: Rewrite) -> Rewritten:
    """A unit as it would be; its bytes are not known."""
    before = _unchanged(held, change.unit)
    files = before.files_after if held.model.inner_keys else len(change.pieces) + len(change.retained)
    return structs.replace(before, rows_after=change.rows, files_after=files, matched=change.matched)


class Rewriter(Struct):
    """Writes units of one table anew."""

    held: HeldTable
    run_id: str = field(default_factory=new_run_id)
    _cursors: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    _published: collections.deque[Published] = field(default_factory=collections.deque)
    """Publications that are not recorded yet."""

    @property
    def staging(self) -> Path:
        return self.held.engine.project.lake / storage.STAGING / self.run_id

    def run(self, changes: Sequence[Rewrite], reads: Iterable[Path] = ()) -> list[Rewritten]:
        """Write units anew, each by itself: one that fails stays as it was, and the others go on.

        ``reads``: folders beside the lake that the SELECTs read.
        """
        if not changes:
            return []
        given = self.held.engine.settings
        inner, threads = bool(self.held.model.inner_keys), min(given.threads, len(changes))
        # One thread a unit; DuckDB's own only where a unit is alone, as several write inner partitions out of order.
        single, local = inner or threads > 1, mount_of(self.held.table.root) is None
        settings = structs.replace(given, threads=1 if single else given.threads, read_ahead=not (single and local))
        opened = staging_connection(self.held.engine, self.staging, settings, reads)
        with opened as (_, connection), contextlib.ExitStack() as ended, ThreadPoolExecutor(threads) as pool:
            ended.callback(self._record)
            try:
                parts = pool.map(lambda change: self._attempt(change, connection), changes)
                return [self._followed(part) for part in parts]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for cursor in [*self._cursors]:
                    cursor.interrupt()
                raise

    def _followed(self, part: Rewritten) -> Rewritten:
        """A unit that has ended, after what waits for the disk: this thread does it, so that no worker waits."""
        self._record()
        swap.sweep()
        return part

    def _record(self) -> None:
        """Record in one step the units that were published in the meantime."""
        records = [self._published.popleft() for _ in range(len(self._published))]
        self.held.engine.manifest.note(self.held.model.name, records)

    def _attempt(self, change: Rewrite, connection: duckdb.DuckDBPyConnection) -> Rewritten:
        before = _unchanged(self.held, change.unit)
        try:
            with open_cursor(connection, self._cursors) as cursor:
                new = self._rewrite(change, cursor)
        except (TaskError, duckdb.Error, OSError) as error:
            return structs.replace(before, error=f"{change.unit}: {first_line(error)}")
        return structs.replace(
            before, rows_after=new.rows, files_after=len(new.files), bytes_after=new.bytes, matched=change.matched
        )

    def _rewrite(self, change: Rewrite, cursor: duckdb.DuckDBPyConnection) -> Published:
        held, publication = self.held, self._publication(change)
        folder = self.staging / publication.build
        rows = self._stage(change, publication, folder, cursor)
        if rows != change.rows:
            raise TaskError(
                f"{rows:,} rows were written where {change.rows:,} were expected: does an expression give another"
                " result each time (random())? Nothing was replaced"
            )
        faults.point("maintenance: staged")
        project, output = held.engine.project, held.model.output
        versions = Versions.of_table(project.lake, output.path, output.keep_versions)
        publisher = Publisher(held.model, held.table.root, held.table, held.engine.states, versions)
        kept = self._kept(change, publication)
        record = publisher.rewrite(publication, kept, folder, self.staging / f"gone-{publication.build}")
        self._published.append(record)
        return record

    def _publication(self, change: Rewrite) -> Publication:
        old = self.held.table.records.get(change.unit)
        base = change.restored.record if change.restored is not None else self.held.table.records[change.unit]
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        edits = (*base.edited, f"{change.edit}, {now}") if change.edit else base.edited
        # A rewritten unit has the version of its rows; rows that come back, that which they had.
        same = change.restored is not None or not change.edit
        footer = self._footer(change)
        contributed = (*base.contributed, *(old.contributed if old is not None else ()))
        return structs.replace(
            part_of(Publication, base),
            build=new_build(),
            run_id=self.run_id,
            published_at=now,
            replaces=old.build if old is not None else base.build,
            edited=edits,
            version=base.version if same else digest(base.version, edits),
            contributed=tuple(dict.fromkeys(contributed)),
            sources=footer.sources if footer is not None else {},
            settings=footer.settings if footer is not None else {},
        )

    def _footer(self, change: Rewrite) -> Publication | None:
        """Record in a footer of the rows, which says more than the journal."""
        if change.restored is None:
            return self.held.table.footer(change.unit)
        name = next(iter(change.restored.record.files))
        return footers.read(change.restored.data / name).stamp.record

    def _kept(self, change: Rewrite, publication: Publication) -> Kept:
        """Quarantine and kernel state to which the new files belong."""
        table, old = self.held.table, self.held.table.records.get(change.unit)
        if change.restored is None:
            return Kept(table.records[change.unit])
        version, project = change.restored, self.held.engine.project
        if old is not None and old.quarantine.keys() == version.record.quarantine.keys():
            return Kept(version.record, version.state)
        stamp = Stamp(self.held.model.name, table.reader.owner, "", publication)
        folder = self.staging / f"quarantine-{publication.build}"
        quarantine = Quarantine(project.library, folder, table.beside / change.unit.path, project.lake, stamp)
        for name in version.record.quarantine:
            folder.mkdir(parents=True, exist_ok=True)
            storage.link_or_copy(version.quarantine / name, folder / name)
        quarantine.files = dict(version.record.quarantine)
        return Kept(version.record, version.state, quarantine)

    def _stage(self, change: Rewrite, publication: Publication, folder: Path, cursor: duckdb.DuckDBPyConnection) -> int:
        """Write the new files of a unit into a folder, beside those that stay; the number of rows in all of them."""
        held, model, stem = self.held, self.held.model, f"data_{publication.build}"
        rows, in_store = 0, mount_of(held.table.root) is not None
        if in_store:  # one request replaces the object of this name
            stem = next(iter(held.names(change.unit)), "data").removesuffix(".parquet")
        folder.mkdir(parents=True)
        for number, piece in enumerate(change.pieces):
            record = publication
            if piece.contributed:
                sources = {model.primary.name: [[*file] for file in piece.contributed]}
                record = structs.replace(publication, contributed=piece.contributed, sources=sources)
            stamp = Stamp(model.name, held.table.reader.owner, stem, record).to_json()
            name = stem if in_store else f"{stem}_{number}"
            path = folder if model.inner_keys else folder / f"{name}.parquet"
            into = Target(str(path), change.unit, stem, stamp, publication.types)
            if piece.files:
                done = cursor.execute(*held.copy_files(change.unit, piece.files, into))
            else:
                done = cursor.execute(held.compiler.copy_rows(model, piece.select, into))
            rows += int(done.fetchall()[0][0])
        for name in change.retained:
            storage.link_or_copy(held.folder(change.unit) / name, folder / name)
        if change.retained:
            files = [str(held.folder(change.unit) / name) for name in change.retained]
            rows += int(cursor.execute(query("row_count", files=files)).fetchall()[0][0])
        return rows
