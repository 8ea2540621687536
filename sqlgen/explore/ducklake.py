"""Published tables in a DuckLake catalog (ducklake.select), for other programs; the files stay where they are."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import duckdb
from msgspec import Struct

from sqlgen.compile.compiler import Compiler
from sqlgen.compile.scope import Scan
from sqlgen.errors import UsageError, first_line
from sqlgen.lake.remote.mounts import mount_of
from sqlgen.published.records import alike, types_of
from sqlgen.run.engine import Engine
from sqlgen.templating.queries import query
from sqlgen.templating.quoting import exact_path


class Registered(Struct, frozen=True):
    """One published table, as it is registered."""

    name: str
    description: str
    select: str
    files: tuple[str, ...]


def tables_of(engine: Engine) -> list[Registered]:
    """Published tables with their files; :class:`UsageError` if there are none, or none on a disk."""
    project, found = engine.project, list[Registered]()
    compiler = Compiler(project)
    for name, model in project.models.items():
        if (mount := mount_of(project.lake / model.output.path)) is not None:
            raise UsageError(f"{mount.address}: files in an object store are not registered in DuckLake")
        table = engine.table(name)
        records = [table.records[unit] for unit in sorted(table.records) if unit in table.whole]
        files = tuple(str(table.root / record.unit / file) for record in records for file in record.files)
        if files:
            types = types_of(records)
            scan = Scan(tuple(map(exact_path, files)), types=types, alike=alike(records))
            found.append(Registered(name, model.description, compiler.published_select(name, scan), files))
    if not found:
        raise UsageError("no model is published yet, so there is nothing to register. Build first: sqlgen run")
    return found


def catalog_script(tables: Sequence[Registered], path: Path, catalog: Path | None = None) -> str:
    """SQL that makes the catalog ``path``; it is written to ``catalog``, where that is another file."""
    return query("ducklake", tables=tables, path=str(catalog or path), data_path=f"{path}.files/")


def register(tables: Sequence[Registered], path: Path, overwrite: bool = False) -> None:
    """Write a catalog of tables, in one step; :class:`UsageError` where that cannot be."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists. --overwrite writes it anew, and forgets what was registered in it")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        _load(connection)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection.execute(catalog_script(tables, path, draft))
            draft.replace(path)
        except (duckdb.Error, OSError) as error:
            raise UsageError(f"DuckLake: {path} is not written: {first_line(error)}") from error
        finally:
            draft.unlink(missing_ok=True)


def _load(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("LOAD ducklake")
    except duckdb.Error as error:
        raise UsageError(
            f"DuckDB {duckdb.__version__} does not load its extension ducklake ({first_line(error)})."
            " Install it once, where there is a network: python -c \"import duckdb; duckdb.sql('INSTALL ducklake')\"."
            " With --stdout, the SQL is printed for a DuckDB that has it. Nothing was written"
        ) from error
