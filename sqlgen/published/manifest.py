"""Manifest: journals of the published units of each model: one, and one more of each shard that has built some.

The footer of each data file (:mod:`sqlgen.published.footers`) is the truth, as far as it was known before the file was
written. The journal is an index of the footers: it is read at every start, adds facts known only afterwards, and may
lag behind after a crash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import NamedTuple

from sqlgen.errors import UsageError
from sqlgen.lake import sealed, storage
from sqlgen.lake.partitions import Partition, Shard, symbol_of
from sqlgen.lake.storage import Stat
from sqlgen.published.footers import new_build
from sqlgen.published.records import Published

_SHARD = re.compile(r"\.([0-9]+)-of-([0-9]+)\.ndjson\Z")
_UNIT = re.compile(r'\{"(?:unit|removed)":"([^"\\]*)"')

SPARE = 100
"""Superseded lines that no journal is rewritten for."""


class Line(NamedTuple):
    """One line of a journal."""

    unit: str
    """Path of the unit that it is about; empty for the unit of a whole table, and if the line is damaged."""
    text: str

    @property
    def folder(self) -> str:
        return f"{self.unit}/"


class JournalEntry(NamedTuple):
    """The last line of a journal about one unit."""

    at: str
    """Build id that tells when it was written; empty in lines of earlier versions about removed units."""
    record: Published | None
    """``None``: the unit was removed."""
    text: str


class Manifest:
    """The journals of all models under the state folder, as far as they are about the symbols of a shard."""

    def __init__(self, folder: Path, shard: Shard | None = None) -> None:
        self.folder = folder
        self.shard = shard
        self.damaged: dict[Path, int] = {}
        """Journal -> number of damaged lines."""
        self._read: dict[Path, tuple[Stat, list[Line]]] = {}
        """Journal -> its size and time, and its lines (the last one is empty, or incomplete)."""
        self._parsed: dict[str, tuple[dict[str, Stat], dict[Partition, Published]]] = {}
        """Model -> its journals, and its records, once all of them were read."""
        self._rewritten: set[str] = set()
        """Models whose journals were rewritten here."""

    @property
    def problems(self) -> list[str]:
        """Damage found, in words."""
        return [
            f"{number} line(s) of {path} are damaged: their records are read from the table itself"
            for path, number in self.damaged.items()
        ]

    @classmethod
    def below(cls, state: Path, shard: Shard | None = None) -> Manifest:
        """Manifest of the project with this state folder."""
        return cls(state / "manifest", shard)

    def journals(self, model: str) -> list[Path]:
        """Journals that may tell of the symbols; the own one, to which is written, is the last."""
        own = self._own(model)
        found = [path for path in sorted(self.folder.glob(f"{model}.*ndjson")) if path != own and self._concerns(path)]
        return [*found, *([own] if own.exists() else [])]

    def versions(self, model: str) -> dict[str, Stat]:
        """Names of a model's journals, with their sizes and times."""
        return {path.name: Stat.of(path.stat()) for path in self.journals(model)}

    def lines(self, model: str) -> list[Line]:
        """Lines of a model's journals, without incomplete last lines (a crash while writing)."""
        lines = [line for path in self.journals(model) for line in self._lines(path)[:-1]]
        if self.shard is None:
            return lines
        return [line for line in lines if self.shard.holds(symbol_of(line.folder))]

    def load(self, model: str, wanted: Set[str] | None = None) -> dict[Partition, Published]:
        """Records of a model; of the units alone whose paths are ``wanted``, if that is given."""
        if wanted is not None:
            return self._load(model, wanted)
        versions = self.versions(model)
        if model not in self._parsed or self._parsed[model][0] != versions:
            self._parsed[model] = versions, self._load(model)
        return dict(self._parsed[model][1])

    def _load(self, model: str, wanted: Set[str] | None = None) -> dict[Partition, Published]:
        shard, entries = self.shard, dict[str, JournalEntry]()
        for path in self.journals(model) if wanted is None or wanted else ():
            lines = [line for line in self._lines(path)[:-1] if wanted is None or line.unit in wanted]
            mine = (line for line in lines if shard is None or shard.holds(symbol_of(line.folder)))
            for unit, entry in self._entries(path, mine).items():
                if unit not in entries or entries[unit].at <= entry.at:
                    entries[unit] = entry
        records = (entry.record for entry in entries.values())
        return {record.partition: record for record in records if record is not None}

    def _lines(self, path: Path) -> list[Line]:
        stat = Stat.of(path.stat())
        if path not in self._read or self._read[path][0] != stat:
            text = _bytes(path).decode(errors="replace")
            self._read[path] = stat, [Line(_unit(line), line) for line in text.split("\n")]
        return self._read[path][1]

    def _entries(self, path: Path, lines: Iterable[Line]) -> dict[str, JournalEntry]:
        """Last lines about each unit. A record moves to the end when it is removed and written again."""
        entries: dict[str, JournalEntry] = {}
        damaged = 0
        for line in lines:
            try:
                data = sealed.loads(line.text)
                if "removed" in data:
                    entries.pop(data["removed"], None)
                    entries[data["removed"]] = JournalEntry(data.get("at", ""), None, line.text)
                elif "build" in data:  # earlier versions wrote none
                    record = Published.of(data)
                    entries[record.unit] = JournalEntry(record.build, record, line.text)
            except (ValueError, TypeError, KeyError, AttributeError):
                damaged += 1
        if damaged:
            self.damaged[path] = damaged
        return entries

    def note(self, model: str, records: Iterable[Published], gone: Iterable[Partition] = ()) -> None:
        """Record units that were published, and units that are ``gone``."""
        at = new_build()
        lines = [sealed.dumps({"removed": unit.path, "at": at}) for unit in gone]
        lines += [record.to_json() for record in records]
        if lines:
            storage.append_lines(self._own(model), lines)

    def appended(self, model: str, since: Mapping[str, Stat]) -> tuple[dict[str, Stat], list[Line]] | None:
        """The journals now, and the lines that the own one has got since they were of these sizes and times.

        ``None`` if they have changed in another way.
        """
        own, now = self._own(model), self.versions(model)
        if now == since:
            return now, []
        begin = since[own.name].size if own.name in since else 0
        if model in self._rewritten or {**now, own.name: None} != {**since, own.name: None} or own.name not in now:
            return None
        text = sealed.read_bytes(own, begin)
        if begin + len(text) != now[own.name].size or not text.endswith(b"\n"):
            return None
        return now, [Line(_unit(line), line) for line in text.decode(errors="replace").split("\n")[:-1]]

    def knows(self, model: str) -> bool:
        """True if there is a journal of the model."""
        return bool(self.journals(model))

    def has_read(self, model: str) -> bool:
        """True if the journals of the model were read here."""
        return any(path in self._read for path in self.journals(model))

    def compact(self, model: str) -> None:
        """Rewrite the journals in which most lines are superseded, or whose last line is incomplete.

        Without a shard, all of them become one; a shard rewrites its own.
        """
        paths = self.journals(model) if self.shard is None else [path for path in [self._own(model)] if path.exists()]
        read = [self._lines(path) for path in paths]
        known = {line.unit for lines in read for line in lines}
        many = _is_long(sum(len(lines) - 1 for lines in read), len(known))
        if not (many or any(path in self.damaged for path in paths) or any(lines[-1].text for lines in read)):
            return
        if self.shard is None:
            texts = [record.to_json() for record in self.load(model).values()]
        else:  # lines about removed units count, too: another journal may have a record
            texts = [entry.text for entry in self._entries(paths[0], read[0][:-1]).values()]
        self._rewritten.add(model)
        storage.replace_text(self._own(model), "".join(text + "\n" for text in texts))
        for path in paths:
            if path != self._own(model):
                path.unlink()

    def _own(self, model: str) -> Path:
        part = "" if self.shard is None else f".{self.shard.suffix}"
        return self.folder / f"{model}{part}.ndjson"

    def _concerns(self, path: Path) -> bool:
        """False for a journal of another shard of as many, which has no symbol of this one."""
        found = _SHARD.search(path.name)
        other = Shard(int(found[1]), int(found[2])) if found else None
        return other is None or self.shard is None or self.shard.overlaps(other)


