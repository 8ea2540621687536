"""All files of an input, by a glob: what compiled files and views read. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sqlgen.compile.scope import Scan, SourceLayout
from sqlgen.compile.unitsql import input_predicate
from sqlgen.lake.partitions import KEYS
from sqlgen.lake.patterns import PathPattern
from sqlgen.project.config import Source
from sqlgen.project.model import ModelInput
from sqlgen.project.project import Project
from sqlgen.templating.quoting import exact_path


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
    files = f"{lake}/{exact_path(entry.source.path)}/{files}"
    return Scan(
        (files,), layout.format, layout.hive_keys, predicate=predicate, by_name=layout.ambiguous, twins=layout.twins
    )


def _expected(source: Source) -> SourceLayout:
    """Layout that is assumed for a source without files."""
    return SourceLayout("parquet" if source.format == "auto" else source.format, () if source.pattern else KEYS)
