"""Manifest: a journal per model of its published units.

The footer of each data file (:mod:`sqlgen.published.footers`) is the truth, as far as it was known before the file was
written. The journal is an index of the footers: it is read at every start, adds facts known only afterwards, and may
lag behind after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlgen.lake import sealed, storage
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import Stat
from sqlgen.published.records import Published


class Manifest:
    """The journals of all models under the state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[Path, int] = {}
        """Journal -> number of damaged lines."""
        self._read: dict[str, tuple[Stat, list[str], dict[Partition, Published]]] = {}
        """Model -> size and time of its journal, its lines (the last one is empty, or incomplete), and its records."""

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

    def load(self, model: str) -> dict[Partition, Published]:
        """Records of a model, without an incomplete last line (a crash while writing)."""
        path = self._path(model)
        if not path.exists():
            return {}
        stat = Stat.of(path.stat())
        if model not in self._read or self._read[model][0] != stat:
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            self._read[model] = stat, lines, self._parse(path, lines[:-1])
        return dict(self._read[model][2])

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
        records, path = self.load(model), self._path(model)
        _, lines, _ = self._read[model]
        if path in self.damaged or len(lines) - 1 > 2 * len(records) + 100 or lines[-1]:
            storage.replace_text(path, "".join(record.to_json() + "\n" for record in records.values()))

    def _path(self, model: str) -> Path:
        return self.folder / f"{model}.ndjson"
