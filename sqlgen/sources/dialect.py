"""Names of columns in the header of one file, and the dialect of a CSV file, detected in its first line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from sqlgen.errors import TaskError
from sqlgen.lake.remote import mounts
from sqlgen.sources import rawfile
from sqlgen.templating.header import CsvFormat

DELIMITERS = (",", ";", "\t", "|")
_QUOTE = '"'
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}((\.\d{3})+,|(,\d{3})+\.)\d+")
_NOT_CONVERTED = re.compile(r"""Could not convert string "([-+\d.,eE]+)\"""")
_TEXTS = ("VARCHAR", "JSON")


class Dialect(Struct, frozen=True):
    """Dialect of one CSV file."""

    found: Mapping[str, str]
    """Column -> SQL type, in file order; unread columns have made-up names."""
    header: bool
    csv: CsvFormat
    """Delimiter and quote of the file."""
    spaced: bool = False
    """True if spaces follow the delimiters."""

    @property
    def lines_before(self) -> int:
        """Lines before the first row."""
        return self.csv.title_lines + int(self.header)


def dialect_of(file: str, first: str, columns: Mapping[str, str], csv: CsvFormat, more: str = "") -> Dialect:
    """Dialect of a file by its first line; :class:`TaskError` if it lacks columns.

    Args:
        file: path, for messages.
        first: its first line.
        columns: columns to read, with SQL types; in file order if there is no header, optional ones last.
        csv: expected dialect.
        more: lines that follow, for quotes and decimal commas that the first one does not show.
    """
    marks = dict.fromkeys((csv.delimiter, *DELIMITERS))
    splits = {mark: split(first, mark) for mark in marks}
    required = [name for name in columns if name not in csv.optional]
    if csv.header is not False:
        for mark, fields in splits.items():
            if set(required) <= set(fields):
                found = _named(fields, columns)
                return Dialect(found, True, _written(csv, mark, found, first, more), f"{mark} " in first)
        usual = max(splits.values(), key=len)
        if csv.header is True or not any(_NUMBER.fullmatch(field) for field in usual):
            raise TaskError(_no_column(file, [name for name in required if name not in usual], usual))
    least = 1 + max(place for place, name in enumerate(columns) if name in required)
    for mark, fields in splits.items():
        if least <= len(fields) <= len(columns):
            names = list(columns)[: len(fields)]
            found = {name: columns[name] for name in names}
            return Dialect(found, False, _written(csv, mark, found, first, more), f"{mark} " in first)
    counts = ", ".join(f"{len(fields)} by {mark!r}" for mark, fields in splits.items() if len(fields) > 1)
    raise TaskError(
        f"{file}: its first line has {counts or 'one'} fields, and {_span(least, len(columns))} were expected:"
        f" {', '.join(columns)}. Is it the right adapter for this file?"
    )


def split(line: str, mark: str) -> list[str]:
    """Fields of a line; what stands in double quotes is one."""
    fields = next(csv.reader([line], delimiter=mark), []) if _QUOTE in line else line.split(mark)
    return [field.strip() for field in fields] or [""]


def _written(usual: CsvFormat, mark: str, columns: Mapping[str, str], first: str, more: str) -> CsvFormat:
    """CSV dialect with the delimiter found; quoted if one of the first lines is; a comma in numbers is decimal."""
    edge = re.escape(mark)
    text = f"{first}\n{more}"
    quoted = re.search(rf'(^|{edge})[ ]*"[^"\n]*"[ ]*({edge}|$)', text, re.MULTILINE)
    comma = mark != "," and any(_WITH_COMMA.fullmatch(cell) for cell in _numbers(text, mark, columns))
    decimal = usual.decimal or ("," if comma else ".")
    found = {"delimiter": mark, "quote": _QUOTE if quoted else usual.quote, "decimal": decimal}
    return usual.model_copy(update=found)


def _numbers(text: str, mark: str, columns: Mapping[str, str]) -> Iterator[str]:
    """Cells with a comma in columns that are read as numbers."""
    numbers = [kind not in _TEXTS for kind in columns.values()]
    for line in text.split("\n"):
        if "," in line:
            yield from (cell for cell, number in zip(split(line, mark), numbers, strict=False) if number)


def advice(csv: CsvFormat, reason: str) -> str:
    """Advice on a line that is rejected for this reason; empty unless marks in a number are at fault."""
    values = _NOT_CONVERTED.findall(reason)
    if any(_THOUSANDS.fullmatch(value) for value in values):
        return ". Marks between thousands are not read: write 1234.5 or 1234,5"
    if any(("." if csv.decimal == "," else ",") in value for value in values):
        return f". Its decimal mark is taken to be {csv.decimal!r}; option 'decimal' of generic adapters says another"
    return ""


def _named(fields: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Fields of a header with their types. Unread fields may be empty or duplicate."""
    found: dict[str, str] = {}
    for place, field in enumerate(fields, 1):
        if field in columns and field not in found:
            found[field] = columns[field]
        else:
            found[f"unread {place}"] = "VARCHAR"
    return found


def _no_column(file: str, missing: list[str], fields: list[str]) -> str:
    return (
        f"{file}: its header has no column {', '.join(missing)}. It has: {', '.join(fields)}."
        " Is it another schema version, or not what this adapter reads? If the key is in no column, give"
        " 'pattern', 'exchange' or 'symbol' in the source"
    )


def _span(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"


def twins(headers: Iterable[Sequence[str]]) -> tuple[frozenset[str], bool]:
    """Names, in lower case, of columns that differ in case only; True if files have them in different orders."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for header in headers:
        alike: dict[str, list[str]] = {}
        for name in header:
            alike.setdefault(name.lower(), []).append(name)
        for name, names in alike.items():
            if len(names) > 1:
                found.setdefault(name, set()).add(tuple(names))
    return frozenset(found), any(len(orders) > 1 for orders in found.values())


def header_of(path: Path, form: str) -> Sequence[str]:
    """Column names of a Parquet or CSV file; empty if it has none, or cannot be read."""
    (mounts.fetch_ends if form == "parquet" else mounts.fetch)([path])
    try:
        if form == "parquet":
            return list(pq.read_schema(path).names)
        line = rawfile.first_line(path) if form == "csv" else ""
        rows = [next(csv.reader([line], delimiter=mark, skipinitialspace=True), []) for mark in DELIMITERS]
        return max(rows, key=len)
    except (OSError, EOFError, ValueError, csv.Error, pa.ArrowException, TaskError):
        return ()
