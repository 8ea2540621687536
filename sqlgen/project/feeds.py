"""Feeds that models read: depth of their books, and books and trades that share a feed."""

from __future__ import annotations

from typing import Literal

from sqlgen.project.config import Source
from sqlgen.project.model import Model, ModelInput, adapter_template
from sqlgen.project.project import Project
from sqlgen.project.signs import TRADES

Captured = int | Literal["all"] | None
"""``None``: not known."""


def captured_levels(project: Project, model: Model, entry: ModelInput) -> Captured:
    """Most levels of a side in an input's rows: a side with fewer is complete, a full one may go on."""
    if entry.source is not None:
        options = model.adapter_options[entry.name]
        stated = entry.source.captured_levels
        found = stated or project.library.captured_levels(adapter_template(entry.source.adapter), options)
        return _at_most(found, options.get("max_levels"))
    upstream = project.models[entry.ref]
    return _at_most(captured_levels(project, upstream, upstream.primary), upstream.options.get("max_levels"))


def _at_most(found: Captured, limit: int | None) -> Captured:
    if found is None or limit is None:
        return found
    return limit if found == "all" else min(found, limit)


def shares_feed(project: Project, model: Model) -> bool:
    """True if the rows of a model and its trades come from the same event files, whose ``seq`` orders them."""
    trades = model.trades
    if trades is None or (events := _events(project, trades)) is None or events is _events(project, model.primary):
        return False
    return feed_of(project, model.primary) == feed_of(project, trades) is not None


def feed_of(project: Project, entry: ModelInput) -> tuple[str, str, str | None] | None:
    """The event files whose ``seq`` orders the rows of an input: the feed, and where they lie; ``None`` without any."""
    events = _events(project, entry)
    feed = project.library.header(adapter_template(events.adapter)).feed if events is not None else ""
    return (feed, events.path, events.pattern) if events is not None and feed else None


def _events(project: Project, entry: ModelInput) -> Source | None:
    """Source of the ``seq`` in the rows of an input: the input, or what a model made its books of, or signs."""
    made = project.models.get(entry.ref) if entry.source is None else None
    if made is not None and made.header.signs and (not made.chosen or "seq" in made.chosen):
        return _events(project, next(each for each in made.inputs if each.name == TRADES))
    if made is not None and made.pipeline is not None and any(kernel.keeps_seq for kernel in made.pipeline.kernels):
        return made.primary.source
    return entry.source
