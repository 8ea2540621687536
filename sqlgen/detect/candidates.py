"""Candidate adapters for a file, by their declared columns and by vendors' file names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct, field, structs

from sqlgen.detect.columns import columnmap, headerless, nested
from sqlgen.detect.columns.lookalikes import calls_rows_changes, says
from sqlgen.detect.columns.names import FORCED, ZONES_BY_FILE
from sqlgen.detect.files.sniff import Sniffed
from sqlgen.detect.files.vendors import Vendor, unread
from sqlgen.detect.messages.kinds import are_of_one
from sqlgen.detect.trial import TrialSource, adapters
from sqlgen.errors import SqlgenError
from sqlgen.project.config import Source
from sqlgen.project.model import adapter_template
from sqlgen.templating.templates import Library

GENERIC = "generic/"
_FOLDERS = 5
"""Folders above a file whose names count."""
ENOUGH = 0.6
"""Share of an adapter's columns that objects must have; missing ones are NULL."""


class Candidate(Struct, frozen=True):
    """An adapter that may be the right one."""

    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the source that are not defaults."""
    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Declared columns that the file has, and lacks."""
    named: str = ""
    """The vendor's file name pattern that matches, or the schema in the file."""
    beside: str = ""
    """The adapter that reads the same files and led to this one."""
    counted: bool = False
    """True if matched by the number of fields alone: the file has no header."""

    messages: str = ""
    """Name of the messages that the lines are, for adapters that are known by them."""

    @property
    def generic(self) -> bool:
        return self.adapter.startswith(GENERIC)

    @property
    def rank(self) -> tuple[bool, bool, float, int]:
        """Sort key of candidates, the best last."""
        declared = len(self.matched) + len(self.missing)
        share = len(self.matched) / declared if declared else 0.0
        return not self.generic, bool(self.named or self.messages), share, len(self.matched)

    @property
    def readable(self) -> bool:
        """True unless something shows that the adapter cannot read the file."""
        return bool(self.named or self.messages) or not self.missing or self.rank[2] >= ENOUGH

    def why(self, vendor: Vendor | None) -> list[str]:
        """The evidence, for people."""
        if self.beside:
            return [f"it reads the files of {self.beside} for another purpose"]
        parts = []
        if "{" in self.named:
            parts.append(f"files are named as {vendor.what if vendor else self.adapter}: {self.named}")
        elif self.named:
            parts.append(f"their metadata say {self.named}")
        if self.messages and not self.matched:
            parts.append(f"there are {self.messages}")
        if self.counted:
            parts.append(f"{len(self.matched)} fields without a header, as it expects")
        elif self.matched and not self.missing:
            parts.append(f"all {len(self.matched)} columns that it reads are there")
        elif self.matched:
            parts.append(f"{len(self.matched)} of its columns are there, not {', '.join(self.missing[:6])}")
        if vendor is not None and vendor.alike and not self.named:
            parts.append(
                f"{vendor.alike}, have the same columns, and the name of the file does not say which these are"
            )
        if self.generic:
            parts.append("columns are guessed by their names and values: check the map")
        return parts


def candidates(library: Library, vendors: Mapping[str, Vendor], sniffed: Sniffed, path: str) -> list[Candidate]:
    """Adapters that could read a file at ``path``, the best first."""
    found = []
    for adapter in adapters(library):
        vendor = vendors.get(adapter)
        options = fingerprinted_options(library, adapter, vendor, path)
        named = (vendor.fitting(path) or "") if vendor is not None else ""
        if vendor is not None and sniffed.schema and sniffed.schema in vendor.schema_:
            named = named or f"schema {sniffed.schema}"
        if vendor is not None and vendor.messages is not None:
            fits = sniffed.format == "ndjson" and vendor.messages.among(sniffed.messages)
            one = Candidate(adapter, options, vendor.messages.has, named=named, messages=vendor.what if fits else "")
            found += [one] if fits or named else []
        elif adapter.startswith(GENERIC):
            found += _mapped(library, adapter, sniffed, path)
        elif (candidate := _compared(library, adapter, options, sniffed, named, vendor)) is not None:
            found.append(candidate)
    if unread(vendors, sniffed, path) is not None:
        found = [candidate for candidate in found if not candidate.generic]
    if calls_rows_changes(sniffed):
        found = [one for one in found if one.named or one.messages or not one.adapter.endswith("/orderbook")]
    if are_forced(path):
        found = [candidate for candidate in found if not candidate.adapter.endswith("trades")]
    return sorted(found, key=lambda candidate: candidate.rank, reverse=True)


def are_forced(path: str) -> bool:
    """True if the name of a file, or of a folder above it, says that its rows are liquidations."""
    folders = path.rpartition("/")[0].split("/")[-_FOLDERS:]
    whole = any(re.fullmatch(f"({FORCED})s?", folder, re.IGNORECASE) for folder in folders)
    return whole or re.search(FORCED, path.rpartition("/")[2], re.IGNORECASE) is not None


