"""Doctor: looks at all that a project keeps in its lake and its state folder, and repairs what loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from sqlgen.errors import SqlgenError, UsageError, first_line
from sqlgen.lake import sealed, storage
from sqlgen.lake.lock import RUN_ID, run_lock
from sqlgen.lake.remote import mounts
from sqlgen.lake.storage import is_hidden
from sqlgen.operate.upkeep.restoring import versions_of
from sqlgen.plan.missing import faults
from sqlgen.project.model import Model
from sqlgen.published.footers import LATER
from sqlgen.published.states import SUFFIX, StateError
from sqlgen.published.tables import Table
from sqlgen.run.cleanup import clear_staging
from sqlgen.run.engine import Engine
from sqlgen.sources.sourcefiles import SourceFilesError, list_source_files
from sqlgen.sources.unpacked import CHUNK, opened, unzip

Repair = Callable[[], object]
_CACHES = ("index.json", "bound.json", "settled.json")
_SETTLED = re.compile(r"settled(\.\d+-of-\d+)?\.json")


class Ailment(Struct):
    """One thing that is not as it should be."""

    kind: str
    where: str
    """The path, or the model and its partition."""
    text: str
    """Description, and what to do."""
    repair: Repair | None = None
    """Step that puts it right and loses nothing; ``None`` if it takes a person, or a run."""
    harmless: bool = False
    """True if no run stumbles over it."""
    fixed: bool = False


def examine(engine: Engine, full: bool = False) -> list[Ailment]:
    """All ailments; ``full``: files are read to their end, not only footers of Parquet."""
    found = [*_places(engine), *_state(engine), *_staging(engine), *_orphans(engine)]
    for name, model in engine.project.models.items():
        if _journal_fault(engine, name):
            continue
        table = engine.table(name)
        found += [*_table(engine, model, table), *_kernel_states(engine, model, table), *_versions(engine, model)]
        if full:
            found += _read_whole(engine, model, table)
    return [*found, *_sources(engine, full)]


def repair(engine: Engine, found: list[Ailment]) -> None:
    """Repair what can be, while no run holds the lake."""
    with run_lock(engine.project.lake / ".sqlgen"):
        for ailment in found:
            if ailment.repair is not None:
                ailment.repair()
                ailment.fixed = True
        mounts.save(engine.project.lake)


def _places(engine: Engine) -> Iterator[Ailment]:
    """Anything else where runs need a folder or a file, and end with an error."""
    state, own = engine.project.state, engine.project.lake / ".sqlgen"
    folders = [*(state / name for name in ("manifest", "kernels", "runs", "failed")), own / "locks", own / "staging"]
    journals = [path for path in state.glob("manifest/*.ndjson") if not path.exists()]  # links; others are read below
    files = [own / "lock", *sorted([*own.glob("locks/*"), *journals]), *(state / name for name in _CACHES)]
    for kind, paths, is_one in (("folder", folders, Path.is_dir), ("file", files, Path.is_file)):
        for path in paths:
            if os.path.lexists(path) and not is_one(path):
                yield Ailment("place", str(path), f"is no {kind}, which runs need here. Move it away")


def _state(engine: Engine) -> Iterator[Ailment]:
    """Records, index and reports that are damaged."""
    state = engine.project.state
    for name in engine.project.models:
        if fault := _journal_fault(engine, name):
            yield Ailment("records", name, fault)
            continue
        for path in engine.manifest.journals(name):
            if path in engine.manifest.damaged:
                number = engine.manifest.damaged[path]
                text = f"{number} line(s) are damaged. Their records are read from the table itself"
                yield Ailment("records", str(path), text, partial(_record_anew, engine, name))
    for path, why in (
        (state / "index.json", "files are looked up again"),
        *(
            (path, "all symbols are planned again")
            for path in sorted(state.glob("settled*.json"))
            if _SETTLED.fullmatch(path.name)
        ),
        (state / "bound.json", "SQL is bound again"),
    ):
        if not path.is_dir() and not _is_sound(path, is_sealed=path.name != "bound.json"):
            yield Ailment("cache", str(path), f"damaged: {why}", path.unlink)
    for path in sorted((state / "runs").glob("*.json")):
        if RUN_ID.fullmatch(path.stem) and not _is_sound(path, is_sealed=True):
            yield Ailment("report", str(path), "a damaged report of a run, which is skipped. Remove it", harmless=True)


def _journal_fault(engine: Engine, name: str) -> str:
    """Error of a model's journals that cannot be read: its table cannot be looked at, then."""
    try:
        engine.manifest.load(name)
    except UsageError as error:
        return str(error)
    return ""


