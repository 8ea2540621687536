"""Inputs of models: all their files, and sources as their adapters read them. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from msgspec import Struct, field

from sqlgen.calendars.sessions import Interval, intervals
from sqlgen.compile.adapters import RawForm, check_turns, raw_form
from sqlgen.compile.scope import Scan, SourceLayout
from sqlgen.compile.sourcespec import SourceSpec
from sqlgen.compile.unitsql import input_predicate
from sqlgen.lake.partitions import KEYS
from sqlgen.lake.patterns import PathPattern
from sqlgen.project.config import Source
from sqlgen.project.model import Model, ModelInput, adapter_template
from sqlgen.project.project import Project
from sqlgen.templating.header import CsvFormat
from sqlgen.templating.quoting import exact_path
from sqlgen.templating.templates import Library

A_YEAR = 366
"""Days around the dates of rows whose sessions are needed, where rows may be filed under any date."""
MOST_KEPT = 64
"""Canonical rows that are kept: those of a model's statements over the whole lake, not those of its units."""


class AdaptedInputs(Struct):
    """Sources through their adapters. The statements of a model name the same rows several times: they are kept."""

    library: Library
    _forms: dict[tuple[object, ...], RawForm] = field(default_factory=dict)
    _selects: dict[tuple[str, str, Scan], str] = field(default_factory=dict)

    def select(self, model: Model, entry: ModelInput, scan: Scan) -> str:
        """The SELECT of the canonical rows of an input, whatever the predicate of the scan."""
        assert entry.source is not None
        scan = dataclasses.replace(scan, predicate=None)
        key = (model.name, entry.name, scan)
        text = self._selects.get(key)
        if text is None:
            context = self._context(model, entry, scan)
            options = SimpleNamespace(**context["options"])
            text = self.library.render(adapter_template(entry.source.adapter), **{**context, "options": options})
            if entry.source.side_is != "auto":
                check_turns(self.library, entry.ref, entry.source, context)
            if entry.source.sessions is not None and not scan.survey:
                text = self._in_sessions(text, entry.source, scan)
            if len(self._selects) >= MOST_KEPT:
                self._selects.clear()
            self._selects[key] = text
        return text

    def _in_sessions(self, rows: str, source: Source, scan: Scan) -> str:
        """``rows`` with the date of their session, from a table of the sessions of their dates."""
        sessions, found = source.sessions, tuple[Interval, ...]()
        assert sessions is not None
        if scan.dates is not None:
            tolerance = source.date_tolerance if source.date_tolerance is not None else A_YEAR
            beside = dt.timedelta(days=math.ceil(tolerance))
            first, last = scan.dates
            found = intervals(sessions.calendar, first - beside, last + beside, sessions.before, sessions.after)
        return self.library.render("publish/sessions.sql.j2", rows=rows, sessions=found, calendar=sessions.calendar)

    def csv(self, model: Model, entry: ModelInput) -> CsvFormat:
        """CSV dialect of an input's files."""
        assert entry.source is not None
        return self.library.csv(adapter_template(entry.source.adapter), model.adapter_options[entry.name])

    def raw_form(self, model: Model, entry: ModelInput, layout: SourceLayout) -> RawForm:
        """Form of the files of an input, as its adapter reads them."""
        assert entry.source is not None
        key = (model.name, entry.name, layout.format, layout.hive_keys)
        if key not in self._forms:
            context = self._context(model, entry, Scan(("",), layout.format, layout.hive_keys))
            csv = self.csv(model, entry)
            self._forms[key] = raw_form(self.library, entry.ref, entry.source, context, csv)
        return self._forms[key]

    def _context(self, model: Model, entry: ModelInput, scan: Scan) -> dict[str, Any]:
        assert entry.source is not None
        source = SourceSpec.of_source(entry.ref, entry.source, scan, self.csv(model, entry))
        return {"source": source, "options": model.adapter_options[entry.name]}


def all_files(project: Project, entry: ModelInput, layout: SourceLayout | None, types: Mapping[str, str]) -> Scan:
    """A scan of all files of an input, relative to the project's folder.

    ``layout``: layout of a source's files, if it has any; ``types``: of a model's partition columns.
    """
    lake = exact_path(project.config.lake.rstrip("/"))
    predicate = input_predicate(entry)
    if entry.source is None:
        files = f"{lake}/{exact_path(project.models[entry.ref].output.path)}/**/*.parquet"
        return Scan((files,), predicate=predicate, types=types)
    layout = layout or _expected(entry.source)
    if entry.source.pattern:
        files = PathPattern(entry.source.pattern).glob
    else:
        files = "**/[!_.]*." + ("parquet" if layout.format == "parquet" else layout.format + "*")
    root = lake if entry.source.lake is None else exact_path(entry.source.lake.rstrip("/"))
    files = f"{root}/{exact_path(entry.source.folder)}/{files}"
    return Scan(
        (files,),
        layout.format,
        layout.hive_keys,
        predicate=predicate,
        by_name=layout.ambiguous,
        twins=layout.twins,
        dates=layout.dates,
    )


def _expected(source: Source) -> SourceLayout:
    """Layout that is assumed for a source without files."""
    return SourceLayout("parquet" if source.format == "auto" else source.format, () if source.pattern else KEYS)
