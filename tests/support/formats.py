"""The table of formats in docs/formats.md, from the adapters' templates and the table by which they are recognised."""

from __future__ import annotations

import re
from pathlib import Path

from sqlgen.detect.files import vendors
from sqlgen.project.model import adapter_template
from sqlgen.templating.templates import Library
from tests.support.excerpts import EXCERPTS

HEAD = """# Formats

What each adapter reads, generated from the adapters by `tests/unit/test_formats_docs.py`; for use and options see
[Sources](sources.md). *Read in*: a real excerpt that a test reads; otherwise the tests' files are written by us to the
layout that the vendor documents.

| adapter | reads | known by | clock | levels per side | side of trades | gaps | read in |
|---|---|---|---|---|---|---|---|
"""
_SAYS_SIDE = re.compile(r"(?:https://|# Fields: )([^\s,;{}]+[^\s,;.:{}])")
"""The vendor's page that an adapter's template cites."""
_MAKERS = ("-(", "makers", "is_buyer_maker", "->> '$.m'", "direction of the resting", "cells[6]")


def table() -> str:
    """Text of docs/formats.md."""
    library = Library()
    known = vendors.load(library)
    names = sorted(name for name in library.names() if name.startswith("sources/") and "published" not in name)
    rows = [_row(library, known, name.removeprefix("sources/").removesuffix(".sql.j2")) for name in names]
    return HEAD + "\n".join(rows) + "\n"


def _row(library: Library, known: dict[str, vendors.Vendor], adapter: str) -> str:
    header = library.header(adapter_template(adapter))
    text = next(folder / adapter_template(adapter) for folder in library.folders).read_text(encoding="utf-8")
    vendor = known.get(adapter)
    by = "columns, mapped by names" if vendor is None else _known_by(vendor)
    cells = [f"`{adapter}`", header.description, by, _clock(text), _depth(header.captured_levels, text)]
    return f"| {' | '.join([*cells, _side(adapter, text), _gaps(adapter, text), _read_in(adapter)])} |"


def _known_by(vendor: vendors.Vendor) -> str:
    if vendor.messages is not None:
        return "its messages"
    if vendor.schema_:
        return "DBN schema, columns, names"
    return "names of files, columns" if vendor.names else "columns"


def _clock(text: str) -> str:
    if "canonical_bars" in text:
        return "exchange; arrival where a row has none" if "received" in text else "exchange"
    if "arrival_in(" in text:
        return "exchange; arrival by `clock`"
    if "line_time" in text or "macros/binance.sql.j2" in text or "macros/messages.sql.j2" in text:
        return "exchange; arrival by `clock`, or where a message has none"
    if "local_timestamp" in text or "macros/tardis.sql.j2" in text:
        return "exchange; arrival by `clock`"
    if re.search(r"coalesce\(timestamp, collected_at\)|received|receipt|ts_recv", text):
        return "exchange; arrival by `clock`, or where a row has none"
    return "exchange"


def _depth(captured: str, text: str) -> str:
    if not captured:
        return "not known" if "max_levels" in text else ""
    plain = captured.strip("'\"")
    return plain if re.fullmatch(r"\d+|all", plain) else "not known" if plain == "none" else "by its options"


def _side(adapter: str, text: str) -> str:
    if "canonical_trades" not in text and "message_trades" not in text and not adapter.endswith("trades"):
        return ""
    if "makers" in text:
        return "taker; the maker's of some exchanges is turned (`macros/makers.sql.j2`)"
    said = "the maker's, turned" if any(mark in text for mark in _MAKERS) else "taker"
    evidence = _SAYS_SIDE.search(text)
    return f"{said} ([said here](https://{evidence[1]}))" if evidence is not None else f"{said}, by its files' columns"


def _gaps(adapter: str, text: str) -> str:
    if not re.search("level_updates|message_updates|depth_updates|first_id", text):
        return ""
    if "check_sequence" in text:
        return "with `check_sequence`, the numbers of the connection"
    if "prev_id=" in text or ("AS prev_id" in text and "CAST(NULL AS BIGINT) AS prev_id" not in text):
        return "id of the message before"
    if "depth_updates" in text:
        return "id of the message before" if "futures" in adapter else "ids go on by one"
    if re.search(r"first_id=|book\.u END AS first_id|sequence_num", text):
        return "ids go on by one"
    return "none in the feed; pauses longer than `max_gap`"


def _read_in(adapter: str) -> str:
    real = [name for name, excerpt in EXCERPTS.items() if adapter in excerpt.rows]
    if real:
        return f"`tests/e2e/test_excerpts.py`: {', '.join(Path(name).name for name in real[:2])}"
    return "written by us to the documented layout"
