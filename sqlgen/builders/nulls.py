"""Counts of rows whose value of a column cannot be known, by the footers of staged files."""

from __future__ import annotations

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from sqlgen.builders.rowchecks import RowChecks
from sqlgen.project.model import Model
from sqlgen.project.rowchecks import CheckCount
from sqlgen.templating.queries import query

Nulls = Sequence[tuple[str, int, int]]
"""Columns of a file, with their NULLs and rows."""


def nulls_of(model: Model, connection: duckdb.DuckDBPyConnection, files: Iterable[Path]) -> Mapping[str, Nulls]:
    """NULLs in files of a model whose template's header names columns under ``nulls``."""
    paths = [*map(str, files)] if model.header.nulls else []
    found: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for path, *counts in connection.execute(query("null_counts", files=paths)).fetchall() if paths else ():
        found[path].append((*counts,))
    return found


def note_nulls(checks: RowChecks, files: Iterable[Nulls]) -> None:
    """Add the NULLs of the columns that the template's header names under ``nulls`` to the task's report."""
    nulls, rows = Counter[str](), Counter[str]()
    for name, count, of in (each for columns in files for each in columns):
        nulls[name] += count
        rows[name] += of
    for pattern, reason in checks.model.header.nulls.items():
        for name in fnmatch.filter(nulls, pattern):
            checks.note(CheckCount(checks.model.name, name, "null", nulls[name], rows[name], reason))
