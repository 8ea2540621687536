"""``--select`` and ``--exclude``: names, globs, ``tag:x``, ``+model`` and ``model+``."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from sqlgen.errors import UsageError, nearest
from sqlgen.project.project import Project


def select(project: Project, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the chosen models in dependency order, without disabled ones; all where ``include`` is empty.

    Raises :class:`UsageError` where a selector matches nothing.
    """
    include = list(include)
    chosen = _matches(project, include) if include else set(project.models)
    chosen -= _matches(project, list(exclude))
    enabled = {name for name in chosen if project.models[name].config.enabled}
    disabled = sorted(chosen - enabled)
    if include and chosen and not enabled:
        raise UsageError(f"{', '.join(disabled)}: disabled in models.yaml. Set enabled: true to run it")
    if project.models and (include or exclude) and not chosen:
        raise UsageError(f"--exclude leaves no model of those selected. Known: {', '.join(project.models)}")
    return tuple(name for name in project.order if name in enabled)


def named(project: Project, selectors: Iterable[str]) -> tuple[str, ...]:
    """Names of the chosen models in dependency order, disabled ones too."""
    chosen = _matches(project, list(selectors))
    return tuple(name for name in project.order if name in chosen)


def check_name(project: Project, name: str) -> str:
    """The name, if a model or source has it; :class:`UsageError` with the nearest one otherwise."""
    known = [*project.models, *project.sources]
    if name not in known:
        raise UsageError(f"no model or source '{name}'.{nearest(name, known)} Known: {', '.join(known)}")
    return name


def _matches(project: Project, selectors: list[str]) -> set[str]:
    found: set[str] = set()
    for selector in (part for given in selectors for part in given.split(",") if part):
        found |= _match(project, selector)
    return found


def _match(project: Project, selector: str) -> set[str]:
    core = selector.strip("+")
    found = _named(project, core)
    if not found:
        tags = sorted({f"tag:{tag}" for model in project.models.values() for tag in model.config.tags})
        known = [*project.models, *tags]
        raise UsageError(f"no model matches '{selector}'.{nearest(core, known)} Known: {', '.join(known)}")
    result = set(found)
    if selector.startswith("+"):
        result |= _closure(found, {name: project.upstream(name) for name in project.models})
    if selector.endswith("+"):
        downstream = {
            name: {other for other in project.models if name in project.upstream(other)} for name in project.models
        }
        result |= _closure(found, downstream)
    return result


def _named(project: Project, core: str) -> set[str]:
    if core.startswith("tag:"):
        wanted = core.removeprefix("tag:")
        return {
            name
            for name, model in project.models.items()
            if any(fnmatch.fnmatchcase(tag, wanted) for tag in model.config.tags)
        }
    return {name for name in project.models if fnmatch.fnmatchcase(name, core)}


def _closure(start: set[str], edges: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    pending = list(start)
    while pending:
        for name in edges[pending.pop()] - reached:
            reached.add(name)
            pending.append(name)
    return reached
