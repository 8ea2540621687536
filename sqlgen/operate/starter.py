"""The beginning of a project: a starter, the shipped models, or models over files that are already there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import sqlgen
from sqlgen.detect.examine import Request, examine
from sqlgen.detect.files.filegroups import of_store
from sqlgen.detect.files.layout import exchange_above
from sqlgen.detect.findings import Examination
from sqlgen.detect.written import add_to
from sqlgen.errors import SqlgenError, UsageError
from sqlgen.lake import storage
from sqlgen.lake.remote.address import is_remote
from sqlgen.project.project import Project
from sqlgen.templating.header import TEMPLATE_SUFFIX
from sqlgen.templating.sandbox.environment import ENGINE
from sqlgen.templating.templates import library_of, packaged

LAKE = "lake"
_PACKAGE = Path(sqlgen.__file__).parent
_STARTER = Path(__file__).parent / "starter"
_HEAD = """\
# Written by `sqlgen init`, for the files of {path}. All keys: `sqlgen schema`, docs/models-yaml.md.
#   sqlgen check    binds the SQL of all models
#   sqlgen run      builds what is stale
#   sqlgen shell    looks at it
version: 1
lake: {lake} # root of the data, relative to this file
"""


def shipped_models() -> Path:
    """The shipped models.yaml: in the package, or at the top of a checkout."""
    inside = _PACKAGE / sqlgen.DEFAULT_FILE
    return inside if inside.exists() else _PACKAGE.parent / sqlgen.DEFAULT_FILE


def write_starter(folder: Path) -> list[Path]:
    """Write a small project of three models, one of them with a template of its own; returns its files."""
    return _write(folder, {str(path.relative_to(_STARTER)): path.read_text("utf-8") for path in _files(_STARTER)})


def write_shipped(folder: Path) -> list[Path]:
    """Write the shipped models.yaml, for data that is collected with ccxt."""
    return _write(folder, {sqlgen.DEFAULT_FILE: shipped_models().read_text("utf-8")})


def write_for(folder: Path, given: str) -> tuple[Path, Examination]:
    """Write a project with the sources that are found below a path or an address, and models on them.

    The files stay where they are: the lake of the project has a link to them, or the sources name the object store.
    Nothing is left where nothing is found.
    """
    file = _new(folder)
    data, lake = of_store(given, "") if is_remote(given) else (Path(given), folder / LAKE)
    if not data.exists():
        raise UsageError(f"{given}: no such file or folder. Nothing was written")
    known = {path for path in (folder, folder / LAKE) if path.exists()}
    link = _linked(folder, data) if lake is not None else None
    try:
        library = library_of(folder / "transforms_sql")
        found = examine(Request(link or data, library, lake))
        if not found.sources:
            raise UsageError(f"{given}: no file is recognised: `sqlgen inspect {given}` says why. Nothing was written")
        storage.replace_text(file, _HEAD.format(path=" ".join(given.split()), lake=LAKE))
        add_to(file, found)
    except (SqlgenError, OSError) as error:
        _undo(link, folder, known)
        if link is not None and isinstance(error, UsageError):
            raise UsageError(str(error).replace(str(link), str(data))) from None
        raise
    return file, found


def eject(project: Project, name: str) -> Path:
    """Copy a shipped template into the project, where it comes before the shipped one."""
    name = name if name.endswith(TEMPLATE_SUFFIX) else name + TEMPLATE_SUFFIX
    if name.startswith(ENGINE):
        raise UsageError(f"template '{name}' is the engine's own: a copy in a project would count for nothing")
    target = project.folder / "transforms_sql" / name
    if target.exists():
        raise UsageError(f"{target} is there already, and is left as it is")
    text, _ = packaged().source_text(name)
    storage.replace_text(target, text)
    return target


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".yaml", ".j2"))


def _new(folder: Path) -> Path:
    file = folder / sqlgen.DEFAULT_FILE
    if file.exists():
        raise UsageError(
            f"{file} is there already, and is left as it is. `sqlgen inspect PATH --write {file}` adds to it"
        )
    return file


def _write(folder: Path, texts: dict[str, str]) -> list[Path]:
    _new(folder)
    targets = {folder / name: text for name, text in texts.items()}
    there = [path for path in targets if path.exists()]
    if there:
        raise UsageError(f"{there[0]} is there already. Nothing was written")
    for path, text in targets.items():
        storage.replace_text(path, text)
    return list(targets)


def _linked(folder: Path, data: Path) -> Path | None:
    """A link below the lake to a path outside of it; ``None`` for a path in the lake."""
    lake, real = (folder / LAKE).resolve(), data.resolve()
    if real.is_relative_to(lake):
        return None
    if folder.resolve().is_relative_to(real):
        raise UsageError(
            f"the project {folder.resolve()} would lie in the folder of its own data, {real}."
            f" Name another folder: sqlgen init DIR --from {data}"
        )
    name = real.name if real.is_dir() else real.name.partition(".")[0]
    exchange = exchange_above(str(real)) or ""
    link = folder / LAKE / "raw" / (exchange if not exchange_above(name) else "") / name
    if not real.is_dir():
        link = link / real.name
    if link.is_symlink() or link.exists():
        raise UsageError(f"{link} is there already. Nothing was written")
    link.parent.mkdir(parents=True, exist_ok=True)
    inside = real.is_relative_to(folder.resolve())
    try:
        link.symlink_to(os.path.relpath(real, link.parent.resolve()) if inside else real)
    except OSError as error:
        raise UsageError(f"cannot link {link} to {real}: {error.strerror}. Copy the files there") from error
    return link if real.is_dir() else link.parent


def _undo(link: Path | None, folder: Path, known: set[Path]) -> None:
    """Remove what was written for a project that did not come about."""
    (folder / sqlgen.DEFAULT_FILE).unlink(missing_ok=True)
    if folder not in known:
        shutil.rmtree(folder, ignore_errors=True)
    elif folder / LAKE not in known:
        shutil.rmtree(folder / LAKE, ignore_errors=True)
    elif link is not None and link.is_symlink():
        link.unlink()
