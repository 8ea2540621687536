"""Reasons why a published unit is stale, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlgen.plan.publishedunits import PENDING
from sqlgen.project.model import Model
from sqlgen.published.records import Provenance, Published

Sources = Mapping[str, Sequence[Sequence[Any]]]
"""Input name -> [path, size, mtime_ns] of its files."""
Settings = Mapping[str, Mapping[str, str]]
"""Kind of setting -> name -> its text."""

FULL_REFRESH = "--full-refresh"
STATE_MAY_CHANGE = "the kernel state before it may change"
_WHEN = {
    "": "",
    "before": " (the day before)",
    "skipped": " (days without rows of their own)",
    "after": " (the day after)",
}
_EDGE_LOST = {"first": "an earlier partition has come", "open": "a later partition has come"}
_EDGE_WON = {"first": "the earlier partitions are gone", "open": "the later partitions are gone"}


def differences(
    model: Model,
    old: Published,
    want: Provenance,
    sources: Callable[[], Sources],
    settings: Callable[[], Settings],
) -> str:
    """Differences between a published unit and its new provenance, in words; empty if there are none.

    ``sources`` and ``settings`` give the input files, and the options and kernels, that the published unit was made
    from, as far as known.
    """
    reasons = changed_settings(old, want, settings)
    changed = [name for name in want.inputs | old.inputs if old.inputs.get(name) != want.inputs.get(name)]
    reasons += [_input_reason(model, name, want, sources) for name in changed]
    if old.sql == want.sql:
        reasons += [reason for edge, reason in _EDGE_LOST.items() if edge in {*old.edges} - {*want.edges}]
        reasons += [reason for edge, reason in _EDGE_WON.items() if edge in {*want.edges} - {*old.edges}]
    if old.before != want.before:
        reasons.append(_state_reason(want.before))
    return "; ".join(reasons)


def changed_settings(old: Published, want: Provenance, settings: Callable[[], Settings]) -> list[str]:
    """Differences between the settings of a published unit and those of its model, in words."""
    reasons = list[str]()
    if old.sql == want.sql:
        return reasons
    for kind in ("options", "kernels", "checks"):
        if getattr(old, kind) != getattr(want, kind):
            known = _changes(settings(), want.settings, kind)
            # What has no details may follow from what was said already: the columns of a kernel from its options.
            reasons += [f"{kind} changed{known}"] if known or not reasons else []
    known = _changes(settings(), want.settings, "settings", "templates")
    return [*reasons, f"SQL changed{known}"] if known or not reasons else reasons


def _changes(old: Settings, new: Settings, *kinds: str) -> str:
    """`` (windows: [60] -> [60, 300])``; empty if it is not known what was there before."""
    found = []
    for kind in filter(old.__contains__, kinds):
        before, now = old[kind], new.get(kind, {})
        names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
        if kind == "templates":
            found += [f"template {name}" for name in names]
        else:
            found += [f"{name}: {before.get(name, 'none')} -> {now.get(name, 'none')}" for name in names]
            found += ["in another order"] if not names and [*before] != [*now] else []
    return f" ({', '.join(found)})" if found else ""


def _state_reason(state: str) -> str:
    if state.startswith(PENDING):
        return STATE_MAY_CHANGE
    return "the kernel state before it changed" if state else "there is no kernel state before it any more"


def _input_reason(model: Model, name: str, want: Provenance, sources: Callable[[], Sources]) -> str:
    input_name, _, what = name.partition(" ")
    entry = next((entry for entry in model.inputs if entry.name == input_name), None)
    if entry is None:
        return f"input {name} is no longer there"
    when = _WHEN[what]
    if entry.source is None:
        return f"{entry.ref} changed{when}"
    old = sources() if not when else {}
    if not old:
        return f"files of {entry.ref} changed{when}"
    return f"{entry.ref}: {file_changes(old.get(name, []), want.sources.get(name, []))}"


def file_changes(old: Iterable[Sequence[object]], new: Iterable[Sequence[object]]) -> str:
    """``"1 new file (late.parquet), 2 changed"``."""
    before = {str(path): rest for path, *rest in old}
    after = {str(path): rest for path, *rest in new}
    kinds = {
        "new": sorted(after.keys() - before.keys()),
        "gone": sorted(before.keys() - after.keys()),
        "changed": sorted(path for path in after.keys() & before.keys() if after[path] != before[path]),
    }
    parts = [f"{len(paths)} {kind} ({paths[0].rpartition('/')[2]})" for kind, paths in kinds.items() if paths]
    return "files " + ", ".join(parts)
