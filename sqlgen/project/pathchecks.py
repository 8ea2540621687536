"""Checks of the names and the folders in models.yaml: none is, or lies in, another's."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sqlgen.project.config import Config
from sqlgen.project.model import quarantine_of
from sqlgen.templating.yamlfile import KeyPath

Parts = tuple[str, ...]
Place = tuple[str, Parts]
"""A folder below the lake as it is named, and its real path in parts."""
STATE = ".sqlgen"
"""Folder of the lock and of what is staged, wherever the state is."""


def same_names(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """Sources, and models, whose names differ in their case alone: their views and files would be the same."""
    for kind, names in (("sources", config.sources), ("models", config.models)):
        taken: dict[str, str] = {}
        for name in names:
            other = taken.setdefault(name.lower(), name)
            if other != name:
                yield (kind, name), f"'{other}' has this name too: upper case makes no other one. Rename one of them"


def unreadable_lake(lake: Path) -> Iterator[tuple[KeyPath, str]]:
    """Why DuckDB cannot read files below the lake as what they are."""
    advice = "Rename it, or let 'lake' name a link to it that lies elsewhere"
    for part in lake.parts:
        name = part.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if "=" in part:
            yield ("lake",), f"DuckDB takes '{name}' in the path {lake} for a column of every table. {advice}"
        elif "\\" in part or name != part:
            yield ("lake",), f"DuckDB cannot read below a folder called '{name}'. {advice}"


def shared_folders(config: Config, lake: Path) -> Iterator[tuple[KeyPath, str]]:
    """Tables that lie in a source, the state or another table, and sources that lie in the state."""
    states = (*dict.fromkeys((config.state, STATE)),)
    if os.path.realpath(lake / config.state) == os.path.realpath(lake):
        yield ("state",), f"found '{config.state}': this is the lake itself. Give a folder of its own, like {STATE}"
        return
    taken_by_runs = [_resolved(f"{STATE}/{name}", lake) for name in ("lock", "staging")]
    if any(_resolved(config.state, lake)[: len(own)] == own for own in taken_by_runs):
        yield ("state",), f"found '{config.state}': the lock, and what a run stages, lie there. Give another folder"
        return
    held = _places(states, lake)
    taken = {"state": held}
    for name, source in config.sources.items():
        own = _places((source.path,), lake)
        yield from _overlaps(("sources", name, "path"), own, {"state": held})
        taken[f"sources.{name}"] = own
    for name, model in config.models.items():
        own = _places((model.output.path, quarantine_of(model.output.path)), lake)
        yield from _overlaps(("models", name, "output", "path"), own, taken)
        taken[f"models.{name}"] = own


def _places(paths: Iterable[str], lake: Path) -> tuple[Place, ...]:
    return tuple((path, _resolved(path, lake)) for path in paths)


def _resolved(path: str, lake: Path) -> Parts:
    return Path(os.path.realpath(lake / path)).parts


def _overlaps(at: KeyPath, own: Iterable[Place], taken: Mapping[str, Iterable[Place]]) -> Iterator[tuple[KeyPath, str]]:
    for other, places in taken.items():
        pair = next(
            ((a, b) for (a, first), (b, second) in itertools.product(own, places) if _meet(first, second)), None
        )
        if pair is not None:
            advice = ". Give each a folder of its own" if other == "state" else ""
            yield at, f"'{pair[0]}' overlaps '{pair[1]}' of {other}{advice}"


def _meet(first: Parts, second: Parts) -> bool:
    shared = min(len(first), len(second))
    return first[:shared] == second[:shared]


def overlap(left: str, right: str, lake: Path) -> bool:
    """True where one folder below the lake is the other or lies in it, also by links."""
    return _meet(_resolved(left, lake), _resolved(right, lake))
