"""Build of one unit: its statements, its staged files, its notes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, structs

from sqlgen.builders.inputs import TaskInputs, published_scan, rows_of_first_input
from sqlgen.builders.ownfiles import own_files
from sqlgen.builders.rowchecks import RowChecks
from sqlgen.builders.sourcechecks import UnitSource, check_source
from sqlgen.builders.workspace import Workspace
from sqlgen.compile.scope import Scan, Scope
from sqlgen.compile.statements import Target
from sqlgen.errors import TaskError
from sqlgen.lake.reads import Identities
from sqlgen.plan.plan import Build
from sqlgen.project.model import Model
from sqlgen.published.footers import Stamp
from sqlgen.published.records import Publication, Published
from sqlgen.sources.staged import InputStager


class Job(Struct, frozen=True):
    """The running build of one unit."""

    workspace: Workspace
    task: Build
    model: Model
    publication: Publication
    old: Published | None
    """The unit published before, if its rows are merged or stay."""
    folder: Path
    """Folder of the files to publish."""
    stager: InputStager
    checks: RowChecks
    notes: list[str]
    """Notes for the user, in order; reported also if the task fails."""
    looks: Identities
    """Source files before they are read."""

    @property
    def inputs(self) -> TaskInputs:
        return TaskInputs(self.workspace, self.task, self.model, self.stager)

    @property
    def stem(self) -> str:
        """Start of the names of the unit's data files."""
        return self.workspace.stem(self.task.model, self.publication)

    def target(self, stem: str, columns: Mapping[str, str]) -> Target:
        """Staged target of a COPY whose files' names begin with ``stem``."""
        types = self._inner_types(columns)
        record = structs.replace(self.publication, types=types)
        stamp = Stamp(self.task.model, self.workspace.owner(self.task.model), stem, record)
        path = self.folder if self.model.inner_keys else self.folder / f"{stem}.parquet"
        return Target(
            str(path),
            record.partition,
            stem,
            stamp.to_json(),
            types,
            self.workspace.picture.compiler.singles(self.model, columns),
        )

    def columns(self, scope: Scope) -> dict[str, str]:
        """Columns of the result with their types, where the target depends on them."""
        if not self.model.inner_keys and self.model.output.float == "double":
            return {}
        select = self.workspace.picture.compiler.rows(self.model, scope)
        return self.checks.columns(select)

    def _inner_types(self, columns: Mapping[str, str]) -> dict[str, str]:
        """SQL types of the partition columns below the unit, from the types of all columns."""
        missing = [key for key in self.model.inner_keys if key not in columns]
        if missing:
            raise TaskError(f"the result has no column {', '.join(missing)}, by which the table is partitioned")
        types = {name: "VARCHAR" if kind.startswith("ENUM") else kind for name, kind in columns.items()}
        return {key: types[key] for key in self.model.inner_keys}

    def check_sources(self, stem: str, scope: Scope) -> None:
        """Check the rows of the sources in the task's own partitions."""
        for entry, part, files in own_files(self.model, self.task.slices, self.workspace.picture.source_files):
            scan = self.inputs.scan(entry, part)
            assert scan is not None
            decoded = self.stager.decoded.get(entry.ref, {})
            unit = UnitSource(self.checks, entry, files, lambda scan=scan: scan, decoded, stem)  # type: ignore[misc]
            for error in check_source([unit], scan, files.all).values():
                raise error
            unit.signs(scope.inputs)

    def published_scan(self) -> Scan | None:
        """The files of :attr:`old`."""
        return published_scan(self.workspace, self.task.model, [self.old] if self.old is not None else [])

    def rows_in(self) -> int:
        """Rows of the task's own partitions of its first input."""
        return rows_of_first_input(self.workspace, [self.task], self.stager)[0]

    def clear(self, inputs: bool) -> None:
        """Remove what is staged; the ``inputs`` too."""
        if inputs:
            self.stager.clear()
        self.checks.discard()
        shutil.rmtree(self.folder, ignore_errors=True)
