"""Examination of unknown files: groups, formats, adapters, and the entries for models.yaml."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
from msgspec import Struct, structs

from sqlgen.detect import remarks
from sqlgen.detect.candidates import Candidate, candidates, fingerprinted_options, variants
from sqlgen.detect.columns import headerless
from sqlgen.detect.columns.times import unzoned
from sqlgen.detect.contents import Sampler, Trial
from sqlgen.detect.coverage import coverage_of, followed, source_files
from sqlgen.detect.files import vendors as vendor_table
from sqlgen.detect.files.filegroups import FileGroup, find, grouped
from sqlgen.detect.files.layout import GroupContext, path_layout, without_key
from sqlgen.detect.files.pathnames import folder_of
from sqlgen.detect.files.vendors import Vendor
from sqlgen.detect.findings import Choice, Contents, Examination, Finding
from sqlgen.detect.proposal import ProposedSource, propose_source
from sqlgen.detect.rowmarkets import rows_say_contract, rows_say_more
from sqlgen.detect.signaudit import with_sign_audit
from sqlgen.detect.trial import TrialSource, adapters, default_options
from sqlgen.errors import SqlgenError, UsageError, first_line
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.lake.storage import format_of
from sqlgen.project.config import Source
from sqlgen.project.model import adapter_template
from sqlgen.templating.templates import Library

SAMPLE_ROWS = 50_000
"""Rows read per sample file."""
SAMPLE_PARTITIONS = 3
SAMPLE_FILES = 4
"""Sample files per partition."""
CLEAR = 4
"""Number of columns that identify an adapter without doubt."""
TRIED = 5
"""Maximum number of adapters that are tried on a group."""
SENSIBLE, SENSELESS = 0.05, 0.5
"""Shares of odd rows up to which no other adapter is tried, and above which a guessed map of columns is refused."""


class Request(Struct, frozen=True):
    """Path to examine, and settings."""

    path: Path
    library: Library
    lake: Path | None = None
    full: bool = False
    """Read all files in full, not a sample."""


class Attempt(Struct, frozen=True):
    """An adapter, the source with which it would read a group, and the trial read of a few rows."""

    candidate: Candidate
    proposed: ProposedSource
    trial: Trial

    @property
    def sensible(self) -> bool:
        """True if the adapter reads the files, and its rows make sense: where it is but a guess, most of them must."""
        return self.trial.works and not (self.candidate.generic and self.trial.nonsense > SENSELESS)

    @property
    def settles(self) -> bool:
        """True if no other adapter need be tried."""
        return self.trial.works and self.trial.nonsense <= SENSIBLE


class Examiner(Struct, frozen=True):
    """Examines the groups of files under one path."""

    library: Library
    lake: Path
    vendors: Mapping[str, Vendor]
    groups: Sequence[FileGroup]
    folder: Path
    full: bool

    def finding(self, group: FileGroup) -> Finding:
        """The finding on a group of files."""
        sample = group.sample
        unread = self._unread(group)
        tried = list(self._tried(group)) if sample.format and unread.layout.usable else []
        working = sorted((one for one in tried if one.sensible), key=lambda one: round(one.trial.nonsense, 1))
        untried = sample.empty or sample.problem or sample.format == "dbn"
        chosen = (working or [one for one in tried if one.candidate.named and untried])[:1]
        chosen += [one for one in working if one.candidate.messages and one not in chosen]
        chosen += [other for one in chosen for other in self._beside(group, one)]
        placed = chosen[0].proposed if chosen else unread
        works = [one for one in chosen if one.trial.works]
        read = [self._contents(group, one.proposed) for one in works]
        notes = [*remarks.problems(self.library, self.vendors, group), *placed.notes]
        notes += [said for said in (*(one for _, one in read), *(one.trial.mixture for one in chosen)) if said]
        notes += [note for contents, _ in read if contents is not None for note in remarks.of_contents(contents)]
        notes += remarks.merged(placed.entry, group.paths)
        notes += remarks.counted(self.vendors, [one.candidate for one in works], [one for one, _ in read], sample)
        notes += [remarks.UNZONED for one in chosen if unzoned(headerless.named(sample), one.candidate.options)][:1]
        notes += [remarks.EARLIER for one in chosen if one.trial.early][:1]
        if not chosen and not sample.problem and unread.layout.usable:
            notes += remarks.unknown(self.library, group, self.vendors, [(one.candidate, one.trial) for one in tried])
        return Finding(
            layout=coverage_of(placed, group),
            format=sample.format,
            packing=sample.packing,
            delimiter=sample.delimiter,
            columns=sample.columns,
            choices=tuple(self._choice(one, _rivalled(one, tried)) for one in chosen),
            others=tuple(self._choice(one) for one in tried if one not in chosen)[:3],
            contents=tuple(contents for contents, _ in read if contents is not None),
            notes=tuple(notes),
        )

    def _context(self, group: FileGroup) -> GroupContext:
        return context_of(group, self.groups, self.lake)

    def _unread(self, group: FileGroup) -> ProposedSource:
        """Layout of files that no adapter reads."""
        return propose_source(path_layout(group.paths, None, self._context(group)), None, None, group.sample)

    def _proposed(
        self, group: FileGroup, candidate: Candidate, in_rows: Collection[str] = (), nameless: bool = False
    ) -> ProposedSource:
        vendor = self.vendors.get(candidate.adapter)
        where = path_layout(group.paths, vendor if candidate.named else None, self._context(group))
        for key in in_rows:
            where = without_key(where, key, group.example)
        depths = vendor.depths(group.example, group.sample.messages) if vendor is not None else []
        if len(depths) > 1 or (depths and self._captured(candidate.adapter) == "all"):  # one of the feeds
            candidate = structs.replace(candidate, options={**candidate.options, "depth": depths[-1]})
        row_keys = [key for key in self._row_keys(candidate) if not (nameless and key == "symbol")]
        found = propose_source(where, candidate, vendor, group.sample, row_keys)
        if len(depths) != 1 or "depth" in candidate.options or depths[0] == self._captured(candidate.adapter):
            return found
        return structs.replace(found, entry={**found.entry, "captured_levels": depths[0]})

    def _captured(self, adapter: str) -> object:
        """Levels that an adapter's feed sends at most, as its template declares."""
        return self.library.captured_levels(adapter_template(adapter), default_options(self.library, adapter))

    def _row_keys(self, candidate: Candidate) -> tuple[str, ...]:
        try:
            source = Source(path="x", adapter=candidate.adapter, options=dict(candidate.options))
            return TrialSource(self.library, self.lake, source).row_keys()
        except SqlgenError:
            return ()

    def _tried(self, group: FileGroup) -> Iterator[Attempt]:
        """Candidates with their trial reads, the best first, up to one whose rows make sense and its equals."""
        found = candidates(self.library, self.vendors, group.sample, group.example)
        done: Candidate | None = None
        for number, candidate in enumerate(found):
            passed = number >= TRIED or (done is not None and candidate.rank < done.rank)
            passed = passed and not candidate.messages  # a recording may hold several feeds
            if passed or not candidate.readable:
                yield Attempt(candidate, self._proposed(group, candidate), Trial())
                continue
            ways = [self._try(group, candidate)]
            if not ways[0].settles:
                ways += [self._try(group, variant) for variant in variants(self.library, candidate)]
            best = min(ways, key=lambda way: (not way.trial.works, round(way.trial.nonsense, 1)))
            done = candidate if done is None and best.settles else done
            yield best

    def _try(self, group: FileGroup, candidate: Candidate) -> Attempt:
        proposed = self._proposed(group, candidate)
        trial = self._trial(group, proposed)
        longer = trial.mixture or rows_say_more(group, proposed, guessed=not candidate.named)
        longer = longer or ("symbol" in self._row_keys(candidate) and rows_say_contract(group, proposed))
        in_rows = [
            key
            for key, wrong in (("symbol", longer), ("date", trial.early))
            if wrong and f"{{{key}}}" in proposed.layout.pattern  # this part of the path is not what rows say
        ]
        if in_rows:
            proposed = self._proposed(group, candidate, in_rows)
            trial = structs.replace(self._trial(group, proposed), early=trial.early)
        if trial.nameless:
            proposed = self._proposed(group, candidate, nameless=True)
            trial = self._trial(group, proposed)
        return Attempt(candidate, proposed, trial)

    def _trial(self, group: FileGroup, proposed: ProposedSource) -> Trial:
        if group.sample.empty or group.sample.problem:
            return Trial(error=group.sample.problem or "the files are empty")
        files = source_files(proposed, group.paths, 1, SAMPLE_FILES, group.example)
        return self._sampler.trial(proposed.source, files)

    @property
    def _sampler(self) -> Sampler:
        return Sampler(self.library, self.lake, self.folder)

    def _beside(self, group: FileGroup, one: Attempt) -> Iterator[Attempt]:
        """Other adapters that read something else from the same files."""
        vendor = self.vendors.get(one.candidate.adapter)
        for name in vendor.beside if vendor is not None else ():
            if name in adapters(self.library):
                found = self.vendors.get(name)
                options = fingerprinted_options(self.library, name, found, group.example)
                other = structs.replace(one.candidate, adapter=name, options=options, beside=one.candidate.adapter)
                proposed = propose_source(one.proposed.layout, other, found, group.sample, self._row_keys(other))
                trial = self._trial(group, proposed)
                if trial.works:
                    yield Attempt(other, proposed, trial)

    def _choice(self, one: Attempt, rivalled: bool = False) -> Choice:
        candidate, trial = one.candidate, one.trial
        vendor = self.vendors.get(candidate.adapter)
        why = candidate.why(vendor)
        known = bool(candidate.named or candidate.messages)
        clear = known or (len(candidate.matched) >= CLEAR and not candidate.counted and not (vendor and vendor.alike))
        if trial.works:
            why.append(f"its first rows are read as {trial.kind}{remarks.quality(trial)}")
        elif trial.error:
            why.append(f"but {remarks.shortened(trial.error)}")
        certain = clear and (known or not candidate.missing) and not candidate.generic and trial.nonsense <= SENSELESS
        sure = "possible" if not one.sensible else "certain" if certain and not rivalled else "likely"
        return Choice(candidate.adapter, sure, tuple(why), one.proposed.entry, one.proposed.remarks)

    def _contents(self, group: FileGroup, proposed: ProposedSource) -> tuple[Contents | None, str]:
        """Statistics of a sample (or of all rows), and the error if they cannot be computed."""
        files = source_files(proposed, group.paths, None if self.full else SAMPLE_PARTITIONS, SAMPLE_FILES)
        try:
            rows = None if self.full else SAMPLE_ROWS
            return self._sampler.contents(proposed.source, files, rows, followed(proposed, group.paths, files)), ""
        except (SqlgenError, duckdb.Error) as error:
            return None, f"reading failed: {self._sampler.plain(first_line(error))}"


