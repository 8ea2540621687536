"""SQL of the engine itself: the templates in ``transforms_sql/queries``."""

from __future__ import annotations

from typing import Any

from sqlgen.templating.templates import packaged


def query(name: str, /, **context: Any) -> str:
    """SQL of one of the engine's own templates."""
    return packaged().render(f"queries/{name}.sql.j2", **context)
