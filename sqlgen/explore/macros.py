"""Views that the macros of the catalog read: bars, books, trades, mid prices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlgen.project.project import Project

TRADE_BARS, BOOK_BARS, BOOKS = "trades/bars.sql.j2", "orderbook/bars.sql.j2", "orderbook/hf.sql.j2"


def views_of_macros(
    project: Project, filled: Collection[str], columns: Mapping[str, Mapping[str, str]]
) -> dict[str, list[str]]:
    """Kind of rows -> views with such rows: those that have any, otherwise one that tells why it has none.

    Args:
        project: the project.
        filled: sources and models with files.
        columns: columns of the models without files, as far as they are known.
    """

    def useful(names: Iterable[str]) -> list[str]:
        names = list(dict.fromkeys(names))
        return [name for name in names if name in filled] or [name for name in names if name in columns][:1]

    return {
        "bars": useful(_of_template(project, TRADE_BARS)) or useful(_of_template(project, BOOK_BARS)),
        "books": useful(_inputs(project, "orderbook")),
        "trades": useful(_inputs(project, "trades")),
        "mids": useful(_of_template(project, BOOKS)),
    }


def _of_template(project: Project, template: str) -> list[str]:
    return [name for name, model in project.models.items() if model.config.sql == template and not model.columns]


def _inputs(project: Project, name: str) -> list[str]:
    """Sources and models that the models read as one kind of rows."""
    return [entry.ref for model in project.models.values() for entry in model.inputs if entry.name == name]
