"""``catalog.sql``: one view per source and model, for any DuckDB shell."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import duckdb

from sqlgen.compile import checksql
from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan
from sqlgen.errors import TaskError, UsageError, first_line, nearest
from sqlgen.explore.columns import known_columns
from sqlgen.explore.lakefiles import open_lakes
from sqlgen.explore.macros import views_of_macros
from sqlgen.lake import storage
from sqlgen.lake.cpus import cpus
from sqlgen.lake.remote import mounts
from sqlgen.project.model import Model
from sqlgen.project.project import Project
from sqlgen.published.records import alike, types_of
from sqlgen.run.engine import Engine
from sqlgen.templating.connection import confined, folders_of, select_of
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import comment, exact_path, ident, quoted
from sqlgen.templating.templates import PACKAGED


def catalog_sql(engine: Engine) -> str:
    """Views over absolute paths, and macros over them; a view of what has no files yet raises an error when read."""
    project = engine.project
    compiler = engine.compiler(project.order)
    parts = [_note(f"Views over the lake of {project.path.name}: sources as canonical rows, models as published.")]
    filled = set()
    for name, source in project.sources.items():
        select = _source_select(engine, compiler, name)
        foreign = compiler.layouts[name].foreign if name in compiler.layouts else ""
        if foreign:
            parts.append(_without_rows(name, f"source {name}: DuckDB alone cannot read its {foreign}"))
        elif select is None:
            parts.append(_without_rows(name, f"source {name}: no files in {source.path} yet, or no model reads it"))
        else:
            refusal = _refusal(engine, name, select)
            filled |= set() if refusal else {name}
            parts.append(_without_rows(name, refusal) if refusal else _view(name, source.description, select))
    files = {name: _first_file(project.lake / model.output.path) for name, model in project.models.items()}
    columns = known_columns(project, compiler, (name for name, file in files.items() if file is None))
    for name, model in project.models.items():
        if (file := files[name]) is None:
            said = f"model {name}: nothing published yet. Build it: sqlgen run --select +{name}"
            parts.append(_without_rows(name, said, columns.get(name, {})))
            continue
        filled.add(name)
        view = _view(name, model.description, _model_select(engine, compiler, model))
        parts.append(view + _comments(model, file, compiler.compile(name).descriptions))
    taken = {*project.sources, *project.models}
    models = (model for model in project.models.values() if f"{model.name}_quarantine" not in taken)
    parts += [text for model in models if (text := _quarantine(engine, model))]
    parts.append(query("catalog_macros", **views_of_macros(project, filled, columns)) + "\n")
    return "\n".join(parts)


def _refusal(engine: Engine, name: str, select: str) -> str:
    """Refusal of a source's rows that are not one SELECT of files of the lake: shells run it without limits."""
    if engine.project.library.folders == [PACKAGED]:
        return ""
    connection, opened = confined_to(engine, name, select)
    try:
        with connection:
            select_of(connection, opened)
    except (duckdb.Error, TaskError) as error:
        return f"source {name}: {first_line(error)}"
    return ""


def rows_of(engine: Engine, name: str) -> str:
    """SELECT of the rows of a source or a published model; :class:`UsageError` if DuckDB can read none."""
    project = engine.project
    if name in project.models:
        model = project.models[name]
        if _first_file(project.lake / model.output.path) is None:
            raise UsageError(f"model {name}: nothing published yet. Build it: sqlgen run --select +{name}")
        return _model_select(engine, Compiler(project), model)
    if name not in project.sources:
        known = [*project.sources, *project.models]
        raise UsageError(f"no source or model '{name}'.{nearest(name, known)} Known: {', '.join(known)}")
    reader = engine.reader(name)
    compiler = engine.compiler(() if reader is None else (reader[0].name,))
    if name in compiler.layouts and compiler.layouts[name].foreign:
        foreign = compiler.layouts[name].foreign
        raise UsageError(f"source {name}: DuckDB alone cannot read its {foreign}. Ask for a model that reads it")
    select = _source_select(engine, compiler, name)
    if select is None:
        raise UsageError(f"source {name}: no files in {project.sources[name].path} yet, or no model reads it")
    return select


def confined_to(engine: Engine, name: str, select: str) -> tuple[duckdb.DuckDBPyConnection, str]:
    """A connection that reads the files of a source or model, and nothing beside the lake; the SELECT as it runs there.

    Of a lake in an object store it fetches the files whose rows are read, and of others their ends at most.
    """
    project = engine.project
    place = project.sources[name].path if name in project.sources else project.models[name].output.path
    files = [file.path for file in storage.list_files(project.lake, place)]
    paths = [*files, f"{place}/*"]  # what the SELECT lists may lie behind a link, as init --from makes it
    connection = confined([*folders_of(project.lake, paths), *project.roots], {"threads": cpus()})
    return connection, open_lakes(connection, select)


def _model_select(engine: Engine, compiler: Compiler, model: Model) -> str:
    records = engine.table(model.name).records.values()
    types = types_of(records)
    folder = exact_path(engine.project.lake / model.output.path)
    scan = Scan((f"{folder}/**/*.parquet",), types=types, alike=alike(records))
    return compiler.published_select(model.name, scan)


def _first_file(folder: Path) -> Path | None:
    return next(folder.rglob("*.parquet"), None)


def _quarantine(engine: Engine, model: Model) -> str:
    name, folder = f"{model.name}_quarantine", engine.project.lake / model.quarantine
    if not any(folder.rglob("*.parquet")):
        return _note(f"{name}: no rows are quarantined") if model.quarantines else ""
    select = checksql.quarantined_rows(engine.project.library, f"{exact_path(folder)}/**/*.parquet", model.unit_keys)
    return _view(name, f"Rows that checks of {model.name} and of its sources have quarantined", select)


def _source_select(engine: Engine, compiler: Compiler, name: str) -> str | None:
    reader = engine.reader(name)
    if reader is None or not next(storage.list_files(engine.project.lake, engine.project.sources[name].path), None):
        return None
    model, entry = reader
    scan = compiler.whole_lake(model).inputs[entry.name]
    assert scan is not None
    files = tuple(_absolute(engine.project, pattern) for pattern in scan.files)
    return compiler.input_select(model, entry, dataclasses.replace(scan, files=files))


def _absolute(project: Project, pattern: str) -> str:
    """A glob of compiled SQL as one that holds wherever it is read."""
    for mount in mounts.MOUNTS.values():
        url = exact_path(mount.address.url())
        if pattern.startswith(f"{url}/"):
            return str(mount.root) + pattern.removeprefix(url)
    return str(Path(exact_path(project.folder), pattern))


def _note(text: str) -> str:
    return f"{comment(text)}\n"


def _without_rows(name: str, message: str, columns: Mapping[str, str] | None = None) -> str:
    return query("view_without_rows", name=name, message=message, columns=columns or {}) + "\n"


def _view(name: str, description: str, select: str) -> str:
    return query("view", name=name, select=select, description=description) + "\n"


def _comments(model: Model, file: Path, descriptions: dict[str, str]) -> str:
    """Column comments for the columns of ``file`` only: the template also describes those of inner queries."""
    mounts.fetch_ends([file])
    try:
        with duckdb.connect() as connection:
            columns = [
                *model.output.partition_by,
                *connection.read_parquet(exact_path(file), hive_partitioning=False).columns,
            ]
    except duckdb.Error:  # a damaged file is reported by the reader of the view
        return ""
    return "".join(
        f"COMMENT ON COLUMN {ident(model.name)}.{ident(column)} IS {quoted(descriptions[column])};\n"
        for column in columns
        if column in descriptions
    )
