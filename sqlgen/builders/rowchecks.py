"""The checks of one task: counts what fails, stages what is quarantined, stops the task where a check says so."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from sqlgen.builders.ownfiles import Files, places
from sqlgen.compile import checksql, signsql
from sqlgen.compile.adapters import advice
from sqlgen.compile.checksql import Checked, Place
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan
from sqlgen.compile.statements import Target
from sqlgen.compile.unitsql import everything
from sqlgen.errors import TaskError, TemplateError, first_line
from sqlgen.lake import storage
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.rowchecks import Check, CheckFailed, Count, sign_audits, unknown
from sqlgen.published.quarantine import Quarantine
from sqlgen.sources import digits
from sqlgen.sources.decode import Decoded
from sqlgen.sources.schemas import columns_of
from sqlgen.sources.survey import (
    NEAR,
    Stretch,
    Survey,
    digits_note,
    first_row,
    lost_rows,
    order_note,
    overlapping,
    price_note,
    repeated_note,
    told_row,
)
from sqlgen.templating.quoting import exact_path

First = Mapping[str, str]
"""A row that fails: what :func:`checksql.counts` tells of it."""

READABLE = "readable"
"""What reports and the quarantine say of a line that cannot be read."""
_BAD_LINES = "bad_lines"


@dataclass
class RowChecks:
    """Runs the checks of one task."""

    compiler: Compiler
    model: Model
    unit: Partition
    quarantine: Quarantine
    connection: duckdb.DuckDBPyConnection
    sql: list[str]
    """Each statement is added before it runs."""
    notes: list[str]
    """For the user."""
    _counts: dict[tuple[str, str], Count] = field(default_factory=dict)

    @property
    def aside(self) -> Path:
        """Folder for rows of the result that are not checked yet."""
        return self.quarantine.folder.with_name(f"{self.quarantine.folder.name}-unchecked")

    @property
    def counts(self) -> tuple[Count, ...]:
        """Of every check that ran, how many rows failed it."""
        return tuple(self._counts.values())

    def source(
        self, entry: ModelInput, scan: Scan, files: Files, decoded: Mapping[FileInfo, Decoded], stem: str
    ) -> None:
        """Tell what of a source cannot be read, and check its canonical rows.

        :class:`CheckFailed` where that stops the task.
        """
        assert entry.source is not None
        told = [file for file in files.all if files.told_here(file)]
        if told:
            self._unreadable(entry, told, decoded, stem)
        self._survey(entry, scan, files, decoded, stem)
        self.notes += [f"source '{entry.ref}': {note}" for note in self._lost_digits(entry, scan, told, decoded)]
        checked = self.compiler.checked_input(self.model, entry, scan)
        if checked.checks:
            self._check(checked, lambda: places(files, decoded, self.connection, self.compiler.project.lake), stem)

    def signs(self, entry: ModelInput, scan: Scan, beside: Mapping[str, Scan | None]) -> None:
        """Compare the sides of a source's trades with the quotes among the other inputs of the model."""
        assert entry.source is not None
        for check in sign_audits(entry.source.checks):
            for other in self.model.inputs:
                quotes = beside.get(other.name) if other is not entry else None
                select = self.compiler.input_rows(self.model, other, quotes) if quotes is not None else ""
                columns = list(self.columns(select)) if select else []
                trades = self.compiler.input_rows(self.model, entry, scan)
                rows = signsql.beside(self.compiler.project.library, trades, select, columns, check)
                if rows:
                    self._check(Checked(entry.ref, rows, (check,)), list, "")
                    break

    def _unreadable(
        self, entry: ModelInput, files: Sequence[FileInfo], decoded: Mapping[FileInfo, Decoded], stem: str
    ) -> None:
        """Set aside the lines that could not be decoded."""
        bad = [(file, line) for file in files if file in decoded for line in decoded[file].bad]
        if not bad:
            return
        file, line = bad[0]
        rows = pa.table(
            {
                "reason": [line.reason for _, line in bad],
                "file": [file.path for file, _ in bad],
                "line": [line.line for _, line in bad],
                "row": [line.text for _, line in bad],
            }
        )
        self.connection.register(_BAD_LINES, rows)
        try:
            first = f"line {line.line} of {file.path}: {line.reason}"
            total = sum(decoded[file].lines for file in files if file in decoded)
            self._set_aside(entry, READABLE, len(bad), total, first, everything(_BAD_LINES), stem)
        finally:
            self.connection.unregister(_BAD_LINES)

    def _lost_digits(
        self, entry: ModelInput, scan: Scan, files: Sequence[FileInfo], decoded: Mapping[FileInfo, Decoded]
    ) -> list[str]:
        """Notes on values with more digits than are kept, by the first file that has them in a column."""
        found: dict[str, str] = {}
        for file in files:
            lossy = decoded[file].lossy if file in decoded else self._lossy(entry, scan, file)
            for each in lossy:
                found.setdefault(each.column, digits_note(each, file.path))
        return list(found.values())

    def _lossy(self, entry: ModelInput, scan: Scan, file: FileInfo) -> tuple[digits.Lossy, ...]:
        """Of a Parquet file that is read as it is."""
        try:
            types = self.compiler.raw_columns(self.model, entry, scan)
        except TemplateError:  # an adapter that reads Parquet in its own way names no columns
            return ()
        spelled = self.compiler.spelled(self.model, entry, scan)
        columns = digits.Columns(types, spelled, *self.compiler.times(self.model, entry, scan))
        return digits.of_parquet(self.compiler.project.lake / file.path, columns)

    def _survey(
        self, entry: ModelInput, scan: Scan, files: Files, decoded: Mapping[FileInfo, Decoded], stem: str
    ) -> None:
        """Set aside the rows that their adapter leaves out because of their time; note times that go back."""
        assert entry.source is not None
        tolerance = entry.source.date_tolerance
        scan = dataclasses.replace(scan, predicate=None, survey=True)
        select = self.compiler.input_select(self.model, entry, scan)
        paths = [file.path for file in files.all]
        whole = [number for number, file in enumerate(files.all) if file not in decoded or not decoded[file].bad]
        survey = Survey.of(self.compiler.project.library, select, tolerance, paths, whole)
        self.execute(survey.statement)
        stretches = [Stretch(*row) for row in self.connection.fetchall()]
        if not self.compiler.csv(self.model, entry).lines:  # of which each has a time, or could not be read
            self._lose(entry, scan, files, stem, survey, stretches)
        mine = [each for each in stretches if files.has(each)]
        notes = [order_note(mine, paths), "" if entry.source.negative_prices else price_note(mine, paths)]
        together = overlapping(mine) if survey.has_ids else []
        if together:
            self.execute(survey.repeated(together))
            count, first, one, other = self.connection.fetchall()[0]
            if count:  # that is why times go back
                notes[0] = repeated_note(count, first, paths[one], paths[other])
        self.notes += [f"source '{entry.ref}': {note}" for note in notes if note]

    def _lose(
        self, entry: ModelInput, scan: Scan, files: Files, stem: str, survey: Survey, stretches: Sequence[Stretch]
    ) -> None:
        """Set aside the rows that their adapter leaves out because of their time."""
        assert entry.source is not None
        tolerance, paths = entry.source.date_tolerance, survey.paths
        told = [number for number, file in enumerate(files.all) if files.told_here(file)]
        here = [stretch for stretch in stretches if stretch.file in told]
        rows = sum(each.rows for each in here)
        if rows and rows == sum(each.lost for each in here) and set(told) == set(range(len(paths))):
            self._refuse(entry, paths, scan.files, here)
        for lost in lost_rows(here, tolerance):
            row = told_row(self.connection, scan.files[lost.file], lost.place)
            first = f"in {paths[lost.file]}: {lost.reason}: {row}"
            aside = survey.set_aside(told, lost.reason, lost.check == NEAR)
            self._set_aside(entry, lost.check, lost.rows, rows, first, aside, stem)

    def _refuse(
        self, entry: ModelInput, paths: Sequence[str], scanned: Sequence[str], found: Sequence[Stretch]
    ) -> None:
        """Raise :class:`TaskError`: no row of these files can be used."""
        assert entry.source is not None
        far = sum(each.far for each in found)
        said = f" ({far} have one that is far from their date: see date_tolerance)" if far else ""
        file = found[0].file
        more = f" and {len(paths) - 1} more file(s)" if len(paths) > 1 else ""
        first = first_row(self.connection, scanned[file])
        raise TaskError(
            f"source '{entry.ref}': {paths[file]}{more}: none of {sum(each.rows for each in found)} row(s) has a time"
            f" that can be used{said}. {first}.{advice(self.compiler.project.library, entry.source)}"
        )

    def _set_aside(
        self, entry: ModelInput, check: str, rows: int, total: int, first: str, select: str, stem: str
    ) -> None:
        assert entry.source is not None
        action = entry.source.unreadable
        count = Count(entry.ref, check, action, rows, total, first)
        self.note(count)
        if action == "fail":
            raise CheckFailed([count], self.counts)
        if action == "quarantine":
            named = {"keys": dict(self.unit.values), "source": entry.ref, "check": check, "select": select}
            select = self.compiler.project.library.render("publish/named_rows.sql.j2", **named)
            self.quarantine.add(select, stem, self.connection, self.sql)

    def first(self, into: Target) -> Target:
        """First target of the result's rows: the staged file, or one aside until they are checked."""
        if not self.model.config.checks:
            return into
        folder = self.aside / self.unit.path
        folder.mkdir(parents=True, exist_ok=True)
        return dataclasses.replace(into, path=str(folder if self.model.inner_keys else folder / Path(into.path).name))

    def settle(self, into: Target, stem: str, old: Scan | None = None) -> None:
        """Check what was written to :meth:`first`, and stage what stays; for mode merge, merged with ``old``."""
        if not self.model.config.checks:
            return
        written = Path(self.first(into).path)
        files = sorted(written.rglob("*.parquet")) if written.is_dir() else [written] if written.exists() else []
        scan = Scan(tuple(map(exact_path, files)), types=into.types, alike=True)
        lost = bool(files) and self._check_written(self._table(scan), stem)
        if self.model.output.mode == "merge" and (files or old is not None):
            rows = self._table(scan) if files or old is None else f"{self._table(old)}\nWHERE false"
            self.execute(self.compiler.copy_checked(self.model, rows, into, old))
        elif lost:
            self.execute(self.compiler.copy_checked(self.model, self._table(scan), into))
        else:
            storage.move(files, written, Path(into.path))
        shutil.rmtree(self.aside, ignore_errors=True)

    def _table(self, scan: Scan) -> str:
        """The rows of files that lie as published ones do."""
        return self.compiler.published_select(self.model.name, scan)

    def discard(self) -> None:
        """Remove what is staged."""
        self.quarantine.discard()
        shutil.rmtree(self.aside, ignore_errors=True)

    def _check_written(self, rows: str, stem: str) -> bool:
        """Check rows of the result; whether some of them do not stay."""
        names = tuple(self.columns(rows))
        checked = self.compiler.checked(self.model, rows, names)
        found = self._check(checked, list, stem) if checked.checks else []
        for check in sign_audits(self.model.config.checks):
            judged = signsql.judged(self.compiler.project.library, rows, check)
            self._check(dataclasses.replace(checked, rows=judged, checks=(check,)), list, stem)
        return any(count.rows and count.removes for count in found)

    def _check(self, checked: Checked, places_of: Callable[[], list[Place]], stem: str) -> list[Count]:
        """Count the rows that fail each check, and do what the checks say."""
        total, firsts = self._judge(checked)
        failing = any(rows for rows, _ in firsts)
        places = places_of() if failing else []
        found = [
            signsql.counted(self.model, checked.of, check, rows, total, _example(first, places))
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

    def columns(self, select: str) -> dict[str, str]:
        """Names and types of the columns of a SELECT."""
        return columns_of(self.connection, select)

    def _explain(self, checked: Checked) -> None:
        """Raise :class:`TaskError` where a check does not fit the rows."""
        types = self.columns(checked.rows)
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
            return first_line(error)
        return ""


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