def _rivalled(one: Attempt, tried: Sequence[Attempt]) -> bool:
    """True if another adapter matches as well."""
    rivals = [other for other in tried if other is not one and other.candidate.rank == one.candidate.rank]
    return bool(rivals) and not (one.candidate.beside or one.candidate.messages)


def context_of(group: FileGroup, groups: Sequence[FileGroup], lake: Path | None) -> GroupContext:
    """Other files around a group."""
    others = [path for other in groups if other is not group for path in other.paths if format_of(path)]
    return GroupContext(lake, others, bool(group.sample.format) and format_of(group.example) != group.sample.format)


def examine(request: Request) -> Examination:
    """Examine all files under a path; :class:`UsageError` if there are none."""
    path = Path(request.path).absolute()
    if not path.exists():
        raise UsageError(f"{request.path}: no such file or folder")
    files, published, non_data = find(path)
    if not files:
        skipped = f"; {published} folder(s) published by sqlgen were skipped" if published else ""
        raise UsageError(f"{request.path}: no files (hidden ones are skipped){skipped}")
    vendors = vendor_table.load(request.library)
    groups = grouped(files, path, vendors)
    known = request.lake is not None and path.is_relative_to(request.lake.absolute())
    notes = (
        []
        if known or request.lake is None
        else [f"{path} is not under the lake {request.lake}: move it there, link it, or name another lake"]
    )
    if non_data:
        notes.append(f"{len(non_data)} that cannot be data were skipped, the first is {non_data[0]}")
    if published:
        notes.append(f"{published} folder(s) published by sqlgen were skipped")
    lake = request.lake.absolute() if known and request.lake else _lake_over(path, groups, vendors)
    with tempfile.TemporaryDirectory(prefix="sqlgen-") as folder:
        examiner = Examiner(request.library, lake, vendors, groups, Path(folder), request.full)
        findings = with_sign_audit(request.library, [examiner.finding(group) for group in groups])
    return Examination(str(path), str(lake), known, findings, tuple(notes))


def _lake_over(path: Path, groups: Sequence[FileGroup], vendors: Mapping[str, Vendor]) -> Path:
    """A lake in which every group is in a folder: the examined path, or one above it, in the same object store."""
    folders = []
    for group in groups:
        vendor = next((vendor for vendor in vendors.values() if vendor.fitting(group.example)), None)
        folders.append(folder_of(path_layout(group.paths, vendor, context_of(group, groups, None)).base))
    found, mount = Path(os.path.commonpath([*folders, str(path)])), mount_of(path)
    return found if mount is None or found.is_relative_to(mount.root) else mount.root
