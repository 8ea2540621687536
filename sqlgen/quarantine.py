"""Rows that are not published, beside the table: staged, swapped in with the partition they would belong to."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from sqlgen import checksql, storage
from sqlgen.errors import TaskError
from sqlgen.quoting import quoted
from sqlgen.statements import indent
from sqlgen.templates import Library


@dataclass
class Quarantine:
    """The quarantined rows of one unit, staged."""

    library: Library
    folder: Path
    """Where they are staged; exists if there are any."""
    target: Path
    """Where they are published."""
    lake: Path
    files: dict[str, int] = field(default_factory=dict)
    """File name -> size."""

    def add(self, select: str, stem: str, connection: duckdb.DuckDBPyConnection, sql: list[str]) -> int:
        """Stage the rows of a SELECT as one more file, whose name begins with ``stem``; how many there are.

        The SELECT gives columns of the quarantine table (``publish/quarantine.sql.j2``) by their names; those that it
        leaves out are NULL. The statement is appended to ``sql`` before it runs.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{stem}-{len(self.files)}.parquet"
        rows = indent(checksql.quarantine(self.library, select))
        sql.append(f"COPY (\n{rows}\n) TO {quoted(str(path))} (FORMAT parquet, COMPRESSION zstd);")
        count = int(connection.execute(sql[-1]).fetchall()[0][0])
        if count:
            self.files[path.name] = path.stat().st_size
        else:
            path.unlink()
        return count

    def keep(self, names: Iterable[str]) -> None:
        """Take over files that are published, under a second name of the same files."""
        for name in names:
            if not (self.target / name).exists():
                raise TaskError(
                    f"{self.target / name} is missing: rows that were quarantined when their files were appended."
                    " Restore it, or rebuild from the inputs that are there with --full-refresh"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            storage.link_or_copy(self.target / name, self.folder / name)
            self.files[name] = (self.folder / name).stat().st_size

    def publish(self) -> None:
        """Make these rows the content of the target in one step; without any, it goes."""
        if self.files:
            storage.publish(self.folder, self.target)
        elif self.target.exists():
            storage.remove(self.target, self.folder.with_name(f"{self.folder.name}-gone"), self.lake)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def fits(folder: Path, files: Mapping[str, int]) -> bool:
    """Whether a published quarantine holds these files, by name and size, and no others."""
    try:
        return {path.name: path.stat().st_size for path in folder.iterdir()} == dict(files)
    except OSError:
        return not files
