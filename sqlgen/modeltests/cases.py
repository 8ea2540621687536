"""Model tests of a project: loading, selection, validation."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
from msgspec import Struct, structs

from sqlgen.errors import ConfigError, Problem, UsageError, nearest
from sqlgen.lake.partitions import KEYS
from sqlgen.lake.trust import how_to_trust, trusted
from sqlgen.modeltests.file import EXAMPLE, FOLDER, Entry, Expected, InputRows, find_files, read_tests
from sqlgen.modeltests.types import TypeBook
from sqlgen.modeltests.values import Row, read_rows
from sqlgen.project.checks import Checker
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.templating.yamlfile import Document, KeyPath

_SLIP = 0.75
"""Similarity from which a column that an adapter does not read counts as misspelt."""


class Case(Struct, frozen=True):
    """A valid test of the project."""

    entry: Entry
    model: Model
    """With the options of the test."""
    given: dict[str, tuple[Row, ...]]
    """Rows by input, with the common columns; raw files are in the entry."""
    expected: tuple[Row, ...]


def load_entries(project: Project) -> list[Entry]:
    """All tests beside models.yaml.

    Raises :class:`ConfigError` with every problem in their files, :class:`UsageError` if there are no tests.
    """
    folder = project.folder / FOLDER
    entries, problems = read_tests(find_files(folder))
    if problems:
        raise ConfigError(problems)
    if not entries:
        raise UsageError(f"no tests in {folder}. Write one, for example in {FOLDER}/bars.yaml:\n{EXAMPLE}")
    return entries


def choose(entries: Iterable[Entry], models: Iterable[str] | None, pattern: str | None) -> list[Entry]:
    """The tests of some models (``None``: of all) whose names contain ``pattern``, or match it if it is a glob."""
    entries = list(entries)
    wanted = set(models) if models is not None else None
    chosen = [entry for entry in entries if wanted is None or entry.spec.model in wanted]
    if pattern:
        glob = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
        chosen = [entry for entry in chosen if fnmatch.fnmatchcase(entry.name.lower(), glob.lower())]
    if not chosen:
        names = [entry.name for entry in entries]
        what = f"whose name matches '{pattern}'.{nearest(pattern, names)}" if pattern else "of the selected models."
        raise UsageError(f"there is no test {what} Tests: {', '.join(names)}")
    return chosen


class CaseLoader(Struct):
    """Makes cases of the entries of test files."""

    project: Project
    connection: duckdb.DuckDBPyConnection
    types: TypeBook

    def cases(self, entries: Iterable[Entry]) -> list[Case]:
        """The tests; :class:`ConfigError` with every problem found."""
        problems: list[Problem] = []
        cases = []
        for entry in entries:
            case = self._case(entry, problems)
            if case is not None:
                cases.append(case)
        if problems:
            raise ConfigError(problems)
        return cases

    def _case(self, entry: Entry, problems: list[Problem]) -> Case | None:
        before = len(problems)
        model = self._model(entry, problems)
        if model is None:
            return None
        problems += _input_problems(self.project.path, entry, model)
        if len(problems) > before:
            return None
        given = {}
        for name, source in entry.spec.given.items():
            rows = self._rows(entry, source, ("given", name), problems)
            given[name] = tuple({**entry.spec.common, **row} for row in rows)
            problems += self._column_problems(entry, model, name, given[name])
        expect = entry.spec.expect
        expected = self._rows(entry, expect, ("expect",), problems) if expect is not None else ()
        return Case(entry, model, given, expected) if len(problems) == before else None

    def _model(self, entry: Entry, problems: list[Problem]) -> Model | None:
        """The model with the options of the test."""
        known = self.project.models
        name = entry.spec.model
        if name not in known:
            message = f"unknown model '{name}'.{nearest(name, known)} Known: {', '.join(known)}"
            problems.append(entry.problem(("model",), message))
            return None
        if not entry.spec.options:
            return known[name]
        changed = known[name].config.model_copy(
            update={"options": {**known[name].config.options, **entry.spec.options}}
        )
        at: KeyPath = ("models", name)
        lines = {(*at, *keys[1:]): line for keys, line in entry.document.lines.items() if keys[:1] == (entry.name,)}
        config = self.project.config
        document = Document(entry.document.path, lines=lines)
        checker = Checker(config, document, self.project.library, self.project.folder / "udfs")
        for source, spec in config.sources.items():
            checker.source(source, spec)
        model = checker.model(name, changed)
        problems += [
            structs.replace(problem, path=entry.name + problem.path.removeprefix(f"models.{name}"))
            for problem in checker.problems
        ]
        return model

    def _rows(self, entry: Entry, written: Expected, keys: KeyPath, problems: list[Problem]) -> tuple[Row, ...]:
        if written.file is None:
            return written.rows or ()
        form, name = written.file
        path = entry.path(name)
        if not path.is_file():
            problems.append(entry.problem((*keys, form), f"no such file: {path}"))
            return ()
        try:
            return tuple(read_rows(path, form, self.connection))
        except duckdb.Error as error:
            problems.append(entry.problem((*keys, form), f"{path} cannot be read: {str(error).splitlines()[0]}"))
            return ()

    def _column_problems(self, entry: Entry, model: Model, name: str, rows: Iterable[Row]) -> Iterator[Problem]:
        """Columns that a table does not have, and columns of raw rows that look misspelt."""
        where = next(model_input for model_input in model.inputs if model_input.name == name)
        columns = self.types.of(model, where)
        named = dict.fromkeys(column for row in rows for column in row)
        unknown = [column for column in named if column not in {*columns, *KEYS}] if columns else []
        for column in unknown:
            meant = difflib.get_close_matches(column, [c for c in columns if c not in named], 1, _SLIP)
            if where.source is None:
                hint = nearest(column, columns)
                message = f"'{where.ref}' has no column '{column}'.{hint} It has: {', '.join(columns)}"
                yield entry.problem(_first(entry, name, column), message)
            elif meant:
                message = f"the adapter of '{where.ref}' reads no column '{column}'. Did you mean '{meant[0]}'?"
                yield entry.problem(_first(entry, name, column), message)


def _input_problems(project: Path, entry: Entry, model: Model) -> Iterator[Problem]:
    """Inputs that are unknown, missing, or of the wrong form."""
    inputs = {model_input.name: model_input for model_input in model.inputs}
    given = entry.spec.given
    readers: dict[str, str] = {}
    for name, rows in given.items():
        keys: KeyPath = ("given", name)
        if name not in inputs:
            message = f"model '{model.name}' has no such input.{nearest(name, inputs)} It has: {', '.join(inputs)}"
            yield entry.problem(keys, message)
            continue
        model_input = inputs[name]
        if model_input.ref in readers:
            message = f"it reads '{model_input.ref}' as '{readers[model_input.ref]}' does. Give the rows once, for both"
            yield entry.problem(keys, message)
        readers.setdefault(model_input.ref, name)
        yield from _raw_problems(project, entry, model_input, rows)
    for name, model_input in inputs.items():
        if name not in given and model_input.ref not in readers and not model_input.spec.optional:
            yield entry.problem(("given",), f"input '{name}' is missing. Give its rows; [] for none")


def _raw_problems(project: Path, entry: Entry, model_input: ModelInput, rows: InputRows) -> Iterator[Problem]:
    keys: KeyPath = ("given", model_input.name)
    for key, value in (("raw", rows.raw), ("times", rows.times)):
        if value is not None and model_input.source is None:
            message = f"'{model_input.ref}' is a model, not a source: give the rows of its table"
            yield entry.problem((*keys, key), message)
    for path in map(entry.path, rows.raw or ()):
        if not path.is_file():
            yield entry.problem((*keys, "raw"), f"no such file: {path}")
        elif not path.resolve().is_relative_to(project.parent) and not trusted(project):
            message = f"{path} lies outside of the project. Copy it. {how_to_trust(project)}"
            yield entry.problem((*keys, "raw"), message)


def _first(entry: Entry, name: str, column: str) -> KeyPath:
    """Path in the test file of the first occurrence of a column among the input rows."""
    rows = entry.spec.given[name].rows or ()
    number = next((number for number, row in enumerate(rows) if column in row), None)
    return ("common", column) if number is None else ("given", name, number, column)


def expected_problems(case: Case, table: pa.Table) -> Iterator[Problem]:
    """Columns that the table does not have, and, if rows are not partial, columns missing in a row."""
    known = table.schema.names
    unknown = {column: number for number, row in reversed(list(enumerate(case.expected))) for column in row}
    for column, number in unknown.items():
        if column not in known:
            hint = nearest(column, known)
            message = f"'{case.model.name}' has no column '{column}'.{hint} It has: {', '.join(known)}"
            yield case.entry.problem(("expect", number, column), message)
    if case.entry.spec.partial:
        return
    for number, row in enumerate(case.expected):
        left_out = [name for name in known if name not in row]
        if left_out:
            message = f"partial is false, and the row does not name {', '.join(left_out)}"
            yield case.entry.problem(("expect", number), message)
