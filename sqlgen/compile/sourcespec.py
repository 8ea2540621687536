"""Source as an adapter's template sees it: the settings of models.yaml and one scan, resolved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, NamedTuple

from msgspec import Struct

from sqlgen.compile.scope import Scan
from sqlgen.lake.partitions import ambiguous_folders
from sqlgen.project.config import OTHER_TIMES, Source
from sqlgen.project.keys import ConfiguredKey, configured_keys
from sqlgen.templating.header import CsvFormat

KEYS_IN_ROWS = ("exchange", "symbol")
_DATE = frozenset({"year", "month", "day"})
LINE = "line_"
"""Start of the names of columns of values that are read of whole lines."""


class Evaluated(NamedTuple):
    """Values that are read of the lines of files, and evaluated as these are decoded."""

    columns: dict[str, str]
    """Column -> SQL."""
    steps: dict[str, str]
    """Name -> SQL of what columns are made of."""


@dataclass(frozen=True)
class SourceSpec:
    """The files of a source, and how they are read."""

    name: str
    files: tuple[str, ...]
    """Patterns or paths; the one table if the format is ``table``."""
    all_files: tuple[str, ...] = ()
    """All files of the scan, before ``only``: surveys number files by them."""
    format: str = "parquet"
    """``parquet``, ``csv``, ``ndjson``, ``dbn``, or ``table`` for rows passed one by one (live)."""
    raw_format: str = "parquet"
    """The format before the files were decoded."""
    decoded: bool = False
    hive_keys: tuple[str, ...] = ()
    """Keys that DuckDB reads from the names of folders."""
    given: Mapping[str, ConfiguredKey] = field(default_factory=dict)
    """Keys from names of files or from models.yaml."""
    csv: CsvFormat = field(default_factory=CsvFormat)
    original_names: Mapping[str, str] = field(default_factory=dict)
    """Column in SQL -> its name in the files, where they differ."""
    twins: frozenset[str] = frozenset()
    """Names, in lower case, of columns that differ in case only."""
    named: str = ""
    """Substring of the names of the files that are read."""
    single: bool = False
    single_file: bool = False
    one_each: bool = False
    by_name: bool = False
    """DuckDB would misread the keys in the folders' names."""
    survey: bool = False
    positive_lists: bool = False
    types: Mapping[str, str] = field(default_factory=dict)
    alike: bool = False
    side_is: str = "auto"
    date_tolerance: float | None = None
    negative_prices: bool = False
    clock: str = ""
    """The time that is ts, ``exchange`` or ``received``; empty: the exchange's, and the other is not kept."""
    evaluated: Mapping[str, str] = field(default_factory=dict)
    """Column of decoded files -> SQL over their lines that it was made by."""
    asked: Evaluated = field(default_factory=lambda: Evaluated({}, {}), compare=False)
    """Values that the template has asked for by :meth:`once`."""

    @classmethod
    def of_scan(cls, name: str, scan: Scan, **settings: Any) -> SourceSpec:
        """The files of a scan, of a source or of a model."""
        ambiguous = scan.by_name or any(
            ambiguous_folders(file, scan.hive_keys) for file in scan.files if "*" not in file
        )
        return cls(
            name=name,
            files=scan.files,
            all_files=scan.files,
            format=scan.format,
            raw_format=scan.decoded or scan.format,
            decoded=bool(scan.decoded),
            hive_keys=scan.hive_keys,
            single=scan.single,
            single_file=scan.single_file,
            one_each=scan.one_each or scan.single_file,
            by_name=bool(scan.hive_keys) and ambiguous and scan.format != "table",
            survey=scan.survey,
            positive_lists=scan.positive_lists,
            twins=scan.twins,
            types=dict(scan.types),
            alike=scan.alike,
            evaluated=dict(scan.evaluated),
            **settings,
        )

    @classmethod
    def of_source(cls, name: str, source: Source, scan: Scan, csv: CsvFormat) -> SourceSpec:
        """A source of models.yaml over a scan of its files."""
        return cls.of_scan(
            name,
            scan,
            given={} if scan.decoded else configured_keys(source),
            csv=csv,
            side_is=source.side_is,
            date_tolerance=source.date_tolerance,
            negative_prices=source.negative_prices,
            clock=source.clock or "",
        )

    @property
    def keys(self) -> frozenset[str]:
        """Keys that paths or models.yaml give; the others come from the rows."""
        return frozenset({*self.hive_keys, *self.given})

    @property
    def dated(self) -> bool:
        """True if the date is among the keys, whole or in parts."""
        return "date" in self.keys or self.keys >= _DATE

    @property
    def keyed(self) -> bool:
        """True if no key comes from the rows."""
        return self.dated and self.keys.issuperset(KEYS_IN_ROWS)

    @property
    def other_time(self) -> str:
        """Column of the time that is not ts; empty if it is not kept."""
        return OTHER_TIMES.get(self.clock, "")

    def only(self, part: str) -> SourceSpec:
        """The files whose names contain ``part``."""
        if self.format == "table":
            raise ValueError(f"rows of source '{self.name}' cannot be given one by one: its adapter reads whole files")
        if self.format != "parquet":
            return replace(self, named=part, single_file=False)
        files = tuple(file for file in self.files if part in PurePath(file).name)
        if not files and any(self.files):
            names = ", ".join(PurePath(file).name.removesuffix(".parquet") for file in self.files)
            raise ValueError(f"source '{self.name}': there is no file named *{part}* beside {names}. Fetch it too")
        return replace(
            self, named=part, files=files, single_file=len(files) == 1, one_each=self.one_each or len(files) == 1
        )

    def once(self, name: str, sql: str, where: str = "", steps: Mapping[str, str] | None = None) -> str:
        """SQL of a value that an adapter reads of a line: a column, where the files were decoded with it.

        ``where``: condition without which it is not looked at; ``steps``: name -> SQL of what it is made of.
        """
        column, made = f"{LINE}{name}", f"CASE WHEN {where} THEN {sql} END" if where else sql
        self.asked.columns[column] = made
        self.asked.steps.update(steps or {})
        return column if self.evaluated.get(column) == made else sql

    @property
    def lines(self) -> Sequence[str]:
        """Columns of decoded files that the template has asked for."""
        return [column for column, sql in self.asked.columns.items() if self.evaluated.get(column) == sql]

    def without_times(self) -> SourceSpec:
        """Copy for files whose times come from other files: no row is left out because of its own."""
        return replace(self, date_tolerance=None)

    def spelling(self, original_names: Mapping[str, str]) -> SourceSpec:
        """Copy some of whose columns have other names in SQL (name in SQL -> name in the files)."""
        return replace(self, original_names=dict(original_names))

    def reading(
        self,
        columns: Mapping[str, str],
        named: Mapping[str, str] | None = None,
        kept: Iterable[str] | None = None,
        steps: Mapping[str, str] | None = None,
        said: Mapping[str, str] | None = None,
    ) -> Reading:
        """These columns of the files, with the arguments of macro ``positioned``.

        A key in the folders' names hides a column of the same name, and DuckDB may misread the key: all keys are
        then taken from the file paths.
        """
        source = self
        if self.by_name or not {name.lower() for name in columns}.isdisjoint(self.hive_keys):
            folders = {key: ConfiguredKey(None, f"(?s).*/{key}=([^/]*)/", 1, encoded=True) for key in self.hive_keys}
            source = replace(self, hive_keys=(), given={**self.given, **folders})
        return Reading(
            source, dict(columns), dict(named or {}), tuple(columns if kept is None else kept), steps or {}, said or {}
        )