def _is_sound(path: Path, is_sealed: bool) -> bool:
    try:
        text = sealed.read_text(path)
        return isinstance(sealed.loads(text) if is_sealed else json.loads(text), dict)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


def _record_anew(engine: Engine, name: str) -> None:
    """Write the records of a model anew, those that are damaged from the footers of its files."""
    table = engine.table(name)
    engine.manifest.compact(name)
    engine.manifest.note(name, (table.records[unit] for unit in table.adopted), table.gone)


def _staging(engine: Engine) -> Iterator[Ailment]:
    """Leftovers of killed runs."""
    folder = engine.project.lake / storage.STAGING
    left = [path for path in folder.iterdir() if RUN_ID.fullmatch(path.name)] if folder.is_dir() else []
    if left:
        yield Ailment(
            "staging",
            str(folder),
            f"{len(left)} folder(s) of a run that goes on, or was killed. The next run clears them",
            partial(clear_staging, engine.project.lake),
            harmless=True,
        )
    for place in {path.parent for path in filter(storage.is_draft, engine.project.state.rglob(".*.draft"))}:
        text = "drafts of files that a killed run was writing"
        yield Ailment("staging", str(place), text, partial(storage.clear_drafts, place), harmless=True)


def _orphans(engine: Engine) -> Iterator[Ailment]:
    """Records and kernel states of models that models.yaml no longer has."""
    project = engine.project
    for path in sorted(engine.manifest.folder.glob("*.ndjson")):
        if (name := path.name.partition(".")[0]) not in project.models:
            text = f"records of '{name}', a model that {project.path.name} does not have. Its table stays as it is"
            yield Ailment("orphan", str(path), text, harmless=True)
    for folder in sorted(path for path in engine.states.folder.glob("*") if path.is_dir()):
        if folder.name not in project.models and any(folder.rglob(f"*{SUFFIX}")):
            text = f"kernel states of '{folder.name}', a model that {project.path.name} does not have"
            yield Ailment("orphan", str(folder), text, partial(_remove_states, folder), harmless=True)


def _remove_states(folder: Path) -> None:
    """Remove kernel states below a folder, and folders that are empty then; files of others stay."""
    for path in folder.rglob(f"*{SUFFIX}"):
        path.unlink()
    for path in (*sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True), folder):
        with contextlib.suppress(OSError):
            path.rmdir()


def _table(engine: Engine, model: Model, table: Table) -> Iterator[Ailment]:
    """Files of others in a table, files that have changed or are gone, and files that no reader sees."""
    for path, why in table.foreign_files.items():
        theirs = f"model '{model.name}' did not publish it: {why}. Move it away"
        yield Ailment("foreign", str(path), theirs if why != LATER else f"{why}. Use that version")
    missing = {*table.records, *table.files} - table.present if LATER not in table.foreign_files.values() else ()
    for unit in sorted(missing):
        there = table.files.get(unit)
        what = "published files are not as they were published" if there else "published files are missing"
        cure = (
            "Restore them, or rebuild from the present inputs with --full-refresh"
            if there and model.output.mode != "overwrite"
            else "The next run builds the partition anew"
        )
        yield Ailment("table", f"{model.name}: {unit}", f"{what}. {cure}")
    for root in (table.root, table.beside):
        for name in filter(is_hidden, storage.list_all(root)):
            text = "a file that readers of the table do not see. Runs carry it along. Move it away if it is not yours"
            yield Ailment("sidecar", str(root / name), text, harmless=True)


