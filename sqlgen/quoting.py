"""SQL identifiers and literals: the only place where either is quoted."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")

# SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'; a test compares.
RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric both case cast check collate column
    constraint create default deferrable desc describe distinct do else end except false fetch for
    foreign from group having in initially intersect into lambda lateral leading limit not null
    offset on only or order pivot pivot_longer pivot_wider placing primary qualify references
    returning select show some summarize symmetric table then to trailing true union unique unpivot
    using variadic when where window with
    """.split()  # noqa: SIM905  (seventy quoted words are no list to read)
)


def ident(name: str) -> str:
    """Quote ``name`` as an SQL identifier, where it needs quotes."""
    if _PLAIN.match(name) and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """Write a Python value as an SQL literal; a list or tuple becomes a DuckDB list."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else f"CAST('{value}' AS DOUBLE)"
        case dt.datetime():
            return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
        case dt.date():
            return f"DATE '{value.isoformat()}'"
        case list() | tuple():
            return "[" + ", ".join(literal(item) for item in value) + "]"
        case _:
            return "'" + str(value).replace("'", "''") + "'"
