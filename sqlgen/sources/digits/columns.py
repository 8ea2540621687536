"""Columns that an adapter reads, and the reasons why a value of one loses digits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct, structs

from sqlgen.sources.digits.scan import DOUBLE, NANOSECONDS, SHORTEST_COUNT, SHORTEST_TIME

_UNITS = {"s": 9, "ms": 6, "us": 3}
_FRACTION = re.compile(r"[+-]?\d*\.\d*[1-9]\d*")
DECIMAL = re.compile(r"\d+\.\d+|\d{18,}")
_TIME = re.compile(r"\d:\d\d[.,]\d{9}\d*[1-9]")
_COUNT = re.compile(r"\d{10}(\d{3}){0,3}\.\d+")
"""A time within a message, as a count since 1970 in a unit that its size tells."""
_FIELD = re.compile(r"[(,] ?(\w+) (U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?)\b")
"""A field of whole numbers in the SQL type of a nested column."""
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")
_NINE = "nine digits after the second are kept"
_NANOSECONDS = "nanoseconds are kept"
_SEVENTEEN = f"a 64-bit floating point number holds {DOUBLE} digits at most"


Value = tuple[str, str, str]
"""Column, text, and the reason why it loses digits; empty if it does not."""


class Lossy(Struct, frozen=True):
    """Values of one column of a file that lose digits."""

    column: str
    count: int
    """Their number, in Parquet among the first rows; 0 if the footer tells that there are some further on."""
    example: str
    why: str
    more: bool = False
    """True if there may be more of them."""


Suspects = Mapping[tuple[str, str], Callable[[Any], str]]
"""Column and its name in the files -> check of a value: the reason why it loses digits."""


@dataclass(frozen=True)
class ReadColumns:
    """Columns that an adapter reads."""

    types: Mapping[str, str]
    """Column -> SQL type."""
    original_names: Mapping[str, str]
    """Column -> its name in the files, where they differ."""
    times: Sequence[str] = ()
    """Timestamp columns."""
    unit: str = ""
    """Unit of timestamps that are counts since 1970."""
    suspects: dict[object, Suspects] = field(default_factory=dict, init=False, compare=False)
    """Columns of a kind of files -> those whose values may lose digits, as far as they have been asked for."""

    def fault(self, name: str, text: str, is_float: bool) -> str:
        """Reason why a value loses digits; empty if it does not. ``is_float``: the source has a float64."""
        kind, decimals = self.types[name], _UNITS.get(self.unit, 9)
        if kind in WHOLE:
            return f"it is read as whole numbers ({kind})" if _FRACTION.fullmatch(text) else ""
        if kind.startswith("DECIMAL"):
            limit = max(decimals - 3, 0) if is_float else decimals
            why = (
                "a floating point number (as all are in JSON) holds none below a microsecond, and nanoseconds are kept"
            )
            return why if re.search(rf"\.\d{{{limit}}}\d*[1-9]", text) else ""
        if kind == "VARCHAR":
            why = _NINE
            return why if name in self.times and re.search(r"[.,]\d{9}\d*[1-9]", text) else ""
        if kind == "DOUBLE" or "DOUBLE" in kind:
            return _SEVENTEEN if any(significant(found) > DOUBLE for found in DECIMAL.findall(text)) else ""
        return _of_message(text) if kind == "JSON" else ""

    def kept_decimals(self, is_float: bool) -> int:
        """Digits after the point that all columns keep of a time that is a count since 1970."""
        if any(kind in WHOLE for kind in self.types.values()):
            return 0
        decimals = _UNITS.get(self.unit, NANOSECONDS if "JSON" not in self.types.values() else 0)
        return max(decimals - 3, 0) if is_float else decimals

    @property
    def shortest(self) -> int:
        """Fewest characters of a number that is a time and may lose digits, or the part of one after a colon."""
        texts = self.times or any(("VARCHAR" in kind and "(" in kind) or kind == "JSON" for kind in self.types.values())
        return SHORTEST_TIME if texts and self.unit not in _UNITS else SHORTEST_COUNT

    @property
    def fields(self) -> dict[str, str]:
        """Types of the columns, and of the fields of whole numbers within nested ones."""
        inner = {name: kind for outer in self.types.values() for name, kind in _FIELD.findall(outer)}
        return inner | dict(self.types)

    def found(self, values: Iterable[Value], more: object = False) -> tuple[Lossy, ...]:
        """Lossy columns among values; ``more``: true in the end if not all were looked at."""
        counts: dict[str, Lossy] = {}
        for name, text, why in (value for value in values if value[2]):
            known = counts.get(name)
            first = known or Lossy(self.original_names.get(name, name), 0, text[:80], why)
            counts[name] = structs.replace(first, count=first.count + 1)
        return tuple(structs.replace(each, more=bool(more)) for each in counts.values())


def _of_message(text: str) -> str:
    """Reason why a value anywhere in a message loses digits; empty if it does not."""
    if _TIME.search(text):
        return _NINE
    if _COUNT.fullmatch(text):
        whole, _, fraction = text.partition(".")
        return _NANOSECONDS if len(fraction.rstrip("0")) > NANOSECONDS + 10 - len(whole) else ""
    return _SEVENTEEN if any("." in each and significant(each) > DOUBLE for each in DECIMAL.findall(text)) else ""


def significant(number: str) -> int:
    """Digits of a number without an exponent, zeros at both ends apart."""
    return len(number.replace(".", "").lstrip("0").rstrip("0"))
