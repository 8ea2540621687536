"""Units of one model: provenance, and reason to build."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from sqlgen.compile.compiledmodel import digest
from sqlgen.compile.scope import Edge
from sqlgen.lake.deletions import Deletions
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.plan.picture import Picture
from sqlgen.plan.plan import Build, Slice
from sqlgen.plan.publishedunits import PublishedUnits
from sqlgen.plan.selection import Selection
from sqlgen.plan.staleness import FULL_REFRESH, changed_settings, differences
from sqlgen.project.model import Model, ModelInput
from sqlgen.published.records import Provenance, Published


class Units(Struct):
    """Units of one model, compared with the published ones."""

    picture: Picture
    published: PublishedUnits
    model: Model
    selection: Selection
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Errors that do not keep units from being built."""
    remarked: set[Partition] = field(default_factory=set)
    """Units that notes or errors are about."""

    def build(self, unit: Partition, slices: tuple[Slice, ...], edges: frozenset[Edge], because: str = "") -> Build:
        """Task of a unit; its reason is empty if the unit is up to date and ``because`` is empty."""
        previous = self.published.previous(self.model, unit) if self.model.follows(unit) else None
        provenance = self._provenance(unit, slices, edges, previous)
        reason = self._reason(unit, provenance, slices) or because
        old = self._record(unit)
        beside = not slices[0].current and (old is None or not old.rows)
        return Build(self.model.name, unit, reason, provenance, edges, previous, beside, slices=slices)

    def resolved(self, task: Build, rebuilds_state: bool) -> Build:
        """Task after all that it needs is done; its reason is empty if the unit is up to date after all."""
        if self._reads_sources_alone:
            return task
        return self.build(task.unit, task.slices, task.edges, task.reason if rebuilds_state else "")

    @property
    def _reads_sources_alone(self) -> bool:
        """True if a run cannot change what a unit is made of: the listing of sources stays the same, records change."""
        model = self.model
        alone = all(entry.source is not None for entry in model.inputs)
        return alone and model.pipeline is None and model.output.mode == "overwrite"

    def _record(self, unit: Partition) -> Published | None:
        return self.published.record(self.model.name, unit)

    def _digest(self, entry: ModelInput, partitions: tuple[Partition, ...]) -> str:
        if entry.source is not None:
            return self.picture.files_digest(entry.ref, partitions)
        return digest([(partition.path, self.published.version(entry.ref, partition)) for partition in partitions])

    def _inputs(self, slices: tuple[Slice, ...]) -> dict[str, str]:
        entries = {entry.name: entry for entry in self.model.inputs}
        inputs = {part.name: self._digest(entries[part.name], part.current) for part in slices}
        for part in slices:
            for what, partitions in (("before", part.before), ("skipped", part.skipped), ("after", part.after)):
                if partitions:
                    inputs[f"{part.name} {what}"] = self._digest(entries[part.name], partitions)
        return inputs

    def _contributed(self, unit: Partition, slices: tuple[Slice, ...]) -> tuple[tuple[str, int, int], ...]:
        if self.model.output.mode != "append":
            return ()
        old = self._record(unit)
        known = () if old is None or self.selection.full_refresh else old.contributed
        files = new_files(slices[0].files, known, self.picture.deletions)
        return (*known, *((file.path, file.size, file.mtime_ns) for file in files))

    def _provenance(
        self, unit: Partition, slices: tuple[Slice, ...], edges: frozenset[Edge], previous: Partition | None
    ) -> Provenance:
        compiled = self.picture.compiler.compile(self.model.name)
        inputs, contributed = self._inputs(slices), self._contributed(unit, slices)
        relevant = tuple(sorted(edges & compiled.edges))
        mode = self.model.output.mode
        old = self._record(unit)
        # The result of a merge depends on all earlier merges.
        merged = old.version if mode == "merge" and old is not None else ""
        state = "" if previous is None else self.published.state(self.model.name, previous)
        return Provenance(
            unit=unit.path,
            keys=self.model.output.partition_by,
            version=digest(compiled.fingerprint, inputs, relevant, contributed, merged or state),
            sql=compiled.fingerprint,
            options=compiled.options_fingerprint,
            kernels=compiled.kernels_fingerprint,
            checks=compiled.checks_fingerprint,
            before=state,
            inputs=inputs,
            edges=relevant,
            mode=mode,
            contributed=contributed,
            sources={part.name: [list(file) for file in part.files] for part in slices if part.files},
            settings=compiled.settings,
        )

    def _reason(self, unit: Partition, want: Provenance, slices: tuple[Slice, ...]) -> str:
        old = self._record(unit)
        primary = self.model.primary
        had_none = old is not None and old.inputs.get(primary.name) == self._digest(primary, ())
        if old is None or (had_none and slices[0].current):
            return "new"
        if self.selection.full_refresh:
            return FULL_REFRESH
        if not self.model.config.checkpoint_enabled and self.model.output.mode != "append":
            return "checkpoint_enabled is false"
        table = self.picture.tables[self.model.name]
        if unit not in table.present:
            there = bool(table.files.get(unit))
            return "published files are not as they were published" if there else "published files are missing"
        if self.model.output.mode == "append":
            return self._append_reason(unit, old, want, slices)
        return differences(self.model, old, want, lambda: table.sources(unit), lambda: table.settings(unit))

    def _append_reason(self, unit: Partition, old: Published, want: Provenance, slices: tuple[Slice, ...]) -> str:
        if old.sql != want.sql:
            table = self.picture.tables[self.model.name]
            found = "; ".join(changed_settings(old, want, lambda: table.settings(unit)))
            note = f"{self.model.name}: {found}; appended rows stay as they are (--full-refresh rebuilds)"
            self.remarked.add(unit)
            if note not in self.notes:
                self.notes.append(note)
        if self._changed_files(old, slices):
            self.remarked.add(unit)
        new = len(want.contributed) - len(old.contributed)
        if new:
            return f"{new} new input file(s) ({slices[0].ref})"
        return ""

    def _changed_files(self, old: Published, slices: tuple[Slice, ...]) -> list[FileInfo]:
        """Files that changed after they were appended; each is reported."""
        done, files = {*old.contributed}, slices[0].files
        fresh = {*new_files(files, done, self.picture.deletions)}
        changed = [file for file in files if tuple(file) not in done and file not in fresh]
        for file in changed:
            what = f"{self.model.name}: {file.path} changed after it was appended; its rows stay as they were"
            if slices[0].ref in self.picture.project.deleting:
                self.refused.append(
                    f"{what}, and it is not deleted. If these are other rows, give the file another name"
                )
            else:
                self.notes.append(what)
        return changed


def new_files(
    files: Iterable[FileInfo], contributed: Iterable[tuple[str, int, int]], deletions: Deletions
) -> list[FileInfo]:
    """Files whose rows are not appended yet.

    A file that changed after it was appended is not new, unless the appended file is known to have been deleted since:
    then it is another file under the same name.
    """
    done = set(contributed)
    there = {path for path, size, mtime in done if (path, size, mtime) not in deletions}
    return [file for file in files if tuple(file) not in done and file.path not in there]
