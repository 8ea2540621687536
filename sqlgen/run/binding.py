"""Checks models' SQL by binding it once over empty tables: a typo is one message, before anything runs.

Sources are empty files with the columns that their adapters read; models are empty tables with the columns that
their templates return.
"""

from __future__ import annotations

import functools
import json
import re
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen import __version__
from sqlgen.compile.compiledmodel import digest
from sqlgen.compile.compiler import Compiler
from sqlgen.errors import TemplateError, first_line
from sqlgen.features.stages import stages
from sqlgen.lake import sealed, storage
from sqlgen.lake.partitions import KEYS
from sqlgen.project.model import Model
from sqlgen.project.project import Project
from sqlgen.sources.sourcefiles import SourceFiles
from sqlgen.templating.connection import confined, folders_of, select_of
from sqlgen.templating.queries import query
from sqlgen.templating.templates import PACKAGED, Library
from udfs import cache_folder

if TYPE_CHECKING:
    import duckdb


_RENAMED = re.compile(r"_[0-9]+\Z")


def unoptimized(folder: str, project: Project, files: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """A connection that reads empty tables in ``folder``, and files of the lake for their columns."""
    connection = confined([Path(folder), *folders_of(project.lake, files)], {"threads": 1})
    connection.execute("PRAGMA disable_optimizer")  # empty tables need no speed
    return connection


def named(model: Model) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Columns that a model's entry names, by the key that names them."""
    output = model.output
    return {
        ("columns",): model.config.columns,
        ("output", "partition_by"): output.partition_by,
        ("output", "key"): output.key,
        ("output", "order_by"): output.order_by,
    }


_BOUND: set[str] = set()
"""Digests of SQL bound by this process, which may run many projects of the same models (model tests do)."""


def bind(
    project: Project, compiler: Compiler, source_files: Mapping[str, SourceFiles], models: Iterable[str], record: bool
) -> None:
    """Bind the SQL of models that is not known to bind; :class:`sqlgen.run.binder.BindError` with every problem found.

    Digests of bound SQL are recorded in the state folder, if it may be written to (``record``); those that ``compile``
    binds for a project that has none yet, where compiled kernels are kept.
    """
    path = project.state / "bound.json"
    if not record and not source_files and (folder := cache_folder()) is not None:
        path, record = folder / f"bound-{digest(str(project.path))}.json", True
    known = _known(path)
    keys = {name: _key(project, compiler, name) for name in models}
    new = [name for name, key in keys.items() if known.get(name) != key]
    unbound = [name for name in new if keys[name] not in _BOUND]
    if unbound:
        files = (files[0].path for found in source_files.values() for files in [*found.partitions.values()][:1])
        from sqlgen.run.binder import Binder  # loads PyArrow

        with tempfile.TemporaryDirectory() as empty, unoptimized(empty, project, files) as connection:
            Binder(project, compiler, source_files, Path(empty), connection).bind(unbound)
        _BOUND.update(keys[name] for name in unbound)
    if new and record:
        kept = {name: key for name, key in (known | keys).items() if name in project.models}
        storage.replace_cache(path, json.dumps(kept, indent=1) + "\n")


def _known(path: Path) -> dict[str, str]:
    try:
        known = json.loads(sealed.read_text(path))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(project: Project, compiler: Compiler, name: str) -> str:
    """Digest of the SQL of a model and of its inputs, and of the columns that models.yaml names."""
    before = [_key_of_input(project, compiler, ref) for ref in sorted(project.upstream(name))]
    model = project.models[name]
    columns = [*named(model).values(), model.header.order_by]
    return digest(__version__, _duckdb_version(), compiler.compile(name).fingerprint, columns, before)


def _key_of_input(project: Project, compiler: Compiler, name: str) -> str:
    """Digest of a model that others read; empty where its SQL needs files of sources that nobody listed."""
    try:
        return _key(project, compiler, name)
    except TemplateError:
        return ""


@functools.cache
def _duckdb_version() -> str:
    """Version of DuckDB, which is not loaded for that."""
    return version("duckdb")


def is_packaged(library: Library, name: str) -> bool:
    """True for a packaged template that no template of the project hides."""
    return Path(library.source_text(name)[1]).is_relative_to(PACKAGED)


def distinct(connection: duckdb.DuckDBPyConnection, select: str) -> duckdb.DuckDBPyRelation:
    """The relation of a SELECT whose columns have different names: DuckDB calls the second ``price`` ``price_1``."""
    rows = select_of(connection, select)
    _require_distinct(rows.columns, {*map(str.lower, rows.columns)})
    names = {name.lower() for name in rows.columns}
    if renamed := {base for name in names if (base := _RENAMED.sub("", name)) != name and base in names}:
        parts = stages(select)[0]
        for number, part in enumerate(parts):
            before = ", ".join(f"{each.name} AS (\n{each.sql}\n)" for each in parts[:number])
            alone = select_of(connection, f"{'WITH ' if before else ''}{before} (\n{part.sql}\n)")
            _require_distinct(alone.columns, renamed)
    return rows


def _require_distinct(columns: Sequence[str], names: Container[str]) -> None:
    from duckdb import BinderException

    folded = [name.lower() for name in columns]
    for number, name in enumerate(folded):
        if name in names and name in folded[:number]:
            cure = f"Name one of them otherwise; * REPLACE (... AS {name}) puts one in the other's place"
            raise BinderException(f"duplicate column: {columns[number]}. {cure}")


def said(error: duckdb.Error) -> str:
    """DuckDB's message, without its list of candidate columns."""
    more = [line for line in str(error).splitlines()[1:] if line.startswith(("Candidate", "Did you mean", "\tDid"))]
    return ". ".join([first_line(error), *(line.strip() for line in more)])


def decoded_keys(keys: Iterable[str]) -> tuple[str, ...]:
    """Folders in which a file of these keys is decoded."""
    found = {*keys}
    if {"year", "month", "day"} <= found:
        found.add("date")
    return tuple(key for key in (*KEYS, "hour") if key in found)


def time_faults(connection: duckdb.DuckDBPyConnection, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Options of an adapter that DuckDB cannot read a time with, and why: it would say so for each partition."""
    given, zone = options.get("time_format") or [], options.get("timezone")
    formats = [given] if isinstance(given, str) else given
    tried = [("time_format", text, {"formats": [text], "zone": ""}) for text in formats]
    if zone:
        tried.append(("timezone", zone, {"formats": [], "zone": zone}))
    for name, text, context in tried:
        try:
            connection.execute(query("time_options", **context)).fetchall()
        except Exception as error:  # DuckDB's, which is not loaded here
            yield name, f"found {text!r}: {first_line(error)}"
