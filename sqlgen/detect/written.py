"""Proposed entries, and models that fit, as text in models.yaml."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import yaml

from sqlgen.detect.findings import Choice, Contents, Examination, free
from sqlgen.errors import UsageError

_TEMPLATES = {
    "book": ("orderbook/hf.sql.j2", "orderbook"),
    "trades": ("trades/features.sql.j2", "trades"),
    "ticker": ("ticker/features.sql.j2", "ticker"),
    "bars": ("bars/longer.sql.j2", "bars"),
}
"""Kind of rows -> template of a model over them, and its input."""
_ORDER_FLOW = "order_flow: false"
_FEW_MINUTES = 300
"""Seconds of rows of which there are few bars of a minute."""


def add_to(path: Path, found: Examination) -> list[str]:
    """Add all entries to a project file, which is made if it is not there; return the names of the sources.

    Raises:
        UsageError: nothing was recognised, or the file has another lake.
    """
    if not found.sources:
        raise UsageError(f"nothing was recognised: {path} is left as it is")
    text = path.read_text(encoding="utf-8") if path.exists() else f"version: 1\nlake: {_lake(path, found)}\n"
    there = yaml.safe_load(text) or {}
    lake = (path.absolute().parent / str(there.get("lake", "lake"))).resolve()
    if lake != Path(found.lake).resolve():
        raise UsageError(
            f"{path} has the lake {lake}, and the entries are for {found.lake}. Give --lake, or move the files"
        )
    taken = {*(there.get("sources") or {}), *(there.get("models") or {})}
    sources, models, names = [], [], []
    for choice, kind, brief in _kinds(found):
        name = free(choice.adapter.replace("/", "_"), dict.fromkeys(taken))
        taken.add(name)
        names.append(name)
        sources += choice.lines(name)
        models += _models(name, kind, brief, taken)
    text = _below(_below(text, "sources", sources), "models", models)
    path.write_text(text, encoding="utf-8")
    return names


def _lake(path: Path, found: Examination) -> str:
    folder, lake = path.absolute().parent.resolve(), Path(found.lake).resolve()
    return str(lake.relative_to(folder)) if lake.is_relative_to(folder) else str(lake)


def _kinds(found: Examination) -> Iterator[tuple[Choice, str, bool]]:
    """Each choice with the kind of its rows, empty if they were not read, and True if all are within a few minutes."""
    for finding in found.findings:
        known = len(finding.contents) == len(finding.choices)
        for number, choice in enumerate(finding.choices):
            contents = finding.contents[number] if known else None
            yield choice, contents.kind if contents else "", contents is not None and _is_brief(contents)


def _is_brief(contents: Contents) -> bool:
    first, last = (contents.summary.get(name) for name in ("first", "last"))
    if contents.cut or not first or not last:
        return False
    passed = dt.datetime.fromisoformat(str(last)) - dt.datetime.fromisoformat(str(first))
    return passed.total_seconds() < _FEW_MINUTES


def _models(name: str, kind: str, brief: bool, taken: set[str]) -> list[str]:
    """Entries below ``models:`` for the rows of one source."""
    lines, source = [], name
    if kind == "updates":
        source = free(f"{name}_book", dict.fromkeys(taken))
        taken.add(source)
        lines += _model(source, "orderbook/book.sql.j2", "updates", name, ["    udfs: book"])
        kind = "book"
    if kind not in _TEMPLATES:
        return lines
    model = free(f"{name}_features", dict.fromkeys(taken))
    bars = free(f"{name}_bars", dict.fromkeys(taken))
    taken |= {model, bars}
    lines += _model(model, *_TEMPLATES[kind], source, [])
    durations = ["bar_durations: [1, 10, 60]"] if brief else []
    if kind == "book":
        lines += _model(bars, "orderbook/bars.sql.j2", "hf", model, _options(_ORDER_FLOW, *durations))
    elif kind == "trades":
        lines += _model(bars, "trades/bars.sql.j2", "trades", source, _options(*durations))
    return lines


def _options(*options: str) -> list[str]:
    return [f"    options: {{{', '.join(options)}}}"] if options else []


def _model(name: str, template: str, entry: str, source: str, more: Collection[str]) -> list[str]:
    head = [f"  {name}:", f"    sql: {template}", f"    inputs: {{{entry}: {source}}}"]
    keys = ", partition_by: [exchange, symbol]" if entry == "bars" else ""  # a date has few rows
    return [*head, *more, f"    output: {{path: processed/{name}{keys}}}"]


def _below(text: str, key: str, lines: list[str]) -> str:
    """The text with lines added below a key at its beginning; the key is added if it is not there."""
    if not lines:
        return text
    added = "\n".join(lines) + "\n"
    found = re.search(rf"^{key}:[ \t]*(\{{\}})?[ \t]*(#[^\n]*)?(\n|$)", text, re.MULTILINE)
    if found is None:
        return f"{text.rstrip()}\n\n{key}:\n{added}"
    return (
        f"{text[: found.start()]}{key}:{' ' + found.group(2) if found.group(2) else ''}\n{added}{text[found.end() :]}"
    )
