"""``catalog.sql``: one view per source and model, for any DuckDB shell."""

from __future__ import annotations

from sqlgen import storage
from sqlgen.compiler import Compiler
from sqlgen.engine import Engine
from sqlgen.model import Model
from sqlgen.quoting import ident, literal
from sqlgen.scope import Scan


def catalog_sql(engine: Engine) -> str:
    """Views over absolute paths; a view whose table has no files yet stands as a comment."""
    project = engine.project
    compiler = engine.compiler(project.order)
    parts = [f"-- Views over the lake of {project.path.name}: sources as canonical rows, models as published.\n"]
    for name, source in project.sources.items():
        select = _source_select(engine, compiler, name)
        foreign = compiler.layouts[name].foreign if name in compiler.layouts else ""
        if foreign:
            parts.append(f"-- source {name}: DuckDB alone cannot read its {foreign}\n")
        elif select is None:
            parts.append(f"-- source {name}: no files in {source.path} yet, or no model reads it\n")
        else:
            parts.append(_view(name, source.description, select))
    for name, model in project.models.items():
        folder = project.lake / model.output.path
        if not any(folder.rglob("*.parquet")):
            parts.append(f"-- model {name}: nothing published yet\n")
            continue
        scan = Scan((f"{folder}/**/*.parquet",), hive_keys=model.output.partition_by)
        view = _view(name, model.description, compiler.published_select(name, scan))
        parts.append(view + _comments(name, compiler.compile(name).descriptions))
    taken = {*project.sources, *project.models}
    parts += [
        _quarantine(engine, model)
        for model in project.models.values()
        if model.quarantines and f"{model.name}_quarantine" not in taken
    ]
    return "\n".join(parts)


def _quarantine(engine: Engine, model: Model) -> str:
    name, folder = f"{model.name}_quarantine", engine.project.lake / model.quarantine
    if not any(folder.rglob("*.parquet")):
        return f"-- {name}: no rows are quarantined\n"
    files = literal(f"{folder}/**/*.parquet")
    select = f"SELECT *\nFROM read_parquet({files}, hive_partitioning = false, union_by_name = true)"
    return _view(name, f"Rows that checks of {model.name} and of its sources keep out of it", select)


def _source_select(engine: Engine, compiler: Compiler, name: str) -> str | None:
    reader = engine.reader(name)
    if reader is None or not next(storage.list_files(engine.project.lake, engine.project.sources[name].path), None):
        return None
    model, entry = reader
    scan = compiler.whole_lake(model).inputs[entry.name]
    assert scan is not None
    files = tuple(str(engine.project.folder / pattern) for pattern in scan.files)
    return compiler.input_select(model, entry, Scan(files, scan.format, scan.hive_keys))


def _view(name: str, description: str, select: str) -> str:
    text = f"CREATE OR REPLACE VIEW {ident(name)} AS\n{select};\n"
    return text + (f"COMMENT ON VIEW {ident(name)} IS {literal(description)};\n" if description else "")


def _comments(view: str, descriptions: dict[str, str]) -> str:
    return "".join(
        f"COMMENT ON COLUMN {ident(view)}.{ident(column)} IS {literal(text)};\n"
        for column, text in descriptions.items()
    )