class PartOfManifest(Manifest):
    """The journals of one model as far as they are about a few symbols, which are looked for by their names.

    To tell all lines apart takes five times as long. It is for journals that are known to be sound, as they are when it
    is made, and is only read.
    """

    def __init__(self, whole: Manifest, model: str, symbols: Set[Partition]) -> None:
        super().__init__(whole.folder, whole.shard)
        self._rewritten = whole._rewritten
        self._symbols = symbols
        self._bytes = {path: _bytes(path) for path in self.journals(model)}

    def may_compact(self, units: int) -> bool:
        """True if the journals may be too long for so many units, or if one ends in a part of a line."""
        found = self._bytes.values()
        incomplete = not all(data.endswith(b"\n") for data in found)
        return incomplete or _is_long(sum(data.count(b"\n") for data in found), units)

    def _lines(self, path: Path) -> list[Line]:
        if path not in self._read:
            data = self._bytes.pop(path, b"")  # another run has begun what was not there
            self._read[path] = Stat.of(path.stat()), [*self._found(data), Line("", "")]
        return self._read[path][1]

    def _found(self, data: bytes) -> list[Line]:
        places = set[tuple[int, int]]()
        for symbol in self._symbols:
            name, end = symbol.path.rpartition("/")[2].encode(), 0
            while (at := data.find(name, end)) >= 0 and (end := data.find(b"\n", at)) >= 0:
                places.add((data.rfind(b"\n", 0, at) + 1, end))
        texts = (data[begin:end].decode(errors="replace") for begin, end in sorted(places))
        return [line for line in (Line(_unit(text), text) for text in texts) if symbol_of(line.folder) in self._symbols]

    def compact(self, model: str) -> None:
        raise NotImplementedError("a part of the journals cannot replace them")


def _is_long(lines: int, units: int) -> bool:
    """True for journals in which most lines are superseded."""
    return lines > 2 * units + SPARE


def _bytes(path: Path) -> bytes:
    try:
        return sealed.read_bytes(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}. Fix that, or move it away: records are then read from the"
            " files of the table. Nothing was run"
        ) from error


def _unit(line: str) -> str:
    found = _UNIT.match(line)
    return found[1] if found else ""
