"""Lineage as lines of a tree, and as plain data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from sqlgen.explore.lineage.columns import ColumnNode
from sqlgen.project.project import Project

_NUMBER = re.compile(r"\d+")
_ALIKE = 3
"""Columns that differ in numbers only, from which on they are one line."""


class Branch(Struct, frozen=True):
    """A line of a tree, and those below it."""

    text: str
    below: tuple[Branch, ...] = ()

    def lines(self) -> Iterator[str]:
        """The tree as text."""
        yield self.text
        for place, branch in enumerate(self.below):
            last = place == len(self.below) - 1
            first, *rest = branch.lines()
            yield ("└─ " if last else "├─ ") + first
            yield from (("   " if last else "│  ") + line for line in rest)


def column_tree(node: ColumnNode) -> Branch:
    """The lineage of a column; columns that differ in a number only are one line, with what is below the first."""
    below = [column_tree(group[0]) if len(group) < _ALIKE else _of_group(group) for group in groups(node.inputs)]
    windows = [_by(node)] if node.by else []
    return Branch(_label(node, node.column), (*below, *windows))


def _of_group(group: Sequence[ColumnNode]) -> Branch:
    name = f"{group[0].column} ... {group[-1].column} ({len(group)} columns)"
    return Branch(_label(group[0], name), column_tree(group[0]).below)


def _label(node: ColumnNode, name: str) -> str:
    if node.kind == "files":
        return f"{name} in the files"
    made = f" = {node.made}" if node.made else ""
    return f"{node.dataset}.{name}{made}"


def _by(node: ColumnNode) -> Branch:
    names = dict.fromkeys(one.column if one.kind == "files" else f"{one.dataset}.{one.column}" for one in node.by)
    return Branch(f"in windows by {', '.join(names)}")


def groups(nodes: Sequence[ColumnNode]) -> list[list[ColumnNode]]:
    """Columns that differ in numbers only, together, if there are three or more; each other by itself."""
    found: dict[tuple[str, ...], list[ColumnNode]] = {}
    for node in nodes:
        shape = (node.kind, node.dataset, *(_NUMBER.sub("#", text) for text in (node.column, node.made)))
        found.setdefault(shape, []).append(node)
    parts: list[list[ColumnNode]] = []
    for members in found.values():
        parts += [members] if len(members) >= _ALIKE else [[node] for node in members]
    return parts


def column_dict(node: ColumnNode) -> dict[str, Any]:
    """The lineage of a column as plain data."""
    return {
        "kind": node.kind,
        "dataset": node.dataset,
        "column": node.column,
        "made": node.made,
        "inputs": [column_dict(one) for one in node.inputs],
        "by": [{"kind": one.kind, "dataset": one.dataset, "column": one.column} for one in node.by],
    }


def model_tree(project: Project, name: str, reads: dict[str, dict[str, list[str]]]) -> Branch:
    """The sources and models that a model is made from; ``reads``: model -> input -> columns that it reads."""
    if name in project.sources:
        source = project.sources[name]
        return Branch(f"source {name} = {source.adapter} over {source.path}")
    model = project.models[name]
    kernels = f", kernels {', '.join(kernel.name for kernel in model.pipeline.kernels)}" if model.pipeline else ""
    below = []
    for entry in model.inputs:
        branch = model_tree(project, entry.ref, reads)
        columns = reads.get(name, {}).get(entry.ref, [])
        read = (Branch(f"read by {name}: {', '.join(columns)}"),) if columns else ()
        below.append(Branch(branch.text, (*read, *branch.below)))
    return Branch(f"model {name} = {model.config.sql}{kernels}", tuple(below))


def users(project: Project, name: str) -> list[str]:
    """Models that are made from a source or model, directly or not, in build order."""
    found = {name}
    for model in project.order:
        if found & {entry.ref for entry in project.models[model].inputs}:
            found.add(model)
    return [model for model in project.order if model in found and model != name]


def makers(project: Project, name: str) -> list[str]:
    """Sources and models that a model is made from, directly or not; the nearest first."""
    found: dict[str, None] = {}
    todo = [name]
    while todo:
        one = todo.pop(0)
        refs = [entry.ref for entry in project.models[one].inputs] if one in project.models else []
        todo += [ref for ref in refs if ref not in found]
        found |= dict.fromkeys(refs)
    return [*found]
