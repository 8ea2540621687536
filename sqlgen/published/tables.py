"""Published tables in the lake: the files that are there, compared with their records.

The files are the truth. Missing records (the state folder is gone, a run was killed) are read from their footers.
Foreign files are reported, and neither replaced nor removed.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field, structs

from sqlgen.lake import storage
from sqlgen.lake.partitions import Partition
from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import Stat, is_hidden
from sqlgen.published.footers import LATER, DamagedFileError, ForeignFileError
from sqlgen.published.ownership import Reader, Stamped, assembled, refuse
from sqlgen.published.records import Publication, Published
from sqlgen.published.timeline import Timelines

LEGACY = "_sqlgen.json"
"""Beside the data of each partition that an earlier version of sqlgen published."""
_SHOWN = 3


class Table(Struct):
    """One model's table: its published units, and foreign files in its folder."""

    root: Path
    beside: Path
    """Folder of its quarantined rows."""
    reader: Reader
    records: dict[Partition, Published]
    present: set[Partition] = field(default_factory=set)
    """Units whose files match their record, quarantine included."""
    whole: set[Partition] = field(default_factory=set)
    """Units whose files match their record, quarantine aside."""
    adopted: set[Partition] = field(default_factory=set)
    """Units whose records come from the footers."""
    gone: set[Partition] = field(default_factory=set)
    """Units that were recorded under another ``partition_by`` than the table has now."""
    files: dict[Partition, dict[str, Stat]] = field(default_factory=dict)
    """Files of each unit that the model has published, by their paths below the unit's folder."""
    foreign_files: dict[Path, str] = field(default_factory=dict)
    """Files that the model has not published, with the reason."""
    left_out: bool = False
    """True if it has further units, of symbols that are left out."""
    _settings: dict[tuple[str, ...], dict[str, dict[str, str]]] = field(default_factory=dict)

    def compare(self, found: Mapping[str, Stat], quarantine: Mapping[str, Stat]) -> None:
        """Compare the records with the files that are there, and read the footers of those that differ."""
        self._compare(found)
        self.whole = set(self.present)
        self._compare_quarantine(quarantine)
        self._forget_old_layouts()

    def refusal(self) -> str:
        """Reason why the model cannot publish here; empty if it can."""
        if not self.foreign_files:
            return ""
        shown = [f"{path} ({why})" for path, why in list(self.foreign_files.items())[:_SHOWN]]
        more = [f"and {len(self.foreign_files) - _SHOWN} more"] if len(self.foreign_files) > _SHOWN else []
        earlier = any((path.parent / LEGACY).exists() for path in self.foreign_files)
        if later := next((path for path, why in self.foreign_files.items() if why == LATER), None):
            return f"model '{self.reader.model}': {later}: {LATER}. Use that version. Nothing was replaced or removed"
        hint = (
            "An earlier version of sqlgen published this table: move its folder away, and run again to build it anew"
            if earlier
            else "Move them away, or give the model another output.path"
        )
        return (
            f"model '{self.reader.model}': files that it did not publish lie where it publishes:"
            f" {'; '.join([*shown, *more])}. They are neither replaced nor removed. {hint}"
        )

    def sources(self, unit: Partition) -> dict[str, list[list[Any]]]:
        """Input files that a published unit was made from, by input; empty if unknown."""
        record = self.footer(unit)
        return record.sources if record is not None else {}

    def settings(self, unit: Partition) -> dict[str, dict[str, str]]:
        """Settings of a published unit; empty if unknown. One look for all units that have the same."""
        key = _made_with(self.records[unit])
        if key not in self._settings:  # of any such unit: one without rows has no file
            known = (other for other in self.present if other in self.records)
            footers = filter(None, (self.footer(other) for other in known if _made_with(self.records[other]) == key))
            self._settings[key] = next((footer.settings for footer in footers), {})
        return self._settings[key]

    def footer(self, unit: Partition) -> Publication | None:
        """Record in the footer of a file of a unit."""
        for name in self.records[unit].files:
            with contextlib.suppress(ForeignFileError):
                return self.reader.read(self.root, _path(unit, name), recorded=True)[0].record
        return None

    def replaced(self, unit: Partition, record: Published | None) -> None:
        """Record that a unit was published, or removed."""
        self.files[unit] = dict(record.files) if record is not None else {}
        if record is not None:
            self.records[unit] = record
        else:
            self.records.pop(unit, None)
        self.present.add(unit)
        self.whole.add(unit)

    def verify(self, unit: Partition) -> None:
        """Check again before a unit is replaced; :class:`TaskError` if foreign files are in the way."""
        record = self.records.get(unit)
        there = storage.list_all(self.root / unit.path)
        foreign = self._foreign(self.root, unit.path, there, self.files.get(unit, {}))
        quarantine = record.quarantine if record is not None else {}
        foreign += self._foreign(self.beside, unit.path, storage.list_all(self.beside / unit.path), quarantine)
        refuse(self.reader.model, foreign)

    def verify_whole(self) -> None:
        """Check again before the whole table is replaced, as :meth:`verify` does."""
        known = {_path(unit, name): stat for unit, files in self.files.items() for name, stat in files.items()}
        beside = {
            _path(unit, name): s for unit, record in self.records.items() for name, s in record.quarantine.items()
        }
        foreign = self._foreign(self.root, "", storage.list_all(self.root), known)
        foreign += self._foreign(self.beside, "", storage.list_all(self.beside), beside)
        refuse(self.reader.model, foreign)

    def _foreign(self, root: Path, below: str, there: Mapping[str, Stat], known: Mapping[str, Stat]) -> list[str]:
        """Foreign files among those below a folder, with the reasons."""
        found = []
        for name, stat in there.items():
            if known.get(name) == stat or is_hidden(name):
                continue
            path = f"{below}/{name}" if below else name
            try:
                self.reader.read(root, path)
            except ForeignFileError as error:
                if name not in known or not isinstance(error, DamagedFileError):
                    found.append(f"{root / path} ({error})")
        return found

    def _compare(self, found: Mapping[str, Stat]) -> None:
        left = dict(found)
        damaged: dict[str, Partition] = {}
        for unit, record in self.records.items():
            paths = {_path(unit, name): stat for name, stat in record.files.items()}
            if all(found.get(path) == stat for path, stat in paths.items()):
                self.present.add(unit)
                self.files[unit] = dict(record.files)
                for path in paths:
                    del left[path]
            else:
                damaged |= dict.fromkeys(paths, unit)
        stamped: dict[Partition, Stamped] = collections.defaultdict(dict)
        unknown = sorted(path for path in left if not is_hidden(path))
        mounts.fetch_ends(self.root / path for path in unknown)
        for path in unknown:
            self._read_footer(path, stamped, damaged)
        for unit in self.present & stamped.keys():
            for name in self.files[unit]:  # the unit is there, with additional files
                self._read_footer(_path(unit, name), stamped, {})
        for unit, inside in stamped.items():
            self._adopt(unit, inside)

    def _read_footer(self, path: str, stamped: dict[Partition, Stamped], recorded: Mapping[str, Partition]) -> None:
        """Read a footer. A damaged file that is recorded was published here; any other is foreign."""
        try:
            stamp, footer = self.reader.read(self.root, path)
        except ForeignFileError as error:
            if path in recorded and isinstance(error, DamagedFileError):
                unit = recorded[path]
                stat = Stat.of((self.root / path).stat())
                self.files.setdefault(unit, {})[path.removeprefix(_path(unit, ""))] = stat
            else:
                self.foreign_files[self.root / path] = str(error)
            return
        unit = stamp.record.partition
        stamped[unit][path.removeprefix(_path(unit, ""))] = stamp, footer

    def _adopt(self, unit: Partition, inside: Stamped) -> None:
        """Take the record of a unit from the footers of its files, if they belong to one build."""
        old = self.records.get(unit)
        damaged = unit not in self.present and bool(self.files.get(unit))
        self.files[unit] = self.files.get(unit, {}) | {name: footer.stat for name, (_, footer) in inside.items()}
        self.present.discard(unit)
        record = assembled(inside)
        if record is None or damaged:
            return
        if old is not None and old.build == record.build:
            if old.files.keys() - record.files.keys():
                return
            record = structs.replace(old, files=record.files)
        elif old is not None and record.mode == "append" and _misses(record, old):
            return
        self.records[unit] = record
        self.present.add(unit)
        self.adopted.add(unit)

    def _compare_quarantine(self, found: Mapping[str, Stat]) -> None:
        folders: dict[str, dict[str, Stat]] = collections.defaultdict(dict)
        for path, stat in found.items():
            folder, _, name = path.rpartition("/")
            if not is_hidden(path):
                folders[folder][name] = stat
        for unit, record in self.records.items():
            there = folders.pop(unit.path, {})
            if not (there or record.quarantine) or _sizes(there) == _sizes(record.quarantine):
                continue
            builds = self._builds(unit.path, there, record.quarantine)
            if unit in self.adopted and builds and not record.quarantine and self._belong(unit, builds):
                self.records[unit] = structs.replace(record, quarantine=there)
            else:
                self.present.discard(unit)
        for folder, inside in folders.items():
            self._builds(folder, inside, ())

    def _builds(self, folder: str, names: Iterable[str], recorded: Container[str]) -> set[str]:
        """Builds to which files of quarantined rows belong; other files are foreign, as for :meth:`_read_footer`."""
        builds = set()
        for name in names:
            path = f"{folder}/{name}" if folder else name
            try:
                builds.add(self.reader.read(self.beside, path)[0].record.build)
            except ForeignFileError as error:
                if name in recorded and isinstance(error, DamagedFileError):
                    builds.add("")
                else:
                    self.foreign_files[self.beside / path] = str(error)
        return builds

    def _belong(self, unit: Partition, quarantined: set[str]) -> bool:
        """True if these builds are those of a unit's files, or came before files that maintenance has replaced."""
        stamps = [self.reader.read(self.root, _path(unit, name))[0].record for name in self.records[unit].files]
        replaced = max((stamp.build for stamp in stamps if stamp.replaces), default="")
        return all(build <= replaced for build in quarantined - {stamp.build for stamp in stamps})

    def restore_states(self, state_of: Callable[[Partition, str], str]) -> None:
        """Fill in the kernel states of adopted units: from ``state_of`` (unit and build), or from the unit after it."""
        for timeline in Timelines.of(self.records if self.adopted else ()).lists.values():
            following: Published | None = None
            for unit in reversed(timeline):
                record = self.records[unit]
                if record.kernels and not record.state and unit in self.adopted:
                    started = following.before if following is not None and following.build > record.build else ""
                    state = state_of(unit, record.build) or started or f"lost {record.build}"
                    self.records[unit] = structs.replace(record, state=state)
                following = record

    def _forget_old_layouts(self) -> None:
        """Drop records under another ``partition_by`` whose files are gone: the table was replaced as a whole."""
        layouts = {record.keys for unit, record in self.records.items() if record.files and unit in self.present}
        for unit, record in list(self.records.items()):
            if layouts and record.keys not in layouts and not self.files.get(unit):
                del self.records[unit]
                self.present.discard(unit)
                self.gone.add(unit)


def _misses(record: Published, old: Published) -> bool:
    """True if files of an earlier publication are missing that maintenance has not replaced."""
    return record.replaces != old.build and bool(old.files.keys() - record.files.keys())


def _made_with(record: Published) -> tuple[str, ...]:
    """Digests of the settings that a unit was made with."""
    return record.options, record.kernels, record.checks, record.sql


def _path(unit: Partition, name: str) -> str:
    return f"{unit.path}/{name}" if unit.path else name


def _sizes(files: Mapping[str, Stat]) -> dict[str, int]:
    return {name: stat.size for name, stat in files.items()}
