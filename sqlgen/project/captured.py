"""Levels of a side that the rows of an input can show: those the feed sends at most, and those models keep."""

from __future__ import annotations

from typing import Literal

from sqlgen.project.model import Model, ModelInput, adapter_template
from sqlgen.project.project import Project

Captured = int | Literal["all"] | None
"""``None``: not known."""


def captured_levels(project: Project, model: Model, entry: ModelInput) -> Captured:
    """Levels of a side that rows of an input have at most: a side with fewer ends there, one with so many may go on."""
    if entry.source is not None:
        options = model.adapter_options[entry.name]
        stated = entry.source.captured_levels
        found = stated or project.library.captured_levels(adapter_template(entry.source.adapter), options)
        return _at_most(found, options.get("max_levels"))
    upstream = project.models[entry.ref]
    return _at_most(captured_levels(project, upstream, upstream.primary), upstream.options.get("max_levels"))


def _at_most(found: Captured, kept: int | None) -> Captured:
    if found is None or kept is None:
        return found
    return kept if found == "all" else min(found, kept)
