"""Records of published units: provenance, build and files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Self, TypeVar

from msgspec import Struct, field, structs

from sqlgen.lake import sealed
from sqlgen.lake.partitions import Partition
from sqlgen.lake.storage import Stat

_TYPE = re.compile(r"[A-Z][A-Z_ 0-9]*(\(\d+(, ?\d+)?\))?")
IN_FOOTERS = ("sources", "settings")
"""Members that the journal leaves out."""


class Provenance(Struct, frozen=True):
    """Inputs, SQL, options and kernels that a unit is made from; a unit whose provenance has changed is stale."""

    unit: str
    """Path of the partition, hive-encoded."""
    keys: tuple[str, ...]
    """Keys by which the table is partitioned."""
    version: str
    """Changes whenever the rows may have changed; compared by models that read this table."""
    sql: str
    options: str
    inputs: dict[str, str]
    """Digest of each input's files or upstream versions."""
    edges: tuple[str, ...] = ()
    """Edges of the timeline at which the unit lies, if its SQL depends on them."""
    kernels: str = ""
    """Digest of the kernels' names and versions; empty without kernels."""
    before: str = ""
    """Kernels: digest of the state that the unit starts from; empty without one."""
    checks: str = ""
    """Digest of the checks; empty without any."""
    mode: str = "overwrite"
    contributed: tuple[tuple[str, int, int], ...] = ()
    """append: input files whose rows were appended, as (path, size, mtime_ns)."""
    sources: dict[str, list[list[Any]]] = field(default_factory=dict)
    """Input name -> [path, size, mtime_ns] of its files; in the footers only."""
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    """``options`` and ``kernels``: names and values as text, to tell what has changed; in the footers only."""

    @property
    def partition(self) -> Partition:
        return Partition.from_path(self.unit)


Part = TypeVar("Part", bound=Provenance)


class Publication(Provenance, frozen=True):
    """One build of a unit, as in the footers of its files."""

    build: str = ""
    """Identity of the build; later ones sort after earlier ones."""
    types: dict[str, str] = field(default_factory=dict)
    """SQL types of the partition columns other than exchange, symbol and date."""
    run_id: str = ""
    published_at: str = ""
    replaces: str = ""
    """Build whose files maintenance has replaced; empty for rows that come from their inputs."""
    edited: tuple[str, ...] = ()
    """Changes of the rows since they were built, in words: a rebuild would discard them."""

    @classmethod
    def of(cls, data: dict[str, Any]) -> Self:
        """Raises ``ValueError`` or ``TypeError`` if ``data`` is not a record."""
        if not all(_is_type(kind) for kind in data.get("types", {}).values()):
            raise ValueError("no SQL types")  # they become SQL
        tuples = {name: tuple(data.get(name, ())) for name in ("keys", "edges", "edited")}
        contributed = tuple(tuple(file) for file in data.get("contributed", ()))
        return cls(**data | tuples | {"contributed": contributed})


class Published(Publication, frozen=True):
    """One published unit, with its files in the lake."""

    rows: int = 0
    bytes: int = 0
    files: dict[str, Stat] = field(default_factory=dict)
    """Data file below the unit's folder -> its size and time when published."""
    quarantine: dict[str, Stat] = field(default_factory=dict)
    """File of quarantined rows -> its size and time when published."""
    schema: str = ""
    """Digest of the names and types of the columns; empty if the files differ."""
    state: str = ""
    """Kernels: digest of the state after the last row."""

    def to_json(self) -> str:
        return sealed.dumps({name: value for name, value in structs.asdict(self).items() if name not in IN_FOOTERS})

    @classmethod
    def of(cls, data: dict[str, Any]) -> Self:
        """Raises ``ValueError`` or ``TypeError`` if ``data`` is not a record."""
        files = {
            kind: {name: Stat(*stat) for name, stat in data.get(kind, {}).items()} for kind in ("files", "quarantine")
        }
        return super().of(data | files)


@lru_cache(1 << 10)
def _is_type(kind: str) -> bool:
    return _TYPE.fullmatch(kind) is not None


def part_of(kind: type[Part], record: Part) -> Part:
    """The fields of a record that make up its provenance, or its publication."""
    return kind(**{each: getattr(record, each) for each in kind.__struct_fields__})


def types_of(records: Iterable[Published]) -> dict[str, str]:
    """SQL types of the columns of all these units."""
    return {name: kind for record in records for name, kind in record.types.items()}


def alike(records: Iterable[Published]) -> bool:
    """True if the files of all these units are known to have the same columns."""
    schemas = {record.schema for record in records if record.files}
    return len(schemas) <= 1 and "" not in schemas
