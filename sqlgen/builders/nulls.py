"""Counts of rows whose value of a column cannot be known, by the footers of staged files."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sqlgen.builders.rowchecks import RowChecks
from sqlgen.project.rowchecks import CheckCount


def count_nulls(checks: RowChecks, files: Iterable[Path]) -> None:
    """Add the NULLs of the columns that the template's header names under ``nulls`` to the task's report."""
    reasons = checks.model.header.nulls
    if not reasons:
        return
    import pyarrow.parquet as pq

    nulls, rows = Counter[str](), 0
    for path in files:
        footer = pq.read_metadata(path)
        rows += footer.num_rows
        for group in map(footer.row_group, range(footer.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                if column.statistics is not None and column.statistics.has_null_count:
                    nulls[column.path_in_schema] += column.statistics.null_count
    for pattern, reason in reasons.items():
        for name in fnmatch.filter(nulls, pattern):
            checks.note(CheckCount(checks.model.name, name, "null", nulls[name], rows, reason))
