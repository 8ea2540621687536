"""Bounds on the texts and lists that templates make: each doubling is quick, and forty of them are all memory."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from types import BuiltinMethodType
from typing import Any

MOST = 20_000_000
"""Characters of a text, items of a list, and characters that one rendering writes."""
_WIDEST = 10_000
"""Largest width in a format, or of an indentation."""
_METHODS = ("center", "ljust", "rjust", "zfill", "expandtabs", "replace", "join", "translate", "extend")
"""Methods of texts and lists whose result is larger than what they are given."""
FILTERS = ("center", "replace", "join", "format", "batch", "slice", "sum")
"""Filters whose result may be larger than what they are given."""
NEEDLESS = ("filesizeformat", "forceescape", "striptags", "urlize", "wordwrap", "xmlattr")
"""Jinja's filters for HTML."""


class TooLargeError(ValueError):
    """A text or list of a template that is out of all proportion."""


def check(size: int) -> None:
    """Refuse a size without proportion."""
    if size > MOST:
        raise TooLargeError(f"it makes a text or a list of more than {MOST:,} characters or items")


def size(value: Any) -> int:
    """Characters that a value takes as text, about; an integer counts as itself, as it may be a width."""
    total, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, str | bytes):
            total += len(one)
        elif isinstance(one, int):
            total += abs(one) if one is value else 10
        elif isinstance(one, Mapping):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            total += len(one)
            left += one
        check(total + len(left))
    return total


def listed(items: Iterator[Any]) -> Iterator[Any]:
    """The items of an iterator, as long as they are few and small."""
    total = 0
    for item in items:
        total += 1 + size([item])
        check(total)
        yield item


def check_call(function: Any, arguments: Iterable[Any]) -> None:
    """Check a method of a text or list before it is called."""
    owner = getattr(function, "__self__", None)
    if isinstance(function, BuiltinMethodType) and function.__name__ in _METHODS and isinstance(owner, str | list):
        check_growth(owner, arguments)


def check_growth(owner: Any, arguments: Iterable[Any]) -> None:
    """Check what may be repeated once for each part of another."""
    check((size(owner) + 1) * max((size(argument) for argument in arguments), default=1))


def check_format(text: Any, values: Iterable[Any]) -> None:
    """Check ``%`` and ``format`` of a text: widths are numbers in it, or values."""
    if isinstance(text, str):
        widest, nested = _widths(text) if len(text) <= _WIDEST else _widths.__wrapped__(text)
        if max([widest, *(value for value in values if nested and isinstance(value, int))]) > _WIDEST:
            raise TooLargeError(f"a width in {text[:40]!r} is more than {_WIDEST:,}")
        check(len(text) + sum(size(value) for value in values if not isinstance(value, int)))


@functools.lru_cache(maxsize=512)
def _widths(text: str) -> tuple[int, bool]:
    """The largest width that a format names, and whether it takes widths from values."""
    nested = "*" in text or any("{" in (spec or "") for _, _, spec, _ in _fields(text))
    return max((int(digits[:10]) for digits in re.findall(r"\d+", text)), default=0), nested


def _fields(text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return [*string.Formatter().parse(text)]
    except ValueError:  # braces that are no fields: of %, or a mistake that is told by format
        return []
