"""Quarantined rows of a unit: staged, and published together with it in a table of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import duckdb
from msgspec import Struct, field, structs

from sqlgen.compile import checksql
from sqlgen.compile.statements import FOOTER_KEY
from sqlgen.errors import TaskError
from sqlgen.lake import storage, swap
from sqlgen.lake.storage import Stat
from sqlgen.published.footers import Stamp
from sqlgen.templating.templates import Library


class Quarantine(Struct):
    """The quarantined rows of one unit, staged."""

    library: Library
    folder: Path
    """Staging folder; exists if there are any rows."""
    target: Path
    """Folder where they are published."""
    lake: Path
    stamp: Stamp
    """For the footers."""
    files: dict[str, Stat] = field(default_factory=dict)

    def add(self, select: str, stem: str, connection: duckdb.DuckDBPyConnection, sql: list[str]) -> int:
        """Stage the rows of a SELECT as one more file, whose name begins with ``stem``; return their number.

        The SELECT names columns of the quarantine table (``publish/quarantine.sql.j2``); the others are NULL. The
        statement is appended to ``sql`` before it runs.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{stem}-{len(self.files)}.parquet"
        keys = [key for key, _ in self.stamp.record.partition.values]
        rows = checksql.quarantine(self.library, select, keys)
        stamp = structs.replace(self.stamp, stem=path.stem).to_json()
        context = {"rows": rows, "target": str(path), "footer": FOOTER_KEY, "stamp": stamp}
        sql.append(self.library.render("publish/quarantine_copy.sql.j2", **context))
        count = int(connection.execute(sql[-1]).fetchall()[0][0])
        if count:
            self.files[path.name] = Stat.of(path.stat())
        else:
            path.unlink()
        return count

    def keep(self, names: Iterable[str]) -> None:
        """Take over published files, by a hard link or a copy."""
        for name in names:
            if not (self.target / name).exists():
                raise TaskError(
                    f"{self.target / name} is missing: rows that were quarantined when their files were appended."
                    " Restore it, or rebuild from the inputs that are there with --full-refresh"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            storage.link_or_copy(self.target / name, self.folder / name)
            self.files[name] = Stat.of((self.folder / name).stat())

    def publish(self) -> None:
        """Replace the content of the target by these rows in one step; without any, remove it."""
        if self.files:
            swap.publish_folder(self.folder, self.target)
            self.files |= {name: Stat.of((self.target / name).stat()) for name in self.files}
        elif self.target.exists():
            swap.remove(self.target, self.folder.with_name(f"{self.folder.name}-gone"), self.lake)

    def discard(self) -> None:
        if self.folder.exists():  # there is none as a rule, and to find that out so is cheaper
            shutil.rmtree(self.folder, ignore_errors=True)
