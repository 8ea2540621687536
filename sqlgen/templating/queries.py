"""SQL of the engine itself: the templates in ``transforms_sql/queries``."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlgen.templating.templates import Library


@cache
def _library() -> Library:
    return Library()


def query(name: str, /, **context: Any) -> str:
    """SQL of one of the engine's own templates."""
    return _library().render(f"queries/{name}.sql.j2", **context)
