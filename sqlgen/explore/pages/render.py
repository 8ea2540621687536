"""Pages from the templates of this package. Whatever they are given is escaped."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sqlgen.errors import UsageError
from sqlgen.explore.pages.numbers import count, number, size
from sqlgen.lake import storage
from sqlgen.templating.secrets import hidden

GENERATOR = "sqlgen"
"""Name in the head of every page: a file without it is not overwritten."""
_TEMPLATES = Path(__file__).parent / "templates"
_HEAD = 4096
"""Bytes of a file in which its maker is looked for."""


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_without_secrets,
    )
    found.filters |= {"count": count, "number": number, "size": size, "script": script}
    found.globals |= {"asset": asset, "generator": GENERATOR}
    return found


def _without_secrets(value: Any) -> Any:
    """A text before it is escaped; what is markup already was made of such texts."""
    return hidden(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render(template: str, **context: Any) -> str:
    """Text of a page."""
    return _environment().get_template(f"{template}.html.j2").render(**context)


@cache
def asset(name: str) -> Markup:
    """Text of a style sheet or script of this package."""
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # a file of this package


def script(data: Any) -> Markup:
    """Data as JSON within a script, which no text in it can end."""
    text = hidden(data) if isinstance(data, str) else json.dumps(hidden(data), default=str)
    return Markup(text.replace("<", "\\u003c"))


def write(path: Path, content: str | bytes) -> None:
    """Write a page or picture in one step; :class:`UsageError` where a file of others is."""
    data = content.encode() if isinstance(content, str) else content
    if path.is_symlink() or (path.exists() and not is_ours(path)):
        raise UsageError(f"{path} is there already, and not written by sqlgen. Remove it, or choose another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.replace_bytes(path, data)


def is_ours(path: Path) -> bool:
    """True if sqlgen has written a file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_HEAD)