def _kernel_states(engine: Engine, model: Model, table: Table) -> Iterator[Ailment]:
    """Kernel states that do not fit the published partitions, and those of other builds."""
    store, known = engine.states, set[Path]()
    for unit, record in sorted(table.records.items()):
        if not record.state or model.pipeline is None:
            continue
        path = store.path(model.name, unit, record.build)
        known.add(path)
        try:
            store.read(model.name, unit, record.build, record.state, model.pipeline.state_identity)
        except StateError as error:
            text = f"its kernel state cannot be used: {error}. The run that needs it rebuilds it"
            yield Ailment("kernel state", f"{model.name}: {unit}", text)
    for path in sorted((store.folder / model.name).rglob(f"*{SUFFIX}")):
        if path not in known and model.pipeline is not None:
            text = "a kernel state of a build that is not published"
            yield Ailment("orphan", str(path), text, path.unlink, harmless=True)


def _versions(engine: Engine, model: Model) -> Iterator[Ailment]:
    """Earlier versions of units that cannot be restored."""
    for folder in versions_of(engine, model.name).unreadable():
        text = "the record of a kept version is damaged, or of a later version of sqlgen: it cannot be restored here"
        yield Ailment("version", str(folder), f"{text}. Its rows are in the folder; remove it if nobody needs them")


def _read_whole(engine: Engine, model: Model, table: Table) -> Iterator[Ailment]:
    for unit in sorted(table.present & table.records.keys()):
        for name in table.records[unit].files:
            if problem := _unreadable(table.root / unit.path / name, full=True):
                cure = "Remove it, and run again" if model.output.mode == "overwrite" else "Restore it"
                yield Ailment("table", str(table.root / unit.path / name), f"{problem}. {cure}")


def _sources(engine: Engine, full: bool) -> Iterator[Ailment]:
    """Sources that cannot be listed, and raw files that cannot be read."""
    lake = engine.project.lake
    for name in engine.project.sources:
        if engine.reader(name) is None:
            continue
        try:
            found = list_source_files(engine.project, name, engine.index)
        except SourceFilesError as error:
            yield Ailment("source", name, str(error))
            continue
        if not found.folder_exists:
            folder = lake / engine.project.sources[name].path
            yield Ailment("source", name, f"its folder {folder} is missing. Nothing is pruned while it is away")
        for problem in faults(name, found):
            yield Ailment("source", name, problem)
        files = dict.fromkeys(file.path for files in found.partitions.values() for file in files)
        for path in files:
            problem = _unreadable(lake / path, full) if path.endswith(".parquet") else _unpacked(lake / path, full)
            if problem:
                yield Ailment("raw file", str(lake / path), f"{problem}. Fetch it again, or move it away")


def _unpacked(path: Path, full: bool) -> str:
    """Problem with a raw file of text or DBN: it is empty, or does not unpack to its end."""
    if path.stat().st_size == 0:
        return "is empty"
    if not full:
        return ""
    mounts.fetch([path])
    try:
        if path.suffix == ".zip":
            unzip(path, Path(os.devnull))
        else:
            with opened(path) as stream:
                while stream.read(CHUNK):
                    pass
    except (OSError, SqlgenError) as error:
        return f"does not unpack to its end ({first_line(error):.200})"
    return ""


def _unreadable(path: Path, full: bool) -> str:
    """Problem with a Parquet file; empty if it can be read."""
    (mounts.fetch if full else mounts.fetch_ends)([path])
    try:
        with pq.ParquetFile(path) as file:
            if full:
                rows = sum(batch.num_rows for batch in file.iter_batches())
                if rows != file.metadata.num_rows:
                    return f"holds {rows} rows, and its footer says {file.metadata.num_rows}"
    except (OSError, pa.ArrowException, ValueError) as error:
        return f"cannot be read ({str(error).splitlines()[0]:.200})"
    return ""
