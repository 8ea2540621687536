"""Runs model tests: rows of the inputs, and the rows that the model must return.

Each test has its own lake in a temporary folder, on which the engine runs the model as ``run`` does.
"""

from __future__ import annotations

import concurrent.futures
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
from msgspec import Struct, structs

from sqlgen.compile.scope import Scan
from sqlgen.errors import SqlgenError
from sqlgen.lake.cpus import cpus
from sqlgen.modeltests.cases import Case, CaseLoader, expected_problems
from sqlgen.modeltests.compare import Difference, Tolerance, compare
from sqlgen.modeltests.file import Entry
from sqlgen.modeltests.kernelsplits import with_split_kernels
from sqlgen.modeltests.lake import LakeWriter, RowsError
from sqlgen.modeltests.outcome import Outcome
from sqlgen.modeltests.types import TypeBook
from sqlgen.modeltests.values import Row
from sqlgen.plan.selection import Selection
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.published.records import types_of
from sqlgen.run.engine import Engine
from sqlgen.run.machine import Settings
from sqlgen.templating.connection import confined
from sqlgen.templating.quoting import exact_path


def run_tests(project: Project, entries: Iterable[Entry]) -> list[Outcome]:
    """Check and run tests, several at once; their outcomes, in order.

    Raises :class:`sqlgen.errors.ConfigError`, before anything runs, if tests do not fit the project.
    """
    entries = [*entries]
    given = {entry.path("x").parent for entry in entries}
    with (
        tempfile.TemporaryDirectory(prefix="sqlgen-test-") as scratch,
        confined([Path(scratch), *given]) as connection,
    ):
        folder = Path(scratch)
        (folder / "types").mkdir()
        types = TypeBook(project, connection, folder / "types")
        cases = CaseLoader(project, connection, types).cases(entries)
        runner = _TestRunner(project, folder, connection, types)
        with concurrent.futures.ThreadPoolExecutor(cpus()) as pool:
            try:
                return list(pool.map(runner.run, range(len(cases)), cases))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


class _TestRunner(Struct):
    """Runs tests in temporary lakes."""

    project: Project
    folder: Path
    connection: duckdb.DuckDBPyConnection
    types: TypeBook

    def run(self, number: int, case: Case) -> Outcome:
        """Run one test."""
        begun = time.monotonic()
        lake = self.folder / str(number)
        lake.mkdir()
        entry = case.entry
        outcome = Outcome(entry.name, case.model.name, entry.where)
        try:
            table, error = self._build(case, lake)
            outcome = _judged(case, table, error.replace(f"{lake}/", ""), outcome)
        except RowsError as error:
            outcome = structs.replace(outcome, problems=(entry.problem(("given", error.input), str(error)),))
        return structs.replace(outcome, seconds=round(time.monotonic() - begun, 4))

    def _build(self, case: Case, lake: Path) -> tuple[pa.Table | None, str]:
        """The model's table (``None`` if it has no rows), or its error."""
        config = self.project.config.model_copy(update={"lake": str(lake), "state": ".sqlgen"})
        model = _in_folders(case)
        sources = {
            model_input.ref: model_input.source for model_input in model.inputs if model_input.source is not None
        }
        others = {name: source.model_copy(update={"lake": None}) for name, source in config.sources.items()}
        config = config.model_copy(update={"sources": {**others, **sources}})
        models = {**self.project.models, model.name: with_split_kernels(model)}
        project = structs.replace(self.project, config=config, models=models)
        with self.connection.cursor() as cursor:
            writer = LakeWriter(project, model, cursor)
            for name, rows in case.given.items():
                self._write_input(case, writer, next(entry for entry in model.inputs if entry.name == name), rows)
        engine = Engine(project, Settings(threads=1, instance=self.connection))
        given = case.entry.spec.given
        empty = any(not rows and given[name].raw is None for name, rows in case.given.items())
        try:
            report = engine.run(Selection((case.model.name,), allow_empty=empty))
        except SqlgenError as error:
            return None, str(error)
        failed = [*report.errors, *(result.error for result in report.tasks if result.error)]
        if failed:
            return None, "\n".join(map(_without_sql, failed))
        return _published(engine, case.model, self.connection), ""

    def _write_input(self, case: Case, writer: LakeWriter, model_input: ModelInput, rows: Sequence[Row]) -> None:
        entry = case.entry
        given = entry.spec.given[model_input.name]
        try:
            if given.raw is not None:
                writer.files(model_input, [entry.path(name) for name in given.raw], entry.spec.common)
            else:
                writer.rows(model_input, rows, self.types.of(case.model, model_input), given.times)
        except RowsError as error:
            error.input = model_input.name
            raise


def _in_folders(case: Case) -> Model:
    """The model of a test: sources with inline rows read hive folders, whatever their own layout."""
    given = {name for name, spec in case.entry.spec.given.items() if spec.raw is None}
    plain = {"pattern": "", "format": "auto"}
    inputs = (
        structs.replace(
            model_input,
            source=model_input.source.model_copy(
                update={"lake": None, **(plain if model_input.name in given else {})},  # a test has one lake
            ),
        )
        if model_input.source is not None
        else model_input
        for model_input in case.model.inputs
    )
    return structs.replace(case.model, inputs=tuple(inputs))


def _published(engine: Engine, model: Model, connection: duckdb.DuckDBPyConnection) -> pa.Table | None:
    """All rows of a table, partition by partition, in the order of its files."""
    root = engine.project.lake / model.output.path
    records = sorted(engine.manifest.load(model.name).items())
    files = [root / unit.path / name for unit, record in records for name in sorted(record.files)]
    if not files:
        return None
    types = types_of(record for _, record in records)
    scan = Scan(tuple(map(exact_path, files)), types=types)
    with connection.cursor() as cursor:
        return cursor.sql(engine.compiler(()).published_select(model.name, scan)).to_arrow_table()


def _judged(case: Case, table: pa.Table | None, error: str, outcome: Outcome) -> Outcome:
    spec = case.entry.spec
    if spec.expect_error is not None:
        rows = table.num_rows if table is not None else 0
        found = f"the error is:\n{error}" if error else f"the model returned {rows} rows"
        met = spec.expect_error in error
        return outcome if met else structs.replace(outcome, error=f"expected '{spec.expect_error}'; {found}")
    if error:
        return structs.replace(outcome, error=error)
    if table is None:
        missing = [Difference(number, "", row, None) for number, row in enumerate(case.expected, 1)]
        return structs.replace(outcome, differences=tuple(missing))
    problems = tuple(expected_problems(case, table))
    if problems:
        return structs.replace(outcome, problems=problems)
    tolerance = Tolerance(spec.tolerance, spec.absolute_tolerance)
    return structs.replace(outcome, differences=tuple(compare(case.expected, table, tolerance)))


def _without_sql(message: str) -> str:
    """The error of a task without the name of its SQL file, which is removed with the lake."""
    return "\n".join(line for line in message.splitlines() if not line.startswith("  SQL: "))
