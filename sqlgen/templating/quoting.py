"""Quoting of identifiers, literals, paths and comments in SQL, and indentation of SQL."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable
from typing import Any

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_ESCAPED = re.compile(rf"{_BREAK.pattern}|\\")
_SHORT = {"\n": r"\n", "\r": r"\r", "\\": r"\\"}
_PATTERN = re.compile(r"[*?\[]")
_QUOTED = r"""[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<dollar>\$\w*\$).*?(?P=dollar)"""
_PIECE = re.compile(rf"(?P<quoted>{_QUOTED}) | (?:\s | --[^\n]* | /\*.*?\*/)+", re.DOTALL | re.VERBOSE)
"""A quoted piece, or whitespace and comments."""

# SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'; a test compares.
RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric both case cast check collate column
    constraint create default deferrable desc describe distinct do else end except false fetch for
    foreign from group having in initially intersect into lambda lateral leading limit not null
    offset on only or order pivot pivot_longer pivot_wider placing primary qualify references
    returning select show some summarize symmetric table then to trailing true union unique unpivot
    using variadic when where window with
    """.split()  # noqa: SIM905  (a list of seventy quoted words is hard to read)
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
            return _text(str(value))


def json_path(name: str) -> str:
    """JSON path of a field by its name in models.yaml: ``data[0].price`` is within others."""
    parts = (re.fullmatch(r"(.*?)((?:\[\d+\])*)", part, re.DOTALL) for part in name.split("."))
    return "$" + "".join(f'."{match[1]}"{match[2]}' for match in parts if match is not None)


def is_nested(name: str) -> bool:
    """True if a name in models.yaml may be the path of a field within others."""
    return "." in name or name.endswith("]")


def quoted(text: str) -> str:
    """Write a text as a plain literal, where DuckDB takes no other: struct keys, COPY targets, COMMENT ON."""
    return "'" + text.replace("'", "''") + "'"


def _text(text: str) -> str:
    """``text`` as a literal on one line."""
    if "\0" in text:
        return "(" + " || chr(0) || ".join(_text(part) for part in text.split("\0")) + ")"
    if not _BREAK.search(text):
        return quoted(text)
    return "E" + quoted(_ESCAPED.sub(_escape, text))


def _escape(found: re.Match[str]) -> str:
    return _SHORT.get(found.group()) or "".join(f"\\x{byte:02x}" for byte in found.group().encode())


def exact_path(path: object) -> str:
    """The pattern by which DuckDB finds the file or folder of this name and no other.

    A path with a backslash has no such pattern; see :func:`sqlgen.lake.storage.list_files`.
    """
    return _PATTERN.sub(r"[\g<0>]", str(path))


def comment(text: object) -> str:
    """Make an SQL comment of every line of a text."""
    return "\n".join(f"-- {line}".rstrip() for line in str(text).replace("\0", " ").splitlines() or [""])


def indent(text: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    """SQL indented by ``width``, quoted text unchanged.

    ``first`` and ``blank``: indent the first line and blank lines too, as in Jinja's filter of this name.
    """
    lines = text.split("\n")
    inside = _continued(text) if any(map(_may_break, lines)) else frozenset()
    margin = " " * width
    moved = (
        line if number in inside or not (line or blank) or (number == 0 and not first) else margin + line
        for number, line in enumerate(lines)
    )
    return "\n".join(moved)


def filled(text: str, width: int = 116) -> str:
    """SQL with short lines joined up to ``width``, for the many similar columns of book levels.

    Lines of different depth are not joined, nor any if there are comments or multi-line quotes.
    """
    lines = text.split("\n")
    if "--" in text or any(map(_may_break, lines)):
        return text
    found: list[str] = []
    for line in lines:
        alike = bool(found) and found[-1].strip() and line.strip() and _depth(found[-1]) == _depth(line)
        if alike and len(found[-1].strip()) + len(line.strip()) < width:
            found[-1] += " " + line.strip()
        else:
            found.append(line)
    return "\n".join(found)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _may_break(line: str) -> bool:
    """False if no quote extends beyond the end of this line."""
    single, double = line.count("'"), line.count('"')
    return bool(single % 2 or double % 2 or (single and double)) or "$" in line or "\\'" in line


def _continued(text: str) -> frozenset[int]:
    """Numbers of the lines that begin inside a quote."""
    inside: set[int] = set()
    for piece in _PIECE.finditer(text):
        if piece["quoted"] and "\n" in piece.group():
            line = text.count("\n", 0, piece.start())
            inside.update(range(line + 1, line + 1 + piece.group().count("\n")))
    return frozenset(inside)


def outdent(text: str) -> str:
    """SQL moved to the left edge, quoted text unchanged."""
    inside = _continued(text)
    lines = list(enumerate(text.split("\n")))
    margin = min((_depth(line) for number, line in lines if line.strip() and number not in inside), default=0)
    return "\n".join(line if number in inside else line[margin:] for number, line in lines)


def masked(sql: str) -> str:
    """SQL with comments blanked and quotes masked, of the same length, to search for words and brackets."""
    return _PIECE.sub(lambda piece: ("x" if piece["quoted"] else " ") * len(piece.group()), sql)


def opens_quote(sql: str) -> bool:
    """True if ``sql`` ends inside a quote."""
    return not {"'", '"'}.isdisjoint(_PIECE.sub("", sql))


def bare(sql: str) -> str:
    """SQL without comments and layout; quoted text unchanged."""
    return _PIECE.sub(lambda piece: piece.group() if piece["quoted"] else " ", sql).strip()


def apart(names: Iterable[str]) -> dict[str, str]:
    """Name -> unique name in SQL, where ``t`` and ``T`` would clash."""
    found: dict[str, str] = {}
    for name in names:
        if name not in found:
            used = {other.lower() for other in found.values()}
            others = (f"{name} ({number})" for number in range(2, len(used) + 3))
            found[name] = next(other for other in (name, *others) if other.lower() not in used)
    return found
