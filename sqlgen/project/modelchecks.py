"""Checks of models, sources and folders against each other."""

from __future__ import annotations

import graphlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sqlgen.lake.partitions import KEYS
from sqlgen.lake.remote.address import is_remote
from sqlgen.lake.trust import how_to_trust, trusted
from sqlgen.project.config import Config, ModelConfig, Source
from sqlgen.project.model import Model, build_order, quarantine_of
from sqlgen.templating import expressions
from sqlgen.templating.secrets import secret_in
from sqlgen.templating.yamlfile import KeyPath

KeyProblem = tuple[KeyPath, str]


def output_problems(at: KeyPath, spec: ModelConfig) -> Iterator[KeyProblem]:
    """Partition columns, columns and mode of a model's output that do not fit together."""
    keys = spec.output.partition_by
    unit = [key for key in keys if key in KEYS]
    at_partition: KeyPath = (*at, "output", "partition_by")
    if len(set(keys)) != len(keys):
        yield (at_partition, f"duplicate column: {', '.join(keys)}")
    if list(keys[: len(unit)]) != unit or unit != [key for key in KEYS if key in unit]:
        yield (at_partition, f"found {', '.join(keys)}: {', '.join(KEYS)} come first and in this order")
    if twice := [name for n, name in enumerate(spec.columns) if name.lower() in map(str.lower, spec.columns[:n])]:
        yield ((*at, "columns"), f"duplicate column: {', '.join(twice)}")
    for name in {"columns", "features"} & spec.model_fields_set:
        if not getattr(spec, name):
            yield ((*at, name), "empty, which would keep no column. Name some, or leave it out")
    if spec.columns and spec.features:
        yield ((*at, "features"), "'columns' lists the columns too, by name. Leave one of them out")
    if spec.columns and not set(spec.columns) - set(keys):
        yield ((*at, "columns"), f"found {', '.join(spec.columns)}: paths hold these; name one that files hold")
    if spec.output.mode == "merge" and not (spec.output.key and spec.output.order_by):
        yield ((*at, "output"), "mode merge needs key (what identifies a row) and order_by (the newest row wins)")
    if spec.output.mode != "merge" and spec.output.key:
        yield ((*at, "output", "key"), f"only mode merge has a key; the mode is {spec.output.mode}")


def expression_problems(config: Config) -> Iterator[KeyProblem]:
    """Filters and predicates that are not one SQL expression over a row."""
    found: dict[KeyPath, str | None] = {("models", name, "filter"): spec.filter for name, spec in config.models.items()}
    for kind, nodes in (("sources", config.sources), ("models", config.models)):
        for name, node in nodes.items():
            found |= {(kind, name, "checks", number, "sql"): check.sql for number, check in enumerate(node.checks)}
    for at, sql in found.items():
        if sql is not None and (problem := expressions.fault(sql)):
            yield at, f"found {sql!r:.200}: {problem}"


def append_problems(at: KeyPath, model: Model) -> Iterator[KeyProblem]:
    """Problems of models that cannot append file by file."""
    if model.output.mode != "append":
        return
    if model.lookback > 0:
        yield (
            (*at, "output", "mode"),
            f"append adds file by file and cannot look back {model.lookback:g} s. Use overwrite",
        )
    elif model.days_after:
        yield (
            (*at, "output", "mode"),
            f"append adds file by file, and template '{model.config.sql}' reads those of the next date too."
            " Use overwrite",
        )
    for entry in model.inputs:
        if entry.source is None:
            yield (
                (*at, "output", "mode"),
                f"append needs sources; input '{entry.name}' is a model, whose files are replaced",
            )
    if len(model.inputs) > 1:
        yield ((*at, "output", "mode"), "append takes one input: each of its files contributes once")


def deletion_problems(sources: Mapping[str, Source], models: Mapping[str, Model]) -> Iterator[KeyProblem]:
    """Problems with deleting source files that some model would need again."""
    doomed = {
        other
        for model in models.values()
        if model.config.delete_after_processing
        for entry in model.inputs
        if entry.source is not None
        for other, source in sources.items()
        if (source.path, source.pattern) == (entry.source.path, entry.source.pattern)
    }
    for model in models.values():
        if model.config.keep_days and not model.config.delete_after_processing:
            yield ("models", model.name, "keep_days"), "nothing is deleted without delete_after_processing: true"
        elif model.config.keep_days and any(entry.source and entry.source.lake for entry in model.inputs):
            yield (
                ("models", model.name, "keep_days"),
                "it counts from the times of files, which an own root may not have",
            )
        for entry in model.inputs:
            if entry.ref in doomed and (model.output.mode == "overwrite" or model.days_before or model.days_after):
                yield (
                    ("models", model.name, "output"),
                    f"files of '{entry.ref}' are deleted after processing, but this model"
                    " rebuilds partitions from them. Use mode append or merge, without lookback",
                )
            elif entry.ref in doomed and model.output.mode == "merge" and model.quarantines:
                yield (
                    ("models", model.name, "output", "mode"),
                    f"files of '{entry.ref}' are deleted after processing, and the next merge would lose the rows"
                    " that its checks quarantined from them. Use mode append, or another on_fail",
                )


