"""Numbers of decoded files that are NaN or infinite, and so count as missing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

_IN_MESSAGE = r'(?i)[:,\[]\s*"?[+-]?(nan|inf(inity)?|[0-9.]+e[+]?[0-9]*[3-9][0-9]{2})"?\s*[,}\]]'
"""Such a number in a message; 1e300 and more count as one."""
_ROWS = 1 << 14
"""Rows of a column that are looked at together."""


class NotFinite(Struct, frozen=True):
    """Numbers of one column that are not finite, or messages with such numbers."""

    column: str
    count: int
    example: str


def of_decoded(path: Path, types: Mapping[str, str], original_names: Mapping[str, str]) -> tuple[NotFinite, ...]:
    """Columns with such numbers of a Parquet file that DuckDB decoded from text. ``types``: column -> SQL type."""
    names = [name for name, kind in types.items() if kind == "JSON" or "DOUBLE" in kind]
    if not names:
        return ()
    counts, examples = dict.fromkeys(names, 0), dict.fromkeys(names, "")
    with pq.ParquetFile(path) as file:
        for leaf, groups in _suspects(file.metadata, names).items():  # many at once take ten times the memory
            name = max((name for name in names if f"{leaf}.".startswith(f"{name}.")), key=len)
            for batch in file.iter_batches(_ROWS, groups, columns=[leaf], use_threads=False):
                for odd in _odd(batch.column(0)):
                    examples[name] = examples[name] or _example(str(odd[0]))
                    counts[name] += len(odd)
    return tuple(
        NotFinite(original_names.get(name, name), count, examples[name]) for name, count in counts.items() if count
    )


def _suspects(footer: pq.FileMetaData, names: Sequence[str]) -> dict[str, list[int]]:
    """Leaves of the columns that may have such numbers, and the row groups in which they may."""
    found: dict[str, list[int]] = {}
    for place in range(footer.num_row_groups):
        group = footer.row_group(place)
        for chunk in (group.column(number) for number in range(footer.num_columns)):
            path = chunk.path_in_schema
            if any(f"{path}.".startswith(f"{name}.") for name in names) and not _has_finite_bounds(chunk):
                found.setdefault(path, []).append(place)
    return found


def _has_finite_bounds(chunk: pq.ColumnChunkMetaData) -> bool:
    """True if statistics say that all numbers are finite: DuckDB writes no bounds where one is NaN."""
    if chunk.physical_type in ("BOOLEAN", "INT32", "INT64"):
        return True
    bounds = chunk.statistics
    if bounds is None or chunk.physical_type not in ("DOUBLE", "FLOAT"):
        return False
    if not bounds.has_min_max:
        return bool(bounds.has_null_count and bounds.null_count == chunk.num_values)
    return math.isfinite(bounds.min) and math.isfinite(bounds.max)


def _example(text: str) -> str:
    """The number that a text is, or that is in a message."""
    found = re.search(_IN_MESSAGE, text)
    return found[0].strip(':,[]} "') if found else text


def _odd(values: pa.Array) -> Iterator[pa.Array]:
    """Numbers that are not finite, at any depth; messages with such a number."""
    import pyarrow.compute as pc  # planning loads this module, and decodes nothing

    if isinstance(values, pa.ExtensionArray):  # JSON
        values = values.storage
    if pa.types.is_list(values.type):
        yield from _odd(values.flatten())
    elif pa.types.is_struct(values.type):
        for field in values.flatten():
            yield from _odd(field)
    elif pa.types.is_floating(values.type):
        finite = pc.is_finite(values)
        if pc.min(finite).as_py() is False:
            yield values.filter(pc.invert(finite))
    elif pa.types.is_string(values.type) and len(found := values.filter(pc.match_substring_regex(values, _IN_MESSAGE))):
        yield found


def notes(found: Iterable[tuple[str, NotFinite]]) -> list[str]:
    """Notes on such columns of files, one a column. ``found``: path and finding."""
    columns: dict[str, list[tuple[str, NotFinite]]] = {}
    for path, each in found:
        columns.setdefault(each.column, []).append((path, each))
    return [_note(column, *of) for column, of in columns.items()]


def _note(column: str, first: tuple[str, NotFinite], *others: tuple[str, NotFinite]) -> str:
    path, found = first
    more = f" and {len(others)} more file(s)" if others else ""
    count = sum(each.count for _, each in (first, *others))
    return (
        f"{count} value(s) of column {column} are NaN or infinite, or have such a number in them, {found.example} for"
        f" example, in {path}{more}: these numbers count as missing"
    )
