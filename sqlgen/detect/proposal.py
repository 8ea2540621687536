"""The entry under ``sources:`` for files with known layout and adapter."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct, field

from sqlgen.detect.candidates import GENERIC, Candidate
from sqlgen.detect.files.layout import UNKNOWN, PathLayout, exchange_above
from sqlgen.detect.files.sniff import Sniffed
from sqlgen.detect.files.vendors import Vendor
from sqlgen.project.config import Source

_OF_COINBASE = ("trade_id", "side", "size", "price", "time")
"""Columns of trades of Coinbase's REST API."""


class ProposedSource(Struct, frozen=True, dict=True):
    """A proposed source, with remarks."""

    layout: PathLayout
    entry: Mapping[str, Any]
    """Entry for models.yaml."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def lake(self) -> str:
        return self.layout.lake

    @property
    def by(self) -> str:
        """Origin of exchange, symbol and date."""
        named = {*self.layout.keys, *(key for key in ("exchange", "symbol") if key in self.entry)}
        dated = "date" in named or {"year", "month", "day"} <= named
        rows = not dated or not {"exchange", "symbol"} <= named
        return self.layout.by if not rows or self.layout.by == "rows" else f"{self.layout.by}, and rows"

    @cached_property
    def source(self) -> Source:
        return Source.model_validate(self.entry if self.layout.usable else {**self.entry, "path": "unusable"})


def propose_source(
    layout: PathLayout,
    candidate: Candidate | None,
    vendor: Vendor | None,
    sample: Sniffed,
    row_keys: Collection[str] = (),
) -> ProposedSource:
    """The entry; keys that neither paths nor rows have are filled in, and marked."""
    entry: dict[str, Any] = {
        "path": os.path.relpath(layout.base, layout.lake),
        "adapter": candidate.adapter if candidate is not None else UNKNOWN,
    }
    remarks: dict[str, str] = {}
    if layout.format_needed:
        entry["format"] = sample.format
    if layout.pattern:
        entry["pattern"] = layout.pattern
    usual = sample.dataset.lower().replace(".", "-") or (vendor.exchange if vendor is not None else None)
    fixed = {"exchange": usual or exchange_above(layout.base), "symbol": None}
    for key, value in fixed.items():
        mapped = candidate.options.get("columns", {}) if candidate is not None and candidate.generic else {}
        messages = candidate is not None and candidate.messages  # whose rows say what their adapter reads
        in_rows = (
            (key in sample.columns and not messages) or key in mapped or (key == "symbol" and sample.format == "dbn")
        )
        in_rows = in_rows or key in row_keys
        if key in layout.keys or in_rows:
            continue
        entry[key] = value or UNKNOWN
        remarks[key] = "the folder's name: check it" if value else "neither paths nor rows have it: fill it in"
        if value and value == usual and vendor is not None:
            remarks[key] = f"of {vendor.what}: rename it as you like"
    if candidate is not None and names_maker(candidate, sample, f"{entry['path']} {entry.get('exchange')}"):
        entry["side_is"] = "maker"
        remarks["side_is"] = "Coinbase sends the maker's side"
    if candidate is not None and candidate.options:
        entry["options"] = dict(candidate.options)
    notes = () if layout.usable else (f"{layout.base} is no folder below the lake {layout.lake}, which a source needs",)
    return ProposedSource(layout, entry, remarks, notes)


def names_maker(candidate: Candidate, sample: Sniffed, where: str) -> bool:
    """True if files are trades as Coinbase's REST API gives them, whose side is the maker's.

    ``where``: folder in the lake, and exchange.
    """
    trades = candidate.adapter == f"{GENERIC}trades" and {*sample.columns} >= {*_OF_COINBASE}
    return trades and re.search(r"coinbase|gdax", where, re.IGNORECASE) is not None
