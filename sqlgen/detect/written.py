"""Proposed entries, and models that fit, as text in models.yaml."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sqlgen.detect.findings import Choice, Contents, Examination, free
from sqlgen.errors import ConfigError, SqlgenError, UsageError
from sqlgen.lake import storage
from sqlgen.lake.remote.address import is_remote
from sqlgen.templating import yamlfile
from sqlgen.templating.secrets import hidden
from sqlgen.templating.yamlfile import Document

_TEMPLATES = {
    "book": ("orderbook/hf.sql.j2", "orderbook"),
    "trades": ("trades/features.sql.j2", "trades"),
    "ticker": ("ticker/features.sql.j2", "ticker"),
    "bars": ("bars/longer.sql.j2", "bars"),
}
"""Kind of rows -> template of a model over them, and its input."""
_ORDER_FLOW = "order_flow: false"
_KERNELS = (
    "    # udfs: [returns, ofi, mlofi, rolling, spread_regime] # kernels: order flow and windows over rows."
    " With them, the bars need no order_flow: false"
)
_SECTIONS = ("sources", "models")
_FEW_MINUTES = 300
"""Seconds of rows of which there are few bars of a minute."""


def add_to(path: Path, found: Examination) -> list[str]:
    """Add all entries to a project file, which is made if it is not there; return the names of the sources.

    Sources in another object store than the lake of the file get a lake of their own.

    Raises:
        UsageError: nothing was recognised, or the file has another lake, on a disk.
    """
    if not found.sources:
        raise UsageError(f"nothing was recognised: {path} is left as it is")
    there = _sections(yamlfile.load(path) if path.exists() else Document(path, {}))
    text = path.read_text(encoding="utf-8") if path.exists() else f"version: 1\nlake: {_lake(path, found)}\n"
    lake = str(hidden(found.lake))
    given = str(there.get("lake", "lake")) if path.exists() else lake
    apart = given != lake and (path.absolute().parent / given).resolve() != Path(found.lake).resolve()
    if apart and not is_remote(lake):
        raise UsageError(f"{path} has the lake {given}, and the entries are for {lake}. Give --lake, or move the files")
    taken = {*there["sources"], *there["models"]}
    sources, models, names = [], [], []
    for choice, kind, brief in _kinds(found):
        name = free(choice.adapter.replace("/", "_"), dict.fromkeys(taken))
        taken.add(name)
        names.append(name)
        sources += choice.lines(name, {"lake": lake} if apart else {})
        models += _models(name, kind, brief, taken)
    text = hidden(_below(_below(text, "sources", sources), "models", models))
    _verify(path, text, there, names)
    storage.replace_text(path, text)
    return names


def _sections(document: Document) -> dict[str, Any]:
    """Content of a project file; :class:`SqlgenError` if nothing can be added to it."""
    if document.problems:
        raise ConfigError(document.problems)
    data: Any = document.data
    if isinstance(data, dict):
        data = data | {section: data.get(section) or {} for section in _SECTIONS}
    if not isinstance(data, dict) or not all(isinstance(data[section], dict) for section in _SECTIONS):
        raise UsageError(f"{document.path}: no project file, which has mappings of sources and models. It is as it was")
    return data


def _verify(path: Path, text: str, before: dict[str, Any], names: Collection[str]) -> None:
    """:class:`UsageError` unless the text has what the file had and the new sources."""
    try:
        after = _sections(yamlfile.parse(path, text, os.environ))
    except SqlgenError:
        after = {section: {} for section in _SECTIONS}
    if not ({*names, *before["sources"]} <= {*after["sources"]} and {*before["models"]} <= {*after["models"]}):
        raise UsageError(
            f"{path}: sources and models are not written a line each, indented by two spaces, and nothing can be added."
            " It is as it was: `sqlgen inspect` without --write prints the entries"
        )


def _lake(path: Path, found: Examination) -> str:
    if is_remote(hidden(found.lake)):
        return str(hidden(found.lake))
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
    lines += _model(model, *_TEMPLATES[kind], source, [_KERNELS] if kind == "book" else [])
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