def variants(library: Library, candidate: Candidate) -> Iterator[Candidate]:
    """The candidate with other choices of its adapter's options, one at a time."""
    for name, choice in _choices(library, candidate.adapter):
        if name not in candidate.options:
            yield structs.replace(candidate, options={**candidate.options, name: choice})


def _choices(library: Library, adapter: str) -> Iterator[tuple[str, Any]]:
    """Options of an adapter with choices, and the choices that are not the default."""
    for name, option in library.header(adapter_template(adapter)).options.items():
        if option.type != "map":
            yield from ((name, choice) for choice in option.choices or () if choice != option.default)


def fingerprinted_options(library: Library, adapter: str, vendor: Vendor | None, path: str) -> dict[str, Any]:
    """Options of an adapter that a file's name tells."""
    declared = library.header(adapter_template(adapter)).options
    found: dict[str, Any] = {}
    for name, regex in (vendor.options if vendor is not None else {}).items():
        match = re.search(regex, PurePosixPath(path).name)
        if match is not None and name in declared:
            value = int(match.group(1)) if declared[name].type == "int" else match.group(1)
            if value != declared[name].default:
                found[name] = value
    return found


def _compared(
    library: Library, adapter: str, options: Mapping[str, Any], sniffed: Sniffed, named: str, vendor: Vendor | None
) -> Candidate | None:
    """An adapter against the columns of a file, by that choice of its options that fits best."""
    others = vendor.ways.items() if vendor is not None else ()
    choices = [*_choices(library, adapter), *others]
    ways = [options, *({**options, name: choice} for name, choice in choices)]
    found = [way for one in ways if (way := _compared_by(library, adapter, one, sniffed, named)) is not None]
    return max(found, key=lambda candidate: candidate.rank, default=None)


def _compared_by(
    library: Library, adapter: str, options: Mapping[str, Any], sniffed: Sniffed, named: str
) -> Candidate | None:
    declared = _declared(library, adapter, options, sniffed.format)
    if declared is None:
        return Candidate(adapter, options, named=named) if named else None
    csv = library.header(adapter_template(adapter)).csv
    names = [name for name in declared if name not in ("exchange", "symbol")]
    required = [name for name in names if name not in csv.optional]
    if sniffed.format == "csv" and not sniffed.columns:
        fits = csv.header is not True and len(required) <= sniffed.fields <= len(names)
        matched = tuple(names[: sniffed.fields]) if fits else ()
        return Candidate(adapter, options, matched, (), named, counted=fits) if fits or named else None
    matched = tuple(name for name in names if name in sniffed.columns)
    missing = tuple(name for name in required if name not in sniffed.columns) if sniffed.columns else ()
    if sniffed.columns and not csv.lines and len(matched) < ENOUGH * len(required):
        named = ""  # a name such as BTC-USDT-trades-2025-04-19.csv is not one vendor's alone
    if not named and (not matched or len(matched) < ENOUGH * len(required)):
        return None
    return Candidate(adapter, options, matched, missing, named)


def _declared(library: Library, adapter: str, options: Mapping[str, Any], form: str) -> Mapping[str, Any] | None:
    """Columns that an adapter reads from files of a format; ``None`` if it declares none."""
    key = ("columns", adapter, repr(sorted(options.items())), form)
    if key not in library.kept:
        try:
            source = Source(path="x", adapter=adapter, options=dict(options))
            library.kept[key] = TrialSource(library, Path("x"), source).columns(form)
        except SqlgenError:
            library.kept[key] = None
    found: Mapping[str, Any] | None = library.kept[key]
    return found


def _mapped(library: Library, adapter: str, sniffed: Sniffed, path: str) -> list[Candidate]:
    declared = library.header(adapter_template(adapter)).options
    kind, named = adapter.removeprefix(GENERIC), headerless.named(sniffed)
    paths: Mapping[str, str] = {}
    proposal = columnmap.guess_columns(kind, named)
    if proposal is None and sniffed.format in ("ndjson", "parquet"):
        named, paths = nested.flattened(sniffed)
        proposal = columnmap.guess_columns(kind, named)
    if proposal is None or (sniffed.format == "ndjson" and not are_of_one(kind, sniffed.records, bool(paths))):
        return []
    found = dict(proposal.options)
    found["columns"] = nested.located(found["columns"], paths)
    if named is not sniffed and not paths:
        found |= {"header": False, "fields": ", ".join(named.columns)}
        if "side" in found["columns"] and "2" in named.values(found["columns"]["side"]):
            found |= {"buy": ["2"], "sell": ["1"]}  # Gate.io's codes
    side = found["columns"].get("side") if not paths and kind == "trades" else None
    if side is not None and says(named, side, ("true", "false")):
        found |= {"buy": ["true"], "sell": ["false"]}  # isBuySide
    zone = next((z for form, z in ZONES_BY_FILE.items() if re.search(form, PurePosixPath(path).name)), "")
    found |= {"timezone": zone} if zone and found["time_unit"] == "text" else {}
    options = {name: value for name, value in found.items() if name in declared}
    return [Candidate(adapter, options, proposal.columns)]
