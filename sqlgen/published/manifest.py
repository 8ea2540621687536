"""What is published, from what: a journal per model.

The footer of each data file holds what was known before it was written (:mod:`sqlgen.published.footers`), and is always
true. The journal is the index of that: it is read at every start, adds what is known only afterwards, and may lag
behind after a crash.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlgen.lake import sealed, storage
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import Stat

_TYPE = re.compile(r"[A-Z][A-Z_ 0-9]*(\(\d+(, ?\d+)?\))?")


@dataclass(frozen=True)
class Record:
    """One published unit."""

    unit: str
    """Path of the partition, hive-encoded."""
    keys: tuple[str, ...]
    """Keys of the unit when it was published."""
    version: str
    """Changes whenever the rows may have changed; what readers of this table compare."""
    sql: str
    options: str
    inputs: dict[str, str]
    """Digest of each input's files or upstream versions."""
    edges: tuple[str, ...] = ()
    """Edges of the key's history at which the unit lay, where that made a difference."""
    kernels: str = ""
    """Digest of the kernels' names and versions; empty without kernels."""
    before: str = ""
    """Kernels: which state the unit started from; empty where it started from nothing."""
    state: str = ""
    """Kernels: the state after its last row."""
    checks: str = ""
    """Digest of the checks; empty without any."""
    rows: int = 0
    bytes: int = 0
    files: dict[str, Stat] = field(default_factory=dict)
    """Data file below the unit's folder -> what it was like when it was published."""
    quarantine: dict[str, Stat] = field(default_factory=dict)
    """File of quarantined rows -> the same."""
    mode: str = "overwrite"
    contributed: tuple[tuple[str, int, int], ...] = ()
    """append: input files whose rows are in, as (path, size, mtime_ns)."""
    sources: dict[str, list[list[Any]]] = field(default_factory=dict)
    """Input name -> [path, size, mtime_ns] of its files; in the footers only."""
    build: str = ""
    """Identity of this publication of the unit."""
    schema: str = ""
    """Digest of the names and types of the columns; empty where the files differ in that."""
    types: dict[str, str] = field(default_factory=dict)
    """SQL types of the partition columns other than exchange, symbol and date."""
    run_id: str = ""
    published_at: str = ""

    @property
    def partition(self) -> Partition:
        return Partition.from_path(self.unit)

    def to_json(self) -> str:
        data = dataclasses.asdict(self)
        del data["sources"]
        return sealed.dumps(data)

    @classmethod
    def of(cls, data: dict[str, Any]) -> Record:
        """Raises ``ValueError`` or ``TypeError`` where ``data`` is not a record."""
        files = {
            kind: {name: Stat(*stat) for name, stat in data.get(kind, {}).items()} for kind in ("files", "quarantine")
        }
        if not all(_TYPE.fullmatch(kind) for kind in data.get("types", {}).values()):
            raise ValueError("no SQL types")  # they become SQL
        tuples = {name: tuple(data.get(name, ())) for name in ("keys", "edges")}
        contributed = tuple(tuple(file) for file in data.get("contributed", ()))
        return cls(**data | files | tuples | {"contributed": contributed})


def alike(records: Iterable[Record]) -> bool:
    """True if the files of all these units are known to have the same columns."""
    schemas = {record.schema for record in records if record.files}
    return len(schemas) <= 1 and "" not in schemas


class Manifest:
    """The journals of all models under the state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[Path, int] = {}
        """Journal -> lines that are not what was written."""

    @property
    def problems(self) -> list[str]:
        """Damage found, in words."""
        return [
            f"{number} line(s) of {path} are damaged: what they said is read from the table itself"
            for path, number in self.damaged.items()
        ]

    @classmethod
    def below(cls, state: Path) -> Manifest:
        """Owner that stands for the project with this state folder."""
        return cls(state / "manifest")

    def load(self, model: str) -> dict[Partition, Record]:
        """Records of a model; a torn last line (a crash while writing) is left out."""
        records: dict[str, Record] = {}
        path = self._path(model)
        if not path.exists():
            return {}
        *lines, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
        damaged = 0
        for line in lines:
            try:
                data = sealed.loads(line)
                if "removed" in data:
                    records.pop(data["removed"], None)
                elif "build" in data:  # earlier versions wrote none
                    record = Record.of(data)
                    records[record.partition.path] = record
            except (ValueError, TypeError, KeyError, AttributeError):
                damaged += 1
        if damaged:
            self.damaged[path] = damaged
        return {record.partition: record for record in records.values()}

    def add(self, model: str, record: Record) -> None:
        storage.append_line(self._path(model), record.to_json())

    def correct(self, model: str, records: Iterable[Record], gone: Iterable[Partition]) -> None:
        """Write down what is published, and what is not any more."""
        lines = [sealed.dumps({"removed": unit.path}) for unit in gone] + [record.to_json() for record in records]
        if lines:
            storage.append_lines(self._path(model), lines)

    def drop(self, model: str, unit: Partition) -> None:
        storage.append_line(self._path(model), sealed.dumps({"removed": unit.path}))

    def knows(self, model: str) -> bool:
        """True if there is a journal of the model."""
        return self._path(model).exists()

    def compact(self, model: str) -> None:
        """Rewrite a journal in which most lines are out of date, or whose last line is torn."""
        path = self._path(model)
        if not path.exists():
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        records = self.load(model)
        if path in self.damaged or text.count("\n") > 2 * len(records) + 100 or not text.endswith("\n"):
            storage.replace_text(path, "".join(record.to_json() + "\n" for record in records.values()))

    def _path(self, model: str) -> Path:
        return self.folder / f"{model}.ndjson"
