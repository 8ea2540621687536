"""Settings of a model as text, which the footers of its files keep, so that a plan can say what has changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from sqlgen.compile.statements import stored_as
from sqlgen.project.model import Model
from sqlgen.templating.secrets import hidden
from sqlgen.templating.templates import Library

_ELSEWHERE = {"description", "sql", "udfs", "options", "checks", "tags", "schedule", "enabled", "depends_on"}
"""Keys of models that stand under another kind, or change no rows."""
_OUTPUT = {"mode", "key", "order_by", "partition_by"}
_OF_SOURCES = {"description", "path", "lake", "options", "checks"}
"""Keys of sources that stand under another kind, or are seen by their files."""
_USES = re.compile(r"""\{%-?\s*(?:from|import|include|extends)\s+['"]([^'"]+)['"]""")


def settings_of(model: Model, library: Library) -> dict[str, dict[str, str]]:
    """Options, kernels, checks, other settings and templates of a model: kind -> name -> text."""
    options = {name: _text(value) for name, value in model.fingerprinted_options.items()}
    stored = (text.partition(" ") for text in stored_as(model))
    kernels = model.pipeline.identity if model.pipeline is not None else []
    found = {
        "options": options | {f"output.{name.lower()}": value for name, _, value in stored},
        "kernels": {name: f"version {str(version).replace(' ', ', code ')}" for name, version, _ in kernels},
        "checks": dict(_checks(model)),
        "settings": dict(_settings(model)),
        "templates": dict(_templates(model, library)),
    }
    return {kind: {name: hidden(text) for name, text in each.items()} for kind, each in found.items()}


def _checks(model: Model) -> Iterator[tuple[str, str]]:
    for of, checks in model.checks:
        for check in checks:
            titled = {"check", "name", "on_fail"} if check.name else {"check", "on_fail", "columns", "sql"}
            given = {name: value for name, value in _given(check).items() if name not in titled}
            parts = [check.on_fail, *(f"{name} {_text(value)}" for name, value in sorted(given.items()))]
            yield f"{of}: {check.title}", ", ".join(parts)


def _settings(model: Model) -> Iterator[tuple[str, str]]:
    for name, value in _given(model.config).items():
        if name == "inputs":
            yield from ((f"inputs.{entry.name}", entry.ref) for entry in model.inputs)
        elif name == "output":
            yield from ((f"output.{key}", _text(part)) for key, part in _given(value).items() if key in _OUTPUT)
        elif name not in _ELSEWHERE:
            yield name, _text(value)
    for ref, source in {entry.ref: entry.source for entry in model.inputs if entry.source is not None}.items():
        yield from ((f"{ref}.{key}", _text(part)) for key, part in _given(source).items() if key not in _OF_SOURCES)


def _templates(model: Model, library: Library) -> Iterator[tuple[str, str]]:
    """Digest of each template that a model is rendered from."""
    pending = [model.config.sql, *(f"sources/{e.source.adapter}.sql.j2" for e in model.inputs if e.source is not None)]
    known = set[str]()
    while pending:
        name = pending.pop(0)
        if name not in known:
            known.add(name)
            text, _ = library.source_text(name)
            pending += _USES.findall(text)
            yield name, hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _given(node: BaseModel) -> Mapping[str, Any]:
    """Values of a node that are not the defaults."""
    fields = type(node).model_fields
    return {name: value for name, value in node if name not in fields or value != fields[name].default}


def _text(value: Any) -> str:
    plain = value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value
    return json.dumps(plain, default=str, ensure_ascii=False)
