"""Columns of models' tables, with type, unit, meaning and papers, for people and programs."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sqlgen.compile.compiler import Compiler
from sqlgen.errors import ConfigError, SqlgenError, UsageError, nearest
from sqlgen.project.project import Project
from sqlgen.run.engine import Engine
from sqlgen.templating import yamlfile

if TYPE_CHECKING:
    from sqlgen.run.binder import Binder

REFERENCES = "references.yaml"
"""File beside the templates: key of a paper, as descriptions cite it -> the paper."""

_PAPER = r"(?:cf\. )?[^\W\d_][^\[\],\d]* \d{4}[a-z]?"
_DESCRIPTION = re.compile(
    r"(?P<label>label: *)?"
    r"(?:(?P<unit>[^\s:]+(?:, [^\s:]+)?): +)?"
    r"(?P<meaning>.*?)"
    rf"(?: *\[(?P<papers>{_PAPER}(?:, {_PAPER})*)\])?"
)
_NUMBER = re.compile(r"\d+")
_ALONE = re.compile(r"(?<![\w.])\d+(?!\w|\.\d)")
"""A number in a text that is not part of a name or of another number."""
_BOUNDS = re.compile(r"(?P<said>.*?)(?P<bounds>(?:, -?\d+ to \d+)?)")
"""A meaning, and the bounds of the values at its end."""
_LETTERS = "nmkl"
NUMBERS = ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER", "HUGEINT")
"""SQL types of columns with numbers."""
_FEWEST = 3
"""Minimum number of columns that are shown as a range."""


class Described(Struct, frozen=True):
    """One column of a table."""

    name: str
    type: str
    unit: str
    """Empty if its description has none."""
    meaning: str
    papers: tuple[str, ...] = ()
    """Keys of references; with ``cf.`` if the column is a variant of the paper's measure."""
    is_label: bool = False
    """True if it depends on later rows."""

    @classmethod
    def of(cls, name: str, kind: str, text: str) -> Described:
        """A column with a description as ``label: unit: meaning [Paper 2014]``; all but the meaning is optional."""
        found = _DESCRIPTION.fullmatch(" ".join(text.split()))
        assert found is not None  # every part is optional
        papers = tuple(found["papers"].split(", ")) if found["papers"] else ()
        meaning = ("label: " if found["label"] else "") + found["meaning"]
        return cls(name, kind, found["unit"] or "", meaning, papers, bool(found["label"]))


class ColumnGroup(Struct, frozen=True):
    """Columns of one table that differ only in the numbers of their names and meanings."""

    columns: tuple[Described, ...]
    meaning: str
    """Meaning with letters for the numbers: n for the first in the name, m for the second."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names; for columns numbered without a gap, the first and the last with dots between them."""
        names = tuple(column.name for column in self.columns)
        numbers = [tuple(map(int, _NUMBER.findall(name))) for name in names]
        first = numbers[0][0] if len(numbers[0]) == 1 else 0
        if len(names) >= _FEWEST and numbers == [(first + place,) for place in range(len(names))]:
            return (f"{names[0]} ... {names[-1]}",)
        return names


class TableColumns(Struct, frozen=True):
    """Columns of the table of a model; none if they are unknown before it is built."""

    model: str
    columns: tuple[Described, ...]


def columns_of(engine: Engine, models: Iterable[str]) -> list[TableColumns]:
    """Columns of the tables of models, in the order of each table."""
    project, compiler = engine.project, engine.compiler(engine.project.order)
    with _binder(project, compiler) as binder:
        models = [*models]
        binder.bind(models)
        return [TableColumns(name, _described(project, compiler, name, binder.columns(name))) for name in models]


def known_column(name: str, column: str, known: Sequence[str]) -> str:
    """A column of a model or source as it is spelled; :class:`UsageError` with the nearest one if it has none."""
    found = next((one for one in known if one.lower() == column.lower()), None)
    if found is None:
        raise UsageError(f"{name} has no column '{column}'.{nearest(column, known)} It has: {', '.join(known)}")
    return found