def unit_problems(models: Mapping[str, Model]) -> Iterator[KeyProblem]:
    """Models partitioned by keys that their first input lacks."""
    for model in models.values():
        upstream = models.get(model.primary.ref)
        missing = [key for key in model.unit_keys if upstream is not None and key not in upstream.unit_keys]
        if upstream is not None and missing:
            yield (
                ("models", model.name, "output", "partition_by"),
                f"'{upstream.name}', its first input, is not partitioned by {', '.join(missing)}. Leave that out"
                f" here, or add it to the partition_by of '{upstream.name}'",
            )


def cycle_problems(models: Mapping[str, Model]) -> Iterator[KeyProblem]:
    """Dependency cycles."""
    try:
        build_order(models)
    except graphlib.CycleError as error:
        cycle = error.args[1]
        yield (("models", cycle[0]), f"dependency cycle: {' -> '.join(reversed(cycle))}. Remove one of these inputs")


Parts = tuple[str, ...]
ResolvedFolder = tuple[str, Parts]
"""Folder below the lake as written in models.yaml, and the parts of its real path."""
STATE = ".sqlgen"
"""Folder of the lock and of staged files, wherever the state folder is."""


def same_names(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """Sources and models whose names differ in case only: their views and files would clash."""
    for kind, names in (("sources", config.sources), ("models", config.models)):
        taken: dict[str, str] = {}
        for name in names:
            other = taken.setdefault(name.lower(), name)
            if other != name:
                yield (kind, name), f"'{other}' is the same name, as case does not count. Rename one of them"


def unreadable_lake(lake: Path) -> Iterator[tuple[KeyPath, str]]:
    """Problems with the lake's path that keep DuckDB from reading the files below it."""
    advice = "Rename it, or let 'lake' name a link to it that lies elsewhere"
    for part in lake.parts:
        name = part.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if "=" in part:
            yield ("lake",), f"DuckDB takes '{name}' in the path {lake} for a column of every table. {advice}"
        elif "\\" in part or name != part:
            yield ("lake",), f"DuckDB cannot read below a folder called '{name}'. {advice}"


def secret_places(config: Config, project: Path) -> Iterator[KeyProblem]:
    """Addresses and folders that hold a secret, which whoever owns the bucket or the disk would see."""
    places: dict[KeyPath, str | None] = {("lake",): config.lake, ("state",): config.state}
    for name, source in config.sources.items():
        places |= {("sources", name, "lake"): source.lake, ("sources", name, "path"): source.folder}
    places |= {("models", name, "output", "path"): model.output.path for name, model in config.models.items()}
    for at, text in places.items():
        if text is not None and secret_in(text) and not trusted(project):
            yield at, f"a secret is no part of an address or a folder, which others see. {how_to_trust(project)}"


def state_elsewhere(config: Config, project: Path) -> Iterator[KeyProblem]:
    """Problem with a state folder outside of the lake and of the project's folder, unless the project is trusted."""
    if is_remote(config.lake) or trusted(project):
        return
    lake = Path(os.path.normpath(project.parent / config.lake))
    state = Path(os.path.normpath(lake / config.state))
    if not any(state.is_relative_to(folder) for folder in (lake, project.parent)):
        where = f"it lies neither in the lake nor in the folder of {project.name}"
        yield ("state",), f"found '{config.state}': {where}. Give a folder there. {how_to_trust(project)}"


def shared_folders(config: Config, lake: Path) -> Iterator[tuple[KeyPath, str]]:
    """Tables that lie in a source, the state or another table, and sources that lie in the state."""
    states = (*dict.fromkeys((config.state, STATE)),)
    if is_remote(config.lake) and any(part in ("", ".", "..") for part in config.state.split("/")):
        yield ("state",), f"found '{config.state}': the state of a lake in an object store is a plain path below it"
        return
    if os.path.realpath(lake / config.state) == os.path.realpath(lake):
        yield ("state",), f"found '{config.state}': this is the lake itself. Give a folder of its own, like {STATE}"
        return
    if not config.state.strip():
        yield ("state",), f"found '{config.state}': a name of blanks alone. Give a folder of its own, like {STATE}"
        return
    taken_by_runs = [_resolved(f"{STATE}/{name}", lake) for name in ("lock", "locks", "staging", "versions")]
    if any(_resolved(config.state, lake)[: len(own)] == own for own in taken_by_runs):
        yield ("state",), f"found '{config.state}': the lock and the staging folder are there. Give another folder"
        return
    held = _resolved_folders(states, lake)
    taken = {"state": held}
    for name, source in config.sources.items():
        if source.lake is not None:
            continue
        own = _resolved_folders((source.path,), lake)
        yield from _overlaps(("sources", name, "path"), own, {"state": held})
        taken[f"sources.{name}"] = own
    for name, model in config.models.items():
        own = _resolved_folders((model.output.path, quarantine_of(model.output.path)), lake)
        yield from _overlaps(("models", name, "output", "path"), own, taken)
        taken[f"models.{name}"] = own


def _resolved_folders(paths: Iterable[str], lake: Path) -> tuple[ResolvedFolder, ...]:
    return tuple((path, _resolved(path, lake)) for path in paths)


def _resolved(path: str, lake: Path) -> Parts:
    return Path(os.path.realpath(lake / path)).parts


def _overlaps(
    at: KeyPath, own: Iterable[ResolvedFolder], taken: Mapping[str, Iterable[ResolvedFolder]]
) -> Iterator[tuple[KeyPath, str]]:
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
    """True if one folder below the lake is or contains the other, links resolved."""
    return _meet(_resolved(left, lake), _resolved(right, lake))
