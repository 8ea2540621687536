"""Proposed entries, and models that fit, as text in models.yaml."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import yaml

from sqlgen.detect.findings import Choice, Examination, free
from sqlgen.errors import UsageError

_TEMPLATES = {
    "book": ("orderbook/hf.sql.j2", "orderbook"),
    "trades": ("trades/features.sql.j2", "trades"),
    "ticker": ("ticker/features.sql.j2", "ticker"),
}
"""Kind of rows -> template of a model over them, and its input."""


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
    for choice, kind in _kinds(found):
        name = free(choice.adapter.replace("/", "_"), dict.fromkeys(taken))
        taken.add(name)
        names.append(name)
        sources += choice.lines(name)
        models += _models(name, kind, taken)
    text = _below(_below(text, "sources", sources), "models", models)
    path.write_text(text, encoding="utf-8")
    return names


def _lake(path: Path, found: Examination) -> str:
    folder, lake = path.absolute().parent.resolve(), Path(found.lake).resolve()
    return str(lake.relative_to(folder)) if lake.is_relative_to(folder) else str(lake)


def _kinds(found: Examination) -> Iterator[tuple[Choice, str]]:
    """Each choice with the kind of its rows; empty if they were not read."""
    for finding in found.findings:
        kinds = [part.kind for part in finding.contents]
        yield from zip(
            finding.choices, kinds if len(kinds) == len(finding.choices) else [""] * len(finding.choices), strict=True
        )


def _models(name: str, kind: str, taken: set[str]) -> list[str]:
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
    taken.add(model)
    return [*lines, *_model(model, *_TEMPLATES[kind], source, [])]


def _model(name: str, template: str, entry: str, source: str, more: Collection[str]) -> list[str]:
    head = [f"  {name}:", f"    sql: {template}", f"    inputs: {{{entry}: {source}}}"]
    return [*head, *more, f"    output: {{path: processed/{name}}}"]


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
