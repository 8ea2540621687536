"""Checks models' SQL by binding it once over empty tables: a typo is one message, before anything runs.

Sources are empty files with the columns that their adapters read; models are empty tables with the columns that
their templates return.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb

from sqlgen import __version__
from sqlgen.compile.compiledmodel import digest
from sqlgen.compile.compiler import Compiler
from sqlgen.lake import storage
from sqlgen.project.project import Project
from sqlgen.run.binder import Binder, named
from sqlgen.sources.sourcefiles import SourceFiles
from sqlgen.templating.connection import confined, folders_of


def unoptimized(folder: str, project: Project, files: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """A connection that reads empty tables in ``folder``, and files of the lake for their columns."""
    connection = confined([Path(folder), *folders_of(project.lake, files)], {"threads": 1})
    connection.execute("PRAGMA disable_optimizer")  # empty tables need no speed
    return connection


_BOUND: set[str] = set()
"""Digests of SQL bound by this process, which may run many projects of the same models (model tests do)."""


def bind(
    project: Project, compiler: Compiler, source_files: Mapping[str, SourceFiles], models: Iterable[str], record: bool
) -> None:
    """Bind the SQL of models that is not known to bind; :class:`sqlgen.run.binder.BindError` with every problem found.

    Digests of bound SQL are recorded in the state folder, if it may be written to (``record``).
    """
    path = project.state / "bound.json"
    known = _known(path)
    keys = {name: _key(project, compiler, name) for name in models}
    new = [name for name, key in keys.items() if known.get(name) != key]
    unbound = [name for name in new if keys[name] not in _BOUND]
    if unbound:
        files = (files[0].path for found in source_files.values() for files in [*found.partitions.values()][:1])
        with tempfile.TemporaryDirectory() as folder, unoptimized(folder, project, files) as connection:
            Binder(project, compiler, source_files, Path(folder), connection).bind(unbound)
        _BOUND.update(keys[name] for name in unbound)
    if new and record:
        kept = {name: key for name, key in (known | keys).items() if name in project.models}
        storage.replace_text(path, json.dumps(kept, indent=1) + "\n")


def _known(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(project: Project, compiler: Compiler, name: str) -> str:
    """Digest of the SQL of a model and of its inputs, and of the columns that models.yaml names."""
    before = [_key(project, compiler, ref) for ref in sorted(project.upstream(name))]
    columns = [*named(project.models[name]).values()]
    return digest(__version__, duckdb.__version__, compiler.compile(name).fingerprint, columns, before)
