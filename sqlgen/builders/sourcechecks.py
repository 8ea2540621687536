"""Checks of source rows: unreadable lines, unusable times, and the checks of models.yaml."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct

from sqlgen.builders.ownfiles import OwnFiles, file_ranges
from sqlgen.builders.rowchecks import Judged, Keys, RowChecks
from sqlgen.compile import signsql
from sqlgen.compile.adapters import RawForm, advice
from sqlgen.compile.checksql import CheckedRows
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan
from sqlgen.compile.unitsql import everything
from sqlgen.errors import TaskError
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.rowchecks import CheckCount, CheckFailed, of_rows, sign_audits
from sqlgen.sources.digits import finite, parquet
from sqlgen.sources.digits.columns import Lossy, ReadColumns
from sqlgen.sources.schemas import positive_lists
from sqlgen.sources.survey import (
    NEAR,
    FileSpan,
    Survey,
    describe_row,
    digits_note,
    first_row,
    late_note,
    lost_rows,
    order_note,
    overlapping,
    passed_over,
    price_note,
    repeated_note,
    side_note,
)

if TYPE_CHECKING:
    from sqlgen.sources.decode import Decoded

READABLE = "readable"
"""Title of the check for unreadable lines, in reports and in the quarantine."""
MESSAGES = "messages"
"""Title of the count of messages that are passed over."""
_BAD_LINES = "bad_lines"


Spans = Sequence[FileSpan]


class Findings(Struct, frozen=True):
    """Findings in the files of one source, of one unit or of several."""

    form: RawForm
    columns: ReadColumns | None
    """Columns that are read of Parquet files."""
    has_ids: bool
    spans: Mapping[str, Spans]
    """File -> stretches of its rows."""
    checked: CheckedRows
    judged: Mapping[Keys, Judged]


class UnitSource(Struct, frozen=True):
    """One source of one unit."""

    checks: RowChecks
    entry: ModelInput
    files: OwnFiles
    scan_of: Callable[[], Scan]
    """Scan of these files."""
    decoded: Mapping[FileInfo, Decoded]
    stem: str

    def check(self, found: Findings) -> None:
        """Report unreadable lines and notes, and apply checks. :class:`CheckFailed` where that stops the task."""
        checks, files = self.checks, self.files.all
        reported = [file for file in files if self.files.reports_on(file)]
        if reported:
            self._unreadable(reported)
        here = [
            span._replace(file=number) for number, file in enumerate(files) for span in found.spans.get(file.path, ())
        ]
        self._pass_over([span for span in here if files[span.file] in reported])
        self._judge_times(bool(found.form.csv.lines), here, found.has_ids)
        notes = self._lost_digits(found, reported)
        checks.notes += [f"source '{self.entry.ref}': {note}" for note in notes]
        if found.checked.checks:
            lake = checks.compiler.project.lake
            checks.apply(
                found.checked,
                found.judged,
                lambda: file_ranges(self.files, self.decoded, checks.connection, lake),
                self.stem,
                lambda: checks.compiler.checked_input(checks.model, self.entry, self.scan_of()),
            )

    def signs(self, beside: Mapping[str, Scan | None]) -> None:
        """Compare the sides of a source's trades with the quotes among the other inputs of the model."""
        entry = self.entry
        assert entry.source is not None
        for check in sign_audits(entry.source.checks):
            for other in self.checks.model.inputs:
                quotes = beside.get(other.name) if other is not entry else None
                select = self.checks.compiler.input_rows(self.checks.model, other, quotes) if quotes is not None else ""
                columns = list(self.checks.columns(select)) if select else []
                trades = self.checks.compiler.input_rows(self.checks.model, entry, self.scan_of())
                rows = signsql.beside(self.checks.compiler.project.library, trades, select, columns, check)
                if rows:
                    self.checks.check(CheckedRows(entry.ref, rows, (check,)), list, "")
                    break

    def _unreadable(self, files: Sequence[FileInfo]) -> None:
        """Set aside the lines that could not be decoded."""
        decoded = self.decoded
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
            self._set_aside(READABLE, len(bad), total, first, everything(_BAD_LINES))
        finally:
            self.checks.connection.unregister(_BAD_LINES)

    def _pass_over(self, spans: Spans) -> None:
        """Count the messages of other channels and kinds."""
        number, kinds = passed_over(span.passed_over for span in spans)
        if number:
            total = number + sum(span.rows for span in spans)
            first = f"of {self.files.all[0].path}: {kinds}"
            self.checks.note(CheckCount(self.entry.ref, MESSAGES, "pass", number, total, first))

    def _lost_digits(self, findings: Findings, files: Sequence[FileInfo]) -> list[str]:
        """Notes on values that lose digits, or are not finite: per column, the first file that has some."""
        found: dict[str, str] = {}
        for file in files:
            lossy: Sequence[Lossy] = ()
            if file in self.decoded:
                lossy = self.decoded[file].lossy
            elif findings.columns is not None:
                path = f"{self.checks.compiler.project.lake}/{file.path}"
                lossy = parquet.of_parquet(self.checks.connection, path, findings.columns)
            for each in lossy:
                found.setdefault(each.column, digits_note(each, file.path, findings.form.format == "parquet"))
        odd = [(file.path, each) for file in files if file in self.decoded for each in self.decoded[file].not_finite]
        return [*found.values(), *finite.notes(odd)]

    def _judge_times(self, parsed: bool, spans: Spans, has_ids: bool) -> None:
        """Set aside the rows that the adapter drops because of their time; note times that go back."""
        assert self.entry.source is not None
        paths = [file.path for file in self.files.all]
        if not parsed:  # otherwise each line has a time, or could not be read
            self._lose(spans)
        mine = [each for each in spans if self.files.has(each)]
        notes = [
            order_note(mine, paths),
            late_note(mine, paths),
            "" if self.entry.source.negative_prices else price_note(mine, paths),
            side_note(mine, paths),
        ]
        together = overlapping(mine) if has_ids else []
        if together:
            self.checks.execute(self._survey.repeated(together))
            count, first, one, other = self.checks.connection.fetchall()[0]
            if count:  # that is why times go back
                notes[0] = repeated_note(count, first, paths[one], paths[other])
        self.checks.notes += [f"source '{self.entry.ref}': {note}" for note in notes if note]

    @property
    def _survey(self) -> Survey:
        return survey_of(
            self.checks.compiler, self.checks.model, self.entry, self.scan_of(), self.files.all, self.decoded
        )

    def _lose(self, spans: Spans) -> None:
        """Set aside the rows that the adapter drops because of their time."""
        assert self.entry.source is not None
        tolerance, files = self.entry.source.date_tolerance, self.files.all
        reported = [number for number, file in enumerate(files) if self.files.reports_on(file)]
        here = [span for span in spans if span.file in reported]
        rows = sum(each.rows for each in here)
        if rows and rows == sum(each.lost for each in here) and len(reported) == len(files):
            self._refuse(here)
        for lost in lost_rows(here, tolerance):
            row = describe_row(self.checks.connection, self.scan_of().files[lost.file], lost.place)
            first = f"in {files[lost.file].path}: {lost.reason}: {row}"
            aside = self._survey.set_aside(reported, lost.reason, lost.check == NEAR)
            self._set_aside(lost.check, lost.rows, rows, first, aside)

    def _refuse(self, found: Spans) -> None:
        """Raise :class:`TaskError`: no row of these files can be used."""
        assert self.entry.source is not None
        files = self.files.all
        far = sum(each.far for each in found)
        said = f" ({far} have one that is far from their date: see date_tolerance)" if far else ""
        file = found[0].file
        more = f" and {len(files) - 1} more file(s)" if len(files) > 1 else ""
        first = first_row(self.checks.connection, self.scan_of().files[file])
        raise TaskError(
            f"source '{self.entry.ref}': {files[file].path}{more}: none of {sum(each.rows for each in found)} row(s)"
            f" has a time that can be used{said}."
            f" {first}.{advice(self.checks.compiler.project.library, self.entry.source)}"
        )

    def _set_aside(self, check: str, rows: int, total: int, first: str, select: str) -> None:
        entry = self.entry
        assert entry.source is not None
        action = entry.source.unreadable
        count = CheckCount(entry.ref, check, action, rows, total, first)
        self.checks.note(count)
        if action == "fail":
            raise CheckFailed([count], self.checks.counts)
        if action == "quarantine":
            named = {"keys": dict(self.checks.unit.values), "source": entry.ref, "check": check, "select": select}
            select = self.checks.compiler.project.library.render("publish/named_rows.sql.j2", **named)
            self.checks.quarantine.add(select, self.stem, self.checks.connection, self.checks.sql)


