"""What is published, from what: a journal per model, and a copy of each record beside its data.

The record inside a published folder (``_sqlgen.json``) is swapped in together with the data, so it is
always true. The journal is its index: it is read at every start and may lag behind after a crash.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlgen import sealed, storage
from sqlgen.partitions import Partition

SIDECAR = "_sqlgen.json"


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
    files: dict[str, int] = field(default_factory=dict)
    """Data file below the unit's folder -> size."""
    quarantine: dict[str, int] = field(default_factory=dict)
    """File of quarantined rows -> size."""
    mode: str = "overwrite"
    contributed: tuple[tuple[str, int, int], ...] = ()
    """append: input files whose rows are in, as (path, size, mtime_ns)."""
    sources: dict[str, list[list[Any]]] = field(default_factory=dict)
    """Input name -> [path, size, mtime_ns] of its files; kept beside the data only."""
    run_id: str = ""
    published_at: str = ""

    @property
    def partition(self) -> Partition:
        return Partition.from_path(self.unit)

    def to_json(self, sources: bool) -> str:
        data = dataclasses.asdict(self)
        if not sources:
            del data["sources"]
        return sealed.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Raises ``ValueError`` or ``TypeError`` where ``text`` is not a record."""
        data = sealed.loads(text)
        tuples = {name: tuple(data.get(name, ())) for name in ("keys", "edges")}
        contributed = tuple(tuple(file) for file in data.get("contributed", ()))
        return cls(**data | tuples | {"contributed": contributed})


class Manifest:
    """The journals of all models under the state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[Path, int] = {}
        """Journal -> lines that are not what was written."""

    @property
    def problems(self) -> list[str]:
        """What is damaged, for people."""
        return [
            f"{number} line(s) of {path} are damaged: what they said is read from the table itself"
            for path, number in self.damaged.items()
        ]

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
                else:
                    record = Record.from_json(line)
                    records[record.partition.path] = record
            except (ValueError, TypeError, KeyError, AttributeError):
                damaged += 1
        if damaged:
            self.damaged[path] = damaged
        return {record.partition: record for record in records.values()}

    def add(self, model: str, record: Record) -> None:
        storage.append_line(self._path(model), record.to_json(sources=False))

    def drop(self, model: str, unit: Partition) -> None:
        storage.append_line(self._path(model), sealed.dumps({"removed": unit.path}))

    def compact(self, model: str) -> None:
        """Rewrite a journal in which most lines are out of date, or whose last line is torn."""
        path = self._path(model)
        if not path.exists():
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        records = self.load(model)
        if path in self.damaged or text.count("\n") > 2 * len(records) + 100 or not text.endswith("\n"):
            storage.replace_text(path, "".join(record.to_json(sources=False) + "\n" for record in records.values()))

    def _path(self, model: str) -> Path:
        return self.folder / f"{model}.ndjson"


def read_sidecar(folder: Path) -> Record | None:
    """The record that was published together with the data in ``folder``, if the data is all there."""
    try:
        record = Record.from_json((folder / SIDECAR).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    for name, size in record.files.items():
        try:
            if (folder / name).stat().st_size != size:
                return None
        except OSError:
            return None
    return record
