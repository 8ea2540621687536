"""How one CSV file is written, as its first line shows."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlgen.errors import TaskError
from sqlgen.templating.header import CsvFormat

DELIMITERS = (",", ";", "\t", "|")
_QUOTE = '"'
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Dialect:
    """What a reader must be told of a file."""

    found: Mapping[str, str]
    """Column -> SQL type, in the order of the file; columns that are not read have names of their own."""
    header: bool
    csv: CsvFormat
    """Delimiter and quote as they are."""
    spaced: bool = False
    """Spaces follow the delimiters."""


def dialect_of(file: str, first: str, columns: Mapping[str, str], csv: CsvFormat) -> Dialect:
    """The dialect of a file by its first line; :class:`TaskError` where the columns cannot be in it.

    Args:
        file: for messages.
        first: its first line.
        columns: what is read, with SQL types; without a header in the order of the file, optional ones last.
        csv: how such files are usually written.
    """
    marks = dict.fromkeys((csv.delimiter, *DELIMITERS))
    splits = {mark: _split(first, mark) for mark in marks}
    required = [name for name in columns if name not in csv.optional]
    if csv.header is not False:
        for mark, fields in splits.items():
            if set(required) <= set(fields):
                return Dialect(_named(fields, columns), True, _written(csv, mark, first), f"{mark} " in first)
        usual = max(splits.values(), key=len)
        if csv.header is True or not any(_NUMBER.fullmatch(field) for field in usual):
            raise TaskError(_no_column(file, [name for name in required if name not in usual], usual))
    least = 1 + max(place for place, name in enumerate(columns) if name in required)
    for mark, fields in splits.items():
        if least <= len(fields) <= len(columns):
            names = list(columns)[: len(fields)]
            found = {name: columns[name] for name in names}
            return Dialect(found, False, _written(csv, mark, first), f"{mark} " in first)
    counts = ", ".join(f"{len(fields)} by {mark!r}" for mark, fields in splits.items() if len(fields) > 1)
    raise TaskError(
        f"{file}: its first line has {counts or 'one'} fields, and {_span(least, len(columns))} were expected:"
        f" {', '.join(columns)}. Is it the right adapter for this file?"
    )


def _split(line: str, mark: str) -> list[str]:
    fields = next(csv.reader([line], delimiter=mark), []) if _QUOTE in line else line.split(mark)
    return [field.strip() for field in fields] or [""]


def _written(usual: CsvFormat, mark: str, first: str) -> CsvFormat:
    """A file whose first line has fields in quotes has them in the others too."""
    edge = re.escape(mark)
    quoted = re.search(rf'(^|{edge})\s*"[^"]*"\s*({edge}|$)', first)
    return usual.model_copy(update={"delimiter": mark, "quote": _QUOTE if quoted else usual.quote})


def _named(fields: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The fields of a header with their types. A field may be empty or stand twice if it is not read."""
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
