"""Fields within objects of messages, as columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from sqlgen.detect.columns.names import SIDES
from sqlgen.detect.files.sniff import Sniffed


def flattened(sniffed: Sniffed) -> tuple[Sniffed, Mapping[str, str]]:
    """The file with fields of inner objects as columns, and the path of each; the outermost field of a name counts."""
    paths: dict[str, str] = {}
    records = []
    for record in sniffed.records:
        flat: dict[str, Any] = {}
        for path, value in sorted(_fields(record), key=lambda each: len(each[0])):
            name = "_".join(path[-2:]) if _is_side(path[:-1]) else path[-1]
            if paths.setdefault(name, ".".join(path)) == ".".join(path):
                flat[name] = value
        records.append(flat)
    return structs.replace(sniffed, columns=tuple(paths), records=tuple(records)), paths


def located(columns: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """A map of columns with the paths of flattened ones; names within levels stay."""
    inner = {name: value for name, value in columns.items() if name.startswith("level_")}
    outer = {
        name: paths.get(value, value) if isinstance(value, str) else [paths.get(one, one) for one in value]
        for name, value in columns.items()
    }
    return outer | inner


def _is_side(above: tuple[str, ...]) -> bool:
    """True of fields of a level, as in {"bid": {"price": 1, "size": 2}}."""
    return bool(above) and any(re.fullmatch(side, above[-1], re.IGNORECASE) for side in SIDES.values())


def _fields(record: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _fields(value, (*above, name))
        else:
            yield (*above, name), value
