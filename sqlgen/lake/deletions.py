"""Source files that were deleted after processing: under their names, other files may come."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sqlgen.lake import storage

Known = tuple[str, int, int]
"""Path, size and mtime_ns of a file as it was read."""


@dataclass
class Deletions:
    """The journal of deleted files; read where a path comes again."""

    path: Path | None = None
    _added: dict[Known, bool] = field(default_factory=dict)

    def __contains__(self, file: Known) -> bool:
        return self._added.get(file, self._noted.get(file, False))

    def add(self, files: Iterable[Known], gone: bool = True) -> None:
        """Write down that files go, before they do; or, not ``gone``, that they stayed after all."""
        files = [(path, size, mtime) for path, size, mtime in files]
        assert self.path is not None
        if files:
            lines = (json.dumps([*file, gone], separators=(",", ":")) for file in files)
            storage.append_lines(self.path, lines)
            self._added |= dict.fromkeys(files, gone)

    @cached_property
    def _noted(self) -> dict[Known, bool]:
        """Deletions in the journal, without lines that a crash has torn."""
        noted: dict[Known, bool] = {}
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path else []
        except FileNotFoundError:
            return noted
        for line in lines:
            try:
                path, size, mtime, gone = json.loads(line)
            except (ValueError, TypeError):
                continue
            noted[str(path), int(size), int(mtime)] = bool(gone)
        return noted