def survey_of(
    compiler: Compiler,
    model: Model,
    entry: ModelInput,
    scan: Scan,
    files: Sequence[FileInfo],
    decoded: Mapping[FileInfo, Decoded],
) -> Survey:
    """Survey of the files of a scan."""
    assert entry.source is not None
    select = compiler.input_select(model, entry, dataclasses.replace(scan, predicate=None, survey=True))
    whole = [number for number, file in enumerate(files) if file not in decoded or not decoded[file].bad]
    paths = [file.path for file in files]
    return Survey.of(compiler.project.library, select, entry.source.date_tolerance, paths, whole)


def check_source(
    units: Sequence[UnitSource], scan: Scan, files: Sequence[FileInfo], by: Sequence[str] = ()
) -> dict[Partition, TaskError]:
    """Check one source of units, all by the same statements: the errors of those that are stopped.

    ``scan``: the ``files`` of all of them; ``by``: keys that tell the units apart.
    """
    checks, entry, decoded = units[0].checks, units[0].entry, units[0].decoded
    compiler, model = checks.compiler, checks.model
    form = compiler.raw_form(model, entry, units[0].files.source_files.layout)
    if not decoded and form.format == "parquet":
        lists = [form.original_names.get(name, name) for name, kind in (form.columns or {}).items() if kind[-1] == "]"]
        paths = (f"{compiler.project.lake}/{file.path}" for file in files)
        scan = dataclasses.replace(scan, positive_lists=positive_lists(checks.connection, paths, lists))
    survey = survey_of(compiler, model, entry, scan, files, decoded)
    checks.execute(survey.statement)
    spans: dict[str, list[FileSpan]] = collections.defaultdict(list)
    for span in (FileSpan(*row) for row in checks.connection.fetchall()):
        spans[survey.paths[span.file]].append(span)
    checked = CheckedRows(entry.ref, "", ())
    judged: Mapping[Keys, Judged] = {}
    if entry.source is not None and of_rows(entry.source.checks):
        checked = compiler.checked_input(model, entry, scan)
        judged = checks.judge(checked, by)
    columns = None
    if form.columns is not None:
        columns = ReadColumns(form.columns, form.original_names, form.times, form.time_unit)
    found = Findings(form, columns, survey.has_ids, spans, checked, judged)
    errors: dict[Partition, TaskError] = {}
    for unit in units:
        try:
            unit.check(found)
        except TaskError as error:
            errors[unit.checks.unit] = error
    return errors
