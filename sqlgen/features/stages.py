"""Stages of a SELECT: the CTEs of its WITH, and the SELECT over them."""

from __future__ import annotations

import re

from msgspec import Struct

from sqlgen.templating.quoting import masked, outdent

_WITH = re.compile(r"\s*WITH\s+(?!RECURSIVE\b)", re.IGNORECASE)
_TABLE = re.compile(r"\s*(?P<name>\w+)\s+AS\s+(?P<kept>MATERIALIZED\s+)?(?P<open>\()", re.IGNORECASE)
_NEXT = re.compile(r"\s*,")


class Stage(Struct, frozen=True):
    """One CTE of a WITH."""

    name: str
    """Name as SQL, quoted if need be."""
    sql: str
    comment: str = ""
    """Comment lines above it."""
    materialized: bool = False
    """It is computed once."""


def stages(select: str) -> tuple[tuple[Stage, ...], str]:
    """The stages of a SELECT, and the SELECT over them; no stages if it must stay one statement."""
    text = masked(select)
    start = _WITH.match(text)
    found: list[Stage] = []
    at = start.end() if start else 0
    while start is not None:
        table = _TABLE.match(text, at)
        end = _closing(text, table.end()) if table else None
        if table is None or end is None:
            return (), select
        notes = _comments(select[at : table.start("name")] if found else select[: table.start("name")])
        name, body = select[table.start("name") : table.end("name")], select[table.end("open") : end]
        if _reads(name, text[table.end("open") : end]):
            return (), select
        found.append(Stage(name, outdent(body.strip("\n").rstrip()), notes, bool(table["kept"])))
        following = _NEXT.match(text, end + 1)
        if following is None:
            return tuple(found), select[end + 1 :].strip("\n")
        at = following.end()
    return (), select


def _closing(text: str, at: int) -> int | None:
    """Position of the bracket that closes the one before ``at``."""
    depth = 1
    for bracket in re.compile(r"[()]").finditer(text, at):
        depth += 1 if bracket.group() == "(" else -1
        if depth == 0:
            return bracket.start()
    return None


def _reads(name: str, body: str) -> bool:
    """True if a stage reads a table of its own name, which a view cannot."""
    table = re.escape(name)
    own = re.search(rf"\b{table}\s+AS\s+(MATERIALIZED\s+)?\(", body, re.IGNORECASE)
    return own is None and re.search(rf"\b(FROM|JOIN)\s+{table}\b", body, re.IGNORECASE) is not None


def _comments(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip().startswith("--"))
