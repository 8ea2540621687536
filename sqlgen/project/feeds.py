"""Feeds that models read: depth of their books, and books and trades that share a feed."""

from __future__ import annotations

from typing import Literal

from sqlgen.project.config import Source
from sqlgen.project.model import Model, ModelInput, adapter_template
from sqlgen.project.project import Project

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
    rows, trades = _events(project, model), model.trades.source if model.trades is not None else None
    if rows is None or trades is None or rows is trades:
        return False
    of_rows, of_trades = (project.library.header(adapter_template(each.adapter)).feed for each in (rows, trades))
    same_files = (rows.path, rows.pattern) == (trades.path, trades.pattern)
    return bool(of_rows) and of_rows == of_trades and same_files


def _events(project: Project, model: Model) -> Source | None:
    """Source of the ``seq`` in a model's rows: its own, or that of the books it reads."""
    made = project.models.get(model.primary.ref) if model.primary.source is None else None
    if made is not None and made.chain is not None and any(kernel.keeps_seq for kernel in made.chain.kernels):
        return made.primary.source
    return model.primary.source
