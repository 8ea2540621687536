"""The command `columns`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, Json, open_engine, print_json, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from sqlgen.explore.columns import TableColumns
    from sqlgen.project.project import Project

EXIT_UNKNOWN = 1


def columns(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="The project file, and models: names, globs, tag:x.", metavar="[models.yaml] [MODEL]..."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, as in docs/columns.md.")] = False,
    json: Json = False,
) -> None:
    """Show every column of models: type, unit, formula or meaning, source paper.

    Exit code 1: the columns of some model are unknown before it is built.
    """
    from sqlgen.explore.columns import columns_of, references
    from sqlgen.project.selectors import named

    given = arguments or []
    files = [argument for argument in given if Path(argument).suffix in (".yaml", ".yml")]
    engine = open_engine(Path(files[0]) if files else DEFAULT_FILE)
    project = engine.project
    chosen = [argument for argument in given if argument not in files[:1]]
    tables = columns_of(engine, named(project, chosen) if chosen else project.order)
    papers = references(project)
    if json:
        print_json(_as_dict(project, tables, papers))
    elif markdown:
        from sqlgen.explore.columndocs import markdown as as_markdown

        typer.echo(as_markdown(project, tables, papers), nl=False)
    else:
        _print(terminal(), project, tables, papers)
    unknown = [table.model for table in tables if not table.columns]
    if unknown:
        why = "columns depend on the data, or on files of a source that has none yet"
        typer.echo(f"note: {', '.join(unknown)}: {why}", err=True)
        raise typer.Exit(EXIT_UNKNOWN)


def _as_dict(project: Project, tables: list[TableColumns], papers: dict[str, str]) -> dict[str, Any]:

    from sqlgen.explore.columns import cited

    models = {
        table.model: {
            "description": project.models[table.model].description,
            "template": project.models[table.model].config.sql,
            "columns": table.columns,
        }
        for table in tables
    }
    return {"models": models, "references": cited((c for table in tables for c in table.columns), papers)}


def _print(console: Console, project: Project, tables: list[TableColumns], papers: dict[str, str]) -> None:
    """A table per model on a terminal, and a line per column, with tabs, in a pipe."""
    from sqlgen.cli.console import plain

    if console.is_terminal:
        _print_tables(console, project, tables, papers)
        return
    for table in tables:
        for column in table.columns:
            papers_of = ", ".join(column.papers)
            plain(console, "\t".join((table.model, column.name, column.type, column.unit, column.meaning, papers_of)))


def _print_tables(console: Console, project: Project, tables: list[TableColumns], papers: dict[str, str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from sqlgen.explore.columns import cited, grouped, same_columns

    for same in same_columns(tables):
        for table in same:
            console.print(Text.assemble((table.model, "bold"), "  ", project.models[table.model].description))
        shown = Table("column", "type", "unit", "formula or meaning", box=None, pad_edge=False)
        for group in grouped(same[0].columns):
            first = group.columns[0]
            source = f" [{', '.join(first.papers)}]" if first.papers else ""
            meaning = Text.assemble(group.meaning, (source, "dim"))
            shown.add_row(Text("\n".join(group.names)), Text(first.type), Text(first.unit), meaning)
        console.print(shown)
        console.print()
    console.print(Text("q: price, u: size, 1: no unit; n, m: the numbers in the names of the columns", "dim"))
    for key, paper in cited((column for table in tables for column in table.columns), papers).items():
        console.print(Text(f"[{key}] {paper}", "dim"))
