"""Template lines of rendered SQL."""

from __future__ import annotations

import re

_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
_NAMED = re.compile(r'"([^"\n]+)"')
_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")
_ENOUGH = 4
"""Characters outside expressions that a line needs to be identified."""


def template_line(template: str, sql: str, message: str) -> int | None:
    """The line of a template on which DuckDB's ``message`` about its rendered ``sql`` is; ``None`` if not found."""
    lines = template.splitlines()
    tokens = _NAMED.findall(message.splitlines()[0]) if message else []
    match = _LINE.search(message)
    rendered = sql.splitlines()[int(match.group(1)) - 1].strip() if match else ""
    alike = [number for number, line in enumerate(lines, 1) if rendered and _gives(line.strip(), rendered)]
    named = [n for n, line in enumerate(lines, 1) if any(_has(line, token) for token in tokens)]
    both = [number for number in alike if number in named]
    return next(iter(both or alike or named), None)


def _gives(line: str, rendered: str) -> bool:
    """True if a template line may have been rendered as this line."""
    if line == rendered:
        return True
    parts = _EXPRESSION.split(line)
    enough = sum(len(part.strip()) for part in parts) >= _ENOUGH
    return len(parts) > 1 and enough and re.fullmatch(".*".join(map(re.escape, parts)), rendered) is not None


def _has(line: str, token: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(token)}(?!\w)", line) is not None
