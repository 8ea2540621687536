"""Findings of `inspect`, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from msgspec import Struct, field, structs


class Choice(Struct, frozen=True):
    """An adapter, how sure it is, and why."""

    adapter: str
    sure: str
    """``certain``, ``likely``, ``possible``."""
    why: tuple[str, ...]
    source: Mapping[str, Any]
    """Entry for ``sources:`` in models.yaml."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """Key of the source -> remark on its value."""

    def lines(self, name: str, more: Mapping[str, Any] | None = None) -> list[str]:
        """The entry below ``sources:``, with more keys, and remarks as comments."""
        remarks = {key: f" # {remark}" for key, remark in self.remarks.items()}
        entry = [
            f"    {key}: {_scalar(value)}{remarks.get(key, '')}"
            for key, value in {**self.source, **(more or {})}.items()
        ]
        return [f"  {name}:", *entry]


class Gap(Struct, frozen=True):
    """A time without rows."""

    exchange: str
    symbol: str
    start: str
    end: str
    seconds: float


class Contents(Struct, frozen=True):
    """Statistics of canonical rows, as sqlgen would read them."""

    kind: str
    """``book``, ``trades``, ``ticker``, ``updates`` of levels, ``orders``, ``other``."""
    files: int
    """Files that were read."""
    cut: int
    """Number of them of which only the first rows were read."""
    rows: int
    summary: Mapping[str, Any]
    """Counts and times over all rows that were read."""
    keys: tuple[Mapping[str, Any], ...] = ()
    """By exchange and symbol: rows, dates, first and last time."""
    gaps: int = 0
    longest_gaps: tuple[Gap, ...] = ()
    hours_without_rows: int = 0
    """Whole hours between others, which are no gaps: a recording of some hours a day has them."""
    untimed: int = 0
    """Rows without a time, which are dropped."""
    passed_over: str = ""
    """Messages of other channels and kinds, with their numbers."""
    unreadable: int = 0
    """Lines that cannot be read."""
    first_unreadable: str = ""
    table: str = ""
    """File of its quotes or trades, until they are compared with others."""


class FileCoverage(Struct, frozen=True):
    """Coverage of all files of a group, by their names."""

    folder: str
    by: str
    """Origin of exchange, symbol and date: ``hive folders``, names, ``rows``."""
    files: int
    bytes: int
    empty: int
    """Empty files, of those that were read."""
    example: str
    exchanges: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    first_date: str = ""
    last_date: str = ""
    dates: int = 0
    missing_dates: tuple[str, ...] = ()
    """``exchange symbol date`` of days without a file between others."""
    strangers: int = 0
    """Number of files that do not match the proposed pattern."""


class Finding(Struct, frozen=True):
    """Files of one kind."""

    layout: FileCoverage
    format: str
    packing: str
    delimiter: str
    columns: tuple[str, ...]
    choices: tuple[Choice, ...] = ()
    """The adapter; then others that read the same files for another purpose."""
    others: tuple[Choice, ...] = ()
    """Less likely alternatives."""
    contents: tuple[Contents, ...] = ()
    """Contents for each of :attr:`choices`."""
    notes: tuple[str, ...] = ()


class Examination(Struct, frozen=True):
    """All findings under a path."""

    path: str
    lake: str
    lake_known: bool
    """True if the lake is set by a models.yaml or an option."""
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def sources(self) -> dict[str, Mapping[str, Any]]:
        """Name -> entry for models.yaml, of all recognised files."""
        named: dict[str, Mapping[str, Any]] = {}
        for choice in self.choices:
            named[free(choice.adapter.replace("/", "_"), named)] = choice.source
        return named

    @property
    def choices(self) -> list[Choice]:
        return [choice for finding in self.findings for choice in finding.choices]

    def yaml(self) -> str:
        """The ``sources:`` entry, with remarks as comments; empty if nothing was recognised."""
        if not self.sources:
            return ""
        lines = [] if self.lake_known else [f"lake: {_scalar(self.lake)} # the sources' paths are relative to it"]
        lines.append("sources:")
        for name, choice in zip(self.sources, self.choices, strict=True):
            lines += choice.lines(name)
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        return structs.asdict(self) | {"sources": self.sources, "yaml": self.yaml()}


def free(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number if it is taken."""
    number = 2
    while (found := name if number == 2 else f"{name}_{number - 1}") in taken:
        number += 1
    return found


def shares(parts: Mapping[str, float]) -> str:
    """Shares of rows in words, those of zero left out."""
    return ", ".join(f"{100 * share:.3g}% of {name}" for name, share in parts.items() if share > 0)


def _scalar(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip()
    return text.removesuffix("\n...").strip()
