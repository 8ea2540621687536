"""Files of model tests: their schema, and errors that name file and line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from sqlgen.errors import ConfigError, Problem, nearest
from sqlgen.modeltests.values import Row
from sqlgen.project.nodes import Names, Node
from sqlgen.templating import yamlfile
from sqlgen.templating.yamlfile import Document, KeyPath

FOLDER = "model_tests"
"""Beside models.yaml."""
EXAMPLE = """\
bars_of_two_trades:
  model: trades_bars
  given:
    trades:
      - {exchange: binance, symbol: BTC-USDT, timestamp: "2026-01-01 00:00:01", price: 100, amount: 1}
      - {exchange: binance, symbol: BTC-USDT, timestamp: "2026-01-01 00:01:00", price: 101, amount: 2}
  expect:
    - {bar_end: "2026-01-01 00:01:00", open: 100, volume: 1}"""


class Expected(Node):
    """Rows, here or in a file."""

    rows: tuple[Row, ...] | None = Field(None, description="The rows")
    csv: str | None = Field(None, description="File of the rows, relative to this one")
    parquet: str | None = Field(None, description="File of the rows, relative to this one")
    ndjson: str | None = Field(None, description="File of the rows, relative to this one")

    @model_validator(mode="after")
    def _one_place(self) -> Expected:
        ways = [name for name in type(self).model_fields if name != "times"]
        given = [name for name in ways if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"give rows in exactly one way: a list, or one of {', '.join(ways)}; found {found}")
        return self

    @property
    def file(self) -> tuple[str, str] | None:
        """Format and name of the file of the rows, if they are in one."""
        return next(((form, name) for form in ("csv", "parquet", "ndjson") if (name := getattr(self, form))), None)


class InputRows(Expected):
    """Rows of one input, here or in a file."""

    raw: Names | None = Field(None, description="Files of a source, read as they are, relative to this one")
    times: Literal["s", "ms", "us", "ns"] | None = Field(
        None, description="Unit of the source's clock, for times written as dates; ms by default"
    )


def _as_rows(value: Any) -> Any:
    return {"rows": value} if isinstance(value, list) else value


class ModelTest(Node):
    """Rows of the inputs of a model, and the rows that it must return."""

    model: str = Field(description="The model that is tested")
    description: str = Field("", description="One line for people")
    options: dict[str, Any] = Field({}, description="Options in place of those in models.yaml")
    common: dict[str, Any] = Field({}, description="Columns of all input rows that do not name them")
    given: dict[str, Annotated[InputRows, BeforeValidator(_as_rows, json_schema_input_type=list[Row] | InputRows)]] = (
        Field(min_length=1, description="Input of the model -> its rows")
    )
    expect: Annotated[Expected, BeforeValidator(_as_rows, json_schema_input_type=list[Row] | Expected)] | None = Field(
        None, description="The rows of the table, in its order"
    )
    expect_error: str | None = Field(None, min_length=1, description="Text of the error with which the model must fail")
    partial: bool = Field(True, description="false: every expected row names every column of the table")
    tolerance: float = Field(1e-9, ge=0, description="Relative tolerance of numbers")
    absolute_tolerance: float = Field(0.0, ge=0, description="Absolute tolerance of numbers")

    @model_validator(mode="after")
    def _one_end(self) -> ModelTest:
        if (self.expect is None) == (self.expect_error is None):
            raise ValueError("give either expect (rows; [] for none) or expect_error (text of the error)")
        return self


class Entry(Struct, frozen=True):
    """A test in its file."""

    name: str
    spec: ModelTest
    document: Document

    @property
    def where(self) -> str:
        """``file:line``."""
        return self.document.where((self.name,))

    def problem(self, keys: KeyPath, message: str) -> Problem:
        return self.document.problem((self.name, *keys), message)

    def path(self, name: str) -> Path:
        """Path of a file that the test names."""
        return self.document.path.parent / name


def find_files(folder: Path) -> list[Path]:
    """YAML files below ``folder``; names that start with ``.`` or ``_`` are skipped."""
    found = [path for pattern in ("*.yaml", "*.yml") for path in folder.rglob(pattern)]
    return sorted(path for path in found if not path.name.startswith((".", "_")))


def read_tests(paths: Iterable[Path]) -> tuple[list[Entry], list[Problem]]:
    """The tests of some files, and their errors."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            document = yamlfile.load(path)
        except ConfigError as error:
            problems += error.problems
            continue
        problems += document.problems
        if not isinstance(document.data, dict):
            problems.append(Problem(str(path), "", f"must map names to tests, for example:\n{EXAMPLE}"))
            continue
        for name, data in document.data.items():
            try:
                entries.append(Entry(name, ModelTest.model_validate(data), document))
            except ValidationError as error:
                problems += [_problem(document, name, details) for details in error.errors()]
    return entries, problems


def json_schema() -> dict[str, Any]:
    """JSON Schema of a file of model tests."""
    return TypeAdapter(dict[str, ModelTest]).json_schema()


def _problem(document: Document, name: str, details: ErrorDetails) -> Problem:
    keys: KeyPath = (name, *details["loc"])
    if keys not in document.lines:  # a list of rows is written without `rows`
        keys = tuple(key for key in keys if key != "rows")
    return document.problem(keys, _message(details))


def _message(details: ErrorDetails) -> str:
    location = details["loc"]
    node = ModelTest if len(location) < 2 else InputRows if location[0] == "given" else Expected
    fields = node.model_fields
    match details["type"]:
        case "extra_forbidden":
            return f"unknown key.{nearest(str(location[-1]), fields)} Allowed: {', '.join(sorted(fields))}"
        case "missing":
            return f"missing. It is needed: {fields[str(location[-1])].description}"
        case "value_error":
            return str(details["ctx"]["error"])
        case "model_type":
            return f"found {details['input']!r:.80}, expected a mapping. For example:\n{EXAMPLE}"
        case _:
            return f"found {details['input']!r:.80}: {details['msg']}"
