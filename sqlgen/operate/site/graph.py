"""Sources and models of a project as a drawing: what is made from what."""

from __future__ import annotations

import functools
import graphlib
import itertools
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from sqlgen.project.project import Project

WIDTH, HEIGHT, ACROSS, DOWN = 196, 46, 72, 16
"""Size of a node, and space between nodes, in pixels."""
_MARGIN = 8
_BEND, _BEND_HEIGHT = " > ", 4
"""Mark in the names of bends, where a curve passes a layer, and their height."""
_ROUNDS = 6
"""Rounds in which nodes move to the middle of what they are made from."""


class DrawnNode(Struct, frozen=True):
    """A source or model, with its place."""

    name: str
    kind: str
    x: float
    y: float
    note: str
    current: bool

    @property
    def href(self) -> str:
        """Page of the node, from the folder of all pages."""
        return f"{'sources' if self.kind == 'source' else 'models'}/{self.name}.html"


class Drawing(Struct, frozen=True):
    """Nodes and the curves between them."""

    nodes: tuple[DrawnNode, ...]
    curves: tuple[tuple[str, str, str], ...]
    """Path of SVG, and the names of both ends."""
    width: float
    height: float


def drawing(project: Project, names: Collection[str] | None = None, current: str = "") -> Drawing:
    """The drawing of a project, or of some of its sources and models."""
    inputs = {name: list(dict.fromkeys(entry.ref for entry in model.inputs)) for name, model in project.models.items()}
    chosen = [name for name in (*project.sources, *project.order) if names is None or name in names]
    above = {name: [ref for ref in inputs.get(name, ()) if ref in chosen] for name in chosen}
    ways, steps = _ways(above)
    rows = _in_order(_layers(steps), steps)
    heights = [sum(_height(name) + DOWN for name in row) - DOWN for row in rows]
    full = max(heights, default=0.0)
    places: dict[str, tuple[float, float]] = {}
    for depth, (row, height) in enumerate(zip(rows, heights, strict=True)):
        y = _MARGIN + (full - height) / 2
        for name in row:
            places[name] = (_MARGIN + depth * (WIDTH + ACROSS), y)
            y += _height(name) + DOWN
    nodes = tuple(
        DrawnNode(
            name, "source" if name in project.sources else "model", *places[name], _note(project, name), name == current
        )
        for name in chosen
    )
    curves = tuple((_curve([(places[one], _height(one)) for one in way]), way[0], way[-1]) for way in ways)
    width = 2 * _MARGIN + len(rows) * (WIDTH + ACROSS) - ACROSS
    return Drawing(nodes, curves, width, full + 2 * _MARGIN)


def _ways(above: Mapping[str, list[str]]) -> tuple[list[list[str]], dict[str, list[str]]]:
    """Each curve by the nodes and bends that it passes, and what is above each of these: one layer is one step."""
    depth = _depths(above)
    steps: dict[str, list[str]] = {name: [] for name in above}
    ways = []
    for name, refs in above.items():
        for ref in refs:
            bends = [f"{ref}{_BEND}{name}{_BEND}{level}" for level in range(depth[ref] + 1, depth[name])]
            way = [ref, *bends, name]
            for one, following in itertools.pairwise(way):
                steps.setdefault(following, []).append(one)
            ways.append(way)
    return ways, steps


def _height(name: str) -> float:
    return _BEND_HEIGHT if _BEND in name else HEIGHT


def _note(project: Project, name: str) -> str:
    if name in project.sources:
        return f"source, {project.sources[name].adapter}"
    model = project.models[name]
    kernels = len(model.config.udfs)
    notes = [f"{kernels} kernel{'s' if kernels > 1 else ''}"] if kernels else []
    notes += [] if model.config.enabled else ["disabled"]
    return ", ".join(["model", *notes])


def _depths(above: Mapping[str, list[str]]) -> dict[str, int]:
    """Length of the longest way from a node without inputs."""
    order = graphlib.TopologicalSorter(above).static_order()
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[ref] for ref in above[name]), default=-1)
    return depth


def _layers(above: Mapping[str, list[str]]) -> list[list[str]]:
    """Nodes and bends by their depth."""
    depth = _depths(above)
    return [[name for name in above if depth[name] == level] for level in range(max(depth.values(), default=-1) + 1)]


def _in_order(layers: list[list[str]], above: Mapping[str, list[str]]) -> list[list[str]]:
    """Layers with their nodes in the order in which few curves cross."""
    below: dict[str, list[str]] = {name: [] for name in above}
    for name, refs in above.items():
        for ref in refs:
            below[ref].append(name)
    rows = [list(layer) for layer in layers]
    for turn in range(_ROUNDS):
        beside = above if turn % 2 == 0 else below
        at = {name: place - len(layer) / 2 for layer in rows for place, name in enumerate(layer)}
        for layer in rows:
            means = {name: [at[one] for one in beside[name]] for name in layer}
            layer.sort(key=functools.partial(_middle, means=means, at=at))
    return rows


def _middle(name: str, means: Mapping[str, list[float]], at: Mapping[str, float]) -> float:
    """Mean place of the nodes beside a node; its own without any."""
    return sum(means[name]) / len(means[name]) if means[name] else at[name]


def _curve(stops: Sequence[tuple[tuple[float, float], float]]) -> str:
    """A curve from the right of the first node to the left of the last; straight along its bends."""
    path = ""
    for (start, height), (end, next_height) in itertools.pairwise(stops):
        x1, y1, x2, y2 = start[0] + WIDTH, start[1] + height / 2, end[0], end[1] + next_height / 2
        middle = (x1 + x2) / 2
        path += f"{'L' if path else 'M'}{x1:g},{y1:g} C{middle:g},{y1:g} {middle:g},{y2:g} {x2:g},{y2:g} "
    return path.strip()
