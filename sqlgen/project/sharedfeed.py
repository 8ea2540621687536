"""Books and trades that are read from the same events: then the place in the feed orders those of one time."""

from __future__ import annotations

from sqlgen.project.config import Source
from sqlgen.project.model import Model, adapter_template
from sqlgen.project.project import Project


def shares_feed(project: Project, model: Model) -> bool:
    """True if the rows of a model and its trades are read from the same files of events, whose ``seq`` orders them."""
    rows, trades = _events(project, model), model.trades.source if model.trades is not None else None
    if rows is None or trades is None or rows is trades:
        return False
    of_rows, of_trades = (project.library.header(adapter_template(each.adapter)).feed for each in (rows, trades))
    same_files = (rows.path, rows.pattern) == (trades.path, trades.pattern)
    return bool(of_rows) and of_rows == of_trades and same_files


def _events(project: Project, model: Model) -> Source | None:
    """The source whose ``seq`` the rows of a model have: its own, or that of books that are made of it."""
    made = project.models.get(model.primary.ref) if model.primary.source is None else None
    if made is not None and made.chain is not None and any(kernel.keeps_seq for kernel in made.chain.kernels):
        return made.primary.source
    return model.primary.source
