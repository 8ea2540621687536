"""Where the keys of a source's rows stand: in hive folders, in a pattern of the path, or in models.yaml itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlgen.lake.partitions import hive_pairs
from sqlgen.lake.patterns import path_pattern
from sqlgen.project.config import Source


@dataclass(frozen=True)
class ConfiguredKey:
    """A key that neither hive folders nor rows hold: a fixed value, or a group of a pattern over the file's name."""

    value: str | None = None
    regex: str = ""
    group: int = 0
    encoded: bool = False
    """The text is that of a hive folder, which stands for others where it has ``%``."""


def fixed_keys(source: Source) -> dict[str, str]:
    """Keys that models.yaml itself gives."""
    return {
        key: value for key, value in (("exchange", source.exchange), ("symbol", source.symbol)) if value is not None
    }


def configured_keys(source: Source) -> dict[str, ConfiguredKey]:
    """What models.yaml says of the keys of a source's files."""
    given = {key: ConfiguredKey(value) for key, value in fixed_keys(source).items()}
    if source.pattern:
        pattern = path_pattern(source.pattern)
        regex = f"/{re.escape(source.path)}/{pattern.regex}$"
        given |= {key: ConfiguredKey(None, regex, group) for group, key in enumerate(pattern.keys, 1)}
    return given


_DIGITS = 20


def natural_order(path: str) -> tuple[str, str]:
    """Sort key of a path by which part_2 comes before part_10; the same as ``natural_order`` in macros/rows.sql.j2."""
    padded = re.sub("([0-9]+)", "0" * _DIGITS + r"\1", path)
    return re.sub(f"0*([0-9]{{{_DIGITS}}})", r"\1", padded), path


def below(source: Source, path: str) -> str:
    """A file's path below the folder of its source."""
    return path[len(source.path) + 1 :]


def path_keys(source: Source, path: str) -> Mapping[str, str] | None:
    """Keys of one file by its path in the lake; ``None`` where the path does not fit the source's pattern."""
    found = path_pattern(source.pattern).match(below(source, path)) if source.pattern else hive_pairs(path)
    return None if found is None else {**found, **fixed_keys(source)}
