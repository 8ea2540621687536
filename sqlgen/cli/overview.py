"""Sources and models of a project, for ``ls``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from sqlgen.cli.console import plain

if TYPE_CHECKING:
    from sqlgen.operate.symbols import SymbolFiles
    from sqlgen.project.config import Source
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


def symbols_as_dict(found: Iterable[SymbolFiles] | None) -> dict[str, Any]:
    """Symbols as plain data, if they were asked for."""
    return {} if found is None else {"symbols": [*found]}


def print_symbols(console: Console, found: Iterable[SymbolFiles]) -> None:
    """Print one line per source and symbol: a table on a terminal, tabs in a pipe."""
    heads = ("source", "exchange", "symbol", "first date", "last date", "dates", "files", "bytes")
    rows = [
        (
            one.source,
            one.exchange,
            one.symbol,
            one.dates[0],
            one.dates[-1],
            *map(str, (len(one.dates), one.files, one.bytes)),
        )
        for one in found
    ]
    _print(console, heads, rows)


def print_table(console: Console, project: Project, names: Iterable[str]) -> None:
    """Print one line per source and model: a table on a terminal, tabs in a pipe."""
    rows = [
        ("source", name, _place(source), source.adapter, source.description) for name, source in project.sources.items()
    ]
    for name in names:
        model = project.models[name]
        state = "" if model.config.enabled else " (disabled)"
        inputs = ", ".join(entry.ref for entry in model.inputs)
        rows.append(("model", name + state, model.output.path, inputs, model.description))
    _print(console, ("kind", "name", "path in the lake", "adapter or inputs", "description"), rows)


def _place(source: Source) -> str:
    """Folder of a source, below its own root if it has one."""
    return source.path if source.lake is None else f"{source.lake}/{source.folder}"


def _print(console: Console, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    if not console.is_terminal:
        for row in rows:
            plain(console, "\t".join(row))
        return
    table = Table(*heads, box=None, pad_edge=False)
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
            model = project.models[name]
            state = "" if model.config.enabled else " (disabled)"
            _grow(project, branch.add(f"[bold]{name}[/]{state} [dim]{model.output.path}[/]"), name, chosen)
