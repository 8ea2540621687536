"""The checkout's own folders, to see that tests leave them alone."""

from __future__ import annotations

import os
from pathlib import Path

WRITTEN = ("lake", "target", "build", "dist")
"""Folders that commands of a user write into, where they stand."""
CACHES = (".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache", "__pycache__")


def contents(root: Path) -> dict[str, tuple[int, int]]:
    """What lies at the top of the checkout, and every file below the folders that commands write: size and time."""
    found = {name: (0, 0) for name in os.listdir(root) if name not in CACHES and not name.startswith(".coverage")}
    for path in (path for folder in WRITTEN for path in (root / folder).rglob("*")):
        if path.is_file():
            state = path.stat()
            found[str(path.relative_to(root))] = state.st_size, state.st_mtime_ns
    return found
