"""Journal of source files deleted after processing: a new file may take the name of a deleted one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from msgspec import Struct, field

from sqlgen.lake import sealed, storage

FileKey = tuple[str, int, int]
"""Path, size and mtime_ns of a file as it was read."""


class Deletions(Struct, dict=True):
    """Journal of deleted files; read when a path comes again."""

    path: Path | None = None
    _added: dict[FileKey, bool] = field(default_factory=dict)

    def __contains__(self, file: FileKey) -> bool:
        return self._added.get(file, self._recorded.get(file, False))

    def add(self, files: Iterable[FileKey], gone: bool = True) -> None:
        """Record that files are about to be deleted; or, not ``gone``, that they were not deleted after all."""
        files = [(path, size, mtime) for path, size, mtime in files]
        assert self.path is not None
        if files:
            lines = (json.dumps([*file, gone], separators=(",", ":")) for file in files)
            storage.append_lines(self.path, lines)
            self._added |= dict.fromkeys(files, gone)

    @cached_property
    def _recorded(self) -> dict[FileKey, bool]:
        """Deletions in the journal, without incomplete lines of a crash."""
        recorded_files: dict[FileKey, bool] = {}
        try:
            lines = sealed.read_text(self.path, errors="replace").splitlines() if self.path else []
        except FileNotFoundError:
            return recorded_files
        for line in lines:
            try:
                path, size, mtime, gone = json.loads(line)
            except (ValueError, TypeError):
                continue
            recorded_files[str(path), int(size), int(mtime)] = bool(gone)
        return recorded_files