class Reading(Struct, frozen=True):
    """Columns that an adapter reads from the files of a source."""

    source: SourceSpec
    columns: Mapping[str, str]
    """Column -> SQL type."""
    named: Mapping[str, str]
    """Exchange or symbol -> the column that holds it."""
    kept: Collection[str]
    """Columns that are passed on."""
    steps: Mapping[str, str]
    """Name -> SQL of the parts of the time."""
    said: Mapping[str, str]
    """Exchange or symbol -> SQL that takes it from a row."""

    @property
    def in_files(self) -> dict[str, str]:
        """All columns that are read, key columns included."""
        missing = [key for key in KEYS_IN_ROWS if key not in self.source.keys and key not in self.said]
        return {**self.columns, **{self.named.get(key, key): "VARCHAR" for key in missing}}

    @property
    def respells(self) -> bool:
        """True if the names of some columns are ambiguous in SQL."""
        source = self.source
        twins = not source.twins.isdisjoint(name.lower() for name in self.in_files)
        return (
            (bool(source.original_names) or twins)
            and not source.decoded
            and (source.format != "csv" or source.csv.header is True)
        )

    def as_written(self) -> Reading:
        """All columns of the files by their own names; of NDJSON, whole lines."""
        lines = {"message": "JSON"} if self.source.format == "ndjson" else {}
        return Reading(
            replace(self.source, original_names={}, twins=frozenset()),
            lines,
            {},
            (),
            {},
            dict.fromkeys(KEYS_IN_ROWS, ""),
        )
