"""Partitions of files whose keys are in their rows, cached between runs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from sqlgen.compile.adapters import advice
from sqlgen.compile.compiledmodel import digest
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import SourceLayout
from sqlgen.errors import TaskError, first_line
from sqlgen.lake import sealed, storage
from sqlgen.lake.partitions import KEYS, Partition
from sqlgen.lake.storage import FileInfo
from sqlgen.project.model import Model, ModelInput
from sqlgen.project.project import Project
from sqlgen.sources.sourcefiles import FilePartitions, SourceFilesError

_FILL_IN = "Fill it in (answers by REST take a field 'symbol')"


class RowKeys(Struct, dict=True):
    """Partitions of files by the keys in their rows: an indexer for :func:`.list_source_files`."""

    project: Project
    path: Path
    """Cache file of earlier runs."""
    changed: bool = False
    problems: list[str] = field(default_factory=list)
    _readings: dict[tuple[str, SourceLayout], dict[str, tuple[Model, ModelInput]]] = field(default_factory=dict)

    @cached_property
    def known(self) -> dict[str, Any]:
        """Partitions found in each file, by its path, size and time, and by how it is read."""
        try:
            return sealed.loads(sealed.read_text(self.path))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            self.changed = True
            self.problems.append(f"{self.path} is damaged: partitions are looked up in the files again")
            return {}

    @cached_property
    def compiler(self) -> Compiler:
        return Compiler(self.project)

    def __call__(self, source: str, file: FileInfo, layout: SourceLayout) -> FilePartitions:
        readings = self._readings_of(source, layout)
        key = f"{digest(sorted(readings))}:{file.path}:{file.size}:{file.mtime_ns}"
        placed = _cached(self.known.get(key))
        if placed is None:
            found = [self._look_up(model, entry, file, layout) for model, entry in readings.values()]
            partitions = tuple(sorted({partition for each in found for partition in each.partitions}))
            problem = "" if partitions else next((each.problem for each in found), "")
            placed = FilePartitions(partitions, problem, next((each.left_out for each in found if each.left_out), ""))
            self.known[key] = {**placed._asdict(), "partitions": [partition.path for partition in partitions]}
            self.changed = True
        return placed

    def save(self) -> None:
        """Write the cache, with what other runs have added to it meanwhile."""
        if self.changed:
            added = self.__dict__.pop("known", {})
            storage.replace_cache(self.path, sealed.dumps(self.known | added))

    def _readings_of(self, source: str, layout: SourceLayout) -> dict[str, tuple[Model, ModelInput]]:
        """Distinct readings of a source by its models, by digest: their options may name different keys."""
        if (source, layout) not in self._readings:
            self._readings[source, layout] = {
                self.compiler.reading(model, entry, layout): (model, entry)
                for model in self.project.models.values()
                for entry in model.inputs
                if entry.ref == source
            }
        return self._readings[source, layout]

    def _look_up(self, model: Model, entry: ModelInput, file: FileInfo, layout: SourceLayout) -> FilePartitions:
        """Partitions that the rows of one file belong to, as one model reads it."""
        # Here: what reads files is not loaded where no file need be read.
        from sqlgen.sources.staged import keys_of_file

        where = f"source '{entry.ref}': {self.project.lake / file.path}"
        try:
            rows, problem = keys_of_file(self.compiler, model, entry, file, layout)
        except TaskError as error:
            raise SourceFilesError(
                f"{where}: its path names no exchange, symbol and date,"
                f" and they cannot be read from its rows: {first_line(error)}"
            ) from error
        named = [row for row in rows if None not in row]
        left_out = self._left_out(where, rows, beside=bool(named))
        if problem:
            assert entry.source is not None
            problem = f"{where}: {problem}.{advice(self.project.library, entry.source)}"
        partitions = (Partition.of(exchange=row[0], symbol=row[1], date=row[2]) for row in named)
        return FilePartitions(tuple(partitions), problem, left_out)

    @staticmethod
    def _left_out(where: str, rows: list[tuple[Any, ...]], beside: bool) -> str:
        """Note on rows that lack a key ``beside`` rows that have them all; an error where none has."""
        missing = sorted({name for row in rows for name, value in zip(KEYS, row, strict=False) if value is None})
        if not missing:
            return ""
        count = sum(row[-1] for row in rows if None in row)
        text = f"{where}: {count} row(s) name no {' and no '.join(missing)}"
        if beside:
            return f"{text}: they belong to no partition and are not read. {_FILL_IN}"
        raise SourceFilesError(f"{text}. {_FILL_IN}, or put the file under exchange=/symbol=/date= folders")


def _cached(known: Any) -> FilePartitions | None:
    """Cached partitions of a file; ``None`` if there are none, or they are damaged."""
    try:
        partitions = tuple(Partition.from_path(path) for path in known["partitions"])
        return FilePartitions(partitions, str(known["problem"]), str(known["left_out"]))
    except (TypeError, KeyError, AttributeError):
        return None
