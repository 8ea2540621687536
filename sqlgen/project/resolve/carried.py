"""Columns that models carry from the source of their first input: its sessions, and the time that is not ts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

from sqlgen.project.config import OTHER_TIMES, Config, Source
from sqlgen.project.model import ModelInput
from sqlgen.templating.header import Header
from sqlgen.templating.templates import Library


def carrying(
    config: Config, library: Library, ref: str, what: Literal["sessions", "other_time"], columns: Collection[str]
) -> Source | None:
    """Source whose ``columns`` the rows of a source or a model have, by the headers of templates; ``None`` if none."""
    read = set[str]()
    while ref not in config.sources:
        if ref not in config.models or ref in read:
            return None
        spec = config.models[ref]
        kept = not spec.columns or not {*columns}.isdisjoint(spec.columns)
        if not kept or not spec.inputs or not getattr(library.header(spec.sql), what):
            return None
        read.add(ref)
        ref = next(iter(spec.inputs.values())).ref
    return config.sources[ref]


def other_time(config: Config, library: Library, ref: str) -> str:
    """Column of the time that is not ts in the rows of a source or a model; empty if they have none."""
    source = carrying(config, library, ref, "other_time", OTHER_TIMES.values())
    return source.other_time if source is not None else ""


def carried_by(header: Header, inputs: Sequence[ModelInput]) -> dict[str, Any]:
    """Parameters of a model's kernels for the columns that it carries."""
    told = {"sessions": inputs[0].sessions is not None, "other_time": inputs[0].other_time} if inputs else {}
    return {name: value for name, value in told.items() if value and getattr(header, name)}
