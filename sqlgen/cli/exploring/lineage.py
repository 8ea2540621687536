"""``sqlgen lineage``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqlgen.cli.arguments import DEFAULT_FILE, Json, ProjectFile, open_engine, print_json, refuse_others
from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from sqlgen.explore.lineage.columns import ProjectLineage
    from sqlgen.run.engine import Engine


def lineage(
    name: Annotated[str, typer.Argument(metavar="NAME[.COLUMN]", help="A model or source, or a column of it.")],
    file: ProjectFile = DEFAULT_FILE,
    down: Annotated[bool, typer.Option("--down", help="What is made from it instead.")] = False,
    json: Json = False,
) -> None:
    """Show what a model or a column is made from, down to the source files, as a tree.

    Exit code 2: there is no such model, source or column.
    """
    from sqlgen.explore.lineage.columns import ProjectLineage
    from sqlgen.project.selectors import check_name

    dataset, _, column = name.partition(".")
    engine = open_engine(file)
    check_name(engine.project, dataset)
    found = ProjectLineage.of(engine)
    if column:
        _column(found, dataset, column, down, json)
    else:
        _dataset(found, dataset, down, json)


def _column(found: ProjectLineage, dataset: str, column: str, down: bool, json: bool) -> None:
    from sqlgen.explore.lineage.trees import column_dict, column_tree

    node = found.column(dataset, column)
    if down:
        users = found.users(dataset, column)
        if json:
            print_json([{"dataset": one.dataset, "column": one.column, "made": one.made} for one in users])
        elif not users:
            typer.echo(f"no column of a model is made of {dataset}.{node.column}", err=True)
        else:
            _print(f"{one.dataset}.{one.column}{' = ' if one.made else ''}{one.made}" for one in users)
    elif json:
        print_json(column_dict(node))
    else:
        _print(column_tree(node).lines())


def _dataset(found: ProjectLineage, name: str, down: bool, json: bool) -> None:
    from sqlgen.explore.lineage.trees import makers, model_tree, users

    project = found.engine.project
    if down and not json:
        _print(users(project, name))
        return
    reads = {one: found.reads(one) for one in [name, *makers(project, name)] if one in project.models}
    if json:
        columns: dict[str, Any] = {}
        for column in found.columns(name):
            node = found.column(name, column)
            columns[column] = {"made": node.made, "from": [*dict.fromkeys(str(one) for one in node.nearest())]}
        print_json(
            {
                "name": name,
                "made_from": makers(project, name),
                "makes": users(project, name),
                "reads": reads.get(name, {}),
                "columns": columns,
            }
        )
    else:
        _print(model_tree(project, name, reads).lines())


def _print(lines: Iterable[str]) -> None:
    """Print lines; on a terminal, no longer than it is wide."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines:
        typer.echo(line if width is None or len(line) <= width else f"{line[: width - 4]} ...")


def compiled_column(engine: Engine, models: Sequence[str], column: str) -> dict[str, str]:
    """The SQL of ``compile --column``, by the name of its file."""
    from sqlgen.explore.lineage.pruned import column_sql

    if len(models) != 1:
        raise UsageError(f"--column is of one model: choose it with --select (these are chosen: {', '.join(models)})")
    safe = "".join(sign if sign.isalnum() or sign in "_-" else "_" for sign in column)
    return {f"{models[0]}.{safe}": column_sql(engine, models[0], column)}


def refuse_uncompiled(paths: Iterable[Path]) -> None:
    """:class:`UsageError` where one of the paths is a file that `compile` has not written."""
    for path in paths:
        heads = ("-- model:", f"-- {path.stem}")[: 1 + path.stem.count(".")]  # of a model, and of MODEL.COLUMN
        refuse_others(path, "compiled file", *heads)
