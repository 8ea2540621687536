"""Manifest: a journal per model of its published units.

The footer of each data file (:mod:`sqlgen.published.footers`) is the truth, as far as it was known before the file was
written. The journal is an index of the footers: it is read at every start, adds facts known only afterwards, and may
lag behind after a crash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from sqlgen.lake import sealed, storage
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import Stat
from sqlgen.published.records import Published

_UNIT = re.compile(r'\{"(?:unit|removed)":"([^"\\]*)"')


class Line(NamedTuple):
    """One line of a journal."""

    unit: str
    """Path of the unit that it is about; empty for the unit of a whole table, and if the line is damaged."""
    text: str


class Manifest:
    """The journals of all models under the state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[Path, int] = {}
        """Journal -> number of damaged lines."""
        self._read: dict[str, tuple[Stat, list[Line]]] = {}
        """Model -> size and time of its journal, and its lines (the last one is empty, or incomplete)."""
        self._parsed: dict[str, dict[Partition, Published]] = {}
        """Model -> its records, once all of them were read."""

    @property
    def problems(self) -> list[str]:
        """Damage found, in words."""
        return [
            f"{number} line(s) of {path} are damaged: their records are read from the table itself"
            for path, number in self.damaged.items()
        ]

    @classmethod
    def below(cls, state: Path) -> Manifest:
        """Manifest of the project with this state folder."""
        return cls(state / "manifest")

    def lines(self, model: str) -> list[Line]:
        """Lines of a model's journal, without an incomplete last line (a crash while writing)."""
        return self._lines(model)[:-1]

    def load(self, model: str, wanted: Callable[[str], bool] | None = None) -> dict[Partition, Published]:
        """Records of a model; of the units alone whose paths are ``wanted``, if that is given."""
        lines, path = self.lines(model), self._path(model)
        if wanted is not None:
            return self._parse(path, (line.text for line in lines if wanted(line.unit)))
        if model not in self._parsed:
            self._parsed[model] = self._parse(path, (line.text for line in lines))
        return dict(self._parsed[model])

    def _lines(self, model: str) -> list[Line]:
        path = self._path(model)
        if not path.exists():
            return [Line("", "")]
        stat = Stat.of(path.stat())
        if model not in self._read or self._read[model][0] != stat:
            text = path.read_text(encoding="utf-8", errors="replace")
            self._read[model] = stat, [Line(_unit(line), line) for line in text.split("\n")]
            self._parsed.pop(model, None)
        return self._read[model][1]

    def _parse(self, path: Path, lines: Iterable[str]) -> dict[Partition, Published]:
        records: dict[str, Published] = {}
        damaged = 0
        for line in lines:
            try:
                data = sealed.loads(line)
                if "removed" in data:
                    records.pop(data["removed"], None)
                elif "build" in data:  # earlier versions wrote none
                    records[data["unit"]] = Published.of(data)
            except (ValueError, TypeError, KeyError, AttributeError):
                damaged += 1
        if damaged:
            self.damaged[path] = damaged
        return {record.partition: record for record in records.values()}

    def note(self, model: str, records: Iterable[Published], gone: Iterable[Partition] = ()) -> None:
        """Record units that were published, and units that are ``gone``."""
        lines = [sealed.dumps({"removed": unit.path}) for unit in gone] + [record.to_json() for record in records]
        if lines:
            storage.append_lines(self._path(model), lines)

    def knows(self, model: str) -> bool:
        """True if there is a journal of the model."""
        return self._path(model).exists()

    def compact(self, model: str) -> None:
        """Rewrite a journal in which most lines are superseded, or whose last line is incomplete."""
        if not self.knows(model):
            return
        path, lines = self._path(model), self._lines(model)
        if path in self.damaged or len(lines) - 1 > 2 * len({line.unit for line in lines}) + 100 or lines[-1].text:
            records = self.load(model)
            storage.replace_text(path, "".join(record.to_json() + "\n" for record in records.values()))

    def _path(self, model: str) -> Path:
        return self.folder / f"{model}.ndjson"


def _unit(line: str) -> str:
    found = _UNIT.match(line)
    return found[1] if found else ""
