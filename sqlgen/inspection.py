"""The checks of one task: counts what fails, stages what is quarantined, stops the task where a check says so."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from sqlgen import checksql
from sqlgen.checksql import Checked, Place
from sqlgen.compiler import Compiler, Scan
from sqlgen.errors import TaskError
from sqlgen.listing import SourceListing
from sqlgen.model import Model, ModelInput
from sqlgen.partitions import KEYS, Partition
from sqlgen.plan import Slice
from sqlgen.quality import Check, CheckFailed, Count, unknown
from sqlgen.quarantine import Quarantine
from sqlgen.quoting import literal

First = Mapping[str, str]
"""A row that fails: what :func:`checksql.counts` tells of it."""

_ROWS_OF_FILES = {
    "parquet": "SELECT file_name, num_rows FROM parquet_file_metadata(?)",
    "ndjson": "SELECT filename, count(*) FROM read_ndjson_objects(?, filename = true) GROUP BY filename",
}
"""Format -> rows of each file, for the formats of which a file need not be read by its adapter."""


@dataclass(frozen=True)
class Files:
    """The files of a source that are checked."""

    lake: Path
    format: str
    keyed: bool
    """Every file belongs to one partition."""
    partitions: Mapping[Partition, tuple[str, ...]]
    """Partition -> paths of its files below the lake, in their order."""


def own_files(
    model: Model, slices: Iterable[Slice], listings: Mapping[str, SourceListing], lake: Path
) -> Iterator[tuple[ModelInput, Slice, Files]]:
    """What a task checks of its sources: its own partitions, each once, without those that it reads for lookback."""
    entries = {entry.name: entry for entry in model.inputs}
    seen: set[tuple[str, Partition]] = set()
    for part in slices:
        entry, listing = entries[part.name], listings.get(part.ref)
        if entry.source is None or listing is None or not entry.source.checks:
            continue
        read = {*part.files}
        found = {
            where: [file for file in listing.partitions[where] if file in read]
            for where in part.current
            if (part.ref, where) not in seen
        }
        seen |= {(part.ref, where) for where in found}
        files = tuple(dict.fromkeys(file for where in found for file in found[where]))
        paths = {where: tuple(file.path for file in found[where]) for where in found}
        if files:
            own = dataclasses.replace(part, current=tuple(found), before=(), files=files)
            yield entry, own, Files(lake, listing.layout.format, listing.keyed, paths)


@dataclass
class Inspection:
    """Runs the checks of one task."""

    compiler: Compiler
    model: Model
    unit: Partition
    quarantine: Quarantine
    connection: duckdb.DuckDBPyConnection
    sql: list[str]
    """Each statement is added before it runs."""
    _counts: dict[tuple[str, str], Count] = field(default_factory=dict)

    @property
    def aside(self) -> Path:
        """Folder for rows of the result that are not checked yet."""
        return self.quarantine.folder.with_name(f"{self.quarantine.folder.name}-unchecked")

    @property
    def counts(self) -> tuple[Count, ...]:
        """Of every check that ran, how many rows failed it."""
        return tuple(self._counts.values())

    def source(self, entry: ModelInput, scan: Scan, files: Files, stem: str) -> None:
        """Check the canonical rows of a source; :class:`CheckFailed` where that stops the task."""
        self._check(self.compiler.checked_input(self.model, entry, scan), files, stem)

    def target(self, path: Path) -> Path:
        """Where the rows of the result go first: to ``path``, or aside until they are checked."""
        if not self.model.config.checks:
            return path
        self.aside.mkdir(parents=True, exist_ok=True)
        return self.aside / path.name

    def settle(self, path: Path, stem: str, published: tuple[str, ...] = ()) -> None:
        """Check what was written to :meth:`target`, and write what stays to ``path``; for mode merge, merged."""
        if not self.model.config.checks:
            return
        written = self.target(path)
        files = sorted(map(str, written.rglob("*.parquet"))) if written.is_dir() else [str(written)]
        files = [file for file in files if Path(file).exists()]
        lost = bool(files) and self._check_written(files, stem)
        if self.model.output.mode == "merge" and (files or published):
            rows = _table(files) if files else f"{_table(published)}\nWHERE false"
            self.execute(self.compiler.copy_checked(self.model, rows, str(path), published))
        elif lost:
            self.execute(self.compiler.copy_checked(self.model, _table(files), str(path)))
        elif files:
            written.rename(path)

    def discard(self) -> None:
        """Remove what is staged."""
        self.quarantine.discard()
        shutil.rmtree(self.aside, ignore_errors=True)

    def _check_written(self, files: Sequence[str], stem: str) -> bool:
        """Check rows of the result; whether some of them do not stay."""
        rows = _table(files)
        names = tuple(name for name, _ in self._columns(rows))
        found = self._check(self.compiler.checked(self.model, rows, names), None, stem)
        return any(count.rows and count.removes for count in found)

    def _check(self, checked: Checked, files: Files | None, stem: str) -> list[Count]:
        """Count the rows that fail each check, and do what the checks say."""
        total, firsts = self._judge(checked)
        failing = any(rows for rows, _ in firsts)
        places = _places(files, self.connection) if failing and files is not None else []
        found = [
            Count(checked.of, check.title, check.on_fail, rows, total, _example(first, places))
            for check, (rows, first) in zip(checked.checks, firsts, strict=True)
        ]
        for count in found:
            self.note(count)
        failed = [count for count in found if count.rows and count.on_fail == "fail"]
        if failed:
            raise CheckFailed(failed, self.counts)
        if any(count.rows and count.on_fail == "quarantine" for count in found):
            library = self.compiler.project.library
            select = checksql.quarantined(library, checked, dict(self.unit.values), places)
            self.quarantine.add(select, stem, self.connection, self.sql)
        return found

    def note(self, count: Count) -> None:
        """Add to what the task reports."""
        old = self._counts.get((count.of, count.check))
        self._counts[count.of, count.check] = count if old is None else old + count

    def _judge(self, checked: Checked) -> tuple[int, list[tuple[int, First | None]]]:
        """How many rows there are, and of each check how many fail it, and the first of them."""
        try:
            self.execute(checksql.counts(self.compiler.project.library, checked))
        except duckdb.BinderException:
            self._explain(checked)
            raise
        total, *values = self.connection.fetchall()[0]
        return int(total), list(zip(map(int, values[::2]), values[1::2], strict=True))

    def execute(self, sql: str) -> None:
        """Run one statement of the task."""
        self.sql.append(sql)
        self.connection.execute(sql)

    def _columns(self, rows: str) -> list[Any]:
        return [row[:2] for row in self.connection.execute(f"DESCRIBE {rows}").fetchall()]

    def _explain(self, checked: Checked) -> None:
        """Raise :class:`TaskError` where a check does not fit the rows."""
        types = dict(self._columns(f"SELECT * FROM (\n{checked.rows}\n)"))
        has = f"Its rows have: {', '.join(types)}"
        for check in checked.checks:
            whose = f"check '{check.title}' of '{checked.of}'"
            for missing in unknown(check, list(types)):
                raise TaskError(f"{whose}: {missing} {has}")
            problem = self._problem(checked, check)
            if problem:
                said = ", ".join(f"{column} {types[column]}" for column in check.reads if column in types)
                raise TaskError(f"{whose} cannot be run: {problem}. {f'It is over {said}' if said else has}")

    def _problem(self, checked: Checked, check: Check) -> str:
        """What is wrong with one check."""
        alone = Checked(checked.of, checked.rows, (check,), checked.keys, "false", checked.names)
        try:
            self.connection.execute(checksql.counts(self.compiler.project.library, alone))
        except duckdb.Error as error:
            return str(error).strip().splitlines()[0]
        return ""


def _table(files: Sequence[str]) -> str:
    return f"SELECT *\nFROM read_parquet({literal(list(files))}, hive_partitioning = false)"


def _example(first: First | None, places: Sequence[Place]) -> str:
    """The first row that fails, in words."""
    if first is None:
        return ""
    where = [f"seq {first['seq']}"] if first.get("seq") is not None else []
    where += [f"at {first['ts']}"] if first.get("ts") is not None else []
    where += ["in " + "/".join(str(first[key]) for key in KEYS if key in first)]
    mine = [place for place in places if place.holds(first)]
    if mine:
        row = f", row {int(first['seq']) - mine[-1].first + 1}" if mine[-1].counted else ""
        where.append(f"({mine[-1].path}{row})")
    return f"{' '.join(where)}: {first['reason']}"


def _places(files: Files, connection: duckdb.DuckDBPyConnection) -> list[Place]:
    """Where the rows of each partition stand, as far as it is known."""
    if not files.keyed:
        paths = {path for found in files.partitions.values() for path in found}
        return [_place(where, 0, path, False) for where in files.partitions for path in paths if len(paths) == 1]
    several = [path for found in files.partitions.values() if len(found) > 1 for path in found]
    rows: dict[str, int] = {}
    if several and files.format in _ROWS_OF_FILES:
        query, paths_of = _ROWS_OF_FILES[files.format], {str(files.lake / path): path for path in several}
        rows = {paths_of[name]: int(count) for name, count in connection.execute(query, [list(paths_of)]).fetchall()}
    places = []
    for where, found in files.partitions.items():
        first = 0
        for path in found if len(found) == 1 or rows else ():
            if len(found) == 1 or rows.get(path):
                places.append(_place(where, first, path, True))
                first += rows.get(path, 0)
    return places


def _place(where: Partition, first: int, path: str, counted: bool) -> Place:
    return Place(where["exchange"], where["symbol"], where["date"], first, path, counted)