def known_columns(project: Project, compiler: Compiler, models: Iterable[str]) -> dict[str, dict[str, str]]:
    """Model -> name and SQL type of its columns, without those that cannot be known, or whose SQL has a fault."""
    found: dict[str, dict[str, str]] = {}
    names = [*models]
    if not names:
        return found
    with _binder(project, compiler) as binder:
        for name in names:
            with contextlib.suppress(SqlgenError):
                found[name] = binder.columns(name)
    return {name: columns for name, columns in found.items() if columns}


@contextlib.contextmanager
def _binder(project: Project, compiler: Compiler) -> Iterator[Binder]:
    from sqlgen.run.binder import Binder  # loads PyArrow
    from sqlgen.run.binding import unoptimized

    with tempfile.TemporaryDirectory() as folder, unoptimized(folder, project, ()) as connection:
        yield Binder(project, compiler, {}, Path(folder), connection)


def _described(project: Project, compiler: Compiler, name: str, types: Mapping[str, str]) -> tuple[Described, ...]:
    texts = _texts(project, compiler, name)
    return tuple(Described.of(column, kind, texts.get(column, "")) for column, kind in types.items())


def _texts(project: Project, compiler: Compiler, name: str) -> dict[str, str]:
    """Descriptions of a model's columns; columns taken over from another model are described there."""
    found: dict[str, str] = {}
    for upstream in sorted(project.upstream(name)):
        found |= _texts(project, compiler, upstream)
    return found | compiler.compile(name).descriptions


def grouped(columns: Sequence[Described]) -> list[ColumnGroup]:
    """Columns in groups, in the order of the first column of each."""
    found: dict[tuple[object, ...], list[Described]] = {}
    for column in columns:
        stem, meaning = _NUMBER.sub("#", column.name), _lettered(column)
        found.setdefault((stem, column.type, column.unit, meaning, column.papers), []).append(column)
    return [
        ColumnGroup(tuple(members), _lettered(members[0]) if len(members) > 1 else members[0].meaning)
        for members in found.values()
    ]


def _lettered(column: Described) -> str:
    """The meaning of a column with letters for the numbers of its name."""
    letters = {int(number): letter for number, letter in zip(_NUMBER.findall(column.name), _LETTERS, strict=False)}
    said, bounds = _BOUNDS.fullmatch(column.meaning).group("said", "bounds")  # type: ignore[union-attr]
    return _ALONE.sub(lambda number: letters.get(int(number.group()), number.group()), said) + bounds


def same_columns(tables: Iterable[TableColumns]) -> list[list[TableColumns]]:
    """Tables grouped by equal columns, in the order of the first table of each."""
    found: dict[object, list[TableColumns]] = {}
    for table in tables:
        found.setdefault(table.columns or table.model, []).append(table)
    return [*found.values()]


def references(project: Project) -> dict[str, str]:
    """All papers by citation key: those of this package, and of the project."""
    found: dict[str, str] = {}
    for folder in reversed(project.library.folders):
        path = folder / REFERENCES
        document = yamlfile.load(path) if path.is_file() else yamlfile.Document(path, {})
        if not document.problems and not isinstance(document.data, dict):
            document.problems.append(document.problem((), "must map keys of papers (Cont 2014) to the papers"))
        if document.problems:
            raise ConfigError(document.problems)
        found |= {str(key): str(paper) for key, paper in document.data.items()}
    return found


def cited(columns: Iterable[Described], known: Mapping[str, str]) -> dict[str, str]:
    """Papers that columns cite, by key, in order; keys without an entry in a file of references are skipped."""
    keys = {paper.removeprefix("cf. ") for column in columns for paper in column.papers}
    return {key: known[key] for key in sorted(keys) if key in known}
