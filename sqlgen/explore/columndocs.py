"""Columns of models' tables as Markdown: docs/columns.md, and the same for a user's project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlgen.explore.columns import ColumnGroup, TableColumns, cited, grouped, same_columns
from sqlgen.project.project import Project


def markdown(project: Project, tables: Sequence[TableColumns], papers: Mapping[str, str]) -> str:
    """A section per group of tables with the same columns, and the papers that they cite."""
    parts = [_section(project, same) for same in same_columns(tables)]
    listed = cited((column for table in tables for column in table.columns), papers)
    if listed:
        parts.append(
            "\n".join(["## References", "", *(f"- **{key}**: {_text(paper)}" for key, paper in listed.items())])
        )
    return "\n\n".join(parts) + "\n"


def _section(project: Project, same: Sequence[TableColumns]) -> str:
    rows = ["| column | type | unit | formula or meaning | source |", "|---|---|---|---|---|"]
    rows += [_row(group) for group in grouped(same[0].columns)]
    rows += _tags(project.models[same[0].model].header.tags)
    return "\n".join([f"## {', '.join(table.model for table in same)}", "", *_heads(project, same), "", *rows])


def _heads(project: Project, same: Sequence[TableColumns]) -> Iterator[str]:
    for table in same:
        model = project.models[table.model]
        inputs = " and ".join(f"`{entry.ref}`" for entry in model.inputs)
        made = f"template `{model.config.sql}` over {inputs}"
        kernels = ", ".join(f"`{name}`" for name in model.config.udfs)
        of = f"`{table.model}`: " if len(same) > 1 else ""
        text = f"{_text(model.description)} ({made}{f'; kernels {kernels}' if kernels else ''}).".strip()
        yield f"{'- ' if of else ''}{of}{text}"


def _tags(tags: Mapping[str, Sequence[str]]) -> list[str]:
    """Tags by which ``features`` chooses, with their columns."""
    lines = [f"- `tag:{tag}`: {', '.join(f'`{name}`' for name in names)}" for tag, names in tags.items()]
    return ["", "Tags:", "", *lines] if lines else []


def _row(group: ColumnGroup) -> str:
    first = group.columns[0]
    names = ", ".join(f"`{name}`" for name in group.names).replace(" ... ", "` ... `")
    cells = (names, first.type, _text(first.unit), _text(group.meaning), _text(", ".join(first.papers)))
    return "| " + " | ".join(cells) + " |"


def _text(text: str) -> str:
    """Text with Markdown's special characters escaped, also for tables."""
    for sign in "\\|*<":
        text = text.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return " ".join(text.split())
