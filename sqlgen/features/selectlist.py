"""Output columns of a SELECT, read off its text."""

from __future__ import annotations

import re

from sqlgen.features.stages import stages
from sqlgen.templating.quoting import masked

_SELECT = re.compile(r"\s*select\b\s*(distinct\b)?", re.IGNORECASE)
_NAME = re.compile(r'(?:"(?P<quoted>(?:[^"]|"")+)"|\b(?!END\b)(?P<plain>[^\W\d]\w*))\Z', re.IGNORECASE)
_MARK = re.compile(r"[(\[{)\]},]|(?<!\bDISTINCT\s)\bFROM\b", re.IGNORECASE)


def output_columns(select: str) -> tuple[str, ...]:
    """Names of the columns of a SELECT in order; empty if its text does not say, as with ``*``."""
    last = stages(select)[1]
    names = [_name(item) for item in _items(last) if item]
    return tuple(name for name in names if name) if all(names) else ()


def _items(select: str) -> list[str]:
    """Items of a select list, without comments."""
    text = masked(select)
    start = _SELECT.match(text)
    if start is None:
        return []
    found, depth, at = [], 0, start.end()
    for mark in _MARK.finditer(text, start.end()):
        sign = mark.group()
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif depth == 0:
            found.append(_without_comments(select[at : mark.start()], text[at : mark.start()]))
            at = mark.end()
            if sign != ",":
                return found
    return [*found, _without_comments(select[at:], text[at:])]


def _without_comments(item: str, shown: str) -> str:
    """An item with blanks where the masked text has blanks."""
    return "".join(" " if hidden == " " else char for char, hidden in zip(item, shown, strict=True)).strip()


def _name(item: str) -> str:
    """Name of a column; empty if unknown."""
    found = _NAME.search(item)
    if found is None:
        return ""
    return (found["quoted"] or found["plain"]).replace('""', '"')
