"""Sources and models of a project, for ``ls``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from sqlgen.cli.console import plain
from sqlgen.project.project import Project


def as_dict(project: Project, names: Iterable[str]) -> dict[str, Any]:
    """Sources and models as plain data."""
    models = [project.models[name] for name in names]
    return {
        "sources": {name: source.model_dump() for name, source in project.sources.items()},
        "models": {
            model.name: {
                "description": model.description,
                "template": model.config.sql,
                "inputs": {entry.name: entry.ref for entry in model.inputs},
                "output": model.output.path,
                "mode": model.output.mode,
                "enabled": model.config.enabled,
                "schedule": model.config.schedule,
                "tags": list(model.config.tags),
                "options": dict(model.options),
                "lookback": model.lookback,
                "lookahead": model.lookahead,
            }
            for model in models
        },
    }


def print_table(console: Console, project: Project, names: Iterable[str]) -> None:
    """Print one line per source and model: a table on a terminal, tabs in a pipe."""
    rows = [
        ("source", name, source.path, source.adapter, source.description) for name, source in project.sources.items()
    ]
    for name in names:
        model = project.models[name]
        state = "" if model.config.enabled else " (disabled)"
        inputs = ", ".join(entry.ref for entry in model.inputs)
        rows.append(("model", name + state, model.output.path, inputs, model.description))
    if not console.is_terminal:
        for row in rows:
            plain(console, "\t".join(row))
        return
    table = Table("kind", "name", "path in the lake", "adapter or inputs", "description", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def as_tree(project: Project, names: Iterable[str]) -> Tree:
    """Print sources as roots, with the models built from each below it."""
    chosen = set(names)
    root = Tree(f"[bold]{project.path.name}[/]")
    for source in project.sources:
        _grow(project, root.add(f"{source} [dim](source)[/]"), source, chosen)
    return root


def _grow(project: Project, branch: Tree, ref: str, chosen: set[str]) -> None:
    for name in project.order:
        if name in chosen and any(entry.ref == ref for entry in project.models[name].inputs):
            _grow(project, branch.add(f"[bold]{name}[/] [dim]{project.models[name].output.path}[/]"), name, chosen)
