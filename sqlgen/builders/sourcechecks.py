"""Checks of source rows: unreadable lines, unusable times, and the checks of models.yaml."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from sqlgen.builders.ownfiles import OwnFiles, file_ranges
from sqlgen.builders.rowchecks import RowChecks
from sqlgen.compile import signsql
from sqlgen.compile.adapters import advice
from sqlgen.compile.checksql import CheckedRows
from sqlgen.compile.scope import Scan, SourceLayout
from sqlgen.compile.unitsql import everything
from sqlgen.errors import TaskError
from sqlgen.lake.storage import FileInfo
from sqlgen.project.model import ModelInput
from sqlgen.project.rowchecks import CheckCount, CheckFailed, sign_audits
from sqlgen.sources import digits
from sqlgen.sources.decode import Decoded
from sqlgen.sources.survey import (
    NEAR,
    FileSpan,
    Survey,
    describe_row,
    digits_note,
    first_row,
    lost_rows,
    order_note,
    overlapping,
    price_note,
    repeated_note,
)

READABLE = "readable"
"""Title of the check for unreadable lines, in reports and in the quarantine."""
_BAD_LINES = "bad_lines"


@dataclass(frozen=True)
class SourceChecks:
    """Checks the sources of one task."""

    checks: RowChecks

    def source(
        self, entry: ModelInput, scan: Scan, files: OwnFiles, decoded: Mapping[FileInfo, Decoded], stem: str
    ) -> None:
        """Report the unreadable lines of a source, and check its canonical rows.

        :class:`CheckFailed` where that stops the task.
        """
        assert entry.source is not None
        reported = [file for file in files.all if files.reports_on(file)]
        if reported:
            self._unreadable(entry, reported, decoded, stem)
        self._survey(entry, scan, files, decoded, stem)
        self.checks.notes += [
            f"source '{entry.ref}': {note}" for note in self._lost_digits(entry, scan, reported, decoded)
        ]
        checked = self.checks.compiler.checked_input(self.checks.model, entry, scan)
        if checked.checks:
            self.checks.check(
                checked,
                lambda: file_ranges(files, decoded, self.checks.connection, self.checks.compiler.project.lake),
                stem,
            )

    def signs(self, entry: ModelInput, scan: Scan, beside: Mapping[str, Scan | None]) -> None:
        """Compare the sides of a source's trades with the quotes among the other inputs of the model."""
        assert entry.source is not None
        for check in sign_audits(entry.source.checks):
            for other in self.checks.model.inputs:
                quotes = beside.get(other.name) if other is not entry else None
                select = self.checks.compiler.input_rows(self.checks.model, other, quotes) if quotes is not None else ""
                columns = list(self.checks.columns(select)) if select else []
                trades = self.checks.compiler.input_rows(self.checks.model, entry, scan)
                rows = signsql.beside(self.checks.compiler.project.library, trades, select, columns, check)
                if rows:
                    self.checks.check(CheckedRows(entry.ref, rows, (check,)), list, "")
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
        self.checks.connection.register(_BAD_LINES, rows)
        try:
            first = f"line {line.line} of {file.path}: {line.reason}"
            total = sum(decoded[file].lines for file in files if file in decoded)
            self._set_aside(entry, READABLE, len(bad), total, first, everything(_BAD_LINES), stem)
        finally:
            self.checks.connection.unregister(_BAD_LINES)

    def _lost_digits(
        self, entry: ModelInput, scan: Scan, files: Sequence[FileInfo], decoded: Mapping[FileInfo, Decoded]
    ) -> list[str]:
        """Notes on values that lose digits: per column, the first file that has some."""
        found: dict[str, str] = {}
        for file in files:
            lossy = decoded[file].lossy if file in decoded else self._lossy(entry, scan, file)
            for each in lossy:
                found.setdefault(each.column, digits_note(each, file.path))
        return list(found.values())

    def _lossy(self, entry: ModelInput, scan: Scan, file: FileInfo) -> tuple[digits.Lossy, ...]:
        """Columns of a Parquet file, read without decoding, that lose digits."""
        form = self.checks.compiler.raw_form(self.checks.model, entry, SourceLayout(scan.format, scan.hive_keys))
        if form.columns is None:
            return ()
        columns = digits.ReadColumns(form.columns, form.original_names, form.times, form.time_unit)
        return digits.of_parquet(self.checks.compiler.project.lake / file.path, columns)

    def _survey(
        self, entry: ModelInput, scan: Scan, files: OwnFiles, decoded: Mapping[FileInfo, Decoded], stem: str
    ) -> None:
        """Set aside the rows that the adapter drops because of their time; note times that go back."""
        assert entry.source is not None
        tolerance = entry.source.date_tolerance
        scan = dataclasses.replace(scan, predicate=None, survey=True)
        select = self.checks.compiler.input_select(self.checks.model, entry, scan)
        paths = [file.path for file in files.all]
        whole = [number for number, file in enumerate(files.all) if file not in decoded or not decoded[file].bad]
        survey = Survey.of(self.checks.compiler.project.library, select, tolerance, paths, whole)
        self.checks.execute(survey.statement)
        spans = [FileSpan(*row) for row in self.checks.connection.fetchall()]
        if not self.checks.compiler.csv(
            self.checks.model, entry
        ).lines:  # of which each has a time, or could not be read
            self._lose(entry, scan, files, stem, survey, spans)
        mine = [each for each in spans if files.has(each)]
        notes = [order_note(mine, paths), "" if entry.source.negative_prices else price_note(mine, paths)]
        together = overlapping(mine) if survey.has_ids else []
        if together:
            self.checks.execute(survey.repeated(together))
            count, first, one, other = self.checks.connection.fetchall()[0]
            if count:  # that is why times go back
                notes[0] = repeated_note(count, first, paths[one], paths[other])
        self.checks.notes += [f"source '{entry.ref}': {note}" for note in notes if note]

    def _lose(
        self, entry: ModelInput, scan: Scan, files: OwnFiles, stem: str, survey: Survey, spans: Sequence[FileSpan]
    ) -> None:
        """Set aside the rows that the adapter drops because of their time."""
        assert entry.source is not None
        tolerance, paths = entry.source.date_tolerance, survey.paths
        reported = [number for number, file in enumerate(files.all) if files.reports_on(file)]
        here = [span for span in spans if span.file in reported]
        rows = sum(each.rows for each in here)
        if rows and rows == sum(each.lost for each in here) and set(reported) == set(range(len(paths))):
            self._refuse(entry, paths, scan.files, here)
        for lost in lost_rows(here, tolerance):
            row = describe_row(self.checks.connection, scan.files[lost.file], lost.place)
            first = f"in {paths[lost.file]}: {lost.reason}: {row}"
            aside = survey.set_aside(reported, lost.reason, lost.check == NEAR)
            self._set_aside(entry, lost.check, lost.rows, rows, first, aside, stem)

    def _refuse(
        self, entry: ModelInput, paths: Sequence[str], scanned: Sequence[str], found: Sequence[FileSpan]
    ) -> None:
        """Raise :class:`TaskError`: no row of these files can be used."""
        assert entry.source is not None
        far = sum(each.far for each in found)
        said = f" ({far} have one that is far from their date: see date_tolerance)" if far else ""
        file = found[0].file
        more = f" and {len(paths) - 1} more file(s)" if len(paths) > 1 else ""
        first = first_row(self.checks.connection, scanned[file])
        raise TaskError(
            f"source '{entry.ref}': {paths[file]}{more}: none of {sum(each.rows for each in found)} row(s) has a time"
            f" that can be used{said}. {first}.{advice(self.checks.compiler.project.library, entry.source)}"
        )

    def _set_aside(
        self, entry: ModelInput, check: str, rows: int, total: int, first: str, select: str, stem: str
    ) -> None:
        assert entry.source is not None
        action = entry.source.unreadable
        count = CheckCount(entry.ref, check, action, rows, total, first)
        self.checks.note(count)
        if action == "fail":
            raise CheckFailed([count], self.checks.counts)
        if action == "quarantine":
            named = {"keys": dict(self.checks.unit.values), "source": entry.ref, "check": check, "select": select}
            select = self.checks.compiler.project.library.render("publish/named_rows.sql.j2", **named)
            self.checks.quarantine.add(select, stem, self.checks.connection, self.checks.sql)
