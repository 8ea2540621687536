"""Keys of a source's rows: from hive folders, a path pattern, or models.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from sqlgen.lake.partitions import hive_pairs
from sqlgen.lake.patterns import path_pattern
from sqlgen.project.config import Source

TIMES = ("ts", "bar_end", "bar_start")
"""Columns of the time of a row; the first that a table has counts."""


class ConfiguredKey(Struct, frozen=True):
    """A key that models.yaml gives: a fixed value, or a group of a pattern over the file's path."""

    value: str | None = None
    regex: str = ""
    group: int = 0
    encoded: bool = False
    """The value is percent-encoded, as in the names of hive folders."""


def fixed_keys(source: Source) -> dict[str, str]:
    """Keys with a fixed value in models.yaml."""
    return {
        key: value for key, value in (("exchange", source.exchange), ("symbol", source.symbol)) if value is not None
    }


def configured_keys(source: Source) -> dict[str, ConfiguredKey]:
    """Keys of a source that its ``pattern``, ``exchange`` and ``symbol`` give."""
    keys = {key: ConfiguredKey(value) for key, value in fixed_keys(source).items()}
    if source.pattern:
        pattern = path_pattern(source.pattern)
        regex = f"/{re.escape(source.folder)}/{pattern.regex}$"
        keys |= {key: ConfiguredKey(None, regex, group) for group, key in enumerate(pattern.keys, 1)}
    return keys


_DIGITS = 20


def natural_order(path: str) -> tuple[str, str]:
    """Sort key of a path by which part_2 comes before part_10; the same as ``natural_order`` in macros/rows.sql.j2."""
    padded = re.sub("([0-9]+)", "0" * _DIGITS + r"\1", path)
    return re.sub(f"0*([0-9]{{{_DIGITS}}})", r"\1", padded), path


def below(source: Source, path: str) -> str:
    """A file's path below the folder of its source."""
    return path[len(source.path) + 1 :]


def path_keys(source: Source, path: str) -> Mapping[str, str] | None:
    """Keys of one file by its path in the lake; ``None`` if the path does not match the source's pattern."""
    found = path_pattern(source.pattern).match(below(source, path)) if source.pattern else hive_pairs(path)
    return None if found is None else {**found, **fixed_keys(source)}
