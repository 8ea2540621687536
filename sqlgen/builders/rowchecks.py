"""The checks of one task: counts failing rows, stages quarantined ones, stops the task if a check demands it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import duckdb
from msgspec import Struct, field, structs

from sqlgen.compile import checksql, signsql
from sqlgen.compile.checksql import CheckedRows, FileRange
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan
from sqlgen.compile.statements import Target
from sqlgen.errors import TaskError, first_line
from sqlgen.lake import storage
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.project.model import Model
from sqlgen.project.rowchecks import Check, CheckCount, CheckFailed, sign_audits, unknown_columns
from sqlgen.published.quarantine import Quarantine
from sqlgen.sources.schemas import columns_of
from sqlgen.templating.connection import one
from sqlgen.templating.quoting import exact_path

First = Mapping[str, str]
"""A failing row, with the columns of :func:`checksql.counts`."""
Keys = tuple[str, ...]
"""Values of the keys of a unit; none where rows are of one unit."""


class Judged(Struct, frozen=True):
    """Outcome of some checks for one unit."""

    total: int = 0
    """Rows that were looked at."""
    failing: Sequence[tuple[int, First | None]] = ()
    """Per check, the number of failing rows and the first of them; none where there are no rows."""


Findings = Sequence[tuple[CheckedRows, Mapping[Keys, Judged]]]
"""Rows with some checks, and the outcome for each unit."""


class RowChecks(Struct):
    """Runs the checks of one task."""

    compiler: Compiler
    model: Model
    unit: Partition
    quarantine: Quarantine
    connection: duckdb.DuckDBPyConnection
    sql: list[str]
    """Each statement is added before it runs."""
    notes: list[str]
    """Notes for the user."""
    _counts: dict[tuple[str, str], CheckCount] = field(default_factory=dict)

    @property
    def aside(self) -> Path:
        """Folder for rows of the result that are not checked yet."""
        return self.quarantine.folder.with_name(f"{self.quarantine.folder.name}-unchecked")

    @property
    def counts(self) -> tuple[CheckCount, ...]:
        """Number of failing rows per check that ran."""
        return tuple(self._counts.values())

    def first(self, into: Target) -> Target:
        """First target of the result's rows: the staged file, or one set aside until the rows are checked."""
        if not self.model.config.checks:
            return into
        folder = self.aside / self.unit.path
        folder.mkdir(parents=True, exist_ok=True)
        return structs.replace(into, path=str(folder if self.model.inner_keys else folder / Path(into.path).name))

    def settle(self, into: Target, stem: str, old: Scan | None = None, findings: Findings | None = None) -> None:
        """Check the rows written to :meth:`first`, and stage those that pass; for mode merge, merged with ``old``.

        ``findings``: outcome of the checks, where it is known.
        """
        if not self.model.config.checks:
            return
        written = self.aside / self.unit.path
        files = sorted(written.rglob("*.parquet"))
        scan = Scan(tuple(map(exact_path, files)), types=into.types, alike=True)
        if findings is None:
            findings = self.judge_result(scan) if files else ()
        lost = self._lose(scan, stem, findings)
        if self.model.output.mode == "merge" and (files or old is not None):
            rows = self._table(scan) if files or old is None else f"{self._table(old)}\nWHERE false"
            self.execute(self.compiler.copy_checked(self.model, rows, into, old))
        elif lost:
            self.execute(self.compiler.copy_checked(self.model, self._table(scan), into))
        else:
            storage.move(files, written, Path(into.path) if self.model.inner_keys else Path(into.path).parent)
        shutil.rmtree(self.aside, ignore_errors=True)

    def _table(self, scan: Scan) -> str:
        """The rows of files in the layout of published ones."""
        return self.compiler.published_select(self.model.name, scan)

    def discard(self) -> None:
        """Remove staged files."""
        self.quarantine.discard()
        if self.model.config.checks:
            shutil.rmtree(self.aside, ignore_errors=True)

    def judge_result(self, scan: Scan, by: Sequence[str] = ()) -> Findings:
        """Run the checks of the model over rows of the result; ``by``: keys that tell their units apart."""
        rows = self._table(scan)
        checked = self.compiler.checked(self.model, rows, tuple(self.columns(rows)))
        library = self.compiler.project.library
        found = [checked] if checked.checks else []
        found += [
            structs.replace(checked, rows=signsql.judged(library, rows, check), checks=(check,))
            for check in sign_audits(self.model.config.checks)
        ]
        return [(each, self.judge(each, by)) for each in found]

    def _lose(self, scan: Scan, stem: str, findings: Findings) -> bool:
        """Apply the checks of the model to rows of the unit's result; true if some are removed."""
        found: list[CheckCount] = []
        for checked, judged in findings:
            mine = structs.replace(checked, rows=self._table(scan))
            found += self.apply(checked, judged, list, stem, lambda mine=mine: mine)  # type: ignore[misc]
        return any(count.rows and count.removes for count in found)

    def check(self, checked: CheckedRows, places_of: Callable[[], list[FileRange]], stem: str) -> list[CheckCount]:
        """Count the rows that fail each check, and apply its ``on_fail``."""
        return self.apply(checked, self.judge(checked), places_of, stem, lambda: checked)

    def apply(
        self,
        checked: CheckedRows,
        judged: Mapping[Keys, Judged],
        places_of: Callable[[], list[FileRange]],
        stem: str,
        own: Callable[[], CheckedRows],
    ) -> list[CheckCount]:
        """Apply ``on_fail`` of checks to this unit, whose rows are ``own``."""
        mine = judged.get((), judged.get(tuple(value for _, value in self.unit.values), Judged()))
        failing = mine.failing or [(0, None)] * len(checked.checks)
        places = places_of() if any(rows for rows, _ in failing) else []
        found = [
            signsql.counted(self.model, checked.of, check, rows, mine.total, _example(first, places))
            for check, (rows, first) in zip(checked.checks, failing, strict=True)
        ]
        for count in found:
            self.note(count)
        failed = [count for count in found if count.rows and count.on_fail == "fail"]
        if failed:
            raise CheckFailed(failed, self.counts)
        if any(count.rows and count.on_fail == "quarantine" for count in found):
            library = self.compiler.project.library
            select = checksql.quarantined(library, own(), dict(self.unit.values), places)
            self.quarantine.add(select, stem, self.connection, self.sql)
        return found

    def note(self, count: CheckCount) -> None:
        """Add counts and notes to the task's report."""
        old = self._counts.get((count.of, count.check))
        self._counts[count.of, count.check] = count if old is None else old + count

    def judge(self, checked: CheckedRows, by: Sequence[str] = ()) -> dict[Keys, Judged]:
        """Run checks over rows of one unit, or of several that the keys ``by`` tell apart."""
        try:
            self.execute(checksql.counts(self.compiler.project.library, checked, by))
        except duckdb.BinderException:
            self._explain(checked)
            raise
        found: dict[Keys, Judged] = {}
        for row in self.connection.fetchall():
            keys, total, values = row[: len(by)], row[len(by)], row[len(by) + 1 :]
            failing = list(zip(map(int, values[::2]), values[1::2], strict=True))
            found[tuple(map(str, keys))] = Judged(int(total), failing)
        return found

    def execute(self, sql: str) -> None:
        """Run one statement of the task."""
        self.sql.append(sql)
        self.connection.execute(one(self.connection, sql))

    def columns(self, select: str) -> dict[str, str]:
        """Names and types of the columns of a SELECT."""
        return columns_of(self.connection, select)

    def _explain(self, checked: CheckedRows) -> None:
        """Raise :class:`TaskError` where a check does not fit the rows."""
        types = self.columns(checked.rows)
        has = f"Its rows have: {', '.join(types)}"
        for check in checked.checks:
            whose = f"check '{check.title}' of '{checked.of}'"
            for missing in unknown_columns(check, list(types)):
                raise TaskError(f"{whose}: {missing} {has}")
            problem = self._problem(checked, check)
            if problem:
                said = ", ".join(f"{column} {types[column]}" for column in check.reads if column in types)
                raise TaskError(f"{whose} cannot be run: {problem}. {f'It is over {said}' if said else has}")

    def _problem(self, checked: CheckedRows, check: Check) -> str:
        """Error in one check."""
        alone = CheckedRows(checked.of, checked.rows, (check,), checked.keys, "false", checked.names)
        try:
            self.connection.execute(checksql.counts(self.compiler.project.library, alone))
        except duckdb.Error as error:
            return first_line(error)
        return ""


def _example(first: First | None, places: Sequence[FileRange]) -> str:
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
